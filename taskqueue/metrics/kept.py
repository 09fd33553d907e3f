"""An answer that is given again for a while, to whoever asks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from .. import clock
from ..forks import inherit

Answer = TypeVar("Answer")


class Kept(Generic[Answer]):
    """What ``look`` has found, looked for anew when it is older than ``for_ms`` milliseconds.

    Those who ask at the same time get the same answer; when ``look`` raises, the next one looks again.
    """

    def __init__(self, look: Callable[[], Answer], for_ms: int) -> None:
        self._look = look
        self._for = for_ms
        self._lock = threading.Lock()
        self._found: tuple[int, Answer] | None = None
        inherit(self)

    def forget_parent(self) -> None:
        """In a forked child: nobody holds the lock."""
        self._lock = threading.Lock()

    def get(self) -> Answer:
        """The answer."""
        with self._lock:
            if self._found is None or not 0 <= clock.now_ms() - self._found[0] < self._for:
                self._found = None
                answer = self._look()
                self._found = clock.now_ms(), answer
            return self._found[1]
