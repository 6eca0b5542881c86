"""The bureau's tables as claims: what they mean, and what is refused."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import assume, given
from hypothesis import strategies as st
from shapely import LineString, MultiPolygon, Point, box

from geodata import categories, claims, orders, roster, rows, sources
from geodata.files import NoSuchColumn, Table, read_layer, read_table
from geodata.intake import NOTES, Note
from routing.errors import JieguanError
from routing.model import ALWAYS, AgreementRule, Cycle, EmptyPeriod, Period, SquadCode, SquadKind

CHINA = ZoneInfo("Asia/Shanghai")
NEW_YORK = ZoneInfo("America/New_York")
WEST, EAST, ISLAND = box(0, 0, 1, 1), box(1, 0, 2, 1), box(5, 5, 6, 6)


def refuses(error: type[JieguanError], read: Callable[[], object], *words: str) -> JieguanError:
    with pytest.raises(error) as caught:
        read()
    for lang in ("zh-CN", "en"):
        assert all(word in caught.value.text(lang) for word in words), caught.value.text(lang)
    return caught.value


@pytest.fixture
def listing(tmp_path: Path) -> Callable[..., Table]:
    """A CSV from its lines."""

    def make(*lines: str) -> Table:
        path = tmp_path / "list.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return read_table(path)

    return make


@pytest.fixture
def drawing(tmp_path: Path) -> Callable[..., Table]:
    """A GeoJSON from (geometry, properties)."""

    def make(*rows: tuple[shapely.Geometry | None, dict[str, object]]) -> Table:
        features = [
            {"type": "Feature", "properties": p, "geometry": None if g is None else shapely.geometry.mapping(g)}
            for g, p in rows
        ]
        path = tmp_path / "drawing.geojson"
        path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
        return read_table(path)

    return make


Make = Callable[..., Table]


def codes(notes: tuple[Note, ...]) -> list[str]:
    """Codes of the notes, each of which can be said in both languages."""
    assert all(note.text("zh-CN") and note.text("en") for note in notes)
    return [note.code for note in notes if note.code != "encoding"]


# ---- territories -----------------------------------------------------------------------------------------------------


def test_territories_carry_priority_accuracy_period_and_their_rows(drawing: Make) -> None:
    table = drawing(
        (EAST, {"id": "B", "priority": 2, "accuracy_m": 1.5, "since": "2024-05-01", "document": "郑城管〔2024〕1号"}),
        (WEST, {"id": "A"}),
    )
    found = sources.territories(table, CHINA)
    a, b = found.claims
    assert (a.squad, a.priority, a.accuracy_m, a.period) == ("A", 0, None, ALWAYS)
    assert (b.squad, b.priority, b.accuracy_m, b.document) == ("B", 2, 1.5, "郑城管〔2024〕1号")
    assert b.period == Period(datetime(2024, 5, 1, tzinfo=CHINA), None)
    assert [claim.id for claim in found.claims] == [
        "territory:A",
        "territory:B@2024-05-01T00:00:00+08:00/..;priority=2;accuracy_m=1.5",
    ]
    assert found.rows == ((2,), (1,))
    assert shapely.equals_identical(found.geometry, [WEST, EAST]).all()
    assert found.origin.sha256 == table.sha256
    assert found.origin.crs is not None


def test_several_features_of_one_squad_are_one_ground_and_noted(drawing: Make) -> None:
    two = MultiPolygon([EAST, box(9, 9, 10, 10)])
    found = sources.territories(drawing((ISLAND, {"id": 7}), (WEST, {"id": 8}), (two, {"id": 7.0})), CHINA)
    assert [claim.squad for claim in found.claims] == ["7", "8"]
    assert found.rows == ((1, 3), (2,))
    assert shapely.get_num_geometries(found.geometry[0]) == 3
    assert found.geometry[0].equals(shapely.union_all([ISLAND, two]))
    assert codes(found.notes) == ["several_features"]
    assert "7" in found.notes[-1].text("zh-CN")


@given(st.permutations(range(5)))
def test_the_order_of_rows_changes_nothing_but_the_row_numbers(order: list[int]) -> None:
    squads = ["B", "A", "B", "C", "A"]
    path = Path(__file__)
    shapes = np.array([box(i, 0, i + 1, 1) for i in range(5)], dtype=object)

    def table(order: list[int]) -> Table:
        columns = pa.table({"id": [squads[i] for i in order]})
        return Table(str(path), "x", read_format, "0", columns, shapes[order], "geometry", 1, None, ())

    from geodata.intake import Format

    read_format = Format.GEOJSON
    plain, mixed = (sources.territories(table(o), CHINA) for o in (list(range(5)), order))
    assert plain.claims == mixed.claims
    assert shapely.equals_identical(plain.geometry, mixed.geometry).all()


def test_the_field_of_the_squad_is_the_one_named_or_a_known_one(drawing: Make) -> None:
    table = drawing((WEST, {"id": "x", "squad": "A", "防区": "B"}))
    assert sources.territories(table, CHINA).claims[0].squad == "A"
    assert sources.territories(table, CHINA, squad_field="防区").claims[0].squad == "B"
    refuses(NoSuchColumn, lambda: sources.territories(table, CHINA, squad_field="beat"), "beat", "id, squad, 防区")
    refuses(NoSuchColumn, lambda: sources.territories(table, CHINA, since_field="from"), "from")


@pytest.mark.parametrize(
    ("geometry", "properties", "error", "words"),
    [
        (WEST, {"id": None}, rows.MissingValue, ("id",)),
        (WEST, {"id": "A|B"}, rows.UnusableCode, ("A|B", "|")),
        (WEST, {"id": "=HYPERLINK(1)"}, rows.UnusableCode, ("=",)),
        (WEST, {"id": "@x"}, rows.UnusableCode, ("@",)),
        (WEST, {"id": "A", "priority": 1.5}, rows.BadNumber, ("priority", "1.5")),
        (WEST, {"id": "A", "accuracy_m": -1}, rows.BadNumber, ("accuracy_m", "-1")),
        (WEST, {"id": "A", "accuracy_m": "nan"}, rows.BadNumber, ("accuracy_m", "nan")),
        (WEST, {"id": "A", "accuracy_m": "1_0"}, rows.BadNumber, ("accuracy_m", "1_0")),
        (WEST, {"id": "A", "since": "2024/5/1"}, rows.BadInstant, ("since", "2024/5/1")),
        (WEST, {"id": "A", "until": "soon"}, rows.BadInstant, ("until", "soon")),
        (WEST, {"id": "A", "since": "2024-05-01", "until": "2024-04-01"}, EmptyPeriod, ("2024-04-01",)),
        (WEST, {"id": "A", "since": "2024-05-01", "until": "2024-05-01"}, EmptyPeriod, ("2024-05-01",)),
        (None, {"id": "A"}, claims.NoGround, ()),
        (shapely.Polygon(), {"id": "A"}, claims.NoGround, ()),
        (LineString([(0, 0), (1, 1)]), {"id": "A"}, claims.WrongGround, ("LineString",)),
    ],
)
def test_a_bad_row_is_named(
    drawing: Make, geometry: object, properties: dict[str, object], error: type[JieguanError], words: tuple[str, ...]
) -> None:
    table = drawing((EAST, {"id": "Z"}), (geometry, properties))
    refuses(error, lambda: sources.territories(table, CHINA), "drawing.geojson", "2", *words)


def test_one_ground_with_two_documents_is_not_one_ground(drawing: Make) -> None:
    table = drawing((WEST, {"id": "A", "document": "1"}), (EAST, {"id": "A", "document": "2"}))
    refuses(claims.ClaimTwice, lambda: sources.territories(table, CHINA), "A", "2")
    refuses(claims.NoClaims, lambda: sources.territories(drawing(), CHINA), "drawing.geojson")


def test_a_squad_that_is_not_in_the_squads_file_or_has_no_ground(drawing: Make, listing: Make) -> None:
    known = sources.squads(listing("code,kind", "HJ-01,territorial", "ENV,direct"))
    table = drawing((WEST, {"id": "HJ-1"}))
    refuses(rows.UnknownSquad, lambda: sources.territories(table, CHINA, roster=known), "HJ-1", "HJ-01")
    table = drawing((WEST, {"id": "ENV"}))
    refuses(sources.DirectHasGround, lambda: sources.territories(table, CHINA, roster=known), "ENV", "direct")


# ---- instants --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2013-07-01", "2013-07-01T00:00:00-04:00"),
        ("2013-07-01 08:30", "2013-07-01T08:30:00-04:00"),
        ("2013-07-01T08:30:00Z", "2013-07-01T04:30:00-04:00"),
        ("20130701", "2013-07-01T00:00:00-04:00"),
    ],
)
def test_an_instant_without_an_offset_is_read_in_the_zone_given(text: str, expected: str) -> None:
    found = rows.Row("f", 1, {"at": text}).instant("at", NEW_YORK)
    assert found is not None
    assert found.isoformat() == expected


@pytest.mark.parametrize("text", ["2013-11-03T01:30", "2013-03-10T02:30"])
def test_a_local_time_that_was_twice_or_never_is_refused(text: str) -> None:
    refuses(
        rows.UnclearInstant, lambda: rows.Row("f", 1, {"at": text}).instant("at", NEW_YORK), text, "America/New_York"
    )
    assert rows.Row("f", 1, {"at": text + "-05:00"}).instant("at", NEW_YORK) is not None


def test_dates_and_instants_of_typed_columns(tmp_path: Path) -> None:
    day, moment = datetime(2024, 5, 1, tzinfo=CHINA), datetime(2024, 6, 1, 9, tzinfo=CHINA)
    columns = {
        "category": ["GB30428:0501"],
        "squad": ["A"],
        "since": pa.array([day.date()]),
        "until": pa.array([moment], pa.timestamp("us", "UTC")),
    }
    pq.write_table(pa.table(columns), tmp_path / "d.parquet")
    (claim,) = sources.direct(read_table(tmp_path / "d.parquet"), CHINA).claims
    assert claim.period == Period(day, moment)


DAYS = st.one_of(st.none(), st.integers(1, 6))


def period(since: int | None, until: int | None) -> Period:
    ends = (None if day is None else datetime(2024, 1, day, tzinfo=CHINA) for day in (since, until))
    return Period(*ends)


@given(DAYS, DAYS, DAYS, DAYS)
def test_periods_overlap_if_they_share_a_day(a: int | None, b: int | None, c: int | None, d: int | None) -> None:
    assume(all(until is None or since is None or since < until for since, until in ((a, b), (c, d))))
    first, second = period(a, b), period(c, d)
    days = [datetime(2024, 1, 1, tzinfo=CHINA) + timedelta(days=day) for day in range(-1, 8)]
    assert claims.overlap(first, second) == any(day in first and day in second for day in days)


# ---- townships, not served -------------------------------------------------------------------------------------------


def test_who_is_posted_comes_from_the_layer_or_from_the_squads_file(drawing: Make, listing: Make) -> None:
    known = sources.squads(listing("code,township", "A,410108001", "B,"))
    table = drawing((WEST, {"code": 410108001}), (EAST, {"code": "410108002", "squad": "B"}))
    assert [claim.squad for claim in sources.townships(table, CHINA, roster=known).claims] == ["A", "B"]
    assert [claim.squad for claim in sources.townships(table, CHINA).claims] == [None, "B"]
    table = drawing((WEST, {"code": "410108001", "squad": "B"}))
    refuses(sources.TwoPosted, lambda: sources.townships(table, CHINA, roster=known), "410108001", "A", "B")
    table = drawing((EAST, {"code": "410108002"}))
    refuses(sources.UnknownTownship, lambda: sources.townships(table, CHINA, roster=known), "410108001", "410108002")
    both = sources.squads(listing("code,township", "A,1", "B,1"))
    refuses(sources.TwoPosted, lambda: sources.townships(drawing((WEST, {"code": "1"})), CHINA, roster=both), "A", "B")


def test_a_layer_without_features_holds_no_claims(drawing: Make) -> None:
    assert len(sources.designations(drawing(), CHINA)) == len(sources.townships(drawing(), CHINA)) == 0


def test_not_served_ground_names_its_authority(drawing: Make) -> None:
    table = drawing((WEST, {"authority": "铁路", "name": "京广线"}), (EAST, {"authority": "铁路", "name": "京广线"}))
    found = sources.not_served(table, CHINA, datum="gcj02")
    assert [claim.id for claim in found.claims] == ["not_served:铁路/京广线"]
    assert found.origin.datum == "gcj02"
    refuses(rows.MissingValue, lambda: sources.not_served(drawing((WEST, {"authority": ""})), CHINA), "authority")


# ---- squads ----------------------------------------------------------------------------------------------------------


def test_the_squads_file(listing: Make) -> None:
    found = sources.squads(
        listing(
            "code,name,kind,duty,township,phone,lon,lat",
            "B,二中队,territorial,是,410108002,0371-1,113.6,34.8",
            " A ,一中队,,,,,,",
            "W,水务,external,no,,,,",
        )
    )
    a, b, w = found.squads
    assert (a.code, a.kind, a.duty, a.township, a.office) == ("A", SquadKind.TERRITORIAL, False, None, None)
    assert (b.duty, b.township, b.office, b.phone) == (True, "410108002", (113.6, 34.8), "0371-1")
    assert w.kind is SquadKind.EXTERNAL
    assert found.duty == "B"
    assert found.rows == {"A": 2, "B": 1, "W": 3}
    assert codes(found.notes) == ["trimmed"]


@pytest.mark.parametrize(
    ("lines", "error", "words"),
    [
        (("code,name", "A,x", "B,y", "A,z"), roster.SquadTwice, ("A", "3", "1")),
        (("code,duty", "A,1", "B,true"), roster.TwoOnDuty, ("A", "B", "1", "2")),
        (("code,kind", "A,special"), rows.UnknownWord, ("kind", "special", "territorial, direct, external")),
        (("code,duty", "A,maybe"), rows.UnknownWord, ("duty", "maybe")),
        (("code,name", ",x"), rows.MissingValue, ("code",)),
        (("name,kind", "x,direct"), NoSuchColumn, ("code", "name, kind")),
        (("code,lon,lat", "A,east,1"), rows.BadNumber, ("lon", "east")),
        (("code,name",), claims.NoClaims, ()),
    ],
)
def test_a_bad_squads_file(
    listing: Make, lines: tuple[str, ...], error: type[JieguanError], words: tuple[str, ...]
) -> None:
    refuses(error, lambda: sources.squads(listing(*lines)), "list.csv", *words)


def test_exactly_one_squad_is_on_duty_and_a_default_says_so(drawing: Make, listing: Make) -> None:
    grounds = sources.territories(drawing((WEST, {"id": "B"}), (EAST, {"id": "A"})), CHINA)
    assumed = sources.muster(None, grounds)
    assert [(squad.code, squad.duty) for squad in assumed.squads] == [("A", False), ("B", False), ("duty", True)]
    assert codes(assumed.notes) == ["default_duty"]
    named = sources.muster(None, grounds, duty="B")
    assert (named.duty, codes(named.notes)) == ("B", [])
    assert sources.muster(None, grounds, duty="DESK").duty == "DESK"
    listed = sources.squads(listing("code,kind,duty", "0,direct,", "A,territorial,", "B,territorial,1"))
    assert sources.muster(listed, grounds).duty == "B"
    assert sources.muster(listed, grounds, duty="A").duty == "A"
    refuses(rows.UnknownSquad, lambda: sources.muster(listed, grounds, duty="C"), "--duty", "C")
    nobody = sources.squads(listing("code,kind", "0,direct", "A,territorial"))
    assert sources.muster(nobody, grounds).duty == "duty"


# ---- direct ----------------------------------------------------------------------------------------------------------


def test_direct_categories(listing: Make, drawing: Make) -> None:
    table = listing(
        "category,squad,since,until,document", "GB30428:0510,ENV,2024-01-01,,〔2024〕2", "NYC311:Noise,ENV,,,"
    )
    found = sources.direct(table, CHINA)
    assert [claim.category for claim in found.claims] == ["GB30428:0510", "NYC311:Noise"]
    assert [claim.squad for claim in found.claims] == ["ENV", "ENV"]
    assert codes(found.notes) == ["unchecked_scheme"]
    grounds = sources.territories(drawing((WEST, {"id": "A"})), CHINA)
    kinds = {squad.code: squad.kind for squad in sources.muster(None, grounds, found, "A").squads}
    assert kinds == {"A": SquadKind.TERRITORIAL, "ENV": SquadKind.DIRECT}


@pytest.mark.parametrize(
    ("line", "error", "words"),
    [
        ("0501,ENV,,", categories.CategoryWithoutScheme, ("0501", "GB30428:0501", "无照经营游商")),
        ("店外经营,ENV,,", categories.CategoryWithoutScheme, ("GB30428:0504",)),
        ("GB30428:0515,ENV,,", categories.UnknownCategory, ("GB30428:0515", "GB30428:0513", "空调室外机低挂")),
        ("GB30428:501,ENV,,", categories.UnknownCategory, ("GB30428:0501",)),
        (",ENV,,", rows.MissingValue, ("category",)),
        ("GB30428:0501,,,", rows.MissingValue, ("squad",)),
        ("GB30428:0501,NOBODY,,", rows.UnknownSquad, ("NOBODY",)),
        ("GB30428:0501,A,,", roster.NotDirect, ("GB30428:0501", "A", "territorial")),
        ("GB30428:0510,ENV,2024-06-01,", roster.CategoryTwice, ("GB30428:0510", "1", "2")),
        ("GB30428:0510,ENV,,2024-01-01", None, ()),
        ("GB30428:2101,ENV,,", None, ()),
    ],
)
def test_a_bad_direct_row(listing: Make, line: str, error: type[JieguanError] | None, words: tuple[str, ...]) -> None:
    known = sources.squads(listing("code,kind", "ENV,direct", "WATER,external", "A,territorial"))
    table = listing("category,squad,since,until", "GB30428:0510,WATER,2024-01-01,", line)
    if error is None:
        assert len(sources.direct(table, CHINA, roster=known)) == 2
    else:
        refuses(error, lambda: sources.direct(table, CHINA, roster=known), "list.csv", "2", *words)


def test_a_direct_category_of_a_squad_with_ground_needs_no_squads_file_to_be_refused(
    listing: Make, drawing: Make
) -> None:
    grounds = sources.territories(drawing((WEST, {"id": "A"})), CHINA)
    found = sources.direct(listing("category,squad", "GB30428:0501,A"), CHINA)
    refuses(roster.NotDirect, lambda: sources.muster(None, grounds, found), "A", "1")


def test_the_table_of_categories_is_whole() -> None:
    table = categories.names()
    assert len(table) == 54
    assert table[categories.Category("GB30428:0504")] == ("店外经营", "trading outside the shop")
    assert all(categories.FORM.fullmatch(code) and zh and en.isascii() for code, (zh, en) in table.items())


# ---- agreements ------------------------------------------------------------------------------------------------------

KNOWN = {SquadCode("A"), SquadCode("B"), SquadCode("C")}
HEAD = "parties,rule,lead,categories,period,since,until,document"


def test_agreements(listing: Make) -> None:
    found = sources.agreements(
        listing(
            HEAD,
            "B|A,whole,B,,,2024-01-01,2025-01-01,〔2024〕3",
            "A|C,by_category,C,GB30428:0501 | GB30428:0504,,,,",
            "B|C,alternate,B,,week,,,",
            "C|B,alternate,C,,,,,",
            "A|B,first_finder,,,,,,",
        ),
        CHINA,
        known=KNOWN,
    )
    by_row = {row: claim for claim, (row,) in zip(found.claims, found.rows, strict=True)}
    assert (by_row[1].parties, by_row[1].lead, by_row[1].document) == (("A", "B"), "B", "〔2024〕3")
    assert by_row[2].categories == {"GB30428:0501", "GB30428:0504"}
    assert (by_row[3].cycle, by_row[4].cycle) == (Cycle.WEEK, Cycle.MONTH)
    assert (by_row[5].rule, by_row[5].lead) == (AgreementRule.FIRST_FINDER, None)
    assert codes(found.notes) == ["default_cycle"]
    assert all(ground is None for ground in found.geometry)
    assert np.isnan(found.buffer_m).all()


def test_the_id_of_an_agreement_is_of_its_row_alone(listing: Make) -> None:
    lines = [f"A|B,whole,A,,,,,{number}" for number in range(5)]
    whole = sources.agreements(listing(HEAD, *lines), CHINA)
    random.Random(1).shuffle(lines)
    mixed = sources.agreements(listing(HEAD, *lines[:4]), CHINA)
    assert {claim.id for claim in mixed.claims} < {claim.id for claim in whole.claims}
    assert len({claim.id for claim in whole.claims}) == 5
    refuses(claims.ClaimTwice, lambda: sources.agreements(listing(HEAD, lines[0], lines[0]), CHINA), "2", "1")
    own = sources.agreements(listing("id,parties,rule,lead", "X1,A|B,whole,A"), CHINA)
    assert own.claims[0].id == "agreement:X1"


def test_an_agreement_on_a_polygon_or_along_a_line(drawing: Make) -> None:
    line = LineString([(1, 0), (1, 1)])
    facts = {"parties": ["A", "B"], "rule": "whole", "lead": "A"}
    found = sources.agreements(drawing((line, {**facts, "width_m": 30}), (WEST, {**facts, "width_m": None})), CHINA)
    ground = {
        row: (shape, half) for (row,), shape, half in zip(found.rows, found.geometry, found.buffer_m, strict=True)
    }
    assert ground[1] == (line, 15.0)
    assert ground[2][0] == WEST
    assert np.isnan(ground[2][1])
    refuses(rows.MissingValue, lambda: sources.agreements(drawing((line, facts)), CHINA), "width_m")
    refuses(
        claims.ReachMismatch, lambda: sources.agreements(drawing((WEST, {**facts, "width_m": 3})), CHINA), "width_m"
    )
    refuses(claims.WrongGround, lambda: sources.agreements(drawing((Point(1, 1), facts)), CHINA), "Point")


@pytest.mark.parametrize(
    ("line", "error", "words"),
    [
        ("A,whole,A,,,,,", orders.NotTwoParties, ("A",)),
        ("A|A,whole,A,,,,,", orders.NotTwoParties, ("A|A",)),
        ("A|B|C,whole,A,,,,,", orders.NotTwoParties, ("A|B|C",)),
        (",whole,A,,,,,", rows.MissingValue, ("parties",)),
        ("A|D,whole,A,,,,,", rows.UnknownSquad, ("parties", "D")),
        ("A|B,half,A,,,,,", rows.UnknownWord, ("rule", "half", "first_finder")),
        ("A|B,whole,,,,,,", rows.MissingValue, ("lead",)),
        ("A|B,whole,C,,,,,", orders.LeadNotParty, ("C", "A | B")),
        ("A|B,by_category,A,,,,,", rows.MissingValue, ("categories",)),
        ("A|B,by_category,A,GB30428:9,,,,", categories.UnknownCategory, ("GB30428:9",)),
        ("A|B,alternate,A,,year,,,", rows.UnknownWord, ("period", "year", "week, month")),
        ("A|B,whole,A,,,2024-02-01,2024-01-01,", EmptyPeriod, ("2024-02-01",)),
    ],
)
def test_a_bad_agreement(listing: Make, line: str, error: type[JieguanError], words: tuple[str, ...]) -> None:
    refuses(error, lambda: sources.agreements(listing(HEAD, line), CHINA, known=KNOWN), "list.csv", "1", *words)


def test_an_agreement_between_squads_that_do_not_touch(drawing: Make, listing: Make) -> None:
    near = box(2.01, 0, 3, 1)
    old = {"id": "C", "until": "2020-01-01"}
    table = drawing((WEST, {"id": "A"}), (EAST, {"id": "B"}), (near, old), (ISLAND, {"id": "C", "since": "2020-01-01"}))
    grounds = sources.territories(table, CHINA)

    def check(parties: str, zone_m: float = 0, since: str = "", until: str = "") -> None:
        lead = parties.split("|", maxsplit=1)[0]
        settled = sources.agreements(listing(HEAD, f"{parties},whole,{lead},,,{since},{until},"), CHINA)
        sources.check_neighbours(settled, grounds, grounds.geometry, zone_m)

    check("A|B")
    check("B|C", zone_m=0.02)
    refuses(orders.PartiesApart, lambda: check("A|C", 0.5), "A", "C", "1.0", "0.5")
    refuses(orders.PartiesApart, lambda: check("B|C", zone_m=0.005), "B", "C")
    refuses(orders.PartiesApart, lambda: check("B|C", zone_m=0.02, since="2021-01-01"), "5.0")
    refuses(orders.PartiesApart, lambda: check("A|X", zone_m=9), "X")


# ---- designations ----------------------------------------------------------------------------------------------------


def test_designations_of_a_zone_a_point_and_a_case(drawing: Make) -> None:
    found = sources.designations(
        drawing(
            (EAST, {"id": "D1", "squad": "A", "dated": "2024-03-01", "issued_by": "区局"}),
            (Point(1, 1), {"id": "D2", "squad": "B", "radius_m": 50, "categories": "GB30428:0501|GB30428:0510"}),
            (None, {"id": "D3", "squad": "A", "case": "12345-7"}),
            (Point(1, 1), {"id": "D4", "squad": "A", "case": "12345-8"}),
            (ISLAND, {"id": "D1", "squad": "A", "dated": "2024-03-01", "issued_by": "区局"}),
        ),
        CHINA,
        known=KNOWN,
    )
    zone, place, case, case_with_point = found.claims
    assert (zone.id, zone.issued_by, zone.categories) == ("designation:D1", "区局", frozenset())
    assert zone.dated == datetime(2024, 3, 1, tzinfo=CHINA)
    assert place.categories == {"GB30428:0501", "GB30428:0510"}
    assert (case.case, case_with_point.case) == ("12345-7", "12345-8")
    assert [None if ground is None else ground.geom_type for ground in found.geometry] == [
        "MultiPolygon",
        "Point",
        None,
        None,
    ]
    assert found.buffer_m[1] == 50
    assert found.rows[0] == (1, 5)


def test_designations_at_points_of_a_list(listing: Make) -> None:
    found = sources.designations(listing("id,squad,lon,lat,radius_m,case", "D1,A,113.6,34.8,50,", "D2,A,,,,77"), CHINA)
    assert found.geometry[0] == Point(113.6, 34.8)
    assert found.geometry[1] is None
    assert found.origin.crs is not None
    assert found.origin.crs.to_epsg() == 4326


@pytest.mark.parametrize(
    ("geometry", "properties", "error", "words"),
    [
        (None, {}, orders.OrderWithoutPlace, ("D",)),
        (WEST, {"case": "7"}, orders.OrderForCaseAndZone, ("D", "7")),
        (Point(0, 0), {}, rows.MissingValue, ("radius_m",)),
        (Point(0, 0), {"radius_m": 0}, rows.BadNumber, ("radius_m", "0")),
        (Point(0, 0), {"radius_m": "far"}, rows.BadNumber, ("radius_m", "far")),
        (WEST, {"radius_m": 5}, claims.ReachMismatch, ("radius_m", "Polygon")),
        (LineString([(0, 0), (1, 1)]), {}, claims.WrongGround, ("LineString",)),
        (WEST, {"squad": "Q"}, rows.UnknownSquad, ("Q",)),
        (WEST, {"id": ""}, rows.MissingValue, ("id",)),
        (WEST, {"id": "FIRST"}, claims.ClaimTwice, ("FIRST", "1", "2")),
        (WEST, {"since": "2024-02-01", "until": "2024-01-01"}, EmptyPeriod, ("2024-01-01",)),
        (WEST, {"categories": "0501"}, categories.CategoryWithoutScheme, ("GB30428:0501",)),
    ],
)
def test_a_bad_designation(
    drawing: Make, geometry: object, properties: dict[str, object], error: type[JieguanError], words: tuple[str, ...]
) -> None:
    table = drawing((EAST, {"id": "FIRST", "squad": "B"}), (geometry, {"id": "D", "squad": "A", **properties}))
    refuses(error, lambda: sources.designations(table, CHINA, known=KNOWN), "drawing.geojson", "2", *words)


# ---- real layers, notes ----------------------------------------------------------------------------------------------


def test_real_layers_become_territories(data_dir: Path) -> None:
    for spec, squads, rows_ in (
        ("nyc/polygons_core.gpkg::police_precinct", 77, 77),
        ("gaps_overlaps/nyc_dirty_layers.gpkg::health_areas_2013_simplified", None, None),
        ("zhengzhou/henan_districts.gpkg::henan_datav_gcj02", None, 156),
    ):
        layer = read_layer(data_dir / spec)
        found = sources.territories(layer, NEW_YORK)
        assert squads in (None, len(found))
        assert sum(map(len, found.rows)) == len(layer)
        assert rows_ in (None, len(layer))
        parts = sum(shapely.get_num_geometries(ground) for ground in found.geometry)
        assert parts == shapely.get_num_geometries(layer.geometry).sum()


def test_every_note_says_the_same_in_both_languages() -> None:
    from string import Formatter

    for zh, en in NOTES.values():
        assert {name for _, name, _, _ in Formatter().parse(zh) if name} == {
            name for _, name, _, _ in Formatter().parse(en) if name
        }
