"""The picture of a repair: the ground as it is and as it would be, side by side, at one scale. A PNG.

Who gains is blue, who loses is pink, everybody else pale; the ground that changes hands is hatched and outlined in red on both
sides. Where it is too thin to be seen as a whole, a second row shows its widest place closer.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
import shapely
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from api.drawing import INK, PAPER, areas, fill, font, lines, scale_bar, stroke
from geodata.repairs import Kind, Repair
from routing.errors import Lang

DPI, WIDTH = 100, 1200
PANEL = (570, 420)
"""Pixels of a panel."""
HEAD, GAP, FOOT = 96, 44, 20
SOFT, RED = "#777777", "#CC3311"
GAINS, LOSES = "#A6C8E8", "#FFCBD6"
OTHERS = ("#F5EBB5", "#D3DD7D", "#EBDCF5", "#F5D3B3", "#C9E8DA")
VISIBLE = 14
"""Pixels: a piece that is nowhere wider is shown closer, too."""
CLOSE = 7.0
"""Widths of the piece that a closer look shows to each side."""
LEAST_M = 1.5
"""Half the height of the closest look."""

WORDS: Mapping[str, tuple[str, str]] = {
    "before": ("改正前", "Before"),
    "after": ("改正后", "After"),
    "closer": ("放大:最宽处", "Closer: the widest place"),
    "close_gap": ("闭合空白", "Closing a gap"),
    "cut_overlap": ("切分重叠", "Cutting an overlap"),
    "snap": ("对齐边界", "Snapping two lines"),
    "gains": ("划入方", "gains"),
    "loses": ("让出方", "gives up"),
    "piece": ("变动的地", "what changes hands"),
    "nobody": ("无人的地", "nobody's ground"),
}


def picture(repair: Repair, grounds: Mapping[str, Any], names: Mapping[str, str], lang: Lang) -> bytes:
    """Before and after. `grounds`: of all units of the layer, metres, by code; `names` of those that have one.

    Raises NoFont.
    """
    return _Sheet(repair, grounds, names, lang).drawn()


class _Sheet:
    def __init__(self, repair: Repair, grounds: Mapping[str, Any], names: Mapping[str, str], lang: Lang) -> None:
        self.repair, self.names, self.lang = repair, names, lang
        self.piece = shapely.transform(repair.piece, lambda xy: xy / 1000)
        self.after = {code: shapely.transform(shape, lambda xy: xy / 1000) for code, shape in repair.after.items()}
        self.grounds = grounds
        self.hatch = _across(self.piece)
        self.windows = self._windows()
        others = sorted(c for c in grounds if c not in repair.who and shapely.intersects(grounds[c], self._box(self.windows[0])))
        self.colour = {code: OTHERS[n % len(OTHERS)] for n, code in enumerate(others)} | {repair.gains: GAINS}
        if repair.loses is not None:
            self.colour[repair.loses] = LOSES

    def words(self, key: str) -> str:
        return WORDS[key][self.lang == "en"]

    def drawn(self) -> bytes:
        rows = len(self.windows)
        height = HEAD + rows * (PANEL[1] + GAP) + FOOT
        with mpl.rc_context({"hatch.linewidth": 1.2, "axes.linewidth": 0.8}):
            figure = Figure((WIDTH / DPI, height / DPI), dpi=DPI, facecolor=PAPER)
            self._heading(figure, height)
            for row, window in enumerate(self.windows):
                for column, when in enumerate(("before", "after")):
                    left = 20 + column * (PANEL[0] + 20)
                    top = height - HEAD - row * (PANEL[1] + GAP)
                    axes = figure.add_axes(
                        (left / WIDTH, (top - 30 - PANEL[1]) / height, PANEL[0] / WIDTH, PANEL[1] / height)
                    )
                    title = self.words(when) + (f"   {self.words('closer')}" if row else "")
                    figure.text((left + 2) / WIDTH, (top - 15) / height, title, fontproperties=font(12), color=INK, va="center")
                    self._panel(axes, window, when)
            out = io.BytesIO()
            figure.savefig(out, format="png", metadata={"Software": None})
        return out.getvalue()

    # --- where ---

    def _windows(self) -> list[tuple[float, float, float]]:
        """(x, y, half the height) of each row: the whole, and if need be the widest place."""
        x0, y0, x1, y1 = shapely.bounds(self.piece).tolist()
        half = max((y1 - y0) / 2, (x1 - x0) / 2 * PANEL[1] / PANEL[0]) * 1.5
        width = self.repair.issue.width_m or 0.0
        whole = ((x0 + x1) / 2, (y0 + y1) / 2, max(half, LEAST_M, width * CLOSE / 2))
        if width / (2 * whole[2]) * PANEL[1] >= VISIBLE or self.repair.issue.place is None:
            return [whole]
        return [whole, (*self.repair.issue.place, max(CLOSE * width, LEAST_M))]

    def _box(self, window: tuple[float, float, float]) -> Any:
        x, y, half = window
        wide = half * PANEL[0] / PANEL[1]
        return shapely.box(x - wide, y - half, x + wide, y + half)

    # --- a panel ---

    def _panel(self, axes: Any, window: tuple[float, float, float], when: str) -> None:
        box = self._box(window)
        x0, y0, x1, y1 = box.bounds
        axes.set(xlim=(x0, x1), ylim=(y0, y1), xticks=[], yticks=[], aspect="equal")
        for spine in axes.spines.values():
            spine.set_color(SOFT)
        room = shapely.box(*shapely.bounds(shapely.buffer(box, (x1 - x0) / 4)))
        grounds = {**self.grounds, **(self.after if when == "after" else {})}
        clipped = {code: areas(shapely.clip_by_rect(grounds[code], *room.bounds)) for code in self.colour}
        shapes = {code: shape for code, shape in clipped.items() if not shapely.is_empty(shape)}
        for code in sorted(shapes, key=lambda c: c in self.repair.who):
            fill(axes, shapes[code], facecolor=self.colour[code], edgecolor="none")
        if when == "after":
            self._piece(axes, when, room)
        for code in sorted(shapes):
            wide = 1.8 if when == "after" and code in self.after else 1.1
            stroke(axes, lines(shapely.boundary(shapes[code])), color=INK, linewidth=wide)
        if when == "before":
            self._piece(axes, when, room)
        self._labels(axes, shapes, box)
        scale_bar(axes, box)
        if len(self.windows) > 1 and window is self.windows[0]:
            close = self._box(self.windows[1])
            least = (x1 - x0) / 60  # so that it is seen
            stroke(axes, shapely.box(*shapely.bounds(shapely.buffer(close, least))).exterior, color=RED, linewidth=1.2, linestyle=":")

    def _piece(self, axes: Any, when: str, room: Any) -> None:
        piece = areas(shapely.clip_by_rect(self.piece, *room.bounds))
        if when == "after":
            style = {"facecolor": GAINS, "edgecolor": "#5B8DBB", "hatch": self.hatch, "linewidth": 0}
        elif self.repair.kind is Kind.CUT_OVERLAP:  # in the colours of both
            style = {"facecolor": LOSES, "edgecolor": "#6E9CC8", "hatch": "xx", "linewidth": 0}
        else:
            style = {"facecolor": PAPER, "edgecolor": SOFT, "hatch": "..", "linewidth": 0}
        fill(axes, piece, **style)
        dashes = (0, (4, 2)) if when == "after" else "-"
        stroke(axes, lines(shapely.boundary(piece)), color=RED, linewidth=1.5, linestyle=dashes)

    def _labels(self, axes: Any, shapes: Mapping[str, Any], box: Any) -> None:
        x0, y0, x1, y1 = box.bounds
        bar = shapely.box(x0, y0, x0 + (x1 - x0) * 0.4, y0 + (y1 - y0) * 0.2)
        inner = shapely.difference(shapely.buffer(box, -(y1 - y0) * 0.07), bar)
        drawn_over = shapely.union_all([self.piece, *(shapes[c] for c in self.repair.who if c in shapes)])
        for code, shape in shapes.items():
            over = self.piece if code in self.repair.who else drawn_over
            free = areas(shapely.difference(shapely.intersection(shape, inner), over))
            least = 0.012 if code in self.repair.concerns else 0.03
            if shapely.area(free) < least * shapely.area(box):
                continue
            x, y = shapely.get_coordinates(shapely.maximum_inscribed_circle(free, tolerance=(x1 - x0) / 200))[0]
            effects = [withStroke(linewidth=3.5, foreground=self.colour[code])]
            name = self.names.get(code, "")
            role = "gains" if code == self.repair.gains else "loses" if code == self.repair.loses else ""
            text = "\n".join(filter(None, (name, code if code != name else "", f"({self.words(role)})" if role else "")))
            style = {"ha": "center", "va": "center", "multialignment": "center", "linespacing": 1.4, "color": INK}
            axes.text(x, y, text, fontproperties=font(10.5), path_effects=effects, clip_on=True, zorder=9, **style)

    # --- around them ---

    def _heading(self, figure: Any, height: int) -> None:
        def text(y: float, words: str, points: float, colour: str = INK) -> None:
            figure.text(20 / WIDTH, 1 - y / height, words, fontproperties=font(points), color=colour, va="center")

        text(26, f"{self.words(self.repair.kind.value)}   {self.repair.finding}", 16)
        text(54, self.repair.text(self.lang), 11, "#444444")
        x = 20.0
        swatches: list[tuple[str, dict[str, Any]]] = [("gains", {"facecolor": GAINS, "edgecolor": SOFT, "linewidth": 0.6})]
        if self.repair.loses is not None:
            swatches.append(("loses", {"facecolor": LOSES, "edgecolor": SOFT, "linewidth": 0.6}))
        else:
            swatches.append(("nobody", {"facecolor": PAPER, "edgecolor": SOFT, "hatch": "...", "linewidth": 0.6}))
        swatches.append(("piece", {"facecolor": PAPER, "edgecolor": RED, "linewidth": 1.5}))
        renderer: Any = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
        for key, style in swatches:
            figure.add_artist(Rectangle((x / WIDTH, 1 - 87 / height), 26 / WIDTH, 14 / height, **style))
            words = self.words(key) + (f"  {self._called(key)}" if key in ("gains", "loses") else "")
            shown = figure.text((x + 34) / WIDTH, 1 - 80 / height, words, fontproperties=font(10.5), color=INK, va="center")
            x += 60 + shown.get_window_extent(renderer).width

    def _called(self, role: str) -> str:
        code = self.repair.gains if role == "gains" else self.repair.loses
        name = self.names.get(code or "", "")
        return f"{name} ({code})" if name and name != code else str(code)


def _across(piece: Any) -> str:
    """Hatching that does not run along the piece."""
    corners = shapely.get_coordinates(shapely.minimum_rotated_rectangle(piece))
    sides = np.diff(corners, axis=0)
    dx, dy = sides[np.hypot(*sides.T).argmax()]
    return "\\\\" if dx * dy > 0 else "//"
