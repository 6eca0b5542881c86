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
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline

from routing.errors import JieguanError


class NoFont(JieguanError):
    zh = (
        "数据包 zhplot 里没有字体 {value}:图上的汉字无法显示。请按 requirements.lock 重新安装(scripts/run 会自动完成)。"
    )
    en = (
        "The package zhplot does not hold the font {value}, without which Chinese cannot be drawn. Install what "
        "requirements.lock names (scripts/run does)."
    )


def font(points: float) -> FontProperties:
    """Noto Sans SC (SIL Open Font License) in a size."""
    spec = find_spec("zhplot")
    home = Path(next(iter(spec.submodule_search_locations or ()))) if spec else Path("zhplot")
    path = home / "fonts" / "NotoSansSC-Regular.ttf"
    if not path.is_file():
        raise NoFont(value=path.name)
    return FontProperties(fname=str(path), size=points)


def fill(axes: Any, shape: Any, **style: Any) -> None:
    """Polygons with their holes."""
    for part in shapely.get_parts(shape):
        rings = [part.exterior, *part.interiors]
        axes.add_patch(PathPatch(Outline.make_compound_path(*[Outline(np.array(r.coords)) for r in rings]), **style))


def stroke(axes: Any, shape: Any, **style: Any) -> None:
    """Lines."""
    for part in shapely.get_parts(shape):
        axes.plot(*np.array(part.coords).T, solid_capstyle="round", solid_joinstyle="round", **style)
