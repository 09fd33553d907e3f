"""Zombies: whoever lost an item can change nothing any more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from taskqueue import BatchQueue, LeaseLost, Outcome, QueueItem, Runner, TaskContext, signals, travel
from tests.contract import tasks
from tests.contract.backends import Backend
from tests.contract.conftest import MakeQueue, MakeService

Act = Callable[[BatchQueue, QueueItem], object]
ACTS: dict[str, Act] = {
    "delete_item": lambda queue, item: queue.delete_item(item),
    "release_item": lambda queue, item: queue.release_item(item, 60),
    "extend_lease": lambda queue, item: queue.extend_lease(item, 7200),
}
BATCH_ACTS: dict[str, Act] = {
    "delete_items": lambda queue, item: queue.delete_items([item]),
    "release_items": lambda queue, item: queue.release_items([item], 60),
    "relinquish_items": lambda queue, item: queue.relinquish_items([item]),
}


@pytest.fixture(params=["steal", "expiry", "release"])
def lost(request: pytest.FixtureRequest, queue: BatchQueue, other: BatchQueue) -> Iterator[QueueItem]:
    """An item as its first holder knows it, while somebody else holds it."""
    queue.create_item("a")
    item = queue.claim_item(10)
    assert item is not None
    with ExitStack() as stack:
        if request.param == "expiry":
            stack.enter_context(travel(11))
        elif request.param == "release":
            queue.release_item(item)
        taken = other.steal_item() if request.param == "steal" else other.claim_item()
        assert taken is not None
        yield item


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_what_a_zombie_does_is_refused_and_changes_nothing(queue: BatchQueue, lost: QueueItem, act: Act) -> None:
    before, counts = queue.fetch_item(lost.id), queue.statistics()

    with pytest.raises(LeaseLost, match=f"item {lost.id} .* fence 1"):
        act(queue, lost)

    assert queue.fetch_item(lost.id) == before
    assert queue.statistics() == counts


@pytest.mark.parametrize("act", BATCH_ACTS.values(), ids=BATCH_ACTS)
def test_a_zombie_gets_its_item_back_as_lost_from_the_batch_forms(queue: BatchQueue, lost: QueueItem, act: Act) -> None:
    before = queue.fetch_item(lost.id)

    assert act(queue, lost) == [lost]

    assert queue.fetch_item(lost.id) == before


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
@pytest.mark.parametrize("end", ["delete_item", "reset", "delete"])
def test_what_is_gone_cannot_be_changed(queue: BatchQueue, end: str, act: Act) -> None:
    queue.create_item("a")
    item = queue.claim_item()
    assert item is not None

    if end == "delete_item":
        queue.delete_item(item)
    else:
        getattr(queue, end)()

    with pytest.raises(LeaseLost):
        act(queue, item)
    assert queue.number_of_items() == 0


def test_the_batch_forms_carry_out_the_rest(make_queue: MakeQueue) -> None:
    queue = make_queue(batch_limit=3)
    queue.create_items("abc")
    first, second, third = queue.claim_items(3)
    queue.delete_item(second)

    assert queue.delete_items([first, second, third]) == [second]

    assert queue.number_of_items() == 0


def test_an_item_of_another_queue_is_lost_here(make_queue: MakeQueue) -> None:
    here, there = make_queue("here"), make_queue("there")
    here.create_item("a")
    there.create_item("b")
    item = there.claim_item()
    assert item is not None
    assert here.claim_item() is not None

    for act in ACTS.values():
        with pytest.raises(LeaseLost):
            act(here, item)

    assert here.number_of_items() == there.number_of_items() == 1
    there.delete_item(item)


@pytest.mark.parametrize("ending", ["ok", "failed"])
def test_a_task_whose_item_was_stolen_ends_without_effect(
    make_queue: MakeQueue, other_of: Callable[[BatchQueue], BatchQueue], ending: str
) -> None:
    queue = make_queue(error="abort")
    stolen: list[QueueItem | None] = []
    outcomes: list[Outcome] = []

    def lose(ctx: TaskContext) -> bool:
        stolen.append(other_of(queue).steal_item())
        return ending == "ok"

    def listen(sender: BatchQueue, item: QueueItem, outcome: Outcome, exception: object, **facts: Any) -> None:
        outcomes.append(outcome)

    queue.create_item(tasks.step(lose))

    with signals.item_finished.connected_to(listen, queue):
        result = Runner(queue).run_all(wait=0)

    assert not result
    assert (result.completed, result.failed) == (0, 0)
    assert outcomes == [Outcome.LEASE_LOST]
    assert stolen[0] is not None
    assert queue.fetch_item(stolen[0].id) == stolen[0]
    assert queue.status == "active"
    queue.delete_item(stolen[0])


def test_a_task_learns_that_its_item_was_stolen(
    make_service: MakeService, backend: Backend, other_of: Callable[[BatchQueue], BatchQueue]
) -> None:
    queue = make_service(heartbeat=0.02).create(backend.type, "jobs")
    seen: list[bool] = []

    def lose(ctx: TaskContext) -> None:
        seen.append(ctx.should_stop)
        assert other_of(queue).steal_item() is not None
        assert tasks.until(lambda: ctx.should_stop)
        seen.append(ctx.should_stop)

    queue.create_item(tasks.step(lose))

    Runner(queue).run_all(wait=0)

    assert seen == [False, True]
