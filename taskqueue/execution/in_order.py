"""What order keys ask of whoever holds several items of a queue at the same time."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from ..item import QueueItem
from ..outcome import Outcome
from .attempt import Attempt

#: After these the item stands in the queue, or somebody else has it: its followers have to wait.
_BLOCKING = (Outcome.RETRY, Outcome.RELINQUISH, Outcome.ABORT, Outcome.LEASE_LOST)


def blocked_keys(attempts: Iterable[Attempt]) -> set[str]:
    """The order keys whose other items must not be executed now, after these attempts."""
    keys = (attempt.item.order_key for attempt in attempts if attempt.outcome in _BLOCKING)
    return {key for key in keys if key is not None}


def for_one_call(items: Iterable[QueueItem], size: int) -> int:
    """How many of the first items, up to ``size``, one call may take: of each key the next one only."""
    number, keys = 0, set[str]()
    for item in islice(items, size):
        if item.order_key in keys:
            break
        if item.order_key is not None:
            keys.add(item.order_key)
        number += 1
    return number
