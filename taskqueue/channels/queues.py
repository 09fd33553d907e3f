"""The queues behind channels: one for each consumer of each channel."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import ConfigurationError, DatabaseError
from ..queues.batch import BatchQueue
from ..registering import find_or_make
from ..service import QueueService
from ..spec import CHANNEL_PAYLOAD
from ..storage import registry
from ..storage.registry import Registration
from .names import CALLS, Address, address_of
from .queue import TYPE, ChannelQueue

if TYPE_CHECKING:
    from ..queues.base import Joinable

#: After so long (seconds) it is looked whether a queue is still registered: on one that was deleted nobody sees what
#: stands there, but those who take it.
TRUSTED = 5.0


class Queues:
    """Finds them, and registers each when something is first sent there.

    For looking and taking none has to be registered: who asks for messages of an address that never got any leaves no
    trace.
    """

    def __init__(self, service: QueueService) -> None:
        self._service = service
        self._made: dict[str, ChannelQueue] = {}
        #: The queues that were seen to be registered, and when (monotonic seconds).
        self._known: dict[str, float] = {}

    def of(self, address: Address) -> ChannelQueue:
        """The queue of an address, registered or not."""
        return self._queue(address.queue_name, address)

    def opened(self, address: Address, session: Joinable | None) -> ChannelQueue:
        """The same, registered by now, or with the commit of ``session`` where nobody else could do that.

        Raises :class:`ConfigurationError` when a queue of that name is none of a channel.
        """
        self._register(address.queue_name, session)
        return self.of(address)

    def calls(self) -> ChannelQueue:
        """The queue with what is being called at the moment."""
        self._register(CALLS, None)
        return self._queue(CALLS, Address("", ""))

    def standing(self) -> list[ChannelQueue]:
        """All that are registered, also by other processes, by name."""
        entries = self._service.database.statement(registry.stored, write=False)
        addresses = [(address_of(name), read) for name, read in entries]
        return [self.of(address) for address, read in addresses if address is not None and _is_of_channel(read)]

    def _queue(self, name: str, address: Address) -> ChannelQueue:
        queue = self._made.get(name)
        if queue is None:
            made = ChannelQueue(name, address, self._service.settings, self._service.database)
            queue = self._made.setdefault(name, made)
        return queue

    def _register(self, name: str, session: Joinable | None) -> None:
        seen = self._known.get(name)
        if seen is not None and time.monotonic() - seen <= TRUSTED:
            return
        _refuse_stranger(
            find_or_make(self._service, session, self._know, type=TYPE, name=name, payload=CHANNEL_PAYLOAD)
        )

    def _know(self, queue: BatchQueue) -> None:
        _refuse_stranger(queue)
        self._known[queue.name] = time.monotonic()


def _is_of_channel(read: Callable[[], Registration]) -> bool:
    try:
        return read().options.get("payload") == CHANNEL_PAYLOAD
    except DatabaseError:  # damaged, which others tell
        return False


def _refuse_stranger(queue: BatchQueue) -> None:
    if queue.spec.payload != CHANNEL_PAYLOAD:
        raise ConfigurationError(
            f"the queue {queue.name!r} exists, and is none of a channel: rename the channel or the consumer, or delete "
            "that queue"
        )
