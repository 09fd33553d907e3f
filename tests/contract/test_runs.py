"""The record of a run: what it counts, and that it is there for whoever carries the run on."""

from __future__ import annotations

import pytest

from taskqueue import BatchQueue, ErrorMode, Runner, TaskContext, travel
from tests.contract import tasks
from tests.contract.backends import only_sql
from tests.contract.conftest import MakeQueue
from tests.contract.records import begin, counted, counters, drive, kinds, run_of, runs_of, store
from tests.contract.store import overwrite

pytestmark = only_sql
DAY = 86_400.0


def fail_once(ctx: TaskContext) -> None:
    """Fail in the first attempt."""
    if ctx.attempt == 1:
        raise ValueError("not yet")


# --- counters ---


def test_a_run_to_the_end_is_recorded_with_title_counters_and_times(queue: BatchQueue) -> None:
    for _ in range(5):
        queue.enqueue(tasks.note)

    assert Runner(queue, title="Import", on_end=tasks.finish).run_all()

    run = run_of(queue)
    assert (run.title, run.owner, run.status, run.is_open) == ("Import", "", "completed", False)
    assert counters(run) == counted(5, done=5)
    assert run.create_time <= run.start_time <= run.end_time <= run.now
    assert kinds(queue, run) == ["started", "many", "finishing", "completed"]
    assert (run.is_dirty, run.is_driven, run.problem) == (False, False, None)


def test_what_tasks_add_is_counted_as_added(queue: BatchQueue) -> None:
    queue.enqueue(tasks.add_three_first)
    queue.enqueue(tasks.note)

    assert Runner(queue).run_all()
    assert counters(run_of(queue)) == counted(5, done=5, added=3)


def test_a_retried_item_is_counted_once(make_queue: MakeQueue) -> None:
    queue = make_queue(retry_limit=2)
    queue.create_item(tasks.step(fail_once))
    queue.enqueue(tasks.note)

    assert Runner(queue).run_all()

    run = run_of(queue)
    assert counters(run) == counted(2, done=2)
    assert kinds(queue, run).count("retry") == 1


@pytest.mark.parametrize("error", ["delete", "dead"])
def test_items_that_fail_for_good_are_counted_and_listed(make_queue: MakeQueue, error: str) -> None:
    queue = make_queue(error=error, retry_limit=1)
    failing = [queue.enqueue(tasks.fail, title=f"T{number}") for number in range(3)]
    queue.enqueue(tasks.note)

    assert Runner(queue).run_all()

    run = run_of(queue)
    assert counters(run) == counted(4, done=1, failed=3)
    failures = store(queue).failures(run.id)
    assert [line.item_id for line in failures] == [item.id for item in failing]
    assert [line.message for line in failures] == [f"T{number}\x1fValueError: failed on purpose" for number in range(3)]


def test_refused_items_are_counted_as_failed(make_queue: MakeQueue) -> None:
    queue = make_queue(error="delete")
    queue.create_item("plain data")
    damaged = queue.enqueue(tasks.note)
    overwrite(queue, damaged, "{")
    queue.enqueue(tasks.note)

    assert Runner(queue).run_all()
    assert counters(run_of(queue)) == counted(3, done=1, failed=2)


def test_all_at_once_is_counted_exactly(make_queue: MakeQueue) -> None:
    queue = make_queue(error="delete", retry_limit=1)
    for _ in range(40):
        queue.enqueue(tasks.note)
        queue.enqueue(tasks.fail)
        queue.create_item(tasks.step(fail_once))
    queue.enqueue(tasks.add_three_first)

    assert Runner(queue).run_all()
    assert counters(run_of(queue)) == counted(124, done=84, failed=40, added=3)


def test_a_failed_item_blocks_the_run_under_the_fence_it_has_now(queue: BatchQueue) -> None:
    queue.enqueue(tasks.note)
    item = queue.enqueue(tasks.fail, "because", title="Broken")
    queue.enqueue(tasks.note)

    assert not Runner(queue).run_all()

    run, standing = run_of(queue), queue.fetch_item(item.id)
    assert standing is not None and run.problem is not None
    assert (run.status, counters(run)) == ("blocked", counted(3, done=1))
    found = run.problem
    assert (found.item_id, found.fence, found.title) == (item.id, standing.fence, "Broken")
    assert (found.attempt, found.kind, found.message, found.is_dead) == (1, "exception", "ValueError: because", False)
    assert "in fail" in found.trace and "execution" not in found.trace
    assert abs(found.when - run.now) < 60_000


def test_a_refused_item_blocks_the_run_as_one_without_a_callback(queue: BatchQueue) -> None:
    item = queue.create_item("plain data")

    assert not Runner(queue).run_all()

    problem = run_of(queue).problem
    assert problem is not None
    assert (problem.item_id, problem.kind, problem.is_dead, problem.trace) == (item.id, "missing_callback", True, "")


# --- no record ---


def test_a_queue_without_registration_keeps_no_record(make_queue: MakeQueue) -> None:
    queue = make_queue(is_persistent=False)
    queue.enqueue(tasks.note)

    assert Runner(queue).run_all()
    assert runs_of(queue) == []


# --- carrying on ---


def test_a_run_that_was_blocked_is_carried_on_by_the_same_command(queue: BatchQueue) -> None:
    queue.enqueue(tasks.note)
    queue.create_item(tasks.step(lambda ctx: bool(tasks.effects.count("mended"))))
    queue.enqueue(tasks.note)
    assert not Runner(queue, title="Import").run_all()
    first = run_of(queue)

    tasks.effects.append("mended")
    assert Runner(queue, title="Import").run_all()

    run = run_of(queue)
    assert (run.id, run.status, run.problem) == (first.id, "completed", None)
    assert counters(run) == counted(3, done=3)


def test_a_run_that_was_stopped_is_carried_on_with_what_was_added_meanwhile(queue: BatchQueue) -> None:
    runner = Runner(queue)
    queue.create_item(tasks.step(lambda ctx: runner.stop()))
    queue.enqueue(tasks.note)
    assert runner.run_all().is_continue
    queue.enqueue(tasks.note)

    assert Runner(queue).run_all()
    assert counters(run_of(queue)) == counted(3, done=3, added=1)


def test_a_run_of_another_kind_is_another_run(queue: BatchQueue) -> None:
    queue.enqueue(tasks.fail)
    Runner(queue, title="One").run_all()
    Runner(queue, title="Two").run_all()
    Runner(queue, title="Two", error_mode=ErrorMode.CONTINUE).run_all()

    assert [run.title for run in runs_of(queue)].count("Two") == 2


def test_a_run_that_a_page_began_is_not_carried_on_by_a_command(queue: BatchQueue) -> None:
    run = begin(queue, title="Queue Runner")

    assert Runner(queue).run_all()
    assert store(queue).get(run.id).status == "running"
    assert len(runs_of(queue)) == 2


def test_a_run_is_carried_on_with_all_that_was_asked_for(queue: BatchQueue, effects: list[str]) -> None:
    asked = Runner(
        queue, title="T", error_mode=ErrorMode.CONTINUE, on_end=tasks.finish, on_end_url="/done", is_minimal=True,
        buttons=("skip",),
    )  # fmt: skip
    run = store(queue).create(queue, asked.definition, owner="me")
    queue.enqueue(tasks.fail)

    carried_on = Runner.of_run(queue, store(queue).get(run.id))

    assert carried_on.definition == asked.definition
    assert carried_on.run_all().redirect_url == "/done"
    assert effects == ["attempt 1", "the end of jobs"]
    assert (run_of(queue).id, run_of(queue).status) == (run.id, "completed")


# --- the end of a queue ---


@pytest.mark.parametrize("status", ["ready", "running", "blocked"])
@pytest.mark.parametrize("how", ["reset", "delete"])
def test_the_open_runs_of_a_queue_that_is_emptied_or_removed_are_aborted(
    queue: BatchQueue, make_queue: MakeQueue, status: str, how: str
) -> None:
    queue.enqueue(tasks.fail)
    run = begin(queue, start=status != "ready")
    if status == "blocked":
        drive(queue, run)
    assert run_of(queue).status == status
    elsewhere = begin(make_queue("elsewhere"))

    getattr(queue, how)()

    found = run_of(queue)
    assert (found.status, found.version > run.version, found.end_time > 0) == ("aborted", True, True)
    assert store(queue).get(elsewhere.id).status == "running"


def test_a_driver_of_a_queue_that_is_emptied_by_others_stops(queue: BatchQueue, other: BatchQueue) -> None:
    def empty(ctx: TaskContext) -> bool:
        other.reset()
        other.enqueue(tasks.note, "not of this run")
        return tasks.until(lambda: ctx.should_stop)

    queue.create_item(tasks.step(empty))
    queue.enqueue(tasks.note, "emptied")

    assert not Runner(queue).run_all()
    assert tasks.effects == []
    assert (run_of(queue).status, queue.number_of_items()) == ("aborted", 1)


# --- old ones ---


def test_runs_that_ended_long_ago_are_removed_with_all_that_belongs_to_them(
    make_queue: MakeQueue, queue: BatchQueue
) -> None:
    young, open_one = make_queue("young"), make_queue("open")
    for one in (queue, open_one):
        one.enqueue(tasks.note)
    assert Runner(queue).run_all()
    begin(open_one)
    old = run_of(queue)

    with travel(29 * DAY):
        Runner(young).run_all()
        assert len(runs_of(queue)) == 1
    with travel(31 * DAY):
        begin(young)
        assert runs_of(queue) == []
        assert (len(runs_of(open_one)), len(runs_of(young))) == (1, 2)
        assert store(queue).log(old.id) == []


def test_old_runs_are_removed_a_few_at_a_time(queue: BatchQueue) -> None:
    for _ in range(25):
        Runner(queue).run_all()

    with travel(31 * DAY):
        begin(queue)
        assert len(runs_of(queue)) == 25 - 20 + 1
        begin(queue)
        assert len(runs_of(queue)) == 2
