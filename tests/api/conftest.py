"""The service on a city of its own for each test, or one for all of a file who only read."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, make_url

from api.store.setup import initialise
from tests.api.live import Person, fresh, live, published
from tests.api.staff import Clock, Office
from tests.db.conftest import (  # noqa: F401 - fixtures: a database of either kind
    WORK_CRS,
    NewUrl,
    a_database,
    kind,
    new_embedded,
    new_postgresql,
    new_url,
    server,
)

ON_A_SERVER_SLOWLY = {f"test_{name}.py" for name in ("open311", "cases", "case_files", "oidc", "batch", "people", "clocks")}
"""Files whose many tests run on the embedded database each time, and on a server's in the slow part."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "api" and item.path.name in ON_A_SERVER_SLOWLY and "postgresql" in item.name:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def template_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An initialised embedded database of the service, that nobody has open."""
    path = tmp_path_factory.mktemp("template") / "template.db"
    initialise(path, WORK_CRS)
    return path


@pytest.fixture(scope="session")
def template_name(server: Engine) -> Iterator[str]:  # noqa: F811
    """The same on the server, to be copied by it."""
    with a_database(server) as url:
        initialise(url, WORK_CRS)
        yield str(make_url(url).database)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An embedded database with the city, to be copied."""
    return Path(fresh(tmp_path_factory.mktemp("city")))


@pytest.fixture(scope="module")
def reading(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One service for all who only read."""
    with live(str(shutil.copy(template, tmp_path_factory.mktemp("reading") / "city.db"))) as address:
        yield address


@pytest.fixture
def city_url(template: Path, tmp_path: Path) -> str:
    """A database with the city."""
    return str(shutil.copy(template, tmp_path / "city.db"))


@pytest.fixture
def base(city_url: str) -> Iterator[str]:
    """The service on a city of its own, in development mode."""
    with live(city_url) as address:
        yield address


@pytest.fixture
def zhang(base: str) -> Person:
    """A planner."""
    return Person(base)


# ---- cases, on both databases ----------------------------------------------------------------------------------------


@pytest.fixture
def url(new_url: NewUrl) -> str:  # noqa: F811
    """A database with the city, of either kind."""
    made = new_url(initialised=True)
    published(made)
    return made


@pytest.fixture
def clock() -> Clock:
    """The clock of `service`."""
    return Clock()


@pytest.fixture
def service(url: str, clock: Clock) -> Iterator[Office]:
    """The service, and everybody who works with cases."""
    with live(url, now=clock) as base:
        yield Office(base)
