"""An application with an outbox, as ``--app`` names it."""

from __future__ import annotations

from pathlib import Path

from taskqueue import QueueService, Unrecoverable
from taskqueue.outbox import MessageContext, Outbox, after

service = QueueService()
outbox = Outbox(service, tenants={"north": QueueService("sqlite:///north.db")})


class Flights:
    """Writes down what it does; there is no flight LH0."""

    def reserve(self, flight: str, password: str = "") -> None:
        if flight == "LH0":
            raise Unrecoverable("no such flight")
        with Path("journal").open("a") as journal:
            journal.write(f"{flight}\n")

    def release(self, flight: str) -> None:
        raise Unrecoverable("\x1b[31mtimeout")

    def book(self, flight: str) -> None:
        raise Unrecoverable("sold out")

    @after("book", "failed")
    def sold_out(self, ctx: MessageContext, error: dict[str, str]) -> None:
        raise Unrecoverable("nobody to tell")


flights = outbox.register("flights", Flights())
#: A service whose module makes no outbox.
bare = QueueService()
#: A service whose outbox has no tenants, and nothing to deliver to.
alone = QueueService()
Outbox(alone)
