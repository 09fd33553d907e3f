"""The application whose orders are announced: ``taskqueue --app tests.outbox.receiving.shop:service work``."""

from __future__ import annotations

import json
import os
from http.client import HTTPConnection

from sqlalchemy import Column, Integer, MetaData, String, Table

from taskqueue import QueueService
from taskqueue.outbox import MessageContext, Outbox, RetryPolicy, handles

metadata = MetaData()
orders = Table(
    "shop_orders",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("customer", String(20), nullable=False),
)
#: Quick, and patient enough for a receiver that is down.
QUICK = RetryPolicy(attempts=1000, base=1.02, cap=0.2)


class Receiver:
    """The service of somebody else, as this application sees it."""

    @handles
    def place(self, ctx: MessageContext, *, order: int, customer: str) -> None:
        """Tell it of an order. Each attempt carries the same id, by which it can tell a duplicate."""
        connection = HTTPConnection("127.0.0.1", int(os.environ["SHOP_RECEIVER_PORT"]), timeout=10)
        try:
            body = json.dumps({"order": order, "customer": customer})
            connection.request("POST", "/orders", body, {"Idempotency-Key": ctx.message_id, **ctx.headers})
            answer = connection.getresponse()
            answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise RuntimeError(f"the receiver answered {answer.status}")


def announcing(service: QueueService) -> Receiver:
    """The receiver, as a service of the application's outbox."""
    return Outbox(service).register("receiver", Receiver(), retry=QUICK)


if "SHOP_RECEIVER_PORT" in os.environ:  # in a worker
    service = QueueService(lease_slice=3, heartbeat=0.5)
    announcing(service)
