"""The inbox: messages of a broker are stored, then acknowledged, then handled by workers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import SpecError
from ..queues.batch import BatchQueue
from ..queues.sql_base import SqlBase
from ..spec import shown
from .message import EMIT, Message
from .moment import checked_session
from .target import Target

if TYPE_CHECKING:
    from ..queues.base import Joinable

#: The database takes keys of this length.
_LONGEST = 191


class Inbox:
    """Takes messages in for one service.

    Arguments:
        target: the service whose handlers get them.
        open_queue: ``open_queue(session)`` gives the queue of the service.
        message_of: ``message_of(event, data, headers)`` makes the message.
    """

    def __init__(
        self, target: Target, open_queue: Callable[[Joinable | None], BatchQueue], message_of: Callable[..., Message]
    ) -> None:
        self._target = target
        self._open_queue = open_queue
        self._message_of = message_of

    def receive(
        self, message_id: str, event: str, data: Any = None, headers: Mapping[str, Any] | None = None,
        session: Joinable | None = None,
    ) -> bool:  # fmt: skip
        """Store an event for the handlers of the service; False: one of that id was stored before.

        Acknowledge to the broker afterwards, in either case; with ``session`` after its commit.

        Arguments:
            message_id: the broker's, the same whenever it delivers the message again. It is remembered until it is
                pruned (:meth:`QueueService.prune`), 14 days at least.
            session: an SQLAlchemy Session or Connection on the same database, whose commit or rollback then decides.

        Raises :class:`SpecError`, :class:`SerializationError`, :class:`SessionMismatch`, :class:`DatabaseError`: do not
        acknowledge then.
        """
        key = _key(self._target.name, message_id)
        self._target.check(EMIT, event)
        self._target.check_arguments(EMIT, event, [data], {})
        message = self._message_of(event, data, headers)
        queue = self._open_queue(checked_session(session))
        assert isinstance(queue, SqlBase)  # noqa: S101  (an outbox has no others)
        return queue.receive(message.to_data(), key, session)


def _key(service: str, message_id: object) -> str:
    """Services may share a queue, and brokers choose ids as they like."""
    if not isinstance(message_id, str) or not message_id:
        raise SpecError(f"message_id is the text by which the broker names the message, not {shown(message_id)}")
    key = f"{service}:{message_id}"
    if ":" not in service and len(key) <= _LONGEST and key.isprintable() and key == key.rstrip():
        return key
    both = json.dumps([service, message_id])  # no two pairs have the same; and no service is named like what follows
    return f"#{hashlib.sha256(both.encode()).hexdigest()}"
