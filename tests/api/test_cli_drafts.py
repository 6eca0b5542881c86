"""`jieguan draft` and `jieguan defects`: findings accepted by name, and the ledger of what stays open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyproj
import pytest
import shapely

from api.console import utc_now
from api.store.setup import opened
from geodata.drafts import Desk
from geodata.edits import HandOver, rings_of
from tests.api.test_cli_map import LAT, LON, SIDE, WORK_CRS, Run, city, grounds, run

__all__ = ["city", "run"]  # fixtures


@pytest.fixture
def faulty(run: Run, tmp_path: Path) -> str:
    """Four squares of which b reaches over d: an overlap, in force, in nobody's hands but the ledger's."""
    url = str(tmp_path / "city.db")
    run("db", "init", url, "--work-crs", WORK_CRS)
    both = grounds(tmp_path / "both.geojson", north=SIDE + 0.001)
    files = ("map", "import", "--db", url, "--territories", both, "--duty", "a")
    run(*files, "--publish", "--by", "王", "--reason", "首次发布", "--defects-to", "李")
    return url


def draft_of(url: str) -> str:
    """A draft with a township that has a hole: an error."""
    ring = shapely.Polygon([(0.002, 0.002), (0.008, 0.002), (0.008, 0.008), (0.002, 0.008)])
    holed = shapely.difference(ring, shapely.box(0.004, 0.004, 0.005, 0.005))
    to_work = pyproj.Transformer.from_crs(4326, WORK_CRS, always_xy=True)
    shape = shapely.transform(holed, lambda xy: np.rint(np.stack(to_work.transform(LON + xy[:, 0], LAT + xy[:, 1]), 1) * 1000))
    with opened(url) as db:
        desk = Desk(db)
        draft = desk.begin("改界", "李", utc_now())
        desk.add(draft.id, HandOver(layer="township", piece=rings_of(shapely.MultiPolygon([shape])), to="t1"), "李", utc_now())
        return draft.id


def test_a_draft_tells_what_blocks_it_and_only_warnings_are_accepted(run: Run, city: str, tmp_path: Path) -> None:
    url, moved = city, grounds(tmp_path / "moved.geojson", 0.002)
    draft = run("map", "import", "--db", url, "--territories", moved, "--draft", "东移", "--by", "李")["draft"]["draft"]
    clear = run("draft", "check", draft, "--db", url)
    assert clear["blocking"] == 0
    second = draft_of(url)
    told = run("draft", "check", second, "--db", url, status=1)
    errors = [f for f in told["findings"] if f["severity"] == "error"]
    assert errors
    assert all(f["blocking"] for f in errors)
    named = ("--db", url, "--by", "王", "--reason", "有意")
    assert run("draft", "accept", second, errors[0]["id"], *named, status=2)["error"] == "OnlyWarnings"
    assert run("draft", "accept", second, "gap-none", *named, status=2)["error"] == "NoSuchFinding"
    for lang, word in (("zh-CN", "阻碍发布"), ("en", "in the way of publishing")):
        assert word in run("draft", "check", second, "--db", url, "--lang", lang, status=1).replace("\n", " ")


def test_a_finding_is_entered_assigned_anew_and_ranked_by_the_cases_on_it(run: Run, faulty: str, tmp_path: Path) -> None:
    store = ("--db", faulty)
    (one,) = run("defects", "list", *store)
    assert (one["owner"], one["stands"], one["load"]) == ("李", True, None)
    key, since = one["key"], one["opened_at"]
    told = run("defects", "assign", key, *store, "--squad", "d", "--due", "2026-12-31", "--document", "5号文")
    assert (told["default_squad"], told["owner"], told["due"], told["document"]) == ("d", "李", "2026-12-30T16:00:00+00:00", "5号文")
    assert run("defects", "assign", key, *store, "--owner", "赵")["owner"] == "赵"
    assert run("defects", "assign", key, *store, "--squad", "nobody", status=2)["error"] == "NoSuchSquad"
    assert run("defects", "list", *store)[0]["opened_at"] == since
    lon, lat = [LON + 0.015] * 3 + [LON + 0.001], [LAT + SIDE + 0.0005] * 3 + [LAT + 0.001]
    pd.DataFrame({"lon": lon, "lat": lat}).to_csv(tmp_path / "cases.csv", index=False)
    assert run("defects", "list", *store, "--cases", tmp_path / "cases.csv")[0]["load"] == 3
    assert run("defects", "list", *store, "--cases", "db")[0]["load"] == 0
    assert run("defects", "close", key, *store, "--by", "赵", "--reason", "已改", status=2)["error"] == "DefectStands"
    for lang, words in (("zh-CN", ("仍在", "赵")), ("en", ("still", "赵"))):
        text = run("defects", "list", *store, "--lang", lang)
        assert all(word in text for word in words)


def test_a_finding_of_a_draft_is_entered_with_who_keeps_it_and_who_sees_to_it(run: Run, city: str) -> None:
    draft = draft_of(city)
    found: dict[str, Any] = next(
        f for f in run("draft", "check", draft, "--db", city, status=1)["findings"] if f["severity"] == "error"
    )
    enter = ("defects", "assign", found["id"], "--db", city)
    assert run(*enter, "--squad", "a", "--owner", "王", status=2)["error"] == "UnknownDefect", "the map in force has none such"
    assert run(*enter, "--draft", draft, "--squad", "a", status=2)["error"] == "NotAssigned"
    assert run(*enter, "--draft", draft, "--squad", "a", "--owner", "王")["default_squad"] == "a"
    after = run("draft", "check", draft, "--db", city)
    assert [(f["in_ledger"], f["blocking"]) for f in after["findings"] if f["id"] == found["id"]] == [(True, False)]
    (one,) = run("defects", "list", "--db", city)
    assert (one["key"], one["stands"]) == (found["id"], False)
    told = run("defects", "close", found["id"], "--db", city, "--by", "王", "--reason", "未曾发布")
    assert [c["by"] for c in told["closings"]] == ["王"]
    assert run("defects", "list", "--db", city) == []
    assert run("defects", "list", "--db", city, "--closed")[0]["closed_at"] is not None
    assert run(*enter[:3], "--db", city, "--owner", "赵", status=2)["error"] == "UnknownDefect"
