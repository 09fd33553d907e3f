"""Executing one claimed item: decide, call, decide the outcome, carry it out.

The order of decision: an unreadable or refused payload is dead; an exhausted item is not executed; a failure is
retried while attempts remain, else the error policy decides; then ``task_error`` may change the outcome; then it is
carried out, guarded by the fence.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .. import clock
from ..errors import (
    CallbackRefused,
    ConfigurationError,
    DatabaseUnavailable,
    LeaseLost,
    OutcomeUnknown,
    PayloadError,
    PayloadTooNew,
    TaskFailed,
    TaskTimeout,
)
from ..item import QueueItem
from ..outcome import Outcome
from ..queues import settlement
from ..queues.batch import BatchQueue
from ..queues.settlement import Settlement
from ..serializer import storable
from ..signals import item_finished, task_error
from ..spec import TASK_PAYLOAD
from ..task import Task
from .context import Reporter, TaskContext
from .holding import Holding

_log = logging.getLogger(__name__)
_ERROR_LENGTH = 20_000
#: Seconds after which an item of a newer format is offered again.
_TOO_NEW_PAUSE = 60
_JITTER = 0.1
#: What a receiver of ``task_error`` may turn the outcome into.
_ANSWERS = tuple(outcome.value for outcome in Outcome if outcome is not Outcome.LEASE_LOST)


@dataclass(frozen=True)
class Attempt:
    """What became of one item."""

    item: QueueItem
    outcome: Outcome
    exception: BaseException | None
    #: From the decision to its storage.
    seconds: float


class Execution:
    """Executes the items of one queue.

    Arguments:
        holding: holds the items.
        policy: "abort", "delete" or "dead"; None: the queue's ``error`` option.
        stop: set when tasks should return soon.
        reporter: gets what tasks report.
    """

    def __init__(
        self,
        holding: Holding,
        *,
        policy: str | None = None,
        stop: threading.Event | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        self._queue: BatchQueue = holding.queue
        self._holding = holding
        self._policy = policy
        self._stop = stop
        self._reporter = reporter
        check_handler(self._queue)

    def run(self, item: QueueItem) -> Attempt:
        """Execute ``item`` and carry its outcome out. An interrupt gives the item back and passes on."""
        began = time.monotonic()
        context = TaskContext(self._queue, item, self._holding, self._stop, self._reporter)
        exception: BaseException | None = None
        if not self._holding.begin(item):
            self._holding.drop(item)
            return Attempt(item, Outcome.LEASE_LOST, LeaseLost(f"item {item.id} was taken over"), 0.0)
        try:
            self._call(item, context)
        except (Exception, SystemExit) as error:  # a task that calls sys.exit() has failed, not we
            exception = error
        outcome, exception = self._settle(item, context, exception)
        self._holding.drop(item)
        if item_finished.receivers:
            item_finished.answers(self._queue, item=item, outcome=outcome, exception=exception)
        return Attempt(item, outcome, exception, time.monotonic() - began)

    def give_up(self, item: QueueItem) -> Attempt:
        """The task took too long and will be ended together with its process: decide as if it had said so itself."""
        context = TaskContext(self._queue, item, self._holding, self._stop, self._reporter)
        outcome, exception = self._settle(item, context, self._timeout())
        self._holding.drop(item)
        item_finished.answers(self._queue, item=item, outcome=outcome, exception=exception)
        return Attempt(item, outcome, exception, self._queue.spec.lease_time)

    def _timeout(self) -> TaskTimeout:
        return TaskTimeout(
            f"the task took longer than lease_time ({self._queue.spec.lease_time:g} s) without reporting: "
            "call ctx.report() or ctx.heartbeat(), or raise lease_time"
        )

    def _call(self, item: QueueItem, context: TaskContext) -> None:
        call = self._prepare(item, context)
        self._refuse_exhausted(item)
        if call() is False:
            raise TaskFailed("the task returned False")
        if not context.is_completed and self._holding.is_overdue(item):
            raise self._timeout()

    def _prepare(self, item: QueueItem, context: TaskContext) -> Callable[[], Any]:
        data, payload = item.data, self._queue.spec.payload or TASK_PAYLOAD
        if payload != TASK_PAYLOAD:
            handler = self._queue.settings.handlers[payload]
            return lambda: handler(context, data)
        if not isinstance(data, Task):
            raise CallbackRefused(
                "the item is plain data, not a Task: consume it with claim_item(), or give the queue a payload handler"
            )
        callback = self._queue.settings.allow.load(data.callback)
        if data.run_as is not None:
            self._check_identity(data)
        return lambda: callback(context, *data.args, **data.kwargs)

    def _check_identity(self, task: Task) -> None:
        identity = self._queue.settings.identity
        if identity is None:
            raise ConfigurationError("the task has run_as, but the service has no identity= hook to check it")
        if identity(task.run_as or {}) is False:
            raise TaskFailed(f"the identity hook refused to run the task as {task.run_as!r}")

    def _refuse_exhausted(self, item: QueueItem) -> None:
        limit = self._queue.settings.interrupt_limit
        if item.interruptions >= limit:
            raise TaskFailed(f"worker lost {item.interruptions} times")

    # --- the outcome ---

    def _settle(
        self, item: QueueItem, context: TaskContext, exception: BaseException | None
    ) -> tuple[Outcome, BaseException | None]:
        if context.is_completed:
            if exception is not None:
                context.log.error(
                    "failed after its transaction had been committed, and counts as done: %s",
                    error_text(exception),
                    exc_info=exception,
                )
            return Outcome.OK, None
        outcome = self._decide(item, context, exception)
        if outcome is not Outcome.OK:
            self._log_failure(item, outcome, exception)
        if outcome is Outcome.LEASE_LOST:
            return outcome, exception
        if outcome is Outcome.ABORT:
            standing = self._queue.fetch_item(item.id)
            if standing is None or standing.fence != item.fence:  # it is somebody else's to abort the queue
                return self._dropped(context, outcome), exception
            # Before the item becomes ready again, so that nobody claims it in between.
            self._queue.set_status("aborted")
        if self._queue.settle([item], self._settlement(item, context, outcome, exception)):
            return self._dropped(context, outcome), exception
        return outcome, exception

    def _dropped(self, context: TaskContext, outcome: Outcome) -> Outcome:
        context.log.warning("lost its lease: the outcome %s was dropped", outcome)
        return Outcome.LEASE_LOST

    def _decide(self, item: QueueItem, context: TaskContext, exception: BaseException | None) -> Outcome:
        if exception is None:
            return Outcome.OK
        if isinstance(exception, LeaseLost) and (context.is_lost or self._holding.is_lost(item)):
            return Outcome.LEASE_LOST
        if self._is_interrupted(context, exception):
            return Outcome.RETRY
        if isinstance(exception, PayloadTooNew):
            return Outcome.RELINQUISH
        if isinstance(exception, (PayloadError, CallbackRefused)):
            outcome = Outcome.DEAD
        elif item.failures < self._queue.spec.retry_limit:
            outcome = Outcome.RETRY
        else:
            outcome = Outcome(self._policy or self._queue.spec.policy)
        return self._ask_hook(item, outcome, exception)

    def _is_interrupted(self, context: TaskContext, exception: BaseException | None) -> bool:
        """Whether the database went away under the task's own transaction: no fault of the task."""
        return context.is_open and isinstance(exception, (DatabaseUnavailable, OutcomeUnknown))

    def _ask_hook(self, item: QueueItem, outcome: Outcome, exception: BaseException) -> Outcome:
        for answer in task_error.answers(self._queue, item=item, outcome=outcome, exception=exception):
            if answer in _ANSWERS:
                outcome = Outcome(answer)
            else:
                _log.error("task_error answered %r, which is none of %s: ignored", answer, ", ".join(_ANSWERS))
        return outcome

    def _settlement(
        self, item: QueueItem, context: TaskContext, outcome: Outcome, exception: BaseException | None
    ) -> Settlement:
        if outcome is Outcome.OK:
            return settlement.DONE
        error = error_text(exception)
        if outcome is Outcome.RETRY and self._is_interrupted(context, exception):
            return settlement.interrupt(error)
        if outcome is Outcome.RETRY:
            return settlement.retry(self._pause(item), error)
        if outcome is Outcome.RELINQUISH:
            return settlement.release(_TOO_NEW_PAUSE * 1000)
        return {Outcome.ABORT: settlement.abort, Outcome.DELETE: settlement.delete}.get(outcome, settlement.bury)(error)

    def _pause(self, item: QueueItem) -> int:
        spec = self._queue.spec
        seconds = spec.retry_delay(item.failures + 1)
        if spec.retry_backoff > 1:  # many that failed together must not come back together
            seconds *= random.uniform(1, 1 + _JITTER)  # noqa: S311  (jitter, not a secret)
        return clock.to_ms(seconds)

    def _log_failure(self, item: QueueItem, outcome: Outcome, exception: BaseException | None) -> None:
        expected = isinstance(exception, (PayloadError, CallbackRefused, TaskFailed, LeaseLost))
        where = f"{self._queue.name} #{item.id} attempt {item.failures + 1}"
        _log.warning("[%s] %s: %s", where, outcome, error_text(exception), exc_info=None if expected else exception)


def check_handler(queue: BatchQueue) -> None:
    """Raise :class:`ConfigurationError` when nobody in this process can run the queue's payload."""
    payload = queue.spec.payload or TASK_PAYLOAD
    if payload != TASK_PAYLOAD and payload not in queue.settings.handlers:
        raise ConfigurationError(
            f"queue {queue.name!r} has payload {payload!r}, for which no handler is registered here: "
            f"register one with @service.handler({payload!r})"
        )


def error_text(exception: BaseException | None) -> str:
    """What is stored of a failure: its type and message, fit for every database."""
    if exception is None:
        return ""
    message = str(exception)
    text = message if isinstance(exception, (TaskFailed, PayloadError, CallbackRefused)) else (
        f"{type(exception).__name__}: {message}" if message else type(exception).__name__
    )  # fmt: skip
    text = storable(text)
    return text if len(text) <= _ERROR_LENGTH else text[:_ERROR_LENGTH] + " …"
