"""Passwords: what is a good one, and its hash (argon2id). Hashing takes 64 MiB and some time, so only a few are hashed at once."""

from __future__ import annotations

import threading
import unicodedata
from functools import cache
from importlib.resources import files

from pwdlib import PasswordHash

from routing.errors import Worded

SHORTEST, LONGEST = 8, 256
"""Characters."""
AT_ONCE = 4
HASHER = PasswordHash.recommended()
_turn = threading.BoundedSemaphore(AT_ONCE)

WEAK = {
    "short": (f"少于 {SHORTEST} 个字符", f"it has fewer than {SHORTEST} characters"),
    "long": (f"多于 {LONGEST} 个字符", f"it has more than {LONGEST} characters"),
    "common": ("是最常被猜到的口令之一", "it is among the first that are guessed"),
    "name": ("与姓名相同", "it is the name"),
}


class WeakPassword(Worded):
    zh = "口令不能用:{why}。请用 8 到 256 个字符,例如几个互不相干的词。"
    en = "The password cannot be used: {why}. Take 8 to 256 characters, for example a few words that have nothing to do with each other."
    worded = "why"
    words = WEAK


def check(password: str, name: str) -> None:
    """Raises WeakPassword."""
    if len(password) < SHORTEST:
        raise WeakPassword(why="short")
    if len(password) > LONGEST:
        raise WeakPassword(why="long")
    if _plain(password).casefold() == _plain(name).casefold():
        raise WeakPassword(why="name")
    if _plain(password).casefold() in common():
        raise WeakPassword(why="common")


def hashed(password: str) -> str:
    """As it is kept."""
    with _turn:
        return HASHER.hash(_plain(password))


def verified(password: str, kept: str | None) -> tuple[bool, str | None]:
    """Is it that one; and its new hash, if the old one is of an older kind. Where none is kept it takes as long, and is not."""
    if len(password) > LONGEST:
        return False, None
    with _turn:
        good, better = HASHER.verify_and_update(_plain(password), stand_in() if kept is None else kept)
    return good and kept is not None, better


@cache
def stand_in() -> str:
    """The hash that is looked at when there is no account: nobody is told by the clock who has one."""
    return HASHER.hash("nobody")


@cache
def common() -> frozenset[str]:
    """The commonest; the file says where they are from."""
    text = files("api").joinpath("common_passwords.txt").read_text(encoding="utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))


def _plain(text: str) -> str:
    """The same characters, however the keyboard composed them."""
    return unicodedata.normalize("NFC", text)
