"""Executing time slices of runs: in a helper thread, so that no request outlives its budget, or in the request."""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field

from ..errors import TaskQueueError
from ..queues.sql_base import SqlBase
from ..remaining import Remaining
from ..runner import Runner
from ..runs.recorder import Recorder
from ..runs.state import RunState
from ..runs.store import Runs

_log = logging.getLogger(__name__)
#: A request waits for its slice so much longer than the budget (seconds).
_PATIENCE = 0.2
#: The first slice of a run is short, so that the page soon shows something.
_FIRST = 0.25
#: So many slices are executed by one process at a time.
_MOST = 32
_KEPT = 1000
#: Of a page that went away without a word, the slot is free after so many budgets.
_SLOT = 2.0


class TooMany(Exception):
    """This process executes as many slices as it may."""


@dataclass
class _Slice:
    runner: Runner
    done: threading.Event = field(default_factory=threading.Event)
    error: TaskQueueError | None = None


class Slices:
    """The slices that this process executes for one application.

    Arguments:
        budget: seconds that one slice works.
        inline: execute in the request itself, for hosts that forbid or freeze threads.
        grace: seconds to wait at the end of the process for the items in hand.
        inside: calls its argument inside what tasks need around them, such as the application's context.
    """

    def __init__(
        self, *, budget: float, inline: bool, grace: float, inside: Callable[[Callable[[], None]], None]
    ) -> None:
        self._budget = budget
        self._inline = inline
        self._grace = grace
        self._inside = inside
        self._lock = threading.Lock()
        self._running: dict[str, _Slice] = {}
        self._remaining: dict[str, Remaining] = {}
        #: When to wait no more for what is in hand (monotonic seconds); None while we are open.
        self._closing: float | None = None
        _all.add(self)

    def drive(self, queue: SqlBase, run: RunState, driver: str) -> None:
        """Execute a slice of ``run``, or wait for the one that is under way; at most for the budget.

        Raises :class:`TooMany`, and what the database had to say.
        """
        one, is_new = self._slice(queue, run)
        if is_new and self._inline:
            self._execute(one, queue, run, driver)
        elif is_new:
            thread = threading.Thread(
                target=self._inside, args=(lambda: self._execute(one, queue, run, driver),),
                name=f"taskqueue-run-{run.id[:8]}", daemon=True,
            )  # fmt: skip
            thread.start()
        one.done.wait(self._budget + _PATIENCE)
        if one.error is not None:
            raise one.error

    def _slice(self, queue: SqlBase, run: RunState) -> tuple[_Slice, bool]:
        with self._lock:
            standing = self._running.get(run.id)
            if standing is not None:
                return standing, False
            if len(self._running) >= _MOST or self._closing is not None:
                raise TooMany
            one = self._running[run.id] = _Slice(Runner.of_run(queue, run))
            return one, True

    def _execute(self, one: _Slice, queue: SqlBase, run: RunState, driver: str) -> None:
        try:
            recorder = Recorder(
                Runs.of(queue), queue, run.id, driver=driver, label="", lasting=max(self._budget * _SLOT, 2.0),
                keeps_slot=True, on_stop=one.runner.stop,
            )  # fmt: skip
            if queue.status == "completed":
                queue.set_status("active")
            if queue.is_active() and recorder.take():
                with recorder:
                    seconds = self._budget if run.finished else min(_FIRST, self._budget)
                    one.runner.run_slice(seconds, recorder, self._remaining_of(run.id, queue))
        except TaskQueueError as error:
            one.error = error
            _log.warning("a slice of run %s ended early: %s", run.id, error)
        except Exception:
            _log.exception("a slice of run %s failed", run.id)
        finally:
            with self._lock:
                self._running.pop(run.id, None)
            one.done.set()

    def _remaining_of(self, run_id: str, queue: SqlBase) -> Remaining:
        """How many items are left is not counted anew in each slice."""
        with self._lock:
            if len(self._remaining) > _KEPT:
                self._remaining.clear()
            return self._remaining.setdefault(run_id, Remaining(queue))

    def close(self, grace: float | None = None) -> None:
        """Start nothing more, and wait a while for what is in hand; what is left then is offered again soon.

        Arguments:
            grace: seconds to wait, from now; None: as long as the first call waits, if this is a second one.
        """
        with self._lock:
            if self._closing is None or grace is not None:
                self._closing = time.monotonic() + (self._grace if grace is None else grace)
            limit = self._closing
            running = list(self._running.values())
        for one in running:
            one.runner.stop()
        for one in running:
            if not one.done.wait(max(limit - time.monotonic(), 0)):
                _log.warning("a task still ran when the server stopped: it is offered again when its lease ends")


_all: weakref.WeakSet[Slices] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for slices in list(_all):
        slices.close()
