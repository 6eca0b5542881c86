"""One finding about a layer, and its sentence: what, where, why it matters, way out.

Errors are certain: ground with two keepers or none, a shape that is no shape. What may be drawn so on purpose, or is
narrower than drawing is exact, is a warning; what is in order and good to know is a note.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from routing.errors import Lang

Place = tuple[float, float]
"""Metres of the work CRS, east and north."""


class Severity(StrEnum):
    """In order of weight."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Issue:
    """A finding. `place`: a point in or at the defect, None where there is none (a feature without ground).

    `features` are named as `LayerFacts.names`, sorted. `width_m`: the widest circle that fits in, to 1 %. Areas and widths
    are metres of the work CRS: UTM near the edge of its zone is 0.1 % off in area. `facts`: what else the sentence needs;
    `kind` among them chooses the wording.
    """

    code: str
    severity: Severity
    features: tuple[str, ...]
    place: Place | None = None
    area_m2: float | None = None
    width_m: float | None = None
    facts: Mapping[str, object] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The same for the same finding of the same layer, whatever the order of its features: `gap-3f9c21b07e`."""
        where = "" if self.place is None else f"{self.place[0]:.3f} {self.place[1]:.3f}"
        seal = hashlib.sha256("\0".join((self.code, *self.features, where)).encode())
        return f"{self.code}-{seal.hexdigest()[:10]}"

    def text(self, lang: Lang) -> str:
        """The sentence in one language."""
        kind = f"{self.code}:{self.facts.get('kind')}"
        zh, en = WORDS[kind if kind in WORDS else self.code]
        said = {name: value[lang] if isinstance(value, Mapping) else value for name, value in self.facts.items()}
        said |= {
            "who": _list(self.features, lang),
            "between": _between(self.features, lang),
            "where": _where(self.place),
            "area": amount(self.area_m2),
        }
        return (zh if lang == "zh-CN" else en).format(**said, width=amount(self.width_m))


def _list(names: tuple[str, ...], lang: Lang) -> str:
    """At most six names; a layer where everything has one id must not fill the screen."""
    more = {"zh-CN": f"等 {len(names)} 个", "en": f" and {len(names) - 6} more"}[lang] if len(names) > 6 else ""
    return ("、" if lang == "zh-CN" else ", ").join(names[:6]) + more


def _between(names: tuple[str, ...], lang: Lang) -> str:
    """Whom a gap lies between; a hole in the ground of one lies within."""
    if lang == "zh-CN":
        return f"{_list(names, lang)} 之" + ("间" if len(names) > 1 else "内")
    return ("Between " if len(names) > 1 else "Within ") + _list(names, lang)


def _where(place: Place | None) -> str:
    return "-" if place is None else f"({place[0]:.2f}, {place[1]:.2f})"


def amount(value: float | None) -> str:
    """Three figures, and no exponent for a hectare or a hair's breadth."""
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 0.001 else "< 0.001"


WORDS: Mapping[str, tuple[str, str]] = {
    "stretch_off:drawn": (
        "界段 {who} 有 {length} 米(约在 {where})不在 {sides} 的边界上:它的交界带宽度与精度在那里无处可用,地图编不成。请重新设定或重画。",
        "{length} m of the border stretch {who} (near {where}) run along no border of {sides}: its zone and accuracy hold nowhere "
        "there, and no map can be made. Set it again, or draw it along the border.",
    ),
    "stretch_off:whole": (
        "界段 {who} 没有画线,而 {sides} 没有共同边界:地图编不成。请更正两侧,或沿边界画线。",
        "The border stretch {who} has no line, and {sides} no common border, so no map can be made. Correct its sides, or draw it.",
    ),
    "empty_geometry": (
        "{who} 没有地块(几何为 {geometry}):不会有任何案件落在它上面。请补画边界,或删去该要素。",
        "{who} has no ground (its geometry is {geometry}), so no case would ever be there. Draw its outline, or delete it.",
    ),
    "missing_id": (
        "{who} 没有编号({where}):不知道这块地归谁。请填写编号。",
        "{who} at {where} has no id, so nobody knows whose ground it is. Fill the id in.",
    ),
    "duplicate_id": (
        "编号 {id} 有 {count} 个要素({where}),彼此相连,合为一片地。如非同一中队,请改编号。",
        "The id {id} has {count} features ({where}) that join: they are one ground. If they are different squads, "
        "give them different ids.",
    ),
    "duplicate_id:apart": (
        "编号 {id} 有 {count} 个要素,分为互不相连的 {pieces} 处(其一在 {where}):会合为一片地,两个中队同号时案件会派错。"
        "请核对;如非同一中队,请改编号。",
        "The id {id} has {count} features in {pieces} separate places (one at {where}): they become one ground, and cases "
        "go astray if two squads share a number. Check it, and give different squads different ids.",
    ),
    "duplicate_id:twice": (
        "编号 {id} 的 {count} 个要素互相重叠({where},{area} 平方米):可能是同一要素录了两次。请删去多余的一个。",
        "The {count} features of the id {id} lie on each other (at {where}, {area} m2): perhaps one was recorded twice. "
        "Delete the spare one.",
    ),
    "unknown_squad": (
        "{who} 的编号 {id} 不在中队名单中({where}):派到这里的案件无人接收。请更正编号,或把该中队加入名单。",
        "{who} at {where} is of {id}, who is not on the roster: cases here would reach nobody. Correct the id, or add the "
        "squad to the roster.",
    ),
    "invalid_ring": (
        "{who} 的边界在 {where} 处不合法({reason}):自相交处哪边是内、哪边是外无法确定。请在该处重画边界。",
        "The outline of {who} is invalid at {where} ({reason}): what is inside is open there. Draw it again at this place.",
    ),
    "invalid_ring:eye": (
        "{who} 的边界在 {where} 处自相交({reason}),圈住的 {area} 平方米却不在其内:这片地会没有中队。请在该处重画边界。",
        "The outline of {who} crosses itself at {where} ({reason}) and shuts in {area} m2 that are not inside it: this ground "
        "would have no squad. Draw the outline again there.",
    ),
    "invalid_ring:touch": (
        "{who} 的边界在 {where} 处不合规范({reason}):内外并无歧义,但其他软件可能拒收或擅自修改。请在该处重画边界。",
        "The outline of {who} breaks the rules at {where} ({reason}): what is inside is clear, but other programs may refuse "
        "or change it. Draw it again at this place.",
    ),
    "spike": (
        "{who} 的边界在 {where} 处有一根尖刺(长 {length} 米,夹角 {angle} 度):多为误点的顶点。请删去该顶点。",
        "The outline of {who} has a spike at {where} ({length} m long, {angle} degrees): mostly a vertex set by mistake. "
        "Delete the vertex.",
    ),
    "overlap": (
        "{who} 在 {where} 处重叠 {area} 平方米(最宽 {width} 米):同一块地有两个中队,每件案件都要靠裁定。"
        "请双方商定归属,并改画一方边界;或签订协议、指定管辖。",
        "{who} overlap by {area} m2 at {where} (up to {width} m wide): this ground has two squads, and every case on it is "
        "disputed. Settle whose it is and cut the other back, or make an agreement or a designation.",
    ),
    "overlap:thin": (
        "{who} 在 {where} 处重叠 {area} 平方米,最宽仅 {width} 米:多为同一条界线画了两次。请把两条线对齐(--propose 可给出建议)。",
        "{who} overlap by {area} m2 at {where}, but nowhere wider than {width} m: mostly one line drawn twice. Snap the two "
        "lines together (--propose suggests how).",
    ),
    "gap": (
        "{between}在 {where} 处有 {area} 平方米的空白(最宽 {width} 米):这块地没有中队,案件只能派给最近的中队。"
        "请划归一个中队,或登记为不属本局管辖。",
        "{between} there is a gap of {area} m2 at {where} (up to {width} m wide): this ground has no squad, and its cases "
        "go to the nearest. Give it to a squad, or record it as not served.",
    ),
    "gap:thin": (
        "{between}在 {where} 处有 {area} 平方米的空白,最宽仅 {width} 米:多为同一条界线画了两次。请把两条线对齐"
        "(--propose 可给出建议)。",
        "{between} there is a gap of {area} m2 at {where}, but nowhere wider than {width} m: mostly one line drawn "
        "twice. Snap the two lines together (--propose suggests how).",
    ),
    "sliver": (
        "{who} 在 {where} 处重叠一小片({area} 平方米,宽 {width} 米):不足一个摊位,但改图时会扩大。请对齐界线。",
        "{who} overlap in a sliver at {where} ({area} m2, {width} m wide): less than a stall, but it grows with the next edit. "
        "Snap the lines together.",
    ),
    "sliver:gap": (
        "{between}在 {where} 处有一小片空白({area} 平方米,宽 {width} 米):不足一个摊位,但改图时会扩大。请对齐界线。",
        "{between} there is a sliver of a gap at {where} ({area} m2, {width} m wide): less than a stall, but it grows "
        "with the next edit. Snap the lines together.",
    ),
    "unmatched_edge": (
        "{who} 的共同边界上有 {count} 个顶点只在一方({where}):目前对得上,但单方改图就会产生缝隙。请在另一方补上顶点。",
        "The common border of {who} has {count} vertices that only one side has (such as {where}): it fits now, but the "
        "next edit of one side opens a gap. Add them to the other side.",
    ),
    "unmatched_edge:rim": (
        "{who} 的边界在 {where} 附近并行 {length} 米却不重合,中间一条最宽 {width} 米的窄缝通向外侧:缝里没有中队。"
        "请把两条线对齐。",
        "The outlines of {who} run side by side for {length} m near {where} without meeting; the strip between, up to {width} "
        "m wide, is open to the outside and has no squad. Snap the two lines together.",
    ),
    "multi_part": (
        "{who} 的辖区分为 {count} 处,最小的一处 {area} 平方米({where})。飞地属正常情形;如为误画的碎片,请删去或并入。",
        "The ground of {who} is in {count} separate pieces, the smallest {area} m2 at {where}. Islands and exclaves are fine; "
        "if it is a stray scrap, delete or join it.",
    ),
    "hole_in_extent": (
        "全域范围内 {where} 处有 {area} 平方米(最宽 {width} 米)没有任何中队:案件只能派给最近的中队。"
        "请划归一个中队,或修正全域范围。",
        "{area} m2 of the extent at {where} (up to {width} m wide) have no squad: their cases go to the nearest. Give them to "
        "a squad, or correct the extent.",
    ),
    "part_outside_extent": (
        "{who} 在 {where} 处有 {area} 平方米(最宽 {width} 米)超出全域范围:那里的案件不会派给它。请修正辖区或全域范围。",
        "{area} m2 of {who} at {where} (up to {width} m wide) lie outside the extent, where it gets no cases. Correct the "
        "ground or the extent.",
    ),
    "datum_suspicion": ("{said}", "{said}"),
}
"""Code or `code:kind` -> Chinese and English, with the same placeholders."""
