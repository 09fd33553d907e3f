"""What a server's clock says at this moment, as far as that can be known without asking it."""

from __future__ import annotations

import math
import time

from .. import clock

#: What the server has said counts for so long (seconds); when it did not agree, nothing does for that long.
_KNOWN_FOR = 1.0
#: A moment is taken for so much earlier (ms): one that has not come yet would be refused.
_EARLY = 1


class ServerClock:
    """The server's clock: what it has said last, and how long ago it was asked by our monotonic one.

    A guess: who stores it lets the server compare it with its own clock.
    """

    def __init__(self) -> None:
        #: What has to be added to our monotonic clock (ms), until when that counts, and from when it may again
        #: (monotonic seconds).
        self._offset = 0
        self._until = self._rests = -math.inf

    def read(self) -> int | None:
        """Milliseconds since 1970, moved by :func:`clock.travel`; None: the server has to be asked."""
        now = time.monotonic()
        return int(now * 1000) + self._offset + clock.shift_ms if now < self._until else None

    def told(self, moment: int, asked: float) -> None:
        """The server says this moment (ms), moved by ``clock.travel``, of when it got what was sent at ``asked``
        (monotonic seconds). It may have answered much later."""
        if asked >= self._rests:
            self._offset = moment - clock.shift_ms - math.ceil(asked * 1000) - _EARLY
            self._until = asked + _KNOWN_FOR

    def refused(self) -> None:
        """The server says otherwise: its clock was set, or several servers with different ones answer in turns."""
        self._until, self._rests = -math.inf, time.monotonic() + _KNOWN_FOR
