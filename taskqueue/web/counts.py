"""How many items are left in a queue, counted rarely enough to cost nothing."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace

from ..queues.sql_base import SqlBase
from ..runs import on_record
from ..runs.state import RunState
from ..storage.tally import Tally, tally

#: Counting takes at most this share of the time, and its result is good for so many seconds at least.
_SHARE = 20
_LEAST = 0.2
_KEPT = 1000


@dataclass(frozen=True)
class Count:
    """What was counted for one run."""

    total: int
    delayed: int
    #: What a background run has on record of its failures; None for other runs, which count them themselves.
    tally: Tally | None
    #: How many items of the run were done with by then.
    finished: int
    #: When it was made, and how long that took (monotonic seconds).
    made: float
    took: float

    def seen(self, run: RunState) -> RunState:
        """The run with these counts."""
        return replace(run, **self.tally._asdict()) if self.tally is not None else run


class Counts:
    """The latest counts. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, Count] = {}

    def of(self, queue: SqlBase, run: RunState) -> Count:
        """The latest count for a run, made now if the one before is too old; ``run`` was read before."""
        began = time.monotonic()
        with self._lock:
            known = self._known.get(run.id)
        if known is not None and began - known.made < max(_LEAST, _SHARE * known.took):
            return known
        count = _count(queue, run, began)
        with self._lock:
            if len(self._known) > _KEPT:
                self._known.clear()
            self._known[run.id] = count
        return count


def _count(queue: SqlBase, run: RunState, began: float) -> Count:
    found: Tally | None = None
    if on_record.is_counted(run):
        found = queue.database.statement(lambda tx: tally(tx, queue.name, run.start_time), write=False)
    ready, leased, delayed = queue.count_states()
    made = time.monotonic()
    finished = run.finished if found is None else run.done + found.failed + found.skipped
    return Count(ready + leased + delayed, delayed, found, finished, made, made - began)
