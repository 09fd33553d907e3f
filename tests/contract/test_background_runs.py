"""Runs that workers carry out, while pages watch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import pytest

from taskqueue import BatchQueue, ErrorMode, QueueService, Runner, RunResult, Task, TaskContext, Worker
from taskqueue.cli.carry_on import choose_run
from taskqueue.errors import (
    ConfigurationError,
    NotSupported,
    PayloadError,
    QueueNotActive,
    RunMovedOn,
    SpecError,
)
from taskqueue.runs import on_record
from taskqueue.runs.look import Look
from taskqueue.runs.recorder import Recorder
from taskqueue.runs.state import END_STEP, Definition, RunState
from taskqueue.signals import run_finished
from taskqueue.storage import runs
from taskqueue.storage.transaction import Transaction
from tests.contract import tasks
from tests.contract.backends import only_sql
from tests.contract.conftest import MakeQueue
from tests.contract.records import act, counted, counters, drive_to_the_end, everything, kinds, run_of, sql, store
from tests.contract.workers import is_served, wait_for

pytestmark = only_sql
ON_END = "tests.contract.test_background_runs:on_end"
#: What the last step does; called with its context.
_step: list[Callable[[TaskContext], Any]] = []


@pytest.fixture(autouse=True)
def _no_step() -> None:
    _step.clear()


@pytest.fixture
def queue(make_queue: MakeQueue) -> BatchQueue:
    """A queue that workers serve."""
    return make_queue(agent="server", error="delete")


def on_end(ctx: TaskContext) -> Any:
    """The last step."""
    tasks.effects.append("end")
    return _step[0](ctx) if _step else None


def ends() -> int:
    """How often it was executed."""
    return tasks.effects.count("end")


def begin(queue: BatchQueue, **options: Any) -> RunState:
    """A background run with a last step, begun where no pages are."""
    runner = Runner(queue, **{"title": "Import", "on_end": ON_END, **options})
    return store(queue).get(runner.run_all_via_background())


def drain(service: QueueService) -> None:
    """Let a worker do all that is to be done."""
    Worker(service, ["jobs"]).drain()


@contextmanager
def working(service: QueueService, **options: Any) -> Iterator[Worker]:
    """A worker in a thread of its own."""
    worker = Worker(service, ["jobs"], **options)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join(20)
    assert not thread.is_alive()


def is_completed(queue: BatchQueue, run: RunState) -> Callable[[], bool]:
    return lambda: store(queue).get(run.id).status == "completed"


def seen(queue: BatchQueue, run: RunState) -> RunState:
    """The run as a page sees it."""

    def read(tx: Transaction) -> RunState:
        row = runs.find(tx, run.id)
        assert row is not None
        return on_record.seen(tx, RunState.of(row, queue.settings.codec))

    found: RunState = sql(queue).database.statement(read, write=False)
    return found


def change(queue: BatchQueue, run: RunState, assignments: str, **values: Any) -> None:
    sql(queue).database.transaction(lambda tx: runs.change(tx, run.id, assignments, **values))


# --- to the end ---


def test_a_worker_carries_a_run_out_and_ends_it_once(queue: BatchQueue, service: QueueService) -> None:
    tasks.enqueue_around(queue, Task(tasks.fail, title="B"))
    results: list[RunResult] = []

    def receive(sender: Runner, result: RunResult) -> None:
        results.append(result)

    with run_finished.connected_to(receive):
        run = begin(queue)
        assert (run.status, run.definition.mode, tasks.effects) == ("running", "background", [])
        drain(service)
        drain(service)

    found = store(queue).get(run.id)
    assert found.status == "completed"
    assert counters(found) == counted(3, done=2, failed=1)
    assert sorted(tasks.effects) == ["a", "attempt 1", "c", "end"]
    assert kinds(queue, run).count("completed") == 1
    assert [bool(result) for result in results] == [True]


def test_a_run_that_is_begun_while_a_worker_idles_comes_to_its_end(queue: BatchQueue, service: QueueService) -> None:
    with working(service):
        queue.enqueue(tasks.note, "a")
        assert tasks.until(lambda: queue.number_of_items() == 0)
        run = begin(queue)  # nothing will ever be claimed for it
        assert tasks.until(is_completed(queue, run))
    assert tasks.effects == ["a", "end"]


def test_a_run_without_a_last_step_ends_as_well(queue: BatchQueue, service: QueueService) -> None:
    queue.enqueue(tasks.note, "a")
    run = begin(queue, on_end=None)
    drain(service)
    assert counters(store(queue).get(run.id)) == counted(1, done=1)
    assert store(queue).get(run.id).status == "completed"


def test_what_tasks_add_counts(queue: BatchQueue, service: QueueService) -> None:
    for _number in range(3):
        queue.enqueue(tasks.add_three_first)
    run = begin(queue)
    drain(service)
    assert counters(store(queue).get(run.id)) == counted(12, done=12, added=9)


def test_two_workers_that_find_the_queue_empty_together_end_its_run_once(
    queue: BatchQueue, service: QueueService, make_service: Callable[[], QueueService], monkeypatch: pytest.MonkeyPatch
) -> None:
    together, begin_end = threading.Barrier(2, timeout=20), Recorder.begin_end

    def begin_together(self: Recorder) -> int | None:
        together.wait()
        return begin_end(self)

    monkeypatch.setattr(Recorder, "begin_end", begin_together)
    run = begin(queue)
    other = make_service()
    with working(service), working(other):
        assert tasks.until(is_completed(queue, run))
    assert ends() == 1


def test_what_is_in_hand_tells_how_far_it_is(queue: BatchQueue, service: QueueService) -> None:
    gate = threading.Event()

    def report(ctx: TaskContext) -> None:
        ctx.report(1, 4, "reading")
        gate.wait(20)

    queue.create_item(tasks.step(report, "Long"))
    run = begin(queue)
    read = "SELECT done FROM {activity} WHERE message = 'reading'"
    with working(service):
        try:
            assert tasks.until(lambda: sql(queue).database.transaction(lambda tx: tx.row(read)) is not None)
        finally:
            gate.set()
        assert tasks.until(is_completed(queue, run))


# --- the last step ---


def test_a_last_step_that_fails_blocks_the_run_until_somebody_retries_it(
    queue: BatchQueue, service: QueueService
) -> None:
    _step.append(lambda ctx: "mended" in tasks.effects)
    run = begin(queue)
    drain(service)
    found = store(queue).get(run.id)
    assert (found.status, ends()) == ("blocked", 1)
    assert found.problem is not None
    drain(service)
    assert ends() == 1

    tasks.effects.append("mended")
    act(queue, run).retry(END_STEP, found.problem.fence)
    drain(service)
    assert (store(queue).get(run.id).status, ends()) == ("completed", 2)


def test_a_last_step_whose_worker_was_lost_is_executed_by_another(queue: BatchQueue, service: QueueService) -> None:
    run = begin(queue)
    change(queue, run, "status = 'finishing', end_fence = 1, end_holder = 'f00000000000000f'")
    drain(service)
    found = store(queue).get(run.id)
    assert (found.status, found.end_fence, ends()) == ("completed", 2, 1)
    assert "taken_over" in kinds(queue, run)


def test_a_last_step_that_has_cost_too_many_workers_is_left_to_a_human(
    queue: BatchQueue, service: QueueService
) -> None:
    run = begin(queue)
    limit = queue.settings.interrupt_limit
    change(queue, run, "status = 'finishing', end_fence = :fence, end_holder = 'f00000000000000f'", fence=limit)
    drain(service)
    assert (store(queue).get(run.id).status, ends()) == ("finishing", 0)
    act(queue, run).steal(END_STEP, limit)
    act(queue, run).retry(END_STEP, limit + 1)
    drain(service)
    assert (store(queue).get(run.id).status, ends()) == ("completed", 1)


def test_a_last_step_that_another_worker_executes_is_left_alone(
    queue: BatchQueue, service: QueueService, make_service: Callable[[], QueueService]
) -> None:
    begun, gate = threading.Event(), threading.Event()

    def wait(ctx: TaskContext) -> None:
        begun.set()
        gate.wait(20)

    _step.append(wait)
    run, other = begin(queue), make_service()
    with working(service):
        try:
            assert begun.wait(20)
            worker = Worker(other, ["jobs"])
            worker.run_once()
            assert (store(queue).get(run.id).status, ends()) == ("finishing", 1)
        finally:
            gate.set()
        assert tasks.until(is_completed(queue, run))
    assert ends() == 1


# --- failures ---


def test_failures_are_seen_whoever_had_the_items(queue: BatchQueue, service: QueueService) -> None:
    tasks.enqueue_around(queue, Task(tasks.fail, ("because",), "B"))
    queue.enqueue(tasks.note, "d")
    run = begin(queue)
    stranger = Runner(queue, title="Another run")
    assert [stranger.run_next().completed, stranger.run_next().failed, stranger.skip_next().skipped] == [1, 1, 1]

    assert store(queue).get(run.id).failed == 0
    assert counters(seen(queue, run)) == counted(4, done=0, skipped=1, failed=1)
    (line,) = sql(queue).database.transaction(lambda tx: on_record.failed(tx, sql(queue), run, 10))
    assert line.message.startswith("B\x1fValueError: because")

    drain(service)
    assert counters(store(queue).get(run.id)) == counted(4, done=2, skipped=1, failed=1)


def test_what_failed_before_the_run_is_none_of_its_failures(queue: BatchQueue, service: QueueService) -> None:
    queue.enqueue(tasks.fail)
    drain(service)
    (ended,) = sql(queue).database.transaction(lambda tx: tx.row("SELECT MAX(end_time) FROM {ending}"))
    assert tasks.until(lambda: sql(queue).database.transaction(lambda tx: tx.row("SELECT {now}")[0]) > ended)
    run = begin(queue)
    drain(service)
    assert counters(store(queue).get(run.id)) == counted(0, done=0)


@pytest.mark.parametrize("policy", ["delete", "dead"])
def test_failed_items_are_tried_again_after_the_end(queue: BatchQueue, service: QueueService, policy: str) -> None:
    queue.update(error=policy)
    queue.create_item(tasks.step(lambda ctx: "mended" in tasks.effects, "Broken"))
    queue.enqueue(tasks.note, "b")
    run = begin(queue, on_end=None)
    drain(service)
    assert counters(store(queue).get(run.id)) == counted(2, done=1, failed=1)

    tasks.effects.append("mended")
    act(queue, run).retry_failed()
    assert counters(seen(queue, run)) == counted(2, done=1)
    drain(service)
    assert counters(store(queue).get(run.id)) == counted(2, done=2)
    with pytest.raises(RunMovedOn):
        act(queue, run).retry_failed()


def test_an_aborted_queue_blocks_the_run_until_somebody_decides(queue: BatchQueue, service: QueueService) -> None:
    queue.update(error="abort")
    tasks.enqueue_around(queue, tasks.step(lambda ctx: "mended" in tasks.effects, "B"))
    run = begin(queue)
    drain(service)
    look = sql(queue).database.transaction
    problem = look(lambda tx: question(tx, queue, run))
    assert (problem.title, queue.status, ends()) == ("B", "aborted", 0)

    tasks.effects.append("mended")
    act(queue, run).retry(problem.item_id, problem.fence)
    drain(service)
    assert counters(store(queue).get(run.id)) == counted(3, done=3)
    assert ends() == 1


def question(tx: Transaction, queue: BatchQueue, run: RunState) -> Any:
    row = runs.find(tx, run.id)
    assert row is not None
    return Look(sql(queue)).question(tx, row, queue.status)


def test_an_aborted_run_keeps_its_counts(queue: BatchQueue) -> None:
    tasks.enqueue_around(queue, Task(tasks.fail))
    run = begin(queue)
    stranger = Runner(queue, title="Another run")
    stranger.run_next()
    stranger.run_next()
    act(queue, run).abort(skip_rest=True)
    found = store(queue).get(run.id)
    assert (found.failed, found.skipped, found.status) == (1, 1, "aborted")


# --- beginning ---


def test_the_same_run_is_carried_on(queue: BatchQueue) -> None:
    queue.enqueue(tasks.note, "a")
    run = begin(queue)
    assert begin(queue).id == run.id
    assert begin(queue, title="Another").id != run.id


@pytest.mark.parametrize("agent", [None, "browser"])
def test_a_queue_that_no_worker_looks_for_is_refused(make_queue: MakeQueue, agent: str | None) -> None:
    queue = make_queue(agent=agent)
    before = everything(queue)
    with pytest.raises(SpecError, match=r"queue\.update\(agent='server', error='abort'\)"):
        begin(queue)
    assert everything(queue) == before


def test_an_error_mode_that_workers_do_not_follow_is_refused(queue: BatchQueue) -> None:
    assert begin(queue, error_mode=ErrorMode.CONTINUE)
    with pytest.raises(SpecError, match=r"queue\.update\(error='abort'\)"):
        begin(queue, error_mode=ErrorMode.ABORT)


def test_a_paused_queue_is_refused(queue: BatchQueue) -> None:
    queue.set_status("paused")
    with pytest.raises(QueueNotActive):
        begin(queue)


def test_a_queue_of_this_process_is_refused(service: QueueService) -> None:
    queue = service.create("Memory", "scratch", agent="server", error="delete")
    for way in (Runner(queue).run_all_via_background, Runner(queue).run_all_interactive):
        with pytest.raises(NotSupported, match="lives in this process only"):
            way()


def test_interactive_is_background_where_a_worker_is_alive_and_else_a_page(
    queue: BatchQueue, service: QueueService, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.enqueue(tasks.note, "a")
    with pytest.raises(ConfigurationError, match=rf"start one with 'taskqueue work {queue.name}'.* no progress page"):
        Runner(queue).run_all_interactive()
    with working(service):
        wait_for(lambda: is_served(service, queue.name), "the worker says that it serves the queue")
        run_id = Runner(queue).run_all_interactive()
        assert store(queue).get(run_id).definition.mode == "background"
        queue.update(agent=None)  # which no worker would look for
        with pytest.raises(ConfigurationError, match=r"^this process serves no progress page"):
            Runner(queue).run_all_interactive()


def test_one_runner_may_be_asked_for_both(queue: BatchQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue.settings, "pages", lambda runner, start: runner.definition.mode)
    runner = Runner(queue)
    asked = [runner.run_all_via_background(), runner.run_all_via_web(), runner.run_all_via_background()]
    assert asked == ["background", "web", "background"]


# --- who else may do the work ---


def test_pages_take_over_what_no_worker_serves(queue: BatchQueue) -> None:
    queue.enqueue(tasks.note, "a")
    run = begin(queue)
    act(queue, run, "r" * 32).take_over()
    after = everything(queue)
    act(queue, run, "r" * 32).take_over()  # the answer was lost
    assert everything(queue) == after
    with pytest.raises(RunMovedOn):
        act(queue, run).take_over()

    assert store(queue).get(run.id).definition == Definition("Import", on_end=ON_END, mode="taken_over")
    assert drive_to_the_end(queue, run).status == "completed"
    assert tasks.effects == ["a", "end"]


def test_pages_do_not_take_over_what_a_worker_serves(queue: BatchQueue, service: QueueService) -> None:
    begun, gate = threading.Event(), threading.Event()

    def wait(ctx: TaskContext) -> None:
        begun.set()
        gate.wait(20)

    queue.create_item(tasks.step(wait))
    run = begin(queue)
    with working(service):
        try:
            assert begun.wait(20)
            wait_for(lambda: is_served(service, "jobs"), "the worker says that it serves the queue")
            with pytest.raises(RunMovedOn, match="a worker serves"):
                act(queue, run).take_over()
        finally:
            gate.set()


@pytest.mark.parametrize("status", ["paused", "aborted"])
def test_pages_do_not_take_over_what_does_not_go_on(queue: BatchQueue, status: str) -> None:
    run = begin(queue)
    queue.set_status(status)
    with pytest.raises(RunMovedOn):
        act(queue, run).take_over()


def test_a_worker_that_comes_back_shares_a_run_that_was_taken_over(queue: BatchQueue, service: QueueService) -> None:
    tasks.enqueue_around(queue, Task(tasks.fail))
    run = begin(queue)
    act(queue, run).take_over()
    assert begin(queue).id == run.id  # neither does another press begin a second run
    drain(service)
    found = store(queue).get(run.id)
    assert (found.status, ends()) == ("completed", 1)
    assert counters(found) == counted(3, done=2, failed=1)


def test_a_terminal_carries_a_background_run_on(queue: BatchQueue, service: QueueService) -> None:
    tasks.enqueue_around(queue, Task(tasks.fail))
    run = begin(queue)
    Worker(service, ["jobs"]).run_once()
    choice = choose_run(queue, None, new=False)
    assert "begun elsewhere" in choice.sentence
    assert choice.runner.definition == run.definition
    assert choice.runner.run_all()
    drain(service)
    found = store(queue).get(run.id)
    assert (found.status, found.definition.mode, ends()) == ("completed", "background", 1)
    assert counters(found) == counted(3, done=2, failed=1)
    assert run_of(queue).id == run.id


# --- what is stored ---


def test_a_definition_without_a_mode_is_that_of_a_page(queue: BatchQueue) -> None:
    codec, stored = queue.settings.codec, asdict(Definition("Old"))
    del stored["mode"]
    text = codec.pack(stored, "run/jobs", "r1")
    assert Definition.unpack(codec, text, "jobs", "r1").mode == "web"
    with pytest.raises(PayloadError):
        Definition.unpack(codec, codec.pack({**stored, "mode": "root"}, "run/jobs", "r1"), "jobs", "r1")
