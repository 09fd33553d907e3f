"""Ctrl-C and SIGTERM while a queue is run: first in good order, then at once, never with an item left leased."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import FrameType, TracebackType
from typing import Any

from ..execution.attempt import Execution

_STOPPING = (signal.SIGINT, signal.SIGTERM)
#: An interrupt that must wait is tried again so often (seconds).
_TICK = 0.05


class Interrupts:
    """A context manager that holds the signal handlers of the process meanwhile, for its main thread.

    The first signal calls ``stop``: the task in hand sees ``ctx.should_stop`` and may end by itself. The next signal,
    or the end of the grace period, raises KeyboardInterrupt in the task. Not elsewhere: between tasks the run ends by
    itself, and whoever interrupted it while it gives its items back would leave them leased.
    """

    def __init__(self, stop: Callable[[], None], grace: float) -> None:
        self._stop = stop
        self._grace = grace
        #: The signal that came first, or None.
        self.signal: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}
        # stop() takes a lock that the interrupted thread may hold, so another thread calls it; put() takes none.
        self._asked: SimpleQueue[bool] = SimpleQueue()
        self._thread = threading.Thread(target=self._wait, name="taskqueue-stop", daemon=True)

    def __enter__(self) -> Interrupts:
        self._thread.start()
        for number in _STOPPING:
            self._before[number] = signal.signal(number, self._stopped)
        self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._asked.put(False)
        self._thread.join()

    def _wait(self) -> None:
        if self._asked.get():
            self._stop()

    def _stopped(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            self._interrupt(number, frame)
            return
        self.signal = signal.Signals(number)
        self._asked.put(True)
        signal.setitimer(signal.ITIMER_REAL, max(self._grace, _TICK))

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if not _is_executing(frame):
            signal.setitimer(signal.ITIMER_REAL, _TICK)
            return
        # A task that swallows the interrupt gets the next one after another grace period.
        signal.setitimer(signal.ITIMER_REAL, max(self._grace, _TICK))
        raise KeyboardInterrupt


def _is_executing(frame: FrameType | None) -> bool:
    """Whether the thread is in the middle of an attempt."""
    while frame is not None:
        if frame.f_code is Execution.run.__code__:
            return True
        frame = frame.f_back
    return False
