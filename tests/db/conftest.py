"""Every test of the store runs on both databases: an embedded file, and PostGIS where JIEGUAN_TEST_POSTGRES names a server."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine, make_url

from geodata.db import Database, open_database
from geodata.db.schema import initialise

WORK_CRS = "EPSG:4547"
KINDS = ("embedded", "postgresql")
NewUrl = Callable[..., str]


@pytest.fixture(scope="session")
def server() -> Iterator[Engine]:
    """The PostGIS server, for making databases; skips where there is none."""
    url = os.environ.get("JIEGUAN_TEST_POSTGRES")
    if not url:
        pytest.skip("no PostGIS: JIEGUAN_TEST_POSTGRES is not set (scripts/_postgis starts one where it can)")
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


@contextmanager
def a_database(server: Engine, options: str = "") -> Iterator[str]:
    """A database on the server, by its URL; gone afterwards."""
    name = f"jieguan_{uuid.uuid4().hex[:12]}"
    with server.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name} {options}"))
    yield make_url(os.environ["JIEGUAN_TEST_POSTGRES"]).set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="session")
def template_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An initialised embedded database that nobody has open."""
    path = tmp_path_factory.mktemp("template") / "template.db"
    initialise(path, WORK_CRS)
    return path


@pytest.fixture(scope="session")
def template_name(server: Engine) -> Iterator[str]:
    """An initialised database on the server, to be copied by it."""
    with a_database(server) as url:
        initialise(url, WORK_CRS)
        yield str(make_url(url).database)


@pytest.fixture(scope="session")
def processes() -> ForkServerContext:
    """Processes that have everything imported when they begin, and nothing open."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["geodata.db.schema", "tests.db.contents"])
    return context


@pytest.fixture
def new_embedded(tmp_path: Path, request: pytest.FixtureRequest) -> NewUrl:
    def new(*, initialised: bool = False) -> str:
        path = tmp_path / f"{uuid.uuid4().hex[:12]}.db"
        if initialised:
            shutil.copy(request.getfixturevalue("template_file"), path)
        return str(path)

    return new


@pytest.fixture
def new_postgresql(server: Engine, request: pytest.FixtureRequest) -> NewUrl:
    def new(*, initialised: bool = False) -> str:
        options = f"TEMPLATE {request.getfixturevalue('template_name')}" if initialised else ""
        made = a_database(server, options)
        url = made.__enter__()
        request.addfinalizer(lambda: made.__exit__(None, None, None))
        return url

    return new


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which of the two databases this run of the test is on."""
    return str(request.param)


@pytest.fixture
def new_url(kind: str, request: pytest.FixtureRequest) -> NewUrl:
    """`new_url()`: a place for a database that does not exist yet (a server's: is empty); `initialised=True`: one ready to open."""
    new: NewUrl = request.getfixturevalue(f"new_{kind}")
    return new


@pytest.fixture
def other_url(kind: str, request: pytest.FixtureRequest) -> NewUrl:
    """The same on the other kind of database."""
    (other,) = set(KINDS) - {kind}
    new: NewUrl = request.getfixturevalue(f"new_{other}")
    return new


@pytest.fixture
def fresh_url(new_url: NewUrl) -> str:
    """A place for a database, nothing in it."""
    return new_url()


@pytest.fixture
def url(new_url: NewUrl) -> str:
    """An initialised database, not open."""
    return new_url(initialised=True)


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """An initialised database, open."""
    with open_database(url) as db:
        yield db
