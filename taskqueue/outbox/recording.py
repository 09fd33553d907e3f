"""The ways to record a call: on a queue, in memory until the commit, or not at all."""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from .. import clock
from ..durations import seconds_of
from ..errors import NotSupported, SpecError
from ..interrupts import let_interrupt_pass
from ..queues.arguments import delay_ms
from ..queues.sql_base import SqlBase
from ..spec import shown
from ..storage.committed import after_commit
from .context import current_message
from .dispatch import Dispatcher
from .message import Message, checked_claims, checked_headers
from .queues import Queues
from .reference import MessageRef
from .target import Target

if TYPE_CHECKING:
    from ..queues.base import Joinable

_log = logging.getLogger(__name__)
#: Facts about who makes a call: "user", "claims", "locale".
Facts = Callable[[], Mapping[str, Any]]


class Recorder(ABC):
    """Records the calls of the services of one outbox.

    Arguments:
        facts: who makes a call, where neither the call says so nor a message in hand.
        session: gives the session of the moment, or None; for calls that were given none.
        tenant: the tenant whose database this is.
    """

    #: How many messages were given up without a trace in the database.
    lost = 0
    #: The outbox whose calls it records.
    owner: Any = None

    def __init__(
        self, dispatcher: Dispatcher, facts: Facts, session: Callable[[], Joinable | None], tenant: str | None
    ) -> None:
        self._dispatcher = dispatcher
        self._facts = facts
        self._session = session
        self._tenant = tenant

    def record(
        self, target: Target, kind: str, event: str, args: list[Any], kwargs: Mapping[str, Any],
        session: Joinable | None, options: Mapping[str, Any],
    ) -> MessageRef:  # fmt: skip
        """Record one call (see :data:`.proxy.CALL_OPTIONS`)."""
        recorder = self.owner.recorder_of_moment() if self.owner is not None and session is None else self
        message = recorder.message(target, kind, event, args, kwargs, options)
        return recorder._record(target, message, recorder.session_of(session), options)

    def session_of(self, given: Joinable | None) -> Joinable | None:
        """The given session, or that of the moment."""
        return given if given is not None else self._session_of_moment()

    def message(
        self, target: Target, kind: str, event: str, args: list[Any], kwargs: Mapping[str, Any],
        options: Mapping[str, Any],
    ) -> Message:  # fmt: skip
        """The message of a call that is made now."""
        said = {key: options[key] for key in ("user", "claims", "locale") if key in options}
        facts = said if "user" in said else {**self._facts_of_moment(), **said}
        expires, lasts = _expiry(options.get("expires"))
        locale, version = facts.get("locale"), options.get("min_version")
        if version is not None and (not isinstance(version, int) or isinstance(version, bool)):
            raise SpecError(f"min_version must be a whole number, not {shown(version)}")
        return Message(
            target.name, event, kind, args, dict(kwargs), checked_headers(options.get("headers")), facts.get("user"),
            checked_claims(facts.get("claims")), str(locale) if locale is not None else None, self._tenant, expires,
            lasts, version,
        )  # fmt: skip

    def _facts_of_moment(self) -> Mapping[str, Any]:
        in_hand = current_message()
        return in_hand.facts if in_hand is not None else self._facts()

    def _session_of_moment(self) -> Joinable | None:
        """What a handler records is part of its own transaction, and not of one that nobody may ever commit."""
        in_hand = current_message()
        if in_hand is not None and in_hand.owner is self._dispatcher:
            return in_hand.session
        return self._session()

    @abstractmethod
    def _record(
        self, target: Target, message: Message, session: Joinable | None, options: Mapping[str, Any]
    ) -> MessageRef: ...

    def _checked(self, message: Message) -> MessageRef:
        """The reference to a message that is stored nowhere, but might be: so that tests find what could not."""
        message_id = os.urandom(16).hex()
        self._dispatcher.check(message, message_id)
        return MessageRef(message_id)

    def flush(self, target: Target) -> int:
        """Deliver what is due on the service's queue now."""
        self._dispatcher.refuse_inside()
        return 0


class Persistent(Recorder):
    """As an item on a queue, in the caller's transaction."""

    def __init__(
        self, dispatcher: Dispatcher, facts: Facts, session: Callable[[], Joinable | None], tenant: str | None,
        queues: Queues,
    ) -> None:  # fmt: skip
        super().__init__(dispatcher, facts, session, tenant)
        self._queues = queues

    def _session_of_moment(self) -> Joinable | None:
        return self._queues.session_of_task or super()._session_of_moment()

    def _record(
        self, target: Target, message: Message, session: Joinable | None, options: Mapping[str, Any]
    ) -> MessageRef:
        queue = self._queues.of(target, session)
        placed = _of_item(options)
        if session is None or "dedup_key" in placed:
            return MessageRef.of(queue, queue.create_item(message.to_data(), session=session, **placed))
        assert isinstance(queue, SqlBase)  # noqa: S101  (an outbox has no others)
        uid, item_id = queue.note_item(message.to_data(), session, **placed)
        return MessageRef(uid, queue, item_id)

    def flush(self, target: Target) -> int:
        self._dispatcher.refuse_inside()
        return self._queues.flush(self._queues.of(target, None))


class Deferred(Recorder):
    """In memory: delivered once after the commit, in order. A failure is logged and counted, and never repaired."""

    def _record(
        self, target: Target, message: Message, session: Joinable | None, options: Mapping[str, Any]
    ) -> MessageRef:
        ref = self._checked(message)
        if session is None:
            self._deliver(message, ref)
            return ref
        if isinstance(session, Connection):
            raise NotSupported("an outbox in memory hears of the commit of a Session, not of a Connection")
        ref._states.append("deferred")
        after_commit(session, ref.id, lambda: self._deliver(message, ref))
        return ref

    def _deliver(self, message: Message, ref: MessageRef) -> None:
        try:
            self._dispatcher.deliver(message, ref.id, None)
            ref._states.append("delivered")
        except BaseException as error:  # whatever ends a handler, it is no affair of those who have just committed
            let_interrupt_pass(error)
            self.lost += 1
            ref._states.append("lost")
            told, trace = self._dispatcher.told(message, error)
            _log.error(
                "%s failed after the commit, and an outbox in memory does not try again: %s", message.title, told,
                exc_info=error if trace is not None else None,
            )  # fmt: skip


class Immediate(Recorder):
    """Not at all: the call is made at once, in the caller's transaction, and what it raises reaches the caller."""

    def _record(
        self, target: Target, message: Message, session: Joinable | None, options: Mapping[str, Any]
    ) -> MessageRef:
        ref = self._checked(message)
        self._dispatcher.deliver(message, ref.id, session)
        ref._states.append("delivered")
        return ref


def _of_item(options: Mapping[str, Any]) -> dict[str, Any]:
    """What concerns the item."""
    found = {key: options[key] for key in ("order_key", "release_time", "dedup_key", "weight") if key in options}
    if "delay" in options:
        found["delay"] = seconds_of(options["delay"], "delay")
    return found


def _expiry(expires: datetime | timedelta | float | str | None) -> tuple[int | None, int | None]:
    """The moment at which a message expires, or how long (ms) it lasts."""
    if expires is None:
        return None, None
    if isinstance(expires, datetime):
        if expires.tzinfo is None:
            raise SpecError(f"expires must have a time zone, as datetime.now(timezone.utc) has: {shown(expires)}")
        return clock.moment_ms(expires), None
    return None, delay_ms(seconds_of(expires, "expires"), "expires")
