"""What humans and applications do to queues and runs, from the first commit to the last: each may be killed in between.

What was begun is completed by doing the same once more; what is left then is what one undisturbed go leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from taskqueue import BatchQueue, ErrorMode, QueueService, Runner, Task, TaskContext, travel
from taskqueue.runs.state import END_STEP, RunState
from taskqueue.storage.schema import LEASED
from tests.contract.records import act, begin, blocked, run_of, runs_of, sql
from tests.faults.history import History
from tests.faults.tasks import always_fail, folders, record

#: Seconds: after so many a holder that is not heard of counts as lost, and what has ended is old.
STALE, OLD = 40.0, 31 * 86_400.0
#: Whoever sends a request again sends the same one.
REQUEST = "a click that was sent twice"
ITEMS = 3
#: Where the rows of a queue stand: nothing of a deleted one may be left.
TABLES = ("item", "dead", "result", "batch", "periodic", "run", "activity")


@dataclass
class Deed:
    """What is made before, what is done, and how it is done by who comes after a kill."""

    prepare: Callable[[QueueService, str], object]
    do: Callable[[QueueService, str], object]
    again: Callable[[QueueService, str], object] | None = None
    #: A run commits so often that not every commit is tried, and its log tells who drove it.
    is_run: bool = False

    def repeat(self, service: QueueService, name: str) -> None:
        """Do it once more."""
        (self.again or self.do)(service, name)


def end(ctx: TaskContext) -> None:
    """What a run calls at its end."""
    History(folders[-1]).write("on_end")


def _task(number: int, callback: Any = record) -> Task:
    return Task(callback, (str(folders[-1]), number))


def _filled(service: QueueService, name: str, type_: str = "SqlParallel", **options: Any) -> BatchQueue:
    queue = service.create(type_, name, **options)
    queue.create_items([_task(number) for number in range(1, ITEMS + 1)])
    return queue


# --- what is done to items ---


def _claim_and_release(service: QueueService, name: str) -> None:
    queue = service.load(name)
    for item in queue.claim_items(2):
        queue.release_item(item, delay=0)


def _claim_and_release_later(service: QueueService, name: str) -> None:
    with travel(OLD):  # the leases that were left behind have ended
        _claim_and_release(service, name)


def _buried(service: QueueService, name: str) -> BatchQueue:
    queue = _filled(service, name, "Sql", error="dead")
    queue.create_items([_task(number, always_fail) for number in range(ITEMS + 1, 2 * ITEMS + 1)])
    Runner(queue, error_mode=ErrorMode.CONTINUE).run_all()
    return queue


def _revive(service: QueueService, name: str) -> None:
    queue = service.load(name)
    for letter in queue.dead_items()[:1]:
        queue.revive_item(letter.id)
    queue.revive_items()


def _revive_all(service: QueueService, name: str) -> None:
    service.load(name).revive_items()


def _prune(service: QueueService, name: str) -> None:
    with travel(OLD):
        service.prune(3600, dead=True)


def _crowded(service: QueueService, name: str) -> None:
    """A queue with something in every table."""
    queue = _buried(service, name)
    queue.create_batch([_task(1)], Task(end))
    service.schedule(name, "0 0 1 1 *", _task(2), queue=name)
    begin(queue)


def _delete(service: QueueService, name: str) -> None:
    if service.exists(name):
        service.delete(name)


# --- what is done to runs ---


def _run(service: QueueService, name: str) -> None:
    Runner(service.load(name), on_end=end).run_all(wait=0)


def _run_again(service: QueueService, name: str) -> None:
    """As a human does who finds a run that goes on no more: the last step of the dead is taken over and retried."""
    queue = service.load(name)
    with travel(STALE):
        for run in runs_of(queue):
            if run.status == "finishing":
                act(queue, run, REQUEST).steal(END_STEP, run.end_fence)
                act(queue, run, f"{REQUEST}, then retry").retry(END_STEP, run.end_fence + 1)
        if run_is_open(queue):
            assert Runner(queue, on_end=end).run_all(wait=0)


def run_is_open(queue: BatchQueue) -> bool:
    """Whether something is left to do."""
    runs = runs_of(queue)
    return not runs or runs[0].status != "completed"


def _blocked(service: QueueService, name: str) -> None:
    blocked(service.create("Sql", name), _task(1, always_fail), _task(2))


def _decide(verb: str) -> Callable[[QueueService, str], None]:
    def decide(service: QueueService, name: str) -> None:
        queue = service.load(name)
        run = run_of(queue)
        problem = run.problem
        # Who sends the request once more still sees the page of before.
        item_id, fence = (problem.item_id, problem.fence) if problem else (0, 0)
        getattr(act(queue, run, REQUEST), verb)(item_id, fence)

    return decide


def _held_by_the_dead(service: QueueService, name: str) -> None:
    queue = service.create("Sql", name)
    queue.create_items([_task(1), _task(2)])
    begin(queue)
    sql(queue).announce()
    assert queue.claim_item(10 * STALE)


def _take_over(service: QueueService, name: str) -> None:
    queue = service.load(name)
    with travel(STALE):
        held = next(iter(queue.items()))
        act(queue, run_of(queue), REQUEST).steal(held.id, held.fence)


def _skip_rest(service: QueueService, name: str) -> None:
    queue = service.load(name)
    act(queue, run_of(queue), REQUEST).abort(skip_rest=True)


def _running(service: QueueService, name: str) -> RunState:
    return begin(_filled(service, name, "Sql"))


DEEDS = {
    "release": Deed(_filled, _claim_and_release, _claim_and_release_later),
    "revive": Deed(_buried, _revive, _revive_all),
    "prune": Deed(_buried, _prune),
    "delete": Deed(_crowded, _delete),
    "on-end": Deed(_filled, _run, _run_again, is_run=True),
    "retry": Deed(_blocked, _decide("retry")),
    "skip": Deed(_blocked, _decide("skip")),
    "take-over": Deed(_held_by_the_dead, _take_over),
    "abort": Deed(_running, _skip_rest),
}


def look(service: QueueService, name: str, deed: Deed) -> dict[str, Any]:
    """All that is left, but for what tells one go from two: ids, fences, and how often an item was leased."""
    with service.engine.connect() as connection:

        def rows(sql: str) -> list[tuple[Any, ...]]:
            return sorted(tuple(row) for row in connection.execute(text(sql), {"name": name}))

        found: dict[str, Any] = {
            table: rows(f"SELECT COUNT(*) FROM taskqueue_{table} WHERE queue_name = :name")[0][0] for table in TABLES
        }
        found["status"] = rows("SELECT status FROM taskqueue_queue WHERE name = :name")
        found["items"] = rows(
            f"SELECT failures, CASE WHEN state = {LEASED} THEN 'leased' ELSE 'free' END FROM taskqueue_item "
            "WHERE queue_name = :name"
        )
        found["outcomes"] = rows(  # the mark of a prune may stand there twice, until the next one
            "SELECT outcome FROM taskqueue_ending WHERE queue_name = :name AND outcome <> 'pruned' "
            "UNION ALL SELECT DISTINCT outcome FROM taskqueue_ending WHERE queue_name = :name AND outcome = 'pruned'"
        )
        found["runs"] = rows(
            "SELECT status, total, done, skipped, failed, is_ended FROM taskqueue_run WHERE queue_name = :name"
        )
        if not deed.is_run:
            found["log"] = rows(
                "SELECT kind FROM taskqueue_run_log WHERE run_id IN "
                "(SELECT id FROM taskqueue_run WHERE queue_name = :name)"
            )
    return found
