"""Open311 GeoReport v2 as its specification has it, point by point (tests/golden/open311.yaml), on both databases; what the public is
never shown; the boundary part. The XML is held against a schema written from the specification, and against the JSON.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
import shapely
import sqlalchemy as sa
import yaml
from georeport import GeoReport as Client
from lxml import etree

from api.access import Principal
from api.settings import GeoReport, Serving
from api.store.opening import working
from api.store.setup import opened
from api.store.tables import CaseFile
from api.usecases import people
from api.usecases.office import about_case, unseal
from api.usecases.people import People
from api.usecases.publishing import FIELDS
from geodata.layer import LayerName
from geodata.store import version_of
from routing.case import Role
from tests.api.live import Person, in_degrees, live, place, published
from tests.api.staff import CATEGORY, NOW, Clock, Office
from tests.db.conftest import KINDS, a_database
from tests.db.worlds import SETTINGS, X, Y, city

GOLDEN = Path(__file__).parents[1] / "golden"
ROWS = yaml.safe_load((GOLDEN / "open311.yaml").read_text(encoding="utf-8"))
SCHEMA = etree.XMLSchema(etree.parse(GOLDEN / "open311.xsd"))
LISTS = {
    "services", "service_requests", "errors", "attributes", "values", "endpoints", "formats", "areas", "reasons", "found", "assisting",
}  # fmt: skip
SPOT = (1_500.0, 500.0)
OFFSET = ZoneInfo("Asia/Shanghai")
OURS = GeoReport(jurisdiction="huiji.example", contact="热线 12345")


# ---- a house -----------------------------------------------------------------------------------------------------------


@dataclass
class House:
    """A service with cases to be seen and others not to be; `key`: of a machine client."""

    url: str
    base: str
    key: str
    clock: Clock
    office: Office
    names: dict[str, str] = field(default_factory=dict)

    @property
    def at(self) -> str:
        return f"{self.base}/open311/v2"

    def get(self, path: str, form: str = "json", **params: Any) -> httpx.Response:
        head, mark, rest = path.partition("?")
        return httpx.get(f"{self.at}/{head}.{form}{mark}{rest}", params=params or None, timeout=300)

    def post(self, data: dict[str, Any], form: str = "json", key: str | None = "", **headers: str) -> httpx.Response:
        own = {} if key is None else {"api_key": key or self.key}
        return httpx.post(f"{self.at}/requests.{form}", data=own | data, headers=headers, timeout=300)

    def told(self, path: str, **params: Any) -> Any:
        answer = self.get(path, **params)
        assert answer.status_code == 200, answer.text
        return answer.json()


def made(url: str) -> Iterator[House]:
    """A bureau that has been at work for a while."""
    clock = Clock()
    serving = Serving(url, development=True, georeport=OURS)
    with working(serving) as has:
        by = Principal("x", "x", Role.ADMINISTRATOR, None, "test")
        key, _ = people.new_token(People(has.book, has.vault.mac, clock), by, "app", Role.MACHINE, None, None)
    with live(serving, now=clock) as base:
        house = House(url, base, key, clock, Office(base))
        office, names = house.office, house.names
        clock.now = NOW - timedelta(days=200)
        names["OLD"] = office.operator.take(*SPOT)["number"]
        clock.now = NOW
        names |= {"LAT": str(place(*SPOT)["lat"]), "LONG": str(place(*SPOT)["lon"]), "KEY": key}
        clock.now = NOW - timedelta(seconds=1)
        one = house.post(
            {"service_code": CATEGORY, "lat": names["LAT"], "long": names["LONG"], "phone": "13812345678", "last_name": "欧阳",
             "first_name": "槐树", "description": "楼下王某占道", "address_string": "槐树巷7号", "media_url": "https://example.org/wang.jpg"},
            **{"Idempotency-Key": "taken-1"},
        )  # fmt: skip
        assert one.status_code == 201, one.text
        names["A"] = one.json()[0]["service_request_id"]
        with opened(url) as db, db.reading() as session:
            row = session.scalars(sa.select(CaseFile).where(CaseFile.number == names["A"])).one()
            names["RECEIVED"] = row.received_at.astimezone(OFFSET).isoformat(timespec="seconds")
        names["B"] = number = office.dispatched(*SPOT, category="GB30428:0501")
        member, leader = office.member("su01"), office.leader("su01")
        member.act(number, "sign")
        leader.act(number, "report", reason="已劝离", evidence=["照片"])
        office.dispatcher.act(number, "take_to_check")
        office.operator.act(number, "reply", reason="已答复")
        office.checker.act(number, "close")
        ended = office.supervisor.get(f"/api/v1/cases/{number}/holdings")["holdings"][-1]["until"]
        names["CLOSED"] = datetime.fromisoformat(ended).astimezone(OFFSET).isoformat(timespec="seconds")
        clock.now += timedelta(hours=1)
        office.operator.act(number, "follow_up", reason="满意", outcome="satisfied")
        for hidden in ({"confidential": True}, {"category": "JIEGUAN:conduct"}, {"against": "su02"}):
            names["HIDDEN"] = office.operator.take(*SPOT, **hidden)["number"]
            names["ALL_HIDDEN"] = f"{names.get('ALL_HIDDEN', '')},{names['HIDDEN']}".strip(",")
        admin = Person(base, "管理员")
        admin.http.headers["X-Jieguan-Role"] = "administrator"
        admin.post("/api/v1/categories/GB30428:0117/end", {"document": "1"}, 200)
        yield house


def of_kind(request: pytest.FixtureRequest, template_file: Path, folder: Path) -> Iterator[House]:
    if request.param == "embedded":
        url = str(shutil.copy(template_file, folder / "city.db"))
        published(url)
        yield from made(url)
        return
    server, name = request.getfixturevalue("server"), request.getfixturevalue("template_name")
    with a_database(server, f"TEMPLATE {name}") as url:
        published(url)
        yield from made(url)


@pytest.fixture(scope="module", params=KINDS)
def read(request: pytest.FixtureRequest, template_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """For those who only read."""
    yield from of_kind(request, template_file, tmp_path_factory.mktemp("read"))


@pytest.fixture(scope="module", params=KINDS)
def written(request: pytest.FixtureRequest, template_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """For those who send requests in."""
    yield from of_kind(request, template_file, tmp_path_factory.mktemp("written"))


# ---- point by point ----------------------------------------------------------------------------------------------------


def spark(element: Any) -> Any:
    """XML as the Spark convention makes JSON of it, all values as texts."""
    if element.tag in LISTS:
        return [spark(child) for child in element]
    if len(element):
        return {child.tag: spark(child) for child in element}
    return element.text or ""


def as_texts(value: Any) -> Any:
    """JSON with its values as XML writes them."""
    if isinstance(value, dict):
        return {key: as_texts(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_texts(inner) for inner in value]
    if value is None:
        return ""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def valid(answer: httpx.Response) -> Any:
    """The XML of an answer, after the schema has seen it."""
    assert answer.headers["content-type"] == "text/xml; charset=utf-8"
    assert answer.content.startswith(b'<?xml version="1.0" encoding="utf-8"?>')
    root = etree.fromstring(answer.content)
    assert SCHEMA.validate(root), (SCHEMA.error_log, answer.text)
    return root


def at(value: Any, path: str) -> Any:
    """`0.status` of a value. KeyError where there is none."""
    for part in path.split("."):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


def filled(text: Any, names: dict[str, str]) -> Any:
    if isinstance(text, list):
        return [filled(one, names) for one in text]
    if not isinstance(text, str):
        return text
    said = re.sub(r"^长(\d+)$", lambda found: "长" * int(found[1]), text)
    return re.sub(r"\{([A-Z]+)\}", lambda found: names[found[1]], said)


def asked(house: House, row: dict[str, Any], form: str) -> httpx.Response:
    if "get" in row:
        return house.get(filled(row["get"], house.names), form)
    fields = {name: filled(value, house.names) for name, value in row["post"].items()}
    return house.post(fields, form, row.get("key", ""))


def held(house: House, row: dict[str, Any]) -> None:
    """What a row says, of both formats."""
    answer, other = asked(house, row, "json"), asked(house, row, "xml")
    told = answer.json()
    assert answer.status_code == other.status_code == row.get("status", 200), answer.text
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    xml = valid(other)
    new = "post" in row and "errors" not in row
    if not new:  # sent twice, it is two requests
        assert spark(xml) == as_texts(told)
    if "errors" in row:
        assert xml.tag == "errors"
        assert [one["code"] for one in told] == [row["status"]] * row["errors"], told
        assert all(set(one) == {"code", "description"} and one["description"].strip() for one in told)
    if "count" in row:
        assert len(told) == row["count"], told
    for path, value in row.get("has", {}).items():
        assert at(told, path) == filled(value, house.names), (path, told)
    if "lacks" in row:
        with pytest.raises(KeyError):
            at(told, row["lacks"])


READS, WRITES = [row for row in ROWS if "get" in row], [row for row in ROWS if "post" in row]


@pytest.mark.parametrize("row", READS, ids=[row["point"] for row in READS])
def test_the_specification_on_reading(read: House, row: dict[str, Any]) -> None:
    held(read, row)


@pytest.mark.parametrize("row", WRITES, ids=[row["point"] for row in WRITES])
def test_the_specification_on_sending(written: House, row: dict[str, Any]) -> None:
    held(written, row)


def test_there_is_a_row_for_each_method_and_status_of_the_specification() -> None:
    heads = {row["get"].partition("?")[0].partition("/")[0] for row in READS}
    assert heads >= {"discovery", "services", "requests", "tokens", "coverage", "areas"}
    assert {row.get("status", 200) for row in ROWS} == {200, 201, 400, 403, 404}
    assert len({row["point"] for row in ROWS}) == len(ROWS) >= 85


def test_an_independent_client_reads_it(read: House) -> None:
    """`georeport`, in both of its formats."""
    for form in ("json", "xml"):
        client = Client(read.at, jurisdiction="huiji.example", output_format=form)
        listed = client.get_service_list()
        assert {one["service_code"] for one in listed} >= {CATEGORY, "GB30428:0401"}
        definition = client.get_service_definition(CATEGORY)
        assert definition["service_code"] == CATEGORY
        found = client.get_service_requests(status="open,closed")
        assert [one["service_request_id"] for one in found] == [read.names["B"], read.names["A"]]
        one = client.get_service_request(read.names["A"])
        assert (one["status"], one["agency_responsible"]) == ("open", "u01中队")
        ranged = client.get_service_requests(start_date="2026-11-01T00:00:00Z", end_date="2026-11-30T00:00:00Z", service_code=CATEGORY)
        assert [one["service_request_id"] for one in ([ranged] if isinstance(ranged, dict) else ranged)] == [read.names["A"]]


# ---- what comes in -----------------------------------------------------------------------------------------------------


def test_what_was_sent_is_a_case_like_any_other(written: House) -> None:
    sent = {
        "service_code": CATEGORY, "lat": written.names["LAT"], "long": written.names["LONG"], "address_string": "京广路",
        "address_id": "77",
        "last_name": "Smith", "first_name": "John", "email": "j@example.org", "phone": "13900000001", "description": "a\nb",
        "media_url": "https://example.org/1.jpg", "device_id": "device-7", "account_id": "account-7", "attribute[error_m]": "12.5",
        "attribute[occurred_at]": "2026-11-19T08:00:00+08:00",
    }  # fmt: skip
    answer = written.post(sent)
    number = answer.json()[0]["service_request_id"]
    assert answer.headers["location"] == f"/open311/v2/requests/{number}.json"
    case = written.office.operator.case(number)
    assert (case["channel"], case["category"], case["description"], case["address"]) == ("open311", CATEGORY, "a\nb", "京广路")
    assert (case["address_id"], case["media_url"]) == ("77", "https://example.org/1.jpg")
    assert (case["place"]["error_m"], case["occurred_at"]) == (12.5, "2026-11-19T00:00:00+00:00")
    shown = written.office.operator.post(f"/api/v1/cases/{number}/reporter/reveal", {"reason": "回访"})["contact"]
    assert (shown["name"], shown["phone"], shown["email"]) == ("John Smith", "13900000001", "j@example.org")
    with working(Serving(written.url)) as has, has.db.reading() as session:
        row = session.scalars(sa.select(CaseFile).where(CaseFile.number == number)).one()
        said = unseal(has.vault, row.key, row.words, about_case(number))
    assert said == {"description": "a\nb", "address": "京广路", "address_id": "77", "media_url": "https://example.org/1.jpg"}
    assert b"device-7" not in bytes(row.words)


def test_a_name_is_written_as_its_language_writes_it(written: House) -> None:
    for last, first, name in (("王", "芳", "王芳"), ("", "芳", "芳"), ("Smith", "John", "John Smith")):
        number = written.post({"service_code": CATEGORY, "address_string": "x", "last_name": last, "first_name": first}).json()[0]
        path = f"/api/v1/cases/{number['service_request_id']}/reporter/reveal"
        assert written.office.operator.post(path, {"reason": "回访"})["contact"]["name"] == name


def test_without_coordinates_the_duty_squad_holds_it_and_without_contact_nobody_is_named(written: House) -> None:
    number = written.post({"service_code": CATEGORY, "address_id": "545483"}).json()[0]["service_request_id"]
    case = written.office.operator.case(number)
    assert (case["holder"], case["doubtful"], case["address"], case["address_id"]) == ("su00", True, "545483", "545483")
    assert written.office.operator.get(f"/api/v1/cases/{number}/reporter")["anonymous"] is True


def test_the_same_request_twice_is_one_case_in_whatever_format(written: House) -> None:
    sent = {"service_code": CATEGORY, "lat": written.names["LAT"], "long": written.names["LONG"], "description": "once"}
    key = {"Idempotency-Key": "twice"}
    first, again = written.post(sent, **key), written.post(sent, "xml", **key)
    assert (first.status_code, again.status_code, again.headers["idempotent-replayed"]) == (201, 201, "true")
    assert spark(valid(again)) == as_texts(first.json())
    other = written.post({**sent, "description": "twice"}, **key)
    assert (other.status_code, [one["code"] for one in other.json()]) == (400, [400])
    number = first.json()[0]["service_request_id"]
    found = written.get(f"tokens/twice?api_key={written.key}").json()
    assert found == [{"service_request_id": number, "token": "twice"}]


def test_the_key_may_come_as_a_header_and_only_a_machine_may_send(written: House) -> None:
    sent = {"service_code": CATEGORY, "address_string": "x"}
    assert written.post(sent, key=None, Authorization=f"Bearer {written.key}").status_code == 201
    for headers in ({}, {"X-Jieguan-Person": "x", "X-Jieguan-Role": "operator"}, {"Authorization": "Bearer nonsense"}):
        answer = written.post(sent, key=None, **headers)
        assert (answer.status_code, [one["code"] for one in answer.json()]) == (403, [403])
        assert "www-authenticate" not in answer.headers


def test_a_body_that_is_no_form_is_refused(written: House) -> None:
    head = {"Authorization": f"Bearer {written.key}"}
    form = {**head, "Content-Type": "application/x-www-form-urlencoded"}
    for headers, body, status in (
        ({**head, "Content-Type": "application/json"}, b"{}", 400), (form, b"description=%ff", 400), (form, b"\xff", 400),
        (form, b"&".join(b"a=1" for _ in range(300)), 400), (form, b"description=" + b"x" * 70_000, 413),
    ):  # fmt: skip
        answer = httpx.post(f"{written.at}/requests.xml", content=body, headers=headers)
        assert answer.status_code == status, answer.text
        assert spark(valid(answer))[0]["code"] == str(status)


def test_a_doubt_is_asked_about_in_the_notice(written: House) -> None:
    lon, lat = in_degrees(shapely.Point(1_000, 950))["coordinates"]  # near the corner of four
    told = written.post({"service_code": CATEGORY, "lat": str(lat), "long": str(lon), "attribute[error_m]": "80"}).json()[0]
    case = written.office.operator.case(told["service_request_id"])
    assert case["doubtful"]
    assert "请补充" in told["service_notice"]


# ---- what the public is shown ------------------------------------------------------------------------------------------


def test_hidden_cases_never_show(read: House) -> None:
    for number in read.names["ALL_HIDDEN"].split(","):
        assert read.get(f"requests/{number}").status_code == 404
    assert read.told(f"requests?service_request_id={read.names['ALL_HIDDEN']}") == []
    for path in ("requests", "requests?status=open", "requests?service_code=JIEGUAN:conduct", "requests?extensions=true"):
        text = read.get(path).text + read.get(path, "xml").text
        assert not [number for number in read.names["ALL_HIDDEN"].split(",") if number in text]


def test_nothing_of_who_complained_or_what_was_written_shows(read: House) -> None:
    pages = [read.get(path, form).text for path in ("requests?extensions=true", f"requests/{read.names['A']}") for form in ("json", "xml")]
    for secret in ("欧阳", "槐树", "13812345678", "王某", "wang.jpg", "app"):
        assert not [page for page in pages if secret in page]


@pytest.fixture
def bureau(service: Office, clock: Clock) -> tuple[Any, Any, Clock]:
    """An administrator, a look at the only request, and the clock."""
    number = service.operator.take(*SPOT, address="京广路")["number"]
    admin = Person(service.base, "管理员")
    admin.http.headers["X-Jieguan-Role"] = "administrator"

    def seen() -> Any:
        answer = httpx.get(f"{service.base}/open311/v2/requests/{number}.json?extensions=true")
        return answer.json()[0] if answer.status_code == 200 else None

    return admin, seen, clock


def test_what_is_public_is_decided_by_dated_rows(bureau: tuple[Any, Any, Clock]) -> None:
    admin, seen, clock = bureau
    rules = admin.get("/api/v1/publication-rules")
    assert rules["fields"] == list(FIELDS)
    assert {(one["category"], one["default"]) for one in rules["rules"]} == {("*", True)}
    public = {one["field"] for one in rules["rules"] if one["public"]}
    assert public == {"case", "agency_responsible", "reasons", "place", "expected_datetime"}
    before = seen()
    assert before["lat"] is not None
    assert before["description"] is None

    def put(field: str, public: bool, category: str = "*", status: int = 201, **more: Any) -> Any:
        body = {"category": category, "field": field, "public": public, "document": "2号文", **more}
        return admin.post("/api/v1/publication-rules", body, status)

    put("place", False)
    assert seen()["lat"] is None
    put("place", True, CATEGORY)  # the row of the category goes before that for all others
    assert seen()["lat"] == before["lat"]
    put("description", True, CATEGORY)
    put("address", True, CATEGORY)
    assert (seen()["description"], seen()["address"]) == ("店外经营,占用人行道", "京广路")
    put("reasons", False)
    assert seen()["extended_attributes"] == {"responsibility": None}
    put("agency_responsible", False)
    assert seen()["agency_responsible"] is None
    clock.now += timedelta(minutes=1)
    put("case", False, CATEGORY, since=(clock.now + timedelta(days=1)).isoformat())
    assert seen() is not None
    clock.now += timedelta(days=1, minutes=1)
    assert seen() is None
    admin.post("/api/v1/publication-rules/end", {"category": CATEGORY, "field": "case", "document": "3号文"}, 200)
    assert seen() is not None
    # what is refused
    assert put("case", False, since="2026-01-01T00:00:00Z", status=422)["type"].endswith("RuleInThePast")
    assert put("case", False, "0504", status=422)["type"].endswith("NotACategory")
    late = (clock.now + timedelta(days=9)).isoformat()
    put("media_url", True, since=late)
    assert put("media_url", True, since=late, status=409)["type"].endswith("RuleFollows")
    for category in ("*", "GB30428:0501"):
        body = {"category": category, "field": "place", "document": "1"}
        assert admin.post("/api/v1/publication-rules/end", body, 404)["type"].endswith("NoRuleToEnd")


def test_where_no_row_allows_it_nothing_is_shown(bureau: tuple[Any, Any, Clock], url: str) -> None:
    _, seen, _ = bureau
    with opened(url) as db, db.writing() as session:
        session.execute(sa.text("DELETE FROM publication_rule WHERE field <> 'case'"))
    told = seen()
    hidden = ("description", "agency_responsible", "expected_datetime", "address", "lat", "long", "media_url")
    assert [told[name] for name in hidden] == [None] * 7
    assert told["extended_attributes"] == {"responsibility": None}
    with opened(url) as db, db.writing() as session:
        session.execute(sa.text("DELETE FROM publication_rule"))
    assert seen() is None


# ---- limits --------------------------------------------------------------------------------------------------------------


def test_a_thousand_and_no_more_the_latest_first(service: Office, url: str) -> None:
    number = service.operator.take(*SPOT)["number"]
    with opened(url) as db, db.writing() as session:
        row = session.scalars(sa.select(CaseFile).where(CaseFile.number == number)).one()
        columns = {c.name: getattr(row, c.name) for c in CaseFile.table().columns if c.name not in ("id", "geom")}
        session.execute(sa.insert(CaseFile.table()), [
            columns | {"number": f"n{n}", "key": f"k{n}", "received_at": NOW - timedelta(minutes=n)} for n in range(1, 1_102)
        ])  # fmt: skip
    told = httpx.get(f"{service.base}/open311/v2/requests.json", timeout=300).json()
    assert len(told) == 1_000
    dates = [one["requested_datetime"] for one in told]
    assert dates == sorted(dates, reverse=True)
    rest = httpx.get(f"{service.base}/open311/v2/requests.json?page=2", timeout=300).json()
    assert len(rest) == 102
    assert not {one["service_request_id"] for one in told} & {one["service_request_id"] for one in rest}
    many = ",".join(f"n{n}" for n in range(1_001))
    assert httpx.get(f"{service.base}/open311/v2/requests.json", params={"service_request_id": many}).status_code == 400


# ---- areas ---------------------------------------------------------------------------------------------------------------


def test_areas_and_coverage_inside_on_a_border_in_a_gap_and_outside(tmp_path: Path, template_file: Path) -> None:
    """The small city without the ground of its middle: the squad of it has none, and the gap goes to the nearest."""
    url = str(shutil.copy(template_file, tmp_path / "gap.db"))
    rows = [row for row in city() if not (row.layer is LayerName.TOWNSHIP and row.code == "u11")]
    grounds = {row.code: row.ground for row in rows if row.layer is LayerName.TOWNSHIP}
    published(url, version_of(rows, SETTINGS))
    shared = grounds["u00"].intersection(grounds["u01"])
    corner = min((p for part in getattr(shared, "geoms", [shared]) for p in part.coords), key=lambda p: p[1])  # a vertex both have
    spots = {
        "inside": (300.0, 300.0), "border": (corner[0] / 1000 - X, corner[1] / 1000 - Y), "gap": (1_480.0, 1_510.0),
        "outside": (-60.0, 300.0),
    }  # fmt: skip
    told: dict[str, Any] = {}
    with live(url) as base:
        for name, spot in spots.items():
            where = {"lat": place(*spot)["lat"], "long": place(*spot)["lon"]}
            covered = httpx.get(f"{base}/open311/v2/coverage.json", params=where, timeout=300).json()
            areas = httpx.get(f"{base}/open311/v2/areas.json", params=where).json()
            near = httpx.get(f"{base}/open311/v2/areas.json", params={**where, "within": "700"}).json()
            point = httpx.get(f"{base}/point/4326/{where['long']},{where['lat']}").json()
            assert set(point) == {one["id"] for one in areas}
            why = covered["responsibility"]
            told[name] = covered["result"], why["step"], why["squad"], {area["squad"] for area in areas}
            assert [one["distance_m"] for one in near] == sorted(one["distance_m"] for one in near)
            if name == "gap":
                assert near[0]["squad"] == why["squad"]
                assert near[0]["distance_m"] > 300
        for bad in ("1", "x,y", "200,95", "nan,1", ","):
            assert httpx.get(f"{base}/point/4326/{bad}").status_code in (200, 422)
        outline = httpx.get(f"{base}/open311/v2/areas.json", params={**where, "within": "100", "boundary": "true"}).json()
    assert told["inside"] == (True, "own_ground", "su00", {"su00"})
    assert told["border"][0] is True
    assert told["border"][1] == "border"
    assert told["border"][3] == {"su00", "su01"}
    assert told["border"][2] in told["border"][3]
    assert (told["gap"][0], told["gap"][1], told["gap"][3]) == (True, "nearest", set())
    assert told["outside"] == (False, "on_duty", "su00", set())
    (found,) = outline
    assert found["boundary"].startswith("MULTIPOLYGON (((113.")


def test_mapit_tells_an_area_as_its_clients_expect(reading: str) -> None:
    where = place(*SPOT)
    told = httpx.get(f"{reading}/point/4326/{where['lon']},{where['lat']}").json()["township:u01"]
    assert {name: told[name] for name in ("id", "name", "type", "parent_area", "codes")} == {
        "id": "township:u01", "name": "u01 街道", "type": "township", "parent_area": None, "codes": {"jieguan": "u01", "squad": "su01"},
    }  # fmt: skip
    assert told["generation_low"] == told["generation_high"] > 0
