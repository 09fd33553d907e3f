"""What the plan tests work on."""

from __future__ import annotations

from typing import NamedTuple

from taskqueue import QueueService
from taskqueue.queues.batch import BatchQueue
from taskqueue.storage.items import Items

WAITING, AT_THE_HEAD, DUE = 20_000, 5_000, 20


class Backlog(NamedTuple):
    """``WAITING`` ready items, before them ``AT_THE_HEAD`` that are blocked, and ``DUE`` whose delay is over."""

    kind: str
    service: QueueService
    #: Half of its head is leased, half is delayed.
    parallel: BatchQueue
    #: Its head is delayed.
    sequential: BatchQueue

    def rows(self, queue: BatchQueue) -> Items:
        return Items(self.service.database.dialect, queue.name)
