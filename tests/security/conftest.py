"""What the tests of attacks share: an empty database of each kind, and a folder in which nothing may appear."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taskqueue import QueueService
from taskqueue.storage.transaction import Transaction
from tests.contract.conftest import _EMPTIED
from tests.security import allowed, attacks
from tests.security.gadgets import MARKS
from tests.servers import ALL_DATABASES


@pytest.fixture(params=ALL_DATABASES)
def url(request: pytest.FixtureRequest, shared_database: Callable[..., str]) -> Iterator[str]:
    """The URL of a database in which nothing stands."""
    found = shared_database(request.param, "security")
    empty(found)
    yield found
    empty(found)


def empty(url: str) -> None:
    """Remove all rows."""

    def delete(tx: Transaction) -> None:
        for table in _EMPTIED:
            tx.change(f"DELETE FROM {{{table}}}")

    service = QueueService(url)
    service.database.transaction(delete)
    service.close()


@pytest.fixture
def make_service(url: str) -> Iterator[Callable[..., QueueService]]:
    """Makes services on the database, each of which is to the others as another process would be."""
    made: list[QueueService] = []

    def make(**settings: object) -> QueueService:
        made.append(QueueService(url, **{"allow": [allowed.__name__], **settings}))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for service in made:
        service.close()


@pytest.fixture
def service(make_service: Callable[..., QueueService]) -> QueueService:
    """A service that allows the tasks of the tests, and nothing else."""
    return make_service()


@pytest.fixture(autouse=True)
def marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder in which attacks that come through leave a file; there may be none at the end of a test."""
    folder = tmp_path / "marks"
    folder.mkdir()
    monkeypatch.setenv(MARKS, str(folder))
    allowed.effects.clear()
    yield folder
    assert attacks.marks() == []
