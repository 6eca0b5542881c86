"""What is said of settings, in Chinese first and in English. A test compares keys and placeholders."""

from __future__ import annotations

from api.settings import Setting, kind_of
from api.words_cases import Said

WORDS: dict[str, tuple[str, str]] = {
    "settings": (
        "列出全部设置:名称、现值、取自何处、含义。密码不显示。",
        "List every setting: its name, its value, where that was said, and what it is. Secrets are not shown.",
    ),
    "settings_default": ("默认", "default"),
    "settings_secret": ("(已设置)", "(set)"),
    "settings_none": ("(无)", "(none)"),
    "db_restore": (
        "由备份恢复到一个空的数据库和一个没有密钥的私密目录,并核验:行数与哈希、记录的每一环、密钥能否打开。",
        "Put a backup back, into an empty database and a private folder without keys, and prove it: rows and hashes, every link of the "
        "record, keys that open.",
    ),
    "db_restore_file": ("jieguan db backup 所写的文件", "the file that jieguan db backup wrote"),
    "db_restore_keys": ("jieguan keys backup 所写的文件", "the file that jieguan keys backup wrote"),
    "db_restore_head": ("备份时记下的末条(编号:哈希),须仍在记录中", "the entry noted with the backup (NUMBER:HASH), to be found again"),
    "db_restored": (
        "已恢复 {rows} 行到 {database};记录 {entries} 条,环环相扣;{keys} 件案件的密钥齐备,{lost} 件没有(已清除)。",
        "{rows} rows are back in {database}; the record has {entries} entries and every link holds; {keys} cases have their keys, "
        "{lost} have none (erased).",
    ),
}
OUT = Said(
    "请改正它,或去掉它以使用默认值;全部设置见 jieguan settings", "Mend it, or leave it out for its default; jieguan settings lists all"
)
TRUTHS = Said("须为 true 或 false", "it must be true or false")
ZONES = Said("没有这个时区,例:Asia/Shanghai", "there is no such time zone; Asia/Shanghai is one")


def why(setting: Setting) -> Said:
    """What a value of it must be."""
    if setting.note.zone:
        return ZONES
    if setting.note.among:
        listed = ", ".join(setting.note.among)
        return Said(f"须为其中之一:{listed}", f"it must be one of {listed}")
    kind = kind_of(setting)
    if kind is bool:
        return TRUTHS
    if kind is str:
        return Said("须为文字", "it must be text")
    least, most = setting.note.least, setting.note.most
    zh, en = ("须为整数", "it must be a whole number") if kind is int else ("须为数", "it must be a number")
    if least is not None:
        zh, en = f"{zh},不小于 {least:g}", f"{en} of at least {least:g}"
    if most is not None:
        zh, en = f"{zh},不大于 {most:g}", f"{en} and at most {most:g}"
    return Said(zh, en)
