"""Cases without the use cases: the smallest rows the tables take, in a database of either kind with a published city."""

from __future__ import annotations

from collections.abc import Iterator

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
    processes,
    server,
)
from tests.store.rows import prepared


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
