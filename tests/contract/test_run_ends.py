"""The step after the last item: once, by one, and with Retry and Skip like any item."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from taskqueue import BatchQueue, QueueService, Runner, RunResult, TaskContext, travel
from taskqueue.errors import RunMovedOn
from taskqueue.runs.recorder import Recorder
from taskqueue.runs.state import END_STEP, RunState
from tests.contract import tasks
from tests.contract.backends import Backend, only_sql
from tests.contract.conftest import MakeService
from tests.contract.records import (
    act,
    begin,
    drive,
    drive_to_the_end,
    everything,
    kinds,
    run_of,
    runs_of,
    store,
)

pytestmark = only_sql
ON_END = "tests.contract.test_run_ends:on_end"
#: What the step does; called with its context.
_step: list[Callable[[TaskContext], Any]] = []


@pytest.fixture(autouse=True)
def _no_step() -> None:
    _step.clear()


def on_end(ctx: TaskContext) -> Any:
    """The step after the last item."""
    tasks.effects.append("end")
    return _step[0](ctx) if _step else None


def fail_unless_mended(ctx: TaskContext) -> bool:
    """Fail until the test says that the cause is gone."""
    return "mended" in tasks.effects


def ends() -> int:
    """How often the step was executed."""
    return tasks.effects.count("end")


def refused_without_effect(queue: BatchQueue, action: Callable[[], None]) -> None:
    before = everything(queue)
    with pytest.raises(RunMovedOn):
        action()
    assert everything(queue) == before


def at_once(*works: Callable[[], Any]) -> list[Any]:
    results: dict[int, Any] = {}

    def keep(number: int, work: Callable[[], Any]) -> None:
        results[number] = work()

    threads = [threading.Thread(target=keep, args=pair) for pair in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return [results.get(number) for number in range(len(works))]


# --- once ---


def test_two_drivers_that_come_to_the_end_together_call_on_end_once(
    queue: BatchQueue, other: BatchQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    together, begin_end = threading.Barrier(2, timeout=20), Recorder.begin_end

    def begin_together(self: Recorder) -> int | None:
        together.wait()
        return begin_end(self)

    monkeypatch.setattr(Recorder, "begin_end", begin_together)
    run = begin(queue, on_end=ON_END, on_end_url="/done")

    results = at_once(Runner.of_run(queue, run).run_all, Runner.of_run(other, run).run_all)

    assert ends() == 1
    assert [result.is_error for result in results] == [False, False]
    assert "/done" in [result.redirect_url for result in results]
    assert (run_of(queue).status, kinds(queue, run).count("completed")) == ("completed", 1)


def test_whoever_comes_while_the_last_step_is_executed_leaves_it_alone(queue: BatchQueue, other: BatchQueue) -> None:
    run = begin(queue, on_end=ON_END)

    def meanwhile(ctx: TaskContext) -> None:
        assert store(other).get(run.id).status == "finishing"
        assert drive(other, run, driver="another page") is None
        result = Runner.of_run(other, run).run_all()
        assert (result.is_error, result.redirect_url) == (False, None)

    _step.append(meanwhile)

    assert Runner.of_run(queue, run).run_all()
    assert (ends(), run_of(queue).status) == (1, "completed")


def test_a_run_that_is_completed_does_not_end_again(queue: BatchQueue, other: BatchQueue) -> None:
    run = begin(queue, on_end=ON_END)
    assert drive_to_the_end(queue, run).status == "completed"

    assert drive(other, run) is None
    with pytest.raises(RunMovedOn):
        Runner.of_run(other, run).run_all()
    assert ends() == 1


def test_an_item_that_the_last_step_adds_is_executed_before_the_run_is_complete(queue: BatchQueue) -> None:
    def add_once(ctx: TaskContext) -> None:
        if ends() == 1:
            ctx.queue.enqueue(tasks.note, "added")

    _step.append(add_once)
    run = begin(queue, on_end=ON_END)

    drive(queue, run)

    assert store(queue).get(run.id).status in ("completed", "finishing", "running")
    assert ends() == 1


# --- failure ---


@pytest.mark.parametrize("how", ["raises", "returns False", "is unknown"])
def test_a_failing_last_step_blocks_the_run(queue: BatchQueue, how: str) -> None:
    if how == "raises":
        _step.append(lambda ctx: 1 / 0)
    elif how == "returns False":
        _step.append(lambda ctx: False)
    run = begin(queue, on_end=ON_END if how != "is unknown" else "tests.contract.test_run_ends:nowhere")

    result = drive(queue, run)

    found = store(queue).get(run.id)
    assert result is not None and (bool(result), result.is_error) == (False, True)
    assert (found.status, found.is_ended, found.end_time) == ("blocked", False, 0)
    assert found.problem is not None
    assert (found.problem.item_id, found.problem.fence) == (END_STEP, found.end_fence) == (0, 1)
    assert found.problem.kind == ("missing_callback" if how == "is unknown" else "exception")
    assert ("ZeroDivisionError" in found.problem.trace) == (how == "raises")
    assert "drive.py" not in found.problem.trace, "that frame says nothing about the last step"
    drive(queue, run)
    assert ends() == (how != "is unknown"), "executed again although nobody has decided"


def blocked_at_its_end(queue: BatchQueue) -> RunState:
    _step.append(fail_unless_mended)
    queue.enqueue(tasks.note)
    run = begin(queue, on_end=ON_END)
    drive(queue, run)
    found = store(queue).get(run.id)
    assert (found.status, found.end_fence) == ("blocked", 1)
    return found


def test_a_failed_last_step_is_retried(queue: BatchQueue) -> None:
    run = blocked_at_its_end(queue)

    act(queue, run).retry(END_STEP, 1)
    assert drive_to_the_end(queue, run).status == "blocked"
    refused_without_effect(queue, lambda: act(queue, run).retry(END_STEP, 1))
    tasks.effects.append("mended")
    act(queue, run).retry(END_STEP, 2)

    found = drive_to_the_end(queue, run)
    assert (found.status, found.is_ended, found.problem, ends()) == ("completed", True, None, 3)


def test_a_failed_last_step_is_skipped(queue: BatchQueue) -> None:
    run = blocked_at_its_end(queue)

    act(queue, run).skip(END_STEP, 1)

    found = drive_to_the_end(queue, run)
    assert (found.status, found.is_ended, ends()) == ("completed", True, 1)
    assert (found.done, found.skipped, found.total) == (1, 0, 1)


@pytest.mark.parametrize("verb", ["retry", "skip", "steal"])
@pytest.mark.parametrize("fence", [0, 2])
def test_another_fence_of_the_last_step_is_refused(queue: BatchQueue, verb: str, fence: int) -> None:
    run = blocked_at_its_end(queue)

    refused_without_effect(queue, lambda: getattr(act(queue, run), verb)(END_STEP, fence))


def test_a_failed_last_step_is_carried_on_in_a_terminal(queue: BatchQueue) -> None:
    _step.append(fail_unless_mended)
    assert not Runner(queue, on_end=on_end).run_all()
    first = run_of(queue)

    tasks.effects.append("mended")
    assert Runner(queue, on_end=on_end).run_all()

    assert (run_of(queue).id, run_of(queue).status, ends()) == (first.id, "completed", 2)


def test_items_that_were_added_to_a_run_blocked_at_its_end_go_first(queue: BatchQueue) -> None:
    run = blocked_at_its_end(queue)
    queue.create_item(tasks.step(lambda ctx: tasks.effects.append("mended")))

    act(queue, run).retry(END_STEP, 1)

    assert drive_to_the_end(queue, run).status == "completed"
    assert tasks.effects == ["end", "mended", "end"]


# --- taking it over ---

HEARTBEAT = 1000.0


class Stuck:
    """A process in the middle of the last step, which gives no further sign of life."""

    def __init__(self, queue: BatchQueue) -> None:
        self._queue = queue
        self._goes_on, self._is_in = threading.Event(), threading.Event()
        self._results: list[RunResult] = []
        self._thread = threading.Thread(
            target=lambda: self._results.append(Runner(queue, on_end=on_end, on_end_url="/done").run_all())
        )
        _step.append(self._hold)

    def _hold(self, ctx: TaskContext) -> None:
        if self._is_in.is_set():
            return
        self._is_in.set()
        assert self._goes_on.wait(60)

    def hold(self) -> RunState:
        self._queue.enqueue(tasks.note)
        self._thread.start()
        assert self._is_in.wait(30)
        return run_of(self._queue)

    def let_go(self) -> RunResult:
        self._goes_on.set()
        self._thread.join(60)
        return self._results[0]


@pytest.fixture
def silent(make_service: MakeService, backend: Backend) -> BatchQueue:
    """A queue whose holders give one sign of life, and the next one after the test."""
    service: QueueService = make_service(heartbeat=HEARTBEAT, lease_slice=4 * HEARTBEAT)
    return service.create(backend.type, "jobs")


def test_a_last_step_in_the_hands_of_the_living_is_not_taken(silent: BatchQueue, make_service: MakeService) -> None:
    page, stuck = make_service().load("jobs"), Stuck(silent)
    run = stuck.hold()
    assert (run.status, run.end_fence) == ("finishing", 1)

    for verb in ("retry", "skip", "steal"):
        refused_without_effect(page, lambda: getattr(act(page, run), verb)(END_STEP, 1))  # noqa: B023
    assert stuck.let_go().redirect_url == "/done"
    assert (run_of(page).status, ends()) == ("completed", 1)


@pytest.mark.parametrize("verb", ["retry", "skip"])
def test_a_last_step_of_the_lost_is_taken_and_decided_on(
    silent: BatchQueue, make_service: MakeService, verb: str
) -> None:
    page, stuck = make_service().load("jobs"), Stuck(silent)
    run = stuck.hold()

    with travel(2 * HEARTBEAT + 1):
        act(page, run).steal(END_STEP, 1)
    found = run_of(page)
    assert found.problem is not None
    assert (found.status, found.problem.kind, found.problem.fence) == ("blocked", "lost_lease", 2)

    late = stuck.let_go()
    assert (late.redirect_url, run_of(page).status) == (None, "blocked")

    getattr(act(page, run), verb)(END_STEP, 2)
    assert Runner.of_run(page, run_of(page)).run_all()
    assert (run_of(page).status, ends()) == ("completed", 2 if verb == "retry" else 1)
    assert len(runs_of(page)) == 1


def test_an_abort_in_the_last_step_stays(silent: BatchQueue, make_service: MakeService) -> None:
    page, stuck = make_service().load("jobs"), Stuck(silent)
    run = stuck.hold()

    act(page, run).abort()

    assert stuck.let_go().redirect_url is None
    assert run_of(page).status == "aborted"


def test_a_pause_in_the_last_item_holds_the_step_back(queue: BatchQueue) -> None:
    # given
    queue.create_item(tasks.step(lambda ctx: ctx.queue.set_status("paused")))
    # when
    held_back = Runner(queue, on_end=ON_END).run_all()
    # then
    assert not held_back
    assert ends() == 0
    # when
    queue.set_status("active")
    resumed = Runner(queue, on_end=ON_END).run_all()
    # then
    assert resumed
    assert ends() == 1
