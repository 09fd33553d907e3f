"""Leases: how long they last, how they are prolonged and given back, and the fence that moves with them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from taskqueue import BatchQueue, LeaseLost, QueueItem, Runner, travel
from tests.contract import tasks
from tests.contract.backends import only_parallel
from tests.contract.conftest import MakeQueue


def claimed(queue: BatchQueue, lease_time: float | None = None) -> QueueItem:
    item = queue.claim_item(lease_time)
    assert item is not None
    return item


def standing(queue: BatchQueue, item: QueueItem) -> QueueItem:
    found = queue.fetch_item(item.id)
    assert found is not None
    return found


def test_a_released_item_is_claimed_again_as_the_second_attempt(queue: BatchQueue) -> None:
    queue.create_item("a")
    item = claimed(queue)
    assert queue.statistics()["blocked"] == 1

    queue.release_item(item)

    assert queue.statistics()["ready"] == 1
    again = claimed(queue)
    assert (again.id, again.run_count) == (item.id, 2)
    queue.delete_item(again)
    assert queue.number_of_items() == 0


def test_an_item_is_offered_again_once_its_lease_has_ended(queue: BatchQueue) -> None:
    queue.create_item("a")
    item = claimed(queue)

    with travel(timedelta(minutes=59)):
        assert queue.claim_item() is None
    with travel(3603):
        again = claimed(queue)

    assert (again.id, again.run_count, again.interruptions) == (item.id, 2, 1)


def test_the_option_lease_time_says_how_long(make_queue: MakeQueue) -> None:
    queue = make_queue(lease_time=10)
    queue.create_item("a")
    item = claimed(queue)

    with travel(9):
        assert queue.claim_item() is None
    with travel(10.1):
        assert claimed(queue).id == item.id


@pytest.mark.parametrize("lease_time", [20, 20.0, timedelta(seconds=20)], ids=str)
def test_a_claim_may_say_how_long_itself(queue: BatchQueue, lease_time: float) -> None:
    queue.create_item("a")
    claimed(queue, lease_time)

    with travel(19):
        assert queue.claim_item() is None
    with travel(20.1):
        assert queue.claim_item() is not None


def test_a_lease_can_be_prolonged_from_now_on(queue: BatchQueue) -> None:
    queue.create_item("a")
    item = claimed(queue, 10)

    with travel(9):
        queue.extend_lease(item, 10)
    with travel(18):
        assert queue.claim_item() is None
        queue.delete_item(item)

    assert queue.number_of_items() == 0


def test_a_lease_can_be_cut_short(queue: BatchQueue) -> None:
    queue.create_item("a")
    item = claimed(queue, 3600)

    queue.extend_lease(item, 5)

    with travel(6):
        assert queue.claim_item() is not None


def test_an_expired_lease_cannot_be_prolonged(queue: BatchQueue) -> None:
    queue.create_item("a")
    item = claimed(queue, 10)

    with travel(11):
        with pytest.raises(LeaseLost):
            queue.extend_lease(item)
        assert queue.claim_item() is not None


def test_what_nobody_claimed_meanwhile_can_be_finished_late(queue: BatchQueue) -> None:
    queue.create_item("a")
    item = claimed(queue, 10)

    with travel(11):
        queue.delete_item(item)

    assert queue.number_of_items() == 0


def test_a_release_waits_for_the_retry_interval(make_queue: MakeQueue) -> None:
    queue = make_queue(retry_interval=30)
    queue.create_item("a")

    queue.release_item(claimed(queue))

    assert queue.statistics()["delayed"] == 1
    with travel(29):
        assert queue.claim_item() is None
    with travel(30.5):
        assert queue.claim_item() is not None


@pytest.mark.parametrize("delay", [0, 5, timedelta(seconds=5)], ids=str)
def test_a_release_may_say_how_long_itself(make_queue: MakeQueue, delay: float) -> None:
    queue = make_queue(retry_interval=30)
    queue.create_item("a")

    queue.release_item(claimed(queue), delay)

    assert queue.statistics()["delayed"] == bool(delay)
    with travel(5.5):
        assert queue.claim_item() is not None


def test_what_is_relinquished_is_ready_at_once_and_was_never_attempted(make_queue: MakeQueue) -> None:
    queue = make_queue(retry_interval=30)
    queue.create_item("a")

    assert queue.relinquish_items([claimed(queue)]) == []

    again = claimed(queue)
    assert (again.run_count, again.interruptions) == (1, 0)


@only_parallel
def test_a_relinquished_item_stands_where_it_stood(queue: BatchQueue) -> None:
    for data in "abc":
        queue.create_item(data)
    first, second = claimed(queue), claimed(queue)

    queue.relinquish_items([second, first])

    assert [claimed(queue).data for _ in "abc"] == ["a", "b", "c"]


def test_the_fence_moves_on_by_one_at_each_change_of_hands(make_queue: MakeQueue) -> None:
    queue = make_queue(retry_limit=9)
    item = queue.create_item(tasks.step(lambda ctx: False))
    fences, runs = [item.fence], [item.run_count]

    def see(item: QueueItem) -> None:
        found = standing(queue, item)
        fences.append(found.fence)
        runs.append(found.run_count)

    see(claimed(queue))
    queue.release_item(standing(queue, item))
    see(item)
    held = claimed(queue)
    see(held)
    queue.relinquish_items([held])
    see(item)
    see(claimed(queue))
    stolen = queue.steal_item()
    assert stolen is not None
    see(stolen)
    queue.release_item(stolen)
    see(item)
    Runner(queue).run_next()  # a claim and a retry
    see(item)

    assert fences == [0, 1, 2, 3, 4, 5, 6, 7, 9]
    assert runs == [0, 1, 1, 2, 1, 2, 3, 3, 4]


def test_the_fence_stays_while_a_lease_is_prolonged_or_ends_by_itself(queue: BatchQueue) -> None:
    queue.create_item("a")
    item = claimed(queue, 10)

    queue.extend_lease(item, 20)
    assert standing(queue, item).fence == 1
    with travel(21):
        again = claimed(queue)

    assert again.fence == 2
