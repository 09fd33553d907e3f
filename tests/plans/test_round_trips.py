"""What a task costs: one statement and one commit to finish it, and a share of the claim of its batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from taskqueue import QueueService, Runner
from tests.servers import ALL_DATABASES
from tests.storage.tapped import tap

TASKS = 300
#: Statements that begin and end the record of a run.
RECORD = 45


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
@pytest.mark.parametrize("type_name", ["Sql", "SqlParallel"])
def test_given_tasks_that_do_nothing_when_run_to_the_end_then_each_costs_hardly_more_than_one_commit(
    service: QueueService, type_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    queue = service.create(type_name, "many")
    for _ in range(TASKS):
        queue.enqueue(nothing)
    counts = Counts()
    tap(monkeypatch, counts)
    # when
    result = Runner(queue).run_all()
    # then
    assert result and result.completed == TASKS
    assert TASKS <= counts.statements <= 1.2 * TASKS + RECORD + _looks(result.elapsed)
    assert TASKS <= counts.commits <= 1.06 * TASKS


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


def _looks(seconds: float) -> float:
    """Statements by which a run looks for pauses and for others' items, ten times a second, and keeps its record,
    twice a second: a matter of time."""
    return 4 * seconds / 0.1 + 8 * seconds / 0.5
