"""The one place where time comes from, so that tests can move it.

What is stored is measured by the database's own clock (see ``storage.dialects``); ``Memory`` queues and
waiting use the functions here. ``travel`` shifts both, in this process only.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
# Wall time is read once; from then on the monotonic clock counts, so that a step of the host's clock
# neither ends leases nor prolongs them.
_origin_ms = time.time_ns() // 1_000_000 - time.monotonic_ns() // 1_000_000
#: By how many milliseconds ``travel`` has moved the time of this process; nobody else sets it.
shift_ms = 0


def now_ms() -> int:
    """Milliseconds since 1970 (UTC), never stepping back, shifted by ``travel``."""
    return _origin_ms + time.monotonic_ns() // 1_000_000 + shift_ms


@contextmanager
def travel(delta: float | timedelta) -> Iterator[None]:
    """Let every clock of this process stand ``delta`` (seconds or a timedelta) later inside the block."""
    global shift_ms
    before = shift_ms
    shift_ms = before + to_ms(delta)
    try:
        yield
    finally:
        shift_ms = before


def to_ms(delta: float | timedelta) -> int:
    """Seconds or a timedelta as whole milliseconds."""
    seconds = delta.total_seconds() if isinstance(delta, timedelta) else delta
    return round(seconds * 1000)


@lru_cache(1024)  # what is leased or put in together has the same
def from_ms(moment: int) -> datetime:
    """A stored moment (milliseconds since 1970) as an aware UTC datetime; one that no calendar has as the last."""
    try:
        return _EPOCH + timedelta(milliseconds=moment)
    except OverflowError:
        return datetime.max.replace(tzinfo=timezone.utc)


def iso(moment: datetime, timespec: str = "auto") -> str:
    """A moment in UTC as ISO 8601 has it, ending in "Z"; ``timespec`` as :meth:`datetime.isoformat` takes it."""
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")


def moment_ms(moment: datetime) -> int:
    """An aware datetime as milliseconds since 1970."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)
