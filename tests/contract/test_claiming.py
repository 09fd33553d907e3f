"""Claiming: who gets which item, and when nobody does."""

from __future__ import annotations

import pytest

from taskqueue import BatchQueue, travel
from tests.contract.backends import Backend, only_parallel, only_sequential
from tests.contract.conftest import MakeQueue


def counts(queue: BatchQueue) -> tuple[int, int, int]:
    """Total, ready, blocked."""
    found = queue.statistics()
    return found["total"], found["ready"], found["blocked"]


def test_items_are_claimed_and_deleted_one_by_one_in_order(queue: BatchQueue) -> None:
    for data in ("a", "b", "c"):
        queue.create_item(data)
    assert counts(queue) == (3, 3, 0)

    first = queue.claim_item()

    assert first is not None
    assert (first.data, first.run_count) == ("a", 1)
    assert counts(queue) == (3, 2, 1)

    queue.delete_item(first)

    assert counts(queue) == (2, 2, 0)

    queue.create_item("d")
    rest = []
    while (item := queue.claim_item()) is not None:
        rest.append(item.data)
        queue.delete_item(item)

    assert rest == ["b", "c", "d"]
    assert counts(queue) == (0, 0, 0)


def test_an_empty_queue_gives_nothing(queue: BatchQueue) -> None:
    assert queue.claim_item() is None
    assert queue.claim_items(3) == []
    assert queue.steal_item() is None


def test_a_lower_weight_goes_first_and_a_higher_one_last(queue: BatchQueue) -> None:
    for data in ("a", "b", "c"):
        queue.create_item(data)
    for _ in ("a", "b"):
        item = queue.claim_item()
        assert item is not None
        queue.delete_item(item)

    queue.create_item("start", weight=-1)
    queue.create_item("end", weight=1)
    queue.create_item("d")

    order = []
    while (item := queue.claim_item()) is not None:
        order.append(item.data)
        queue.delete_item(item)
    assert order == ["start", "c", "d", "end"]


@only_sequential
def test_a_sequential_queue_has_one_holder(queue: BatchQueue) -> None:
    queue.create_item("a")
    queue.create_item("b")

    first = queue.claim_item()

    assert first is not None
    assert queue.claim_item() is None


@only_sequential
def test_a_lower_weight_that_arrives_while_an_item_is_held_waits_for_its_end(queue: BatchQueue) -> None:
    queue.create_item("held")
    held = queue.claim_item()
    assert held is not None

    queue.create_item("urgent", weight=-10)

    assert queue.claim_item() is None
    assert queue.claim_items(5) == []
    queue.delete_item(held)
    urgent = queue.claim_item()
    assert urgent is not None
    assert urgent.data == "urgent"


@only_parallel
def test_a_parallel_queue_gives_each_claimer_another_item(queue: BatchQueue) -> None:
    queue.create_item("a")
    queue.create_item("b")

    first, second = queue.claim_item(), queue.claim_item()

    assert first is not None
    assert second is not None
    assert (first.data, second.data) == ("a", "b")
    queue.delete_item(second)  # they may end in any order
    queue.delete_item(first)
    assert counts(queue) == (0, 0, 0)


def test_a_delayed_head_blocks_a_sequential_queue_and_is_passed_by_on_a_parallel_one(
    queue: BatchQueue, backend: Backend
) -> None:
    queue.create_item("later", delay=60)
    queue.create_item("now")

    item = queue.claim_item()

    if backend.is_sequential:
        assert item is None
    else:
        assert item is not None
        assert item.data == "now"


@only_sequential
def test_a_delayed_item_of_higher_weight_blocks_nobody_before_it(queue: BatchQueue) -> None:
    queue.create_item("later", weight=5, delay=60)
    queue.create_item("now")

    item = queue.claim_item()

    assert item is not None
    assert item.data == "now"


def test_a_delayed_item_is_claimed_when_its_time_has_come_and_not_before(queue: BatchQueue) -> None:
    queue.create_item("later", delay=3)
    assert counts(queue) == (1, 0, 1)

    with travel(2):
        assert queue.claim_item() is None
    with travel(3.1):
        item = queue.claim_item()

    assert item is not None
    assert item.data == "later"


@pytest.mark.parametrize("status", ["paused", "draft", "completed", "aborted"])
def test_a_claim_does_not_look_at_the_status(queue: BatchQueue, status: str) -> None:
    queue.create_item("a")

    queue.set_status(status)

    assert queue.claim_item() is not None


def test_a_held_head_can_be_stolen(queue: BatchQueue) -> None:
    queue.create_item("a")
    assert queue.claim_item() is not None
    assert queue.claim_item() is None

    stolen = queue.steal_item()

    assert stolen is not None
    assert (stolen.data, stolen.run_count, stolen.fence) == ("a", 2, 2)
    assert counts(queue) == (1, 0, 1)
    queue.delete_item(stolen)
    assert counts(queue) == (0, 0, 0)


def test_stealing_without_a_holder_is_a_claim(queue: BatchQueue) -> None:
    queue.create_item("a")

    stolen = queue.steal_item()

    assert stolen is not None
    assert (stolen.run_count, stolen.fence) == (1, 1)


@only_sequential
def test_a_thief_of_a_sequential_queue_becomes_its_only_holder(queue: BatchQueue) -> None:
    queue.update(batch_limit=3)
    for data in "abc":
        queue.create_item(data)
    held = queue.claim_items(3)

    stolen = queue.steal_item()

    assert stolen is not None
    assert stolen.data == "a"
    assert queue.delete_items(held) == held
    assert counts(queue) == (3, 2, 1)


@only_parallel
def test_a_thief_of_a_parallel_queue_takes_the_head_alone(queue: BatchQueue) -> None:
    queue.create_item("a")
    queue.create_item("b")
    first, second = queue.claim_item(), queue.claim_item()
    assert first is not None
    assert second is not None

    stolen = queue.steal_item()

    assert stolen is not None
    assert stolen.data == "a"
    queue.delete_item(second)
    assert queue.delete_items([first]) == [first]


def test_more_items_than_one_statement_can_name_are_settled_and_renewed(make_queue: MakeQueue) -> None:
    queue = make_queue(batch_limit=2500)
    queue.create_items(range(2500))
    items = queue.claim_items(2500)
    assert len(items) == 2500
    queue.delete_item(items[1200])

    assert queue.renew(items, 60_000) == [items[1200]]
    assert queue.delete_items(items) == [items[1200]]
    assert queue.number_of_items() == 0
