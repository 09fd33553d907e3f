"""What a driver has done for a run, gathered and stored in few statements, and never counted twice.

A driver that was killed, or frozen, has not said what it did last. Whoever drives next *makes up* for that: the total
is known, and what is not there any more was done. Should the other one come back after all, what was made up for is
taken off its counts.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from ..errors import DatabaseError, OutcomeUnknown
from ..item import QueueItem
from ..queues.sql_base import SqlBase
from ..storage import presence, runs
from ..storage.rows import Held
from ..storage.runs import RunRow
from ..storage.transaction import Transaction
from . import on_record
from .in_hand import InHand
from .state import RunState
from .store import Runs, line

_log = logging.getLogger(__name__)
#: So many lines of what tasks log are kept from one flush to the next.
_MOST_LINES = 200
#: Seconds over which the estimate of the pace forgets.
_MEMORY = 10.0


@dataclass
class _Entry:
    """What happened since the entry before, on its way into the database."""

    done: int = 0
    failed: int = 0
    skipped: int = 0
    #: The last one that ended well.
    last: QueueItem | None = None
    #: With the item in hand that has said it, where that must still be ours to be heard.
    lines: list[tuple[dict[str, Any], InHand | None]] = field(default_factory=list)
    #: Items whose activity is to be forgotten.
    ended: list[Held] = field(default_factory=list)
    total: int | None = None
    #: How many items were done with before it was sent, and whether its answer never came.
    before: int = 0
    is_in_doubt: bool = False

    @property
    def finished(self) -> int:
        return self.done + self.failed + self.skipped

    def summary(self) -> list[dict[str, Any]]:
        """A line for all that went well."""
        if self.last is None:
            return []
        title = self.last.title
        return [line("done", title) if self.done == 1 else line("many", f"{self.done} {title}")]

    def absorb(self, later: _Entry) -> None:
        """Take over what happened later."""
        self.done += later.done
        self.failed += later.failed
        self.skipped += later.skipped
        self.last = later.last or self.last
        self.lines += later.lines
        self.ended += later.ended
        self.total = later.total if later.total is not None else self.total


class Ledger:
    """The counts and the log of one run, as far as one driver adds to them.

    Arguments:
        store: the runs of the database.
        queue: the queue of the run.
        run_id: the run.
        driver: who drives; its slot is kept by each flush.
        lasting: how long the slot lasts then, in ms.
    """

    def __init__(self, store: Runs, queue: SqlBase, run_id: str, driver: str, lasting: int) -> None:
        self._store = store
        self._queue = queue
        self._run_id = run_id
        self._driver = driver
        self._lasting = lasting
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._open = _Entry()
        self._pending: list[_Entry] = []
        #: Items that were done with when we began, and by us since.
        self._finished = 0
        self._made_up = 0
        self._pace: float | None = None
        self._paced = time.monotonic()

    # --- the beginning ---

    def take_slot(self, label: str, *, by_force: bool) -> bool:
        """Become the driver, and make up for one before that was killed; False when somebody else is."""

        def work(tx: Transaction) -> RunRow | None:
            before = runs.find(tx, self._run_id, lock=True)
            taken = runs.take_slot(tx, self._run_id, self._driver, label, self._lasting, by_force=by_force)
            if before is None or not taken:
                return None
            if before.is_dirty:
                seen = on_record.seen(tx, RunState.of(before, self._queue.settings.codec))
                missing = seen.total - seen.finished - self._queue.rows.total(tx)
                runs.make_up(tx, self._run_id, max(missing, 0))
            return runs.find(tx, self._run_id)

        row = self._store.database.transaction(work)
        if row is None:
            return False
        self._finished, self._made_up = _finished(row), row.made_up
        self._pace = row.pace / 1e6 if row.pace else None
        return True

    def join(self) -> RunRow | None:
        """Add to the counts beside whoever drives; the run as it stands, None when it is gone."""
        row = self._store.database.statement(lambda tx: runs.find(tx, self._run_id), write=False)
        if row is not None:
            self._finished, self._made_up = _finished(row), row.made_up
        return row

    def leave_slot(self, lasting: int) -> None:
        """All is stored; the slot stays ours for ``lasting`` ms more."""
        self._try(lambda tx: runs.leave_slot(tx, self._run_id, self._driver, lasting))

    # --- what happens ---

    def done(self, item: QueueItem) -> None:
        """An item ended well."""
        with self._lock:
            self._open.done += 1
            self._open.last = item

    def failed(self) -> None:
        """An item failed for good and has left the queue."""
        with self._lock:
            self._open.failed += 1

    def skipped(self) -> None:
        """An item was cancelled and has left the queue."""
        with self._lock:
            self._open.skipped += 1

    def note(self, kind: str, text: str, *, level: str, item_id: int, hand: InHand | None = None) -> None:
        """A line for the log; what an item in hand has said is left out when another holder has it by then."""
        with self._lock:
            if len(self._open.lines) < _MOST_LINES or kind == "failed":
                self._open.lines.append((line(kind, text, level=level, item_id=item_id), hand))

    def forget(self, item_id: int, fence: int) -> None:
        """What this item has reported, under that fence, is of no interest any more."""
        with self._lock:
            self._open.ended.append((item_id, fence))

    def counted(self, remaining: int) -> None:
        """So many items are left, counted between two items."""
        with self._lock:
            pending = sum(entry.finished for entry in self._pending)
            self._open.total = self._finished + pending + self._open.finished + remaining

    # --- storing ---

    def flush(self, activity: dict[str, Any] | None = None) -> bool:
        """Store all that happened, and what the item in hand reports; False when the database would not have it."""
        with self._flushing:
            with self._lock:
                entry, self._open = self._open, _Entry()
                self._measure(entry.finished)
                # What may or may not be stored stays by itself.
                if self._pending and not self._pending[-1].is_in_doubt:
                    self._pending[-1].absorb(entry)
                else:
                    self._pending.append(entry)
            while self._pending:
                if not self._store_one(self._pending[0], activity if len(self._pending) == 1 else None):
                    return False
                with self._lock:
                    self._finished += self._pending.pop(0).finished
            return True

    def _store_one(self, entry: _Entry, activity: dict[str, Any] | None) -> bool:
        made_up = self._made_up
        waiting: list[tuple[Any, InHand | None]] = []

        def work(tx: Transaction) -> None:
            nonlocal made_up, waiting
            row = runs.find(tx, self._run_id, lock=True)
            if row is None:
                return
            if (tx.unsure or entry.is_in_doubt) and 0 < entry.finished <= _finished(row) - entry.before:
                return  # it was stored, only the answer was lost
            credit = min(row.made_up - self._made_up, entry.finished)
            entry.before, made_up = _finished(row) - credit, row.made_up
            heard, waiting = self._sorted(tx, entry)
            self._write(tx, entry, heard, credit, activity)

        if not self._try(work, entry):
            return False
        self._made_up = made_up
        with self._lock:
            self._open.lines[:0] = waiting
        return True

    def _sorted(self, tx: Transaction, entry: _Entry) -> tuple[list[dict[str, Any]], list[tuple[Any, InHand | None]]]:
        """The lines that may be written, and those of which that is not known yet; what a stale holder said is gone.

        Who has just settled its item does not find it under its fence either: its end tells whose it was.
        """
        open_hands = {hand.item.id for _line, hand in entry.lines if hand is not None and hand.was_ours is None}
        fences = self._queue.rows.fences(tx, open_hands) if open_hands else {}
        heard: list[dict[str, Any]] = entry.summary()
        waiting: list[tuple[Any, InHand | None]] = []
        for said, hand in entry.lines:
            was_ours = hand.was_ours if hand is not None else True
            if was_ours or (hand is not None and was_ours is None and _is_held(hand, fences)):
                heard.append(said)
            elif was_ours is None:
                waiting.append((said, hand))
        return heard, waiting

    def _write(
        self, tx: Transaction, entry: _Entry, lines: list[dict[str, Any]], credit: int, activity: dict[str, Any] | None
    ) -> None:
        more = {"done": entry.done - credit, "failed": entry.failed, "skipped": entry.skipped}
        if entry.total is not None:
            more["total"] = entry.total
        if self._pace is not None and entry.finished:
            more["pace"] = max(int(self._pace * 1e6), 1)
        runs.count(tx, self._run_id, self._driver, self._lasting, **more)
        if lines:
            runs.write(tx, self._run_id, lines)
        if entry.ended:
            presence.ended(tx, entry.ended)
        if activity is not None:
            presence.report(tx, activity)

    def _try(self, work: Any, entry: _Entry | None = None) -> bool:
        try:
            self._store.database.transaction(work)
        except Exception as error:  # who only keeps the record must not decide how a run ends
            if entry is not None:
                entry.is_in_doubt = entry.is_in_doubt or isinstance(error, OutcomeUnknown)
            _log.warning("the record of run %s could not be kept and is tried again: %s", self._run_id, error,
                         exc_info=not isinstance(error, DatabaseError))  # fmt: skip
            return False
        return True

    def _measure(self, finished: int) -> None:
        """An average of the time for one item that forgets what is long ago, whatever the tasks' length."""
        if not finished:
            return
        moment = time.monotonic()
        span, self._paced = moment - self._paced, moment
        share = 1.0 if self._pace is None else 1 - math.exp(-span / _MEMORY)
        self._pace = (self._pace or 0.0) * (1 - share) + span / finished * share


def _is_held(hand: InHand, fences: dict[int, tuple[int, int]]) -> bool:
    return fences.get(hand.item.id, (None, None))[0] == hand.item.fence


def _finished(run: RunRow | RunState) -> int:
    return run.done + run.skipped + run.failed
