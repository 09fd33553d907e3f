"""The records of runs: looking at them, acting on them as a page does, and driving them slice by slice."""

from __future__ import annotations

import secrets
from typing import Any

from taskqueue import BatchQueue, QueueItem, Runner, RunResult, Task, callbacks
from taskqueue.queues.sql_base import SqlBase
from taskqueue.remaining import Remaining
from taskqueue.runs.actions import Actions
from taskqueue.runs.recorder import Recorder
from taskqueue.runs.state import Definition, RunState
from taskqueue.runs.store import Runs
from taskqueue.storage.transaction import Transaction

#: What an action may change; who drives, and until when, is none of it.
_STATEMENTS = (
    "SELECT name, status FROM {queue} ORDER BY name",
    "SELECT id, queue_name, state, release_time, fence, run_count, failures, interruptions, holder, last_error "
    "FROM {item} ORDER BY id",
    "SELECT id, queue_name, failures FROM {dead} ORDER BY id",
    "SELECT item_id, outcome FROM {ending} ORDER BY id",
    "SELECT id, status, version, total, done, skipped, failed, problem, end_fence, is_ended, end_time FROM {run} "
    "ORDER BY id",
    "SELECT id, kind, message FROM {run_log} ORDER BY id",
    "SELECT run_id, request_id FROM {run_request} ORDER BY run_id, request_id",
)


def sql(queue: BatchQueue) -> SqlBase:
    """The queue, which is one in a database."""
    assert isinstance(queue, SqlBase)
    return queue


def store(queue: BatchQueue) -> Runs:
    """The records beside a queue."""
    return Runs.of(sql(queue))


def runs_of(queue: BatchQueue) -> list[RunState]:
    """All records of a queue, newest first."""
    return [run for run in store(queue).latest(1000) if run.queue_name == queue.name]


def run_of(queue: BatchQueue) -> RunState:
    """The one record of a queue."""
    (run,) = runs_of(queue)
    return run


def counters(run: RunState) -> dict[str, int]:
    """What the record counts."""
    return {name: getattr(run, name) for name in ("total", "done", "skipped", "failed", "added")}


def counted(total: int, *, done: int, skipped: int = 0, failed: int = 0, added: int = 0) -> dict[str, int]:
    """The same as a test expects it."""
    return {"total": total, "done": done, "skipped": skipped, "failed": failed, "added": added}


def kinds(queue: BatchQueue, run: RunState) -> list[str]:
    """The kinds of the lines in the log of a run, oldest first."""
    return [line.kind for line in store(queue).log(run.id, limit=10_000)]


def act(queue: BatchQueue, run: RunState, request_id: str | None = None, actor: str = "admin") -> Actions:
    """The actions of a human who has just looked at the page of ``run``."""
    return Actions(sql(queue), run.id, actor=actor, request_id=request_id or secrets.token_hex(16))


def everything(queue: BatchQueue) -> list[Any]:
    """All that an action could have changed, of all queues of the database."""

    def read(tx: Transaction) -> list[Any]:
        return [[tuple(row) for row in tx.rows(statement)] for statement in _STATEMENTS]

    found: list[Any] = sql(queue).database.transaction(read)
    return found


def begin(queue: BatchQueue, *, start: bool = True, **definition: Any) -> RunState:
    """A run as a page begins it."""
    definition.setdefault("title", "Page")
    if "on_end" in definition:
        callbacks.remember(definition["on_end"])  # as the Runner does that begins it
    return store(queue).create(queue, Definition(**definition), owner="me", start=start)


def recorder_of(queue: BatchQueue, run: RunState, driver: str = "page", **options: Any) -> Recorder:
    """What keeps the record of ``run`` for one driver."""
    options = {"label": "", "lasting": 2.0, **options}
    return Recorder(store(queue), sql(queue), run.id, driver=driver, **options)


def drive(queue: BatchQueue, run: RunState, seconds: float = 0.5, driver: str = "page") -> RunResult | None:
    """Drive a slice of ``run``, as a page does; None when somebody else drives."""
    recorder = recorder_of(queue, run, driver, keeps_slot=True)
    if not recorder.take():
        return None
    with recorder:
        return Runner.of_run(queue, run).run_slice(seconds, recorder, Remaining(queue))


def drive_to_the_end(queue: BatchQueue, run: RunState) -> RunState:
    """Drive slice after slice until the run does not go on by itself; the run then."""
    for _ in range(100):
        drive(queue, store(queue).get(run.id))
        found = store(queue).get(run.id)
        if found.status != "running" or queue.status != "active":
            return found
    raise AssertionError("the run did not come to an end within 100 slices")


def blocked(queue: BatchQueue, task: Task, *behind: Task, **definition: Any) -> tuple[RunState, QueueItem]:
    """A run that is blocked by ``task``, which failed; the run, and the item as it stands."""
    item = queue.create_item(task)
    for one in behind:
        queue.create_item(one)
    run = begin(queue, **definition)
    drive(queue, run)
    run = store(queue).get(run.id)
    assert run.status == "blocked", run
    standing = queue.fetch_item(item.id)
    assert standing is not None
    return run, standing
