"""The names of channels, consumers and producers, and of the queues behind them."""

from __future__ import annotations

import re
from typing import NamedTuple

from ..errors import SpecError
from ..spec import check_name, shown

#: Short enough for two of them, and what stands around them, in the name of a queue.
LONGEST = 50
_WORD = re.compile(rf"[A-Za-z0-9_.-]{{1,{LONGEST}}}", re.ASCII)
_PREFIX = "channel"
#: The queue with what is being called at the moment (see ``dispatch``); no channel has one of that name.
CALLS = "channel-calls"


class Address(NamedTuple):
    """Where a message goes: each address has a queue of its own, so that nobody looks past what others have."""

    channel: str
    consumer: str

    @property
    def queue_name(self) -> str:
        """The name of its queue."""
        return f"{_PREFIX}:{self.channel}:{self.consumer}"


def address_of(queue_name: str) -> Address | None:
    """The address whose queue has that name; None when it is no queue of a channel."""
    parts = queue_name.split(":")
    return Address(parts[1], parts[2]) if len(parts) == 3 and parts[0] == _PREFIX else None


def check_address(channel: object, consumer: object) -> Address:
    """An address of checked names. Raises :class:`SpecError`."""
    return Address(check_word(channel, "channel"), check_word(consumer, "consumer"))


def check_word(name: object, what: str) -> str:
    """``name`` if it may name ``what``; compared exactly. Raises :class:`SpecError`."""
    if isinstance(name, str) and _WORD.fullmatch(name):
        return name
    raise SpecError(
        f"{shown(name)} cannot name a {what}: use 1 to {LONGEST} ASCII letters, digits, '_', '.' or '-'"
        + (" (None means any producer)" if name == "*" and what == "producer" else "")
    )


def check_producer(name: object) -> str | None:
    """A producer, or None for any."""
    return None if name is None else check_word(name, "producer")


def check_callback(name: object) -> str | None:
    """The name of a callback, or None for none."""
    return None if name is None else check_name(name, "callback")
