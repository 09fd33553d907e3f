"""Starts, when its time has come, what most of the time is called off before."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable

_log = logging.getLogger(__name__)
#: With nothing to wait for, the thread stays for so long (seconds): the next wish comes soon, or never.
_LINGER = 60.0


class Timekeeper:
    """One thread for all delayed starts of a process: a thread for each would cost more than a short task.

    What is started must return at once: others wait behind it.
    """

    def __init__(self) -> None:
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """Nothing is pending: a fork takes no threads along, and its parent keeps its promises itself."""
        self._changed = threading.Condition()
        self._pending: dict[object, tuple[float, Callable[[], None]]] = {}
        self._wakes = math.inf
        self._is_running = False

    def after(self, seconds: float, start: Callable[[], None]) -> object:
        """Call ``start()`` after so long, unless the answer is given to :meth:`call_off` before."""
        due, key = time.monotonic() + seconds, object()
        with self._changed:
            if not self._is_running:  # raises where the system gives no thread: then nothing was wished for
                threading.Thread(target=self._run, name="taskqueue-timekeeper", daemon=True).start()
                self._is_running = True
            self._pending[key] = due, start
            if due < self._wakes:
                self._changed.notify()
        return key

    def call_off(self, key: object) -> None:
        """It is not wanted any more; nothing happens if it was started already."""
        with self._changed:
            self._pending.pop(key, None)

    def _run(self) -> None:
        while True:
            with self._changed:
                due = [key for key, (moment, _start) in self._pending.items() if moment <= time.monotonic()]
                started = [self._pending.pop(key)[1] for key in due]
                if not started and not self._wait():
                    self._is_running = False
                    return
            for start in started:
                try:
                    start()
                except Exception:  # whatever it was, others wait behind it
                    _log.exception("what was to be started at its time failed")

    def _wait(self) -> bool:
        """Until the next one is due, or a sooner one comes; whether to go on."""
        self._wakes = min((moment for moment, _start in self._pending.values()), default=time.monotonic() + _LINGER)
        self._changed.wait(max(self._wakes - time.monotonic(), 0.0))
        was_idle = not self._pending and time.monotonic() >= self._wakes
        self._wakes = -math.inf  # awake: whoever comes now is seen without being told
        return not was_idle


timekeeper = Timekeeper()
