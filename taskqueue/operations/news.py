"""What tells whoever wants to know that a call has ended: an item on its queue."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from .. import spans
from ..queues.base import NewItem
from ..settings import Settings
from .call import Call

#: ``function(call)`` is told of each call that has ended.
Finished = Callable[[Call], Any]
#: How often (seconds) it is looked whether a call has stopped.
LOOK_EVERY = 5.0


class News:
    """Makes the items that tell.

    Arguments:
        finished: who is told.
    """

    def __init__(self, settings: Settings, finished: Sequence[Finished]) -> None:
        self._settings = settings
        self.finished = finished

    def of(self, call_id: str, queue_name: str, weight: int = 0) -> list[NewItem]:
        """What is put on the queue in the transaction in which a call ends; nothing if nobody wants to know."""
        if not self.finished:
            return []
        return [self._item({"finished": call_id}, queue_name, weight=weight)]

    def of_stopping(self, call_id: str, queue_name: str) -> list[NewItem]:
        """What looks whether a call has stopped that is just being executed, until it has: an item that was cancelled
        leaves the queue without any that follow it."""
        if not self.finished:
            return []
        data = {"stopping": call_id}
        return [self._item(data, queue_name, delay=round(LOOK_EVERY * 1000), dedup_key=f"stopping {call_id}")]

    def _item(self, data: Any, queue_name: str, *, weight: int = 0, **options: Any) -> NewItem:
        uid = os.urandom(16).hex()
        text = self._settings.codec.pack(data, queue_name, uid, trace=spans.carried())
        return NewItem(uid, weight, text, **options)
