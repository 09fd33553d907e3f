"""The form that calls an operation, and the call itself: once, however often the form is sent."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict

from taskqueue.operations import Call, Operation, Operations

from ..tables import demo_sent
from .form import KEY

#: A day.
LONGEST_DELAY = 86_400
#: The ways to call it, by the value of the button.
LATER, NOW = "later", "now"


@dataclass
class CallForm:
    """The fields as the user sees them, and the mistakes by the name of the field."""

    #: Made with the form: the same form sent twice is one call.
    key: str = field(default_factory=lambda: secrets.token_hex(6))
    operation: str = ""
    data: str = "{}"
    delay: str = "0"
    how: str = LATER
    errors: dict[str, str] = field(default_factory=dict)
    #: More about a mistake.
    details: list[str] = field(default_factory=list)
    value: Any = None

    @classmethod
    def of(cls, fields: MultiDict[str, str], known: Iterable[str]) -> CallForm:
        """What was sent, checked: without ``errors`` it is fit to be called."""
        form = cls(
            operation=fields.get("operation", ""),
            data=fields.get("data", ""),
            delay=fields.get("delay", "").strip() or "0",
            how=NOW if fields.get("how") == NOW else LATER,
        )
        if KEY.fullmatch(fields.get("key", "")):
            form.key = fields["key"]
        if form.operation not in known:
            form.errors["operation"] = "Choose one of the list."
        if not (form.delay.isascii() and form.delay.isdigit()) or not int(form.delay[:9]) <= LONGEST_DELAY:
            form.errors["delay"] = f"Enter whole seconds from 0 to {LONGEST_DELAY}."
        try:
            form.value = json.loads(form.data)
        except ValueError as error:
            form.errors["data"] = f"This is no JSON: {error}."
        except RecursionError:
            form.errors["data"] = "This is nested too deep."
        return form

    @property
    def fingerprint(self) -> str:
        """Tells whether two forms ask for the same."""
        return hashlib.sha256(json.dumps([self.operation, self.value, self.delay, self.how]).encode()).hexdigest()


class SentBefore(Exception):
    """The same form was sent before; ``call_id`` is that of the call that it made, if it was deferred."""

    def __init__(self, call_id: str | None, is_same: bool) -> None:
        super().__init__()
        self.call_id = call_id
        self.is_same = is_same


def defer(operations: Operations, operation: Operation, form: CallForm, login: str) -> Call:
    """Defer what a form asks for. Raises :class:`SentBefore` and what :meth:`Operations.defer` raises."""
    asked: dict[str, Any] = {"user": login, "delay": int(form.delay)}
    if operation.idempotent:
        return operations.defer(operation.name, form.value, key=form.key, **asked)
    # It takes no key, so that we keep it ourselves: in one transaction with the call.
    try:
        with Session(operations.service.engine) as session, session.begin():
            _keep(session, form, login)
            call = operations.defer(operation.name, form.value, session=session, **asked)
            session.execute(update(demo_sent).where(demo_sent.c.key == form.key).values(call=call.id))
        return call
    except IntegrityError:
        raise _before(operations, form, login) from None


def execute(operations: Operations, operation: Operation, form: CallForm, login: str) -> Any:
    """Execute what a form asks for; return the result. Raises :class:`SentBefore`, and what the operation raises."""
    if operation.idempotent:
        return operations.call(operation.name, form.value, user=login, key=form.key)
    try:
        # Before it is executed: whatever happens then, it is not executed a second time.
        with Session(operations.service.engine) as session, session.begin():
            _keep(session, form, login)
    except IntegrityError:
        raise _before(operations, form, login) from None
    return operations.call(operation.name, form.value, user=login)


def _keep(session: Session, form: CallForm, login: str) -> None:
    session.execute(insert(demo_sent).values(key=form.key, owner=login, fingerprint=form.fingerprint))


def _before(operations: Operations, form: CallForm, login: str) -> SentBefore:
    mine = (demo_sent.c.key == form.key) & (demo_sent.c.owner == login)
    with Session(operations.service.engine) as session:
        row = session.execute(select(demo_sent.c.call, demo_sent.c.fingerprint).where(mine)).first()
    if row is None:  # a key of somebody else's
        return SentBefore(None, False)
    return SentBefore(row.call, row.fingerprint == form.fingerprint)
