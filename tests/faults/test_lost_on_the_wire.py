"""The answer to whatever makes something durable gets lost between the server and the driver.

What was asked for has been done then, and who asked does not know: nothing is stored twice, no claim is lost or held
by two, and who has completed an item hears that it is so. ``LOST_ANSWERS=1000`` loses that many of each kind.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext

import pytest
from sqlalchemy import text

from taskqueue import QueueItem, Runner, Task, TaskContext, travel
from taskqueue.errors import DatabaseUnavailable, OutcomeUnknown
from taskqueue.queues import settlement
from taskqueue.queues.batch import BatchQueue
from tests.faults.child import LEASE
from tests.faults.lines import Lines
from tests.faults.tasks import EFFECTS
from tests.servers import SERVER_DATABASES, Server

#: Answers of each kind that get lost, on each database; half of them on either type of queue.
TIMES = int(os.environ.get("LOST_ANSWERS") or 25)

#: What the task does at the end of its transaction.
at_commit: list[Callable[[], object]] = []

pytestmark = [pytest.mark.chaos, pytest.mark.parametrize("kind", SERVER_DATABASES)]


@pytest.fixture
def lines(request: pytest.FixtureRequest, shared_database: Callable[..., str], kind: str) -> Iterator[Lines]:
    server: Server = request.getfixturevalue(f"{kind}_server")
    lines = Lines(server, shared_database(kind, "lost_on_the_wire"))
    with lines.good.engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS effects"))
        connection.execute(text(EFFECTS))
    yield lines
    lines.close()


def held(queue: BatchQueue) -> QueueItem:
    """An item that is leased under fence 1."""
    queue.create_item("x")
    item = queue.claim_item()
    assert item is not None and item.fence == 1
    return item


def enqueue(queue: BatchQueue, lines: Lines) -> None:
    with lines.losing():
        item = queue.create_item("x")
    assert [one.id for one in lines.seen.items()] == [item.id]


def enqueue_with_key(queue: BatchQueue, lines: Lines) -> None:
    with lines.losing():
        item = queue.create_item("x", dedup_key="k")
    assert [one.id for one in lines.seen.items()] == [item.id]
    assert lines.seen.create_item("x", dedup_key="k").id == item.id


def enqueue_many(queue: BatchQueue, lines: Lines) -> None:
    """They have no identity by which they could be found again: so it says that nobody knows."""
    with lines.losing(), pytest.raises(OutcomeUnknown):
        queue.create_items(range(5))
    assert [one.data for one in lines.seen.items()] == [*range(5)]


def claim(queue: BatchQueue, lines: Lines) -> None:
    queue.create_items(range(4))
    with lines.losing():
        items = queue.claim_items(2)
    assert [(item.data, item.fence, item.run_count) for item in items] == [(0, 1, 1), (1, 1, 1)]
    assert lines.seen.get_statistic("leased") == 2
    assert queue.delete_items(items) == []


def claim_alone(queue: BatchQueue, lines: Lines) -> None:
    queue.create_item("x")
    with lines.losing():
        item = queue.claim_item()
    assert item is not None and (item.fence, item.run_count) == (1, 1)
    queue.delete_item(item)


def claim_and_die(queue: BatchQueue, lines: Lines) -> None:
    """Who never asks again holds it for the lease, and no longer."""
    assert queue.claim_item() is None  # what is done once a minute is done
    queue.create_items(["x", "y"])
    database = lines.bad.database
    before, database._patience = database._patience, -1.0
    try:
        with lines.losing(), pytest.raises(OutcomeUnknown):
            queue.claim_items(2, lease_time=LEASE)
    finally:
        database._patience = before
    assert lines.seen.claim_item() is None
    with travel(LEASE + 0.1):
        item = lines.seen.claim_item()
    assert item is not None and item.fence == 2


def steal(queue: BatchQueue, lines: Lines) -> None:
    item = held(queue)
    with lines.losing():
        stolen = queue.steal_item()
    assert stolen is not None and (stolen.id, stolen.fence) == (item.id, 2)
    assert lines.seen.delete_items([item]) == [item]
    queue.delete_item(stolen)


def complete(queue: BatchQueue, lines: Lines) -> None:
    item = held(queue)
    with lines.losing():
        queue.delete_item(item)
    assert (lines.seen.number_of_items(), lines.seen.outcome_of(item.id)) == (0, "ok")


def complete_many(queue: BatchQueue, lines: Lines) -> None:
    queue.create_items(range(5))
    items = queue.claim_items(5)
    with lines.losing():
        assert queue.delete_items(items) == []
    assert [lines.seen.outcome_of(item.id) for item in items] == ["ok"] * 5


def complete_in_transaction(queue: BatchQueue, lines: Lines) -> None:
    """The effect of a task and its completion are one commit: both took place, once."""
    item = queue.enqueue(insert)
    with ExitStack() as stack:
        at_commit.append(lambda: stack.enter_context(lines.losing()))
        result = Runner(queue).run_all()
    assert (result.completed, result.failed) == (1, 0), result.exception
    with lines.good.engine.begin() as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM effects")).scalar() == 1
        connection.execute(text("DELETE FROM effects"))
    assert lines.seen.outcome_of(item.id) == "ok"


def insert(ctx: TaskContext) -> None:
    with ctx.transaction() as session:
        session.execute(text("INSERT INTO effects (number, fence) VALUES (1, 1)"))
        at_commit.pop()()


def release(queue: BatchQueue, lines: Lines) -> None:
    item = held(queue)
    with lines.losing():
        queue.release_item(item)
    standing = lines.seen.fetch_item(item.id)
    assert standing is not None and (standing.fence, standing.release_time) == (2, None)


def retry(queue: BatchQueue, lines: Lines) -> None:
    item = held(queue)
    with lines.losing():
        assert queue.settle([item], settlement.retry(0, "no")) == []
    standing = lines.seen.fetch_item(item.id)
    assert standing is not None and (standing.fence, standing.failures, standing.last_error) == (2, 1, "no")


def bury(queue: BatchQueue, lines: Lines) -> None:
    item = held(queue)
    with lines.losing():
        assert queue.settle([item], settlement.bury("no")) == []
    assert [dead.id for dead in lines.seen.dead_items()] == [item.id]
    assert lines.seen.number_of_items() == 0


def revive(queue: BatchQueue, lines: Lines) -> None:
    item = held(queue)
    queue.settle([item], settlement.bury("no"))
    with lines.losing():
        assert queue.revive_item(item.id).fence == 2
    assert [*lines.seen.dead_items()] == []
    assert [one.id for one in lines.seen.items()] == [item.id]


def renew(queue: BatchQueue, lines: Lines) -> None:
    item = held(queue)
    with lines.losing():
        queue.extend_lease(item, 90_000)
    standing = lines.seen.fetch_item(item.id)
    assert standing is not None and item.release_time is not None and standing.release_time is not None
    assert (standing.release_time - item.release_time).total_seconds() > 80_000
    assert standing.fence == item.fence


def cancel(queue: BatchQueue, lines: Lines) -> None:
    item = queue.create_item("x")
    with lines.losing():
        assert queue.cancel_item(item.id) == "cancelled"
    assert lines.seen.outcome_of(item.id) == "cancelled"


def batch(queue: BatchQueue, lines: Lines) -> None:
    """The last item of a batch ends: its callback is enqueued once."""
    made = queue.create_batch("a", Task("tests.faults.test_lost_on_the_wire:insert"))
    (item,) = queue.claim_items(1)
    with lines.losing():
        queue.delete_item(item)
    assert [one.data.kwargs["batch"]["id"] for one in lines.seen.items()] == [made.id]


KINDS = (
    enqueue, enqueue_with_key, enqueue_many, claim, claim_alone, claim_and_die, steal, complete, complete_many,
    complete_in_transaction, release, retry, bury, revive, renew, cancel, batch,
)  # fmt: skip


@pytest.mark.parametrize("action", KINDS, ids=lambda action: action.__name__)
def test_given_answers_that_get_lost_on_the_wire_when_they_are_asked_for_again_then_it_was_done_once(
    lines: Lines, action: Callable[[BatchQueue, Lines], None]
) -> None:
    for number in range(TIMES):
        queue = lines.create("Sql" if number % 2 else "SqlParallel", batch_limit=5)
        action(queue, lines)


def claim_one(queue: BatchQueue) -> QueueItem:
    item = queue.claim_item()
    assert item is not None
    return item


def claim_several(queue: BatchQueue) -> QueueItem:
    """The other one stands behind it."""
    queue.create_item("y")
    first, _second = queue.lease(2, 30_000)
    return first


def steal_one(queue: BatchQueue) -> QueueItem:
    item = queue.steal_item()
    assert item is not None
    return item


def cancel_one(queue: BatchQueue) -> QueueItem:
    (item,) = queue.items()
    queue.cancel_item(item.id)
    return item


@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("take", [claim_one, claim_several, steal_one, cancel_one])
@pytest.mark.parametrize("type", ["Sql", "SqlParallel"])
def test_given_an_enqueue_whose_answer_is_lost_when_the_item_is_done_before_it_is_looked_for_then_it_is_not_there_again(
    lines: Lines, type: str, take: Callable[[BatchQueue], QueueItem], key: str | None
) -> None:
    queue = lines.create(type)
    done: list[QueueItem] = []

    def do_it() -> None:
        done.append(take(lines.seen))
        if done[0].run_count:
            lines.seen.delete_item(done[0])

    with lines.losing() as lost:
        lost.then = do_it
        item = queue.create_item("x", dedup_key=key)

    assert (item.id, item.uid, item.submit_time) == (done[0].id, done[0].uid, done[0].submit_time)
    assert "x" not in [left.data for left in lines.seen.items()]


def test_given_an_enqueue_whose_answer_is_lost_when_it_is_looked_for_too_late_then_it_is_not_guessed(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskqueue.storage.claimed.ASKED_WITHIN", 0)
    queue = lines.create("Sql")
    with lines.losing() as lost, pytest.raises(OutcomeUnknown, match="too late to tell"):
        lost.then = lambda: lines.seen.delete_item(claim_one(lines.seen))
        queue.create_item("x")
    assert lines.seen.number_of_items() == 0


@pytest.mark.parametrize("type", ["Sql", "SqlParallel"])
def test_notes_of_claims_are_made_of_what_came_in_lately_and_kept_for_minutes(lines: Lines, type: str) -> None:
    def notes() -> int:
        return int(database.statement(lambda tx: tx.row("SELECT COUNT(*) FROM {claimed}"), write=False)[0])

    queue, database = lines.create(type), lines.good.database
    database.statement(lambda tx: tx.change("DELETE FROM {claimed}"))
    queue.create_items(["a", "b"])
    lines.seen.delete_item(claim_one(lines.seen))
    assert notes() == 1
    with travel(121):
        claim_one(lines.seen)
    assert notes() == 1, "nobody asks for what is two minutes old"
    database.last_forgot = -math.inf
    with travel(239):
        lines.seen.claim_item()
    assert notes() == 1
    database.last_forgot = -math.inf
    with travel(241):
        lines.seen.claim_item()
    assert notes() == 0


@pytest.mark.parametrize("is_sure", [True, False], ids=["within-the-lease", "after-the-lease"])
def test_given_a_completion_whose_answer_is_lost_when_the_item_is_gone_then_it_is_ours_only_within_our_lease(
    lines: Lines, is_sure: bool
) -> None:
    queue = lines.create("SqlParallel")
    item = held(queue)
    with lines.losing():
        lost = queue.settle([item], settlement.DONE, lambda _item_id: is_sure)
    assert lost == ([] if is_sure else [item])
    assert lines.seen.number_of_items() == 0


@pytest.mark.parametrize("is_sure", [True, False], ids=["within-the-lease", "after-the-lease"])
def test_given_a_transaction_whose_answer_is_lost_when_the_item_is_gone_then_it_is_ours_only_within_our_lease(
    lines: Lines, is_sure: bool
) -> None:
    queue = lines.create("SqlParallel")
    item = held(queue)
    said = nullcontext() if is_sure else pytest.raises(DatabaseUnavailable)
    with said, ExitStack() as stack, queue.completing(item, lambda _item_id: is_sure) as session:
        session.execute(text("SELECT 1"))
        stack.enter_context(lines.losing())
    assert lines.seen.number_of_items() == 0
