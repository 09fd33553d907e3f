"""Items of one key that are claimed, finished and added at the same moment: one at a time, and none is left behind."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest

from taskqueue import BatchQueue, QueueItem, travel
from taskqueue.queues.sql_parallel import SqlParallelQueue
from taskqueue.storage.turns import Turns
from tests.contract import processes as jobs
from tests.contract.backends import Backend, only_sql_parallel
from tests.contract.conftest import MakeQueue
from tests.contract.test_order_keys import claim, waiting
from tests.contract.test_races import at_once
from tests.storage.tapped import tap

pytestmark = only_sql_parallel
OtherOf = Callable[[BatchQueue], BatchQueue]
ROUNDS = 25


def held_of(items: list[object]) -> list[QueueItem]:
    return [item for item in items if isinstance(item, QueueItem)]


def test_a_head_that_ends_while_its_follower_is_claimed_leaves_nobody_behind(
    queue: BatchQueue, other: BatchQueue
) -> None:
    for number in range(ROUNDS):
        for _ in range(3):
            queue.create_item(number, order_key="a")
        held = claim(queue)

        claims = at_once(3, lambda turn: [queue.delete_item, other.claim_items, queue.claim_items][turn](
            held if not turn else 1))  # type: ignore[operator]  # noqa: B023  # fmt: skip

        mine = held_of([item for part in claims if isinstance(part, list) for item in part])
        assert len(mine) <= 1
        assert claim(queue) if not mine else queue.claim_item() is None
        queue.reset()


def test_of_many_who_claim_at_once_one_gets_the_first(queue: BatchQueue, other_of: OtherOf) -> None:
    queues = [queue, *(other_of(queue) for _ in range(3))]
    for number in range(ROUNDS):
        created = [queue.create_item(number, order_key="a") for _ in range(4)]

        claims = held_of(at_once(4, lambda turn: queues[turn].claim_item()))

        held = claims or [claim(queue)]  # each may have met the others, and put its item back
        assert [item.id for item in held] == [created[0].id]
        queue.reset()


def test_what_comes_first_while_a_follower_is_claimed_is_not_held_beside_it(
    queue: BatchQueue, other: BatchQueue
) -> None:
    for number in range(ROUNDS):
        queue.create_item(number, order_key="a")

        def work(turn: int) -> object:
            if turn:
                return queue.claim_item()
            other.create_item("first", order_key="a", weight=-1)
            return other.claim_item()

        held = held_of(at_once(2, work)) or [claim(queue)]
        assert len(held) == 1
        assert queue.claim_item() is None
        queue.delete_item(held[0])
        queue.delete_item(claim(other))
        assert queue.number_of_items() == 0


def test_a_head_that_ends_just_after_its_follower_was_looked_at(
    queue: BatchQueue, other: BatchQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.create_item("first", order_key="a")
    second = queue.create_item("second", order_key="a")
    held = claim(other)
    look = Turns.in_turn

    def look_and_end(*args: Any) -> Any:
        monkeypatch.setattr(Turns, "in_turn", look)
        found = look(*args)
        worker = Thread(target=other.delete_item, args=[held])  # a thread of its own: this one holds a connection
        worker.start()
        worker.join()
        return found

    monkeypatch.setattr(Turns, "in_turn", look_and_end)

    assert claim(queue).id == second.id


def test_a_head_that_ends_while_its_follower_is_put_back(
    queue: BatchQueue, other: BatchQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.create_item("first", order_key="a")
    second = queue.create_item("second", order_key="a")
    held = claim(other)
    put_back, ending = SqlParallelQueue._wait_in_line, Thread(target=other.delete_item, args=[held])

    def put_back_and_end(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(SqlParallelQueue, "_wait_in_line", put_back)
        found = put_back(*args, **options)
        ending.start()
        ending.join(0.3)  # it has to wait until this is committed: nothing tells that it does so
        return found

    monkeypatch.setattr(SqlParallelQueue, "_wait_in_line", put_back_and_end)

    found = queue.claim_item()
    ending.join(20)

    assert waiting(queue) == []
    assert (found or claim(queue)).id == second.id


def test_whoever_is_killed_before_it_puts_a_follower_back_holds_it_as_long_as_its_lease(
    make_queue: MakeQueue, backend: Backend
) -> None:
    queue = make_queue(lease_time=60)
    _first, second, third = (queue.create_item(number, order_key="a") for number in range(3))
    held = queue.claim_item(3600)
    assert held is not None
    child = multiprocessing.get_context("spawn").Process(target=jobs.claim_and_die, args=(backend.url, queue.name))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert queue.statistics()["leased"] == 2

    queue.delete_item(held)

    assert queue.claim_item() is None
    assert waiting(queue) == [third.id]
    with travel(61):
        held = claim(queue)
        assert held.id == second.id
        assert queue.claim_item() is None
        queue.delete_item(held)
        assert claim(queue).id == third.id


def test_ten_thousand_of_a_key_behind_a_delayed_head_are_claimed_once(
    queue: BatchQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = 10_000
    queue.create_item("head", order_key="a", delay=3600)
    queue.create_items(range(many))
    queue.database.transaction(  # type: ignore[attr-defined]
        lambda tx: tx.change("UPDATE {item} SET order_key = 'a'")
    )
    assert queue.claim_item() is None
    assert len(waiting(queue)) == many
    for number in range(3):
        queue.create_item(number, order_key="b" if number else None)
    statements: list[str] = []

    def count(sql: str, _commits: bool, send: Callable[[], Any]) -> Any:
        statements.append(sql)
        return send()

    tap(monkeypatch, count)

    assert [claim(queue).data, claim(queue).data] == [0, 1]
    assert len(statements) <= 12, statements
