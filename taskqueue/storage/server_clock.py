"""What a server's clock says at this moment, as far as that can be known without asking it."""

from __future__ import annotations

import time

from .. import clock

#: What the server has said counts for so long (seconds), and only if its answer took no longer than this.
_KNOWN_FOR = 1.0
_AT_MOST = 0.02


class ServerClock:
    """The server's clock: what it has said last, and how long ago that was by our monotonic one.

    A guess: who stores it lets the server compare it with its own clock.
    """

    def __init__(self) -> None:
        #: What has to be added to our monotonic clock (ms), and until when that counts (monotonic seconds).
        self._offset = 0
        self._until = 0.0

    def read(self) -> int | None:
        """Milliseconds since 1970, moved by :func:`clock.travel`; None: the server has to be asked."""
        now = time.monotonic()
        return int(now * 1000) + self._offset + clock.shift_ms if now < self._until else None

    def told(self, moment: int, asked: float) -> None:
        """The server has just said this moment (ms), moved by ``clock.travel``; it was asked at ``asked`` (monotonic
        seconds)."""
        now = time.monotonic()
        if now - asked <= _AT_MOST:
            self._offset = moment - clock.shift_ms - int((asked + now) * 500)
            self._until = now + _KNOWN_FOR
