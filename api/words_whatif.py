"""What the commands whatif and replay say, in Chinese first and in English. A test compares keys and placeholders."""

from __future__ import annotations

from routing.errors import Lang

WORDS: dict[str, tuple[str, str]] = {
    "whatif": (
        "拿历史案件试一张新图:哪些案件会换队、各队负担、交界带、空隙与重叠。",
        "Try another map on past cases: which would change squad, what each squad carries, strips, gaps, overlaps.",
    ),
    "replay": (
        "按当时的地图与规则重做过去的决定,逐字节比对。",
        "Make past decisions again from the map and rules they name, and compare every byte.",
    ),
    "whatif_before": ("现行地图(已编制)", "the map in force, compiled"),
    "whatif_after": ("拟改的地图(已编制)", "the map to try, compiled"),
    "whatif_cases": (
        "历史案件:.parquet .csv .geojson .gpkg,或以前保存的 .npz;写 db 指 --db 数据库中的案件",
        "past cases: .parquet .csv .geojson .gpkg, or an .npz kept before; `db` stands for the cases of the database of --db",
    ),
    "whatif_list": ("把换队的案件写到这个文件", "write the cases that change squad to this file"),
    "whatif_keep": ("把历史案件及其决定保存到 .npz,下次直接用", "keep the history and its decisions as .npz for next time"),
    "replay_file": ("派单结果文件(route 写出的)", "a file of decisions, as written by route"),
    "replay_map": ("已编制的地图;可重复", "a compiled map; may be repeated"),
    "since": ("只取此时起的案件(须有时间列 --at-field)", "only cases from then on (needs their times, --at-field)"),
    "replay_db": ("地图数据库:按每行写明的地图取图", "the map store's database, for the maps that rows name"),
    "replay_on": (
        "改与此图对比:有 --db 时是其中的版本,否则是已编制的地图文件",
        "compare with this map instead: a version in --db; without --db, a compiled map",
    ),
    # what-if
    "maps": ("地图 {before} → {after}", "map {before} -> {after}"),
    "moved": (
        "{rows} 件历史案件中 {moved} 件换队({share});{assist} 件的协办有变。",
        "Of {rows} past cases {moved} change squad ({share}); {assist} have other assistants.",
    ),
    "doubt": (
        "存疑 {before} 件({before_share})→ {after} 件({after_share}):新增 {new},解除 {gone}。",
        "In doubt: {before} ({before_share}) -> {after} ({after_share}); {new} new, {gone} no longer.",
    ),
    "scope_none": (
        "没有一件案件在变动的地块附近:无需重派。",
        "No case is near ground that changed: none was routed again.",
    ),
    "scope_part": (
        "只重派了变动地块附近的 {routed} 件;其余各件的决定不可能变。",
        "Only the {routed} near ground that changed were routed again; nothing else can change.",
    ),
    "scope_all": ("{routed} 件全部重派:{why}。", "All {routed} were routed again: {why}."),
    "why_settings": (
        "交界带宽度或边界精度不同,处处有影响",
        "the border zone or the accuracy of lines differs, everywhere",
    ),
    "why_roster": ("中队名录或值班中队不同", "the roster or the squad on duty differs"),
    "why_direct": ("直属类别不同,不分地点", "direct categories differ, and they hold everywhere"),
    "why_whole_zone": ("覆盖整条交界带的协议不同", "agreements over whole border zones differ"),
    "why_reach": (
        "部分案件误差很大,远近须整批判断",
        "some cases have errors so wide that near and far are told for the whole batch",
    ),
    "why_corner": ("地图最西南的角有变", "the south-western corner of the map differs"),
    "flows": ("从 → 到", "from -> to"),
    "steps": ("依据的变化", "the step that decides"),
    "categories": ("类别", "by category"),
    "no_category": ("(无类别)", "(none)"),
    "squads": ("各队负担(主办;协办)", "load of squads (leading; assisting)"),
    "squad_line": (
        "{squad}:主办 {led_before} → {led_after}({led:+d});协办 {assisted_before} → {assisted_after}({assisted:+d})",
        "{squad}: leads {led_before} -> {led_after} ({led:+d}); assists {assisted_before} -> {assisted_after} ({assisted:+d})",
    ),
    "strips": ("交界带的变化", "border strips"),
    "strip_line": (
        "{a} | {b}:新增 {new_m2:.0f} 平方米(界线 {new_line_m:.0f} 米),消失 {gone_m2:.0f} 平方米(界线 {gone_line_m:.0f} 米)",
        "{a} | {b}: {new_m2:.0f} m2 new ({new_line_m:.0f} m of line), {gone_m2:.0f} m2 gone ({gone_line_m:.0f} m of line)",
    ),
    "ground": (
        "无人认领的地:{gap_before:.0f} → {gap_after:.0f} 平方米;几队重叠的地:{overlap_before:.0f} → {overlap_after:.0f} 平方米",
        "ground nobody claims: {gap_before:.0f} -> {gap_after:.0f} m2; ground several claim: {overlap_before:.0f} -> "
        "{overlap_after:.0f} m2",
    ),
    "way": (
        "办案路程(代用指标:主办中队办公地点到案发地点的直线距离平均值,不计道路与交通;{cases} 件有数):{before:.0f} → {after:.0f} 米",
        "way to the case (a proxy of handling time: mean straight line from the leading squad's office to the place, no roads, no "
        "traffic; {cases} cases): {before:.0f} -> {after:.0f} m",
    ),
    "no_way": (
        "没有一个中队登记了办公地点:办案路程无法估计。",
        "No squad has an office on record, so the way to the case cannot be told.",
    ),
    "listed": ("换队案件已写到 {out}", "cases that change squad: {out}"),
    # replay
    "replayed": ("重做 {rows} 件决定:{same} 件逐字节相同。", "{rows} decisions made again: {same} the same to the byte."),
    "differ": ("{count} 件不同:", "{count} differ:"),
    "differ_line": (
        "第 {row} 行(地图 {version}),第 {byte} 字节起:原为 {was},现为 {now}",
        "row {row} (map {version}), from byte {byte}: was {was}, is {now}",
    ),
    "more": ("另有 {count} 件", "and {count} more"),
    "left_rules": (
        "{count} 件按规则版本 {version} 决定,本程序的规则是 {own}:未重做。请用当时的程序版本。",
        "{count} were decided by rules {version}; this program has {own}, so they were not made again. Use the program of then.",
    ),
    "left_map": (
        "{count} 件按地图 {version} 决定,手边没有这张图:未重做。请给出该图。",
        "{count} were decided on map {version}, which is not at hand, so they were not made again. Provide it.",
    ),
}


def say(key: str, lang: Lang, **facts: object) -> str:
    """One sentence."""
    zh, en = WORDS[key]
    return (zh if lang == "zh-CN" else en).format(**facts)
