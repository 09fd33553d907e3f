"""What is on record of an item: every attempt that was not ok, with its error, also after its end."""

from __future__ import annotations

import pytest

from taskqueue import BatchQueue, Ending, ErrorMode, Runner, SpecError, travel
from taskqueue.queues import settlement
from tests.contract import tasks
from tests.contract.conftest import MakeQueue


def lines(endings: list[Ending]) -> list[tuple[str, int, str | None]]:
    return [(ending.outcome, ending.attempt, ending.error) for ending in endings]


def test_retried_failures_are_on_record_and_so_is_the_end(make_queue: MakeQueue) -> None:
    queue = make_queue(retry_limit=2, error="dead")
    item = queue.create_item(tasks.step(lambda ctx: tasks.fail(ctx, f"number {ctx.attempt}")))

    Runner(queue).run_all()

    found = queue.history_of(item.id)
    assert lines(found) == [
        ("retry", 1, "ValueError: number 1"), ("retry", 2, "ValueError: number 2"), ("dead", 3, "ValueError: number 3"),
    ]  # fmt: skip
    assert {ending.item_id for ending in found} == {item.id}
    assert found[0].end_time <= found[1].end_time <= found[2].end_time
    assert found[0].end_time.utcoffset() is not None


def test_an_item_that_came_through_in_the_end_keeps_its_history(make_queue: MakeQueue) -> None:
    queue = make_queue(retry_limit=1)
    item = queue.create_item(tasks.step(lambda ctx: ctx.attempt > 1))

    assert Runner(queue).run_all()

    assert lines(queue.history_of(item.id)) == [("retry", 1, "the task returned False")]
    assert queue.outcome_of(item.id) == "ok"


def test_a_revived_item_keeps_its_history(make_queue: MakeQueue) -> None:
    queue = make_queue(error="dead")
    item = queue.enqueue(tasks.fail, "first")
    Runner(queue).run_all()
    queue.revive_items()
    assert lines(queue.history_of(item.id)) == [("dead", 1, "ValueError: first"), ("revived", 1, None)]

    Runner(queue).run_all()
    queue.delete_dead_items()

    assert [ending.outcome for ending in queue.history_of(item.id)] == ["dead", "revived", "dead", "delete"]
    assert queue.outcome_of(item.id) == "delete"


def test_every_other_end_is_on_record(make_queue: MakeQueue) -> None:
    queue = make_queue(error="delete")
    failed, skipped = queue.enqueue(tasks.fail, "no"), queue.enqueue(tasks.note)
    Runner(queue, error_mode=ErrorMode.ABORT).run_all()
    Runner(queue).run_next()
    Runner(queue).skip_next()

    assert lines(queue.history_of(failed.id)) == [("abort", 1, "ValueError: no"), ("delete", 1, "ValueError: no")]
    assert [ending.outcome for ending in queue.history_of(skipped.id)] == ["skipped"]


def test_the_place_in_the_code_is_kept_with_each_failure(queue: BatchQueue) -> None:
    item = queue.create_item("a")
    for settle in (settlement.retry, lambda _delay, *what: settlement.bury(*what)):
        queue.settle(queue.claim_items(1), settle(0, "no", "File 'a.py', line 7"))

    assert [ending.traceback for ending in queue.history_of(item.id)] == ["File 'a.py', line 7"] * 2
    (letter,) = queue.dead_items()
    assert letter.traceback == "File 'a.py', line 7"


def test_a_reset_does_not_forget_what_happened(make_queue: MakeQueue) -> None:
    queue = make_queue(retry_limit=1)
    item = queue.enqueue(tasks.fail, "no")
    Runner(queue).run_next()

    queue.reset()

    assert lines(queue.history_of(item.id)) == [("retry", 1, "ValueError: no")]
    assert queue.outcome_of(item.id) is None


def test_what_went_well_has_no_history(queue: BatchQueue, make_queue: MakeQueue) -> None:
    item = queue.enqueue(tasks.note)
    with travel(1):
        Runner(queue).run_all()

    assert queue.history_of(item.id) == queue.history_of(item.id + 1) == []


def test_the_history_of_another_queue_is_not_ours(make_queue: MakeQueue) -> None:
    queue, other = make_queue(error="dead"), make_queue("other")
    item = queue.enqueue(tasks.fail)
    Runner(queue).run_all()

    assert other.history_of(item.id) == []


@pytest.mark.parametrize("item_id", [None, "1", 1.0, -1, 2**63, True], ids=repr)
def test_what_is_no_id_is_refused(queue: BatchQueue, item_id: object) -> None:
    for attempt in (queue.history_of, queue.result_of):
        with pytest.raises(SpecError, match="an item id is a whole number"):
            attempt(item_id)  # type: ignore[arg-type]
