"""How one attempt at an item ended."""

from __future__ import annotations

from enum import Enum


class Outcome(str, Enum):
    """A text as well: ``Outcome.OK == "ok"``."""

    #: The item is finished and gone.
    OK = "ok"
    #: Failed; it is tried again, at once or after a pause.
    RETRY = "retry"
    #: Failed for good and removed.
    DELETE = "delete"
    #: Failed for good; the queue is aborted with the item in its place.
    ABORT = "abort"
    #: Failed for good, or may not run here; kept as a dead letter.
    DEAD = "dead"
    #: Removed before its end, because somebody asked for that.
    CANCELLED = "cancelled"
    #: Given back without an attempt being counted.
    RELINQUISH = "relinquish"
    #: Somebody else holds or has finished the item; what this attempt would have stored was dropped.
    LEASE_LOST = "lease_lost"

    def __str__(self) -> str:
        return self.value
