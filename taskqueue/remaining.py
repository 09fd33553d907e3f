"""About how many items are left in a queue, counted rarely enough to cost nothing."""

from __future__ import annotations

import time

from .queues.batch import BatchQueue

#: Counted anew so often (seconds), never per item: while nothing hints at a change; when items were added here; and
#: when none should be left. Nor does counting take more than 5 % of the time.
_EVERY, _WHEN_ADDED, _WHEN_LAST = 5.0, 0.25, 0.02
_SHARE = 20


class Remaining:
    """The estimate; it may be handed on from one stretch of driving to the next."""

    def __init__(self, queue: BatchQueue) -> None:
        self.left = 0
        self._queue = queue
        # When it was counted, how long that took, and how many changes there had been by then.
        self._counted = self._took = 0.0
        self._changes = 0

    def is_due(self) -> bool:
        """Whether it is time to count."""
        pause = _WHEN_ADDED if self._queue.changes != self._changes else _EVERY
        if self.left <= 0:
            pause = _WHEN_LAST
        return time.monotonic() - self._counted > max(pause, _SHARE * self._took)

    def count(self) -> int:
        """Count, and return how many there are."""
        self._changes, began = self._queue.changes, time.monotonic()
        self.left = self._queue.number_of_items()
        self._counted = time.monotonic()
        self._took = self._counted - began
        return self.left
