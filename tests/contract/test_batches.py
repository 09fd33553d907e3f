"""Batches: many items claimed and settled at once."""

from __future__ import annotations

from taskqueue import BatchQueue, travel
from tests.contract.backends import only_parallel, only_sequential
from tests.contract.conftest import MakeQueue


def counts(queue: BatchQueue) -> tuple[int, int, int]:
    """Total, ready, blocked."""
    found = queue.statistics()
    return found["total"], found["ready"], found["blocked"]


@only_parallel
def test_batches_overlap_and_are_settled_in_parts(make_queue: MakeQueue) -> None:
    queue = make_queue(batch_limit=3)
    queue.create_items(f"x{number}" for number in range(9))

    first, second = queue.claim_items(3), queue.claim_items(3)

    assert [item.data for item in first] == ["x0", "x1", "x2"]
    assert [item.data for item in second] == ["x3", "x4", "x5"]
    assert counts(queue) == (9, 3, 6)

    x5 = second[2]
    queue.delete_items([first[0], first[1], second[0], second[1]])
    queue.release_item(first[2])

    assert counts(queue) == (5, 4, 1)

    third = queue.claim_items(3)

    assert [item.data for item in third] == ["x2", "x6", "x7"]

    queue.delete_items([third[0], third[2]])
    queue.release_item(third[1])

    assert counts(queue) == (3, 2, 1)

    fourth = queue.claim_items(3)

    assert [item.data for item in fourth] == ["x6", "x8"]

    queue.delete_items(fourth)
    assert counts(queue) == (1, 0, 1)
    queue.delete_item(x5)
    assert counts(queue) == (0, 0, 0)


def test_batches_follow_each_other_to_the_end(make_queue: MakeQueue) -> None:
    queue = make_queue(batch_limit=3)
    queue.create_items(range(7))

    batches, left = [], []
    while batch := queue.claim_items(3):
        batches.append([item.data for item in batch])
        assert queue.delete_items(batch) == []
        left.append(counts(queue))

    assert batches == [[0, 1, 2], [3, 4, 5], [6]]
    assert left == [(4, 4, 0), (1, 1, 0), (0, 0, 0)]


def test_batch_limit_bounds_a_claim(make_queue: MakeQueue) -> None:
    queue = make_queue(batch_limit=2)
    queue.create_items("abc")

    assert len(queue.claim_items(100)) == 2


def test_without_a_batch_limit_one_item_is_claimed_at_a_time(queue: BatchQueue) -> None:
    queue.create_items("abc")

    assert len(queue.claim_items(3)) == 1


@only_sequential
def test_nobody_claims_while_one_item_of_a_batch_is_held(make_queue: MakeQueue) -> None:
    queue = make_queue(batch_limit=2)
    queue.create_items("abc")
    first, second = queue.claim_items(2)

    queue.delete_item(first)

    assert queue.claim_items(2) == []
    queue.delete_item(second)
    assert [item.data for item in queue.claim_items(2)] == ["c"]


@only_sequential
def test_a_batch_ends_before_an_item_that_has_to_wait(make_queue: MakeQueue) -> None:
    queue = make_queue(batch_limit=4)
    for data, delay in (("a", 0), ("b", 0), ("later", 60), ("d", 0)):
        queue.create_item(data, delay=delay)

    batch = queue.claim_items(4)

    assert [item.data for item in batch] == ["a", "b"]
    queue.delete_items(batch)
    assert queue.claim_items(4) == []
    with travel(61):
        assert [item.data for item in queue.claim_items(4)] == ["later", "d"]


def test_each_item_of_a_batch_has_a_lease_of_its_own(make_queue: MakeQueue) -> None:
    queue = make_queue(batch_limit=2)
    queue.create_items("ab")
    first, second = queue.claim_items(2, lease_time=10)

    queue.extend_lease(second, 100)

    with travel(11):
        queue.release_items([first])
        assert queue.statistics()["leased"] == 1


def test_a_released_batch_comes_back_after_its_pause(make_queue: MakeQueue) -> None:
    queue = make_queue(batch_limit=2, retry_interval=5)
    queue.create_items("ab")

    assert queue.release_items(queue.claim_items(2)) == []

    assert queue.claim_items(2) == []
    with travel(6):
        assert [item.run_count for item in queue.claim_items(2)] == [2, 2]


def test_an_empty_batch_is_nothing(queue: BatchQueue) -> None:
    assert queue.delete_items([]) == []
    assert queue.release_items([]) == []
    assert queue.relinquish_items([]) == []
