"""How a run stands, in the word that humans read: also "paused", which its queue decides."""

from __future__ import annotations

from ..queues.sql_base import SqlBase
from ..storage import runs
from ..storage.transaction import Transaction
from .look import Look
from .state import Problem, RunState


def standing_of(run: RunState, queue_status: str, question: Problem | None) -> str:
    """ready, running, paused, blocked, finishing, completed or aborted; ``question`` is what is asked of a human."""
    if run.status not in ("running", "blocked"):
        return run.status
    if question is not None or run.damage:
        return "blocked"
    # Nothing is asked of anybody: it goes on, unless its queue is held back.
    return "paused" if run.status == "blocked" or queue_status not in ("active", "completed") else "running"


def standing(queue: SqlBase | None, run: RunState) -> str:
    """The same, looked up; ``queue`` is that of the run, if it exists."""
    if queue is None or run.status not in ("running", "blocked"):
        return run.status
    look = Look(queue)

    def read(tx: Transaction) -> str:
        row, status = runs.find(tx, run.id), look.status(tx)
        return standing_of(run, status, look.question(tx, row, status) if row is not None else None)

    return queue.database.statement(read, write=False)


def percent(run: RunState) -> int:
    """How much of it is done with, 0 to 100; 100 is said at the end only."""
    if run.status == "completed":
        return 100
    return min(100 * run.finished // run.total, 99) if run.total else 0
