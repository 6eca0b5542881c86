"""What all our pictures share: a font that has Chinese, and shapes as matplotlib draws them.

The font comes with the package zhplot, since a machine may have no Chinese one and installing it may need root.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from matplotlib.font_manager import FontProperties
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path as Outline

from routing.errors import JieguanError

INK, PAPER = "#222222", "#FFFFFF"


class NoFont(JieguanError):
    zh = (
        "数据包 zhplot 里没有字体 {value}:图上的汉字无法显示。请按 requirements.lock 重新安装(scripts/run 会自动完成)。"
    )
    en = (
        "The package zhplot does not hold the font {value}, without which Chinese cannot be drawn. Install what "
        "requirements.lock names (scripts/run does)."
    )


def font_file() -> Path:
    """Noto Sans SC (SIL Open Font License). Raises NoFont."""
    spec = find_spec("zhplot")
    home = Path(next(iter(spec.submodule_search_locations or ()))) if spec else Path("zhplot")
    path = home / "fonts" / "NotoSansSC-Regular.ttf"
    if not path.is_file():
        raise NoFont(value=path.name)
    return path


def font(points: float) -> FontProperties:
    """It in a size."""
    return FontProperties(fname=str(font_file()), size=points)


def fill(axes: Any, shape: Any, **style: Any) -> None:
    """Polygons with their holes."""
    for part in shapely.get_parts(shape):
        rings = [part.exterior, *part.interiors]
        axes.add_patch(PathPatch(Outline.make_compound_path(*[Outline(np.array(r.coords)) for r in rings]), **style))


def stroke(axes: Any, shape: Any, **style: Any) -> None:
    """Lines."""
    for part in shapely.get_parts(shape):
        axes.plot(*np.array(part.coords).T, solid_capstyle="round", solid_joinstyle="round", **style)


def scale_bar(axes: Any, box: Any) -> None:
    """A round length of at most a third of the width, bottom left."""
    x0, y0, x1, y1 = box.bounds
    most = (x1 - x0) / 3
    step = 10 ** np.floor(np.log10(most))
    length = float(max(n * step for n in (1, 2, 5) if n * step <= most))
    x, y, high = x0 + (x1 - x0) * 0.03, y0 + (y1 - y0) * 0.04, (y1 - y0) * 0.012
    back: dict[str, Any] = {"facecolor": PAPER, "alpha": 0.8, "edgecolor": "none", "zorder": 10}
    axes.add_patch(Rectangle((x - (x1 - x0) * 0.015, y - high * 1.5), length + (x1 - x0) * 0.03, high * 8, **back))
    for part, colour in ((0, INK), (1, PAPER)):
        axes.add_patch(Rectangle((x + part * length / 2, y), length / 2, high, facecolor=colour, edgecolor=INK, linewidth=0.8, zorder=11))
    said = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m" if length >= 1 else f"{length * 100:g} cm"
    axes.text(x + length / 2, y + high * 3.6, said, fontproperties=font(9), ha="center", va="center", color=INK, zorder=12)


def areas(shape: Any) -> Any:
    """The polygons of a clipped shape."""
    return shapely.MultiPolygon([p for p in shapely.get_parts(shapely.get_parts(shape)) if p.geom_type == "Polygon" and not p.is_empty])


def lines(shape: Any) -> Any:
    """The lines of a boundary, one by one."""
    return [line for line in shapely.get_parts(shape).tolist() if not line.is_empty]
