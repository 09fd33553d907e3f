"""How fast a run goes, and how long it will still take."""

from __future__ import annotations

import time
from collections import deque

#: The rate is that of the last seconds, so that it follows when tasks become slower.
_WINDOW = 15.0
_STEP = 0.5


class Pace:
    """Measured by what is told to :meth:`note`, a few times a second at most."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self._samples = deque([(self.began, 0)])

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.began

    def note(self, finished: int) -> None:
        """So many items are finished by now."""
        now = time.monotonic()
        if now - self._samples[-1][0] < _STEP:
            return
        self._samples.append((now, finished))
        while len(self._samples) > 2 and now - self._samples[0][0] > _WINDOW:
            self._samples.popleft()

    def per_second(self, finished: int) -> float:
        """Items a second of late."""
        since, before = self._samples[0]
        passed = time.monotonic() - since
        return (finished - before) / passed if passed > 0 else 0.0

    def seconds_left(self, finished: int, remaining: int) -> float | None:
        """An estimate; None when nothing can be said."""
        rate = self.per_second(finished)
        return remaining / rate if rate > 0 else None
