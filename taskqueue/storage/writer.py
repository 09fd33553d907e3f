"""Who may write where there is one writer: our threads take turns, because the database's own waiting is unfair."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..errors import DatabaseBusy, NotSupported

#: Seconds that a thread waits for its turn.
_TURN = 60.0


class _Local(threading.local):
    is_writing = False


class OneWriter:
    """Inside, this thread may write, and no other one of this process.

    Arguments:
        name: what messages call the database.
        refuse: raises when this thread would wait for itself.
    """

    def __init__(self, name: str, refuse: Callable[[], None]) -> None:
        self._name = name
        self._refuse = refuse
        self._lock = threading.Lock()
        self._local = _Local()

    def __enter__(self) -> None:
        self._refuse()
        if self._local.is_writing:
            raise NotSupported(
                "SQLite has one writer, and this thread is just storing items: collect them before create_items(), "
                "whose source must not change queues"
            )
        if not self._lock.acquire(timeout=_TURN):
            raise DatabaseBusy(
                f"another thread has been writing to {self._name} for {_TURN:g} s: SQLite has one writer, look "
                "for a ctx.transaction() that is open for long, or that waits for this thread"
            )
        self._local.is_writing = True

    def __exit__(self, *exception: object) -> None:
        self._local.is_writing = False
        self._lock.release()
