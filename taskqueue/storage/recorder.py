"""Counts what this process has executed, and adds it to the trends every few seconds.

Counting is on the path of every task: it appends to a queue of the interpreter's own, without a lock. Whoever stores
the numbers takes them from there. A process that is killed loses those of the last seconds, about as many as lie
between two flushes; they are numbers for charts, and nothing else depends on them.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial

from .. import clock
from ..errors import OutcomeUnknown
from ..outcome import Outcome
from . import trends
from .transaction import Transaction
from .trends import Increment

_log = logging.getLogger(__name__)
#: So often (ms) numbers are stored.
_EVERY = 5_000
#: What could not be stored is kept for so long (ms): later it would stand at a wrong place.
_KEPT_FOR = 120_000
#: So often (ms) rows that are too old are looked for.
_PRUNE_EVERY = 600_000
#: So many attempts are gathered before they are summed up.
_GATHERED = 1_000
#: Seconds to wait for another thread that stores numbers.
_PATIENCE = 2.0
_FAILED = frozenset((Outcome.RETRY, Outcome.DELETE, Outcome.ABORT, Outcome.DEAD))


class TrendRecorder:
    """What this process has counted for one database; may be used by many threads.

    Arguments:
        transact: executes work in a transaction, without trying for long.
    """

    def __init__(self, transact: Callable[[Callable[[Transaction], object]], object]) -> None:
        self._transact = transact
        self._pruned: int | None = None
        self.forget()

    def forget(self) -> None:
        """Begin at nothing: a forked child leaves to its parent what that has counted, and the locks of its threads."""
        self._fresh: deque[tuple[str, Outcome, float]] = deque()
        self._sums: dict[str, Increment] = {}
        self._since = self._flushed = clock.now_ms()
        self._lock, self._flushing = threading.Lock(), threading.Lock()
        self._has_failed = False

    def count(self, queue_name: str, outcome: Outcome, seconds: float) -> None:
        """An attempt has ended, and its outcome is stored. Only those that ended ok or failed are counted."""
        self._fresh.append((queue_name, outcome, seconds))
        if len(self._fresh) >= _GATHERED:
            self._sum_up()

    def flush_if_due(self) -> None:
        """:meth:`flush` if the last one is long enough ago, and no other thread is at it."""
        if not 0 <= clock.now_ms() - self._flushed < _EVERY and self._flushing.acquire(blocking=False):
            try:
                self._flush()
            finally:
                self._flushing.release()

    def flush(self) -> None:
        """Store what was counted; nothing is sent when there is nothing. Raises nothing: what could not be stored is
        kept for the next time."""
        if self._flushing.acquire(timeout=_PATIENCE):
            try:
                self._flush()
            finally:
                self._flushing.release()

    def _flush(self) -> None:
        taken, since = self._take()
        if not taken:
            return
        self._flushed = clock.now_ms()
        try:
            self._transact(partial(self._store, taken))
            self._has_failed = False
        except OutcomeUnknown as error:  # rather too few than twice
            self._note(error)
        except Exception as error:
            self._put_back(taken, since)
            self._note(error)
        except BaseException:
            self._put_back(taken, since)
            raise

    def _store(self, taken: dict[str, Increment], tx: Transaction) -> None:
        if not tx.unsure:  # else a commit of it may have taken place, whose answer was lost: nothing counts twice
            trends.add(tx, taken)
            self._prune(tx)

    def _prune(self, tx: Transaction) -> None:
        """Now and then, and in a process that does not live for long as well; after all else, so that locks are taken
        in the same order by everybody."""
        moment = clock.now_ms()
        if self._pruned is None or not 0 <= moment - self._pruned < _PRUNE_EVERY:
            self._pruned = None if trends.prune(tx) else moment  # there may be more

    def _note(self, error: Exception) -> None:
        """The first failure is worth a warning; the others come of the same cause."""
        level = logging.DEBUG if self._has_failed else logging.WARNING
        self._has_failed = True
        _log.log(level, "numbers for the trends could not be stored, and are kept for a while: %s", error)

    # --- what was counted ---

    def _sum_up(self) -> None:
        """On the path of a task: if another thread is at it, that will do."""
        if self._lock.acquire(blocking=False):
            try:
                self._gather()
            finally:
                self._lock.release()

    def _gather(self) -> None:
        if not self._sums:
            self._since = clock.now_ms()
        popleft, done, name, times = self._fresh.popleft, Outcome.OK, "", list[float]()
        for _number in range(len(self._fresh)):  # others go on appending
            queue_name, outcome, seconds = popleft()
            if queue_name != name:  # mostly many of one queue come in a row
                self._add_done(name, times)
                name, times = queue_name, []
            if outcome is done:
                times.append(seconds)
            elif outcome in _FAILED:
                self._sums.setdefault(name, Increment()).add_failed(seconds, is_dead=outcome is Outcome.DEAD)
        self._add_done(name, times)

    def _add_done(self, queue_name: str, times: list[float]) -> None:
        if times:
            self._sums.setdefault(queue_name, Increment()).add_done(times)

    def _take(self) -> tuple[dict[str, Increment], int]:
        """All that was counted, and since when."""
        with self._lock:
            self._gather()
            taken, self._sums = self._sums, {}
            return taken, self._since

    def _put_back(self, taken: dict[str, Increment], since: int) -> None:
        if not 0 <= clock.now_ms() - since < _KEPT_FOR:
            return
        with self._lock:
            for queue_name, increment in taken.items():
                self._sums.setdefault(queue_name, Increment()).add(increment)
            self._since = since
