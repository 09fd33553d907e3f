"""Sending: a message is stored as one item for each of its consumers, all of them or none."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from .. import clock
from ..durations import seconds_of
from ..errors import SpecError
from ..item import QueueItem
from ..queues.arguments import delay_ms
from ..queues.base import NewItem
from ..service import QueueService
from ..spec import check_weight, shown
from ..storage.transaction import Transaction
from .message import Facts, Message, check_label, check_user, read_message
from .names import Address, check_word
from .queue import ChannelQueue
from .queues import Queues
from .window import Window

if TYPE_CHECKING:
    from ..queues.base import Joinable

Duration = float | timedelta | str


@dataclass(frozen=True)
class Draft:
    """A message before it is known who gets it."""

    facts: Facts
    data: Any
    sequence: int

    def item_for(self, queue: ChannelQueue, room: int = 0) -> NewItem:
        """The item for one consumer. Raises :class:`SerializationError`."""
        uid = os.urandom(16).hex()
        text = queue.settings.codec.pack(self.facts.to_data(self.data), queue.name, uid, where="message", room=room)
        return NewItem(uid, self.sequence, text, delay=self.facts.delay, order_key=self.facts.producer)


def draft_of(
    data: Any, *, producer: str, kind: str, sequence: int, delay: Duration | None, expires: Duration | None,
    user: str | None, window: Window | None, is_published: bool,
) -> Draft:  # fmt: skip
    """A draft of checked arguments. Raises :class:`SpecError`."""
    if window is not None and not isinstance(window, Window):
        raise SpecError(f"window must be a Window, not {shown(window)}")
    lasts = _milliseconds(expires, "expires") if expires is not None else None
    if lasts == 0:
        raise SpecError("expires must be more than 0 seconds: a message that lasts no time is never delivered")
    return Draft(
        Facts(
            check_word(producer, "producer"), check_label(kind, "kind"), check_user(user), window, is_published,
            delay=_milliseconds(delay, "delay") if delay is not None else 0, lasts=lasts,
        ),
        data,
        check_weight(sequence, "sequence"),
    )  # fmt: skip


def _milliseconds(duration: Duration, what: str) -> int:
    return delay_ms(seconds_of(duration, what), what)


class Sender:
    """Stores messages."""

    def __init__(self, service: QueueService, queues: Queues) -> None:
        self._service = service
        self._queues = queues

    def send(self, addresses: Sequence[Address], draft: Draft, session: Joinable | None) -> list[Message]:
        """Store a copy for each address, in one transaction."""
        database = self._service.database
        session = session if session is not None else database.current_session
        queues = [self._queues.opened(address, session) for address in addresses]
        new = [(queue, draft.item_for(queue)) for queue in queues]

        def store(tx: Transaction) -> list[QueueItem]:
            if draft.facts.window is not None:
                self._wait_for_window(tx, draft, [item for _queue, item in new])
            return [queue.insert_within(tx, item) for queue, item in new]

        if session is not None:
            items = store(database.joined(session))
        elif len(new) == 1 and draft.facts.window is None:
            items = database.statement(store)
        else:
            items = database.transaction(store)
        return [read_message(queue.address, item) for (queue, _new), item in zip(new, items, strict=True)]

    @staticmethod
    def _wait_for_window(tx: Transaction, draft: Draft, items: Sequence[NewItem]) -> None:
        """Where the window is closed when they are due, let them be hidden until it opens."""
        due = clock.from_ms(int(tx.row("SELECT {now}")[0]) + draft.facts.delay)
        assert draft.facts.window is not None  # noqa: S101  (asked for only then)
        opening = draft.facts.window.opening(due)
        for item in items:
            item.due = clock.moment_ms(opening) if opening > due else None
