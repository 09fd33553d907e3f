"""``Channels``: messages between programs, on the queues of one database."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..durations import seconds_of
from ..errors import SpecError
from ..queues.arguments import delay_ms
from ..service import QueueService
from ..spec import check_name, shown
from ..storage import subscriptions as stored
from .dispatch import Dispatcher, Function
from .invalid import Invalid
from .message import Message, check_user
from .names import Address, check_address, check_producer, check_word
from .queues import Queues
from .receiving import Receiver
from .sending import Draft, Duration, Sender, draft_of
from .subscriptions import Subscription, Subscriptions
from .window import Window

if TYPE_CHECKING:
    from ..queues.base import Joinable

#: The name of the invalid channel, unless an application says another.
INVALID = "invalid"


@dataclass(frozen=True)
class Standing:
    """How many messages stand at one address."""

    channel: str
    consumer: str
    #: May be had, as far as is known without reading them.
    ready: int
    #: A consumer has them in hand.
    held: int
    #: Wait for their time or their window, or have expired.
    later: int


class Channels:
    """Sends messages to consumers and gets them.

    All methods are safe to call from several threads.

    Arguments:
        service: whose database holds the messages.
        invalid: the name of the channel for what was rejected or has expired; the same in all processes.

    Raises :class:`SpecError`.
    """

    def __init__(self, service: QueueService, invalid: str = INVALID) -> None:
        if not isinstance(service, QueueService):
            raise SpecError(f"Channels takes a QueueService, not {shown(service)}")
        #: Where the queues are.
        self.queue_service = service
        self.invalid = check_word(invalid, "channel")
        self._queues = Queues(service)
        self._sender = Sender(service, self._queues)
        self._invalid = Invalid(service, self._queues, self.invalid)
        self._receiver = Receiver(service, self._queues, self._invalid)
        self._subscriptions = Subscriptions(service)
        self._dispatcher = Dispatcher(service, self._queues, self._is_wanted)
        service.settings.channels = self

    # --- sending ---

    def send(
        self, channel: str, data: Any, *, producer: str, consumer: str, kind: str = "", sequence: int = 0,
        delay: Duration | None = None, expires: Duration | None = None, user: str | None = None,
        window: Window | None = None, session: Joinable | None = None,
    ) -> Message:  # fmt: skip
        """Send a message to one consumer.

        Arguments:
            data: whatever survives the serializer.
            kind: a label, such as "Command", "Data" or "Event".
            sequence: lower goes first (32 bits); the same go in the order in which they were sent.
            delay: not delivered before so long: seconds, a timedelta, or a text as "5s", "10m", "1h".
            expires: not delivered any more so long after that; None: at any time.
            user: the id of the user in whose name it is sent.
            window: delivered only while this is open.
            session: an SQLAlchemy Session or Connection on the same database, whose commit or rollback then decides.

        Raises :class:`SpecError`, :class:`SerializationError`, :class:`SessionMismatch`.
        """
        draft = draft_of(
            data, producer=producer, kind=kind, sequence=sequence, delay=delay, expires=expires, user=user,
            window=window, is_published=False,
        )  # fmt: skip
        return self._sender.send([check_address(self._open(channel), consumer)], draft, session)[0]

    def publish(
        self, channel: str, data: Any, *, producer: str, kind: str = "", sequence: int = 0,
        delay: Duration | None = None, expires: Duration | None = None, user: str | None = None,
        window: Window | None = None, session: Joinable | None = None,
    ) -> int:  # fmt: skip
        """Send a copy to each consumer with a subscription for this producer, or for any; how many that were.

        All copies are stored in one transaction. Arguments and errors as of :meth:`send`.
        """
        draft = draft_of(
            data, producer=producer, kind=kind, sequence=sequence, delay=delay, expires=expires, user=user,
            window=window, is_published=True,
        )  # fmt: skip
        addresses = self._subscribers(self._open(channel), draft, session)
        return len(self._sender.send(addresses, draft, session)) if addresses else 0

    def _subscribers(self, channel: str, draft: Draft, session: Joinable | None) -> list[Address]:
        database, producer = self.queue_service.database, draft.facts.producer
        session = session if session is not None else database.current_session
        if session is not None:
            names = stored.consumers(database.joined(session), channel, producer)
        else:
            names = database.statement(lambda tx: stored.consumers(tx, channel, producer), write=False)
        return [Address(channel, name) for name in names]

    def _open(self, channel: object) -> str:
        """A channel on which messages may be put."""
        name = check_word(channel, "channel")
        if name == self.invalid:
            raise SpecError(
                f"channel {name!r} is for what was rejected or has expired: use reject(), or another channel"
            )
        return name

    # --- receiving ---

    def get(
        self, channel: str, *, consumer: str, producer: str | None = None, user: str | None = None,
        session: Joinable | None = None,
    ) -> Message | None:  # fmt: skip
        """Remove the next message that may be delivered now, and return it; None: there is none.

        Arguments:
            producer, user: only what this producer has sent, or was sent in the name of this user.
            session: an SQLAlchemy Session or Connection on the same database: the message is gone with its commit, and
                is there again after a rollback.

        Raises :class:`SpecError`, :class:`SessionMismatch`.
        """
        return self._receiver.take(
            check_address(channel, consumer), check_producer(producer), check_user(user), session
        )

    def peek(
        self, channel: str, *, consumer: str, producer: str | None = None, user: str | None = None,
        session: Joinable | None = None,
    ) -> Message | None:  # fmt: skip
        """The message that :meth:`get` would remove; it stays."""
        return self._receiver.peek(
            check_address(channel, consumer), check_producer(producer), check_user(user), session
        )

    def is_waiting(
        self, channel: str, *, consumer: str, producer: str | None = None, user: str | None = None,
        session: Joinable | None = None,
    ) -> bool:  # fmt: skip
        """Whether :meth:`get` would return a message."""
        return self.peek(channel, consumer=consumer, producer=producer, user=user, session=session) is not None

    def receive(
        self, channel: str, *, consumer: str, producer: str | None = None, user: str | None = None,
        pause: Duration = 0, max_failures: int | None = None,
    ) -> AbstractContextManager[Message | None]:  # fmt: skip
        """Hold the next message inside a ``with`` block, and remove it at its end; None: there is none.

        Nobody else gets it meanwhile. If the block raises, it is given back, and may be had again after ``pause``; if
        the process is killed, some seconds later (``lease_slice`` of the service). At the end of a block whose hold
        was lost meanwhile, because the process stood still for too long, :class:`LeaseLost` is raised.

        Arguments:
            producer, user: as for :meth:`get`.
            pause: seconds, a timedelta, or a text as "10s".
            max_failures: with the failure of that number it is put on the invalid channel instead; None: never.

        Raises :class:`SpecError`.
        """
        return self._receiver.receive(
            check_address(channel, consumer), check_producer(producer), check_user(user),
            delay_ms(seconds_of(pause, "pause"), "pause"), _check_count(max_failures),
        )  # fmt: skip

    # --- the invalid channel ---

    def reject(self, message: Message, reason: str, session: Joinable | None = None) -> Message:
        """Put a message on the invalid channel, for the same consumer, with ``"origin::reason"`` as its reason.

        It may have been taken by :meth:`get`, or be in hand in a block of :meth:`receive`; one that was only looked at
        is removed from its channel if nobody has taken it since.

        Arguments:
            reason: its first 500 characters are kept.
            session: as for :meth:`send`; the one with which the message was taken, if there was one.

        Returns the message as it stands there. Raises :class:`LeaseLost` when it is not this consumer's any more, and
        :class:`SpecError`.
        """
        return self._invalid.reject(message, reason, session)

    def expire(self) -> int:
        """Put what has expired on the invalid channel, as ``"origin::Expired"``; how many messages that were.

        Nothing expired is ever delivered, with or without this: call it now and then, so that it does not pile up.
        """
        return self._invalid.expire()

    # --- subscriptions ---

    def subscribe(
        self, channel: str, *, consumer: str, producer: str | None = None, callback: str | None = None
    ) -> Subscription:
        """Let a consumer get copies of what is published on a channel; said again it changes nothing.

        Arguments:
            producer: only of what this producer sends; None: of all.
            callback: the name of what :meth:`dispatch` calls when a message waits (see :meth:`callback`).

        Raises :class:`SpecError`.
        """
        subscription = Subscription.checked(channel, consumer, producer, callback)
        self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(
        self, channel: str, *, consumer: str, producer: str | None = None, callback: str | None = None
    ) -> None:
        """Take a subscription back that was made with just these arguments; nothing happens if there is none.

        What was sent before stays. Raises :class:`SpecError`.
        """
        self._subscriptions.remove(Subscription.checked(channel, consumer, producer, callback))

    def subscriptions(self) -> list[Subscription]:
        """All subscriptions, by channel and consumer."""
        return self._subscriptions.every()

    def wake_ups(self) -> list[Subscription]:
        """The subscriptions with a callback for which a message waits, by channel and consumer."""
        waits: dict[tuple[Address, str | None], bool] = {}
        found = []
        for subscription in self.subscriptions():
            if subscription.callback is None:
                continue
            key = subscription.address, subscription.producer
            if key not in waits:
                waits[key] = self._is_wanted(subscription)
            if waits[key]:
                found.append(subscription)
        return found

    def _is_wanted(self, subscription: Subscription) -> bool:
        return self._receiver.peek(subscription.address, subscription.producer, None, None) is not None

    def callback(self, name: str) -> Callable[[Function], Function]:
        """Decorator: the function is called by :meth:`dispatch`, as ``function(subscription)``.

        Arguments:
            name: what subscriptions call it: 1 to 128 ASCII letters, digits and ``_ . : -``.

        Raises :class:`SpecError`.
        """
        checked = check_name(name, "callback")
        return lambda function: self._dispatcher.register(checked, function)

    def dispatch(self) -> int:
        """Call the callbacks of :meth:`wake_ups`, one after the other; how many calls were made.

        One subscription is never called by two at once, in whatever threads, processes and hosts this is done. What a
        callback raises is logged. Callbacks that are not registered with this object are left to others.
        """
        return self._dispatcher.dispatch(self.wake_ups())

    def unregistered(self) -> list[Subscription]:
        """Those of :meth:`wake_ups` whose callback is not registered with this object; :meth:`dispatch` leaves them to
        other processes, and logs a warning, once for each callback."""
        return [subscription for subscription in self.wake_ups() if not self._dispatcher.knows(subscription)]

    # --- looking ---

    def overview(self) -> list[Standing]:
        """How many messages stand at each address that ever got one, by channel and consumer."""
        counted = [(queue.address, queue.count_states()) for queue in self._queues.standing()]
        return [Standing(*address, *counts) for address, counts in sorted(counted)]


def _check_count(number: object) -> int | None:
    if number is None or (isinstance(number, int) and not isinstance(number, bool) and number >= 1):
        return number
    raise SpecError(f"max_failures must be a whole number of at least 1, or None, not {shown(number)}")
