"""Who wants copies of what is published on a channel, and is called when something waits."""

from __future__ import annotations

from dataclasses import dataclass

from ..service import QueueService
from ..storage import subscriptions
from ..storage.subscriptions import SubscriptionRow
from .names import Address, check_callback, check_producer, check_word


@dataclass(frozen=True, order=True)
class Subscription:
    """One subscription; several of one consumer still bring it one copy of each message."""

    channel: str
    consumer: str
    #: Only what this producer sends; None: whatever is published there.
    producer: str | None = None
    #: The name of the callback that is called when a message waits; None: nothing is called.
    callback: str | None = None

    @property
    def address(self) -> Address:
        """Where its messages stand."""
        return Address(self.channel, self.consumer)

    @classmethod
    def checked(cls, channel: object, consumer: object, producer: object, callback: object) -> Subscription:
        """One of checked names. Raises :class:`SpecError`."""
        return cls(
            check_word(channel, "channel"), check_word(consumer, "consumer"), check_producer(producer),
            check_callback(callback),
        )  # fmt: skip

    @classmethod
    def of(cls, row: SubscriptionRow) -> Subscription:
        """As it is stored."""
        return cls(row.channel, row.consumer, row.producer or None, row.callback or None)

    @property
    def row(self) -> SubscriptionRow:
        """What is stored of it."""
        return SubscriptionRow(self.channel, self.consumer, self.producer or "", self.callback or "")


class Subscriptions:
    """All subscriptions of one database."""

    def __init__(self, service: QueueService) -> None:
        self._service = service

    def add(self, subscription: Subscription) -> None:
        """Store it, if it is not there."""
        self._service.database.statement(lambda tx: subscriptions.add(tx, subscription.row))

    def remove(self, subscription: Subscription) -> None:
        """Remove it, if it is there."""
        self._service.database.statement(lambda tx: subscriptions.remove(tx, subscription.row))

    def every(self) -> list[Subscription]:
        """All of them, by channel and consumer."""
        return [Subscription.of(row) for row in self._service.database.statement(subscriptions.every, write=False)]
