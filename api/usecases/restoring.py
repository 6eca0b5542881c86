"""A backup put back on a clean machine: the database, its keys, and the proof that they belong together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from api.settings import Serving
from api.store.opening import anchor_of, working
from api.store.record import Head, last_entry, verify
from api.store.setup import GENESIS
from api.store.tables import WHOLE, CaseFile
from api.usecases.office import about_case
from api.vault import KEYS, KeyDestroyed
from geodata.db.copying import CopyReport, copy
from geodata.written import CannotWrite, whole_file
from routing.errors import JieguanError


class KeysThere(JieguanError):
    zh = "私密目录 {path} 已有密钥,不会覆盖:那里的案件会因此打不开。请指定一个空目录(JIEGUAN_PRIVATE),或先移走它。"
    en = "The private folder {path} has keys already, and they are not written over: what they open would be lost. Name an empty one "
    en += "(JIEGUAN_PRIVATE), or move this one away first."


class NoSuchBackup(JieguanError):
    zh = "没有备份文件“{path}”。请核对路径。"
    en = "There is no backup {path!r}. Check the path."


class RecordBroken(JieguanError):
    zh = "已恢复到 {url},但记录不完整:{finding}。请改用另一份备份,或运行 jieguan audit verify 查看全部。"
    en = "It was put back into {url}, and the record does not hold: {finding}. Take another backup, or see all by jieguan audit verify."


@dataclass(frozen=True, slots=True)
class Restored:
    """`keys`: cases that can be read; `lost`: those whose key was destroyed, as the backup of the keys knows."""

    copied: CopyReport
    entries: int
    keys: int
    lost: int


def restore(file: Path, keys: Path, serving: Serving, noted: Head | None = None) -> Restored:
    """The database of `serving` from a backup, and its keys. `noted`: the end of the record when the backup was made.

    Raises NoSuchBackup, KeysThere, DestinationNotEmpty, CopyDiffers, RecordBroken, and what opening both raises (a wrong master key).
    """
    for path in (file, keys):
        if not path.is_file():
            raise NoSuchBackup(path=str(path))
    folder = serving.folder
    if (folder / KEYS).exists():
        raise KeysThere(path=str(folder))
    copied = copy(file, serving.database, WHOLE)
    _place(keys, folder)
    with working(serving) as has, has.db.reading() as session:
        anchor, last = anchor_of(serving), last_entry(session)
        if not anchor.path.exists():  # a machine that never saw this record: from here on it does
            anchor.tell(Head(0, GENESIS), last)
        finding = next(iter(verify(session, anchor, () if noted is None else (noted,))), None)
        if finding is not None:
            raise RecordBroken(url=has.db.url, finding=finding.text("zh-CN") + " / " + finding.text("en"))
        entries = next(c.rows for c in copied.tables if c.table == "event")
        opened = lost = 0
        query = sa.select(CaseFile.number, CaseFile.key, CaseFile.words).execution_options(yield_per=1_000)
        for number, key, words in session.execute(query):
            try:
                has.vault.unseal(key, bytes(words), about_case(number))
                opened += 1
            except KeyDestroyed:
                lost += 1
    return Restored(copied, entries, opened, lost)


def _place(keys: Path, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with whole_file(folder / KEYS) as made:
            made.write_bytes(keys.read_bytes())
            made.chmod(0o600)
    except OSError as error:
        raise CannotWrite(path=str(folder / KEYS), reason=str(error)) from error
