"""Who complained is nowhere: a demo year in which everybody has a planted name, number, address and e-mail, and all that a bureau keeps or
sends around is searched for them (G21, G23): files, dumps, logs, refusals, exports, backups, copies; packed ones unpacked.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import httpx
import numpy as np
import psycopg
import pytest
import sqlalchemy as sa

from api.cli import main
from api.demo.database import make_in_database
from api.settings import Serving
from api.store.opening import Working, working
from api.store.record import verify
from api.store.tables import CaseFile, Counter, Event, Reporter
from api.usecases.intake import Complaint, Contact, about_reporter
from api.usecases.office import about_case, about_event, unseal
from geodata.compile import silent
from tests.db.conftest import NewUrl

pytestmark = pytest.mark.slow  # minutes, most of them spent in making and starting things

NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
WINDOW = 8
"""Bytes that are looked up at once; nothing planted is shorter in any form."""
SIZES = [pytest.param(60, id="60"), pytest.param(1_000, id="1000", marks=pytest.mark.full)]


# ---- what is planted, and how it is found ------------------------------------------------------------------------------


def planted(count: int, seed: int = 1) -> list[Contact]:
    """People nobody else is named like."""
    rng = random.Random(seed)
    names = rng.sample(range(20_000 * 20_000), count)
    return [
        Contact(
            f"欧阳{chr(0x4E00 + n % 20_000)}{chr(0x4E00 + n // 20_000)}", f"139{rng.randrange(10**8):08d}", f"槐树巷{n}号院东门",
            f"kan{n:x}@mail.example.org",
        )
        for n in names
    ]  # fmt: skip


def values(people: Iterable[Contact]) -> list[str]:
    return [getattr(who, field.name) for who in people for field in fields(Contact)]


def forms(value: str) -> set[bytes]:
    """In which a value may lie about: as it is, as JSON and percent signs write it, as hexadecimal digits (a dump's), as UTF-16."""
    plain = value.encode()
    escaped = json.dumps(value)[1:-1]
    texts = {value, escaped, escaped.upper().replace("\\U", "\\u"), quote(value), quote(value).lower(), quote_plus(value), plain.hex()}
    return {form for text in texts for form in (text.encode(), text.encode("utf-16-le"), text.encode("utf-16-be"))}


class Search:
    """For many values at once, in all their forms."""

    def __init__(self, wanted: Iterable[str]) -> None:
        self.of = {form: value for value in wanted for form in forms(value)}
        assert min(map(len, self.of)) >= WINDOW
        self.by_begin: dict[int, list[bytes]] = {}
        for form in self.of:
            self.by_begin.setdefault(int.from_bytes(form[:WINDOW], "little"), []).append(form)
        self.begins = np.array(sorted(self.by_begin), np.uint64)

    def found(self, data: bytes) -> set[str]:
        """Which of the values are in there."""
        hits: set[str] = set()
        for shift in range(min(WINDOW, len(data))):
            windows = np.frombuffer(data, "<u8", offset=shift, count=(len(data) - shift) // WINDOW)
            at = np.minimum(np.searchsorted(self.begins, windows), len(self.begins) - 1)
            for k in np.flatnonzero(self.begins[at] == windows):
                begin = shift + int(k) * WINDOW
                hits |= {self.of[form] for form in self.by_begin[int(windows[k])] if data.startswith(form, begin)}
        return hits


def unpacked(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """A file, and what is packed in it."""
    yield name, data
    if data[:2] == b"\x1f\x8b":
        yield from unpacked(f"{name}/gz", gzip.decompress(data))
    elif data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for inner in archive.namelist():
                yield f"{name}/{inner}", inner.encode()
                yield from unpacked(f"{name}/{inner}", archive.read(inner))


def nowhere(search: Search, things: Iterable[tuple[str, bytes]]) -> int:
    """None of them in any; how many bytes were searched."""
    size = 0
    for name, data in things:
        for inner, content in unpacked(name, data):
            found = search.found(content)
            assert not found, (inner, sorted(found)[:3])
            size += len(content)
    return size


def test_whatever_is_planted_would_be_found() -> None:
    people = planted(50)
    search = Search(values(people))
    rng = random.Random(0)
    for value in values(people):
        for form in forms(value):
            hay = rng.randbytes(rng.randrange(40)) + form + rng.randbytes(rng.randrange(40))
            assert search.found(hay) == {value}
    assert search.found(rng.randbytes(100_000)) == set()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.gz", gzip.compress(people[0].phone.encode()))
    with pytest.raises(AssertionError, match=people[0].phone):
        nowhere(search, [("x.zip", packed.getvalue())])


# ---- what is searched ------------------------------------------------------------------------------------------------


def raw(paths: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    """Files by another program: ours may not open a database in use."""
    for path in sorted(paths):
        if path.is_file():
            yield str(path), subprocess.run(["cat", str(path)], capture_output=True, check=True).stdout


def kept(serving: Serving) -> Iterator[tuple[str, bytes]]:
    """All that the database and the private folder keep, byte for byte."""
    yield from raw(serving.folder.rglob("*"))
    if not serving.database.startswith("postgresql"):
        path = Path(serving.database)
        assert path.stat().st_size
        yield from raw(path.parent.glob(path.name + "*"))
        return
    with psycopg.connect(serving.database.replace("+psycopg", "")) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            for form in ("text", "binary"):
                with connection.cursor().copy(f'COPY "{table}" TO STDOUT (FORMAT {form})') as copied:
                    yield f"{table} {form}", b"".join(bytes(part) for part in copied)
    if shutil.which("pg_dump"):
        command = ["pg_dump", "--dbname", serving.database.replace("+psycopg", "")]
        yield "pg_dump", subprocess.run(command, capture_output=True, check=True).stdout


@contextmanager
def serving_process(serving: Serving, log: Path) -> Iterator[str]:
    """The service as it is started, with all it says in a file."""
    words = [sys.executable, "-c", "from api.cli import main; main()", "serve", "--db", serving.database, "--port", "0", "--json",
             "--development"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONWARNINGS": "default"}
    with log.open("wb") as errors:
        process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log.read_text()
        yield str(json.loads(line)["address"])
        process.terminate()
        rest, _ = process.communicate(timeout=60)
        with log.open("a") as more:
            more.write(line + rest)
    finally:
        process.kill()
        process.wait()


@dataclass
class Asking:
    """Everybody who asks, and what he is answered."""

    base: str
    refusals: list[tuple[str, bytes]]
    answers: list[tuple[str, bytes]]

    def __call__(self, role: str, method: str, path: str, squad: str | None = None, **more: Any) -> Any:
        headers = {"X-Jieguan-Person": "kan", "X-Jieguan-Role": role, **more.pop("headers", {})}
        if squad is not None:
            headers["X-Jieguan-Squad"] = squad
        answer = httpx.request(method, self.base + path, headers=headers, timeout=120, **more)
        told = b"".join(k + b": " + v + b"\n" for k, v in answer.headers.raw) + answer.content
        (self.answers if answer.status_code < 400 else self.refusals).append((f"{method} {path} {answer.status_code}", told))
        assert answer.status_code < 500, answer.text
        return answer.json() if answer.content else None


def complaint(who: Contact, **more: Any) -> dict[str, Any]:
    contact = {field.name: getattr(who, field.name) for field in fields(Contact)}
    return {
        "category": "GB30428:0501", "description": f"门口占道,请回电 {who.phone}", "channel": "phone",
        "where": {"lon": 113.617, "lat": 34.868}, "contact": contact, **more,
    }  # fmt: skip


def drive(ask: Asking, people: list[Contact], misplaced: list[Contact]) -> None:
    """Everything that can be asked of cases, well and badly, with planted values wherever somebody may put them.

    `misplaced`: where a code, a number or a mark belongs. A refusal may quote that to who sent it; nothing else may.
    """
    for squad in ("HJ-00", "HJ-XC", "HJ-LZ", "HJ-YB"):
        told = ask("squad_leader", "GET", f"/api/v1/squads/{squad}/queue", squad, params={"limit": 100})
        for item in told["items"][:3]:
            for part in ("", "/events", "/holdings"):
                ask("squad_leader", "GET", f"/api/v1/cases/{item['number']}{part}", squad)
                ask("squad_member", "GET", f"/api/v1/cases/{item['number']}{part}", "HJ-GX")
            for role in ("planner", "administrator", "machine", "operator"):
                ask(role, "GET", f"/api/v1/cases/{item['number']}")
        ask("squad_member", "GET", f"/api/v1/squads/{squad}/queue", "HJ-GX")
    for role in ("operator", "supervisor", "planner"):
        ask(role, "GET", "/api/v1/cases", params={"limit": 200})
    for k, (who, other) in enumerate(zip(people, misplaced, strict=True)):
        key = {"Idempotency-Key": f"k{k}"}
        took = ask("operator", "POST", "/api/v1/cases", json=complaint(who), headers=key)
        assert ask("operator", "POST", "/api/v1/cases", json=complaint(who), headers=key) == took
        ask("operator", "POST", "/api/v1/cases", json=complaint(people[k - 1]), headers=key)  # the key was for another
        number, words, elsewhere = took["number"], _words(who), _words(other)
        for body in (
            {"action": "close", "seen": 1, "reason": words}, {"action": "refuse", "seen": 9, "reason": words},
            {"action": elsewhere[:40], "seen": 1, "reason": words}, {"action": "transfer", "seen": 1, "squad": elsewhere, "reason": words},
            {"action": "transfer", "seen": 1, "squad": other.email, "reason": words}, {"action": "dispatch", "seen": words}, {"seen": 1},
        ):  # fmt: skip
            ask("dispatcher", "POST", f"/api/v1/cases/{number}/actions", json=body)
        ask("dispatcher", "POST", f"/api/v1/cases/{number}/actions", json={"action": "refuse", "seen": 1, "reason": words})
        for bad in (
            {"description": None}, {"channel": other.phone}, {"category": other.email}, {"where": {}}, {"anonymous": True},
            {"telephone": who.phone}, {"occurred_at": elsewhere}, {"found_by": other.email}, {"against": other.phone},
            {"description": words * 200}, {"contact": words}, {"where": {"lon": 113.6, "lat": 34.8, "datum": other.name}},
            {"contact": {"phone": {who.name: who.phone}}},
        ):  # fmt: skip
            ask("operator", "POST", "/api/v1/cases", json=complaint(who) | bad)
        ask("operator", "POST", "/api/v1/cases", content=json.dumps(complaint(who))[:-1])
        ask("operator", "POST", "/api/v1/cases", content=json.dumps(complaint(who)).encode("utf-16"))
        for path in (f"cases/{quote(other.name)}", f"cases/{other.phone}", f"squads/{quote(other.name)}/queue", quote(other.address),
                     f"cases/{number}/{quote(other.email)}"):  # fmt: skip
            ask("operator", "GET", f"/api/v1/{path}")
        for query in ({"phone": other.phone}, {"after": other.email}, {"state": other.name}, {"category": other.phone},
                      {"since": other.address}, {"holder": other.name}, {"limit": other.phone}):  # fmt: skip
            ask("operator", "GET", "/api/v1/cases", params=query)


def _words(who: Contact) -> str:
    return " ".join(getattr(who, field.name) for field in fields(Contact))


def readable(has: Working) -> dict[str, list[Any]]:
    """Every word there is, by the number of its case."""
    with has.db.reading() as session:
        said: dict[str, list[Any]] = {}
        for case in session.scalars(sa.select(CaseFile)):
            said[case.number] = [unseal(has.vault, case.key, case.words, about_case(case.number))]
        for case, reporter in session.execute(sa.select(CaseFile, Reporter).join(Reporter)):
            said[case.number].append(unseal(has.vault, reporter.key, reporter.sealed, about_reporter(case.number)))
        for case, event in session.execute(sa.select(CaseFile, Event).join(Event).where(Event.kind == "moved").order_by(Event.id)):
            said[case.number].append(unseal(has.vault, case.key, event.words, about_event(case.number)))
        return said


def cli(*words: object) -> None:
    try:
        main([str(word) for word in words])
    except SystemExit as done:
        if done.code:
            raise


@pytest.mark.parametrize("count", SIZES)
def test_g21_g23_nobody_who_complained_is_anywhere(
    count: int, new_url: NewUrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    people, later, misplaced = planted(count), planted(4, seed=2), planted(4, seed=3)
    search = Search(values([*people, *later, *misplaced]))
    serving = Serving(new_url(), private=str(tmp_path / "private"))
    monkeypatch.setenv("JIEGUAN_PRIVATE", str(serving.folder))

    def plant(number: int, one: Complaint) -> Complaint:
        who = people[number - 1]
        words = f"{one.description},请回电{who.phone}"
        return replace(one, contact=who, anonymous=False, description=words, address=f"{one.address} {who.address}")

    make_in_database(serving, count, 11, NOW, silent, plant)
    with working(serving) as has:
        said = readable(has)
    assert {words[1]["phone"] for words in said.values()} == {who.phone for who in people}  # they are there, sealed
    assert search.found(json.dumps(list(said.values())).encode()) == set(values(people))
    # A service at work: what it keeps, what it says, and what it answers to those who may not.
    log = tmp_path / "service.log"
    with serving_process(serving, log) as base:
        ask = Asking(base, [], [])
        drive(ask, later, misplaced)
        size = nowhere(search, kept(serving))
    size += nowhere(search, [*kept(serving), *raw([log])])
    statuses = {int(name.rpartition(" ")[2]) for name, _ in ask.refusals}
    assert statuses >= {403, 404, 409, 422}, statuses
    nowhere(Search(values([*people, *later])), ask.refusals)
    assert len(ask.answers) > 50
    named = Search(value for who in [*people, *later] for value in (who.name, who.email))  # stated as a contact alone
    nowhere(named, ask.answers)
    # Copies and exports.
    out = tmp_path / "out"
    out.mkdir()
    for name in ("map.gpkg", "map.zip", "map.geojson"):
        cli("map", "export", "--db", serving.database, "--out", out / name)
    backup, copy = out / "backup.db", out / "copy.db"
    cli("db", "backup", serving.database, backup)
    cli("db", "copy", serving.database, copy)
    printed = capsys.readouterr()
    size += nowhere(search, [*raw(out.rglob("*")), ("printed", (printed.out + printed.err).encode())])
    print(f"{count} people, {len(search.of):,} forms, {size:,} bytes")
    # Another master key: everything is readable as before, and still nowhere else.
    with working(serving) as has:
        before = readable(has)
    cli("keys", "rotate", "--db", serving.database)
    with working(serving) as has:
        assert readable(has) == before
    nowhere(search, kept(serving))
    erased_everywhere(serving, backup, search, people[0], before)
    with working(serving) as has, has.db.writing() as session:  # had one of them been in a table, it would have been found
        session.add(Counter(name=people[1].name, value=1))
    with pytest.raises(AssertionError, match=people[1].name):
        nowhere(search, kept(serving))


def erased_everywhere(serving: Serving, backup: Path, search: Search, who: Contact, before: dict[str, list[Any]]) -> None:
    """One is erased: neither here nor from the backup of before is anything of him read, and everybody else is."""
    number = next(n for n, words in before.items() if words[1] and words[1]["phone"] == who.phone)
    cli("person", "erase", number, "--reason", f"{who.name} 来信要求", "--by", "王", "--open", "--db", serving.database)
    gone = Search(values([who]))
    for at in (serving, replace(serving, database=str(backup))):
        with working(at) as has:
            told = readable(has)
            assert not any(told[number])
            assert all(told[other] == words for other, words in before.items() if other != number)
            assert gone.found(json.dumps(told).encode()) == set()
    nowhere(search, kept(serving))
    with working(serving) as has, has.db.reading() as session:
        assert list(verify(session, has.book.anchor)) == []

