"""What a queue has on record of the failures in a run that workers carry out.

Workers know nothing of what other workers do, and one that is killed tells nobody what it came to. Every item that
ends otherwise than ok is on record, though, whoever had it: that is what such a run counts.
"""

from __future__ import annotations

from dataclasses import replace

from ..queues.sql_base import SqlBase
from ..storage import runs
from ..storage.runs import LogLine
from ..storage.tally import Failure, failures, tally
from ..storage.transaction import Transaction
from .problems import SEPARATOR, first_line
from .state import RunState


def seen(tx: Transaction, run: RunState) -> RunState:
    """The run with the counts that are on record; those of other runs, and at the end, are its own."""
    return replace(run, **tally(tx, run.queue_name, run.start_time)._asdict()) if is_counted(run) else run


def is_counted(run: RunState) -> bool:
    """Whether what is on record says more than the run itself."""
    return run.is_open and run.start_time > 0 and run.definition.is_background


def store(tx: Transaction, run_id: str) -> None:
    """Write the counts down, because a background run comes to its end."""
    row = runs.find(tx, run_id, lock=True)
    if row is not None and row.start_time:
        found = tally(tx, row.queue_name, row.start_time)
        runs.change(tx, run_id, "failed = :failed, skipped = :skipped", **found._asdict())


def failed(tx: Transaction, queue: SqlBase, run: RunState, limit: int) -> list[LogLine]:
    """The first ``limit`` items of a run that failed for good and were not tried again since."""
    if not run.definition.is_background:
        return runs.failed(tx, run.id, limit)
    return [_line(queue, one) for one in failures(tx, queue.name, run.start_time, limit)]


def _line(queue: SqlBase, failure: Failure) -> LogLine:
    title = queue.title_in(failure.data, failure.uid or "", failure.item_id) if failure.data is not None else ""
    text = f"{title}{SEPARATOR}{first_line(failure.error or '')}"
    return LogLine(failure.id, failure.end_time, "error", "failed", failure.item_id, text)
