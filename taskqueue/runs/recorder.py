"""Keeping the record of a run while this process drives it.

Quick tasks must not wait for it: what they come to is gathered in a ledger, and a thread stores it twice a second.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Any

from .. import clock
from ..errors import TaskQueueError
from ..item import QueueItem
from ..outcome import Outcome
from ..queues.sql_base import SqlBase, process
from ..storage import presence, runs
from ..storage.runs import RunRow
from ..storage.transaction import Transaction
from . import on_record
from .emptying import skip_rest
from .in_hand import InHand
from .ledger import Ledger
from .look import Look
from .problems import SEPARATOR, first_line
from .state import END_STEP, Problem, RunState
from .store import Runs, line
from .task_lines import TaskLines

_log = logging.getLogger(__name__)
#: What happened is stored so often (seconds).
_FLUSH_EVERY = 0.5
#: Whether the run may go on is looked up at most so often (seconds).
_LOOK_EVERY = 0.1
_LINE_LENGTH = 2000
#: What the log says of an attempt that did not end well, and how loud; an aborted item blocks the run, which says more.
_LINES = {
    Outcome.DELETE: ("failed", "error"),
    Outcome.DEAD: ("failed", "error"),
    Outcome.RETRY: ("retry", "warning"),
    Outcome.CANCELLED: ("skipped", "warning"),
    Outcome.LEASE_LOST: ("late", "warning"),
    Outcome.RELINQUISH: ("left", "warning"),
}


class Recorder:
    """The record of one run, as far as this process drives it. A context manager.

    Arguments:
        store: the runs of the database.
        queue: the queue of the run.
        run_id: the run.
        driver: names who drives; one page, or one process.
        label: what others are told about it.
        lasting: seconds for which the driver's slot outlasts its latest sign of life.
        on_stop: called once when somebody aborts the run.
        keeps_slot: the driver will be back soon.
    """

    def __init__(
        self, store: Runs, queue: SqlBase, run_id: str, *, driver: str, label: str, lasting: float,
        on_stop: Callable[[], None] = lambda: None,
        keeps_slot: bool = False,
    ) -> None:  # fmt: skip
        self._store = store
        self._queue = queue
        self._run_id = run_id
        self._label = label
        self._lasting = clock.to_ms(lasting)
        self._on_stop = on_stop
        self._keeps_slot = keeps_slot
        self._ledger = Ledger(store, queue, run_id, driver, self._lasting)
        self._task_lines = TaskLines(queue.name, self._logged)
        self._in_hand: InHand | None = None
        self._is_going = True
        self._looked = 0.0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.state: RunState | None = None
        #: Whether it was us who brought the run to its end.
        self.has_completed = False

    # --- from the beginning to the end ---

    def take(self, *, by_force: bool = False) -> bool:
        """Become the driver; False when somebody else is, or the run is at its end."""
        if not self._ledger.take_slot(self._label, by_force=by_force):
            return False
        self.state = self._store.get(self._run_id)
        return True

    def join(self) -> bool:
        """Work beside others, without becoming the driver; False when the run is gone."""
        row = self._ledger.join()
        self.state = RunState.of(row, self._queue.settings.codec) if row is not None else None
        return row is not None

    def __enter__(self) -> Recorder:
        self._thread = threading.Thread(target=self._keep, name="taskqueue-recorder", daemon=True)
        self._thread.start()
        self._task_lines.attach()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task_lines.detach()
        self._ended.set()
        if self._thread is not None:
            self._thread.join(2.0)
        self._let_go()
        if self._flush():
            self._ledger.leave_slot(self._lasting if self._keeps_slot else 0)
        self._empty()

    def _empty(self) -> None:
        """What was leased when the run was aborted lies in the queue again by now: it goes the way of the rest."""
        try:
            state = self._store.get(self._run_id)
            if state.status == "aborted" and state.emptied_to:
                skip_rest(self._queue, self._run_id)
        except TaskQueueError as error:
            _log.warning("the rest of run %s could not be skipped: %s", self._run_id, error)

    def _keep(self) -> None:
        pause = _FLUSH_EVERY / 2
        while not self._ended.wait(pause):
            pause = _FLUSH_EVERY
            try:
                self._flush()
                self._look()
            except Exception:  # whatever it was, the record must go on being kept
                _log.exception("the record of run %s could not be kept and is tried again", self._run_id)

    # --- what the drive says ---

    def may_go_on(self) -> bool:
        """Whether nobody has aborted or blocked the run; looked up ten times a second."""
        if time.monotonic() - self._looked > _LOOK_EVERY:
            self._look()
        return self._is_going

    def look_again(self) -> None:
        """Something has happened to the run: what was seen a moment ago counts no more."""
        self._looked = 0.0

    def _look(self) -> None:
        self._looked = time.monotonic()
        try:
            status = self._store.status(self._run_id)
        except TaskQueueError as error:
            _log.warning("run %s cannot be looked up: %s", self._run_id, error)
            return
        # Who still has an item in hand when others end the run finishes in peace.
        was_going, self._is_going = self._is_going, status in ("running", "finishing", "completed")
        if was_going and status == "aborted":
            self._on_stop()

    def began(self, item: QueueItem) -> None:
        """An item is in hand."""
        self._in_hand = InHand(item)

    def reported(self, done: float, total: float | None, message: str) -> None:
        """The item in hand says how far it is."""
        if (hand := self._in_hand) is not None:
            hand.report(done, total, message)

    def ended(self, item: QueueItem, outcome: Outcome, error: str) -> None:
        """The item in hand came to this."""
        self._let_go(was_ours=outcome is not Outcome.LEASE_LOST)
        if outcome is Outcome.OK:
            self._ledger.done(item)
            return
        if outcome in (Outcome.DELETE, Outcome.DEAD):
            self._ledger.failed()
        elif outcome is Outcome.CANCELLED:
            self._ledger.skipped()
        if outcome in _LINES:
            kind, level = _LINES[outcome]
            text = item.title if outcome is Outcome.LEASE_LOST else f"{item.title}{SEPARATOR}{first_line(error)}"
            self._ledger.note(kind, text, level=level, item_id=item.id)

    def put_off(self) -> None:
        """The item in hand asked to be called later; that is worth no line, however often it does."""
        self._let_go(was_ours=True)

    def _let_go(self, *, was_ours: bool | None = None) -> None:
        hand, self._in_hand = self._in_hand, None
        if hand is not None:
            hand.was_ours = was_ours
        if hand is not None and hand.is_stored:
            self._ledger.forget(hand.item.id, hand.item.fence)

    def _logged(self, level: str, item_id: int, text: str) -> None:
        hand = self._in_hand
        if hand is not None and hand.item.id == item_id:  # else it is of another drive on the same queue
            self._ledger.note("log", text[:_LINE_LENGTH], level=level, item_id=item_id, hand=hand)

    def counted(self, remaining: int) -> None:
        """So many items are left, counted between two items."""
        self._ledger.counted(remaining)

    def _flush(self) -> bool:
        hand = self._in_hand
        return self._ledger.flush(hand.activity() if hand is not None else None)

    # --- why it does not go on ---

    def block(self, problem: Problem) -> None:
        """A human has to choose between Retry and Skip."""
        self._flush()
        text = f"{problem.title}{SEPARATOR}{first_line(problem.message)}"

        def work(tx: Transaction) -> None:
            stored = replace(problem, when=int(tx.row("SELECT {now}")[0]))
            also = "end_fence = :fence" if problem.item_id == END_STEP else "status = 'running'"
            values: dict[str, Any] = {"fence": problem.fence} if problem.item_id == END_STEP else {}
            if runs.change(tx, self._run_id, "status = 'blocked', problem = :problem", also,
                           problem=stored.pack(), **values):  # fmt: skip
                runs.write(tx, self._run_id, [line("blocked", text, level="error", item_id=problem.item_id or None)])

        self._store.database.transaction(work)
        self._is_going = False

    # --- the step after the last item ---

    def begin_end(self) -> int | None:
        """Take the step after the last item; its fence, 0 when it was carried out before, None when others have it."""
        self._flush()

        def work(tx: Transaction) -> int | None:
            row = runs.find(tx, self._run_id, lock=True)
            if row is None:
                return None
            if row.is_ended:
                return 0
            if tx.unsure and row.status == "finishing" and row.end_holder == process.token:
                return row.end_fence
            if row.status != "running":
                if not self._is_abandoned(tx, row):
                    return None
                runs.write(tx, self._run_id, [line("taken_over", "on_end", level="warning")])
            runs.change(tx, self._run_id, "status = 'finishing', end_fence = end_fence + 1, end_holder = :holder",
                        holder=process.token)  # fmt: skip
            runs.write(tx, self._run_id, [line("finishing", "")])
            return row.end_fence + 1

        return self._store.database.transaction(work)

    def _is_abandoned(self, tx: Transaction, row: RunRow) -> bool:
        """Whether the last step of a background run may go again: its worker was lost, and not for the umpteenth time.

        That of other runs is for a human to take over, because it may have done its work all the same.
        """
        if row.status != "finishing" or not self._is_background:
            return False
        is_worth_it = row.end_fence < self._queue.settings.interrupt_limit
        return is_worth_it and Look(self._queue, writes=True).is_end_stale(tx, row)

    @property
    def _is_background(self) -> bool:
        return self.state is not None and self.state.definition.is_background

    def complete(self, fence: int | None) -> bool:
        """The run is at its end; False when somebody took the last step over meanwhile."""
        self._flush()
        self._wait_for_others()
        # What is not there any more, and was not counted by us, was done by others.
        settled = (
            "status = 'completed', is_ended = 1, problem = NULL, end_time = {now}, "
            "done = CASE WHEN total > done + skipped + failed THEN total - skipped - failed ELSE done END, "
            "total = CASE WHEN total < done + skipped + failed THEN done + skipped + failed ELSE total END"
        )
        also = "status = 'running'" if fence is None else "status = 'finishing' AND end_fence = :fence"
        values = {} if fence is None else {"fence": fence}

        def work(tx: Transaction) -> bool:
            if self._is_background:
                on_record.store(tx, self._run_id)
            if not runs.change(tx, self._run_id, settled, also, **values):
                row = runs.find(tx, self._run_id)
                return row is not None and row.status == "completed"
            runs.write(tx, self._run_id, [line("completed", "")])
            presence.clear(tx, self._queue.name)  # a process that was killed could not do it
            self.has_completed = True
            return True

        return self._store.database.transaction(work)

    def _wait_for_others(self) -> None:
        """Another driver of the run may not have stored yet what it has done, and what failed."""
        limit = time.monotonic() + 1.5 * _FLUSH_EVERY
        while time.monotonic() < limit:
            state = self._store.get(self._run_id)
            if state.finished >= state.total:
                return
            time.sleep(_FLUSH_EVERY / 10)
