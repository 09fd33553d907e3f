"""The item that a driver has in hand, and what it reports."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

from .. import clock
from ..item import QueueItem
from ..serializer import storable

#: What an item reports is stored once it has taken so long (seconds): nobody sees quick ones.
_WORTH_SHOWING = 0.25
_MESSAGE_LENGTH = 500


@dataclass
class InHand:
    """An item in hand. Moments are monotonic seconds."""

    item: QueueItem
    began: float = field(default_factory=time.monotonic)
    done: float | None = None
    total: float | None = None
    message: str = ""
    reported: float | None = None
    #: Whether something of it was stored, and whether something new is there to store.
    is_stored: bool = False
    is_changed: bool = True
    #: Whether the attempt ended under our lease; None until it has ended.
    was_ours: bool | None = None

    def report(self, done: float, total: float | None, message: str) -> None:
        """The item says how far it is."""
        self.done, self.total, self.message = _number(done), _number(total), storable(message)[:_MESSAGE_LENGTH]
        self.reported, self.is_changed = time.monotonic(), True

    def activity(self) -> dict[str, Any] | None:
        """What is to be stored of it now (see ``storage.presence.report``), or None."""
        moment = time.monotonic()
        if not self.is_changed or moment - self.began < _WORTH_SHOWING:
            return None
        self.is_stored, self.is_changed = True, False
        return {
            "item": self.item.id,
            "queue": self.item.queue_name,
            "fence": self.item.fence,
            "age": clock.to_ms(moment - self.began),
            "done": self.done,
            "total": self.total,
            "message": self.message,
            "silence": clock.to_ms(moment - self.reported) if self.reported is not None else None,
        }


def _number(value: float | None) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
