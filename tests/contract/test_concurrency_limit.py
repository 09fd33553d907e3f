"""How many items of a parallel queue are held at a time, by all workers together."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from taskqueue import BatchQueue, QueueItem, Runner, TaskContext, travel
from taskqueue.queues.base import Wait
from tests.contract import tasks
from tests.contract.backends import only_parallel
from tests.contract.conftest import MakeQueue
from tests.contract.test_races import at_once

OtherOf = Callable[[BatchQueue], BatchQueue]
pytestmark = only_parallel


def test_nothing_is_claimed_beyond_the_limit(make_queue: MakeQueue, other_of: OtherOf) -> None:
    queue = make_queue(concurrency_limit=2)
    other = other_of(queue)
    queue.create_items("abcd")

    first, second = queue.claim_item(), other.claim_item()

    assert first is not None and second is not None
    assert queue.claim_item() is None
    assert other.claim_item() is None
    queue.delete_item(first)
    third = other.claim_item()
    assert third is not None and third.data == "c"
    assert queue.claim_item() is None
    other.release_item(second)
    assert queue.claim_item() is not None


def test_a_batch_gets_what_is_left_of_the_limit(make_queue: MakeQueue) -> None:
    queue = make_queue(concurrency_limit=3, batch_limit=10)
    queue.create_items(range(8))
    assert queue.claim_item() is not None

    assert [item.data for item in queue.claim_items(10)] == [1, 2]


def test_claims_at_once_share_the_limit(make_queue: MakeQueue, other_of: OtherOf) -> None:
    queue = make_queue(concurrency_limit=3)
    queues = [queue, *(other_of(queue) for _ in range(3))]
    for _ in range(3):
        queue.create_items(range(8))

        claims = at_once(8, lambda number: queues[number % 4].claim_item())

        held = [item for item in claims if isinstance(item, QueueItem)]
        assert len({item.id for item in held}) == len(held) == 3
        queue.reset()


def test_runners_never_execute_more_than_that(make_queue: MakeQueue, other_of: OtherOf, effects: list[int]) -> None:
    queue = make_queue(concurrency_limit=2)
    lock, inside = Lock(), 0

    def work(ctx: TaskContext) -> None:
        nonlocal inside
        with lock:
            inside += 1
            effects.append(inside)
        tasks.last(0.002)
        with lock:
            inside -= 1

    for _ in range(30):
        queue.create_item(tasks.step(work))
    queues = [other_of(queue) for _ in range(4)]

    results = at_once(4, lambda number: Runner(queues[number]).run_all())

    assert all(results)
    assert len(effects) == 30
    assert max(effects) <= 2


def test_a_lease_that_is_over_does_not_count(make_queue: MakeQueue, other_of: OtherOf) -> None:
    queue = make_queue(concurrency_limit=1)
    queue.create_items("ab")
    queue.claim_item(10)
    assert queue.claim_item() is None

    with travel(11):
        assert queue.claim_item() is not None
        assert other_of(queue).claim_item() is None


def test_a_lease_that_has_just_ended_makes_room(make_queue: MakeQueue) -> None:
    queue = make_queue(concurrency_limit=1)
    queue.create_items("ab")

    queue.claim_item(0.001)
    tasks.last(0.003)

    assert queue.claim_item() is not None


def test_what_is_delayed_does_not_count(make_queue: MakeQueue) -> None:
    queue = make_queue(concurrency_limit=1)
    queue.create_item("later", delay=60)
    queue.create_item("now")

    item = queue.claim_item()

    assert item is not None and item.data == "now"


def test_who_finds_it_full_waits_for_a_lease_to_end(make_queue: MakeQueue) -> None:
    queue = make_queue(concurrency_limit=1)
    queue.create_items("ab")
    assert queue.wait() == Wait(0.0, is_leased=False)
    item = queue.claim_item(100)
    assert item is not None

    full = queue.wait()

    assert full is not None and full.is_leased and 90 < full.seconds <= 100
    queue.delete_item(item)
    assert queue.wait() == Wait(0.0, is_leased=False)


def test_a_thief_goes_beyond_it(make_queue: MakeQueue) -> None:
    queue = make_queue(concurrency_limit=1)
    queue.create_items("ab")
    assert queue.claim_item() is not None

    assert queue.steal_item() is not None


def test_a_changed_limit_counts_from_the_next_claim_on(make_queue: MakeQueue, other_of: OtherOf) -> None:
    queue = make_queue(concurrency_limit=1)
    other = other_of(queue)
    queue.create_items("abcd")
    queue.claim_item()

    queue.update(concurrency_limit=2)

    assert queue.claim_item() is not None
    assert queue.claim_item() is None
    queue.update(concurrency_limit=None)
    assert other.is_active()  # by which another process learns of it
    assert other.claim_item() is not None
    assert other.claim_item() is not None
