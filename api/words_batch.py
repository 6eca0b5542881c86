"""What the command cases says, in Chinese first and in English. A test compares keys and placeholders."""

from __future__ import annotations

WORDS: dict[str, tuple[str, str]] = {
    "cases": ("案件:批量导入。", "Cases: import tables of them."),
    "cases_import": (
        "从表格(CSV 或 XLSX,最多 10,000 行)导入投诉:逐行立案或说明原因;同一文件再次导入不会重复。有未导入的行时退出状态为 1。",
        "Take complaints in from a table (CSV or XLSX, up to 10,000 rows): each row becomes a case or is told why not; the same file again "
        "makes nothing twice. Exit status 1 if a row was refused.",
    ),
    "cases_file": ("表格文件", "the table"),
    "cases_as": (
        "以哪个账号的名义导入(接线员、派遣员或系统账号)",
        "the account in whose name it is done (an operator, dispatcher or machine)",
    ),
    "cases_key": (
        "幂等键:更正后重传时沿用同一键,已导入的行不会重复",
        "a key for the file: a corrected one under the same key repeats no row",
    ),
    "cases_report": (
        "把原表格连同编号、中队、原因写入此 CSV(含投诉人信息,请妥善保管)",
        "write the table with number, squad and reason into this CSV (it holds who complained: keep it safe)",
    ),
    "cases_done": (
        "{rows} 行:新立 {taken} 件,此前已立 {again} 件,未导入 {refused} 行。",
        "{rows} rows: {taken} cases taken in, {again} there before, {refused} refused.",
    ),
    "cases_row": ("第 {row} 行({field}):{error}", "row {row} ({field}): {error}"),
}
