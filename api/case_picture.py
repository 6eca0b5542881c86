"""The picture of a case's place: whose ground is around it, the place itself, and how far off it may be. A PNG for one page."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import shapely
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke

from api.drawing import INK, PAPER, areas, fill, font, lines, scale_bar, stroke
from api.words_dossier import said
from routing.errors import Lang

DPI, WIDE, HIGH = 200, 6.7, 3.25
"""Inches: the width of a page's text."""
LEAD, ASSIST = "#A6C8E8", "#F5EBB5"
OTHERS = ("#D3DD7D", "#EBDCF5", "#F5D3B3", "#C9E8DA", "#FFCBD6")
RED = "#CC3311"
LEAST_M = 150.0
"""Half the height of the closest look."""
FAR = 8.0
"""Half the height is at least so many times the error and the way to the nearest line."""


def picture(
    grounds: Mapping[str, Any], names: Mapping[str, str], place: Any, error_m: float, margin_m: float, lead: str, assist: list[str],
    lang: Lang,
) -> bytes:  # fmt: skip
    """`grounds`: of all squads, metres, by code; `place`: a point or a line in metres. Raises NoFont."""
    x0, y0, x1, y1 = shapely.bounds(place).tolist()
    half = max(LEAST_M, FAR * error_m, 2 * min(margin_m, 1_000.0), (y1 - y0) * 0.8, (x1 - x0) * 0.8 * HIGH / WIDE)
    x, y, wide = (x0 + x1) / 2, (y0 + y1) / 2, half * WIDE / HIGH
    box = shapely.box(x - wide, y - half, x + wide, y + half)
    figure = Figure((WIDE, HIGH), dpi=DPI, facecolor=PAPER)
    axes = figure.add_axes((0.002, 0.003, 0.996, 0.994))
    axes.set(xlim=(x - wide, x + wide), ylim=(y - half, y + half), xticks=[], yticks=[], aspect="equal")
    room = shapely.buffer(box, half / 2).bounds
    near = {code: areas(shapely.clip_by_rect(shape, *room)) for code, shape in grounds.items()}
    near = {code: shape for code, shape in near.items() if not shapely.is_empty(shape)}
    others = [code for code in sorted(near) if code != lead and code not in assist]
    colour = {lead: LEAD} | dict.fromkeys(assist, ASSIST) | {code: OTHERS[n % len(OTHERS)] for n, code in enumerate(others)}
    for code in sorted(near):
        fill(axes, near[code], facecolor=colour[code], edgecolor="none")
    for code in sorted(near):
        stroke(axes, lines(shapely.boundary(near[code])), color=INK, linewidth=1.2)
    _labels(axes, near, names, colour, box, shapely.buffer(place, half / 10), lead, assist, lang)
    _place(axes, place, error_m)
    scale_bar(axes, box)
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def _place(axes: Any, place: Any, error_m: float) -> None:
    if error_m > 0:
        centre = shapely.centroid(place)
        axes.add_patch(Circle((centre.x, centre.y), error_m, facecolor="#CC331118", edgecolor=RED, linewidth=1, linestyle="--", zorder=7))
    white = [withStroke(linewidth=4, foreground=PAPER)]
    if shapely.get_type_id(place) == 0:
        axes.plot([place.x], [place.y], marker="o", markersize=8, color=RED, markeredgecolor=PAPER, markeredgewidth=1.5, zorder=12)
    else:
        stroke(axes, place, color=RED, linewidth=2.5, path_effects=white, zorder=12)


def _labels(
    axes: Any, near: Mapping[str, Any], names: Mapping[str, str], colour: Mapping[str, str], box: Any, taken: Any, lead: str,
    assist: list[str], lang: Lang,
) -> None:  # fmt: skip
    x0, y0, x1, y1 = box.bounds
    bar = shapely.box(x0, y0, x0 + (x1 - x0) * 0.4, y0 + (y1 - y0) * 0.2)
    inner = shapely.difference(shapely.buffer(box, -(y1 - y0) * 0.08), shapely.union(bar, taken))
    for code, shape in near.items():
        free = areas(shapely.intersection(shape, inner))
        if shapely.area(free) < 0.02 * shapely.area(box):
            continue
        x, y = shapely.get_coordinates(shapely.maximum_inscribed_circle(free, tolerance=(x1 - x0) / 200))[0]
        role = "lead" if code == lead else "assist" if code in assist else ""
        name = names.get(code, "")
        text = "\n".join(filter(None, (name, code if code != name else "", f"({said(role, lang)})" if role else "")))
        style = {"ha": "center", "va": "center", "multialignment": "center", "linespacing": 1.4, "color": INK, "clip_on": True}
        axes.text(x, y, text, fontproperties=font(9), path_effects=[withStroke(linewidth=3, foreground=colour[code])], zorder=9, **style)
