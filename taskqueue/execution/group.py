"""Finished items whose completion is committed together: faster, and a crash may repeat them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ..item import QueueItem
from ..outcome import Outcome
from ..queues import settlement
from ..queues.batch import BatchQueue
from ..queues.settlement import Sure

#: So many are committed together at most, and none waits longer than so many seconds for the next one to begin.
_SIZE, _PATIENCE = 100, 0.005


class Group:
    """Collects the finished items of one thread; another one may look after them while it is busy."""

    def __init__(self, queue: BatchQueue, sure: Sure) -> None:
        self._queue = queue
        self._sure = sure
        self._lock = threading.Lock()
        self._finished: list[tuple[QueueItem, Callable[[Outcome], None]]] = []
        self._oldest = 0.0

    def add(self, item: QueueItem, stored: Callable[[Outcome], None]) -> None:
        """``item`` is finished; ``stored(outcome)`` is called once that is committed, or its lease was lost."""
        with self._lock:
            if not self._finished:
                self._oldest = time.monotonic()
            self._finished.append((item, stored))

    @property
    def is_due(self) -> bool:
        """Whether it is time to commit."""
        finished = len(self._finished)
        return finished >= _SIZE or (finished > 0 and time.monotonic() - self._oldest >= _PATIENCE)

    def flush(self) -> None:
        """Commit what was collected. If that fails it stays collected."""
        with self._lock:
            if not self._finished:
                return
            items = [item for item, _stored in self._finished]
            lost = {item.id for item in self._queue.settle(items, settlement.DONE, self._sure)}
            finished, self._finished = self._finished, []
        for item, stored in finished:
            stored(Outcome.LEASE_LOST if item.id in lost else Outcome.OK)
