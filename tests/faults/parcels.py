"""A service whose calls are recorded in an outbox; where it is told to, it waits at the gate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from taskqueue import QueueService
from taskqueue.outbox import MessageContext, Outbox, after, handles, queued
from tests.faults.history import History
from tests.faults.tasks import Gate

#: Added to the number of a parcel: what the application writes with the call, and what the callback writes.
BOOKED, TOLD = 10_000, 1000


class Parcels:
    """Each parcel, and each callback, is a row that is written in the transaction of the message."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @handles
    def send(self, ctx: MessageContext, *, number: int, holds: str = "") -> dict[str, Any]:
        """Write a row; wait "before", or "after" it in the open transaction."""
        self._note("start", ctx, number)
        self._wait(holds == "before")
        write(ctx.session, number)
        self._note("inserted", ctx, number)
        self._wait(holds == "after")
        return {"number": number, "holds": holds}

    @after("send", "succeeded")
    def sent(self, ctx: MessageContext, result: Any) -> None:
        """Write a row; wait in the open transaction if the parcel is held in its "callback"."""
        number = result["number"] + TOLD
        self._note("start", ctx, number)
        write(ctx.session, number)
        self._note("inserted", ctx, number)
        self._wait(result["holds"] == "callback")

    @handles
    def refuse(self, ctx: MessageContext, *, number: int) -> None:
        """Fail for good, after a row was written."""
        self._note("start", ctx, number)
        write(ctx.session, number)
        error = ValueError("refused")
        error.unrecoverable = True  # type: ignore[attr-defined]
        raise error

    @after("refuse", "failed")
    def refused(self, ctx: MessageContext, error: Any) -> None:
        """Write a row."""
        write(ctx.session, TOLD)

    def post(self, *, number: int) -> None:
        """Something that knows of no transaction, as a call of another system."""
        History(self._folder).write("posted", number=number)

    def _note(self, kind: str, ctx: MessageContext, number: int) -> None:
        key = ctx.message.parent or ctx.message_id
        History(self._folder).write(kind, number=number, attempt=ctx.attempt, key=key)

    def _wait(self, is_held: bool) -> None:
        if is_held:
            Gate.wait(str(self._folder))


def make_parcels(service: QueueService, folder: Path) -> tuple[Outbox, Parcels]:
    """The outbox as all processes of a test have it."""
    outbox = Outbox(service)
    return outbox, outbox.register("parcels", Parcels(folder))


def write(session: Session, number: int) -> None:
    """One row."""
    session.execute(text("INSERT INTO effects (number, fence) VALUES (:number, 0)"), {"number": number})


def book(service: QueueService, parcels: Parcels, number: int, **options: Any) -> None:
    """What an application does: a row of its own and the call, in one transaction."""
    with Session(service.engine) as session, session.begin():
        write(session, number + BOOKED)
        queued(parcels, session, **options).send(number=number)
