"""What a queued call returns: where its message can be found, never its result."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..item import QueueItem
from ..queues.batch import BatchQueue
from ..queues.sql_base import SqlBase

if TYPE_CHECKING:
    from ..queues.base import Joinable

_STATES = {"ok": "gone", "delete": "deleted", "skipped": "deleted"}


@dataclass(frozen=True, repr=False)
class MessageRef:
    """A recorded call."""

    #: The id of the message, the same at each attempt and for the receiver; "" when there was none to record.
    id: str
    _queue: BatchQueue | None = None
    _item_id: int = 0
    #: Of one that stands on no queue: what became of it, the latest last.
    _states: list[str] = field(default_factory=list, compare=False)

    @classmethod
    def of(cls, queue: BatchQueue, item: QueueItem) -> MessageRef:
        """The reference to a message that stands on a queue."""
        return cls(item.uid, queue, item.id)

    @property
    def item_id(self) -> int:
        """The id of its item; 0 when it stands on no queue."""
        return self._item_id

    @property
    def state(self) -> str:
        """As the database says now.

        "waiting", "succeeded", "dead", "cancelled", "deleted"; "gone": delivered, or rolled back, which can be told
        apart as long as it is remembered what was delivered (option ``keep``); "unknown": there never was one, or its
        history was pruned. Before the commit it is one of the last two. Of a call that was not recorded: "delivered";
        in memory "deferred" until the commit (and after a rollback), then "delivered" or "lost".
        """
        if self._queue is None:
            return self._states[-1]
        if self._queue.spec.keep_result is not None and self._queue.result_of(self._item_id) is not None:
            return "succeeded"
        found = self._queue.outcome_of(self._item_id)
        return _STATES.get(found, found) if found is not None else "unknown"

    @property
    def result(self) -> Any:
        """What the handler returned, as long as it is kept (option ``keep``); else None."""
        found = self._queue.result_of(self._item_id) if self._queue is not None else None
        return found.value if found is not None else None

    def cancel(self, session: Joinable | None = None) -> str:
        """Take the message back (see :meth:`Queue.cancel_item`). Raises :class:`ItemNotFound`.

        Arguments:
            session: the SQLAlchemy Session or Connection in whose transaction that is done, which may be the one that
                has recorded it; None: at once, of a message that is committed.
        """
        if self._queue is None:
            return self._states[-1]
        if session is None:
            return self._queue.cancel_item(self._item_id)
        assert isinstance(self._queue, SqlBase)  # noqa: S101  (an outbox has no others)
        return self._queue.cancel_joined(self._item_id, session)

    def __repr__(self) -> str:
        return f"<message {self.id}>"
