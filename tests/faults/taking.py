"""The part of those who claim and remove items, as fast as they can, beside others on other nodes."""

from __future__ import annotations

import random

from taskqueue import BatchQueue, TaskQueueError
from taskqueue.queues.settlement import DONE
from tests.faults.history import History

_LEASE_MS = 60_000
#: Items that are claimed at once: mostly one, at which most are in each other's way.
_SIZES = (1, 1, 1, 4, 16)


def take_all(queue: BatchQueue, history: History) -> None:
    """Claim and remove until nothing is left. What reaches a caller is written down."""
    while True:
        try:
            items = queue.lease(random.choice(_SIZES), _LEASE_MS)
            for item in items:
                history.write("start", number=item.data, fence=item.fence)
            lost = queue.settle(items, DONE) if items else []
            if lost:
                history.write("lost", items=[str(item) for item in lost])
            if not items and not queue.number_of_items():
                return
        except TaskQueueError as error:
            history.write("escaped", error=f"{type(error).__name__}: {error}")
