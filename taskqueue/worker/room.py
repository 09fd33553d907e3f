"""Where the threads of one process are at work: all at the same time, or one alone with what may end them all."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

#: For so long (seconds) others wait for who is alone, and who has to be alone for them; then all go on as they are.
PATIENCE = 30.0


class Room:
    """Who has to be alone waits until the others have left, and nobody comes in meanwhile."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._beside = self._alone = self._waiting = 0

    @contextmanager
    def entered(self, *, alone: bool, patience: float = PATIENCE) -> Iterator[None]:
        """Be inside, alone or beside others."""
        with self._changed:
            self._come(alone, time.monotonic() + patience)
        try:
            yield
        finally:
            with self._changed:
                self._alone -= alone
                self._beside -= not alone
                self._changed.notify_all()

    def _come(self, alone: bool, give_up: float) -> None:
        self._waiting += alone
        while self._alone or (self._beside if alone else self._waiting):
            left = give_up - time.monotonic()
            if left <= 0:
                break
            self._changed.wait(left)
        self._waiting -= alone
        self._alone += alone
        self._beside += not alone
