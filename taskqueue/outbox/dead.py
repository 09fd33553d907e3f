"""Dead messages: those that used up their attempts, or that nothing can deliver."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, TypedDict

from ..errors import PayloadError, SpecError
from ..queues.archived import CHUNK
from ..queues.batch import BatchQueue
from ..queues.ended import DeadItem
from ..queues.sql_base import SqlBase
from ..spec import nearest, shown
from .message import Message
from .reference import MessageRef

if TYPE_CHECKING:
    from typing_extensions import Unpack

_MESSAGE_ID = re.compile("[0-9a-f]{32}", re.ASCII)


class MessageFilters(TypedDict, total=False):
    """What dead messages may be chosen by; None stands for any, and all that are given must be met."""

    service: str | None
    #: The event or method.
    event: str | None
    queue: str | None
    #: A text that stands in the error, in capitals or not.
    error: str | None
    #: Died at that moment or later, died before that moment: aware datetimes.
    since: datetime | None
    until: datetime | None


@dataclass(frozen=True)
class DeadMessage:
    """A dead message, as it was when it was read. Times are aware, UTC."""

    #: That of its :class:`MessageRef`: the same at each attempt, and when it is revived.
    id: str
    item_id: int
    queue_name: str
    #: The names of the service and of the event or method, and a short form of both; None, and "(unreadable message)",
    #: where what is stored cannot be read.
    service: str | None
    event: str | None
    title: str
    #: How many attempts failed.
    attempts: int
    #: Why it died, and where in the code; None where that says nothing.
    error: str
    traceback: str | None
    #: When it was recorded, and when it died.
    submit_time: datetime
    dead_time: datetime
    #: In whose name it was recorded.
    user: Any
    headers: dict[str, Any]
    #: All of it.
    message: Message | None

    @classmethod
    def of(cls, letter: DeadItem) -> DeadMessage:
        """A dead letter of a queue, read as a message."""
        try:
            message: Message | None = Message.of(letter.data)
        except PayloadError:
            message = None
        return cls(
            letter.uid, letter.id, letter.queue_name, message.service if message else None,
            message.event if message else None,
            message.title if message else "(unreadable message)", letter.attempts, letter.error, letter.traceback,
            letter.submit_time, letter.dead_time, message.user if message else None,
            message.headers if message else {}, message,
        )  # fmt: skip


class DeadMessages:
    """The dead messages of the queues of an outbox. All methods take ids of messages, filters
    (:class:`MessageFilters`), or both; what they name must be met together.

    Arguments:
        queues: gives the queue of that name, or all for None; raises :class:`SpecError`.
    """

    def __init__(self, queues: Callable[[str | None], Iterable[BatchQueue]]) -> None:
        self._queues = queues

    def list(
        self, *ids: str | MessageRef, after: tuple[str, int] | None = None, **filters: Unpack[MessageFilters]
    ) -> Iterator[DeadMessage]:
        """By the names of the queues, then the oldest first; read in pages.

        Arguments:
            after: ``(queue_name, item_id)`` of the last one that is known already.

        Raises :class:`SpecError`.
        """
        for chosen in self._chosen(ids, filters):
            if after is None or chosen.queue.name >= after[0]:
                yield from chosen.messages(after[1] if after and chosen.queue.name == after[0] else -1)

    def count(self, *ids: str | MessageRef, **filters: Unpack[MessageFilters]) -> int:
        """How many there are. Raises :class:`SpecError`."""
        return sum(chosen.count() for chosen in self._chosen(ids, filters))

    def revive(self, *ids: str | MessageRef, everything: bool = False, **filters: Unpack[MessageFilters]) -> int:
        """Put dead messages back under their ids, due now, with fresh attempts; return how many.

        Arguments:
            everything: all of them, when neither ids nor filters are given.

        Five hundred at a time, each time in a transaction. Raises :class:`SpecError`, also when nothing says which.
        """
        _check_said(ids, everything, filters)
        return sum(chosen.queue.revive_items(chosen.item_ids()) for chosen in self._chosen(ids, filters))

    def delete(self, *ids: str | MessageRef, everything: bool = False, **filters: Unpack[MessageFilters]) -> int:
        """Throw dead messages away, on record, in the same way; return how many."""
        _check_said(ids, everything, filters)
        return sum(chosen.queue.delete_dead_items(chosen.item_ids()) for chosen in self._chosen(ids, filters))

    def _chosen(self, ids: tuple[str | MessageRef, ...], filters: Mapping[str, Any]) -> Iterator[_Chosen]:
        for name in filters:
            if name not in MessageFilters.__annotations__:
                known = MessageFilters.__annotations__
                raise SpecError(f"unknown filter {name!r}{nearest(name, known)}; known are {', '.join(known)}")
        uids = {_message_id(given) for given in ids} if ids else None
        rest = dict(filters)
        service, event = rest.pop("service", None), rest.pop("event", None)
        for queue in self._queues(rest.pop("queue", None)):
            yield _Chosen(queue, uids, service, event, rest)


@dataclass(frozen=True)
class _Chosen:
    """Those of one queue that are meant."""

    queue: BatchQueue
    uids: set[str] | None
    service: str | None
    event: str | None
    #: What the queue itself knows.
    rest: dict[str, Any]

    def messages(self, after_id: int = -1) -> Iterator[DeadMessage]:
        for letter in self.queue.dead_letters(self._named(), **self.rest):
            if letter.id <= after_id:
                continue
            message = DeadMessage.of(letter)
            if self.service in (None, message.service) and self.event in (None, message.event):
                yield message

    def item_ids(self) -> Iterable[int]:
        """Read to their end before anything is changed."""
        if self.service is None and self.event is None:
            return [*self.queue.dead_ids(self._named(), **self.rest)]
        return [message.item_id for message in self.messages()]

    def count(self) -> int:
        if self.service is None and self.event is None:
            return self.queue.count_dead_items(self._named(), **self.rest)
        return sum(1 for _message in self.messages())

    def _named(self) -> Iterable[int] | None:
        if self.uids is None:
            return None
        assert isinstance(self.queue, SqlBase)  # noqa: S101  (an outbox has no others)
        rest, found = iter(self.uids), []
        while chunk := [*islice(rest, CHUNK)]:
            found += self.queue.database.statement(partial(self.queue.dead.with_uids, uids=chunk), write=False)
        return found


def _message_id(given: str | MessageRef) -> str:
    found = given.id if isinstance(given, MessageRef) else given
    if not isinstance(found, str):
        raise SpecError(f"the id of a message is text, as that of its MessageRef, not {shown(found)}")
    return found if _MESSAGE_ID.fullmatch(found) else ""  # of which there is none


def _check_said(ids: tuple[Any, ...], everything: bool, filters: Mapping[str, Any]) -> None:
    if not (ids or everything or any(value is not None for value in filters.values())):
        raise SpecError("say which dead messages are meant: their ids, a filter such as service=, or everything=True")
