"""An answer that is given again for a while, to whoever asks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
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


class KeptByName(Generic[Answer]):
    """The same for many names: ``look`` gets those that are missing, or older than ``for_ms`` milliseconds, together.

    What ``look`` leaves out is not there.
    """

    def __init__(self, look: Callable[[list[str]], dict[str, Answer]], for_ms: int) -> None:
        self._look = look
        self._for = for_ms
        self._lock = threading.Lock()
        self._found: dict[str, tuple[int, Answer]] = {}
        inherit(self)

    def forget_parent(self) -> None:
        """In a forked child: nobody holds the lock."""
        self._lock = threading.Lock()

    def get(self, names: Sequence[str]) -> dict[str, Answer]:
        """The answers, in the order of the names."""
        with self._lock:
            now = clock.now_ms()
            self._found = {name: each for name, each in self._found.items() if 0 <= now - each[0] < self._for}
            if missing := [name for name in names if name not in self._found]:
                answers = self._look(missing)
                now = clock.now_ms()
                self._found |= {name: (now, answer) for name, answer in answers.items()}
            return {name: self._found[name][1] for name in names if name in self._found}
