"""Words of the Open311 face: groups of services, their attributes, notices. Chinese first, English complete."""

from __future__ import annotations

from collections.abc import Mapping

from routing.errors import Lang

Two = tuple[str, str]

GROUPS: Mapping[str, Two] = {
    "GB30428:01": ("市容环境", "city appearance"),
    "GB30428:02": ("宣传广告", "advertising"),
    "GB30428:03": ("施工管理", "construction"),
    "GB30428:04": ("突发事件", "emergencies"),
    "GB30428:05": ("街面秩序", "order in the streets"),
    "JIEGUAN:": ("执法监督", "supervision of officers"),
}
"""By how a code begins."""
OTHERS: Two = ("其他", "others")

DESCRIBED: Two = ("{name}。有危险时请先远离并拨打 119 或 110。", "{name}. In danger keep away and call 119 or 110 first.")
"""A service that may be dangerous."""

ATTRIBUTES: Mapping[str, tuple[Two, Two]] = {
    # code: what is asked; how it is to be written
    "datum": (
        ("lat、long 的坐标基准(不填为 wgs84)。国内地图多为 gcj02", "The datum of lat and long (else wgs84). Chinese maps have gcj02"),
        ("单选", "one of the list"),
    ),
    "error_m": (
        ("定位误差有多大?真实地点在此半径之内", "How far may the place be off? The true one lies within this radius"),
        ("米,0 至 100000", "metres, 0 to 100000"),
    ),
    "occurred_at": (
        ("何时发生?不填为现在", "When did it happen? Now, unless stated"),
        ("ISO 8601,须带时区", "ISO 8601 with a zone"),
    ),
    "confidential": (
        ("是否要求不向承办中队透露您的身份?", "Shall the squads not be told who you are?"),
        ("单选", "one of the list"),
    ),
}
HAZARD: Two = (
    "此类事项可能有危险:请先远离,并拨打 119 或 110;此处的上报不代替报警。",
    "This may be dangerous: keep away and call 119 or 110 first; a report here is no emergency call.",
)
SUPERVISION: Two = (
    "此类投诉由督查办理,被投诉的中队看不到,也不对外公开;编号只能由您自己的系统查询。",
    "Supervision handles this; the squad complained of does not see it and it is not shown to the public. Keep the number.",
)
DATUMS: Mapping[str, Two] = {
    "wgs84": ("WGS-84(GPS)", "WGS-84 (GPS)"),
    "cgcs2000": ("CGCS2000(天地图)", "CGCS2000 (Tianditu)"),
    "gcj02": ("GCJ-02(高德、腾讯)", "GCJ-02 (Amap, Tencent)"),
    "bd09": ("BD-09(百度)", "BD-09 (Baidu)"),
}
YES_NO: Mapping[str, Two] = {"true": ("是", "yes"), "false": ("否", "no")}

AREAS: Mapping[str, Two] = {"township": ("镇、街道", "township"), "territory": ("中队辖区", "ground of a squad")}

NOTICE: Two = ("已收到,由{squad}负责。", "It has been taken in, and {squad} is responsible.")
NOTICE_DOUBT: Two = ("请补充:{question}", "Please add: {question}")
NOTICE_HIDDEN: Two = ("已收到。此事项不对外公开。", "It has been taken in. It is not shown to the public.")


def of(two: Two, lang: Lang, **facts: object) -> str:
    """One of two, with its facts."""
    return two[lang != "zh-CN"].format(**facts)


def group_of(code: str, lang: Lang) -> str:
    """The group of a category."""
    found = next((two for begin, two in GROUPS.items() if code.startswith(begin)), OTHERS)
    return of(found, lang)
