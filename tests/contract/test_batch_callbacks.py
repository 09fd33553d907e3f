"""Items that belong together, and the callback that follows the last of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy.orm import Session

from taskqueue import Batch, BatchQueue, NotSupported, Runner, SpecError, Task, TaskContext
from taskqueue.queues import settlement
from taskqueue.queues.settlement import Settlement
from tests.contract import tasks
from tests.contract.backends import Backend, only_sql
from tests.contract.conftest import MakeQueue, MakeService
from tests.contract.records import sql
from tests.contract.store import envelope
from tests.contract.test_races import at_once

AFTERWARDS = Task(tasks.keywords, ("report",), "Report")
#: What may become of an item, and as what it counts.
ENDS = {
    "delete": settlement.delete("no"),
    "bury": settlement.bury("no"),
    "skip": settlement.skip("not needed"),
    "cancel": settlement.cancel("asked to"),
}
STAYS = {
    "release": settlement.release(0),
    "relinquish": settlement.RELINQUISH,
    "interrupt": settlement.interrupt("gone"),
    "retry": settlement.retry(0, "no"),
    "abort": settlement.abort("no"),
}


def callbacks_in(queue: BatchQueue) -> list[dict[str, int]]:
    """What the callbacks that stand in the queue will be told."""
    return [item.data.kwargs["batch"] for item in queue.items() if isinstance(item.data, Task)]


def counts(queue: BatchQueue, batch: Batch) -> tuple[int, int]:
    """How many items of the batch are pending, and how many have failed."""
    found = queue.batch(batch.id)
    assert found is not None and (found.id, found.total) == (batch.id, batch.total)
    return found.pending, found.failed


def test_the_callback_follows_the_last_item(queue: BatchQueue, effects: list[Any]) -> None:
    batch = queue.create_batch((Task(tasks.note, (number,)) for number in range(3)), AFTERWARDS)

    assert batch == queue.batch(batch.id) == Batch(batch.id, total=3, pending=3, failed=0)
    assert [item.batch_id for item in queue.items()] == [batch.id] * 3
    assert Runner(queue).run_all()
    assert effects == [0, 1, 2, (("report",), {"batch": {"id": batch.id, "total": 3, "failed": 0}})]
    assert queue.batch(batch.id) == Batch(batch.id, total=3, pending=0, failed=0)


def test_it_does_not_come_before(queue: BatchQueue, other: BatchQueue) -> None:
    batch = queue.create_batch("ab", AFTERWARDS)

    for pending in (1, 0):
        assert callbacks_in(other) == []
        item = other.claim_item()
        assert item is not None and item.batch_id == batch.id
        other.delete_item(item)
        assert counts(queue, batch) == (pending, 0)

    assert callbacks_in(queue) == [{"id": batch.id, "total": 2, "failed": 0}]
    assert [item.batch_id for item in queue.items()] == [None]


@pytest.mark.parametrize("how", ENDS.values(), ids=ENDS.keys())
def test_however_an_item_ends_it_counts(queue: BatchQueue, how: Settlement) -> None:
    batch = queue.create_batch(["a"], AFTERWARDS)
    item = queue.claim_item()
    assert item is not None

    queue.settle([item], how)

    assert counts(queue, batch) == (0, 1)
    assert callbacks_in(queue) == [{"id": batch.id, "total": 1, "failed": 1}]


@pytest.mark.parametrize("how", STAYS.values(), ids=STAYS.keys())
def test_an_item_that_stays_has_not_ended(queue: BatchQueue, how: Settlement) -> None:
    batch = queue.create_batch(["a"], AFTERWARDS)
    item = queue.claim_item()
    assert item is not None

    assert queue.settle([item], how) == []

    assert counts(queue, batch) == (1, 0)
    assert [item.batch_id for item in queue.items()] == [batch.id]


@pytest.mark.parametrize("is_held", [False, True])
def test_a_cancelled_item_has_ended(queue: BatchQueue, is_held: bool) -> None:
    batch = queue.create_batch(["a"], AFTERWARDS)
    (item,) = queue.items()
    held = queue.claim_item() if is_held else None

    queue.cancel_item(item.id)
    if held is not None:
        assert counts(queue, batch) == (1, 0)
        queue.release_item(held)

    assert counts(queue, batch) == (0, 1)
    assert len(callbacks_in(queue)) == 1


def test_of_several_that_end_together_each_counts_for_its_batch(make_queue: MakeQueue) -> None:
    queue = make_queue(batch_limit=5)
    first, second = queue.create_batch("ab", AFTERWARDS), queue.create_batch("cd", AFTERWARDS)
    queue.create_item("e")
    items = queue.claim_items(5)
    assert [item.batch_id for item in items] == [first.id, first.id, second.id, second.id, None]

    queue.delete_items([items[0], items[1], items[2], items[4]])

    assert (counts(queue, first), counts(queue, second)) == ((0, 0), (1, 0))
    assert callbacks_in(queue) == [{"id": first.id, "total": 2, "failed": 0}]


def test_who_lost_the_lease_counts_nothing(queue: BatchQueue, other: BatchQueue) -> None:
    batch = queue.create_batch(["a"], AFTERWARDS)
    held = queue.claim_item()
    stolen = other.steal_item()
    assert held is not None and stolen is not None

    assert queue.delete_items([held]) == [held]

    assert counts(queue, batch) == (1, 0)
    other.delete_item(stolen)
    assert counts(queue, batch) == (0, 0)


def test_a_failed_run_says_how_many_failed(make_queue: MakeQueue, effects: list[Any]) -> None:
    queue = make_queue(error="delete", retry_limit=1)
    items = [Task(tasks.note, ("good",)), Task(tasks.refuse), Task(tasks.note, ("good",))]
    batch = queue.create_batch(items, AFTERWARDS)

    Runner(queue).run_all()

    assert effects == ["good", "good", (("report",), {"batch": {"id": batch.id, "total": 3, "failed": 1}})]


def test_a_dead_letter_that_comes_back_does_not_count_again(make_queue: MakeQueue, effects: list[Any]) -> None:
    queue = make_queue(error="dead")
    batch = queue.create_batch([Task(tasks.refuse)], AFTERWARDS)
    Runner(queue).run_all()
    assert len(effects) == 1

    (letter,) = queue.dead_items()
    assert queue.revive_item(letter.id).batch_id is None
    Runner(queue).run_all()

    assert counts(queue, batch) == (0, 1)
    assert len(effects) == 1


def test_of_workers_that_end_the_last_items_at_once_one_calls(
    make_queue: MakeQueue, other_of: Callable[[BatchQueue], BatchQueue]
) -> None:
    queue = make_queue(batch_limit=6)
    queues = [queue, other_of(queue), other_of(queue)]
    for _ in range(5):
        batch = queue.create_batch(range(6), AFTERWARDS)
        items = queue.claim_items(6)
        assert len(items) == 6

        at_once(6, lambda number, items=items: queues[number % 3].delete_item(items[number]))  # type: ignore[misc]

        assert callbacks_in(queue) == [{"id": batch.id, "total": 6, "failed": 0}]
        last = queue.claim_item()
        assert last is not None
        queue.delete_item(last)


def test_a_batch_of_nothing_has_ended(queue: BatchQueue) -> None:
    batch = queue.create_batch([], AFTERWARDS)

    assert batch == queue.batch(batch.id) == Batch(batch.id, total=0, pending=0, failed=0)
    assert callbacks_in(queue) == [{"id": batch.id, "total": 0, "failed": 0}]


def test_items_and_callback_have_the_weight_of_the_batch(queue: BatchQueue) -> None:
    queue.create_item("before")
    queue.create_batch(["a"], AFTERWARDS, weight=-3)
    item = queue.claim_item()
    assert item is not None and item.data == "a"

    queue.delete_item(item)

    following = queue.claim_item()
    assert following is not None and (following.weight, following.title) == (-3, "Report")


def test_a_batch_whose_source_fails_never_was(queue: BatchQueue) -> None:
    def source() -> Iterator[str]:
        yield from map(str, range(1500))  # more than go into one statement
        raise ValueError("the source broke")

    with pytest.raises(ValueError, match="the source broke"):
        queue.create_batch(source(), AFTERWARDS)

    assert queue.number_of_items() == 0


def test_a_big_batch_counts_all(queue: BatchQueue) -> None:
    batch = queue.create_batch(range(2500), AFTERWARDS)

    assert batch.total == batch.pending == queue.number_of_items() == 2500


def test_a_reset_forgets_the_batches_of_the_queue_alone(make_queue: MakeQueue) -> None:
    here, there = make_queue("here"), make_queue("there")
    mine, yours = here.create_batch("a", AFTERWARDS), there.create_batch("a", AFTERWARDS)
    held = here.claim_item()
    assert held is not None

    here.reset()

    assert here.batch(mine.id) is None
    assert here.delete_items([held]) == [held]
    assert there.batch(yours.id) == yours
    assert callbacks_in(here) == []


@only_sql
def test_a_transaction_counts_with_its_own_commit(queue: BatchQueue, other: BatchQueue) -> None:
    batch = queue.create_batch(["a"], AFTERWARDS)
    item = queue.claim_item()
    assert item is not None

    with pytest.raises(ValueError, match="rolled back"), queue.completing(item):
        raise ValueError("rolled back")
    assert counts(other, batch) == (1, 0)

    with queue.completing(item):
        assert counts(other, batch) == (1, 0)
    assert counts(other, batch) == (0, 0)
    assert callbacks_in(other) == [{"id": batch.id, "total": 1, "failed": 0}]


@only_sql
@pytest.mark.parametrize("is_kept", [True, False])
def test_a_batch_joins_the_transaction_of_the_caller(queue: BatchQueue, other: BatchQueue, is_kept: bool) -> None:
    with Session(sql(queue).database.engine) as session:
        batch = queue.create_batch("ab", AFTERWARDS, session=session)
        assert (other.batch(batch.id), other.number_of_items()) == (None, 0)
        (session.commit if is_kept else session.rollback)()

    assert other.batch(batch.id) == (batch if is_kept else None)
    assert other.number_of_items() == (2 if is_kept else 0)


@only_sql
def test_a_task_makes_a_batch_in_its_own_transaction(queue: BatchQueue, effects: list[Any]) -> None:
    def split(ctx: TaskContext) -> None:
        with ctx.transaction():
            ctx.queue.create_batch([Task(tasks.note, (number,)) for number in range(2)], AFTERWARDS)

    queue.create_item(tasks.step(split))

    assert Runner(queue).run_all()
    assert effects[:2] == [0, 1] and len(effects) == 3


@pytest.mark.parametrize("key", [(), "a key of the tests, no secret"])
@only_sql
def test_a_callback_that_somebody_else_has_written_is_not_executed(
    make_service: MakeService, backend: Backend, effects: list[Any], key: Any
) -> None:
    service = make_service(secret_key=key, allow=["tests.contract.tasks"])
    queue = sql(service.create(backend.type, "jobs", error="delete"))
    queue.create_batch([Task(tasks.note, ("done",))], AFTERWARDS)
    forged = envelope("os:system")
    queue.database.transaction(lambda tx: tx.change("UPDATE {batch} SET data = :data", data=forged))

    Runner(queue).run_all()

    assert effects == ["done"]
    (letter,) = queue.dead_items()
    assert ("no valid signature" if key else "os:system") in letter.error


@only_sql
@pytest.mark.parametrize("text", ["{", '{"v": 1, "data": 5}', '{"v": 99}'])
def test_a_damaged_callback_does_not_keep_the_last_item_from_ending(queue: BatchQueue, text: str) -> None:
    batch = queue.create_batch("a", AFTERWARDS)
    sql(queue).database.transaction(lambda tx: tx.change("UPDATE {batch} SET data = :data", data=text))
    item = queue.claim_item()
    assert item is not None

    queue.delete_item(item)

    assert counts(queue, batch) == (0, 0)
    assert queue.number_of_items() == 1  # whoever executes it says what is wrong with it


@pytest.mark.parametrize("callback", ["tests.contract.tasks:note", None, tasks.note])
def test_a_callback_that_is_no_task_is_refused(queue: BatchQueue, callback: Any) -> None:
    with pytest.raises(SpecError, match="on_finished must be a Task"):
        queue.create_batch("ab", callback)

    assert queue.number_of_items() == 0


def test_a_callback_with_a_batch_of_its_own_is_refused(queue: BatchQueue) -> None:
    with pytest.raises(SpecError, match="leave it out of kwargs"):
        queue.create_batch("ab", Task(tasks.keywords, kwargs={"batch": 1}))


def test_a_queue_of_data_has_no_callbacks(make_queue: MakeQueue) -> None:
    with pytest.raises(NotSupported, match="handler 'thumbnail'"):
        make_queue(payload="thumbnail").create_batch("ab", AFTERWARDS)


def test_a_batch_that_never_was_is_none(make_queue: MakeQueue) -> None:
    batch = make_queue("other").create_batch("a", AFTERWARDS)

    assert make_queue().batch(batch.id + 1000) is None
    assert make_queue().batch(batch.id) is None
    with pytest.raises(SpecError):
        make_queue().batch("1")  # type: ignore[arg-type]
