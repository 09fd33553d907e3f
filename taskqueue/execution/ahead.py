"""Leasing a few items ahead of the one in hand, as many as the measured task time allows."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from itertools import chain

from ..item import QueueItem
from ..outcome import Outcome
from ..queues.batch import BatchQueue
from .attempt import Attempt
from .holding import Holding
from .in_order import blocked_keys, for_one_call

#: So much work (seconds) is leased ahead at most. It waits for one holder: at the end of a queue the others go without.
_WORK_AHEAD = 0.2
#: What others do goes unnoticed for so long at most (seconds): items that go before, a pause, a reset, a cancellation.
_LOOK_EVERY = 0.1
#: Items are unpacked in a row for no longer than this (seconds): the first of them waits, and large ones fill memory.
_READING = 0.005


class LeaseAhead:
    """The next items of a queue, one at a time, in its order.

    Claiming many with one commit and finishing each with its own is several times as fast as one by one.
    The batch grows and shrinks with the measured time of a task; an item whose holder was lost before is
    claimed alone, so that a poisonous one cannot drag its neighbours down.
    """

    def __init__(
        self, holding: Holding, expected: float | None = None, prefetch: int | None = None, size: int = 1
    ) -> None:
        #: So many items are handed to one call.
        self._size = size
        self._limit = prefetch or holding.queue.settings.prefetch
        self._queue: BatchQueue = holding.queue
        self._holding = holding
        self._ready: deque[QueueItem] = deque()
        #: None: not measured yet, so that the first item is claimed alone; ``expected`` is from an earlier stretch.
        self._seconds_per_task = expected
        self._alone = 0
        self._changes = self._queue.changes
        self._looked = time.monotonic()
        #: Whether the latest claim got all it asked for, so that there may be more.
        self.was_full = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is leased ahead."""
        return not self._ready

    @property
    def seconds_per_task(self) -> float | None:
        """As measured so far; None: nothing was."""
        return self._seconds_per_task

    def next(self) -> QueueItem | None:
        """The next item, leased; None when none can be claimed now, or the queue is not active."""
        is_due = self._queue.changes != self._changes or time.monotonic() - self._looked >= _LOOK_EVERY
        if is_due and self._ready and not self._may_go_on():
            self.give_back()
        while self._ready and self._holding.is_lost(self._ready[0]):
            lost = self._ready.popleft()
            if lost.order_key is not None:  # whoever has it goes first
                self._give_back_keys({lost.order_key})
        if not self._ready:
            self._fill()
        return self._ready.popleft() if self._ready else None

    def next_batch(self) -> list[QueueItem]:
        """The next items, as many as one call takes; none when none can be claimed now."""
        first = self.next()
        if first is None:
            return []
        if self._size == 1:
            return [first]
        more = for_one_call(chain([first], self._ready), self._size) - 1
        return [first, *(self._ready.popleft() for _ in range(more))]

    def ended(self, attempt: Attempt, seconds: float) -> None:
        """An attempt at the item in hand has taken so long, its acknowledgement included."""
        before = self._seconds_per_task
        self._seconds_per_task = seconds if before is None else 0.8 * before + 0.2 * seconds
        if attempt.outcome is Outcome.OK:
            return
        # Whoever took this item may have taken the others; or the item itself goes next.
        if attempt.outcome is Outcome.LEASE_LOST or self._goes_next(attempt):
            self.give_back()
        else:
            self._give_back_keys(blocked_keys([attempt]))

    def _goes_next(self, attempt: Attempt) -> bool:
        """Whether an item that is tried again stands before what was leased ahead."""
        if attempt.outcome not in (Outcome.RETRY, Outcome.RELINQUISH):
            return False
        return self._queue.is_sequential or not attempt.delay

    def give_back(self) -> None:
        """Relinquish what was leased ahead."""
        self._holding.give_back(list(self._ready))
        self._ready.clear()

    def _give_back_keys(self, order_keys: set[str]) -> None:
        """Relinquish what was leased ahead of these order keys."""
        if order_keys and (waiting := [item for item in self._ready if item.order_key in order_keys]):
            self._holding.give_back(waiting)
            self._ready = deque(item for item in self._ready if item.order_key not in order_keys)

    def _fill(self) -> None:
        self._looked_now()
        limit = self._batch_size()
        # Whoever paused or aborted the queue before the claim must be heard.
        items, is_active = self._holding.lease_to_execute(limit)
        self.was_full = len(items) >= limit
        if items:
            self._queue.begin()
        keep = self._kept(items) if is_active else 0
        self._holding.give_back(items[keep:])
        self._ready.extend(items[:keep])
        if keep > 1:
            self._read_ahead()

    def _read_ahead(self) -> None:
        """Unpack in a row what will be asked for one by one: after each wait for the database it takes several times as
        long. An interrupt may come now, because all is held by us."""
        limit = time.monotonic() + _READING
        for item in self._ready:
            if time.monotonic() > limit:
                return
            try:
                _ = item.data
            except Exception:  # noqa: S112  (whatever it was, it is raised again when the data are asked for)
                continue

    def _kept(self, items: list[QueueItem]) -> int:
        """How many of the claimed items to keep: an interrupted one is alone."""
        keep = together(items)
        self._alone = max(self._alone - 1, 0) + sum(bool(item.interruptions) for item in items[keep:])
        return keep

    def _batch_size(self) -> int:
        if self._alone:
            return 1
        if self._seconds_per_task is None or self._queue.spec.concurrency_limit is not None:
            return self._size
        wanted = min(self._limit, int(_WORK_AHEAD / max(self._seconds_per_task, 1e-6)))
        return max(self._size, wanted - wanted % self._size)

    def _looked_now(self) -> None:
        self._changes, self._looked = self._queue.changes, time.monotonic()

    def _may_go_on(self) -> bool:
        self._looked_now()
        if not (self._queue.is_active() and self._queue.is_next(self._ready[0])):
            return False
        return not self._queue.cancelled_among(self._ready)  # given back, they end


def together(items: Sequence[QueueItem]) -> int:
    """How many of the claimed items may be in hand at the same time: one that was interrupted is alone."""
    return next((index for index, item in enumerate(items) if item.interruptions), len(items)) or 1
