"""Which queue a thread of a worker turns to next."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

from ..queues.base import Wait
from ..queues.batch import BatchQueue

#: A queue that somebody else holds is looked at again after so long (seconds): nobody tells when it is let go.
_WHEN_HELD = 0.25
#: Others may just be telling of more (see ``Database.may_call``), so that an empty queue is tried once more this soon.
_LINGER = 0.02


@dataclass
class Line:
    """A queue and what is known of it."""

    queue: BatchQueue
    #: How many threads of this worker are at it.
    threads: int = 0
    #: Nothing is to be had before this moment (monotonic seconds).
    not_before: float = -math.inf
    #: Goes up with each ring, so that one that comes while a thread finds the queue empty is not overlooked.
    rings: int = 0
    #: Seconds that one item takes, as measured in earlier turns.
    pace: float | None = None
    #: Whether nothing can be had as long as somebody else holds what they hold.
    is_held: bool = False

    @property
    def is_free(self) -> bool:
        """Whether another thread may turn to it."""
        return not (self.threads and self.queue.is_sequential)


class Rota:
    """The queues that a worker serves, in turn. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lines: dict[str, Line] = {}
        self._order: list[Line] = []
        self._changed = threading.Condition()
        self._ended = False
        self._waiting = 0

    @property
    def has_idle_threads(self) -> bool:
        """Whether a thread waits for something to do."""
        return self._waiting > 0

    def serve(self, queues: Iterable[BatchQueue]) -> None:
        """Serve these queues from now on, and no others."""
        with self._changed:
            wanted = {queue.name: queue for queue in queues}
            self._lines = {
                name: line
                if (line := self._lines.get(name)) is not None and line.queue is queue
                else Line(queue)
                for name, queue in wanted.items()
            }  # fmt: skip
            known = [line for line in self._order if self._lines.get(line.queue.name) is line]
            self._order = known + [line for line in self._lines.values() if line not in known]
            self._changed.notify()

    def end(self) -> None:
        """Nobody gets a queue any more."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def ring(self, name: str) -> None:
        """Something may have become ready in that queue."""
        with self._changed:
            line = self._lines.get(name)
            if line is not None:
                line.rings += 1
                line.not_before = -math.inf
                self._changed.notify()

    def take(self) -> Line | None:
        """Wait for a queue in which something may be ready, the one whose turn is longest ago first; None at the end.

        To be given back by :meth:`leave`.
        """
        with self._changed:
            while not self._ended:
                moment = time.monotonic()
                line = next((line for line in self._order if line.is_free and line.not_before <= moment), None)
                if line is not None:
                    self._order.remove(line)
                    self._order.append(line)
                    line.threads += 1
                    # Others need not try until this thread has found more than it can carry, or somebody rings.
                    line.not_before = math.inf
                    return line
                self._waiting += 1
                self._changed.wait(self._pause(moment))
                self._waiting -= 1
            return None

    def more(self, line: Line) -> None:
        """There is more in that queue than one thread can take."""
        with self._changed:
            line.not_before = -math.inf
            if line.is_free:
                self._changed.notify()

    def leave(self, line: Line, rings: int, pause: Wait | None, *, has_worked: bool) -> None:
        """The turn is over.

        Arguments:
            rings: what :attr:`Line.rings` was before the latest look at the queue.
            pause: what that look said: nothing can be had for so long; None: the queue is empty.
            has_worked: whether anything was executed in this turn.
        """
        with self._changed:
            line.threads -= 1
            blocks = line.queue.is_sequential or line.queue.spec.concurrency_limit is not None
            line.is_held = pause is not None and pause.is_leased and blocks
            if line.rings != rings:
                line.not_before = -math.inf
            else:
                line.not_before = time.monotonic() + self._seconds(line, pause, has_worked=has_worked)
            self._changed.notify()

    def _seconds(self, line: Line, pause: Wait | None, *, has_worked: bool) -> float:
        if has_worked:
            return 0.0 if pause is not None and not pause.seconds else _LINGER
        if pause is None:
            return math.inf
        return min(pause.seconds, _WHEN_HELD) if line.is_held else max(pause.seconds, 0.001)

    def _pause(self, moment: float) -> float | None:
        due = min((line.not_before for line in self._order if line.is_free), default=math.inf)
        return None if due == math.inf else max(due - moment, 0.0)

    @property
    def others_wait(self) -> bool:
        """Whether a queue waits for a thread."""
        moment = time.monotonic()
        with self._changed:
            return any(line.is_free and line.not_before <= moment for line in self._order)

    def watched(self) -> list[str]:
        """The names of the queues for which to listen: all but those that somebody else holds.

        Those at which a thread is just looking are among them: what comes after its look must be heard.
        """
        with self._changed:
            return [line.queue.name for line in self._order if not line.is_held]

    @property
    def queues(self) -> list[BatchQueue]:
        """All that are served."""
        with self._changed:
            return [line.queue for line in self._order]

    @property
    def is_at_rest(self) -> bool:
        """Whether no thread is at a queue, nor waits any queue for one."""
        moment = time.monotonic()
        with self._changed:
            return not any(line.threads or line.not_before <= moment for line in self._order)
