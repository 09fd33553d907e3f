"""Executing claimed items: decide, call, decide the outcome, carry it out.

The order of decision: an unreadable or refused payload is dead; an exhausted item is not executed; a failure is
retried while attempts remain, else the error policy decides; then ``task_error`` may change the outcome; then it is
carried out, guarded by the fence.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any, NamedTuple

from .. import spans
from ..errors import LeaseLost, PayloadTooNew
from ..interrupts import let_interrupt_pass
from ..item import QueueItem, name_of
from ..outcome import Outcome
from ..queues import settlement
from ..queues.batch import BatchQueue
from ..signals import item_finished
from .calls import Calls, Engine, call_here
from .context import Reporter, TaskContext
from .decision import Decision
from .failure import PLAIN, told_of
from .group import Group
from .holding import Holding
from .remote import Remote
from .trial import Trial, answers_for, void

_log = logging.getLogger(__name__)


class Attempt(NamedTuple):
    """What became of one item."""

    item: QueueItem
    outcome: Outcome
    exception: BaseException | None
    #: From the decision to its storage.
    seconds: float
    #: Seconds until the item, which is back in the queue, may be claimed again.
    delay: float = 0.0
    #: What may be written down of a failure: its text, and its traceback or None.
    error: str = ""
    trace: str | None = None

    @property
    def is_put_off(self) -> bool:
        """Whether the task asked to be called later, or ended because it was told to stop, which is no failure."""
        return self.outcome is Outcome.RELINQUISH and not isinstance(self.exception, PayloadTooNew)


class Execution:
    """Executes the items of one queue; may be used by many threads.

    Arguments:
        holding: holds the items.
        policy: "abort", "delete" or "dead"; None: the queue's ``error`` option.
        stop: set when tasks should return soon.
        reporter: gets what tasks report.
        executor: makes the calls, in other processes or on other hosts; None: the thread that calls :meth:`run`.
        grouped: whether completions are committed in groups; then :meth:`flush` has to be called.

    Raises :class:`ConfigurationError` when nobody here can run the queue's payload, :class:`CallbackError` when its
    handler cannot be found by another process.
    """

    def __init__(
        self,
        holding: Holding,
        *,
        policy: str | None = None,
        stop: threading.Event | None = None,
        reporter: Reporter | None = None,
        executor: Executor | None = None,
        grouped: bool = False,
    ) -> None:
        self._queue: BatchQueue = holding.queue
        self._holding = holding
        self._stop = stop
        self._reporter = reporter
        self._calls = Calls(self._queue, by_executor=executor is not None)
        self._decision = Decision(self._queue, policy)
        self._group = Group(self._queue, holding.is_sure) if grouped else None
        self._engine: Engine = call_here
        if executor is not None:
            self._engine = Remote(executor, self._calls.handler)

    @property
    def size(self) -> int:
        """How many items :meth:`run_batch` hands to one call: ``batch_limit`` for a batch handler, else 1."""
        return self._calls.size

    def run(self, item: QueueItem) -> Attempt:
        """Execute ``item`` and carry its outcome out. An interrupt gives the item back and passes on."""
        if self._calls.is_batch:
            return self.run_batch([item])[0]
        tracer = spans.tracer
        if tracer is None:
            return self._run(item)
        with tracer.processing(self._queue, [item]) as span:
            attempt = self._run(item)
            span.ended([attempt])
        return attempt

    def _run(self, item: QueueItem) -> Attempt:
        trial = self._trial(item)
        try:
            trial.admit()
            call = self._calls.of(item, trial.context)
            trial.refuse_exhausted()
            trial.accept(self._engine(call, trial.void))
        except BaseException as error:
            _failed(trial, error)
        return self._end(trial)

    def run_batch(self, items: Sequence[QueueItem]) -> list[Attempt]:
        """Execute items, :attr:`size` of them by one call; each is settled and counted as if alone.

        An item that cannot be read, or may not run, is left out of the call.
        """
        if not self._calls.is_batch:
            return [self.run(item) for item in items]
        chunks = (items[begin : begin + self.size] for begin in range(0, len(items), self.size))
        return [attempt for chunk in chunks for attempt in self._run_chunk(chunk)]

    def give_up(self, item: QueueItem) -> Attempt:
        """The task took too long and will be ended together with its process: decide as if it had said so itself."""
        tracer = spans.tracer
        if tracer is None:
            return self._give_up(item)
        # The span around the call is lost together with the process.
        with tracer.processing(self._queue, [item]) as span:
            attempt = self._give_up(item)
            span.ended([attempt])
        return attempt

    def _give_up(self, item: QueueItem) -> Attempt:
        trial = self._trial(item)
        trial.exception = trial.timeout()
        return self._end(trial)

    def flush(self, *, at_once: bool = True) -> None:
        """Commit the completions that were collected; unless ``at_once``, only when it is time."""
        if self._group is not None and (at_once or self._group.is_due):
            self._group.flush()

    def _trial(self, item: QueueItem) -> Trial:
        context = TaskContext(self._queue, item, self._holding, self._stop, self._reporter)
        return Trial(item, context, self._holding)

    # --- the call ---

    def _run_chunk(self, items: Sequence[QueueItem]) -> list[Attempt]:
        tracer = spans.tracer
        if tracer is None:
            return self._run_together(items)
        with tracer.processing(self._queue, items, is_batch=True) as span:
            attempts = self._run_together(items)
            span.ended(attempts)
        return attempts

    def _run_together(self, items: Sequence[QueueItem]) -> list[Attempt]:
        trials = [self._trial(item) for item in items]
        for trial in trials:
            _try(trial, self._admit, trial)
        called = [trial for trial in trials if trial.exception is None]
        for trial, answer in zip(called, self._answers(called), strict=True):
            _try(trial, trial.accept, answer)
        return [self._end(trial) for trial in trials]

    def _admit(self, trial: Trial) -> None:
        trial.admit()
        _ = trial.item.data  # raises what is wrong with it
        trial.refuse_exhausted()

    def _answers(self, trials: Sequence[Trial]) -> list[Any]:
        if not trials:
            return []
        call = self._calls.of_batch([trial.item for trial in trials], [trial.context for trial in trials])
        try:
            return answers_for(trials, self._engine(call, lambda: void(trials)))
        except BaseException as error:
            let_interrupt_pass(error)
            return [error] * len(trials)

    # --- the outcome ---

    def _end(self, trial: Trial) -> Attempt:
        seconds = time.monotonic() - trial.began
        outcome, delay = self._settle(trial, seconds)
        if not trial.is_grouped:
            self._stored(trial, seconds, outcome)
        error, trace = self._decision.told(trial) if trial.exception is not None else ("", None)
        return Attempt(trial.item, outcome, trial.exception, time.monotonic() - trial.began, delay, error, trace)

    def _stored(self, trial: Trial, seconds: float, outcome: Outcome) -> None:
        """The outcome is committed, or was dropped: let go of the item and tell whoever listens."""
        item = trial.item
        waited = self._holding.waited(item, trial.began) if item_finished.receivers else None
        self._holding.drop(item)
        self._queue.count_attempt(outcome, seconds)
        if item_finished.receivers:
            item_finished.answers(
                self._queue, item=item, outcome=outcome, exception=trial.exception, seconds=seconds, waited=waited
            )

    def _settle(self, trial: Trial, seconds: float) -> tuple[Outcome, float]:
        """The outcome, and the seconds until the item may be claimed again if it is back in the queue."""
        if trial.context.is_completed:
            self._forgive(trial)
            return Outcome.OK, 0.0
        outcome, how = self._decision.made(trial)
        if outcome is not Outcome.OK:
            self._log_failure(trial, outcome)
        if how is None:
            return outcome, 0.0
        if outcome is Outcome.ABORT:
            if not self._decision.is_mine(trial.item):  # somebody may have taken it while a hook took its time
                return Outcome.LEASE_LOST, 0.0
            # Before the item becomes ready again, so that nobody claims it in between.
            self._queue.set_status("aborted")
        # What waits for its turn behind an item must not wait for a group, nor see the item come back after it.
        if self._group is not None and how is settlement.DONE and trial.item.order_key is None:
            trial.is_grouped = True
            self._group.add(trial.item, partial(self._stored, trial, seconds))
            return outcome, 0.0
        if self._queue.settle([trial.item], how, self._holding.is_sure):
            trial.context.log.warning("lost its lease: the outcome %s was dropped", outcome)
            return Outcome.LEASE_LOST, 0.0
        return outcome, how.delay / 1000

    def _forgive(self, trial: Trial) -> None:
        if trial.exception is not None:
            error, trace = self._decision.told(trial)
            trial.context.log.error(
                "failed after its transaction had been committed, and counts as done: %s",
                error,
                exc_info=told_of(trial.exception) if trace is not None else None,
            )
        trial.exception = None

    def _log_failure(self, trial: Trial, outcome: Outcome) -> None:
        queue, level = trial.holding.queue, logging.INFO if outcome is Outcome.RELINQUISH else logging.WARNING
        error, trace = self._decision.told(trial)
        is_plain = trace is None or isinstance(trial.exception, (*PLAIN, LeaseLost))
        facts = {"queue": queue.name, "item": trial.item.id, "attempt": trial.context.attempt}
        where, name = "[{queue} #{item} attempt {attempt}]".format(**facts), name_of(trial.item)
        if name:
            facts["title"], where = name, f"{where} {name}:"
        trouble = None if is_plain else told_of(trial.exception)
        _log.log(level, "%s %s: %s", where, outcome, error, exc_info=trouble, extra=facts)


def _try(trial: Trial, work: Callable[[Any], None], argument: Any) -> None:
    try:
        work(argument)
    except BaseException as error:
        _failed(trial, error)


def _failed(trial: Trial, error: BaseException) -> None:
    let_interrupt_pass(error)  # a task that calls sys.exit() has failed, not we
    trial.exception = error
