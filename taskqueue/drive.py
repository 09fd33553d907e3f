"""Driving a queue: the one loop in which a terminal, a page's time slice or a script executes item after item."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from .errors import NothingReady, QueueNotActive, RunMovedOn, TaskFailed
from .execution.ahead import LeaseAhead
from .execution.attempt import Attempt, Execution
from .execution.context import TaskContext
from .execution.failure import error_text, told_of
from .execution.holding import Holding
from .interrupts import let_interrupt_pass
from .item import QueueItem
from .outcome import Outcome
from .queues import settlement
from .queues.base import Wait
from .queues.batch import BatchQueue
from .remaining import Remaining
from .result import RunResult, Watcher
from .runs.problems import end_problem, problem_of
from .runs.recorder import Recorder
from .runs.state import Problem
from .watching import Watching

_log = logging.getLogger(__name__)
#: While nothing can be claimed, the queue is looked at so often (seconds): somebody may add or finish an item.
_LOOK_EVERY = 0.5
#: Outcomes that leave the item in the queue, or in the hands of somebody else.
_STAYING = (Outcome.RETRY, Outcome.ABORT, Outcome.LEASE_LOST, Outcome.RELINQUISH)


class Drive:
    """One stretch of driving a queue.

    Arguments:
        queue: the queue.
        policy: what becomes of an item that used up its attempts: "abort", "delete" or "dead".
        stop: set when the drive should end after the item in hand.
        on_end, on_end_url: see :class:`Runner`.
        watcher: gets a :class:`Progress` at each step.
        recorder: keeps the record of the run, if there is one.
        pace: seconds that one item is expected to take.
        remaining: the estimate of an earlier stretch.
    """

    def __init__(
        self,
        queue: BatchQueue,
        *,
        policy: str,
        stop: threading.Event,
        on_end: str | None = None,
        on_end_url: str | None = None,
        watcher: Watcher | None = None,
        recorder: Recorder | None = None,
        pace: float | None = None,
        remaining: Remaining | None = None,
    ) -> None:
        self.queue = queue
        self.result = RunResult()
        self._policy = policy
        self._stop = stop
        self._on_end = on_end
        self._on_end_url = on_end_url
        self._watching = Watching(watcher)
        self._is_watched = watcher is not None
        self._recorder = recorder
        self._pace = pace
        self._remaining = remaining or Remaining(queue)
        self._began = time.monotonic()
        self._has_begun = False
        self._last: QueueItem | None = None

    # --- ways to drive ---

    def to_the_end(self, wait: float | None) -> RunResult:
        """Until the queue is empty, waiting at most ``wait`` seconds for what others hold or what is delayed."""
        with self._driving() as holding:
            self._drain(holding, lambda pause, since: self._wait(pause, since, wait))
            if self.result.is_drained:
                self.end()
        if not self.result.is_drained:
            self.result.number_of_items = self.queue.number_of_items()
        return self._close()

    def slice(self, seconds: float) -> RunResult:
        """For about so many seconds, and at least one item; returns at once when there is nothing to do now.

        How many items are left is not counted for that.
        """
        limit = time.monotonic() + seconds
        with self._driving() as holding:
            self._drain(holding, lambda pause, since: self._wait_shortly(pause, limit), limit)
            if self.result.is_drained:
                self.end()
        return self._close()

    def one(self, use_steal: bool) -> RunResult:
        """One item; with ``use_steal`` also one that somebody else holds."""
        with self._driving() as holding:
            item = self._take(holding, use_steal)
            if item is not None:
                self._account(self._execution(holding).run(item))
        return self._report_step(item)

    def skip(self, use_steal: bool) -> RunResult:
        """Remove one item without executing it."""
        with self._driving() as holding:
            item = self._take(holding, use_steal)
            if item is not None:
                self._last = item
                lost = self.queue.settle([item], settlement.skip("skipped by hand"))
                holding.drop(item)
                self.result.skipped += not lost
        return self._report_step(item)

    # --- the loop ---

    @contextmanager
    def _driving(self) -> Iterator[Holding]:
        with self.queue.hold(), Holding(self.queue) as holding:
            yield holding

    def _drain(self, holding: Holding, wait: _Waiter, limit: float = math.inf) -> None:
        execution = self._execution(holding)
        ahead = LeaseAhead(holding, self._pace, size=execution.size)
        waiting_since: float | None = None
        if self._remaining.is_due():
            self._count()
        self._watching.show(remaining=self._remaining.left)
        while self._may_start(limit):
            items = ahead.next_batch()
            if items:
                waiting_since = None
                if not self._attempt(items, execution, ahead):
                    return
                continue
            pause = self.queue.wait()
            if pause is None:
                self.result.is_drained = self._may_end()
                return
            waiting_since = waiting_since or time.monotonic()
            if not self._is_active() or not wait(pause, waiting_since):
                return

    def _attempt(self, items: Sequence[QueueItem], execution: Execution, ahead: LeaseAhead) -> bool:
        """Execute items by one call; whether the run goes on."""
        began = time.monotonic()
        self._has_begun = True
        if self._recorder is not None:
            self._recorder.began(items[0])
        if self._is_watched:
            self._watching.item(items[0].title)
        attempts = [execution.run(items[0])] if len(items) == 1 else execution.run_batch(items)
        seconds, goes_on = (time.monotonic() - began) / len(items), True
        for attempt in attempts:  # all of them are accounted for
            goes_on = self._ended(attempt, seconds, ahead) and goes_on
        return goes_on

    def _ended(self, attempt: Attempt, seconds: float, ahead: LeaseAhead) -> bool:
        ahead.ended(attempt, seconds)
        if self._recorder is not None:
            self._record(attempt, self._recorder)
        goes_on = self._account(attempt)
        self._remaining.left -= attempt.outcome not in _STAYING
        if self._remaining.is_due():
            self._count()
        if self._is_watched:
            self._watching.counts(self.result, self._remaining.left)
        if not goes_on and attempt.outcome is not Outcome.RELINQUISH and self._recorder is not None:
            self._recorder.block(self._problem(attempt))
        return goes_on

    def _record(self, attempt: Attempt, recorder: Recorder) -> None:
        if attempt.is_put_off:
            recorder.put_off()
        else:
            recorder.ended(attempt.item, attempt.outcome, attempt.error)
        if attempt.outcome is Outcome.LEASE_LOST:
            recorder.look_again()

    def _problem(self, attempt: Attempt) -> Problem:
        item, is_dead = attempt.item, attempt.outcome is not Outcome.ABORT
        # Aborting an item puts it back, which moves its fence on; a dead letter keeps the last one.
        fence = item.fence if is_dead else item.fence + 1
        problem = problem_of(item, fence, attempt.exception, attempt.error, is_dead=is_dead)
        return problem if attempt.trace is not None else replace(problem, trace="")

    def _may_start(self, limit: float) -> bool:
        # Asked first: whoever aborts the run on its page stops us too, and that is no good end.
        if self._recorder is not None and not self._recorder.may_go_on():
            self.result.is_drained = self.queue.wait() is None  # somebody has emptied the queue, which ends its runs
            if not self.result.is_drained:
                self._fail(RunMovedOn("the run was aborted, or is blocked, on its page"))
            return False
        return not self._stop.is_set() and not (self._has_begun and time.monotonic() >= limit)

    def _may_end(self) -> bool:
        """Whether the step after the last item may start: not if the queue was paused in that item."""
        return self._on_end is None or self.queue.status != "paused" or self._is_active()

    def _wait(self, pause: Wait, since: float, patience: float | None) -> bool:
        left = None if patience is None else patience - (time.monotonic() - since)
        if left is not None and left <= 0:
            return False
        self._watching.show(title="", waiting=pause)
        seconds = min(pause.seconds, _LOOK_EVERY, *([left] if left is not None else []))
        self._stop.wait(max(seconds, 0.01))
        return True

    def _wait_shortly(self, pause: Wait, limit: float) -> bool:
        if pause.is_leased or time.monotonic() + pause.seconds >= limit:
            return False
        self._has_begun = True  # waiting counts: a slice must end
        self._stop.wait(max(pause.seconds, 0.01))
        return True

    def _is_active(self) -> bool:
        if self.queue.is_active():
            return True
        status = self.queue.status
        held_back = "held back by a queue_active receiver" if status == "active" else status
        self._fail(QueueNotActive(f"queue {self.queue.name!r} is {held_back}: the run stopped"))
        return False

    # --- bookkeeping ---

    def _execution(self, holding: Holding) -> Execution:
        return Execution(holding, policy=self._policy, stop=self._stop, reporter=self._reported)

    def _take(self, holding: Holding, use_steal: bool) -> QueueItem | None:
        if use_steal:
            return holding.steal()
        return next(iter(holding.lease(1)), None)

    def _account(self, attempt: Attempt) -> bool:
        """Count the attempt; whether the run goes on."""
        self._last = attempt.item
        if attempt.outcome is Outcome.OK:
            self.result.completed += 1
            return True
        if attempt.outcome in (Outcome.RETRY, Outcome.LEASE_LOST) or attempt.is_put_off:
            return True
        if attempt.outcome is Outcome.CANCELLED:
            self.result.skipped += 1
            return True
        self.result.exception = attempt.exception
        if attempt.outcome is Outcome.RELINQUISH:
            return self._fail(attempt.exception)
        self.result.failed += 1
        if attempt.outcome is Outcome.ABORT or self._policy == "abort":
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
        return self._completed(result)

    def _close(self) -> RunResult:
        result = self.result
        if not result.is_drained and not result.is_error:
            result.is_continue = True
        return self._completed(result)

    def _completed(self, result: RunResult) -> RunResult:
        result.last_task_title = self._last.title if self._last is not None else ""
        result.elapsed = time.monotonic() - self._began
        return result

    # --- the step after the last item ---

    def end(self) -> RunResult:
        """Call ``on_end``; a run whose ``on_end`` fails is not complete."""
        result, recorder = self.result, self._recorder
        result.number_of_items = self.queue.number_of_items()
        result.is_drained = result.number_of_items == 0
        fence = None
        if recorder is not None and self._on_end is not None:
            fence = recorder.begin_end()
            if fence is None:  # somebody else carries it out
                return result
        if self._on_end is not None and fence != 0 and not self._call(self._on_end, fence):
            return result
        # Once the last step was taken the run is at its end, whatever somebody has added in that moment.
        is_over = result.is_drained or fence is not None
        if recorder is not None and is_over and not recorder.complete(fence or None):
            _log.warning("the last step of a run on queue %s was taken over meanwhile", self.queue.name)
            return result
        if result.is_drained:
            self.queue.complete_if_empty()
            result.redirect_url = self._on_end_url
        return result

    def _call(self, name: str, fence: int | None) -> bool:
        try:
            if self.queue.settings.allow.load(name)(TaskContext(self.queue)) is False:
                raise TaskFailed(f"on_end ({name}) returned False")
            return True
        except BaseException as error:
            let_interrupt_pass(error)
            text = error_text(error)
            _log.warning("on_end of queue %s failed: %s", self.queue.name, text, exc_info=told_of(error))
            self._fail(error)
            if self._recorder is not None and fence is not None:
                self._recorder.block(end_problem(name, fence, error, text))
            return False

    # --- showing ---

    def _count(self) -> None:
        if not self._is_watched and self._recorder is None:
            return  # nobody wants to know
        left = self._remaining.count()
        if self._recorder is not None:
            self._recorder.counted(left)

    def _reported(self, done: float, total: float | None, message: str) -> None:
        if self._recorder is not None:
            self._recorder.reported(done, total, message)
        self._watching.show(done=done, total=total, message=message)


_Waiter = Callable[[Wait, float], bool]
