"""Receiving: looking at messages, taking them, and giving them back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from .. import clock
from ..errors import LeaseLost
from ..execution.failure import error_text, traceback_text
from ..execution.holding import Holding
from ..queues import settlement
from ..service import QueueService
from ..storage.transaction import Transaction
from .invalid import Invalid
from .message import Handle, Message, read_message
from .names import Address
from .queue import ChannelQueue, View
from .queues import Queues

if TYPE_CHECKING:
    from ..item import QueueItem
    from ..queues.base import Joinable


class Receiver:
    """Finds the next message of an address.

    Arguments:
        invalid: where messages go that shall not be delivered.
    """

    def __init__(self, service: QueueService, queues: Queues, invalid: Invalid) -> None:
        self._service = service
        self._queues = queues
        self._invalid = invalid

    def peek(
        self, address: Address, producer: str | None, user: str | None, session: Joinable | None
    ) -> Message | None:
        """The message that would be taken next."""
        queue, tx = self._queues.of(address), self._joined(session)
        self._make_due_ready(queue, tx)
        for view in self._views(queue, producer, user, tx):
            if view.candidates:
                return view.candidates[0]
        return None

    def take(
        self, address: Address, producer: str | None, user: str | None, session: Joinable | None
    ) -> Message | None:
        """Remove the next message; with ``session`` in its transaction."""
        queue, tx = self._queues.of(address), self._joined(session)
        if tx is None:
            message = self._lease(queue, producer, user)
            if message is not None:
                queue.delete_item(_item_of(message))
        else:
            message = self._remove(queue, producer, user, tx)
        return replace(message, _handle=Handle()) if message is not None else None

    @contextmanager
    def receive(
        self, address: Address, producer: str | None, user: str | None, pause_ms: int, max_failures: int | None
    ) -> Iterator[Message | None]:
        """Hold the next message for as long as the block lasts; at its end it is removed."""
        queue = self._queues.of(address)
        message = self._lease(queue, producer, user)
        if message is None:
            yield None
            return
        item, handle = _item_of(message), message._handle
        with Holding(queue) as holding:
            holding.adopt([item])
            try:
                yield message
            except Exception as error:
                if not handle.is_settled:
                    self._failed(queue, message, error, pause_ms, max_failures)
                    holding.drop(item)
                raise
            if not handle.is_settled:
                queue.delete_item(item)
                handle.is_settled = True
            holding.drop(item)

    def _failed(
        self, queue: ChannelQueue, message: Message, error: Exception, pause_ms: int, max_failures: int | None
    ) -> None:
        """Give a message back whose consumer has raised ``error``, or put it on the invalid channel at last."""
        item, text = _item_of(message), error_text(error)
        if max_failures is not None and item.failures + 1 >= max_failures and not message.is_invalid:
            self._invalid.replace(queue, message, text)
        else:
            queue.settle([item], settlement.retry(pause_ms, text, traceback_text(error)))
        message._handle.is_settled = True

    def _lease(self, queue: ChannelQueue, producer: str | None, user: str | None) -> Message | None:
        self._make_due_ready(queue, None)
        lease = clock.to_ms(self._service.settings.lease_slice)
        for view in self._views(queue, producer, user, None):
            taken = queue.lease_first([_item_of(message) for message in view.candidates], lease)
            if taken is not None:
                return read_message(queue.address, taken)
        return None

    def _remove(self, queue: ChannelQueue, producer: str | None, user: str | None, tx: Transaction) -> Message | None:
        self._make_due_ready(queue, tx)
        queue.forget_claimed()
        for view in self._views(queue, producer, user, tx):
            taken = queue.remove_first(tx, view.candidates)
            if taken is not None:
                return replace(taken, attempts=taken.attempts + 1)
        return None

    def _make_due_ready(self, queue: ChannelQueue, tx: Transaction | None) -> None:
        database = self._service.database
        if tx is not None and database.dialect.single_writer:
            queue.make_due_ready(tx)
        else:  # on its own: nobody shall wait for the caller's commit because of what has only become due
            database.statement(queue.make_due_ready)

    def _views(
        self, queue: ChannelQueue, producer: str | None, user: str | None, tx: Transaction | None
    ) -> Iterator[View]:
        """Looks at a queue; what was in the way is put aside, as long as that is not the caller's transaction."""
        for view in queue.views(producer, user, tx):
            if tx is None:
                self._put_aside(queue, view)
            yield view

    def _put_aside(self, queue: ChannelQueue, view: View) -> None:
        if view.early:
            queue.hide(view.early)
        queue.end(view.ended)
        for message in view.poisonous:
            self._invalid.replace(queue, message, f"consumer lost {_item_of(message).interruptions} times")

    def _joined(self, session: Joinable | None) -> Transaction | None:
        database = self._service.database
        session = session if session is not None else database.current_session
        return database.joined(session) if session is not None else None


def _item_of(message: Message) -> QueueItem:
    item = message._handle.item
    if item is None:
        raise LeaseLost(f"message {message.id} of channel {message.channel!r} stands there no more")
    return item
