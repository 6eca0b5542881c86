"""The command line as a stranger meets it: small files of the four squares, near 113.6 E 34.8 N.

    c | d      each square 0.01 degrees (about 1 km); gap.geojson leaves a hole in the middle
    --+--
    a | b
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from api.cli import main

LON, LAT, SIDE = 113.60, 34.80, 0.01
SQUARES = {"a": (0, 0), "b": (1, 0), "c": (0, 1), "d": (1, 1)}

Run = Callable[..., tuple[int, str, str]]


def square(i: float, j: float, w: float = 1.0) -> list[list[list[float]]]:
    x, y, s = LON + i * SIDE, LAT + j * SIDE, w * SIDE
    return [[[x, y], [x + s, y], [x + s, y + s], [x, y + s], [x, y]]]


def feature(ring: Any, kind: str = "Polygon", **properties: Any) -> dict[str, Any]:
    geometry = None if ring is None else {"type": kind, "coordinates": ring}
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def geojson(path: Path, *features: dict[str, Any]) -> str:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))
    return str(path)


@pytest.fixture
def grounds(tmp_path: Path) -> str:
    return geojson(tmp_path / "grounds.geojson", *(feature(square(*at), id=k) for k, at in SQUARES.items()))


@pytest.fixture
def complaints(tmp_path: Path) -> str:
    path = tmp_path / "complaints.csv"
    rows = [
        ("1", LON + 0.005, LAT + 0.005, "x"),
        ("2", LON + 0.01001, LAT + 0.00512, "x"),
        ("3", LON + 0.5, LAT + 0.00512, "x"),
        ("4", "", "", "x"),
    ]
    pd.DataFrame(rows, columns=["nr", "lon", "lat", "text"]).to_csv(path, index=False)
    return str(path)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(w) for w in words])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return call


def test_every_row_gets_a_squad_and_keeps_its_place_and_its_text(run: Run, grounds: str, complaints: str, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    code, said, _ = run("route", complaints, "--territories", grounds, "--out", out, "--lang", "en", "--duty", "a")
    assert code == 0
    rows = pd.read_csv(out, dtype=str)
    assert list(rows.columns) == [
        "nr", "lon", "lat", "text", "squad", "assist", "step", "doubtful", "margin_m", "runner_up",
        "map_version", "rules_version", "location_error",
    ]  # fmt: skip
    assert rows.nr.tolist() == ["1", "2", "3", "4"]
    assert rows.squad.tolist() == ["a", "b", "a", "a"]
    assert rows.assist.fillna("").tolist() == ["", "a", "", ""]
    assert rows.step.tolist() == ["own_ground", "border", "on_duty", "on_duty"]
    assert rows.location_error.fillna("").tolist() == ["", "", "", "missing"]
    assert rows.margin_m.isna().tolist() == [False, False, False, True]
    assert "written" in said


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".geojson", ".gpkg"])
def test_every_format_says_the_same(run: Run, grounds: str, complaints: str, tmp_path: Path, suffix: str) -> None:
    import geopandas as gpd

    out = tmp_path / f"out{suffix}"
    assert run("route", complaints, "--territories", grounds, "--out", out)[0] == 0
    read = {".parquet": pd.read_parquet, ".csv": pd.read_csv}.get(suffix, gpd.read_file)
    assert read(out).squad.tolist()[:2] == ["a", "b"]


def test_a_compiled_map_gives_the_same_bytes(run: Run, grounds: str, complaints: str, tmp_path: Path) -> None:
    compiled, one, two = tmp_path / "city.map", tmp_path / "one.parquet", tmp_path / "two.parquet"
    assert run("compile", "--territories", grounds, "--out", compiled)[0] == 0
    assert run("verify", compiled)[0] == 0
    assert run("verify", compiled, "--territories", grounds)[0] == 0
    assert run("route", complaints, "--map", compiled, "--out", one, "--reasons")[0] == 0
    assert run("route", complaints, "--territories", grounds, "--out", two, "--reasons", "--workers", "2")[0] == 0
    assert pq.read_table(one).equals(pq.read_table(two))


def test_a_map_that_does_not_verify_is_not_routed_on(run: Run, grounds: str, complaints: str, tmp_path: Path) -> None:
    compiled, out = tmp_path / "city.map", tmp_path / "out.csv"
    run("compile", "--territories", grounds, "--out", compiled)
    data = bytearray(compiled.read_bytes())
    at = data.index(b'"squad":"b"') + 9
    data[at : at + 1] = b"a"
    compiled.write_bytes(data)
    code, _, said = run("route", complaints, "--map", compiled, "--out", out, "--lang", "en")
    assert (code, out.exists()) == (2, False)
    assert "city.map" in said.replace("\n", "")
    assert run("verify", compiled)[0] in (1, 2)


def test_verify_sees_a_source_that_is_not_the_maps(run: Run, grounds: str, tmp_path: Path) -> None:
    compiled = tmp_path / "city.map"
    run("compile", "--territories", grounds, "--out", compiled)
    moved = {**SQUARES, "b": (1, 0.0001)}
    other = geojson(tmp_path / "other.geojson", *(feature(square(*at), id=k) for k, at in moved.items()))
    code, said, _ = run("verify", compiled, "--territories", other, "--json")
    assert code == 1
    assert {f["check"] for f in json.loads(said)["findings"]} == {"faithful"}


def test_explain_tells_the_ladder_and_the_counterfactual(run: Run, grounds: str) -> None:
    point = f"{LON + 0.0099},{LAT + 0.004}"
    code, said, _ = run("explain", "--at-point", point, "--territories", grounds, "--lang", "en")
    assert code == 0
    assert "a is responsible" in said
    assert "9.1" in said
    assert "east it would be b" in said
    code, said, _ = run("explain", "--at-point", point, "--territories", grounds, "--json")
    answer = json.loads(said)
    assert (answer["squad"], answer["runner_up"], answer["step"]) == ("a", "b", "border")
    assert [r["step"] for r in answer["reasons"]][-1] == "border"


def test_the_ladder_is_printed_from_the_code_in_both_languages(run: Run) -> None:
    assert "值班兜底" in run("ladder", "--lang", "zh-CN")[1]
    steps = json.loads(run("ladder", "--lang", "en", "--json")[1])
    assert [s["number"] for s in steps] == list(range(1, 12))


def test_times_choose_the_map_and_a_missing_time_is_named(run: Run, tmp_path: Path) -> None:
    layer = geojson(
        tmp_path / "two.geojson",
        feature(square(0, 0), id="old", until="2013-07-01"),
        feature(square(0, 0), id="new", since="2013-07-01"),
    )
    path, out = tmp_path / "c.csv", tmp_path / "out.csv"
    times = ["2013-06-30T23:59:59+08:00", "2013-07-01", "", "soon"]
    pd.DataFrame({"lon": LON + 0.00512, "lat": LAT + 0.00512, "t": times}).to_csv(path, index=False)
    assert run("route", path, "--territories", layer, "--at-field", "t", "--out", out, "--duty", "new")[0] == 0
    rows = pd.read_csv(out, dtype=str, keep_default_na=False)
    assert rows.squad.tolist() == ["old", "new", "new", "new"]
    assert rows.location_error.tolist() == ["", "", "bad_time", "bad_time"]
    assert rows.step.tolist() == ["own_ground", "own_ground", "on_duty", "on_duty"]
    assert run("route", path, "--territories", layer, "--at", "2012-01-01", "--out", out)[0] == 0
    assert set(pd.read_csv(out).squad) == {"old"}


def test_all_the_tables_of_a_bureau(run: Run, grounds: str, tmp_path: Path) -> None:
    squads = tmp_path / "squads.csv"
    squads.write_text("code,name,kind,duty\na,甲,territorial,\nb,乙,territorial,\nc,丙,territorial,\nd,丁,territorial,\n"
                      "s,渣土,direct,\ng,燃气,external,\nz,值班,territorial,true\n")  # fmt: skip
    direct = tmp_path / "direct.csv"
    direct.write_text("category,squad,document\nGB30428:0302,s,文1\nGB30428:0403,g,文2\n")
    agreements = tmp_path / "agreements.csv"
    agreements.write_text("parties,rule,lead,categories,document\na|b,by_category,b,GB30428:0501,协议1\n")
    orders = geojson(
        tmp_path / "orders.geojson",
        feature(square(0.2, 0.2, 0.2), id="o1", squad="d", categories="", document="令1"),
        feature(None, id="o2", squad="c", case="K9", categories="", document="令2"),
    )
    rail = geojson(tmp_path / "rail.geojson", feature(square(0.6, 0.6, 0.1), authority="rail", name="line"))
    path, out = tmp_path / "c.csv", tmp_path / "out.csv"
    places = [(0.99, 0.5, "GB30428:0501", "K1"), (0.99, 0.5, "GB30428:0102", "K2"), (0.5, 0.5, "GB30428:0302", "K3"),
              (0.5, 0.5, "GB30428:0403", "K4"), (0.3, 0.3, "", "K5"), (0.65, 0.65, "", "K6"), (0.5, 0.5, "", "K9"),
              (0.5, 0.5, "0302", "K7")]  # fmt: skip
    rows = [(LON + i * SIDE + 1e-6, LAT + j * SIDE + 1e-6, c, k) for i, j, c, k in places]
    pd.DataFrame(rows, columns=["lon", "lat", "cat", "case"]).to_csv(path, index=False)
    code, _, said = run(
        "route", path, "--territories", grounds, "--squads", squads, "--direct", direct, "--agreements", agreements,
        "--designations", orders, "--not-served", rail, "--category-field", "cat", "--out", out, "--lang", "en",
    )  # fmt: skip
    assert code == 0
    got = pd.read_csv(out, dtype=str, keep_default_na=False)
    assert got.squad.tolist() == ["b", "a", "s", "z", "d", "z", "c", "a"]
    assert got.step.tolist() == [
        "agreed", "border", "direct", "direct", "designated", "not_served", "case_order", "own_ground",
    ]  # fmt: skip
    assert got.assist.tolist()[:2] == ["a", "b"]
    assert "GB30428:0302" in said  # a category without its scheme is told, not silently any other


def bad(tmp_path: Path, name: str, text: str) -> str:
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def case_missing_column(tmp: Path) -> tuple[list[str], list[str]]:
    return ["--lon", "lng"], ["lng", "--lon"]


def case_unknown_datum(tmp: Path) -> tuple[list[str], list[str]]:
    return ["--datum", "mars"], ["mars", "gcj02"]


def case_squad_twice(tmp: Path) -> tuple[list[str], list[str]]:
    return ["--squads", bad(tmp, "s.csv", "code,name\na,1\nb,1\nc,1\nd,1\na,2\n")], ["a"]


def case_two_on_duty(tmp: Path) -> tuple[list[str], list[str]]:
    return ["--squads", bad(tmp, "s.csv", "code,duty\na,true\nb,true\nc,\nd,\n")], ["duty"]


def case_period(tmp: Path) -> tuple[list[str], list[str]]:
    file = bad(tmp, "a.csv", "parties,rule,lead,since,until\na|b,whole,a,2024-05-01,2024-04-01\n")
    return ["--agreements", file], ["2024-05-01", "2024-04-01"]


def case_strangers(tmp: Path) -> tuple[list[str], list[str]]:
    grounds = geojson(tmp / "far.geojson", feature(square(0, 0), id="a"), feature(square(5, 0), id="b"))
    file = bad(tmp, "a.csv", "parties,rule,lead\na|b,whole,a\n")
    return ["--territories", grounds, "--agreements", file], ["a", "b"]


def case_unknown_category(tmp: Path) -> tuple[list[str], list[str]]:
    file = bad(tmp, "d.csv", "category,squad\nGB30428:0577,s\n")
    squads = bad(tmp, "s.csv", "code,kind\na,\nb,\nc,\nd,\ns,direct\n")
    return ["--direct", file, "--squads", squads], ["GB30428:0577"]


def case_unreadable(tmp: Path) -> tuple[list[str], list[str]]:
    return ["--extent", bad(tmp, "e.gpkg", "this is no GeoPackage")], ["e.gpkg"]


def case_empty(tmp: Path) -> tuple[list[str], list[str]]:
    return ["--squads", bad(tmp, "s.csv", "")], ["s.csv"]


def case_driver_in_disguise(tmp: Path) -> tuple[list[str], list[str]]:
    return ["--extent", bad(tmp, "e.geojson", "<OGRVRTDataSource></OGRVRTDataSource>")], ["e.geojson"]


def case_zip_bomb(tmp: Path) -> tuple[list[str], list[str]]:
    path = tmp / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for suffix in ("shp", "shx", "dbf"):
            archive.writestr(f"a.{suffix}", bytes(200_000_000))
    return ["--extent", str(path)], ["bomb.zip"]


def case_named_crs_without_metres(tmp: Path) -> tuple[list[str], list[str]]:
    return ["--work-crs", "EPSG:4326"], ["EPSG:4326", "--work-crs"]


def case_bad_time(tmp: Path) -> tuple[list[str], list[str]]:
    return ["--at", "soon"], ["--at", "soon"]


def case_bad_zone(tmp: Path) -> tuple[list[str], list[str]]:
    return ["--timezone", "Mars/Olympus"], ["Mars/Olympus"]


CASES = [f for n, f in sorted(globals().items()) if n.startswith("case_")]


@pytest.mark.parametrize("case", CASES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("lang", ["zh-CN", "en"])
def test_bad_input_is_named_and_nothing_is_written(
    run: Run, grounds: str, complaints: str, tmp_path: Path, case: Any, lang: str
) -> None:
    options, named = case(tmp_path)
    out = tmp_path / "out.csv"
    words = ["route", complaints, "--territories", grounds, "--out", out, "--lang", lang, *options]
    code, _, said = run(*words)
    told = said.replace("\n", "").replace(" ", "")
    assert code == 2, said
    assert not out.exists()
    assert not list(tmp_path.glob(".jieguan*"))
    for word in named:
        assert word.replace(" ", "") in told
    assert ("错误" in told) == (lang == "zh-CN")


def test_an_error_is_json_for_machines(run: Run, grounds: str, complaints: str, tmp_path: Path) -> None:
    code, said, _ = run("route", complaints, "--territories", grounds, "--out", tmp_path / "o.csv", "--lon", "lng", "--json")
    assert code == 2
    assert json.loads(said)["facts"]["column"] == "lng"


def test_swapped_axes_are_refused_with_the_way_out(run: Run, grounds: str, tmp_path: Path) -> None:
    path, out = tmp_path / "c.csv", tmp_path / "o.csv"
    pd.DataFrame({"lon": [LAT + 0.00512] * 5, "lat": [LON + 0.00512] * 5}).to_csv(path, index=False)
    code, _, said = run("route", path, "--territories", grounds, "--out", out, "--lang", "en")
    assert (code, out.exists()) == (2, False)
    assert "--lon lat --lat lon" in said.replace("\n", " ")
    assert run("route", path, "--territories", grounds, "--out", out, "--lon", "lat", "--lat", "lon")[0] == 0


def test_whole_degrees_are_kept_widened_and_marked(run: Run, tmp_path: Path) -> None:
    grounds = geojson(tmp_path / "g.geojson", feature([[[113, 34], [115, 34], [115, 36], [113, 36], [113, 34]]], id="a"))
    path, out = tmp_path / "c.csv", tmp_path / "o.csv"
    pd.DataFrame({"lon": ["114", "114.00001"], "lat": ["35", "35.00001"]}).to_csv(path, index=False)
    assert run("route", path, "--territories", grounds, "--out", out)[0] == 0
    rows = pd.read_csv(out, dtype=str, keep_default_na=False)
    assert rows.squad.tolist() == ["a", "a"]
    assert rows.location_error.tolist() == ["widened", ""]


def test_a_name_clash_is_refused_and_a_prefix_resolves_it(run: Run, grounds: str, tmp_path: Path) -> None:
    path, out = tmp_path / "c.csv", tmp_path / "o.csv"
    pd.DataFrame({"lon": [LON + 0.00512], "lat": [LAT + 0.00512], "squad": ["?"]}).to_csv(path, index=False)
    code, _, said = run("route", path, "--territories", grounds, "--out", out, "--lang", "en")
    assert (code, out.exists()) == (2, False)
    assert "--prefix" in said
    assert run("route", path, "--territories", grounds, "--out", out, "--prefix", "j_")[0] == 0
    assert pd.read_csv(out)[["squad", "j_squad"]].iloc[0].tolist() == ["?", "a"]


def test_lines_in_a_file_go_by_their_greater_share(run: Run, grounds: str, tmp_path: Path) -> None:
    x, y = LON + 0.005, LAT + 0.005
    road = [[x, y], [x + 0.008, y]]
    path = geojson(tmp_path / "c.geojson", feature(road, "LineString", n=1), feature([x, y], "Point", n=2))
    out = tmp_path / "o.geojson"
    assert run("route", path, "--territories", grounds, "--out", out)[0] == 0
    got = [f["properties"] for f in json.loads(out.read_text())["features"]]
    assert [(g["squad"], g["assist"]) for g in got] == [("a", "b"), ("a", "")]  # 457 m in a, 274 m in b


def test_check_finds_an_overlap_and_a_gap_and_proposes_a_repair_beside_the_input(run: Run, tmp_path: Path) -> None:
    layer = geojson(
        tmp_path / "g.geojson",
        feature(square(0, 0), id="a"),
        feature(square(0.9999, 0), id="b"),
        feature(square(0, 1), id="c"),
    )
    before = Path(layer).read_bytes()
    code, said, _ = run("check", layer, "--json")
    codes = [i["code"] for i in json.loads(said)["issues"] if i["severity"] != "note"]
    assert (code, codes) == (1, ["overlap"])
    out = tmp_path / "proposed.geojson"
    code, said, _ = run("check", layer, "--propose", out, "--propose-width", "2", "--lang", "en")
    assert code == 1
    assert "left to people" in said.replace("\n", " ")
    assert Path(layer).read_bytes() == before
    code, said, _ = run("check", out, "--json")
    assert [i["code"] for i in json.loads(said)["issues"] if i["severity"] == "error"] == []


def test_a_sound_layer_has_no_findings_and_status_zero(run: Run, grounds: str) -> None:
    code, said, _ = run("check", grounds, "--lang", "en")
    assert (code, "No issues" in said) == (0, True)


def test_features_of_different_times_do_not_overlap(run: Run, tmp_path: Path) -> None:
    layer = geojson(
        tmp_path / "two.geojson",
        feature(square(0, 0), id="old", until="2013-07-01"),
        feature(square(0, 0), id="new", since="2013-07-01"),
    )
    code, said, _ = run("check", layer, "--json")
    assert (code, json.loads(said)["features"]) == (0, 1)
    code, said, _ = run("check", layer, "--json", "--at", "2013-06-30")
    assert (code, json.loads(said)["features"]) == (0, 1)


def test_check_names_a_datum_mistake(run: Run, data_dir: Path) -> None:
    """Line 5: WGS-84 places declared GCJ-02, on the GCJ-02 layer."""
    layer = f"{data_dir}/zhengzhou/polygons.gpkg::district_datav_gcj02"
    points = ["--points", f"{data_dir}/zhengzhou/points_poi.parquet", "--recorded", "rec_district_code"]
    options = ["--territories-datum", "gcj02", "--datum", "gcj02", "--json"]
    code, said, _ = run("check", layer, *points, *options, "--lon", "wgs_lon", "--lat", "wgs_lat")
    (issue,) = (i for i in json.loads(said)["issues"] if i["code"] == "datum_suspicion")
    assert code == 1
    assert "WGS-84" in issue["text"]
    code, said, _ = run("check", layer, *points, *options, "--lon", "gcj_lon", "--lat", "gcj_lat")
    assert "datum_suspicion" not in said


def test_places_and_their_twins_in_the_other_datum_get_the_same_squad(run: Run, data_dir: Path, tmp_path: Path) -> None:
    """Line 5: GCJ-02 points and their WGS-84 twins on one GCJ-02 layer."""
    layer = ["--territories", f"{data_dir}/zhengzhou/polygons.gpkg::district_datav_gcj02", "--territories-datum", "gcj02"]
    points = f"{data_dir}/zhengzhou/points_poi.parquet"
    found = {}
    for name, datum in (("gcj", "gcj02"), ("wgs", "wgs84")):
        out = tmp_path / f"{name}.parquet"
        columns = ["--lon", f"{name}_lon", "--lat", f"{name}_lat", "--datum", datum]
        assert run("route", points, *layer, *columns, "--out", out)[0] == 0
        found[name] = pd.read_parquet(out)
    differ = found["gcj"].squad != found["wgs"].squad
    print(f"\n{len(differ):,} places, {int(differ.sum())} differ:", found["gcj"].margin_m[differ].tolist())
    assert (found["gcj"].margin_m[differ] <= 1.0).all()
