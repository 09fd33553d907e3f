"""Many dead letters at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from taskqueue import BatchQueue, QueueItem
from taskqueue.queues.settlement import bury


def kill(queue: BatchQueue, data: Iterable[Any], error: str = "dead", traceback: str | None = None) -> list[int]:
    """Put items into an otherwise empty queue, and let all of them die; their ids."""
    queue.create_items(data)
    ids: list[int] = []
    while items := queue.claim_items(1000):
        ids += _bury(queue, items, error, traceback)
    return ids


def _bury(queue: BatchQueue, items: list[QueueItem], error: str, traceback: str | None) -> list[int]:
    assert queue.settle(items, bury(error, traceback)) == []
    return [item.id for item in items]
