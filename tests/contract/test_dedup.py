"""Keys under which an item stands at most once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from taskqueue import BatchQueue, Runner, SpecError
from tests.contract import tasks
from tests.contract.backends import Backend
from tests.contract.conftest import MakeQueue


def test_a_second_item_with_the_key_is_the_one_that_stands(queue: BatchQueue, other: BatchQueue) -> None:
    first = queue.create_item("first", dedup_key="k", weight=3)

    second = other.create_item("second", dedup_key="k")

    assert second == first
    assert second.data == "first"
    assert queue.number_of_items() == 1


def test_items_without_a_key_are_not_alike(queue: BatchQueue) -> None:
    queue.create_item("a")
    queue.create_item("a")

    assert queue.number_of_items() == 2


def test_a_held_or_delayed_item_still_stands(queue: BatchQueue) -> None:
    first = queue.create_item("a", dedup_key="k")
    claimed = queue.claim_item()
    assert claimed is not None
    assert queue.create_item("b", dedup_key="k").id == first.id

    queue.release_item(claimed, 60)

    assert queue.create_item("c", dedup_key="k").id == first.id


def test_a_finished_item_frees_its_key(queue: BatchQueue) -> None:
    first = queue.create_item("a", dedup_key="k")
    item = queue.claim_item()
    assert item is not None

    queue.delete_item(item)

    second = queue.create_item("b", dedup_key="k")
    assert second.id != first.id
    assert second.data == "b"


def test_a_reset_frees_all_keys(queue: BatchQueue) -> None:
    first = queue.create_item("a", dedup_key="k")

    queue.reset()

    assert queue.create_item("b", dedup_key="k").id != first.id


def test_a_task_may_queue_its_successor_only_once_it_is_finished(queue: BatchQueue) -> None:
    queue.create_item(tasks.step(lambda ctx: ctx.queue.create_item("x", dedup_key="k").title), dedup_key="k")

    Runner(queue).run_next()

    assert queue.number_of_items() == 0  # it was itself what stood there


def test_each_queue_has_keys_of_its_own(make_queue: MakeQueue) -> None:
    here, there = make_queue("here"), make_queue("there")

    here.create_item("a", dedup_key="k")
    there.create_item("b", dedup_key="k")

    assert here.number_of_items() == there.number_of_items() == 1


@pytest.mark.parametrize("first, second", [("mail", "Mail"), ("é", "e"), ("é", "e\u0301"), ("ß", "ss")])
def test_keys_are_compared_exactly(queue: BatchQueue, first: str, second: str) -> None:
    queue.create_item("a", dedup_key=first)

    queue.create_item("b", dedup_key=second)

    assert queue.number_of_items() == 2


@pytest.mark.parametrize("key", ["k" * 191, "😀" * 191, "%s :x {now} 'quoted' \\"])
def test_a_key_may_be_any_printable_text(queue: BatchQueue, key: str) -> None:
    first = queue.create_item("a", dedup_key=key)

    assert queue.create_item("b", dedup_key=key).id == first.id


def test_a_dead_letter_comes_back_with_its_key(make_queue: MakeQueue) -> None:
    queue = make_queue(error="dead")
    first = queue.create_item(tasks.step(lambda ctx: False), dedup_key="k")
    Runner(queue).run_all()

    queue.revive_item(first.id)

    assert queue.create_item("b", dedup_key="k").id == first.id


def test_a_dead_letter_comes_back_without_its_key_when_that_is_taken(make_queue: MakeQueue) -> None:
    queue = make_queue(error="dead")
    first = queue.create_item(tasks.step(lambda ctx: False), dedup_key="k")
    Runner(queue).run_all()
    second = queue.create_item("b", dedup_key="k")

    queue.revive_item(first.id)

    assert queue.number_of_items() == 2
    assert queue.create_item("c", dedup_key="k").id == second.id


def test_many_at_once_make_one_item(
    queue: BatchQueue, backend: Backend, other_of: Callable[[BatchQueue], BatchQueue]
) -> None:
    threads, rounds = 4, 8
    barrier = Barrier(threads)

    def add(mine: BatchQueue) -> list[int]:
        ids = []
        for number in range(rounds):
            barrier.wait(20)
            ids.append(mine.create_item("x", dedup_key=f"k{number}").id)
        return ids

    with ThreadPoolExecutor(threads) as pool:
        answers = list(pool.map(add, [queue, queue, other_of(queue), other_of(queue)]))

    assert len({tuple(ids) for ids in answers}) == 1
    assert queue.number_of_items() == rounds


@pytest.mark.parametrize("key", ["", " k", "k ", "k\n", "k\0", "k" * 192, 7, b"k"])
def test_a_key_that_databases_would_not_keep_apart_is_refused(queue: BatchQueue, key: object) -> None:
    with pytest.raises(SpecError, match="dedup_key must be 1 to 191 printable characters"):
        queue.create_item("a", dedup_key=key)  # type: ignore[arg-type]

    assert queue.number_of_items() == 0
