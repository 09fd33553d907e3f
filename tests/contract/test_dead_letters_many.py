"""Thousands of dead letters: read in pages, moved by lists, each by one of those who try."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from taskqueue import BatchQueue
from taskqueue.queues import sql_archive
from taskqueue.queues.settlement import bury
from taskqueue.storage.wake import open_watch
from tests.contract.backends import once_per_database, only_sql
from tests.contract.conftest import MakeQueue
from tests.contract.letters import kill
from tests.contract.records import sql
from tests.storage.tapped import tap

MANY = 1201


@pytest.fixture
def queue(make_queue: MakeQueue) -> BatchQueue:
    """A queue whose items are claimed many at a time."""
    return make_queue(batch_limit=1000)


def test_many_are_listed_revived_and_thrown_away(queue: BatchQueue) -> None:
    ids = kill(queue, range(MANY))

    assert [letter.id for letter in queue.dead_letters()] == list(queue.dead_ids()) == ids
    assert queue.revive_items(ids[:600]) == 600
    assert queue.delete_dead_items() == MANY - 600
    assert (queue.number_of_items(), queue.get_statistic("dead")) == (600, 0)
    assert [item.data for item in queue.items()] == list(range(600))
    assert [queue.outcome_of(item_id) for item_id in (ids[599], ids[600])] == ["waiting", "delete"]


@once_per_database
@pytest.mark.parametrize("move", ["revive_items", "delete_dead_items"])
def test_many_cost_a_handful_of_statements(queue: BatchQueue, move: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kill(queue, range(MANY))
    statements: list[str] = []

    def count(statement: str, commits: bool, send: Callable[[], Any]) -> Any:
        statements.append(statement)
        return send()

    tap(monkeypatch, count)

    assert getattr(queue, move)() == MANY
    assert len(statements) <= 3 * 7 + 3  # three chunks, and three pages of ids


@once_per_database
def test_a_listing_holds_a_page_in_memory_and_not_all(queue: BatchQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_archive, "_PAGE", 100)
    kill(queue, ("x" * 8000 for _ in range(MANY)))  # beside which the rest of the process is small

    tracemalloc.start()
    try:
        number = 0
        for number, _letter in enumerate(queue.dead_letters(), 1):
            if number % 100 == 0:
                gc.collect()  # PyMySQL leaves what it has read to it
        assert number == MANY
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < MANY * 8000 / 2


def test_each_is_revived_or_deleted_by_one_of_those_who_try(queue: BatchQueue, other: BatchQueue) -> None:
    ids = kill(queue, range(60))
    barrier, numbers = threading.Barrier(4), []

    def act(move: Callable[[list[int]], int]) -> None:
        barrier.wait()
        numbers.append(move(ids))

    moves = (queue.revive_items, other.revive_items, queue.delete_dead_items, other.delete_dead_items)
    threads = [threading.Thread(target=act, args=(move,)) for move in moves]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(numbers) == 60
    deleted = sum(queue.outcome_of(item_id) == "delete" for item_id in ids)
    assert queue.number_of_items() + deleted == 60


def test_of_letters_with_the_same_key_the_oldest_gets_it_back(queue: BatchQueue) -> None:
    for number in range(3):
        queue.create_item(number, dedup_key="k")
        queue.create_item(f"beside {number}", dedup_key=f"k{number}")
        queue.settle(queue.claim_items(2), bury("dead"))
    first, *_others = queue.dead_items()

    assert queue.revive_items() == 6
    assert queue.number_of_items() == 6
    assert queue.create_item("again", dedup_key="k").id == first.id
    assert queue.create_item("again", dedup_key="k2").data == "beside 2"


@only_sql
def test_a_key_that_is_taken_at_this_very_moment_stays_with_who_took_it(queue: BatchQueue) -> None:
    queue.create_item("old", dedup_key="k")
    queue.settle(queue.claim_items(1), bury("dead"))
    reviver = threading.Thread(target=queue.revive_items)

    with sql(queue).database.engine.begin() as connection:
        new = queue.create_item("new", dedup_key="k", session=connection)
        reviver.start()
        reviver.join(0.2)
        assert reviver.is_alive()  # it waits for us to decide about the key
    reviver.join()

    assert queue.number_of_items() == 2
    assert queue.create_item("again", dedup_key="k").id == new.id


@only_sql
def test_whoever_waits_for_work_of_others_hears_of_revived_items(queue: BatchQueue) -> None:
    kill(queue, "a")
    watch = open_watch(sql(queue).database, threading.Event())
    try:
        watch.wait(lambda: ["jobs"], 0.01)  # from now on it listens
        queue.revive_items()

        assert watch.wait(lambda: ["jobs"], 1) == {"jobs"}
    finally:
        watch.close()
