"""How much one user may have recorded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from ..durations import seconds_of
from ..errors import SpecError
from ..spec import shown
from ..storage import operations as stored
from ..storage.transaction import Transaction
from .problems import TooManyCalls

#: When one of too many waiting calls may have ended (seconds).
_LOOK_AGAIN = 5.0
#: Milliseconds.
_LONGEST_WINDOW = 366 * 86_400_000


@dataclass(frozen=True)
class Limits:
    """What one user may have recorded of one operation. Nobody in particular (a user without id) counts as one user.

    Deferred calls are recorded, and direct ones with an idempotency key; repeating a key records nothing. Requests at
    the same moment may exceed a limit by their number.

    Arguments:
        pending: so many calls may wait or run at a time; those that have ended, be it dead, do not count. Owners who
            retry theirs are held to it, administrators are not.
        rate: so many calls may be recorded ``per`` time (seconds, a timedelta or a text as "1h", at most a year). Calls
            that were forgotten do not count.

    Raises :class:`SpecError`.
    """

    pending: int | None = None
    rate: int | None = None
    per: float | timedelta | str = "1h"

    def __post_init__(self) -> None:
        for name in ("pending", "rate"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise SpecError(f"{name} must be a whole number of at least 1, not {shown(value)}")
        if not 1 <= seconds_of(self.per, "per") * 1000 <= _LONGEST_WINDOW:
            raise SpecError(f"per must be more than 0 seconds and at most a year, not {shown(self.per)}")

    @property
    def window(self) -> int:
        """``per``, in milliseconds."""
        return round(seconds_of(self.per, "per") * 1000)

    def check(self, tx: Transaction, owner: str, name: str) -> None:
        """Raise :class:`TooManyCalls` when one more is too many."""
        self.check_pending(tx, owner, name)
        wait = stored.wait_for_rate(tx, owner, name, self.rate, self.window) if self.rate is not None else None
        if wait is not None:
            raise TooManyCalls(
                f"this user has made {self.rate} calls of {name} within {self.window / 1000:g} s: try again later",
                wait / 1000,
            )

    def check_pending(self, tx: Transaction, owner: str, name: str) -> None:
        """The same of those that wait or run alone: one that is on record begins anew."""
        if self.pending is not None and stored.pending(tx, owner, name, self.pending) >= self.pending:
            raise TooManyCalls(
                f"{self.pending} calls of {name} by this user wait or run already: try again when one has ended",
                _LOOK_AGAIN,
            )
