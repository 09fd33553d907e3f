"""Items with the same order key are executed one after the other, in the order of the queue."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from taskqueue import BatchQueue, QueueItem, Runner, SpecError, TaskContext, travel
from taskqueue.queues import settlement
from taskqueue.storage.schema import WAITS_ITS_TURN
from tests.contract import tasks
from tests.contract.backends import only_sql, only_sql_parallel
from tests.contract.conftest import MakeQueue

OtherOf = Callable[[BatchQueue], BatchQueue]


def claim(queue: BatchQueue) -> QueueItem:
    item = queue.claim_item()
    assert item is not None
    return item


def waiting(queue: BatchQueue) -> list[int]:
    """The ids of what waits for its turn."""
    read = f"SELECT id FROM {{item}} WHERE holder = '{WAITS_ITS_TURN}' ORDER BY id"
    return [row[0] for row in queue.database.transaction(lambda tx: tx.rows(read))]  # type: ignore[attr-defined]


# --- what is accepted ---


@pytest.mark.parametrize("key", ["", " a", "a\n", "x" * 192, 7])
def test_an_order_key_is_checked_like_other_keys(queue: BatchQueue, key: object) -> None:
    with pytest.raises(SpecError, match="order_key must be 1 to 191 printable characters"):
        queue.create_item("x", order_key=key)  # type: ignore[arg-type]


def test_an_item_keeps_its_order_key(queue: BatchQueue) -> None:
    created = queue.create_item("x", order_key="é" * 191)

    assert created.order_key == "é" * 191
    assert claim(queue).order_key == "é" * 191


def test_a_dead_letter_keeps_its_order_key(queue: BatchQueue) -> None:
    queue.create_item("x", order_key="a")
    queue.settle([claim(queue)], settlement.bury("no"))

    (letter,) = queue.dead_items()
    assert queue.revive_item(letter.id).order_key == "a"


def test_items_are_executed_in_order_on_every_queue(queue: BatchQueue, effects: list[object]) -> None:
    for number in range(3):
        for key in ("a", "b"):
            queue.create_item(tasks.step(lambda ctx, value=(key, number): effects.append(value)), order_key=key)

    assert Runner(queue).run_all()
    assert [number for key, number in effects if key == "a"] == [0, 1, 2]  # type: ignore[misc]
    assert [number for key, number in effects if key == "b"] == [0, 1, 2]  # type: ignore[misc]


# --- who waits for whom ---


@only_sql_parallel
def test_two_claimers_get_one_of_a_key_at_a_time(queue: BatchQueue, other: BatchQueue) -> None:
    first, second, third = (queue.create_item(number, order_key="a") for number in range(3))

    held = claim(queue)
    assert held.id == first.id
    assert other.claim_item() is None
    queue.delete_item(held)
    held = claim(other)
    assert held.id == second.id
    assert queue.claim_item() is None
    other.delete_item(held)
    assert claim(queue).id == third.id


@only_sql_parallel
def test_other_keys_and_items_without_are_not_held_up(queue: BatchQueue, other: BatchQueue) -> None:
    for key in ("a", "a", "b", None, "a"):
        queue.create_item(key, order_key=key)

    assert [claim(queue).data, claim(other).data, claim(queue).data] == ["a", "b", None]
    assert other.claim_item() is None


@only_sql_parallel
def test_the_same_key_in_another_queue_is_another_key(make_queue: MakeQueue) -> None:
    one, two = make_queue("one"), make_queue("two")
    one.create_item("x", order_key="a")
    two.create_item("x", order_key="a")

    claim(one)
    claim(two)


@only_sql_parallel
def test_what_waits_for_its_turn_counts_as_delayed(queue: BatchQueue) -> None:
    for number in range(4):
        queue.create_item(number, order_key="a")
    claim(queue)
    assert queue.claim_item() is None

    assert queue.statistics() == {"total": 4, "ready": 0, "blocked": 4, "leased": 1, "delayed": 3, "dead": 0}
    assert [item.run_count for item in queue.items()] == [1, 0, 0, 0]


@only_sql_parallel
@pytest.mark.parametrize("delay", [0, 30])
def test_an_item_that_waits_for_its_retry_blocks_its_followers(
    queue: BatchQueue, other: BatchQueue, delay: int
) -> None:
    first, second = (queue.create_item(number, order_key="a") for number in range(2))
    queue.settle([claim(queue)], settlement.retry(delay * 1000, "no"))

    if delay:
        assert other.claim_item() is None
    with travel(delay + 1):
        held = claim(other)
        assert held.id == first.id
        assert queue.claim_item() is None
        other.delete_item(held)
        assert claim(queue).id == second.id


@only_sql_parallel
def test_a_delayed_head_blocks_its_followers(queue: BatchQueue) -> None:
    queue.create_item("first", order_key="a", delay=3600)
    second = queue.create_item("second", order_key="a")

    assert queue.claim_item() is None
    with travel(1800):  # the safety net catches nothing before the head is due
        assert queue.claim_item() is None
    assert waiting(queue) == [second.id]


ENDS = {
    "deleted": lambda queue, item: queue.delete_item(item),
    "dead": lambda queue, item: queue.settle([item], settlement.bury("no")),
    "failed": lambda queue, item: queue.settle([item], settlement.delete("no")),
    "skipped": lambda queue, item: queue.settle([item], settlement.skip("no")),
}


@only_sql_parallel
@pytest.mark.parametrize("end", ENDS)
def test_whatever_leaves_the_queue_hands_on_at_once(queue: BatchQueue, other: BatchQueue, end: str) -> None:
    _first, second, third = (queue.create_item(number, order_key="a") for number in range(3))
    held = claim(queue)
    assert other.claim_item() is None
    assert waiting(queue) == [second.id, third.id]

    ENDS[end](queue, held)

    assert waiting(queue) == [third.id]
    assert queue.statistics()["ready"] == 1
    assert claim(other).id == second.id


@only_sql_parallel
def test_what_was_put_back_or_joins_later_waits_as_well(queue: BatchQueue) -> None:
    queue.create_item("first", order_key="a")
    held = claim(queue)
    later = queue.create_item("later", order_key="a")
    queue.relinquish_items([held])

    held = claim(queue)
    assert held.data == "first"
    queue.create_item("last", order_key="a")
    assert queue.claim_item() is None
    queue.release_item(held, 30)
    assert queue.claim_item() is None
    assert len(waiting(queue)) == 2
    queue.cancel_item(held.id)
    assert claim(queue).id == later.id


@only_sql_parallel
def test_a_batch_holds_the_first_ones_of_a_key_and_no_others(make_queue: MakeQueue, other_of: OtherOf) -> None:
    queue = make_queue(batch_limit=10)
    for number in range(4):
        queue.create_item(number, order_key="a")
    held = queue.claim_items(2)

    assert [item.data for item in held] == [0, 1]
    assert other_of(queue).claim_items(10) == []
    queue.delete_item(held[0])
    assert queue.claim_items(10) == []  # the second one is still held
    queue.delete_item(held[1])
    assert [item.data for item in queue.claim_items(10)] == [2]


@only_sql_parallel
def test_what_goes_first_but_came_later_waits_for_what_is_held(queue: BatchQueue, other: BatchQueue) -> None:
    for number in range(2):
        queue.create_item(number, order_key="a")
    held = claim(queue)
    first = other.create_item("first", order_key="a", weight=-1)

    assert other.claim_item() is None
    queue.delete_item(held)
    assert claim(other).id == first.id
    assert queue.claim_item() is None


@only_sql_parallel
def test_a_revived_item_goes_before_its_followers_and_after_what_is_held(queue: BatchQueue) -> None:
    dead, second, third = (queue.create_item(number, order_key="a") for number in range(3))
    queue.settle([claim(queue)], settlement.bury("no"))
    held = claim(queue)
    assert held.id == second.id

    queue.revive_item(dead.id)

    assert queue.claim_item() is None
    queue.delete_item(held)
    held = claim(queue)
    assert held.id == dead.id
    assert queue.claim_item() is None
    queue.delete_item(held)
    assert claim(queue).id == third.id


@only_sql_parallel
def test_a_thief_takes_the_head_and_the_followers_go_on_waiting(queue: BatchQueue, other: BatchQueue) -> None:
    for number in range(2):
        queue.create_item(number, order_key="a")
    held = claim(queue)
    assert queue.claim_item() is None

    stolen = other.steal_item()

    assert stolen is not None
    assert stolen.id == held.id
    assert queue.delete_items([held]) == [held]
    assert queue.claim_item() is None
    other.delete_item(stolen)
    assert claim(queue).data == 1


@only_sql_parallel
def test_a_waiting_item_can_be_cancelled_and_the_others_keep_their_order(queue: BatchQueue) -> None:
    first, second, third = (queue.create_item(number, order_key="a") for number in range(3))
    held = claim(queue)
    assert queue.claim_item() is None

    assert queue.cancel_item(second.id) == "cancelled"
    assert queue.cancel_item(first.id) == "stopping"

    assert queue.claim_item() is None
    queue.release_item(held)  # does not come back
    assert queue.outcome_of(first.id) == "cancelled"
    assert claim(queue).id == third.id


@only_sql_parallel
def test_an_item_that_was_cancelled_while_it_was_held_is_removed_when_it_has_to_wait(queue: BatchQueue) -> None:
    cancelled = queue.create_item("cancelled", order_key="a")
    claim(queue)
    assert queue.cancel_item(cancelled.id) == "stopping"
    first = queue.create_item("first", order_key="a", weight=-1)

    with travel(2 * 3600):  # its holder is lost
        held = claim(queue)
        assert held.id == first.id
        assert queue.claim_item() is None
        assert queue.outcome_of(cancelled.id) == "cancelled"


@only_sql_parallel
def test_what_was_listed_while_it_waited_can_be_deleted(queue: BatchQueue) -> None:
    for number in range(3):
        queue.create_item(number, order_key="a")
    held = claim(queue)
    assert queue.claim_item() is None

    listed = list(queue.items())
    queue.delete_item(listed[1])
    queue.delete_item(held)

    assert claim(queue).data == 2


@only_sql_parallel
def test_nothing_waits_after_a_reset(queue: BatchQueue) -> None:
    for number in range(2):
        queue.create_item(number, order_key="a")
    claim(queue)
    assert queue.claim_item() is None

    queue.reset()

    created = queue.create_item("new", order_key="a")
    assert claim(queue).id == created.id


@only_sql_parallel
def test_a_concurrency_limit_counts_nothing_that_waits(make_queue: MakeQueue) -> None:
    queue = make_queue(concurrency_limit=2)
    for key in ("a", "a", "a", "b"):
        queue.create_item(key, order_key=key)

    assert [claim(queue).data, claim(queue).data] == ["a", "b"]


# --- with a session, and in a transaction ---


@only_sql
def test_an_order_key_in_the_callers_own_transaction(queue: BatchQueue) -> None:
    engine = queue.database.engine  # type: ignore[attr-defined]
    with engine.connect() as connection:
        queue.create_item("never", order_key="a", session=connection)
        connection.rollback()
        kept = queue.create_item("kept", order_key="a", session=connection)
        connection.commit()

    assert kept.order_key == "a"
    assert claim(queue).id == kept.id


@only_sql_parallel
def test_a_follower_that_is_not_committed_yet_waits_afterwards(queue: BatchQueue) -> None:
    engine = queue.database.engine  # type: ignore[attr-defined]
    queue.create_item("first", order_key="a")
    held = claim(queue)
    with engine.connect() as connection:
        follower = queue.create_item("follower", order_key="a", session=connection)
        connection.commit()

    assert queue.claim_item() is None
    queue.delete_item(held)
    assert claim(queue).id == follower.id


@only_sql_parallel
def test_the_transaction_of_a_task_hands_on(queue: BatchQueue, other: BatchQueue, effects: list[object]) -> None:
    def first(ctx: TaskContext) -> None:
        with ctx.transaction() as session:
            effects.append(other.claim_item() if other.database.dialect.name != "sqlite" else None)  # type: ignore[attr-defined]
            ctx.queue.create_item("third", order_key="a", session=session)
        effects.append([item.data for item in other.items() if item.id in waiting(other)])

    queue.create_item(tasks.step(first), order_key="a")
    second = queue.create_item("second", order_key="a")

    Runner(queue).run_next()

    assert effects == [None, []]
    assert claim(other).id == second.id
    assert other.claim_item() is None
