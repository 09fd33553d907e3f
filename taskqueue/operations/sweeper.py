"""Taking away, now and then, the results whose time is over: for applications that have workers, but no cron."""

from __future__ import annotations

import threading
from functools import partial

from .. import clock
from ..forks import inherit
from ..service import QueueService
from ..storage import expiry
from ..storage.rows import CHUNK

#: So often (ms) a process looks whether there are any.
_LOOK_EVERY = 60_000


class Sweeper:
    """Empties calls whose time is over, some at a time."""

    def __init__(self, service: QueueService) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._looked: int | None = None
        inherit(self)

    def forget_parent(self) -> None:
        """In a forked child: nobody holds the lock."""
        self._lock = threading.Lock()

    def sweep(self) -> bool:
        """Empty some hundred, unless that was done within the last minute; whether there may be more, for which the
        next call looks at once. Raises :class:`DatabaseError`."""
        with self._lock:
            now = clock.now_ms()
            if self._looked is not None and 0 <= now - self._looked < _LOOK_EVERY:
                return False
            self._looked = now  # an error is no reason to look again at once
            database = self._service.database
            call_ids = database.statement(expiry.over, write=False)
            if call_ids:
                database.transaction(partial(expiry.empty, call_ids=call_ids))
            if len(call_ids) < CHUNK:
                return False
            self._looked = None
            return True
