"""Keeping the record of a run beside its tasks: what a lost driver did not store, what tasks say, who drives."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import create_engine

from taskqueue import BatchQueue, Outcome, Runner, TaskContext, travel
from taskqueue.queues.sql_base import SqlBase
from taskqueue.remaining import Remaining
from taskqueue.runs.look import Look
from taskqueue.runs.recorder import Recorder
from taskqueue.runs.state import RunState
from taskqueue.storage import runs
from tests.contract import tasks
from tests.contract.backends import Backend, only_sql
from tests.contract.conftest import MakeQueue, MakeService
from tests.contract.records import (
    begin,
    counted,
    counters,
    drive,
    drive_to_the_end,
    kinds,
    recorder_of,
    run_of,
    runs_of,
    sql,
    store,
)

pytestmark = only_sql
AFTER_THE_SLOT = 11.0


def rows(queue: BatchQueue, statement: str) -> list[tuple[Any, ...]]:
    """What stands in a table."""
    return [tuple(row) for row in sql(queue).database.transaction(lambda tx: tx.rows(statement))]


# --- drivers that are lost ---


def die_after(queue: BatchQueue, run: RunState, count: int, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Execute so many items and die before anything of that is stored, as a killed process does."""
    recorder = recorder_of(queue, run, "killed")
    assert recorder.take()
    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "_flush", lambda self: False)
        with recorder:
            for _ in range(count):
                (item,) = sql(queue).lease(1, 1000)
                recorder.began(item)
                queue.delete_item(item)
                recorder.ended(item, Outcome.OK, "")
    return recorder


def test_what_a_killed_driver_did_not_store_is_made_up_for_by_the_next(
    queue: BatchQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(10):
        queue.enqueue(tasks.note)
    run = begin(queue)
    die_after(queue, run, 4, monkeypatch)
    assert counters(run_of(queue)) == counted(10, done=0)

    with travel(AFTER_THE_SLOT):
        recorder = recorder_of(queue, run, "next")
        assert recorder.take()

        found = run_of(queue)
        assert counters(found) == counted(10, done=4)
        assert found.done + queue.number_of_items() == found.total
        with recorder:
            pass
        assert counters(drive_to_the_end(queue, run)) == counted(10, done=10)


def test_what_a_killed_driver_did_is_made_up_for_although_the_next_one_comes_at_once_and_leaves_early(
    queue: BatchQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping: list[Runner] = []
    for _ in range(4):
        queue.enqueue(tasks.note)
    queue.create_item(tasks.step(lambda ctx: stopping[0].stop()))
    for _ in range(3):
        queue.enqueue(tasks.note)
    run = begin(queue)
    die_after(queue, run, 4, monkeypatch)

    stopping.append(Runner.of_run(queue, run))  # a terminal takes the run by force, while the slot of the dead stands
    assert stopping[0].run_all().is_continue
    with travel(AFTER_THE_SLOT):
        assert recorder_of(queue, run, "third").take()

        found = run_of(queue)
        assert counters(found) == counted(8, done=5)
        assert found.done + queue.number_of_items() == found.total


def test_two_that_follow_a_killed_driver_at_the_same_moment_make_up_for_it_once(
    queue: BatchQueue, other: BatchQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(10):
        queue.enqueue(tasks.note)
    run = begin(queue)
    die_after(queue, run, 4, monkeypatch)
    together, get = threading.Barrier(2, timeout=3), type(store(queue)).get

    def get_together(self: Any, run_id: str) -> RunState:
        found: RunState = get(self, run_id)
        if not together.broken:
            with suppress(threading.BrokenBarrierError):
                together.wait()
        return found

    with travel(AFTER_THE_SLOT):
        monkeypatch.setattr(type(store(queue)), "get", get_together)
        threads = [
            threading.Thread(target=recorder_of(one, run, f"terminal {number}").take, kwargs={"by_force": True})
            for number, one in enumerate((queue, other))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

        together.abort()
        assert counters(run_of(queue)) == counted(10, done=4)


def test_a_frozen_driver_that_comes_back_does_not_count_again_what_was_made_up_for(
    queue: BatchQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(10):
        queue.enqueue(tasks.note)
    run = begin(queue)
    frozen = die_after(queue, run, 4, monkeypatch)

    with travel(AFTER_THE_SLOT):
        with recorder_of(queue, run, "next") as following:
            assert following.take()
            frozen._flush()

        assert counters(run_of(queue)) == counted(10, done=4)
        assert counters(drive_to_the_end(queue, run)) == counted(10, done=10)


# --- who drives ---


def test_one_page_drives_at_a_time_until_it_leaves_or_is_silent(queue: BatchQueue, other: BatchQueue) -> None:
    run = begin(queue)
    mine, theirs = recorder_of(queue, run, "mine", label="me"), recorder_of(other, run, "theirs")

    assert mine.take()
    assert not theirs.take()
    found = store(other).get(run.id)
    assert (found.driver, found.driver_label, found.is_driven, found.is_dirty) == ("mine", "me", True, True)
    assert recorder_of(queue, run, "mine").take(), "the same page from another process"
    with mine:
        pass
    assert theirs.take(), "the slot is free once its driver has left"
    with travel(AFTER_THE_SLOT):
        assert recorder_of(queue, run, "third").take()


def test_a_driver_in_a_long_task_keeps_its_slot(make_queue: MakeQueue, other_of: Any) -> None:
    queue = make_queue()

    def long(ctx: TaskContext) -> None:
        tasks.last(1.2)
        tasks.effects.append(drive(other_of(queue), run, driver="another page"))

    queue.create_item(tasks.step(long))
    run = begin(queue)
    recorder = recorder_of(queue, run, lasting=1.0)
    assert recorder.take()
    with recorder:
        Runner.of_run(queue, run).run_slice(0.1, recorder, Remaining(queue))

    assert tasks.effects == [None]


@pytest.mark.parametrize("status", ["aborted", "completed"])
def test_a_run_at_its_end_is_not_driven(queue: BatchQueue, status: str) -> None:
    run = begin(queue)
    sql(queue).database.transaction(lambda tx: runs.change(tx, run.id, f"status = '{status}'"))

    assert not recorder_of(queue, run).take()
    assert not recorder_of(queue, run).take(by_force=True)


# --- what tasks say ---


def test_a_report_is_there_while_the_task_runs_and_gone_afterwards(queue: BatchQueue) -> None:
    read = "SELECT item_id, fence, done, total, message FROM {activity}"

    def task(ctx: TaskContext) -> None:
        assert ctx.item is not None
        ctx.report(3, 10, "row 3")
        expected = [(ctx.item.id, ctx.item.fence, 3.0, 10.0, "row 3")]
        assert tasks.until(lambda: rows(queue, read) == expected, 5), rows(queue, read)
        ctx.report(4, None, "ü 😀")
        assert tasks.until(lambda: [row[2:] for row in rows(queue, read)] == [(4.0, None, "ü 😀")], 5)
        tasks.effects.append("seen")

    queue.create_item(tasks.step(task))

    assert Runner(queue).run_all()
    assert tasks.effects == ["seen"]
    assert rows(queue, read) == []


def test_a_quick_task_leaves_no_trace_of_what_it_reported(queue: BatchQueue) -> None:
    for _ in range(20):
        queue.create_item(tasks.step(lambda ctx: ctx.report(1, 2, "x")))

    assert Runner(queue).run_all()
    assert rows(queue, "SELECT * FROM {activity}") == []


ODD = ["\0", "\ud800", "\x1f", "\u202e", "😀" * 2000, "a\nb\r\nc\td"]


@pytest.mark.parametrize("text", ODD, ids=ascii)
def test_odd_texts_of_tasks_break_neither_the_record_nor_the_run(make_queue: MakeQueue, text: str) -> None:
    queue = make_queue(error="delete")

    def speak(ctx: TaskContext) -> None:
        ctx.log.warning("%s", text)
        ctx.report(1, 2, text)
        tasks.last(0.8)  # so that it is stored

    def fail(ctx: TaskContext) -> None:
        raise ValueError(text)

    queue.create_item(tasks.step(speak))
    queue.create_item(tasks.step(fail))

    assert Runner(queue).run_all()

    run = run_of(queue)
    assert (run.status, counters(run)) == ("completed", counted(2, done=1, failed=1))
    assert {"log", "failed", "completed"} <= set(kinds(queue, run))


@pytest.mark.parametrize("number", [10**400, float("inf"), float("nan"), -1e308, True])
def test_odd_numbers_of_tasks_break_neither_the_record_nor_the_run(queue: BatchQueue, number: float) -> None:
    def report(ctx: TaskContext) -> None:
        ctx.report(number, number, "odd")
        read = "SELECT message FROM {activity}"
        assert tasks.until(lambda: rows(queue, read) == [("odd",)], 5)

    queue.create_item(tasks.step(report))

    assert Runner(queue).run_all()


def test_a_mistake_in_a_log_line_fails_no_task(queue: BatchQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    caught = logging.getLogger("taskqueue.task")
    monkeypatch.setattr(caught, "propagate", False)  # pytest's own handler raises
    queue.create_item(tasks.step(lambda ctx: ctx.log.warning("%d", "x")))

    assert Runner(queue).run_all()


def test_what_tasks_log_stands_in_the_log_of_their_run(queue: BatchQueue, make_queue: MakeQueue) -> None:
    elsewhere = make_queue("elsewhere")
    elsewhere.create_item(tasks.step(lambda ctx: ctx.log.warning("of elsewhere")))

    def nested(ctx: TaskContext) -> None:
        ctx.log.warning("before %s", 1)
        Runner(elsewhere).run_all()
        ctx.log.error("after")

    queue.create_item(tasks.step(nested))
    before = list(logging.getLogger("taskqueue.task").handlers)

    assert Runner(queue).run_all()

    def logged(one: BatchQueue) -> list[tuple[str, str]]:
        return [(line.level, line.message) for line in store(one).log(run_of(one).id) if line.kind == "log"]

    assert logged(queue) == [("warning", "before 1"), ("error", "after")]
    assert logged(elsewhere) == [("warning", "of elsewhere")]
    assert logging.getLogger("taskqueue.task").handlers == before


def test_a_task_that_logs_without_end_does_not_flood_the_record(queue: BatchQueue) -> None:
    def flood(ctx: TaskContext) -> None:
        for number in range(5000):
            ctx.log.warning("line %d", number)

    queue.create_item(tasks.step(flood))

    assert Runner(queue).run_all()
    assert kinds(queue, run_of(queue)).count("log") < 1000


# --- beside tasks ---


def test_many_quick_tasks_leave_few_lines(queue: BatchQueue) -> None:
    for _ in range(300):
        queue.enqueue(tasks.note)

    result = Runner(queue).run_all()

    assert len(kinds(queue, run_of(queue))) <= 5 + 2 * result.elapsed / 0.5


def test_a_task_that_writes_for_long_in_its_own_transaction_is_neither_lost_nor_counted_wrong(
    make_service: MakeService, backend: Backend
) -> None:
    service = make_service(heartbeat=0.1, lease_slice=1.0, stale_after=0.5)
    queue = service.create(backend.type, "jobs")

    def write(ctx: TaskContext) -> None:
        with ctx.transaction() as session:
            assert session is not None
            tasks.last(2.0)  # longer than a lease, a beat and a flush

    queue.enqueue(tasks.note)
    queue.create_item(tasks.step(write))
    queue.enqueue(tasks.note)

    result = Runner(queue).run_all()

    assert (bool(result), result.completed) == (True, 3)
    assert counters(run_of(queue)) == counted(3, done=3)


def test_a_task_that_writes_for_long_in_its_own_transaction_does_not_look_lost(
    make_service: MakeService, backend: Backend
) -> None:
    settings = {"heartbeat": 0.1, "lease_slice": 30.0, "stale_after": 0.5}
    queue = make_service(**settings).create(backend.type, "jobs")
    page = sql(make_service(**settings).load("jobs"))

    def look() -> bool:
        (seen,) = page.database.statement(
            lambda tx: Look(page).in_hand(tx, runs.find(tx, run_of(page).id)),  # type: ignore[arg-type]
            write=False,
        )
        return seen.is_stale

    def write(ctx: TaskContext) -> None:
        with ctx.transaction():
            tasks.last(1.2)
            tasks.effects.append(look())

    queue.create_item(tasks.step(write))

    assert Runner(queue).run_all()
    assert tasks.effects == [False]


def test_a_pool_that_suffices_for_a_runner_suffices_for_its_record(make_service: MakeService, backend: Backend) -> None:
    engine = create_engine(backend.url, pool_size=3, max_overflow=0, pool_timeout=1)
    queue = make_service(engine).create(backend.type, "jobs")

    def write(ctx: TaskContext) -> None:
        with ctx.transaction():
            tasks.last(1.5)

    for _ in range(2):
        queue.create_item(tasks.step(write))
    queue.enqueue(tasks.note)

    try:
        assert Runner(queue).run_all()
        assert counters(run_of(queue)) == counted(3, done=3)
    finally:
        engine.dispose()


def test_a_runner_whose_run_was_aborted_on_its_page_can_run_again(queue: BatchQueue, other: BatchQueue) -> None:
    def abort(ctx: TaskContext) -> None:
        change = "status = 'aborted', end_time = {now}"
        sql(other).database.transaction(lambda tx: runs.change(tx, runs_of(queue)[0].id, change))
        tasks.until(lambda: ctx.should_stop)

    queue.create_item(tasks.step(abort))
    queue.enqueue(tasks.note, "rest")
    runner = Runner(queue)
    assert not runner.run_all()
    assert tasks.effects == []

    assert runner.run_all()
    assert tasks.effects == ["rest"]


def test_a_record_that_cannot_be_kept_costs_no_task(
    queue: BatchQueue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: Any, **options: Any) -> None:
        raise ZeroDivisionError

    for _ in range(3):
        queue.enqueue(tasks.note, "x")
    queue.create_item(tasks.step(lambda ctx: tasks.last(0.6)))
    with monkeypatch.context() as patch:
        patch.setattr(runs, "count", broken)
        assert Runner(queue).run_all()

    assert tasks.effects == ["x"] * 3
    assert "could not be kept" in caplog.text
    assert isinstance(queue, SqlBase)
    assert (run_of(queue).status, counters(run_of(queue))) == ("completed", counted(4, done=4))
