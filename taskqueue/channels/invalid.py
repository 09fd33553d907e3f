"""The invalid channel: where messages go that were rejected, or that have expired."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import LeaseLost, SpecError
from ..item import QueueItem
from ..queues.base import NewItem
from ..serializer import storable
from ..service import QueueService
from ..storage.transaction import Transaction
from .message import ROOM, Message, check_reason, read_message
from .names import Address
from .queue import ChannelQueue, held_of
from .queues import Queues
from .sending import Draft

if TYPE_CHECKING:
    from ..queues.base import Joinable

EXPIRED = "Expired"


class Invalid:
    """Puts messages on the invalid channel, for the same consumer, with the channel they came from and a reason.

    Arguments:
        channel: the name of the invalid channel.
    """

    def __init__(self, service: QueueService, queues: Queues, channel: str) -> None:
        self.channel = channel
        self._service = service
        self._queues = queues

    def reject(self, message: Message, reason: str, session: Joinable | None) -> Message:
        """Put a message there that was taken, is held, or was looked at; as it stands there.

        Raises :class:`LeaseLost` when others have it by now, and :class:`SpecError`.
        """
        self._check(message)
        target, new = self._new(message, check_reason(reason), session)
        database, handle = self._service.database, message._handle

        def put(tx: Transaction) -> QueueItem | None:
            if handle.item is not None and not self._queues.of(message.address).clear(tx, message, target, new.uid):
                return None
            return target.insert_within(tx, new)

        session = session if session is not None else database.current_session
        item = put(database.joined(session)) if session is not None else database.transaction(put)
        if item is None:
            raise LeaseLost(
                f"message {message.id} of channel {message.channel!r} stands there no more as it was looked at: it was "
                "taken, and is for its consumer to reject; nothing was changed"
            )
        handle.is_settled = True
        return read_message(target.address, item)

    def replace(self, queue: ChannelQueue, message: Message, reason: str) -> None:
        """The same of one that stands in ``queue``; nothing happens when others have it by now."""
        self._move(queue, [message], check_reason(storable(reason)))

    def expire(self) -> int:
        """Put everything there that has expired; how many messages that were."""
        found = 0
        for queue in self._queues.standing():
            if queue.address.channel != self.channel:
                found += sum(self._move(queue, page, EXPIRED, only_free=True) for page in queue.expired() if page)
        return found

    def _move(self, queue: ChannelQueue, messages: Sequence[Message], reason: str, *, only_free: bool = False) -> int:
        new = [(message, *self._new(message, reason, None)) for message in messages]

        def move(tx: Transaction) -> int:
            free = set(queue.messages.lock_free(tx, [held_of(message) for message in messages])) if only_free else set()
            moved = 0
            for message, target, item in new:
                is_free = not only_free or tx.unsure or held_of(message) in free
                if is_free and queue.clear(tx, message, target, item.uid):
                    target.insert_within(tx, item)
                    moved += 1
            return moved

        return self._service.database.transaction(move)

    def _new(self, message: Message, reason: str, session: Joinable | None) -> tuple[ChannelQueue, NewItem]:
        target = self._queues.opened(Address(self.channel, message.consumer), session)
        draft = Draft(message.invalid_facts(reason), message.data, message.sequence)
        return target, draft.item_for(target, ROOM)

    def _check(self, message: object) -> None:
        if not isinstance(message, Message):
            raise SpecError(
                f"a message is rejected as get(), peek() or receive() gave it, not {type(message).__name__}"
            )
        if message.is_invalid:
            raise SpecError(f"message {message.id} is on the invalid channel already: {message.reason}")
        if message._handle.is_settled:
            raise SpecError(f"message {message.id} was rejected or acknowledged before: nothing more can become of it")
