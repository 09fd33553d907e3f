"""The messages of an outbox as a mapped class, which an application may query and show, but not change."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Dialect,
    Select,
    String,
    Text,
    case,
    event,
    func,
    literal,
    null,
    select,
    type_coerce,
    union_all,
)
from sqlalchemy.orm import Mapped, registry
from sqlalchemy.types import TypeDecorator

from .. import clock
from ..errors import NotSupported
from ..payload import FORMAT
from ..storage.schema import LEASED, READY, Tables

_DEAD = -1
_STATES = {READY: "ready", LEASED: "leased", _DEAD: "dead"}
#: How the text of a message begins, without its signature: names of services need no escapes.
_BEGINNING = f'{{"v":{FORMAT},"data":{{"service":"'
#: In front of that: the uid and a bar, where messages are signed.
_SIGNED_FOR = 33


class StoredMessage:
    """A message that waits or is dead; what was delivered is gone. Made by :attr:`Outbox.Message`."""

    #: That of its :class:`MessageRef`, and of its item.
    id: Mapped[str]
    item_id: Mapped[int]
    #: The name of the queue, as it stands in the database.
    queue: Mapped[str]
    #: When it was recorded; aware, UTC, as all times here.
    timestamp: Mapped[datetime]
    #: The name of the service; None for what is no message.
    target: Mapped[str | None]
    #: The message as JSON text: service, event, kind, args, kwargs, headers, user ...; what it says nothing about is
    #: left out. What cannot be read is shown as it is stored.
    msg: Mapped[str]
    #: How many attempts failed.
    attempts: Mapped[int]
    last_error: Mapped[str | None]
    #: When the latest attempt failed; None: none did.
    last_attempt_timestamp: Mapped[datetime | None]
    is_dead: Mapped[bool]
    #: "ready", "leased" (being delivered), "delayed" (also: until it is tried again) or "dead".
    state: Mapped[str]

    @property
    def event(self) -> str | None:
        """The name of the event or method, out of ``msg``."""
        try:
            found = json.loads(self.msg)["event"]
        except (ValueError, TypeError, LookupError, RecursionError):
            return None
        return found if isinstance(found, str) else None

    def __repr__(self) -> str:
        return f"<message {self.id} for {self.target}, {self.state}>"


def message_class(tables: Tables, app_id: str | None, *, is_signed: bool, dialect_name: str) -> type[StoredMessage]:
    """A class over the items and the dead letters of all queues of an outbox."""
    rows = union_all(
        _waiting(tables, app_id, is_signed, dialect_name), _dead(tables, app_id, is_signed, dialect_name)
    ).subquery(f"{tables.prefix}message")
    made = type("Message", (StoredMessage,), {"__doc__": StoredMessage.__doc__, "__module__": __name__})
    registry().map_imperatively(made, rows, primary_key=[rows.c.id])
    for moment in ("before_insert", "before_update", "before_delete"):
        event.listen(made, moment, _refuse)
    return made


def _refuse(_mapper: Any, _connection: Any, message: StoredMessage) -> None:
    raise NotSupported(
        f"message {message.id!r} of an outbox can only be looked at: revive or delete dead ones by outbox.dead, take "
        "others back by MessageRef.cancel()"
    )


# --- the rows ---


def _waiting(tables: Tables, app_id: str | None, is_signed: bool, dialect_name: str) -> Select[Any]:
    item, ending = tables.item.c, tables.ending.c
    latest = (
        select(func.max(ending.end_time))
        .where(ending.queue_name == item.queue_name, ending.item_id == item.id, ending.outcome == "retry")
        .scalar_subquery()
    )
    # Most have never failed, and need no look at their history.
    failed = case((item.failures > 0, latest), else_=null())
    state = case({key: word for key, word in _STATES.items() if key != _DEAD}, value=item.state, else_="delayed")
    return _common(item, is_signed, dialect_name).add_columns(
        item.last_error, type_coerce(failed, _Moment()).label("last_attempt_timestamp"),
        literal(False, Boolean).label("is_dead"), type_coerce(state, String(8)).label("state"),
    ).where(_is_ours(tables, item.queue_name, app_id))  # fmt: skip


def _dead(tables: Tables, app_id: str | None, is_signed: bool, dialect_name: str) -> Select[Any]:
    dead = tables.dead.c
    return _common(dead, is_signed, dialect_name).add_columns(
        dead.error, type_coerce(dead.dead_time, _Moment()), literal(True, Boolean), literal("dead", String(8)),
    ).where(_is_ours(tables, dead.queue_name, app_id))  # fmt: skip


def _common(row: Any, is_signed: bool, dialect_name: str) -> Select[Any]:
    return select(
        row.uid.label("id"), row.id.label("item_id"), row.queue_name.label("queue"),
        type_coerce(row.submit_time, _Moment()).label("timestamp"),
        _service_in(row.data, is_signed, dialect_name).label("target"),
        type_coerce(row.data, _Readable(is_signed)).label("msg"), row.failures.label("attempts"),
    )  # fmt: skip


def _is_ours(tables: Tables, name: ColumnElement[str], app_id: str | None) -> ColumnElement[bool]:
    """Whether that is the name of a queue of the outbox, as of the moment of reading."""
    queue = tables.queue.c
    if app_id is None:
        is_of_app: ColumnElement[bool] = queue.name.not_like("%:%")
    else:  # LIKE would take "A" for "a" on SQLite
        suffix = f":{app_id}"
        is_of_app = func.substr(queue.name, func.length(queue.name) - len(suffix) + 1) == suffix
    return name.in_(select(queue.name).where(queue.options.like('%"payload": "outbox"%'), is_of_app))


def _service_in(data: ColumnElement[str], is_signed: bool, dialect_name: str) -> ColumnElement[str | None]:
    """The name of the service, cut out of the stored text: JSON functions would fail on what is damaged."""
    body = func.substr(data, _SIGNED_FOR + 1) if is_signed else data
    rest = func.substr(body, len(_BEGINNING) + 1, type_=Text()) + '"'  # of a damaged one the end may be missing
    find = func.strpos if dialect_name == "postgresql" else func.instr
    is_message = func.substr(body, 1, len(_BEGINNING)) == _BEGINNING
    return case((is_message, func.substr(rest, 1, find(rest, '"') - 1, type_=String(128))), else_=null())


# --- the types ---


class _Moment(TypeDecorator[datetime]):
    """Milliseconds since 1970 as an aware datetime."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """What a moment in a condition compares with. Raises :class:`ValueError` on one without a time zone."""
        if value is not None and value.utcoffset() is None:
            raise ValueError(f"give the moment {value} a time zone, as datetime.now(timezone.utc) has")
        return None if value is None else clock.moment_ms(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """What was read."""
        return None if value is None else clock.from_ms(int(value))


class _Readable(TypeDecorator[str]):
    """The message inside the envelope; conditions see the text as it is stored."""

    impl = Text
    cache_ok = True

    def __init__(self, is_signed: bool = False) -> None:
        super().__init__()
        self.is_signed = is_signed

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """What was read; the signature is not looked at, because nothing is executed here."""
        text = value[_SIGNED_FOR:].rpartition(".")[0] if self.is_signed and value else value
        try:
            return json.dumps(json.loads(text)["data"], ensure_ascii=False)
        except (ValueError, TypeError, LookupError, RecursionError):
            return value
