"""How often and how soon a message or an operation is tried again."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from .errors import SpecError
from .spec import nearest, shown


@dataclass(frozen=True)
class RetryPolicy:
    """After the n-th failure it waits ``base ** n - 1`` seconds, at most ``cap``.

    Arguments:
        attempts: how often it is tried in all before it is dead.
        base: the growth of the pause, more than 1.
        cap: the longest pause, in seconds.
        jitter: a pause is up to this share longer, by chance, so that many that failed together do not come back
            together.

    Raises :class:`SpecError`.
    """

    attempts: int = 30
    base: float = 1.5
    cap: float = 600.0
    jitter: float = 0.1

    def __post_init__(self) -> None:
        if not isinstance(self.attempts, int) or isinstance(self.attempts, bool) or self.attempts < 1:
            raise SpecError(f"attempts must be a whole number of at least 1, not {shown(self.attempts)}")
        for name, least in (("base", 1.0), ("cap", 0.0), ("jitter", 0.0)):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not value >= least:
                raise SpecError(f"{name} must be a number of at least {least:g}, not {shown(value)}")
        if self.jitter > 1:
            raise SpecError(f"jitter must be a number from 0 to 1, a share of the pause, not {shown(self.jitter)}")

    def pause(self, failures: int) -> float | None:
        """Seconds to wait after the ``failures``-th failure; None when that was the last attempt."""
        if failures >= self.attempts:
            return None
        try:
            seconds = min(self.base**failures - 1, self.cap)
        except OverflowError:
            seconds = self.cap
        return seconds * random.uniform(1, 1 + self.jitter)  # noqa: S311  (jitter, not a secret)


#: Outlasts a receiver that is away for two hours.
DEFAULT = RetryPolicy()
#: The curve and the attempts of SAP CAP up to its release 9.
CAP = RetryPolicy(attempts=20, cap=1480.0, jitter=0.0)
POLICIES = {"default": DEFAULT, "cap": CAP}


def policy_of(given: Any) -> RetryPolicy:
    """A policy, or the one of that name. Raises :class:`SpecError`."""
    if isinstance(given, RetryPolicy):
        return given
    if isinstance(given, str) and given in POLICIES:
        return POLICIES[given]
    hint = nearest(given, POLICIES) if isinstance(given, str) else ""
    raise SpecError(f"retry must be a RetryPolicy or one of {', '.join(map(repr, POLICIES))}, not {shown(given)}{hint}")
