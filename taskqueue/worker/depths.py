"""How many items stand in the queues that a worker serves, noted once a minute for the trends."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

from .. import clock
from ..service import QueueService
from ..storage import trends

#: So often (ms) a worker asks whether somebody has looked in this minute.
_ASK_EVERY = 20_000


class Depths:
    """Of any number of workers whoever comes first in a minute looks, and the others find that it was done."""

    def __init__(self, service: QueueService) -> None:
        self._service = service
        self._asked: int | None = None

    def look(self, queue_names: Collection[str]) -> None:
        """Note how many items stand in those queues, if nobody has done so in this minute. To be called every second or
        so. Raises :class:`DatabaseError` and its kin."""
        moment = clock.now_ms()
        if not queue_names or (self._asked is not None and 0 <= moment - self._asked < _ASK_EVERY):
            return
        self._asked = moment
        database = self._service.database
        left = set(queue_names) - database.statement(trends.sampled, write=False)
        if left:
            found = {
                name: database.statement(partial(trends.count_standing, queue_name=name), write=False)
                for name in sorted(left)
            }
            database.transaction(partial(trends.samples, depths=found))
