"""The runner: processes a queue once, to its end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from . import callbacks
from .errors import ConfigurationError, NothingReady, QueueNotActive, SpecError, TaskFailed
from .execution.ahead import LeaseAhead
from .execution.attempt import Attempt, Execution, error_text
from .execution.context import TaskContext
from .execution.holding import Holding
from .item import QueueItem
from .outcome import Outcome
from .queues import settlement
from .queues.base import Wait
from .queues.batch import BatchQueue
from .signals import run_finished, run_started
from .spec import shown

_log = logging.getLogger(__name__)
_BUTTONS = ("retry", "skip", "abort")
#: While nothing can be claimed, the queue is looked at so often (seconds): somebody may add or finish an item.
_LOOK_EVERY = 0.5
#: What the progress shows as remaining is counted anew so often (seconds), never per item: while nothing hints at a
#: change; when items were added here; and when none should be left. Nor does counting take more than 5 % of the time.
_COUNT_EVERY, _COUNT_ADDED, _COUNT_LAST = 5.0, 0.25, 0.02
_COUNT_SHARE = 20


class ErrorMode(Enum):
    """What a run does about an item that has used up its attempts."""

    #: Record the failure, remove the item (keep it as a dead letter if the queue's ``error`` is "dead"), go on.
    CONTINUE = 1
    #: Keep the item in its place and stop.
    ABORT = 2


@dataclass
class RunResult:
    """What a run came to; true when the queue was drained and ``on_end`` did not fail."""

    #: Whether the run was stopped by an error.
    is_error: bool = False
    #: Whether it can go on: items are left and no error stands in the way.
    is_continue: bool = False
    #: Items that still stand in the queue.
    number_of_items: int = 0
    #: The title of the item that was executed last.
    last_task_title: str = ""
    #: The latest failure, also of a run that went on.
    exception: BaseException | None = None
    #: Items that ended ok, that failed for good, that were skipped.
    completed: int = 0
    failed: int = 0
    skipped: int = 0
    #: Seconds.
    elapsed: float = 0.0
    #: ``on_end_url``, once the queue is drained.
    redirect_url: str | None = None
    is_drained: bool = False

    def __bool__(self) -> bool:
        return self.is_drained and not self.is_error


@dataclass(frozen=True)
class Progress:
    """A moment of a run, for whoever watches."""

    #: The title of the item in hand; empty between items.
    title: str = ""
    completed: int = 0
    failed: int = 0
    #: About how many items are left, the one in hand included.
    remaining: int = 0
    #: What the task itself has reported.
    done: float = 0
    total: float | None = None
    message: str = ""
    #: Why nothing can be claimed at the moment, or None.
    waiting: Wait | None = None


Watcher = Callable[[Progress], None]


class Runner:
    """Processes one queue to its end.

    Arguments:
        queue: the queue.
        title: a heading for the human who watches.
        error_mode: :class:`ErrorMode` for this run; None: follows the queue's ``error`` option.
        on_end: importable callback, called ``on_end(ctx)`` once, after the last item, in every mode.
        on_end_url: where a browser goes then.
        is_minimal: the page is shown without the application's own frame.
        buttons: those of "retry", "skip", "abort" that the page offers.

    Raises :class:`CallbackError` and :class:`SpecError` on unusable arguments.
    """

    ERROR_CONTINUE = ErrorMode.CONTINUE
    ERROR_ABORT = ErrorMode.ABORT

    def __init__(
        self,
        queue: BatchQueue,
        *,
        title: str = "Queue Runner",
        error_mode: ErrorMode | None = None,
        on_end: Callable[..., Any] | str | tuple[str, str] | None = None,
        on_end_url: str | None = None,
        is_minimal: bool = False,
        buttons: Sequence[str] = _BUTTONS,
    ) -> None:
        if not isinstance(queue, BatchQueue):
            raise SpecError(f"a Runner takes a queue, not {shown(queue)}: make one with service.create()")
        if error_mode is not None and not isinstance(error_mode, ErrorMode):
            raise SpecError(f"error_mode must be ErrorMode.ABORT, ErrorMode.CONTINUE or None, not {shown(error_mode)}")
        if isinstance(buttons, str) or set(buttons) - set(_BUTTONS):
            raise SpecError(f"buttons must be some of {', '.join(_BUTTONS)}, not {shown(buttons)}")
        self.queue = queue
        self.title = title
        self.error_mode = error_mode
        self.on_end = callbacks.name_of(on_end) if on_end is not None else None
        if self.on_end is not None:
            callbacks.remember(self.on_end)
        self.on_end_url = on_end_url
        self.is_minimal = is_minimal
        self.buttons = tuple(buttons)
        self._stop = threading.Event()

    # --- to the end ---

    def run_all(self, wait: float | None = None, progress: Watcher | None = None) -> RunResult:
        """Run the queue to its end.

        Arguments:
            wait: seconds to wait, without an item being run, for those that are leased by others or delayed;
                None: as long as it takes; 0: return at once.
            progress: called with a :class:`Progress` before and after each item and when a task reports.

        Raises :class:`QueueNotActive` when the queue is paused or a draft.
        """
        if wait is not None and (isinstance(wait, bool) or not isinstance(wait, (int, float)) or not wait >= 0):
            raise SpecError(f"wait must be seconds or None, not {shown(wait)}")
        return _Run(self, progress).to_the_end(wait)

    def stop(self) -> None:
        """Ask a run (from another thread, or a signal handler) to end after the item in hand; no item is lost."""
        self._stop.set()

    # --- step by step ---

    def run_next(self, use_steal: bool = False) -> RunResult:
        """Run one item; with ``use_steal`` also one that somebody else holds."""
        return _Run(self, None).one(use_steal)

    def skip_next(self, use_steal: bool = False) -> RunResult:
        """Remove the next item without running it, on record."""
        return _Run(self, None).skip(use_steal)

    def handle_end(self) -> RunResult:
        """Call ``on_end``, as :meth:`run_all` does after the last item."""
        return _Run(self, None).end(RunResult(number_of_items=self.queue.number_of_items()))

    # --- elsewhere ---

    def run_all_via_web(self, start: bool = True) -> Any:
        """Show the run on its progress page. Raises :class:`ConfigurationError` when no page is installed."""
        raise ConfigurationError(
            "this process serves no progress page: run the queue with run_all() or 'taskqueue run'"
        )

    # --- for the run ---

    @property
    def policy(self) -> str:
        """What becomes of an item that used up its attempts: "abort", "delete" or "dead"."""
        wanted = self.queue.spec.policy
        if self.error_mode is ErrorMode.ABORT:
            return "abort"
        if self.error_mode is ErrorMode.CONTINUE:
            return "dead" if wanted == "dead" else "delete"
        return wanted

    @property
    def is_stopping(self) -> bool:
        """Whether :meth:`stop` was called."""
        return self._stop.is_set()

    @property
    def stop_event(self) -> threading.Event:
        """Set by :meth:`stop`."""
        return self._stop


@dataclass
class _Run:
    """One run while it lasts: the loop, and what it has counted."""

    runner: Runner
    watcher: Watcher | None
    result: RunResult = field(default_factory=RunResult)
    shown: Progress = field(default_factory=Progress)
    began: float = field(default_factory=time.monotonic)
    #: When the remaining items were counted, how long that took, and how many changes there had been by then.
    counted: float = 0.0
    count_took: float = 0.0
    changes: int = 0

    @property
    def queue(self) -> BatchQueue:
        return self.runner.queue

    # --- the three ways in ---

    def to_the_end(self, wait: float | None) -> RunResult:
        self._open()
        run_started.answers(self.runner)
        try:
            with ExitStack() as stack:
                stack.enter_context(self.queue.hold())
                holding = stack.enter_context(Holding(self.queue))
                self._drain(holding, wait)
            return self._close()
        finally:
            self.result.elapsed = time.monotonic() - self.began
            run_finished.answers(self.runner, result=self.result)

    def one(self, use_steal: bool) -> RunResult:
        self._open()
        with self.queue.hold(), Holding(self.queue) as holding:
            item = self._take(holding, use_steal)
            if item is not None:
                self._account(self._execution(holding).run(item))
        return self._report_step(item)

    def skip(self, use_steal: bool) -> RunResult:
        self._open()
        with self.queue.hold(), Holding(self.queue) as holding:
            item = self._take(holding, use_steal)
            if item is not None:
                self.result.last_task_title = item.title
                lost = self.queue.settle([item], settlement.skip("skipped by hand"))
                holding.drop(item)
                self.result.skipped += not lost
        return self._report_step(item)

    # --- the loop ---

    def _drain(self, holding: Holding, wait: float | None) -> None:
        ahead, execution = LeaseAhead(holding), self._execution(holding)
        waiting_since: float | None = None
        self._show(remaining=self._count())
        while not self.runner.is_stopping:
            item = ahead.next()
            if item is not None:
                waiting_since = None
                if not self._attempt(item, execution, ahead):
                    return
                continue
            pause = self.queue.wait()
            if pause is None:
                self.result.is_drained = True
                return
            waiting_since = waiting_since or time.monotonic()
            if not self._may_go_on() or not self._wait(pause, waiting_since, wait):
                return

    def _attempt(self, item: QueueItem, execution: Execution, ahead: LeaseAhead) -> bool:
        began = time.monotonic()
        if self.watcher is not None:
            self._show(title=item.title, done=0, total=None, message="", waiting=None)
        attempt = execution.run(item)
        ahead.measured(time.monotonic() - began)
        if attempt.outcome is Outcome.LEASE_LOST or self._goes_next(attempt):
            ahead.give_back()  # whoever took this item may have taken the others; or the item itself goes next
        goes_on = self._account(attempt)
        if self.watcher is not None:
            self._show_counts(attempt)
        return goes_on

    def _goes_next(self, attempt: Attempt) -> bool:
        """Whether an item that is tried again stands before what was leased ahead."""
        if attempt.outcome is not Outcome.RETRY:
            return False
        return self.queue.is_sequential or not self.queue.spec.retry_delay(attempt.item.failures + 1)

    def _wait(self, pause: Wait, since: float, limit: float | None) -> bool:
        left = None if limit is None else limit - (time.monotonic() - since)
        if left is not None and left <= 0:
            return False
        self._show(title="", waiting=pause)
        seconds = min(pause.seconds, _LOOK_EVERY, *([left] if left is not None else []))
        self.runner.stop_event.wait(max(seconds, 0.01))
        return True

    def _may_go_on(self) -> bool:
        if self.queue.is_active():
            return True
        status = self.queue.status
        held_back = "held back by a queue_active receiver" if status == "active" else status
        self._fail(QueueNotActive(f"queue {self.queue.name!r} is {held_back}: the run stopped"))
        return False

    # --- bookkeeping ---

    def _open(self) -> None:
        status = self.queue.status
        if status in ("paused", "draft"):
            raise QueueNotActive(
                f"queue {self.queue.name!r} is {status}: set it active (queue.set_status('active'), "
                f"'taskqueue resume {self.queue.name}') before it is run"
            )
        if status in ("aborted", "completed"):
            self.queue.set_status("active")
        if not self.queue.is_active():
            raise QueueNotActive(f"queue {self.queue.name!r} is {self.queue.status} and held back: it cannot be run")

    def _execution(self, holding: Holding) -> Execution:
        return Execution(holding, policy=self.runner.policy, stop=self.runner.stop_event, reporter=self._reported)

    def _take(self, holding: Holding, use_steal: bool) -> QueueItem | None:
        if use_steal:
            return holding.steal()
        return next(iter(holding.lease(1)), None)

    def _account(self, attempt: Attempt) -> bool:
        """Count the attempt; whether the run goes on."""
        self.result.last_task_title = attempt.item.title
        if attempt.outcome is Outcome.OK:
            self.result.completed += 1
            return True
        if attempt.outcome is Outcome.RETRY:
            return True
        if attempt.outcome is Outcome.LEASE_LOST:
            return True
        self.result.exception = attempt.exception
        if attempt.outcome is Outcome.RELINQUISH:
            return self._fail(attempt.exception)
        self.result.failed += 1
        if attempt.outcome is Outcome.ABORT or self.runner.policy == "abort":
            return self._fail(attempt.exception)
        return True

    def _fail(self, exception: BaseException | None) -> bool:
        self.result.is_error = True
        self.result.exception = exception
        return False

    def _report_step(self, item: QueueItem | None) -> RunResult:
        result = self.result
        result.number_of_items = self.queue.number_of_items()
        result.is_drained = result.number_of_items == 0
        if item is None and result.number_of_items:
            pause = self.queue.wait() or Wait(0.0, is_leased=False)
            who = "somebody else holds it" if pause.is_leased else "it is delayed"
            self._fail(
                NothingReady(f"no item of {self.queue.name!r} can be claimed: {who}, {pause.seconds:.0f} s left")
            )
        result.is_continue = result.number_of_items > 0 and not result.is_error
        result.elapsed = time.monotonic() - self.began
        return result

    def _close(self) -> RunResult:
        result = self.result
        if result.is_drained:
            return self.end(result)
        result.number_of_items = self.queue.number_of_items()
        result.is_continue = not result.is_error
        return result

    def end(self, result: RunResult) -> RunResult:
        """Call ``on_end``; a run whose ``on_end`` fails is not complete."""
        name = self.runner.on_end
        result.is_drained = result.number_of_items == 0
        if name is not None:
            try:
                if self.queue.settings.allow.load(name)(TaskContext(self.queue)) is False:
                    raise TaskFailed(f"on_end ({name}) returned False")
            except Exception as error:
                _log.warning("on_end of queue %s failed: %s", self.queue.name, error_text(error), exc_info=True)
                result.is_error, result.exception = True, error
                return result
        if result.is_drained:
            result.redirect_url = self.runner.on_end_url
        return result

    # --- showing ---

    def _show(self, **changes: Any) -> None:
        if self.watcher is None:
            return
        self.shown = replace(self.shown, **changes)
        try:
            self.watcher(self.shown)
        except Exception:  # whoever only watches must not decide how a task ends
            _log.exception("the progress callback failed and was ignored")

    def _show_counts(self, attempt: Attempt) -> None:
        left = self.shown.remaining - (attempt.outcome not in (Outcome.RETRY, Outcome.ABORT, Outcome.LEASE_LOST))
        if self._count_is_due(left):
            left = self._count()
        self._show(
            title="",
            done=0,
            total=None,
            message="",
            completed=self.result.completed,
            failed=self.result.failed,
            remaining=max(left, 0),
        )

    def _count_is_due(self, left: int) -> bool:
        pause = _COUNT_ADDED if self.queue.changes != self.changes else _COUNT_EVERY
        if left <= 0:
            pause = _COUNT_LAST
        return time.monotonic() - self.counted > max(pause, _COUNT_SHARE * self.count_took)

    def _count(self) -> int:
        if self.watcher is None:
            return 0
        self.changes, began = self.queue.changes, time.monotonic()
        left = self.queue.number_of_items()
        self.counted = time.monotonic()
        self.count_took = self.counted - began
        return left

    def _reported(self, done: float, total: float | None, message: str) -> None:
        self._show(done=done, total=total, message=message)
