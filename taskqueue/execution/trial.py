"""One item in hand: how the attempt at it has gone so far."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import LeaseLost, TaskFailed, TaskQueueError, TaskTimeout
from ..item import QueueItem
from ..spec import shown
from .context import TaskContext
from .holding import Holding


@dataclass
class Trial:
    """An attempt under way."""

    item: QueueItem
    context: TaskContext
    holding: Holding
    #: When it began (monotonic seconds).
    began: float = field(default_factory=time.monotonic)
    #: Why the attempt has failed.
    exception: BaseException | None = None
    #: What the call returned, packed, if that is kept.
    result: str | None = None
    #: Whether its completion is committed later, together with others.
    is_grouped: bool = False

    def admit(self) -> None:
        """Begin; raises what forbids that."""
        if not self.holding.begin(self.item):
            raise self._lost()
        if self.item.is_cancelled:
            raise TaskFailed("cancelled before it was executed")

    def refuse_exhausted(self) -> None:
        """Raise :class:`TaskFailed` when too many holders of the item were lost."""
        if self.item.interruptions >= self.holding.queue.settings.interrupt_limit:
            raise TaskFailed(f"worker lost {self.item.interruptions} times")

    def void(self) -> TaskQueueError | None:
        """Why it makes no sense to go on, or None."""
        if self.context.is_completed:
            return None
        if self.holding.is_lost(self.item):
            return self._lost()
        if self.holding.is_cancelled(self.item):
            return TaskFailed("cancelled while it was executed")
        return self.timeout() if self.holding.is_overdue(self.item) else None

    def accept(self, value: Any) -> None:
        """The call has returned ``value``, an exception if it was one of many; raises when that is no success.

        A value that shall be kept and cannot be stored is none.
        """
        if isinstance(value, BaseException):
            raise value
        if value is False:
            raise TaskFailed("the task returned False")
        if not self.context.is_completed and self.holding.is_overdue(self.item):
            raise self.timeout()
        if self.holding.queue.spec.keep_result is not None:
            self._keep(value)

    def _keep(self, value: Any) -> None:
        queue = self.holding.queue
        if self.context.is_completed:
            if not self.context.is_result_kept:  # too late to store it together with the completion
                queue.store_result(self.item, value)
        else:
            self.result = queue.pack_result(self.item, value)

    def _lost(self) -> LeaseLost:
        error = LeaseLost(f"item {self.item.id} was taken over, or its lease has ended")
        error.item = self.item
        return error

    def timeout(self) -> TaskTimeout:
        """What is said when the task took too long."""
        seconds = self.holding.queue.spec.lease_time
        return TaskTimeout(
            f"the task took longer than lease_time ({seconds:g} s) without reporting: call ctx.report() or "
            "ctx.heartbeat(), or raise lease_time"
        )


def void(trials: Sequence[Trial]) -> TaskQueueError | None:
    """Why it makes no sense to go on with a call for many items, or None as long as it does for one of them."""
    reasons = [trial.void() for trial in trials]
    return reasons[0] if None not in reasons else None


def answers_for(trials: Sequence[Trial], value: Any) -> list[Any]:
    """The answer of a batch handler to each item. Raises :class:`TaskFailed` when there are more or fewer."""
    if value is None:
        return [None] * len(trials)
    if isinstance(value, (list, tuple)) and len(value) == len(trials):
        return list(value)
    told = f"{len(value)} answers" if isinstance(value, (list, tuple)) else shown(value)
    raise TaskFailed(f"the handler returned {told} for {len(trials)} items: return None, or one answer for each")
