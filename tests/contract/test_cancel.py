"""Taking items back: those that wait, and those that somebody holds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from taskqueue import BatchQueue, ItemNotFound, LeaseLost, QueueItem, Runner, SpecError, TaskContext, travel
from taskqueue.queues import settlement
from taskqueue.queues.settlement import Settlement
from tests.contract import tasks
from tests.contract.backends import only_sequential, only_sql
from tests.contract.conftest import MakeQueue
from tests.contract.test_races import at_once

#: What may become of an attempt that does not complete.
ENDS = {
    "release": settlement.release(60_000),
    "relinquish": settlement.RELINQUISH,
    "interrupt": settlement.interrupt("gone"),
    "retry": settlement.retry(0, "no"),
    "abort": settlement.abort("no"),
    "delete": settlement.delete("no"),
    "bury": settlement.bury("no"),
    "cancel": settlement.cancel("asked to"),
}


@pytest.fixture
def held(queue: BatchQueue) -> QueueItem:
    """An item in our hands that shall stop."""
    queue.create_item("x")
    item = queue.claim_item()
    assert item is not None and not item.is_cancelled
    assert queue.cancel_item(item.id) == "stopping"
    return item


def is_gone(queue: BatchQueue, item: QueueItem) -> bool:
    """Whether the item has left the queue as cancelled, and only so."""
    counts = queue.statistics()
    return queue.outcome_of(item.id) == "cancelled" and counts["total"] == counts["dead"] == 0


@pytest.mark.parametrize("delay", [None, 60])
def test_an_item_that_waits_is_gone(queue: BatchQueue, other: BatchQueue, delay: int | None) -> None:
    item = queue.create_item("x", delay=delay)

    assert other.cancel_item(item.id) == "cancelled"

    assert is_gone(queue, item)
    assert queue.claim_item() is None


def test_its_key_is_free_again(queue: BatchQueue) -> None:
    item = queue.create_item("x", dedup_key="k")

    queue.cancel_item(item.id)

    assert queue.create_item("y", dedup_key="k").id != item.id


@only_sequential
def test_what_stood_behind_it_goes_on(queue: BatchQueue) -> None:
    blocker = queue.create_item("first", delay=60)
    queue.create_item("second")
    assert queue.claim_item() is None

    queue.cancel_item(blocker.id)

    item = queue.claim_item()
    assert item is not None and item.data == "second"


def test_an_item_in_hand_stays_there_and_is_marked(queue: BatchQueue, other: BatchQueue, held: QueueItem) -> None:
    queue.create_item("y")

    assert other.cancel_item(held.id) == "stopping"  # it was asked to before

    assert queue.statistics()["leased"] == 1
    assert [item.is_cancelled for item in queue.items()] == [True, False]
    assert queue.outcome_of(held.id) == "waiting"
    queue.extend_lease(held, 100)


def test_a_holder_learns_which_of_its_items_shall_stop(make_queue: MakeQueue) -> None:
    queue = make_queue(batch_limit=3)
    queue.create_items("abc")
    items = queue.claim_items(3)
    assert queue.cancelled_among(items) == set()

    queue.cancel_item(items[1].id)

    assert queue.cancelled_among(items) == {items[1].id}
    assert queue.cancelled_among(items[:1]) == queue.cancelled_among([]) == set()


def test_an_item_that_is_finished_all_the_same_is_ok(queue: BatchQueue, held: QueueItem) -> None:
    queue.delete_item(held)

    assert queue.outcome_of(held.id) == "ok"


@only_sql
def test_a_transaction_completes_it_all_the_same(queue: BatchQueue, held: QueueItem) -> None:
    with queue.completing(held):
        pass

    assert queue.outcome_of(held.id) == "ok"


@pytest.mark.parametrize("how", ENDS.values(), ids=ENDS.keys())
def test_an_item_that_is_not_finished_does_not_come_back(queue: BatchQueue, held: QueueItem, how: Settlement) -> None:
    assert queue.settle([held], how) == []

    assert is_gone(queue, held)


def test_of_many_given_back_only_the_cancelled_one_is_gone(make_queue: MakeQueue) -> None:
    queue = make_queue(batch_limit=3)
    queue.create_items("abc")
    items = queue.claim_items(3)
    queue.cancel_item(items[1].id)

    assert queue.release_items(items) == []

    assert [item.data for item in queue.items()] == ["a", "c"]
    assert [item.fence for item in queue.items()] == [2, 2]
    assert queue.outcome_of(items[1].id) == "cancelled"


def test_who_lost_the_lease_cannot_end_it(queue: BatchQueue, other: BatchQueue, held: QueueItem) -> None:
    stolen = other.steal_item()
    assert stolen is not None and stolen.is_cancelled

    with pytest.raises(LeaseLost):
        queue.release_item(held)

    assert queue.outcome_of(held.id) == "waiting"
    other.release_item(stolen)
    assert is_gone(queue, held)


def test_an_item_whose_holder_was_lost_is_gone(queue: BatchQueue) -> None:
    item = queue.create_item("x")
    queue.claim_item(10)

    with travel(11):
        assert queue.cancel_item(item.id) == "cancelled"

    assert is_gone(queue, item)


def test_an_item_whose_holder_was_lost_after_the_request_comes_marked(queue: BatchQueue) -> None:
    item = queue.create_item("x")
    queue.claim_item(10)
    queue.cancel_item(item.id)

    with travel(11):
        claimed = queue.claim_item()

    assert claimed is not None and claimed.is_cancelled


def test_a_task_that_takes_itself_back_and_fails_is_not_tried_again(make_queue: MakeQueue, effects: list[int]) -> None:
    queue = make_queue(retry_limit=3)

    def work(ctx: TaskContext) -> bool:
        assert ctx.item is not None
        effects.append(ctx.attempt)
        return ctx.queue.cancel_item(ctx.item.id) != "stopping"

    item = queue.create_item(tasks.step(work))

    Runner(queue).run_all()

    assert effects == [1]
    assert is_gone(queue, item)


def test_a_claim_and_a_cancellation_never_both_win(
    queue: BatchQueue, other_of: Callable[[BatchQueue], BatchQueue]
) -> None:
    other = other_of(queue)
    for _ in range(8):
        item = queue.create_item("x")

        def compete(number: int, item: QueueItem = item) -> object:
            return other.cancel_item(item.id) if number else queue.claim_item()

        claimed, answer = at_once(2, compete)

        assert answer == ("cancelled" if claimed is None else "stopping")
        if isinstance(claimed, QueueItem):
            assert queue.cancelled_among([claimed]) == {item.id}
            queue.delete_item(claimed)


def test_what_has_ended_or_never_was_cannot_be_taken_back(queue: BatchQueue) -> None:
    first, second = queue.create_item("x"), queue.create_item("y")
    queue.cancel_item(first.id)
    claimed = queue.claim_item()
    assert claimed is not None
    queue.delete_item(claimed)

    for item_id in (first.id, second.id, second.id + 1000):
        with pytest.raises(ItemNotFound, match=f"queue 'jobs' has no item {item_id} to cancel"):
            queue.cancel_item(item_id)
    assert queue.outcome_of(second.id) == "ok"


@only_sql
def test_an_item_of_another_queue_is_none_of_ours(make_queue: MakeQueue, queue: BatchQueue) -> None:
    item = make_queue("other").create_item("x")

    with pytest.raises(ItemNotFound):
        queue.cancel_item(item.id)

    assert make_queue("other").number_of_items() == 1


def test_an_id_that_is_none_is_refused(queue: BatchQueue) -> None:
    with pytest.raises(SpecError, match="an item id is a whole number, not '1'"):
        queue.cancel_item("1")  # type: ignore[arg-type]
