"""The queues on which calls stand: the present one, and those of earlier configurations."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError, QueueNotFound, SpecError
from ..queues.batch import BatchQueue
from ..queues.sql_base import SqlBase
from ..registering import find_or_make
from ..service import QueueService
from ..spec import OPERATION_PAYLOAD, check_name, shown
from ..storage.operations import OperationRow

if TYPE_CHECKING:
    from ..queues.base import Joinable

#: After so long (seconds) it is looked whether the queue is still registered.
_TRUSTED = 5.0
_log = logging.getLogger(__name__)


class CallQueues:
    """The queues of the calls of one service.

    Arguments:
        name: of the one on which new calls stand.
        timeout: its ``lease_time``, in seconds.
        former: names that it had before; what stands there is executed, too.
    """

    def __init__(self, service: QueueService, name: str, timeout: float, former: Iterable[str] = ()) -> None:
        self._service = service
        self._name = name
        self._own = frozenset({name, *_checked_names(former)})
        self._told = set[str]()
        self._options: dict[str, Any] = {
            "agent": "server", "payload": OPERATION_PAYLOAD, "error": "dead", "lease_time": timeout,
        }  # fmt: skip
        # Without a lock: on SQLite its holder might have to wait for whoever waits for it inside a transaction.
        self._known: tuple[SqlBase, float] | None = None

    def present(self, session: Joinable | None = None) -> SqlBase:
        """The one for new calls, made if it is new. Raises :class:`ConfigurationError` when it is another kind."""
        queue, seen = self._known or (None, 0.0)
        if queue is not None and time.monotonic() - seen < _TRUSTED:
            return queue
        return self._open(session)

    def _open(self, session: Joinable | None) -> SqlBase:
        return self._checked(
            find_or_make(self._service, session, self._know, type="SqlParallel", name=self._name, **self._options)
        )

    def _know(self, queue: BatchQueue) -> None:
        self._known = self._checked(queue), time.monotonic()

    def _checked(self, queue: object) -> SqlBase:
        if not _is_for_calls(queue):
            raise ConfigurationError(
                f"the queue {self._name!r} exists, and is not for operations: give Operations another queue="
            )
        return queue  # type: ignore[return-value]

    def of(self, row: OperationRow) -> SqlBase:
        """The queue on which a call stands, which may be one of an earlier configuration; the present one when that is
        gone, and all its items with it."""
        return self.found(row) or self.present()

    def found(self, row: OperationRow) -> SqlBase | None:
        """The queue on which a call stands, or None when that is gone."""
        queue, seen = self._known or (None, 0.0)
        if queue is not None and queue.name == row.queue_name and time.monotonic() - seen < _TRUSTED:
            return queue
        try:
            found = self._service.load(row.queue_name)
        except QueueNotFound:
            return None
        return found if _is_for_calls(found) else None  # type: ignore[return-value]

    def owns(self, name: str) -> bool:
        """Whether calls on a queue of operations of that name are for this application to execute. Of one whose are
        not it warns once: they may be another application's, or wait on a name of ours that nobody has told us."""
        if name in self._own:
            return True
        if name not in self._told:
            self._told.add(name)
            _log.warning(
                "queue %s holds calls of operations, and is not served here: if it is no other application's, but had "
                "that name before, say Operations(service, queue=%r, former_queues=[%r])",
                name, self._name, name,
            )  # fmt: skip
        return False

    def standing(self) -> Iterator[SqlBase]:
        """Those of this application that exist."""
        for queue in self._service.queues():
            if _is_for_calls(queue) and self.owns(queue.name):
                yield queue  # type: ignore[misc]


def _checked_names(given: object) -> list[str]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise SpecError(f"former_queues is a list of names of queues, not {shown(given)}")
    return [check_name(name) for name in given]


def _is_for_calls(queue: object) -> bool:
    return isinstance(queue, SqlBase) and queue.spec.payload == OPERATION_PAYLOAD
