"""A thread's turn at one queue: claim, execute, go on, until others have waited long enough."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from ..execution.ahead import LeaseAhead
from ..execution.attempt import Execution
from ..execution.context import Reporter
from ..execution.holding import Holding
from ..item import QueueItem
from .budget import Budget
from .rota import Line, Prospect, Rota
from .runs import Following, finish_runs

#: A turn ends after so many seconds if another queue waits for a thread.
_TURN = 0.25
#: A queue that somebody else holds is looked at again after so long (seconds): nobody tells when it is let go.
_WHEN_HELD = 0.25
_NOTHING = Prospect(1.0, is_held=True)


@dataclass
class Hand:
    """What one thread of a worker has in hand; read by the thread that watches over it."""

    holding: Holding | None = None
    execution: Execution | None = None
    #: What one call executes: one item, or those of a batch handler.
    items: Sequence[QueueItem] = ()
    #: How many items it has executed.
    executed: int = 0


class Turn:
    """One turn.

    Arguments:
        line: the queue, taken from ``rota``.
        hand: where the thread says what it does.
        make: makes the execution for a holding and what gets the reports of tasks.
        stop: set when no further item shall be begun.
    """

    def __init__(
        self, line: Line, rota: Rota, hand: Hand, budget: Budget, make: Callable[[Holding, Reporter], Execution],
        stop: threading.Event, prefetch: int | None,
    ) -> None:  # fmt: skip
        self._line = line
        self._rota = rota
        self._hand = hand
        self._budget = budget
        self._make = make
        self._stop = stop
        self._prefetch = prefetch
        self._rings = line.rings
        self._has_worked = False
        self._following = Following(line)

    def run(self) -> None:
        """Take the turn, and give the queue back to the rota. Raises what the database raises."""
        found = _NOTHING  # after an error
        try:
            found = self._work()
        finally:
            self._rota.leave(self._line, self._rings, found, has_worked=self._has_worked)

    def _work(self) -> Prospect:
        queue, line = self._line.queue, self._line
        with ExitStack() as stack:
            stack.enter_context(queue.hold())
            holding = stack.enter_context(Holding(queue))
            self._hand.holding, self._hand.execution = holding, self._make(holding, self._following.reported)
            stack.enter_context(self._following)
            stack.callback(self._let_go)
            stack.callback(self._hand.execution.flush)
            ahead = LeaseAhead(holding, line.pace, self._prefetch, self._hand.execution.size)
            self._execute(ahead, self._hand.execution)
            line.pace = ahead.seconds_per_task
            if not ahead.is_empty:
                ahead.give_back()
            self._following.close()
            return self._look()

    def _let_go(self) -> None:
        self._hand.items, self._hand.execution, self._hand.holding = (), None, None

    def _execute(self, ahead: LeaseAhead, execution: Execution) -> None:
        limit = time.monotonic() + _TURN
        while not self._stop.is_set() and not (ahead.is_empty and self._is_over(limit)):
            if ahead.is_empty:
                self._rings = self._line.rings  # before the claim: who rings after it will not be overlooked
            if not self._budget.take():
                return
            items: Sequence[QueueItem] = ()
            try:
                items = ahead.next_batch()
            finally:
                self._budget.begin(len(items))
            if not items:
                return
            if ahead.was_full:
                ahead.was_full = False  # said once for each claim
                self._rota.more(self._line)
            self._attempt(items, ahead, execution)

    def _is_over(self, limit: float) -> bool:
        return time.monotonic() >= limit and self._rota.others_wait

    def _attempt(self, items: Sequence[QueueItem], ahead: LeaseAhead, execution: Execution) -> None:
        began = time.monotonic()
        self._hand.items = items
        self._following.began(items[0])
        try:
            attempts = execution.run_batch(items)
        finally:
            self._hand.items = ()
        self._has_worked = True
        self._hand.executed += len(items)
        seconds = (time.monotonic() - began) / len(items)
        for attempt in attempts:
            ahead.ended(attempt, seconds)
            self._following.ended(attempt)
        execution.flush(at_once=False)

    def _look(self) -> Prospect:
        """When something may be had again."""
        queue = self._line.queue
        if self._stop.is_set() or self._budget.is_spent:
            return _NOTHING
        pause = queue.wait()
        if pause is None:
            if self._line.runs:
                finish_runs(queue)
            queue.complete_if_empty()
            return Prospect(math.inf, is_held=False)
        if pause.is_leased and (queue.is_sequential or queue.spec.concurrency_limit is not None):
            return Prospect(min(pause.seconds, _WHEN_HELD), is_held=True)
        if not pause.seconds and not queue.is_active():
            return Prospect(math.inf, is_held=True)  # until the next look at all queues, which may take it off the rota
        return Prospect(max(pause.seconds, 0.001), is_held=False)
