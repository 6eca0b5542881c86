"""Errors a person can act on: what is wrong, where, why it matters, and the way out, in Chinese and English."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

Lang = Literal["zh-CN", "en"]


class JieguanError(ValueError):
    """Base of every error we raise on bad input.

    Subclasses are named as sentences (`UnknownDatum`) and state `zh` and `en`, templates over the keyword facts given
    when raised. Both name the field, the value, the reason and the way out; a test compares their placeholders.
    """

    zh: ClassVar[str] = "{what}"
    en: ClassVar[str] = "{what}"

    def __init__(self, **facts: object) -> None:
        self.facts = facts
        super().__init__(self.text("en"))

    def text(self, lang: Lang) -> str:
        """The sentence in one language."""
        return (self.zh if lang == "zh-CN" else self.en).format(**self.facts)


class Worded(JieguanError):
    """An error one of whose facts is a key of `words`, put into the reader's language when the sentence is made."""

    worded: ClassVar[str]
    words: ClassVar[Mapping[str, tuple[str, str]]]

    def text(self, lang: Lang) -> str:
        """The sentence in one language."""
        zh, en = self.words[str(self.facts[self.worded])]
        word = zh if lang == "zh-CN" else en
        return (self.zh if lang == "zh-CN" else self.en).format(**{**self.facts, self.worded: word})
