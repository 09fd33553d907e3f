"""What it costs to claim a single item; what many of them cost is counted in ``tests/costs``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from taskqueue import QueueService
from tests.servers import ALL_DATABASES
from tests.storage.tapped import tap


def nothing(ctx: Any) -> None:
    """A task."""


class Counts:
    """All that went to the database, and how much of it had to be made durable."""

    def __init__(self) -> None:
        self.statements = 0
        self.commits = 0

    def __call__(self, sql: str, commits: bool, send: Callable[[], Any]) -> Any:
        self.statements += 1
        self.commits += commits
        return send()


@pytest.fixture
def service(database_url: str) -> Iterator[QueueService]:
    service = QueueService(database_url)
    yield service
    service.close()


@pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)
def test_given_one_item_when_a_worker_leases_it_then_that_and_the_look_at_the_queue_cost_no_more_than_they_must(
    service: QueueService, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    monkeypatch.setattr("taskqueue.queues.sql_base._PROMOTE_EVERY_MS", 3_600_000)
    queue = service.create("SqlParallel", "single")
    assert queue.lease_to_execute(100, 60_000) == ([], False)  # looks for what is due, and not again soon
    queue.enqueue(nothing)
    counts = Counts()
    tap(monkeypatch, counts)
    # when
    items, is_active = queue.lease_to_execute(100, 60_000)
    # then
    assert (len(items), is_active) == (1, True)
    # MariaDB: what is ready, lease it, and note that for a producer whose connection is lost.
    assert (counts.statements, counts.commits) == ((3, 2) if "mysql" in database_url else (1, 1))
