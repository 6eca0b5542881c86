"""The drill: a backup made while people write, put back on a clean machine; and a database of before the cases, brought up to date."""

from __future__ import annotations

import io
import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from api.cli import main
from api.settings import Serving
from api.store.opening import working
from api.store.record import last_entry, verify
from api.store.setup import opened, upgrade
from api.store.tables import WHOLE
from api.usecases.restoring import KeysThere, NoSuchBackup, RecordBroken, restore
from api.vault import KEYS, MASTER, WrongMaster
from geodata.db import schema
from geodata.db.copying import DestinationNotEmpty, backup, check, digest
from geodata.db.engine import open_database
from geodata.store import Signing, publish, version_of
from tests.api.live import START, live
from tests.api.staff import Clock, Office
from tests.db.conftest import WORK_CRS, NewUrl
from tests.db.worlds import SETTINGS, city

WORDS = "占道经营,通宵达旦"


@pytest.mark.parametrize("kind", ["embedded", "postgresql"], indirect=True)
def test_a_backup_made_while_people_write_is_put_back_whole(url: str, new_url: NewUrl, tmp_path: Path, clock: Clock) -> None:
    serving = Serving(url, development=True, private=str(tmp_path / "private"))
    with live(serving, now=clock) as base:
        office = Office(base)
        number = office.dispatched(500, 500, description=WORDS)
        picture = io.BytesIO()
        Image.new("RGB", (4, 4)).save(picture, "PNG")
        file = {"Content-Type": "application/octet-stream"}
        assert office.operator.http.post(f"/api/v1/cases/{number}/attachments?name=a", content=picture.getvalue(), headers=file).is_success
        enough = threading.Event()

        def go_on() -> None:
            while not enough.is_set():
                office.dispatcher.take(1_500, 500)

        writer = threading.Thread(target=go_on)
        writer.start()
        try:
            made = backup(url, tmp_path / "backup.db", WHOLE)
            with working(serving) as has:
                has.vault.backup(tmp_path / "keys.backup")
        finally:
            enough.set()
            writer.join(60)
        story = office.supervisor.get(f"/api/v1/cases/{number}/history")
    with opened(tmp_path / "backup.db") as db, db.reading() as session:
        noted = last_entry(session)

    clean = Serving(new_url(), development=True, private=str(tmp_path / "clean"))
    Path(clean.private or "").mkdir()
    shutil.copy(tmp_path / "private" / MASTER, tmp_path / "clean" / MASTER)
    done = restore(tmp_path / "backup.db", tmp_path / "keys.backup", clean, noted)
    assert [(c.table, c.rows, c.sha256) for c in done.copied.tables] == [(c.table, c.rows, c.sha256) for c in made.tables]
    assert digest(clean.database, WHOLE) == made.tables
    assert check(clean.database, WHOLE) == ()
    rows = {c.table: c.rows for c in made.tables}
    assert (done.entries, done.keys, done.lost) == (rows["event"], rows["case_file"], 0)
    assert (Path(clean.private or "") / KEYS).stat().st_mode & 0o77 == 0
    with live(clean, now=clock) as base:
        office = Office(base)
        again = office.supervisor.get(f"/api/v1/cases/{number}/history")
        assert again == story
        assert again["case"]["description"] == WORDS
        (one,) = again["attachments"]
        assert office.operator.http.get(f"/api/v1/cases/{number}/attachments/{one['id']}").status_code == 200
        office.leader("su00").act(number, "sign")  # and work goes on
        office.operator.take(500, 500)
    with working(clean) as has, has.db.reading() as session:
        assert list(verify(session, has.book.anchor, (noted,))) == []
    with pytest.raises(KeysThere):
        restore(tmp_path / "backup.db", tmp_path / "keys.backup", clean)
    with pytest.raises(DestinationNotEmpty):
        restore(tmp_path / "backup.db", tmp_path / "keys.backup", replace(clean, private=str(tmp_path / "other")))


def test_what_does_not_belong_together_is_refused(city_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    serving = Serving(city_url, development=True, private=str(tmp_path / "private"))
    with live(serving) as base:
        Office(base).operator.take(500, 500)
    file, keys = tmp_path / "backup.db", tmp_path / "keys.backup"
    backup(city_url, file, WHOLE)
    with working(serving) as has:
        has.vault.backup(keys)

    def clean(name: str) -> Serving:
        return Serving(str(tmp_path / f"{name}.db"), private=str(tmp_path / name))

    with pytest.raises(NoSuchBackup):
        restore(tmp_path / "none.db", keys, clean("a"))
    with pytest.raises(WrongMaster):
        restore(file, keys, replace(clean("b"), master="ab" * 32))
    with opened(file) as db, db.reading() as session:
        head = last_entry(session)
    master = (tmp_path / "private" / MASTER).read_text().strip()
    with pytest.raises(RecordBroken):
        restore(file, keys, replace(clean("c"), master=master), head._replace(hash="0" * 64))
    to = clean("d")
    (tmp_path / "d.db.private").mkdir()
    shutil.copy(tmp_path / "private" / MASTER, tmp_path / "d.db.private" / MASTER)
    with pytest.raises(SystemExit) as end:
        main(["db", "restore", str(file), to.database, "--keys", str(keys), "--head", f"{head.event}:{head.hash}", "--json"])
    assert not end.value.code
    told = json.loads(capsys.readouterr().out)
    assert (told["entries"], told["keys"], told["lost"]) == (head.event, 1, 0)


@pytest.mark.parametrize("kind", ["embedded", "postgresql"], indirect=True)
def test_a_database_of_before_the_cases_is_brought_up_to_date_with_its_map(new_url: NewUrl, tmp_path: Path) -> None:
    url = new_url()
    schema.initialise(url, WORK_CRS)
    with open_database(url) as db:
        version = version_of(city(), SETTINGS)
        publish(db, version, Signing("王", "首次发布"), now=START)
    before = digest(url)
    found = upgrade(url)
    assert not found.current
    assert digest(url) == before
    assert check(url, WHOLE) == ()
    assert upgrade(url).current
    with live(Serving(url, development=True, private=str(tmp_path / "private"))) as base:
        office = Office(base)
        assert office.operator.get("/api/v1/in-force")["version"] == version.hash
        assert office.operator.take(500, 500)["squad"] == "su00"
