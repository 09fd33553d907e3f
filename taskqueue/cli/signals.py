"""Ctrl-C and SIGTERM while a queue is run: first in good order, then at once, never with an item left leased."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from ..execution.attempt import Execution

#: What a signal's number is added to, for the exit code.
BY_SIGNAL = 128
_STOPPING = (signal.SIGINT, signal.SIGTERM)
#: So often (seconds) the clock is looked at once a stop was asked for.
_TICK = 0.1
#: A task that swallows the interrupt gets the next one so much later (seconds).
_AGAIN = 10.0
_ATTEMPTS = (Execution.run.__code__, Execution.run_batch.__code__)
_active: Interrupts | None = None
_mask: set[int] = set()


def _before_fork() -> None:
    """Until the child has its own handlers back, no signal may reach it: it would be taken for one of ours."""
    global _mask
    if _active is not None:
        _mask = set(signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING))


def _in_parent() -> None:
    if _active is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, _mask)


def _in_child() -> None:
    global _active
    if _active is not None:
        _active.leave_to_parent()
        _active = None
        signal.pthread_sigmask(signal.SIG_SETMASK, _mask)


os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)


class Interrupts:
    """A context manager that holds the signal handlers of the process meanwhile; for its main thread.

    The first signal calls ``stop``: the task in hand sees ``ctx.should_stop`` and may end by itself. The next signal,
    or the end of the grace period, raises KeyboardInterrupt in the task. Not elsewhere: between tasks the run ends by
    itself, and whoever interrupted it while it gives its items back would leave them leased.
    """

    def __init__(self, stop: Callable[[], None], grace: float) -> None:
        self._stop = stop
        self._grace = grace
        #: The signal that came first, or None.
        self.signal: signal.Signals | None = None
        self._deadline = math.inf
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        # stop() takes a lock that the interrupted thread may hold, so another thread has to call it.
        self._thread = threading.Thread(target=self._listen, name="taskqueue-stop", daemon=True)
        self._thread.start()
        for number in (signal.SIGALRM, *_STOPPING):
            self._before[number] = signal.signal(number, self._look)
        global _active
        _active = self
        self._wakeup_before = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        return self

    @property
    def is_over(self) -> bool:
        """Whether the grace period has ended, by itself or by a second signal."""
        return time.monotonic() >= self._deadline

    def leave_to_parent(self) -> None:
        """In a forked child: signals do what they did before, and do not reach the pipe of the parent."""
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._reading)
        os.close(self._writing)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        global _active
        _active = None
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._writing)
        self._thread.join()  # before the timer is stopped: this thread may just be starting it
        os.close(self._reading)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _listen(self) -> None:
        """Another thread, which hears of each signal even while the main thread is deep in a system call."""
        while number := os.read(self._reading, 1):
            if number[0] not in _STOPPING:
                continue
            if self.signal is not None:
                self._deadline = time.monotonic()
                continue
            self.signal = signal.Signals(number[0])
            self._deadline = time.monotonic() + self._grace
            # Each tick gets the main thread out of its system call, to look at the deadline.
            signal.setitimer(signal.ITIMER_REAL, _TICK, _TICK)
            self._stop()

    def _look(self, number: int, frame: FrameType | None) -> None:
        """The handler of all signals: one of them or a tick has come."""
        if time.monotonic() >= self._deadline and _is_executing(frame):
            self._deadline = time.monotonic() + _AGAIN
            raise KeyboardInterrupt


def _is_executing(frame: FrameType | None) -> bool:
    """Whether the thread is in the middle of an attempt."""
    while frame is not None:
        if frame.f_code in _ATTEMPTS:
            return True
        frame = frame.f_back
    return False
