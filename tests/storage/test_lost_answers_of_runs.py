"""Lost answers beside runs: what a human asked for, and what the record counts, takes place once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pymysql
import pytest

from taskqueue import Runner, TaskContext
from taskqueue.queues.batch import BatchQueue
from taskqueue.runs.recorder import Recorder
from tests.contract.records import act, begin, counted, counters, drive, kinds, recorder_of, run_of, sql, store
from tests.servers import SERVER_DATABASES
from tests.storage.conftest import MakeService
from tests.storage.tapped import tap
from tests.storage.test_lost_answers import Line

pytestmark = [
    pytest.mark.parametrize("kind", SERVER_DATABASES),
    pytest.mark.parametrize("type_name", ["Sql", "SqlParallel"]),
    pytest.mark.parametrize("was_done", [True, False], ids=["answer-lost", "request-lost"]),
]
ends: list[str] = []


def lost(kind: str) -> Exception:
    """What the driver says when the line breaks."""
    if kind == "mariadb":
        return pymysql.err.OperationalError(2013, "Lost connection to MySQL server during query")
    return psycopg.OperationalError("consuming input failed: server closed the connection unexpectedly")


class LastingLine(Line):
    """Stays broken, once it has broken, until it is mended."""

    def __init__(self, was_done: bool, error: Exception) -> None:
        super().__init__(was_done, error)
        self.stays_broken = False

    def __call__(self, sql: str, commits: bool, send: Callable[[], Any]) -> Any:
        if self.has_broken and self.stays_broken:
            raise self._error
        return super().__call__(sql, commits, send)


@pytest.fixture
def line(kind: str, was_done: bool, monkeypatch: pytest.MonkeyPatch) -> LastingLine:
    """The line to the database, whole until armed."""
    line = LastingLine(was_done, lost(kind))
    tap(monkeypatch, line)
    return line


@pytest.fixture
def queue(
    make_service: MakeService, shared_database: Callable[[str], str], kind: str, type_name: str, line: LastingLine
) -> Iterator[BatchQueue]:
    ends.clear()
    queue = make_service(shared_database(kind)).create(type_name, "lost.answers")
    yield queue
    line.stays_broken = False
    queue.delete()
    for table in ("run", "run_log", "run_request", "holder", "activity"):
        sql(queue).database.statement(lambda tx: tx.change(f"DELETE FROM {{{table}}}"))  # noqa: B023


def nothing(ctx: TaskContext) -> None:
    """Succeed."""


def fail(ctx: TaskContext) -> None:
    """Fail."""
    raise ValueError


def finish(ctx: TaskContext) -> None:
    """The step after the last item."""
    ends.append(ctx.queue.name)


def blocked(queue: BatchQueue) -> tuple[Any, Any]:
    item = queue.enqueue(fail, title="T")
    queue.enqueue(nothing)
    run = begin(queue)
    drive(queue, run)
    standing = queue.fetch_item(item.id)
    return store(queue).get(run.id), standing


@pytest.mark.parametrize("verb", ["retry", "skip"])
def test_given_a_broken_line_when_a_human_decides_then_it_takes_effect_once(
    queue: BatchQueue, line: LastingLine, verb: str
) -> None:
    run, item = blocked(queue)

    line.arm()
    getattr(act(queue, run), verb)(item.id, item.fence)

    assert line.has_broken
    found, standing = store(queue).get(run.id), queue.fetch_item(item.id)
    assert (found.status, found.skipped, queue.status) == ("running", verb == "skip", "active")
    assert (standing.fence if standing else None) == (item.fence + 1 if verb == "retry" else None)
    assert kinds(queue, run).count("retried" if verb == "retry" else "skipped") == 1


@pytest.mark.parametrize("verb", ["pause", "abort"])
def test_given_a_broken_line_when_a_human_changes_the_run_then_it_takes_effect_once(
    queue: BatchQueue, line: LastingLine, verb: str
) -> None:
    queue.enqueue(nothing)
    run = begin(queue)

    line.arm()
    getattr(act(queue, run), verb)()

    assert line.has_broken
    assert queue.status == {"pause": "paused", "abort": "aborted"}[verb]
    assert kinds(queue, run)[1:] == [f"{verb}d" if verb == "pause" else "aborted"]


def test_given_a_broken_line_when_failed_items_are_put_back_then_each_once(
    queue: BatchQueue, line: LastingLine
) -> None:
    queue.update(error="delete")
    for _ in range(3):
        queue.enqueue(fail)
    run = begin(queue)
    drive(queue, run)
    assert run_of(queue).failed == 3

    line.arm()
    act(queue, run).retry_failed()

    assert line.has_broken
    assert (queue.number_of_items(), counters(run_of(queue))) == (3, counted(3, done=0))


def test_given_a_broken_line_when_a_run_is_begun_then_there_is_one(queue: BatchQueue, line: LastingLine) -> None:
    line.arm()
    begin(queue)

    assert line.has_broken
    assert kinds(queue, run_of(queue)) == ["started"]


def gathered(queue: BatchQueue, count: int) -> Recorder:
    """A recorder that has seen so many items end, and stored nothing of it."""
    for _ in range(count):
        queue.enqueue(nothing)
    run = begin(queue)
    recorder = recorder_of(queue, run)
    assert recorder.take()
    recorder._ledger._open.done = count
    recorder._ledger._open.failed = 1
    return recorder


def test_given_a_broken_line_when_counts_are_stored_then_they_are_counted_once(
    queue: BatchQueue, line: LastingLine
) -> None:
    recorder = gathered(queue, 5)

    line.arm()
    recorder._flush()
    recorder._flush()

    assert line.has_broken
    assert (run_of(queue).done, run_of(queue).failed) == (5, 1)


def test_given_a_line_that_stays_broken_for_long_when_counts_are_stored_then_they_are_counted_once(
    queue: BatchQueue, line: LastingLine
) -> None:
    recorder = gathered(queue, 5)
    sql(queue).database._patience = 0.2

    line.stays_broken = True
    line.arm()
    assert not recorder._flush()
    line.stays_broken = False
    assert recorder._flush()

    assert line.has_broken
    assert (run_of(queue).done, run_of(queue).failed) == (5, 1)


def test_given_a_broken_line_when_the_last_step_is_taken_then_it_is_executed_once(
    queue: BatchQueue, line: LastingLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_end = Recorder.begin_end

    def arm_and_begin(self: Recorder) -> int | None:
        self._flush()
        line.arm()
        return begin_end(self)

    monkeypatch.setattr(Recorder, "begin_end", arm_and_begin)
    queue.enqueue(nothing)

    assert Runner(queue, on_end=finish).run_all()

    assert line.has_broken
    assert (len(ends), run_of(queue).status, run_of(queue).end_fence) == (1, "completed", 1)


def test_given_a_broken_line_when_the_run_is_completed_then_it_is_completed(
    queue: BatchQueue, line: LastingLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = Recorder.complete

    def arm_and_complete(self: Recorder, fence: int | None) -> bool:
        self._flush()
        line.arm()
        return complete(self, fence)

    monkeypatch.setattr(Recorder, "complete", arm_and_complete)
    queue.enqueue(nothing)

    assert Runner(queue, on_end=finish, on_end_url="/done").run_all().redirect_url == "/done"

    assert line.has_broken
    assert (len(ends), kinds(queue, run_of(queue)).count("completed")) == (1, 1)


def test_given_a_broken_line_when_the_run_is_blocked_then_it_is_blocked_once(
    queue: BatchQueue, line: LastingLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = Recorder.block

    def arm_and_block(self: Recorder, problem: Any) -> None:
        self._flush()
        line.arm()
        block(self, problem)

    monkeypatch.setattr(Recorder, "block", arm_and_block)
    queue.enqueue(fail)

    assert not Runner(queue).run_all()

    assert line.has_broken
    assert (run_of(queue).status, kinds(queue, run_of(queue)).count("blocked")) == ("blocked", 1)
