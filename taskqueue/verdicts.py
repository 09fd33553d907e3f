"""What a task may raise to say what becomes of it.

::

    def send(ctx, address):
        if not server.is_up():
            raise Retry(after=60)                      # a failure, tried again in a minute
        if not server.knows(address):
            raise Unrecoverable(f"no such address: {address}")
        if not ctx.queue.outcome_of(confirmation) == "ok":
            raise Later(300, "not confirmed yet")      # no failure: put back for five minutes

Any other exception with a true attribute ``unrecoverable`` counts as :class:`Unrecoverable` too.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from .durations import seconds_of
from .errors import SpecError, TaskFailed, TaskQueueError
from .interrupts import let_interrupt_pass

_YEAR = 366 * 86_400.0


class Retry(TaskFailed):
    """The attempt has failed; it is tried again while attempts remain.

    Arguments:
        after: seconds, a timedelta or a text as "10m" until then, instead of the queue's ``retry_interval``;
            None: as the queue says.
        reason: a sentence for humans.

    Raises :class:`SpecError` on a time that is none, negative or longer than a year.
    """

    def __init__(self, after: float | timedelta | str | None = None, reason: str = "") -> None:
        self.after = _seconds(after, "Retry") if after is not None else None
        self.reason = reason
        when = f" in {self.after:g} s" if self.after is not None else ""
        super().__init__(reason or f"the task asked to be tried again{when}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.after, self.reason)


class Unrecoverable(TaskFailed):
    """The task has failed, and another attempt would fail too: the error policy of the queue decides at once."""

    unrecoverable = True


class Later(TaskQueueError):
    """The task cannot be done yet: it is put back, and neither a failure nor an attempt is counted.

    On a sequential queue the ones behind it wait as long.

    Arguments:
        after: seconds, a timedelta or a text as "10m" until it is offered again; more than 0.
        reason: a sentence for humans.

    Raises :class:`SpecError` on a time that is none, not above 0 or longer than a year.
    """

    def __init__(self, after: float | timedelta | str, reason: str = "") -> None:
        self.after = _seconds(after, "Later")
        if not self.after:
            raise SpecError("Later(0) would be offered again at once, for ever: give the seconds to wait")
        self.reason = reason
        super().__init__(reason or f"the task asked to be put back for {self.after:g} s")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.after, self.reason)


def is_unrecoverable(exception: BaseException) -> bool:
    """Whether another attempt is of no use, as the exception itself says."""
    try:
        return getattr(exception, "unrecoverable", False) is True
    except BaseException as error:  # a property of the user's
        let_interrupt_pass(error)
        return False


def _seconds(after: float | timedelta | str, who: str) -> float:
    seconds = seconds_of(after, f"the time of {who}()")
    if 0 <= seconds <= _YEAR:
        return seconds
    raise SpecError(f"{who}() takes seconds from 0 to a year, a timedelta or a text as '10m', not {after!r}")
