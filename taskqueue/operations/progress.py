"""What an operation reports of itself, stored for whoever asks for the state of the call."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from types import TracebackType

from .. import clock
from ..errors import DatabaseError
from ..item import QueueItem
from ..queues.sql_base import SqlBase
from ..serializer import storable
from ..storage import presence
from ..storage.transaction import Transaction

#: Seconds between two that are stored; the first one is at once.
_PAUSE = 0.25
_MESSAGE_LENGTH = 500
_log = logging.getLogger(__name__)


class Reports:
    """Stores what the item in hand reports. A context manager: at the end there is nothing to be shown any more."""

    def __init__(self, queue: SqlBase, item: QueueItem) -> None:
        self._queue = queue
        self._item = item
        self._began = time.monotonic()
        self._stored: float | None = None

    def __enter__(self) -> Reports:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stored is not None:
            self._try(lambda tx: presence.ended(tx, [(self._item.id, self._item.fence)]))

    def report(self, done: float, total: float | None, message: str, *, is_writing: bool) -> None:
        """It is so far.

        Arguments:
            is_writing: it has a transaction open, which on SQLite lets nobody else write: then it is not stored.
        """
        now = time.monotonic()
        is_soon = self._stored is not None and now - self._stored < _PAUSE
        if is_soon or (is_writing and self._queue.database.dialect.single_writer):
            return
        self._stored = now
        activity = {
            "item": self._item.id, "queue": self._item.queue_name, "fence": self._item.fence,
            "age": clock.to_ms(now - self._began), "done": _number(done), "total": _number(total),
            "message": storable(message)[:_MESSAGE_LENGTH], "silence": 0,
        }  # fmt: skip
        self._try(lambda tx: presence.report(tx, activity))

    def _try(self, work: Callable[[Transaction], None]) -> None:
        try:
            self._queue.database.statement(work)
        except DatabaseError as error:  # whether somebody sees it must not decide how the call ends
            _log.warning("what item %s reports could not be stored: %s", self._item.id, error)


def _number(value: float | None) -> float | None:
    try:
        number = float(value) if value is not None else math.nan
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
