"""What the tests of schedules share: a service whose handlers can be held, and workers that are killed."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from sqlalchemy import event, select
from sqlalchemy.orm import Session

from taskqueue import QueueService, Schedule, travel
from taskqueue.outbox import MessageContext, Outbox, handles, on
from taskqueue.periodic import tick
from tests.outbox.conftest import bookings

DEADLINE = 20.0
DAY, HOUR, SOON = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
AWAY = ValueError("the partner is away")


class Flights:
    """Does what is said in :attr:`problem`, and waits where it is told to hold."""

    def __init__(self) -> None:
        self.made: list[Any] = []
        self.problem: Exception | None = None
        self._entered = threading.Event()
        self._go_on = threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self._running: Future[int] | None = None

    @handles
    def replicate(self, ctx: MessageContext, entity: str, holds: bool = False) -> str:
        self.made.append(entity)
        if holds:
            self._entered.set()
            assert self._go_on.wait(DEADLINE)
        if self.problem is not None:
            raise self.problem
        return entity

    @handles
    def book(self, ctx: MessageContext, name: str) -> None:
        ctx.session.execute(bookings.insert().values(name=name))

    @on("news/airports")
    def news(self, ctx: MessageContext, data: Any) -> None:
        self.made.append((data, ctx.user, ctx.headers))

    def begin(self, outbox: Outbox) -> None:
        """Let a run that holds get under way, in another thread."""
        self._running = self._pool.submit(outbox.flush)
        assert self._entered.wait(DEADLINE)

    def end(self, problem: Exception | None = None) -> None:
        """Let it come to its end."""
        self.problem = problem
        self._go_on.set()
        assert self._running is not None
        self._running.result(DEADLINE)
        self.problem = None
        self._entered.clear()
        self._go_on.clear()

    def close(self) -> None:
        """Leave no thread behind."""
        self._go_on.set()
        self._pool.shutdown()


def only(service: QueueService) -> Schedule:
    """The one schedule that there is."""
    [found] = service.schedules()
    return found


def standing(service: QueueService) -> int:
    return service.load("outbox").number_of_items()


def booked(session: Session) -> list[str]:
    """What was written by runs, in their order."""
    return list(session.execute(select(bookings.c.name).order_by(bookings.c.id)).scalars())


def die(url: str, where: str, seconds: float) -> None:
    """A worker that is killed when it has put what is due on its queue: "before" the run, "inside" it, or at the
    "commit" that ends it."""
    outbox = Outbox(QueueService(url, lease_slice=0.5, heartbeat=0.1))
    outbox.register("flights", Flights() if where != "inside" else _Deadly())
    if where == "commit":
        event.listen(Session, "before_commit", _kill)
    with travel(seconds):
        tick(outbox._service)
        if where == "before":
            _kill()
        outbox.flush()


class _Deadly(Flights):
    @handles
    def book(self, ctx: MessageContext, name: str) -> None:
        ctx.session.execute(bookings.insert().values(name=name))
        _kill()


def _kill(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
