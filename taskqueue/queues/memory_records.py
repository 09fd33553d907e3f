"""What a ``Memory`` queue keeps of its items and batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .. import clock
from ..item import QueueItem, optional_time
from .base import Batch, NewItem


@dataclass
class Record:
    """An item; ``release_time`` 0 means ready, as in a table."""

    id: int
    uid: str
    weight: int
    text: str
    submit_time: int
    dedup_key: str | None
    until_start: bool = False
    order_key: str | None = None
    release_time: int = 0
    run_count: int = 0
    fence: int = 0
    failures: int = 0
    interruptions: int = 0
    last_error: str | None = None
    is_cancelled: bool = False
    batch: BatchRecord | None = None

    @property
    def place(self) -> tuple[int, int]:
        """By this the items of a queue are ordered."""
        return self.weight, self.id

    def item(self, queue_name: str, unpack: Callable[[], Any]) -> QueueItem:
        """As others see it now."""
        return QueueItem(
            self.id, queue_name, self.weight, clock.from_ms(self.submit_time), optional_time(self.release_time),
            self.run_count, self.fence, self.last_error, self.failures, self.interruptions, self.uid,
            self.is_cancelled, self.batch.id if self.batch else None, self.order_key, unpack,
        )  # fmt: skip


@dataclass
class BatchRecord:
    """A batch, with the callback that follows it."""

    id: int
    total: int
    callback: NewItem
    ended: int = 0
    failed: int = 0
    #: 0: not all of its items have ended.
    end_time: int = 0

    def view(self) -> Batch:
        """As it stands now."""
        return Batch(self.id, self.total, self.total - self.ended, self.failed)
