"""What a human may do to a run and its items: exactly what the page showed, once, or nothing at all."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from taskqueue import BatchQueue, ErrorMode, Runner, Task, TaskContext, travel
from taskqueue.errors import RunMovedOn
from taskqueue.runs.actions import Actions
from taskqueue.runs.state import RunState
from tests.contract import tasks
from tests.contract.backends import only_sql
from tests.contract.conftest import MakeQueue
from tests.contract.records import (
    act,
    begin,
    blocked,
    counted,
    counters,
    drive,
    drive_to_the_end,
    everything,
    kinds,
    run_of,
    store,
)

pytestmark = only_sql


def unless_mended(ctx: TaskContext) -> bool:
    """Fail until the test says that the cause is gone."""
    tasks.effects.append(f"attempt {ctx.attempt}")
    return "mended" in tasks.effects


def refused_without_effect(queue: BatchQueue, action: Callable[[], None]) -> None:
    before = everything(queue)
    with pytest.raises(RunMovedOn):
        action()
    assert everything(queue) == before


# --- the run ---


def test_a_ready_run_is_started_once(queue: BatchQueue) -> None:
    run = begin(queue, start=False)
    queue.enqueue(tasks.note, "x")
    assert drive(queue, run) is None or tasks.effects == []

    act(queue, run).start()

    started = store(queue).get(run.id)
    assert (started.status, started.version > run.version, started.start_time > 0) == ("running", True, True)
    refused_without_effect(queue, act(queue, run).start)
    assert drive_to_the_end(queue, run).status == "completed"


def test_a_run_is_paused_for_everybody_and_resumed(queue: BatchQueue, other: BatchQueue) -> None:
    queue.enqueue(tasks.note, "x")
    run = begin(queue)

    act(queue, run).pause()

    assert other.status == "paused"
    drive(queue, run)
    assert tasks.effects == []
    refused_without_effect(queue, act(queue, run).pause)
    act(queue, run).resume()
    assert other.status == "active"
    refused_without_effect(queue, act(queue, run).resume)
    assert drive_to_the_end(queue, run).status == "completed"
    assert kinds(queue, run)[:3] == ["started", "paused", "resumed"]


def test_a_pause_in_mid_task_lets_the_task_end_and_nothing_else_begin(queue: BatchQueue, other: BatchQueue) -> None:
    for _ in range(3):
        queue.enqueue(tasks.note, "before")
    queue.create_item(tasks.step(lambda ctx: (act(other, run_of(queue)).pause(), tasks.last(0.12))))
    for _ in range(3):
        queue.enqueue(tasks.note, "after")

    result = Runner(queue).run_all()

    assert tasks.effects == ["before"] * 3
    assert (result.completed, result.number_of_items, queue.get_statistic("leased")) == (4, 3, 0)
    assert run_of(queue).status == "running"


def test_a_blocked_run_is_not_resumed_but_waits_for_a_decision(queue: BatchQueue) -> None:
    run, _item = blocked(queue, Task(tasks.fail))

    refused_without_effect(queue, act(queue, run).resume)
    refused_without_effect(queue, act(queue, run).pause)


def test_an_abort_in_mid_task_asks_the_task_to_stop_and_keeps_the_rest(queue: BatchQueue, other: BatchQueue) -> None:
    def task(ctx: TaskContext) -> None:
        assert not ctx.should_stop
        act(other, run_of(queue)).abort()
        tasks.effects.append(tasks.until(lambda: ctx.should_stop))

    queue.create_item(tasks.step(task))
    queue.enqueue(tasks.note, "rest")

    result = Runner(queue, on_end=tasks.finish).run_all()

    assert tasks.effects == [True]
    assert (bool(result), result.is_error, result.completed) == (False, True, 1)
    run = run_of(queue)
    assert (run.status, run.end_time > 0, queue.status) == ("aborted", True, "aborted")
    assert queue.get_statistic("ready") == 1


@pytest.mark.parametrize("status", ["aborted", "completed"])
def test_nothing_can_be_done_to_a_run_at_its_end(queue: BatchQueue, status: str) -> None:
    run = begin(queue)
    act(queue, run).abort() if status == "aborted" else drive_to_the_end(queue, run)
    item = queue.enqueue(tasks.note)
    assert store(queue).get(run.id).status == status

    for name in ("start", "pause", "resume", "abort", "retry_failed"):
        refused_without_effect(queue, getattr(act(queue, run), name))
    for name in ("retry", "skip", "steal"):
        for item_id, fence in ((item.id, item.fence), (0, 0), (0, 1)):
            refused_without_effect(queue, lambda: getattr(act(queue, run), name)(item_id, fence))  # noqa: B023


def test_the_rest_is_skipped_on_record_and_what_is_in_hand_is_left_to_its_holder(
    queue: BatchQueue, other: BatchQueue
) -> None:
    def task(ctx: TaskContext) -> None:
        act(other, run_of(queue)).abort(skip_rest=True)
        assert not tasks.until(lambda: other.fetch_item(in_hand.id) is None, 0.2), "the item in hand was removed"
        tasks.effects.append("done")

    in_hand = queue.create_item(tasks.step(task))
    rest = [queue.enqueue(tasks.note), queue.enqueue(tasks.note, delay=60)]

    result = Runner(queue).run_all()

    assert result.completed == 1, result
    assert (queue.number_of_items(), tasks.effects) == (0, ["done"])
    assert [queue.outcome_of(item.id) for item in (in_hand, *rest)] == ["ok", "skipped", "skipped"]


def test_an_abort_that_is_sent_again_does_not_empty_the_queue_of_the_next_run(queue: BatchQueue) -> None:
    queue.enqueue(tasks.note)
    run = begin(queue)
    abort = act(queue, run)
    abort.abort(skip_rest=True)
    assert queue.number_of_items() == 0
    queue.enqueue(tasks.note)
    begin(queue, start=False)

    abort.abort(skip_rest=True)

    assert queue.number_of_items() == 1


def test_what_is_added_after_an_abort_is_not_skipped_when_what_was_in_hand_ends(
    queue: BatchQueue, other: BatchQueue
) -> None:
    def task(ctx: TaskContext) -> None:
        act(other, run_of(queue)).abort(skip_rest=True)
        other.enqueue(tasks.note, "of the next run")

    queue.create_item(tasks.step(task))
    queue.enqueue(tasks.note, "skipped")

    Runner(queue).run_all()

    assert [item.data.args for item in queue.items()] == [("of the next run",)]


# --- retry and skip ---


def test_the_item_that_failed_is_retried_and_the_run_goes_on(queue: BatchQueue) -> None:
    run, item = blocked(queue, tasks.step(unless_mended), Task(tasks.note, ("behind",)))
    tasks.effects.append("mended")

    act(queue, run).retry(item.id, item.fence)

    found = store(queue).get(run.id)
    assert (found.status, found.problem, queue.status) == ("running", None, "active")
    assert drive_to_the_end(queue, run).status == "completed"
    assert tasks.effects == ["attempt 1", "mended", "attempt 1", "behind"]
    assert counters(run_of(queue)) == counted(2, done=2)
    assert "retried" in kinds(queue, run)


def test_the_item_that_failed_is_skipped_on_record_and_the_run_goes_on(queue: BatchQueue) -> None:
    run, item = blocked(queue, Task(tasks.fail), Task(tasks.note, ("behind",)))

    act(queue, run).skip(item.id, item.fence)

    assert drive_to_the_end(queue, run).status == "completed"
    assert tasks.effects == ["attempt 1", "behind"]
    assert counters(run_of(queue)) == counted(2, done=1, skipped=1)
    assert queue.outcome_of(item.id) == "skipped"
    assert "skipped" in kinds(queue, run)


@pytest.mark.parametrize("verb", ["retry", "skip"])
def test_a_retried_or_skipped_dead_letter_is_counted_right(queue: BatchQueue, verb: str) -> None:
    item = queue.create_item("plain data")
    queue.enqueue(tasks.note)
    run = begin(queue)
    drive(queue, run)
    problem = store(queue).get(run.id).problem
    assert problem is not None and problem.is_dead

    getattr(act(queue, run), verb)(item.id, problem.fence)
    drive(queue, run)

    found = store(queue).get(run.id)
    if verb == "skip":
        assert (found.status, counters(found)) == ("completed", counted(2, done=1, failed=1))
    else:
        assert (found.status, counters(found)) == ("blocked", counted(2, done=0, failed=1))
        assert [line.item_id for line in store(queue).failures(run.id)] == [item.id]


@pytest.mark.parametrize("verb", ["retry", "skip"])
@pytest.mark.parametrize("step", [-1, 1])
def test_another_fence_of_a_dead_letter_is_refused(queue: BatchQueue, verb: str, step: int) -> None:
    item = queue.create_item("plain data")
    run = begin(queue)
    drive(queue, run)
    problem = store(queue).get(run.id).problem
    assert problem is not None and problem.is_dead

    refused_without_effect(queue, lambda: getattr(act(queue, run), verb)(item.id, problem.fence + step))


def test_a_retried_dead_letter_that_succeeds_is_no_failure_any_more(queue: BatchQueue) -> None:
    item = queue.create_item("plain data")
    run = begin(queue)
    drive(queue, run)
    problem = store(queue).get(run.id).problem
    assert problem is not None
    act(queue, run).retry(item.id, problem.fence)
    standing = queue.claim_item()
    assert standing is not None
    queue.delete_item(standing)

    assert drive_to_the_end(queue, run).status == "completed"
    assert counters(run_of(queue)) == counted(1, done=1)
    assert store(queue).failures(run.id) == []


@pytest.mark.parametrize("verb", ["retry", "skip"])
@pytest.mark.parametrize(
    "what", ["old fence", "next fence", "another item", "the end step", "no item", "another queue"]
)
def test_what_the_page_did_not_show_is_refused(queue: BatchQueue, make_queue: MakeQueue, verb: str, what: str) -> None:
    run, item = blocked(queue, Task(tasks.fail), Task(tasks.note))
    behind = next(one for one in queue.items() if one.id != item.id)
    _elsewhere, theirs = blocked(make_queue("elsewhere"), Task(tasks.fail))
    item_id, fence = {
        "old fence": (item.id, item.fence - 1),
        "next fence": (item.id, item.fence + 1),
        "another item": (behind.id, behind.fence),
        "the end step": (0, 0),
        "no item": (10**9, 0),
        "another queue": (theirs.id, theirs.fence),
    }[what]

    refused_without_effect(queue, lambda: getattr(act(queue, run), verb)(item_id, fence))


@pytest.mark.parametrize("verb", ["retry", "skip"])
@pytest.mark.parametrize("state", ["ready", "delayed by its user", "leased"])
def test_an_item_that_waits_for_nobodys_decision_is_refused(queue: BatchQueue, verb: str, state: str) -> None:
    item = queue.enqueue(tasks.note, delay=60 if state == "delayed by its user" else None)
    run = begin(queue)
    if state == "leased":
        claimed = queue.claim_item()
        assert claimed is not None
        item = claimed

    refused_without_effect(queue, lambda: getattr(act(queue, run), verb)(item.id, item.fence))


@pytest.mark.parametrize("verb", ["retry", "skip"])
def test_a_problem_that_somebody_else_works_on_by_now_is_refused(
    queue: BatchQueue, other: BatchQueue, verb: str
) -> None:
    run, item = blocked(queue, Task(tasks.fail))
    claimed = other.claim_item()
    assert claimed is not None

    for fence in (item.fence, claimed.fence):
        refused_without_effect(queue, lambda: getattr(act(queue, run), verb)(item.id, fence))  # noqa: B023


def waiting_for_its_retry(make_queue: MakeQueue) -> tuple[BatchQueue, RunState]:
    queue = make_queue(retry_limit=3, retry_interval=600)
    queue.create_item(tasks.step(unless_mended))
    run = begin(queue)
    drive(queue, run)
    return queue, store(queue).get(run.id)


def test_an_item_that_waits_for_its_retry_goes_now_and_keeps_its_count(make_queue: MakeQueue) -> None:
    queue, run = waiting_for_its_retry(make_queue)
    (item,) = queue.items()
    assert (run.status, item.failures, item.release_time is not None) == ("running", 1, True)

    act(queue, run).retry(item.id, item.fence)

    (now,) = queue.items()
    assert (now.failures, now.release_time, now.fence) == (1, None, item.fence + 1)
    refused_without_effect(queue, lambda: act(queue, run).retry(item.id, item.fence))
    tasks.effects.append("mended")
    assert drive_to_the_end(queue, run).status == "completed"
    assert tasks.effects == ["attempt 1", "mended", "attempt 2"]


def test_an_item_that_waits_for_its_retry_is_skipped(make_queue: MakeQueue) -> None:
    queue, run = waiting_for_its_retry(make_queue)
    (item,) = queue.items()

    act(queue, run).skip(item.id, item.fence)

    assert drive_to_the_end(queue, run).status == "completed"
    assert counters(run_of(queue)) == counted(1, done=0, skipped=1)


@pytest.mark.parametrize("verb", ["retry", "skip"])
def test_a_decision_from_an_old_page_does_not_end_a_pause(make_queue: MakeQueue, verb: str) -> None:
    queue, run = waiting_for_its_retry(make_queue)
    (item,) = queue.items()
    act(queue, run).pause()

    refused_without_effect(queue, lambda: getattr(act(queue, run), verb)(item.id, item.fence))
    assert queue.status == "paused"


def test_a_retried_problem_begins_with_fresh_attempts(make_queue: MakeQueue) -> None:
    queue = make_queue(retry_limit=1)
    run, item = blocked(queue, tasks.step(unless_mended))
    assert tasks.effects == ["attempt 1", "attempt 2"]

    act(queue, run).retry(item.id, item.fence)
    drive_to_the_end(queue, run)

    assert tasks.effects == ["attempt 1", "attempt 2"] * 2


# --- what failed, once more ---


@pytest.mark.parametrize("error", ["delete", "dead"])
def test_exactly_what_failed_is_tried_again_once(make_queue: MakeQueue, error: str) -> None:
    queue = make_queue(error=error)
    for number in range(6):
        queue.create_item(tasks.step(unless_mended if number % 2 else lambda ctx: None, f"T{number}"))
    earlier = make_queue("earlier", error=error)
    earlier.enqueue(tasks.fail)
    Runner(earlier).run_all()
    run = begin(queue, on_end="tests.contract.tasks:finish")
    assert drive_to_the_end(queue, run).status == "completed"
    assert counters(store(queue).get(run.id)) == counted(6, done=3, failed=3)
    request = act(queue, run)

    request.retry_failed()

    found = store(queue).get(run.id)
    assert (found.status, found.end_time, counters(found)) == ("running", 0, counted(6, done=3))
    assert [item.title for item in queue.items()] == ["T1", "T3", "T5"]
    assert queue.dead_items() == [] and earlier.number_of_items() == 0
    request.retry_failed()
    refused_without_effect(queue, act(queue, run).retry_failed)
    assert queue.number_of_items() == 3

    tasks.effects.append("mended")
    found = drive_to_the_end(queue, run)
    assert (found.status, counters(found)) == ("completed", counted(6, done=6))
    assert tasks.effects.count("the end of jobs") == 1
    assert store(queue).failures(run.id) == []
    refused_without_effect(queue, act(queue, run).retry_failed)


def test_what_fails_again_can_be_tried_again(make_queue: MakeQueue) -> None:
    queue = make_queue(error="delete")
    queue.create_item(tasks.step(unless_mended))
    run = begin(queue)
    drive_to_the_end(queue, run)

    for _ in range(3):
        act(queue, run).retry_failed()
        assert counters(drive_to_the_end(queue, run)) == counted(1, done=0, failed=1)
        assert len(store(queue).failures(run.id)) == 1


def test_a_failure_that_a_human_has_dealt_with_is_not_tried_again(make_queue: MakeQueue) -> None:
    queue = make_queue(error="dead")
    first, second = queue.enqueue(tasks.fail), queue.enqueue(tasks.fail)
    run = begin(queue)
    drive_to_the_end(queue, run)
    queue.revive_item(first.id)
    (revived,) = queue.items()

    act(queue, run).retry_failed()

    assert [item.id for item in queue.items()] == [revived.id, second.id]
    assert counters(store(queue).get(run.id)) == counted(2, done=0, failed=1)


# --- one request, one effect ---


def decide(actions: Actions, verb: str, item_id: int, fence: int) -> None:
    getattr(actions, verb)(item_id, fence)


@pytest.mark.parametrize("verb", ["retry", "skip"])
def test_the_same_request_twice_has_one_effect(queue: BatchQueue, verb: str) -> None:
    run, item = blocked(queue, Task(tasks.fail), Task(tasks.fail))
    request = act(queue, run)

    decide(request, verb, item.id, item.fence)
    before = everything(queue)
    decide(request, verb, item.id, item.fence)

    assert everything(queue) == before


def test_the_same_request_of_another_run_is_another_request(queue: BatchQueue, make_queue: MakeQueue) -> None:
    run, item = blocked(queue, Task(tasks.fail))
    elsewhere = make_queue("elsewhere")
    theirs, their_item = blocked(elsewhere, Task(tasks.fail))

    act(queue, run, "f" * 32).skip(item.id, item.fence)
    act(elsewhere, theirs, "f" * 32).skip(their_item.id, their_item.fence)

    assert (queue.number_of_items(), elsewhere.number_of_items()) == (0, 0)


def test_a_request_that_was_refused_may_come_again(queue: BatchQueue) -> None:
    run = begin(queue)
    request = act(queue, run)
    with pytest.raises(RunMovedOn):
        request.start()
    with pytest.raises(RunMovedOn):
        request.start()
    request.pause()

    assert queue.status == "paused"


def test_the_log_says_who_did_what(queue: BatchQueue) -> None:
    run, item = blocked(queue, Task(tasks.fail, (), "T"))
    act(queue, run, actor="bo\0b").skip(item.id, item.fence)

    (line,) = [line for line in store(queue).log(run.id) if line.kind == "skipped"]
    assert (line.message, line.item_id, line.level) == ("T [bo\ufffdb]", item.id, "warning")


def test_continue_mode_of_a_run_counts_failures_whatever_the_queue_says(queue: BatchQueue) -> None:
    queue.enqueue(tasks.fail)
    queue.enqueue(tasks.note)

    assert Runner(queue, error_mode=ErrorMode.CONTINUE).run_all()
    assert counters(run_of(queue)) == counted(2, done=1, failed=1)


def test_a_waiting_item_whose_pause_is_over_is_refused_and_goes_by_itself(make_queue: MakeQueue) -> None:
    queue, run = waiting_for_its_retry(make_queue)
    (item,) = queue.items()
    tasks.effects.append("mended")

    with travel(601):
        refused_without_effect(queue, lambda: act(queue, run).skip(item.id, item.fence))
        assert drive_to_the_end(queue, run).status == "completed"
