"""A message of a channel: what its consumer gets, and what stands in the item."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .. import clock
from ..errors import PayloadError, SpecError
from ..item import QueueItem
from ..spec import shown
from .names import Address
from .window import Window

#: Between the channel from which a message was taken and the reason, on the invalid channel.
SEPARATOR = "::"
_LONGEST_LABEL = 191
#: So many characters of a reason are kept, and so many bytes more than usual may be stored of an invalid message.
LONGEST_REASON = 500
ROOM = LONGEST_REASON * 6 + 500


@dataclass
class Handle:
    """How a message stands to its queue: seen there, held, or removed from it."""

    #: The item as it was when it was read; None when it is in the queue no more.
    item: QueueItem | None = None
    #: It has been handed back in one way or another, or rejected: nothing more may become of it.
    is_settled: bool = False


@dataclass(frozen=True)
class Facts:
    """What is stored with the data of a message; times are milliseconds."""

    producer: str
    kind: str = ""
    user: str | None = None
    window: Window | None = None
    #: One of the copies that were made for all subscribers.
    is_published: bool = False
    #: Not delivered before so long after it was sent; and not later than so long after that. None: at any time.
    delay: int = 0
    lasts: int | None = None
    #: Of an invalid message: when it was sent, was to be delivered, and expired (since 1970), and why it is invalid.
    sent: int | None = None
    due: int | None = None
    expired: int | None = None
    reason: str | None = None

    def to_data(self, data: Any) -> dict[str, Any]:
        """What is stored; what says nothing is left out."""
        found = {name: getattr(self, name) for name in _KINDS}
        stored = {name: value for name, value in found.items() if value not in (None, False, 0, "")}
        window = {"window": self.window.to_data()} if self.window is not None else {}
        return {**stored, **window, "data": data}

    @classmethod
    def of(cls, data: Any) -> Facts:
        """Read what :meth:`to_data` gave. Raises :class:`PayloadError`."""
        if not isinstance(data, Mapping) or "data" not in data or not isinstance(data.get("producer"), str):
            raise PayloadError("the stored item is no message of a channel: it was put on this queue by something else")
        for name, kind in _KINDS.items():
            if name in data and type(data[name]) is not kind:
                raise PayloadError(f"the stored message is damaged: {name} is {shown(data[name])}")
        window = Window.of(data["window"]) if "window" in data else None
        return cls(**{name: data[name] for name in _KINDS if name in data}, window=window)


_KINDS: dict[str, type] = {
    "producer": str, "kind": str, "user": str, "is_published": bool, "delay": int, "lasts": int, "sent": int,
    "due": int, "expired": int, "reason": str,
}  # fmt: skip


@dataclass(frozen=True)
class Message:
    """A message as it was when it was read. Times are aware, UTC."""

    #: Unique among all items of the database; a message that becomes invalid gets another one.
    id: int
    channel: str
    consumer: str
    producer: str
    data: Any
    #: A label of the sender's, such as "Command", "Data" or "Event".
    kind: str
    #: Lower goes first.
    sequence: int
    #: The user in whose name it was sent, or None.
    user: str | None
    sent: datetime
    #: Not delivered before that (nor outside of its window), and not at or after ``expires``.
    deliver_after: datetime
    expires: datetime | None
    window: Window | None
    #: Whether it is one of the copies that were made for all subscribers.
    is_published: bool
    #: Why it is on the invalid channel: the channel from which it came, "::", and the reason; else None.
    reason: str | None
    #: How often it was taken by a consumer, this time included; 0: it was only looked at, or never taken before.
    attempts: int
    _handle: Handle = field(default_factory=Handle, repr=False, compare=False)

    @property
    def address(self) -> Address:
        """Where it stands, or stood."""
        return Address(self.channel, self.consumer)

    @property
    def is_invalid(self) -> bool:
        """Whether it is on the invalid channel."""
        return self.reason is not None

    @property
    def origin(self) -> str:
        """The channel to which it was sent."""
        return self.reason.split(SEPARATOR, 1)[0] if self.reason is not None else self.channel

    def is_expired(self, moment: datetime) -> bool:
        """Whether it may not be delivered any more; what is invalid stays, for whoever looks after that."""
        return not self.is_invalid and self.expires is not None and self.expires <= moment

    def opening(self, moment: datetime) -> datetime:
        """The first moment from then on at which its window is open; what is invalid may be had at any time."""
        return self.window.opening(moment) if self.window is not None and not self.is_invalid else moment

    def invalid_facts(self, reason: str) -> Facts:
        """What is stored of it on the invalid channel."""
        return Facts(
            self.producer, self.kind, self.user, self.window, self.is_published, sent=clock.moment_ms(self.sent),
            due=clock.moment_ms(self.deliver_after),
            expired=clock.moment_ms(self.expires) if self.expires is not None else None,
            reason=f"{self.channel}{SEPARATOR}{reason}",
        )  # fmt: skip


def read_message(address: Address, item: QueueItem) -> Message:
    """The message that an item is. Raises :class:`PayloadError`."""
    facts = Facts.of(item.data)
    sent = facts.sent if facts.sent is not None else clock.moment_ms(item.submit_time)
    due = facts.due if facts.due is not None else sent + facts.delay
    expires = due + facts.lasts if facts.lasts is not None else facts.expired
    return Message(
        id=item.id, channel=address.channel, consumer=address.consumer, producer=facts.producer,
        data=item.data["data"], kind=facts.kind, sequence=item.weight, user=facts.user, sent=clock.from_ms(sent),
        deliver_after=clock.from_ms(due), expires=clock.from_ms(expires) if expires is not None else None,
        window=facts.window, is_published=facts.is_published, reason=facts.reason, attempts=item.run_count,
        _handle=Handle(item),
    )  # fmt: skip


def check_label(text: object, what: str) -> str:
    """A label as it is stored. Raises :class:`SpecError`."""
    if isinstance(text, str) and len(text) <= _LONGEST_LABEL and text.isprintable():
        return text
    raise SpecError(f"{what} must be a text of at most {_LONGEST_LABEL} printable characters, not {shown(text)}")


def check_user(user: object) -> str | None:
    """The id of a user, or None. Raises :class:`SpecError`."""
    if user == "":
        raise SpecError("user must not be empty: leave it out where there is none")
    return None if user is None else check_label(user, "user")


def check_reason(reason: object) -> str:
    """A reason as it is kept: its first :data:`LONGEST_REASON` characters. Raises :class:`SpecError`."""
    if isinstance(reason, str) and reason.strip():
        return reason[:LONGEST_REASON]
    raise SpecError(f"the reason of a rejection must be a text that is not empty, not {shown(reason)}")
