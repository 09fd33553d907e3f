"""How humans write spans of time."""

from __future__ import annotations

import re
from datetime import timedelta

from .errors import SpecError

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|[smhdw])\s*")


def seconds_of(duration: float | timedelta | str, what: str) -> float:
    """Seconds of a number, a timedelta, or a text as "90s", "10m", "1h", "2d", "250ms". Raises :class:`SpecError`."""
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    if isinstance(duration, (int, float)) and not isinstance(duration, bool) and duration >= 0:
        try:
            return float(duration)
        except OverflowError:
            raise SpecError(f"{what} is longer than any span of time") from None
    found = _DURATION.fullmatch(duration) if isinstance(duration, str) else None
    if found is None:
        raise SpecError(
            f"{what} must be seconds, a timedelta, or a text as '90s', '10m' or '1h', not {repr(duration)[:80]}"
        )
    return float(found[1]) * _UNITS[found[2]]
