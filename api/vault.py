"""Keys and sealing. What people wrote, and who complained, is in the database as ciphertext; its keys are here, outside.

    with open_vault(folder, None) as vault:
        key = vault.new_key()
        sealed = vault.seal(key, "…".encode(), "case 17 words")

AES-256-GCM, one key for each case. The keys lie in `keys.db`, a file of its own in a private folder, wrapped by the master key. A key
that is destroyed takes with it every copy of what it sealed: rows, history, and backups of the database, which hold no keys.

Several processes use one folder at once; each opens its own Vault, after any fork. The file is in rollback mode, since a log beside it
would keep what was destroyed.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import os
import secrets
import sqlite3
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from geodata.db import guard
from geodata.db.engine import NoRoom, WriterBusy
from geodata.written import whole_file
from routing.errors import JieguanError

KEYS, MASTER, NEXT = "keys.db", "master.key", "master.key.next"
"""Files of the private folder. NEXT is there only while the master key is being changed."""
KEY_BYTES, NONCE_BYTES = 32, 12
FORMAT = b"\x01"
"""Of what is sealed: this byte, the nonce, the ciphertext with its tag."""
RESERVE = 64
"""Keys made in one commit; those not used when the process ends stay unused."""
ROWS = 1000
WAIT_S = 10.0
OLD_PAGES = 1
"""user_version of a file that may still hold, in pages no longer used, what was destroyed."""

TABLES = (
    "CREATE TABLE IF NOT EXISTS root (id INTEGER PRIMARY KEY CHECK (id = 1), wrapped BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS key (id TEXT PRIMARY KEY, wrapped BLOB) WITHOUT ROWID",
)
"""`root`: a secret that outlives master keys; it tells a wrong one, and keyed hashes are made of it. A key with NULL is destroyed."""


class BadMaster(JieguanError):
    zh = "{where} 的主密钥不可用:须为 32 字节,写作 64 位十六进制或 base64。可用 openssl rand -base64 32 生成。"
    en = "The master key in {where} cannot be used: it is 32 bytes as 64 hexadecimal digits or base64. Make one by openssl rand -base64 32."


class WrongMaster(JieguanError):
    zh = "主密钥({where})与 {path} 不符,其中的密钥打不开;未作任何改动。请给出当时的主密钥;若刚轮换过,请换用新的并重启服务。"
    en = (
        "The master key ({where}) is not that of {path}, so none of the keys in it can be opened; nothing was changed. Give the one it was "
        "made with; after a rotation give the new one and restart the service."
    )


class MasterMissing(JieguanError):
    zh = "{path} 中已有密钥,却没有主密钥:JIEGUAN_MASTER_KEY 未设置,也没有文件 {file}。请设置,或放回该文件。"
    en = (
        "{path} has keys but their master key is missing: JIEGUAN_MASTER_KEY is not set and there is no file {file}. Set it, or put the "
        "file back."
    )


class VaultUnavailable(JieguanError):
    zh = "密钥库 {path} 无法使用({reason})。请检查私密目录、权限和剩余空间;可用 JIEGUAN_PRIVATE 指定目录。"
    en = (
        "The keys in {path} cannot be used ({reason}). Check the private folder, its rights and the space left; JIEGUAN_PRIVATE names "
        "another folder."
    )


class KeyDestroyed(JieguanError):
    zh = "“{about}”已被清除:其密钥已销毁,任何副本都无法再读出。"
    en = "{about!r} has been erased: its key was destroyed and no copy can be read any more."


class SealBroken(JieguanError):
    zh = "“{about}”无法解封:密文被改动,或不属于此处。请用备份核对,并运行 jieguan audit verify。"
    en = "{about!r} cannot be unsealed: the ciphertext was altered or belongs elsewhere. Compare with a backup; run jieguan audit verify."


class KeyMissing(SealBroken):
    zh = "“{about}”的密钥不在 {path} 中。请检查 JIEGUAN_PRIVATE 是否为此数据库的私密目录,或放回密钥备份。"
    en = (
        "The key of {about!r} is not in {path}. Check that JIEGUAN_PRIVATE is this database's private folder, or put back the backup of "
        "its keys."
    )


def master_bytes(text: str, where: str = "JIEGUAN_MASTER_KEY") -> bytes:
    """32 bytes of hexadecimal digits or base64 (either alphabet). Raises BadMaster, which does not quote it."""
    told = text.strip()
    try:
        if len(told) == 2 * KEY_BYTES:
            return bytes.fromhex(told)
        found = b64decode(told.translate(str.maketrans("-_", "+/")), validate=True)
    except (ValueError, binascii.Error):
        raise BadMaster(where=where) from None
    if len(found) != KEY_BYTES:
        raise BadMaster(where=where)
    return found


def open_vault(private: Path, master: str | None) -> Vault:
    """The keys in a private folder (made if missing, 0700). `master`: as the environment has it; None: that in the folder's master.key.

    Raises BadMaster, WrongMaster, MasterMissing, VaultUnavailable, WriterBusy, NoRoom.
    """
    file = private / KEYS
    try:
        private.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not file.exists():
            with suppress(FileExistsError):  # another process was first
                os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise VaultUnavailable(path=str(file), reason=error.strerror or str(error)) from error
    return Vault(private, None if master is None else master_bytes(master))


class Vault:
    """Safe for threads. `made`: the file of the master key, if this opening made it: somebody should be told, and keep a copy."""

    def __init__(self, private: Path, given: bytes | None) -> None:
        self.private, self.path = private, private / KEYS
        self.made: Path | None = None
        self._given, self._lock, self._pool, self._process = given, threading.RLock(), list[str](), os.getpid()
        self._wrapping = self._root = b""
        guard.protect(self.path)
        try:
            with _told(self.path):
                name = f"file:{quote(str(self.path))}?mode=rw"
                self._db = sqlite3.connect(name, uri=True, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
            try:
                self._begin()
            except BaseException:
                self._db.close()
                raise
        except BaseException:
            guard.release(self.path)
            raise

    # ---- sealing ---------------------------------------------------------------------------------------------------------

    def seal(self, key: str, words: bytes, about: str) -> bytes:
        """Ciphertext that opens with this key and for `about` alone. Raises KeyDestroyed, KeyMissing."""
        return _encrypted(self._key(key, about), words, about)

    def unseal(self, key: str, sealed: bytes, about: str) -> bytes:
        """What was sealed. Raises KeyDestroyed, SealBroken."""
        opened = _decrypted(self._key(key, about), sealed, about)
        if opened is None:
            raise SealBroken(about=about)
        return opened

    def mac(self, purpose: str, data: bytes) -> str:
        """A keyed hash, 64 hexadecimal digits: another one for each purpose, the same before and after a change of the master key."""
        return hmac.new(_derived(self._root, f"mac {purpose}"), data, hashlib.sha256).hexdigest()

    # ---- keys ------------------------------------------------------------------------------------------------------------

    def new_key(self) -> str:
        """The id of a key nobody else has been given, already safe on disk."""
        with self._lock:
            if not self._pool:
                self._pool = self._reserved()
            return self._pool.pop()

    def destroy(self, keys: Iterable[str]) -> None:
        """Gone when this returns, from the bytes of the file too. A second time: nothing. A key that is not here never will be."""
        gone = [(key,) for key in keys]
        if not gone:
            return
        with self._writing() as db:
            db.executemany("INSERT INTO key VALUES (?, NULL) ON CONFLICT (id) DO UPDATE SET wrapped = NULL", gone)
            db.execute(f"PRAGMA user_version = {OLD_PAGES}")
        self._vacuum()

    def living(self, keys: Iterable[str]) -> set[str]:
        """Those of them that are here and not destroyed."""
        with self._lock, _told(self.path):
            found = ((key, self._db.execute("SELECT wrapped FROM key WHERE id = ?", (key,)).fetchone()) for key in keys)
            return {key for key, row in found if row is not None and row[0] is not None}

    def rotate(self, new: str | None = None) -> int:
        """Wrap all keys by another master key, all or nothing; returns how many. What was sealed stays readable.

        `new`: as the environment will have it from now on; None: a fresh one, into the folder's master.key. Vaults that are open with
        the folder's master key go on; those whose master key came from the environment raise WrongMaster at their next key.
        """
        fresh = secrets.token_bytes(KEY_BYTES) if new is None else master_bytes(new)
        wrapping, count, after = _derived(fresh, "wrap"), 0, ""
        with self._writing() as db:
            self._require_master(db)
            if new is None:
                self._write(NEXT, fresh)
            living = "SELECT id, wrapped FROM key WHERE id > ? AND wrapped NOTNULL ORDER BY id LIMIT ?"
            while rows := db.execute(living, (after, ROWS)).fetchall():
                again = [(_encrypted(wrapping, self._unwrapped(wrapped, key, key), key), key) for key, wrapped in rows]
                db.executemany("UPDATE key SET wrapped = ? WHERE id = ?", again)
                count, after = count + len(rows), rows[-1][0]
            db.execute("UPDATE root SET wrapped = ?", (_encrypted(wrapping, self._root, "root"),))
            db.execute(f"PRAGMA user_version = {OLD_PAGES}")
        with self._lock:
            self._given, self._wrapping = None if new is None else fresh, wrapping
            if new is None:
                self._promote()
            else:
                (self.private / MASTER).unlink(missing_ok=True)
        self._vacuum()  # the old wrappings: whoever has the old master key could open them
        return count

    def backup(self, path: Path) -> int:
        """All keys, wrapped, as a file that replaces the one before; returns how many live. It does not hold the master key."""
        with self._lock, _told(self.path), whole_file(path) as file:
            self._db.execute("VACUUM INTO ?", (str(file),))
            file.chmod(0o600)
            (count,) = self._db.execute("SELECT count(wrapped) FROM key").fetchone()
            return int(count)

    def close(self) -> None:
        """Give the file back."""
        with self._lock:
            self._db.close()
        guard.release(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # ---- the file --------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Whoever opens takes the turn to write: he sees no rotation half done, and finishes one that was killed."""
        with _told(self.path):
            self._db.execute(f"PRAGMA busy_timeout = {int(WAIT_S * 1000)}")
            # EXTRA: a journal that comes back after a power cut would take back the commit that removed it.
            for setting in ("journal_mode = DELETE", "synchronous = EXTRA", "secure_delete = ON", "temp_store = MEMORY"):
                self._db.execute(f"PRAGMA {setting}").fetchall()
        with self._writing() as db:
            for table in TABLES:
                db.execute(table)
            row = db.execute("SELECT wrapped FROM root").fetchone()
            if row is None:
                self._root = secrets.token_bytes(KEY_BYTES)
                self._wrapping = _derived(self._first_master(), "wrap")
                db.execute("INSERT INTO root VALUES (1, ?)", (_encrypted(self._wrapping, self._root, "root"),))
            else:
                self._open_root(row[0])
            (old,) = db.execute("PRAGMA user_version").fetchone()
        if old == OLD_PAGES:
            self._vacuum()

    def _first_master(self) -> bytes:
        if self._given is not None:
            return self._given
        if found := self._read(MASTER):
            return found
        fresh = secrets.token_bytes(KEY_BYTES)
        self._write(MASTER, fresh)
        self.made = self.private / MASTER
        return fresh

    def _open_root(self, wrapped: bytes) -> None:
        """Find the master key that opens it: the one given, or that in a file."""
        if self._given is not None:
            self._wrapping, self._root = self._tried(wrapped, self._given, "JIEGUAN_MASTER_KEY")
            return
        kept, following = self._read(MASTER), self._read(NEXT)
        if kept is None and following is None:
            raise MasterMissing(path=str(self.path), file=str(self.private / MASTER))
        if following is not None:
            with suppress(WrongMaster):
                self._wrapping, self._root = self._tried(wrapped, following, NEXT)
                self._promote()
                return
        self._wrapping, self._root = self._tried(wrapped, kept or b"", str(self.private / MASTER))
        (self.private / NEXT).unlink(missing_ok=True)  # of a rotation that was killed before it was committed

    def _tried(self, wrapped: bytes, master: bytes, where: str) -> tuple[bytes, bytes]:
        wrapping = _derived(master, "wrap")
        root = _decrypted(wrapping, wrapped, "root")
        if root is None:
            raise WrongMaster(path=str(self.path), where=where)
        return wrapping, root

    def _require_master(self, db: sqlite3.Connection) -> None:
        """Another process may have changed the master key. Raises WrongMaster where we cannot follow."""
        (wrapped,) = db.execute("SELECT wrapped FROM root").fetchone()
        if _decrypted(self._wrapping, wrapped, "root") is None:
            self._open_root(wrapped)

    def _reserved(self) -> list[str]:
        made = [secrets.token_hex(16) for _ in range(RESERVE)]
        with self._writing() as db:
            self._require_master(db)
            rows = [(key, _encrypted(self._wrapping, secrets.token_bytes(KEY_BYTES), key)) for key in made]
            db.executemany("INSERT INTO key VALUES (?, ?)", rows)
        return made

    def _key(self, key: str, about: str) -> bytes:
        """Read anew each time: another process may have destroyed it."""
        assert self._process == os.getpid(), "a vault is opened after the fork"
        with self._lock, _told(self.path):
            row = self._db.execute("SELECT wrapped FROM key WHERE id = ?", (key,)).fetchone()
        if row is None:
            raise KeyMissing(about=about, path=str(self.path))
        if row[0] is None:
            raise KeyDestroyed(about=about)
        found = _decrypted(self._wrapping, row[0], key)
        return self._again(key, about) if found is None else found

    def _again(self, key: str, about: str) -> bytes:
        """It did not open: the master key was changed meanwhile, or the wrapped key was altered."""
        with self._writing() as db:
            self._require_master(db)
            (wrapped,) = db.execute("SELECT wrapped FROM key WHERE id = ?", (key,)).fetchone()
            if wrapped is None:
                raise KeyDestroyed(about=about)
            return self._unwrapped(wrapped, key, about)

    def _unwrapped(self, wrapped: bytes, key: str, about: str) -> bytes:
        found = _decrypted(self._wrapping, wrapped, key)
        if found is None:
            raise SealBroken(about=about)
        return found

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One writer at a time, of all threads and processes; committed and synced when the block ends, undone when it raises."""
        assert self._process == os.getpid(), "a vault is opened after the fork"
        with self._lock, _told(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _vacuum(self) -> None:
        """The file anew, of what is in it now. Cut short, the next opening does it."""
        with self._lock, _told(self.path):
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA user_version = 0")

    def _read(self, name: str) -> bytes | None:
        file = self.private / name
        try:
            return master_bytes(file.read_text(encoding="ascii", errors="replace"), str(file))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise VaultUnavailable(path=str(file), reason=error.strerror or str(error)) from error

    def _write(self, name: str, master: bytes) -> None:
        """Whole and synced, 0600 from the first byte."""
        file = self.private / name
        begun = self.private / f"{name}.{secrets.token_hex(4)}"
        try:
            with os.fdopen(os.open(begun, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb") as out:
                out.write(b64encode(master) + b"\n")
                out.flush()
                os.fsync(out.fileno())
            begun.replace(file)
            self._sync_folder()
        except OSError as error:
            begun.unlink(missing_ok=True)
            raise VaultUnavailable(path=str(file), reason=error.strerror or str(error)) from error

    def _promote(self) -> None:
        with suppress(FileNotFoundError):  # who opened between the commit and now has done it
            (self.private / NEXT).replace(self.private / MASTER)
        self._sync_folder()

    def _sync_folder(self) -> None:
        folder = os.open(self.private, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _derived(secret: bytes, purpose: str) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=f"jieguan {purpose}".encode()).derive(secret)


def _encrypted(key: bytes, plain: bytes, about: str) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return FORMAT + nonce + AESGCM(key).encrypt(nonce, plain, about.encode())


def _decrypted(key: bytes, sealed: bytes, about: str) -> bytes | None:
    """None: not by this key, not for this, or altered."""
    if sealed[:1] != FORMAT or len(sealed) < 1 + NONCE_BYTES + 16:
        return None
    nonce, cipher = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
    try:
        return AESGCM(key).decrypt(nonce, cipher, about.encode())
    except InvalidTag:
        return None


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What SQLite says, as errors of ours."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", None) or ""
        if name in ("SQLITE_FULL", "SQLITE_IOERR_WRITE"):
            raise NoRoom(url=str(path), reason=str(error)) from error
        if name.startswith("SQLITE_BUSY"):
            raise WriterBusy(path=str(path), seconds=WAIT_S) from error
        raise VaultUnavailable(path=str(path), reason=str(error)) from error
