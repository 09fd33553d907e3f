"""What tells whoever wants to know that a call has ended: an item on its queue."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from ..queues.base import NewItem
from ..settings import Settings
from .call import Call

#: ``function(call)`` is told of each call that has ended.
Finished = Callable[[Call], Any]


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
        uid = os.urandom(16).hex()
        return [NewItem(uid, weight, self._settings.codec.pack({"finished": call_id}, queue_name, uid))]
