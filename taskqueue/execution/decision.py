"""What becomes of an item after an attempt: the outcome, and how it is carried out.

The order: what was completed stays so; whoever lost the lease has nothing to say; an interruption is no failure; what
the task asked for by a verdict; what may not run is dead; a failure is retried while attempts remain, else the error
policy decides; an item that was cancelled goes instead of any of these; then ``task_error`` may change the outcome.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .. import clock
from ..errors import (
    CallbackRefused,
    DatabaseUnavailable,
    ExecutorLost,
    LeaseLost,
    OutcomeUnknown,
    PayloadError,
    PayloadTooNew,
    TaskFailed,
    TaskQueueError,
)
from ..interrupts import let_interrupt_pass
from ..item import QueueItem
from ..outcome import Outcome
from ..queues import settlement
from ..queues.base import NewItem
from ..queues.batch import BatchQueue
from ..queues.settlement import Settlement
from ..settings import Handler
from ..signals import task_error
from ..verdicts import Later, Retry, is_unrecoverable
from .failure import error_text, told_of, traceback_text
from .trial import Trial

_log = logging.getLogger(__name__)
#: Seconds after which an item of a newer format is offered again.
_TOO_NEW_PAUSE = 60
_JITTER = 0.1
#: What the handler of a payload may ask for at most, in seconds.
_LONGEST_PAUSE = 366 * 86_400.0
#: What a receiver of ``task_error`` may turn the outcome into.
_ANSWERS = tuple(outcome.value for outcome in Outcome if outcome is not Outcome.LEASE_LOST)
#: Outcomes that say nothing about the task, and that no receiver is asked about.
_NO_FAILURE = (Outcome.OK, Outcome.LEASE_LOST, Outcome.RELINQUISH, Outcome.CANCELLED)


@dataclass(frozen=True)
class Decision:
    """Decides for the items of one queue.

    Arguments:
        policy: "abort", "delete" or "dead"; None: the queue's ``error`` option.
    """

    queue: BatchQueue
    policy: str | None = None

    def made(self, trial: Trial) -> tuple[Outcome, Settlement | None]:
        """How the attempt has ended, and how that is carried out; None: not at all, the lease is lost.

        A failure that cannot be judged, because its exception is of an odd make, is replaced by one that can be: else
        the item would be executed for ever.
        """
        if trial.exception is None:
            return Outcome.OK, _done(trial)
        try:
            return self._made(trial)
        except TaskQueueError:  # the database does not answer
            raise
        except BaseException as error:
            let_interrupt_pass(error)
            kind = type(trial.exception).__name__
            _log.exception("[%s #%s] %s could not be judged", self.queue.name, trial.item.id, kind)
            trial.exception = TaskFailed(f"{kind}, which could not be judged: {error_text(error)}")
            return self._made(trial)

    def _made(self, trial: Trial) -> tuple[Outcome, Settlement | None]:
        outcome = self.outcome(trial)
        return outcome, self.settlement(trial, outcome) if outcome is not Outcome.LEASE_LOST else None

    # --- the outcome ---

    def outcome(self, trial: Trial) -> Outcome:
        """How the attempt has ended, unless its lease turns out to be lost."""
        if trial.context.is_completed:
            return Outcome.OK
        outcome = self._outcome(trial)
        if outcome not in (Outcome.OK, Outcome.LEASE_LOST):
            outcome = self._standing(trial, outcome)
        if outcome in _NO_FAILURE or self.is_interrupted(trial):
            return outcome
        return self._ask(trial, outcome)

    def _outcome(self, trial: Trial) -> Outcome:
        exception = trial.exception
        if exception is None:
            return Outcome.OK
        if isinstance(exception, LeaseLost) and (trial.context.is_lost or trial.holding.is_lost(trial.item)):
            return Outcome.LEASE_LOST
        if self.is_interrupted(trial):
            return Outcome.RETRY
        if isinstance(exception, (PayloadTooNew, Later)) or trial.context.is_told_to_stop:
            return Outcome.RELINQUISH
        if isinstance(exception, (PayloadError, CallbackRefused)):
            return Outcome.DEAD
        if not is_unrecoverable(exception) and self._has_attempts_left(trial):
            return Outcome.RETRY
        return Outcome(self.policy or self.queue.spec.policy)

    def _has_attempts_left(self, trial: Trial) -> bool:
        if self._has_own_pause:
            return self._own_pause(trial) is not None
        return trial.item.failures < self.queue.spec.retry_limit

    def is_interrupted(self, trial: Trial) -> bool:
        """Whether what the attempt needed went away under it, by no fault of the task."""
        if isinstance(trial.exception, ExecutorLost):
            return True
        return trial.context.is_open and isinstance(trial.exception, (DatabaseUnavailable, OutcomeUnknown))

    def is_mine(self, item: QueueItem) -> bool:
        """Whether nobody has taken the item over, as its row says now."""
        standing = self.queue.fetch_item(item.id)
        return standing is not None and standing.fence == item.fence

    def _standing(self, trial: Trial, outcome: Outcome) -> Outcome:
        """The outcome as the row sees it: others may have taken or cancelled the item meanwhile."""
        standing = self.queue.fetch_item(trial.item.id)
        if standing is None or standing.fence != trial.item.fence:
            return Outcome.LEASE_LOST
        return Outcome.CANCELLED if standing.is_cancelled else outcome

    def _ask(self, trial: Trial, outcome: Outcome) -> Outcome:
        for answer in task_error.answers(self.queue, item=trial.item, outcome=outcome, exception=trial.exception):
            if answer in _ANSWERS:
                outcome = Outcome(answer)
            else:
                _log.error("task_error answered %r, which is none of %s: ignored", answer, ", ".join(_ANSWERS))
        return outcome

    # --- what the handler of the payload says; if it fails, the item must not be executed for ever ---

    @property
    def _handler(self) -> Handler | None:
        return self.queue.settings.handlers.get(self.queue.spec.payload or "")

    @property
    def _has_own_pause(self) -> bool:
        return self._handler is not None and self._handler.pause is not None

    def _own_pause(self, trial: Trial) -> int | None:
        """Milliseconds until the item is tried again; None: its attempts are used up.

        They count as used up when the handler cannot say: its rule stands in place of the queue's retry options, which
        nobody has chosen then, and what is kept as a dead letter can be revived once the rule is mended.
        """
        assert self._handler is not None and self._handler.pause is not None  # noqa: S101  (asked before)
        try:
            seconds = self._handler.pause(trial.item, trial.exception)
            return None if seconds is None else clock.to_ms(min(max(seconds, 0.0), _LONGEST_PAUSE))
        except BaseException as error:
            self._complain("pause", error)
            return None

    def _followers(self, trial: Trial) -> Sequence[NewItem]:
        if self._handler is None or self._handler.follow is None:
            return ()
        try:
            return self._handler.follow(trial.item, trial.exception)
        except BaseException as error:
            self._complain("follow", error)
            return ()

    def _complain(self, rule: str, error: BaseException) -> None:
        let_interrupt_pass(error)
        _log.error("queue %s: the rule %r of its handler has failed: %s", self.queue.name, rule, error_text(error),
                   exc_info=told_of(error))  # fmt: skip

    # --- how it is carried out ---

    def settlement(self, trial: Trial, outcome: Outcome) -> Settlement:
        """How the item leaves our hands."""
        if outcome is Outcome.OK:
            return _done(trial)
        error, trace = self.told(trial)
        if outcome is Outcome.RETRY and self.is_interrupted(trial):
            return settlement.interrupt(error)
        if outcome is Outcome.RETRY:
            return settlement.retry(self._pause(trial), error, trace)
        if outcome is Outcome.RELINQUISH:
            return self._put_back(trial)
        end = _FOR_GOOD[outcome](error, trace)
        return end if end.stays else replace(end, followers=self._followers(trial))

    def told(self, trial: Trial) -> tuple[str, str | None]:
        """What may be written down of the failure: its text, and its traceback or None."""
        if self._handler is None or self._handler.tell is None:
            return error_text(trial.exception), traceback_text(trial.exception)
        try:
            return self._handler.tell(trial.item, trial.exception)
        except BaseException as error:
            self._complain("tell", error)
            return type(trial.exception).__name__, None  # perhaps nothing else may be told

    def _put_back(self, trial: Trial) -> Settlement:
        if isinstance(trial.exception, Later):
            return replace(settlement.RELINQUISH, delay=clock.to_ms(trial.exception.after))
        if isinstance(trial.exception, PayloadTooNew):
            return settlement.release(_TOO_NEW_PAUSE * 1000)
        return settlement.RELINQUISH  # it was told to stop, and did

    def _pause(self, trial: Trial) -> int:
        if isinstance(trial.exception, Retry) and trial.exception.after is not None:
            return clock.to_ms(trial.exception.after)
        if self._has_own_pause:
            return self._own_pause(trial) or 0
        spec = self.queue.spec
        seconds = spec.retry_delay(trial.item.failures + 1)
        if spec.retry_backoff > 1:  # many that failed together must not come back together
            seconds *= random.uniform(1, 1 + _JITTER)  # noqa: S311  (jitter, not a secret)
        return clock.to_ms(seconds)


def _done(trial: Trial) -> Settlement:
    return settlement.DONE if trial.result is None else replace(settlement.DONE, result=trial.result)


_FOR_GOOD = {
    Outcome.ABORT: settlement.abort,
    Outcome.DELETE: settlement.delete,
    Outcome.DEAD: settlement.bury,
    Outcome.CANCELLED: lambda error, _trace: settlement.cancel(error),
}
