"""A lost answer is not a failure: what was sent, and may have been done, is neither lost nor done twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pymysql
import pytest

from taskqueue import Batch, QueueItem, Task
from taskqueue.errors import OutcomeUnknown
from taskqueue.queues import settlement
from taskqueue.queues.batch import BatchQueue
from taskqueue.queues.settlement import Settlement
from tests.servers import SERVER_DATABASES
from tests.storage.conftest import MakeService
from tests.storage.tapped import tap

pytestmark = [
    pytest.mark.parametrize("kind", SERVER_DATABASES),
    pytest.mark.parametrize("type_name", ["Sql", "SqlParallel"]),
    pytest.mark.parametrize("was_done", [True, False], ids=["answer-lost", "request-lost"]),
]


class Line:
    """Breaks once at the next statement that makes something durable: after it was done, or before."""

    def __init__(self, was_done: bool, error: Exception) -> None:
        self._was_done = was_done
        self._error = error
        self._is_armed = False
        self.has_broken = False
        #: Called when it has broken, before the next statement.
        self.then: Callable[[], object] | None = None

    def arm(self) -> None:
        self._is_armed = True

    def __call__(self, sql: str, commits: bool, send: Callable[[], Any]) -> Any:
        if self.has_broken and self.then is not None and sql != "ROLLBACK":
            then, self.then = self.then, None
            then()
        if not (self._is_armed and commits):
            return send()
        self._is_armed, self.has_broken = False, True
        if self._was_done:
            send()
        raise self._error


@pytest.fixture
def line(kind: str, was_done: bool, monkeypatch: pytest.MonkeyPatch) -> Line:
    """The line to the database, whole until armed."""
    if kind == "mariadb":
        error: Exception = pymysql.err.OperationalError(2013, "Lost connection to MySQL server during query")
    else:
        error = psycopg.OperationalError("consuming input failed: server closed the connection unexpectedly")
    line = Line(was_done, error)
    tap(monkeypatch, line)
    return line


@pytest.fixture
def queue(
    make_service: MakeService, shared_database: Callable[[str], str], kind: str, type_name: str, line: Line
) -> Iterator[BatchQueue]:
    queue = make_service(shared_database(kind)).create(type_name, "lost.answers", batch_limit=5)
    yield queue
    queue.delete()


@pytest.fixture
def held(queue: BatchQueue) -> QueueItem:
    """An item that is leased under fence 1."""
    queue.create_item("x")
    item = queue.claim_item()
    assert item is not None and item.fence == 1
    return item


def test_of_two_who_receive_the_same_one_hears_that_it_was_new(
    queue: BatchQueue, line: Line, make_service: MakeService, shared_database: Callable[[str], str], kind: str
) -> None:
    other = make_service(shared_database(kind)).load(queue.name)
    heard: list[bool] = []
    line.then = lambda: heard.append(other.receive("x", "key"))
    line.arm()
    heard.append(queue.receive("x", "key"))
    assert line.has_broken
    assert sorted(heard) == [False, True]
    assert queue.number_of_items() == 1


@pytest.mark.parametrize("key", [None, "k"])
def test_given_a_broken_line_when_an_item_is_created_then_it_stands_there_once(
    queue: BatchQueue, line: Line, key: str | None
) -> None:
    line.arm()
    item = queue.create_item("x", dedup_key=key)

    assert line.has_broken
    assert [(one.id, one.data) for one in queue.items()] == [(item.id, "x")]


def test_given_a_broken_line_when_many_are_created_then_the_error_says_that_nobody_knows(
    queue: BatchQueue, line: Line, was_done: bool
) -> None:
    line.arm()
    with pytest.raises(OutcomeUnknown):
        queue.create_items(range(5))

    assert line.has_broken
    assert queue.number_of_items() == (5 if was_done else 0)


def test_given_a_broken_line_when_items_are_claimed_then_the_same_lease_is_found_again(
    queue: BatchQueue, line: Line
) -> None:
    queue.create_items(range(4))

    line.arm()
    items = queue.claim_items(2)

    assert line.has_broken
    assert [(item.data, item.fence, item.run_count) for item in items] == [(0, 1, 1), (1, 1, 1)]
    assert queue.get_statistic("leased") == 2
    assert queue.delete_items(items) == []


def test_given_a_broken_line_when_the_head_is_stolen_then_it_is_stolen_once(
    queue: BatchQueue, line: Line, held: QueueItem
) -> None:
    line.arm()
    stolen = queue.steal_item()

    assert line.has_broken
    assert stolen is not None and (stolen.id, stolen.fence) == (held.id, 2)
    queue.delete_item(stolen)


@pytest.mark.parametrize("with_batch", [False, True])
def test_given_a_broken_line_when_an_item_is_deleted_then_the_answer_is_yes(
    queue: BatchQueue, line: Line, held: QueueItem, with_batch: bool
) -> None:
    other = queue.create_item("y")

    line.arm()
    if with_batch:
        assert queue.delete_items([held, other]) == []
    else:
        queue.delete_item(held)

    assert line.has_broken
    assert queue.number_of_items() == (0 if with_batch else 1)
    assert queue.outcome_of(held.id) == "ok"


def test_given_a_broken_line_when_an_item_is_released_then_the_answer_is_yes(
    queue: BatchQueue, line: Line, held: QueueItem
) -> None:
    line.arm()
    queue.release_item(held)

    assert line.has_broken
    standing = queue.fetch_item(held.id)
    assert standing is not None and (standing.fence, standing.release_time) == (2, None)


def test_given_a_broken_line_when_an_item_is_retried_then_one_failure_is_counted(
    queue: BatchQueue, line: Line, held: QueueItem
) -> None:
    line.arm()
    lost = queue.settle([held], settlement.retry(0, "no"))

    assert line.has_broken
    assert lost == []
    standing = queue.fetch_item(held.id)
    assert standing is not None and (standing.fence, standing.failures, standing.last_error) == (2, 1, "no")


def test_given_a_broken_line_when_an_item_is_buried_and_revived_then_there_is_one_of_it(
    queue: BatchQueue, line: Line, held: QueueItem
) -> None:
    line.arm()
    assert queue.settle([held], settlement.bury("no")) == []
    assert line.has_broken
    assert [dead.id for dead in queue.dead_items()] == [held.id]

    line.arm()
    assert queue.revive_item(held.id).fence == 2
    assert queue.statistics() | {"total": 1, "ready": 1, "dead": 0} == queue.statistics()


@pytest.mark.parametrize("how", [settlement.DONE, settlement.bury("no")], ids=["done", "buried"])
def test_given_a_broken_line_when_the_last_item_of_a_batch_ends_then_it_is_counted_once(
    queue: BatchQueue, line: Line, how: Settlement
) -> None:
    batch = queue.create_batch("ab", Task("tests.contract.tasks:note"))
    items = queue.claim_items(2)

    for item, pending in zip(items, (1, 0), strict=True):
        line.arm()
        assert queue.settle([item], how) == []
        assert line.has_broken
        assert queue.batch(batch.id) == Batch(batch.id, 2, pending, failed=(2 - pending) * how.dead)

    (callback,) = queue.items()
    assert callback.data.kwargs["batch"]["id"] == batch.id


def test_given_a_broken_line_when_a_waiting_item_is_cancelled_then_it_is_gone(queue: BatchQueue, line: Line) -> None:
    item = queue.create_item("x")

    line.arm()
    assert queue.cancel_item(item.id) == "cancelled"

    assert line.has_broken
    assert queue.outcome_of(item.id) == "cancelled"


@pytest.mark.parametrize("how", [settlement.RELINQUISH, settlement.retry(0, "no")], ids=["relinquish", "retry"])
def test_given_a_broken_line_when_a_cancelled_item_is_given_back_then_the_answer_is_yes(
    queue: BatchQueue, line: Line, held: QueueItem, how: Settlement
) -> None:
    queue.cancel_item(held.id)

    line.arm()
    assert queue.settle([held], how) == []

    assert line.has_broken
    assert queue.outcome_of(held.id) == "cancelled"


def test_given_a_broken_line_when_dead_letters_are_moved_then_each_is_counted(
    queue: BatchQueue, line: Line, held: QueueItem
) -> None:
    for move in (queue.revive_items, queue.delete_dead_items):
        item = queue.claim_item() or held
        queue.settle([item], settlement.bury("no"))

        line.has_broken = False
        line.arm()
        assert move([held.id]) == 1

        assert line.has_broken
    assert [ending.outcome for ending in queue.history_of(held.id)] == ["dead", "revived", "dead", "delete"]


def test_given_a_broken_line_when_an_item_ends_with_a_result_then_it_is_kept_once(
    queue: BatchQueue, line: Line, held: QueueItem
) -> None:
    queue.update(keep_result=60)
    done = replace(settlement.DONE, result=queue.pack_result(held, "value"))

    line.arm()
    assert queue.settle([held], done) == []

    assert line.has_broken
    result = queue.result_of(held.id)
    assert result is not None and result.value == "value"


def test_given_a_broken_line_when_a_lease_is_extended_then_it_is_extended(
    queue: BatchQueue, line: Line, held: QueueItem
) -> None:
    line.arm()
    queue.extend_lease(held, 90_000)

    assert line.has_broken
    standing = queue.fetch_item(held.id)
    assert standing is not None and held.release_time is not None and standing.release_time is not None
    assert (standing.release_time - held.release_time).total_seconds() > 80_000
