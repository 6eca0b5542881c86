"""What a verifier says when a map is not proven: which check, what is wrong, where, in Chinese and English."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Check = Literal[
    "seal", "structure", "twin", "sweep", "areas", "extent", "labels", "time", "keeper", "nearest", "faithful"
]
Place = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason why a map is refused. `place` is in metres of the work CRS; `facts` fill the sentence of `check.what`."""

    check: Check
    what: str
    plate: int | None = None
    place: Place | None = None
    facts: Mapping[str, object] = field(default_factory=dict)

    def text(self, lang: Literal["zh-CN", "en"] = "en") -> str:
        """The sentence in one language, with the place."""
        zh, en = SENTENCES[f"{self.check}.{self.what}"]
        sentence = (zh if lang == "zh-CN" else en).format(**self.facts)
        return sentence + self._where(chinese=lang == "zh-CN")

    def _where(self, *, chinese: bool) -> str:
        if self.plate is None: return ""
        at = "" if self.place is None else f", x={self.place[0]:.3f}, y={self.place[1]:.3f}"
        return f"(图版 {self.plate}{at})" if chinese else f" (plate {self.plate}{at})"


_AGAIN = ("请用原始数据重新编译。", " Compile the map again from its sources.")


def _pair(zh: str, en: str) -> tuple[str, str]:
    return zh + _AGAIN[0], en + _AGAIN[1]


SENTENCES: Mapping[str, tuple[str, str]] = {
    "seal.broken": _pair(
        "封印与内容不符:文件在封印之后被改动过。",
        "The seal does not match the contents: the file was changed after it was sealed.",
    ),
    # ---- structure: what must hold before anything else can be said
    "structure.too_wide": (
        "坐标跨度或大小为 {span} 毫米,超过 {limit} 毫米:整数运算会溢出,无法证明。请把地图分成几幅。",
        "Coordinates span or reach {span} mm, beyond {limit} mm: exact integers would overflow, so nothing can be "
        "proven. Split the map.",
    ),
    "structure.vertex_order": _pair(
        "顶点 {vertex} 不大于它前面的顶点:顶点必须严格递增、互不重复。",
        "Vertex {vertex} is not greater than the one before it: vertices must increase strictly, none twice.",
    ),
    "structure.index": _pair(
        "{entry} 第 {at} 项是 {value},不在 {low} 到 {high} 之间。",
        "{entry}[{at}] is {value}, not within {low} to {high}.",
    ),
    "structure.offsets": _pair(
        "{entry} 不是从 0 严格递增到 {end} 的偏移量(第 {at} 项是 {value})。",
        "{entry} is not a run of offsets that increases strictly from 0 to {end} (item {at} is {value}).",
    ),
    "structure.faces": _pair(
        "有 {faces} 个面,却有 {labels} 个标签编号。", "There are {faces} faces but {labels} label numbers."
    ),
    "structure.outside_rings": _pair(
        "外侧环应当恰好是最后一个面之后的 {expected} 个环,文件列出 {given} 个或顺序不同。",
        "The outside must be exactly the {expected} rings after the last face's; the file lists {given}, or others.",
    ),
    "structure.short_ring": _pair(
        "环 {ring} 只有 {vertices} 个顶点,围不成地面。",
        "Ring {ring} has {vertices} vertices and cannot enclose ground.",
    ),
    "structure.empty_edge": _pair(
        "环 {ring} 有一条长度为零的边。", "Ring {ring} has an edge of no length."
    ),
    "structure.shell": _pair(
        "面 {face} 的外环不是逆时针方向,或面积为零。", "The shell of face {face} does not run counter-clockwise, or is empty."
    ),
    "structure.hole": _pair(
        "面 {face} 的一个内环不是顺时针方向,或面积为零。", "A hole of face {face} does not run clockwise, or is empty."
    ),
    "structure.outside_turned": _pair(
        "外侧环 {ring} 不是顺时针方向,或面积为零。", "Outside ring {ring} does not run clockwise, or is empty."
    ),
    # ---- T: every edge twice, once each way
    "twin.single": _pair(
        "这条边只属于一个面:另一侧没有归属(共 {edges} 条)。",
        "An edge belongs to one face only, its other side to none ({edges} such edges).",
    ),
    "twin.same_way": _pair(
        "这条边被两个面以同一方向使用:同一侧有两个归属(共 {edges} 条)。",
        "Two faces run along an edge in the same direction, so one side has two owners ({edges} such edges).",
    ),
    "twin.many": _pair(
        "这条边被使用了两次以上:有面重叠(共 {edges} 条)。",
        "An edge is used more than twice, so faces overlap ({edges} such edges).",
    ),
    # ---- P and A: the sweep
    "sweep.vertex_in_edge": _pair("一个顶点落在另一条边的中间。", "A vertex lies inside another edge."),
    "sweep.order": _pair("扫描线上边的次序被破坏:有边相交。", "The order of edges on the sweep line is broken: edges cross."),
    "sweep.overlap": _pair("两条边叠在一起。", "Two edges lie on one another."),
    "sweep.crossing": _pair("两条边相交。", "Two edges cross."),
    "sweep.owners": _pair(
        "相邻两条边对它们之间的地面说法不一:下边说属于面 {below},上边说属于面 {above}(-1 为外侧)。",
        "Two neighbouring edges disagree about the ground between them: face {below} says the lower, face {above} the "
        "upper (-1 is outside).",
    ),
    "sweep.left_over": _pair("扫描结束时还有边没有终点。", "Edges without an end are left over."),
    "areas.differ": _pair(
        "各面面积之和与外侧环所围面积不等,两倍面积相差 {area2} 平方毫米。",
        "The faces do not add up to the ground inside the outside rings: twice the areas differ by {area2} mm2.",
    ),
    # ---- extent
    "extent.missing": _pair(
        "有 {edges} 条边一侧在辖区内、一侧在辖区外,却不在声明的辖区边界上。",
        "{edges} edges have the extent on one side only and are not on its declared border.",
    ),
    "extent.extra": _pair(
        "声明的辖区边界有 {edges} 条边,两侧并不是一内一外(或方向相反、重复)。",
        "{edges} edges of the declared border do not have the extent on their left and the rest on their right, once.",
    ),
    "extent.area": _pair(
        "辖区内各面的两倍面积 {faces} 与辖区边界所围 {rings} 不等。",
        "Twice the area of the faces inside, {faces}, is not what the declared border encloses, {rings}.",
    ),
    "extent.declared": _pair(
        "清单声明的辖区两倍面积是 {declared},实际是 {rings}。",
        "The manifest declares twice the extent's area as {declared}; its border encloses {rings}.",
    ),
    # ---- labels
    "labels.face": _pair(
        "面 {face} 的标签是 {label},而标签只有 {labels} 个。", "Face {face} has label {label}, but there are {labels}."
    ),
    "labels.claim": _pair(
        "标签 {label} 提到主张 {claim},而主张只有 {claims} 个。", "Label {label} names claim {claim}, but there are {claims}."
    ),
    "labels.order": _pair(
        "标签 {label} 的主张编号不是严格递增。", "The claims of label {label} do not increase strictly."
    ),
    "labels.twice": _pair("标签 {label} 与标签 {other} 相同。", "Label {label} says the same as label {other}."),
    "labels.inside": _pair(
        "标签 {label} 的辖区内外标记是 {value},只能是 0 或 1。", "Label {label} has the inside mark {value}; only 0 or 1 is one."
    ),
    "labels.groundless": _pair(
        "标签 {label} 含主张“{claim}”,它属于 {kind} 类,没有地面。",
        "Label {label} names claim {claim!r}, which is of kind {kind} and has no ground.",
    ),
    "labels.stretch_index": _pair(
        "界段表第 {row} 行提到不存在的顶点或主张,或两端次序颠倒。",
        "Row {row} of the border stretches names a vertex or claim that is not there, or its ends in the wrong order.",
    ),
    "labels.stretch_order": _pair("界段表第 {row} 行不大于前一行。", "Row {row} of the border stretches is not greater than the last."),
    "labels.stretch_edge": _pair("界段表有 {edges} 行不是这个图版的边。", "{edges} border stretch rows are no edges of this plate."),
    "labels.stretch_kind": _pair(
        "界段表提到主张“{claim}”,它属于 {kind} 类。", "The border stretches name claim {claim!r}, which is of kind {kind}."
    ),
    "labels.stretch_width": _pair(
        "界段“{claim}”的 {field} 是 {value},不是不小于 0 的米数。",
        "The border stretch {claim!r} has {field} = {value}, which is no number of metres from 0 up.",
    ),
    "labels.stretch_time": _pair(
        "界段“{claim}”在有效期 {interval} 无效,而该期使用这个图版。",
        "The border stretch {claim!r} is not in force in interval {interval}, which uses this plate.",
    ),
    "labels.kind": _pair("主张“{claim}”的种类“{kind}”不存在。", "Claim {claim!r} has the unknown kind {kind!r}."),
    "labels.squad": _pair(
        "主张“{claim}”的中队“{squad}”不在名单中。", "Claim {claim!r} names squad {squad!r}, which is not listed."
    ),
    "labels.claim_twice": _pair("主张编号“{claim}”出现两次。", "The claim id {claim!r} occurs twice."),
    "labels.squad_twice": _pair("中队代码“{squad}”出现两次。", "The squad code {squad!r} occurs twice."),
    # ---- time
    "time.none": _pair("地图没有任何有效期。", "The map has no interval of validity."),
    "time.instant": _pair(
        "有效期 {interval} 的“{value}”不是带时区的时间。", "Interval {interval} has {value!r}, which is no instant with a time zone."
    ),
    "time.start": _pair(
        "第一个有效期从 {since} 才开始:此前无人负责。",
        "The first interval starts at {since}: before it nobody is responsible.",
    ),
    "time.end": _pair("最后一个有效期到 {until} 结束:此后无人负责。", "The last interval ends at {until}: after it nobody is responsible."),
    "time.open": _pair(
        "有效期 {interval} 的一端没有时间,而它不在最前或最后。", "Interval {interval} is open on a side where another one follows."
    ),
    "time.empty": _pair(
        "有效期 {interval} 从 {since} 到 {until},没有长度。", "Interval {interval} runs from {since} to {until}, which is no time at all."
    ),
    "time.gap": _pair(
        "从 {until} 到 {since} 没有有效期:这段时间无人负责。",
        "From {until} to {since} there is no interval: nobody is responsible.",
    ),
    "time.overlap": _pair("从 {since} 到 {until} 有两个有效期。", "From {since} to {until} two intervals hold."),
    "time.claims": _pair(
        "有效期 {interval} 列出的主张不是这段时间内有效的主张。", "Interval {interval} does not list exactly the claims in force during it."
    ),
    "time.cut": _pair(
        "主张“{claim}”在有效期 {interval} 之中开始或结束。", "Claim {claim!r} starts or ends inside interval {interval}."
    ),
    "time.plate": _pair(
        "有效期 {interval} 用图版 {value},而图版只有 {plates} 个。", "Interval {interval} uses plate {value}, but there are {plates}."
    ),
    # ---- keeper
    "keeper.duty": _pair("值班中队编号 {value} 不在名单中(共 {squads} 个)。", "The duty squad {value} is not one of the {squads} listed."),
    "keeper.group_zero": _pair(
        "第 0 组必须为空(代表其余所有类别)。", "Group 0 must be empty: it stands for every other category."
    ),
    "keeper.category_twice": _pair("类别“{category}”属于两个组。", "Category {category!r} is in two groups."),
    "keeper.turns": _pair("轮值数 {value} 不在 1 到 1000 之间。", "The number of turns is {value}, not within 1 to 1000."),
    "keeper.finder": _pair(
        "发现者名单第 {at} 项“{value}”不对:第一项为空,其余为互不相同的中队代码。",
        "Finder {at} is {value!r}: the first must be empty, the others different squads.",
    ),
    "keeper.context": _pair(
        "情形表第 {row} 行“{column}”列是 {value},不在 0 到 {high} 之间。",
        "Row {row} of the contexts has {column} {value}, not within 0 to {high}.",
    ),
    "keeper.context_missing": _pair(
        "有 {missing} 种情形没有负责人,首先是:有效期 {interval}、类别组 {group}、轮次 {turn}、发现者 {finder}。",
        "{missing} contexts have no keeper, the first: interval {interval}, group {group}, turn {turn}, finder {finder}.",
    ),
    "keeper.context_twice": _pair(
        "有效期 {interval}、类别组 {group}、轮次 {turn}、发现者 {finder} 有 {rows} 行,应当只有一行。",
        "Interval {interval}, group {group}, turn {turn}, finder {finder} has {rows} rows where there must be one.",
    ),
    "keeper.lead": _pair(
        "负责人表第 {row} 行、标签 {label} 是 {value},而中队只有 {squads} 个(标签 {outside} 为外侧)。",
        "Row {row} gives label {label} to squad {value}, but there are {squads} (label {outside} is the outside).",
    ),
    "keeper.wrong_lead": _pair(
        "负责人表第 {row} 行把标签 {label} 给了“{squad}”,而按它的主张只能是 {allowed}(标签 {outside} 为外侧)。",
        "Row {row} gives label {label} to {squad!r}; by its claims it can only be {allowed} (label {outside} is the outside).",
    ),
    "keeper.no_nearest": _pair(
        "标签 {label} 在辖区内、没有属地,也没有最近的中队。", "Label {label} is inside the extent, has no territory and no nearest squad."
    ),
    "keeper.many_nearest": _pair(
        "标签 {label} 有 {nearest} 个最近的中队,应当只有一个。", "Label {label} has {nearest} nearest squads where there must be one."
    ),
    "keeper.stray_nearest": _pair(
        "标签 {label} 有“最近”主张,但它已有属地、或在辖区外、或全图没有属地。",
        "Label {label} has a nearest squad although it has a territory, or is outside the extent, or no territory exists.",
    ),
    # ---- nearest
    "nearest.groundless": _pair(
        "空白地块归“{squad}”,而它没有任何属地。", "A piece of a gap goes to {squad!r}, which has no ground."
    ),
    "nearest.farther": _pair(
        "空白地块归“{squad}”(距离 {own_mm} 毫米),但“{other}”更近({other_mm} 毫米)。",
        "A piece of a gap goes to {squad!r}, {own_mm} mm away, but {other!r} is nearer, {other_mm} mm.",
    ),
    "nearest.unequal": _pair(
        "两块空白的分界线到两边不等距:“{squad}”{own_mm} 毫米,“{other}”{other_mm} 毫米。",
        "The line between two pieces of a gap is not midway: {squad!r} is {own_mm} mm away, {other!r} {other_mm} mm.",
    ),
    # ---- faithful
    "faithful.unknown": _pair("原始数据中的“{claim}”不在地图里。", "Claim {claim!r} of the sources is not in the map."),
    "faithful.extra": _pair(
        "地图里的“{claim}”有地面,原始数据中却没有它。",
        "Claim {claim!r} has ground in the map but is not in the sources.",
    ),
    "faithful.kind": _pair(
        "“{claim}”在地图里是 {given},在原始数据中是 {expected}。", "Claim {claim!r} is {given} in the map and {expected} in the sources."
    ),
    "faithful.squad": _pair(
        "“{claim}”在地图里属于“{given}”,在原始数据中属于“{expected}”。",
        "Claim {claim!r} belongs to {given!r} in the map and to {expected!r} in the sources.",
    ),
    "faithful.conflict": (
        "原始数据对“{claim}”给出了互相矛盾的种类、中队或期限。请更正原始数据。",
        "The sources contradict one another about the kind, squad or period of claim {claim!r}. Correct them.",
    ),
    "faithful.bad_coordinate": (
        "原始数据“{claim}”有不是数字、或离地图 2000 公里以外的坐标。请检查坐标系。",
        "Claim {claim!r} of the sources has coordinates that are no numbers or 2,000 km off the map. Check its coordinate system.",
    ),
    "faithful.period": _pair(
        "“{claim}”的期限在有效期 {interval} 之中开始或结束。", "The period of claim {claim!r} starts or ends inside interval {interval}."
    ),
    "faithful.plate_shared": _pair(
        "图版 {used} 用于“{claim}”有效和无效的时期。", "Plate {used} is used both while claim {claim!r} holds and while it does not."
    ),
    "faithful.not_in_force": _pair(
        "“{claim}”在这个图版的任何时期都无效,却有地面。", "Claim {claim!r} has ground here but is not in force at any time of this plate."
    ),
    "faithful.missing": _pair("“{claim}”在这个图版里没有地面。", "Claim {claim!r} has no ground here."),
    "faithful.line": _pair(
        "“{claim}”在地图里的边界有 {points} 处离原始边界超过 {tolerance_mm} 毫米。",
        "The border of claim {claim!r} lies more than {tolerance_mm} mm off its source at {points} places.",
    ),
    "faithful.vertex": _pair(
        "“{claim}”的原始边界有 {vertices} 个顶点在地图的边界上找不到。",
        "{vertices} vertices of the source of claim {claim!r} are not on its border in the map.",
    ),
    "faithful.stretch_line": _pair(
        "界段“{claim}”有 {points} 处不在所画的线上。", "The border stretch {claim!r} lies off its drawn line at {points} places."
    ),
    "faithful.stretch_bare": _pair(
        "界段“{claim}”所画的线有 {metres} 米在地图里没有边。",
        "{metres} m of the drawn line of the border stretch {claim!r} have no edge in the map.",
    ),
    "faithful.area": _pair(
        "“{claim}”在地图里面积 {map_m2} 平方米,原始面积 {source_m2} 平方米,差距超过边界误差 {allowed_m2}。",
        "Claim {claim!r} has {map_m2} m2 in the map and {source_m2} m2 in its source, which differ by more than {allowed_m2}.",
    ),
}
"""check.what -> (Chinese, English), templates over the facts of the finding."""
