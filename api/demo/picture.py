"""The picture of the demo city: whose ground is whose, and what came of each complaint, in Chinese and English.

Fills are Paul Tol's "light" scheme, made for colour-blind readers; steps differ by shape as well as by colour.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import shapely
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, Rectangle
from matplotlib.patheffects import withStroke
from PIL import Image

from api.demo.city import AGREED, BY_SQUAD, MARKET_M, City, Floats, outline
from api.drawing import fill, font, stroke
from api.words import STEPS
from geodata.written import replace_file
from routing.model import Step

WIDTH, HEIGHT, DPI = 1600, 1200, 100
SCALE = 18.75
"""Metres to a pixel of the map."""

INK, SOFT, PAPER = "#222222", "#666666", "#FFFFFF"
GROUND: Mapping[str, str] = {
    "HJ-GX": "#F5EBB5",
    "HJ-DH": "#A6C8E8",
    "HJ-JS": "#FFCBD6",
    "HJ-XC": "#D3DD7D",
    "HJ-CX": "#C2EAFF",
    "HJ-LZ": "#F5B8A3",
    "HJ-YB": "#8AD3BE",
    "HJ-HY": "#D0D08A",
}
RED, TEAL, WINE, PURPLE, ORANGE, BLUE = "#CC3311", "#007A6E", "#882255", "#AA3377", "#E8601C", "#004488"
Style = Mapping[str, Any]
ZONE: Style = {"facecolor": "none", "edgecolor": WINE, "hatch": "//", "linewidth": 1.6}
MARKET: Style = {"facecolor": "#FFFFFF99", "edgecolor": PURPLE, "linestyle": "--", "linewidth": 1.6}
GAP: Style = {"facecolor": PAPER, "edgecolor": TEAL, "hatch": "..", "linestyle": "--", "linewidth": 1.4}
OVERLAP: Style = {  # striped in the colours of both claimants
    "facecolor": GROUND["HJ-YB"], "edgecolor": RED, "hatch": "//", "hatchcolor": GROUND["HJ-HY"], "hatch_linewidth": 5,
    "linewidth": 1.6,
}  # fmt: skip
AGREEMENT: Style = {"color": ORANGE, "linewidth": 7, "alpha": 0.45}


@dataclass(frozen=True, slots=True)
class Mark:
    """How the complaints of one step are drawn. `size` in points squared."""

    shape: str
    fill: str
    size: float
    edge: str = PAPER


MARKS: Mapping[Step, Mark] = {
    Step.CASE_ORDER: Mark("*", "#FFD700", 190, INK),
    Step.DESIGNATED_CATEGORY: Mark("p", PURPLE, 40),
    Step.DIRECT: Mark("P", "#444444", 38),
    Step.DESIGNATED: Mark("s", WINE, 24),
    Step.NOT_SERVED: Mark("v", "#5C3A10", 34),
    Step.AGREED: Mark("D", ORANGE, 24),
    Step.OWN_GROUND: Mark("o", "#8C8C8C", 9, "none"),
    Step.BORDER: Mark("o", BLUE, 26),
    Step.DISPUTED: Mark("X", RED, 30),
    Step.NEAREST: Mark("^", TEAL, 36),
    Step.ON_DUTY: Mark("o", PAPER, 30, INK),
}

LABELS: Mapping[str, tuple[float, float]] = {
    # where a squad's name stands, km from the south-west corner of the district's box
    "HJ-GX": (3.6, 10.6),
    "HJ-DH": (11.3, 13.0),
    "HJ-JS": (8.1, 8.1),
    "HJ-XC": (11.7, 8.6),
    "HJ-CX": (10.7, 4.7),
    "HJ-LZ": (11.0, 1.6),
    "HJ-YB": (15.6, 9.0),
    "HJ-HY": (23.2, 9.3),
}


@dataclass(frozen=True, slots=True)
class Drawn:
    """What came of a complaint, and its place in metres."""

    id: str
    xy: tuple[float, float]
    error_m: float
    category: str
    category_name: str
    squad: str
    assist: tuple[str, ...]
    step: Step
    margin_m: float


def draw(city: City, found: Sequence[Drawn], steps: Mapping[str, int], example: Drawn, seed: int, out: Path) -> None:
    """Write the picture: a PNG of 1600 x 1200 with 256 colours. Raises NoFont, CannotWrite."""
    mpl.use("Agg")
    figure = Figure((WIDTH / DPI, HEIGHT / DPI), dpi=DPI, facecolor=PAPER)
    page = _Page(figure, city, found, steps)
    page.ground()
    page.complaints()
    page.names()
    page.heading(seed)
    page.legend()
    page.tally()
    page.zoom(example)
    replace_file(out, _png(figure))


def _png(figure: Figure) -> bytes:
    raw, small = io.BytesIO(), io.BytesIO()
    figure.savefig(raw, format="png", metadata={"Software": None})
    raw.seek(0)
    few = Image.open(raw).convert("RGB").quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.putpalette([255 if level > 252 else level for level in few.getpalette() or ()])  # white stays white
    few.save(small, "PNG", optimize=True)
    return small.getvalue()


class _Page:
    """One sheet, drawn once from the ground up. Coordinates are km from the south-west corner of the district's box."""

    def __init__(self, figure: Figure, city: City, found: Sequence[Drawn], steps: Mapping[str, int]) -> None:
        self.of, self.steps, self.count = city, steps, sum(steps.values())
        self.low = np.array(outline().bounds[:2])
        self.found = found
        self.axes = figure.add_axes((0, 0, 1, 1))
        self.axes.set_xlim(-1.1, -1.1 + WIDTH * SCALE / 1000)
        self.axes.set_ylim(-1.25, -1.25 + HEIGHT * SCALE / 1000)
        self.axes.set_axis_off()
        self.figure = figure

    def km(self, shape: Any) -> Any:
        return shapely.transform(shape, lambda xy: (xy - self.low) / 1000)

    def text(self, x: float, y: float, words: str, points: float, *, halo: float = 0.0, **style: Any) -> None:
        effects = [withStroke(linewidth=halo, foreground=PAPER)] if halo else None
        style = {"color": INK, "va": "center", "zorder": 7, **style}
        self.axes.text(x, y, words, fontproperties=font(points), path_effects=effects, **style)

    # ---- the map -----------------------------------------------------------------------------------------------------

    def ground(self) -> None:
        for squad, ground in self.of.territories.items():
            fill(self.axes, self.km(ground), facecolor=GROUND[squad], edgecolor="none")
        fill(self.axes, self.km(self.of.gap), **GAP)
        for line in self.of.lines.values():
            stroke(self.axes, self.km(line), color=PAPER, linewidth=2.6)
            stroke(self.axes, self.km(line), color=SOFT, linewidth=1.0)
        stroke(self.axes, self.km(self.of.line(AGREED)), **AGREEMENT)
        fill(self.axes, self.km(self.of.overlap), **OVERLAP)
        fill(self.axes, self.km(self.of.park), **ZONE)
        market = self.km(self.of.market.buffer(MARKET_M))
        fill(self.axes, market, **MARKET)
        _railway(self.axes, self.km(self.of.railway_line.intersection(self.of.outline)))
        stroke(self.axes, self.km(self.of.outline.exterior), color=INK, linewidth=2.2)
        self.text(24.3, 11.35, "黄 河   Yellow River", 13, color="#2F6DA8", rotation=-11, ha="center")
        self._features()

    def _features(self) -> None:
        """What is special, named where it is."""
        of = self.of
        for shape, shift, words, colour in (
            (of.park, (-2.6, 0.9), "沿黄游园 park", WINE),
            (of.market, (0.35, -0.62), "夜市 night market", PURPLE),
            (of.gap, (-0.5, -0.95), "空隙 gap", TEAL),
            (of.overlap, (1.7, 0.9), "重叠 overlap", RED),
            (of.line(AGREED), (1.5, -1.15), "交界协议 agreement", "#B34700"),
            (of.railway_line, (-1.35, 1.0), "铁路 railway", INK),
        ):
            x, y = shapely.get_coordinates(self.km(shape).centroid)[0] + np.array(shift)
            self.text(x, y, words, 10, halo=3, color=colour, ha="center")

    def complaints(self) -> None:
        order = [
            Step.OWN_GROUND,
            Step.BORDER,
            *(s for s in Step if s not in (Step.OWN_GROUND, Step.BORDER, Step.CASE_ORDER)),
        ]
        for step in (*order, Step.CASE_ORDER):
            places = np.array([d.xy for d in self.found if d.step is step]).reshape(-1, 2)
            _scatter(self.axes, (places - self.low) / 1000, MARKS[step])

    def names(self) -> None:
        for squad, (x, y) in LABELS.items():
            town = BY_SQUAD[squad]
            self.text(x, y + 0.24, town.squad_name, 15, halo=4, ha="center")
            self.text(x, y - 0.3, f"{town.english}  {squad}", 9.5, halo=3.5, ha="center")

    # ---- around it ---------------------------------------------------------------------------------------------------

    def heading(self, seed: int) -> None:
        self.text(-0.6, 20.62, "界管 jieguan   演示城区:惠济区   demo city: Huiji, Zhengzhou", 24)
        self.text(
            -0.6,
            19.88,
            f"{self.count:,} 件投诉,件件恰有一个负责中队   {self.count:,} complaints, and each has exactly one responsible squad",
            13.5,
            color="#444444",
        )
        warning = (
            f"合成数据 SYNTHETIC(seed {seed}):仅外轮廓与镇街名称真实;内部界线、规则与投诉均为虚构   "
            "only the outline and the names are real"
        )
        box = {"facecolor": "#FFF3B0", "edgecolor": "#B58900", "boxstyle": "round,pad=0.35", "linewidth": 1}
        self.text(13.5, 19.1, warning, 9, bbox=box)

    def legend(self) -> None:
        x, top, row = 13.5, 18.3, 0.375
        self.text(x, top, "由哪一级规则决定   Decided by", 12)
        for i, step in enumerate(Step, 1):
            zh, _, en, _ = STEPS[step]
            y = top - 0.12 - row * i
            mark = MARKS[step]
            _scatter(self.axes, np.array([[x + 0.2, y]]), Mark(mark.shape, mark.fill, max(mark.size, 45), mark.edge))
            self.text(x + 0.55, y, f"{i}  {zh}  {en}", 10)
            self.text(x + 7.4, y, f"{self.steps[step]:,}", 10, ha="right")
        self._grounds(x + 8.2, top, row)

    def _grounds(self, x: float, top: float, row: float) -> None:
        self.text(x, top, "图上的地   On the map", 12)
        rows: Sequence[tuple[str, Style, str]] = (
            ("area", {"facecolor": GROUND["HJ-YB"], "edgecolor": "none"}, "中队辖区  a squad's ground"),
            ("line", {"color": INK, "linewidth": 2.2}, "区界(真实)  district outline (real)"),
            ("line", {"color": SOFT, "linewidth": 1.2}, "队间界线(合成)  line between squads"),
            ("line", AGREEMENT, "有交界协议  line with an agreement"),
            ("area", ZONE, "指定管辖区  designated zone"),
            ("area", MARKET, "夜市:按类别指定  for street trade"),
            ("area", OVERLAP, "重叠:两队都主张  two squads claim it"),
            ("area", GAP, "空隙:无人划入  nobody's ground"),
            ("rail", {}, "铁路:非本局管辖  railway, not served"),
        )  # fmt: skip
        for i, (kind, style, words) in enumerate(rows, 1):
            y = top - 0.12 - row * i
            strip = shapely.LineString([(x, y), (x + 0.75, y)])
            if kind == "area":
                fill(self.axes, shapely.box(x, y - 0.12, x + 0.75, y + 0.12), **style)
            elif kind == "line":
                stroke(self.axes, strip, **style)
            else:
                _railway(self.axes, strip)
            self.text(x + 0.95, y, words, 10)

    def tally(self) -> None:
        """What the rules do that looking for the polygon around a point does not."""
        places = shapely.points([d.xy for d in self.found])
        held = np.sum([shapely.intersects(ground, places) for ground in self.of.territories.values()], axis=0)
        nobody = int((held == 0).sum()) + self.count - len(self.found)
        several = int((held > 1).sum())
        near = sum(bool(d.assist) for d in self.found)
        x = -0.6
        self.text(x, 5.05, "每条边界都有人管   Every border has a keeper", 13)
        lines = (
            ("只看点落在哪个面:", "By point in polygon alone:", INK),
            (f"   {nobody} 件无人管", f"   {nobody} cases would have no squad", RED),
            (f"   {several} 件两队争,或互相推", f"   {several} cases would have two", RED),
            ("按规则逐级判断:", "By the rules:", INK),
            (f"   {self.count:,} 件各有一个主办", f"   each of the {self.count:,} has one lead", TEAL),
            (f"   {near} 件同时告知邻队协办", f"   for {near} the neighbours are told", TEAL),
        )
        for i, (zh, en, colour) in enumerate(lines, 1):
            self.text(x, 5.0 - 0.46 * i, zh, 11, color=colour)
            self.text(x + 4.15, 5.0 - 0.46 * i, en, 10, color=colour)
        self._scale_bar(x, -0.55)
        self._north(7.6, -0.3)

    def _scale_bar(self, x: float, y: float) -> None:
        for i in range(4):
            self.axes.add_patch(Rectangle((x + i, y), 1, 0.14, facecolor=INK if i % 2 == 0 else PAPER, edgecolor=INK))
        for i in (0, 2, 4):
            self.text(x + i, y + 0.38, f"{i} km" if i else "0", 9.5, ha="center" if i else "left")

    def _north(self, x: float, y: float) -> None:
        arrow = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.6, "mutation_scale": 16}
        self.axes.annotate("", (x, y + 0.75), (x, y - 0.35), arrowprops=arrow)
        self.text(x, y + 0.98, "北 N", 10.5, ha="center")

    # ---- one complaint, close --------------------------------------------------------------------------------------

    def zoom(self, one: Drawn) -> None:
        """A border at 15 m: who leads, who is told, and how far the answer is from changing."""
        x, y, wide, high = 13.4, -0.85, 15.1, 5.6
        window = 105.0 * np.array([1, high / wide])
        axes = self.axes.inset_axes((x, y, wide, high), transform=self.axes.transData)
        middle = np.array(one.xy) - np.array([0.0, 0.12 * window[1]])
        axes.set_xlim(middle[0] - window[0], middle[0] + window[0])
        axes.set_ylim(middle[1] - window[1], middle[1] + window[1])
        axes.set_xticks([])
        axes.set_yticks([])
        self._zoom_ground(axes, one)
        self._zoom_case(axes, one)
        self._zoom_words(axes, one, middle, window)
        centre = (middle - self.low) / 1000
        half = window / 1000
        box = Rectangle(tuple(centre - half), *(2 * half), facecolor="none", edgecolor=INK, linewidth=1.4, zorder=8)
        self.axes.add_patch(box)
        tag = {"facecolor": INK, "edgecolor": "none", "boxstyle": "round,pad=0.25"}
        self.text(centre[0], centre[1] - 0.36, "放大 zoom", 9.5, ha="center", color=PAPER, bbox=tag, zorder=9)

    def _zoom_ground(self, axes: Any, one: Drawn) -> None:
        for squad, ground in self.of.territories.items():
            fill(axes, ground, facecolor=GROUND[squad], edgecolor="none")
        line = self.of.line((one.squad, one.assist[0]))
        fill(axes, line.buffer(15.0), facecolor="#00000018", edgecolor=SOFT, linestyle=":", linewidth=1)
        stroke(axes, line, color=INK, linewidth=2.2)
        for step in (Step.OWN_GROUND, *(s for s in Step if s is not Step.OWN_GROUND)):
            places = np.array([d.xy for d in self.found if d.step is step and d is not one]).reshape(-1, 2)
            mark = MARKS[step]
            _scatter(axes, places, Mark(mark.shape, mark.fill, mark.size * 1.8, mark.edge))

    def _zoom_case(self, axes: Any, one: Drawn) -> None:
        there = _way_over(self.of, one)[1]
        axes.add_patch(
            Circle(one.xy, one.error_m, facecolor="#FFFFFF88", edgecolor=BLUE, linewidth=1.2, linestyle="--")
        )
        axes.add_patch(
            FancyArrowPatch(one.xy, there, arrowstyle="-|>", mutation_scale=12, color=RED, linewidth=1.6, zorder=6)
        )
        mark = MARKS[one.step]
        _scatter(axes, np.array([one.xy]), Mark(mark.shape, mark.fill, 110, mark.edge))

    def _zoom_words(self, axes: Any, one: Drawn, middle: Floats, window: Floats) -> None:
        halo = [withStroke(linewidth=3.5, foreground=PAPER)]

        def words(x: float, y: float, text: str, points: float, **style: Any) -> None:
            style = {"color": INK, "va": "center", "path_effects": halo, "zorder": 8, **style}
            axes.text(*(middle + window * np.array([x, y])), text, fontproperties=font(points), **style)

        lead, other = BY_SQUAD[one.squad], BY_SQUAD[one.assist[0]]
        for y in (-1.0, 0.78):
            x, bottom = (middle + window * np.array([-1, y])).tolist()
            axes.add_patch(Rectangle((x, bottom), 2 * window[0], 0.22 * window[1], facecolor=PAPER, zorder=6))
        frame: Style = {"facecolor": "none", "edgecolor": INK, "linewidth": 1.6, "zorder": 9, "clip_on": False}
        axes.add_patch(Rectangle(tuple(middle - window), *(2 * window), **frame))
        words(-0.97, 0.89, f"放大看一件:{one.id} {one.category_name}   Zoom: one complaint at a border", 12)
        words(
            -0.97,
            -0.89,
            f"红箭头:再过 {one.margin_m:.1f} 米主办就变   arrow: {one.margin_m:.1f} m further, the lead changes",
            10,
        )
        words(0.97, -0.89, "点线:交界带 dotted: border zone, 15 m", 10, ha="right")
        for town, role in ((lead, "主办 lead"), (other, "协办 assists")):
            x, y = self._side(town.squad, middle, window)
            words(x, y + 0.09, f"{role}", 11, ha="center", color=BLUE)
            words(x, y - 0.1, town.squad_name, 14, ha="center")

    def _side(self, squad: str, middle: Floats, window: Floats) -> tuple[float, float]:
        """Where in the window a squad's name has most room."""
        box = shapely.box(*(middle - window * (0.95, 0.75)), *(middle + window * (0.95, 0.75)))
        ground = shapely.intersection(self.of.territories[squad], box)
        at = shapely.get_coordinates(shapely.maximum_inscribed_circle(ground, tolerance=1.0))[0]
        x, y = (at - middle) / window
        return float(x), float(y)


# ---- strokes ---------------------------------------------------------------------------------------------------------


def _railway(axes: Any, line: Any) -> None:
    for part in shapely.get_parts(line):
        axes.plot(*np.array(part.coords).T, color=INK, linewidth=4, solid_capstyle="butt")
        axes.plot(*np.array(part.coords).T, color=PAPER, linewidth=2.4, linestyle=(0, (4, 4)))


def _scatter(axes: Any, places: Floats, mark: Mark) -> None:
    thin = 0.9 if mark.edge == INK else 0.7
    axes.scatter(
        *places.T, s=mark.size, marker=mark.shape, c=mark.fill, edgecolors=mark.edge, linewidths=thin, zorder=5
    )


def example_of(city: City, found: Iterable[Drawn]) -> Drawn:
    """A complaint that shows a border: two squads within reach, some metres from the line, others close by.

    Of lines that run north and south if there are any: the window is wider than high.
    """
    one = [d for d in found if d.step is Step.BORDER and len(d.assist) == 1]
    fair = [d for d in one if d.error_m <= 10 and 6 <= d.margin_m <= 12] or one
    fair = [d for d in fair if _is_upright(city, d)] or fair
    tree = shapely.STRtree(shapely.points([d.xy for d in one]))
    near = [len(tree.query(shapely.Point(d.xy), predicate="dwithin", distance=100.0)) for d in fair]
    return min(zip(fair, near, strict=True), key=lambda pair: (-pair[1], pair[0].id))[0]


def _is_upright(city: City, one: Drawn) -> bool:
    """Does the way over the line lead east or west?"""
    dx, dy = _way_over(city, one)[1] - np.array(one.xy)
    return bool(abs(dx) > 1.4 * abs(dy))


def _way_over(city: City, one: Drawn) -> Floats:
    """From the complaint to the nearest ground of the squad that assists, two corners."""
    way: Floats = shapely.get_coordinates(shapely.shortest_line(shapely.Point(one.xy), city.territories[one.assist[0]]))
    return way
