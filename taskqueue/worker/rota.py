"""Which queue a thread of a worker turns to next."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from ..queues.batch import BatchQueue

#: Others may just be telling of more (see ``Database.may_call``), so that an empty queue is tried once more this soon.
_LINGER = 0.02


class Prospect(NamedTuple):
    """When it makes sense to look at a queue again."""

    #: After so long.
    seconds: float
    #: Whether nothing can be had until then, whatever comes in: somebody else holds the queue, or it is not active.
    is_held: bool


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
    #: See :class:`Prospect`.
    is_held: bool = False
    #: The runs that workers carry out on it, as of the latest look.
    runs: frozenset[str] = frozenset()

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

    def serve(self, queues: Iterable[BatchQueue], runs: Mapping[str, frozenset[str]] = MappingProxyType({})) -> None:
        """Serve these queues from now on, and no others; ``runs`` go on in the background on some of them."""
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
            for line in self._order:
                line.runs = runs.get(line.queue.name, frozenset())
                was_inactive = line.is_held and line.not_before == math.inf and not line.threads
                if was_inactive or (line.runs and not line.is_held):  # if nothing is to be had, a last step may be due
                    line.is_held, line.not_before = False, -math.inf
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
                line.is_held = False
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

    def leave(self, line: Line, rings: int, found: Prospect, *, has_worked: bool) -> None:
        """The turn is over.

        Arguments:
            rings: what :attr:`Line.rings` was before the latest look at the queue.
            found: what that look said.
            has_worked: whether anything was executed in this turn.
        """
        with self._changed:
            line.threads -= 1
            line.is_held = found.is_held
            seconds = min(found.seconds, _LINGER) if has_worked and not found.is_held else found.seconds
            line.not_before = -math.inf if line.rings != rings else time.monotonic() + seconds
            self._changed.notify()

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
