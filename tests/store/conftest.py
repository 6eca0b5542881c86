"""Cases without the use cases: the smallest rows the tables take, in a database of either kind with a published city."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext

import pytest

from geodata.db.engine import Database
from tests.api.conftest import template_file, template_name  # noqa: F401 - fixtures: databases of the service
from tests.db.conftest import (  # noqa: F401 - fixtures: a database of either kind
    NewUrl,
    kind,
    new_embedded,
    new_postgresql,
    new_url,
    other_url,
    server,
)
from tests.store.rows import prepared


@pytest.fixture(scope="session")
def processes() -> ForkServerContext:
    """Processes that have everything imported when they begin, and nothing open."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["geodata.db.schema", "tests.db.contents", "api.store.opening", "tests.store.rows"])
    return context


@pytest.fixture
def cases_url(new_url: NewUrl) -> str:  # noqa: F811
    """A database of the service, with a map, not open."""
    return prepared(new_url(initialised=True))


@pytest.fixture
def database(cases_url: str) -> Iterator[Database]:
    """The same, open."""
    from api.store.setup import opened

    with opened(cases_url) as db:
        yield db
