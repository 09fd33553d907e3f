"""How an earlier item ended, as later tasks ask for it."""

from __future__ import annotations

from taskqueue import BatchQueue, ErrorMode, Runner, TaskContext
from tests.contract import tasks
from tests.contract.conftest import MakeQueue


def test_an_item_is_waiting_until_it_has_ended(queue: BatchQueue) -> None:
    item = queue.create_item("a")
    assert queue.outcome_of(item.id) == "waiting"

    claimed = queue.claim_item()
    assert claimed is not None
    assert queue.outcome_of(item.id) == "waiting"

    queue.delete_item(claimed)
    assert queue.outcome_of(item.id) == "ok"


def test_each_end_has_a_name(make_queue: MakeQueue) -> None:
    queue, keeping = make_queue("deleting", error="delete"), make_queue("keeping", error="dead")
    good, bad = queue.enqueue(tasks.note), queue.enqueue(tasks.fail)
    dead = keeping.enqueue(tasks.fail)
    Runner(queue).run_all()
    Runner(keeping).run_all()
    skipped = queue.enqueue(tasks.note)
    Runner(queue).skip_next()

    assert [queue.outcome_of(item.id) for item in (good, bad, skipped)] == ["ok", "delete", "skipped"]
    assert keeping.outcome_of(dead.id) == "dead"


def test_an_aborted_item_is_waiting_and_ends_as_its_next_run_does(queue: BatchQueue) -> None:
    item = queue.create_item(tasks.step(lambda ctx: len(tasks.effects) > 0))
    Runner(queue, error_mode=ErrorMode.ABORT).run_all()
    assert queue.outcome_of(item.id) == "waiting"

    tasks.effects.append("repaired")
    Runner(queue).run_all()

    assert queue.outcome_of(item.id) == "ok"


def test_a_task_can_ask_for_the_one_before_it(queue: BatchQueue, effects: list[str | None]) -> None:
    first = queue.enqueue(tasks.note)

    def confirm(ctx: TaskContext) -> None:
        effects.append(ctx.outcome_of(first.id))
        assert ctx.item is not None
        effects.append(ctx.outcome_of(ctx.item.id))

    queue.create_item(tasks.step(confirm))

    assert Runner(queue).run_all()
    assert effects == ["ok", "waiting"]


def test_nobody_can_tell_after_a_reset(queue: BatchQueue) -> None:
    item = queue.create_item("a")

    queue.reset()

    assert queue.outcome_of(item.id) is None


def test_a_reset_forgets_how_earlier_items_ended(make_queue: MakeQueue) -> None:
    queue = make_queue(error="delete")
    failed = queue.enqueue(tasks.fail)
    Runner(queue).run_all()
    queue.create_item("a")

    queue.reset()

    assert queue.outcome_of(failed.id) is None


def test_nobody_can_tell_of_what_never_was(queue: BatchQueue) -> None:
    highest = queue.create_item("a").id

    assert queue.outcome_of(highest + 1000) is None
    assert queue.outcome_of(0) is None
