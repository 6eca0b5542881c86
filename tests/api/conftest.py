"""The service on a city of its own for each test, or one for all of a file who only read."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.live import Person, fresh, live
from tests.db.conftest import (  # noqa: F401 - fixtures: a database of either kind
    kind,
    new_embedded,
    new_postgresql,
    new_url,
    server,
    template_file,
    template_name,
)


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
