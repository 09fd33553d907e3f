"""Booking an order, and telling the warehouse: ``taskqueue --app demo_ext.orders.shop:service work``.

The order and the call of the warehouse are one transaction: both are there after its commit, or neither is. What is
recorded is delivered by a worker afterwards, as often as it takes.
"""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import insert, update
from sqlalchemy.orm import Session

from taskqueue import Unrecoverable
from taskqueue.outbox import MessageContext, Outbox, RetryPolicy, handles, queued

from ..app import service
from ..tables import demo_order

QUEUE = "demo-orders"
#: Where the warehouse is: the web door starts one, and says so there.
ADDRESS = "DEMO_WAREHOUSE"

outbox = Outbox(service)


class Warehouse:
    """The HTTP service of somebody else, as this application sees it."""

    @handles
    def reserve(self, ctx: MessageContext, *, order: str, thing: str, quantity: int) -> None:
        """Have goods put aside. The same id goes along at each attempt, so that a repetition is recognised."""
        status, answer = _post("/reservations", {"thing": thing, "quantity": quantity}, ctx.message_id)
        if 400 <= status < 500:
            raise Unrecoverable(f"the warehouse refuses ({status}): {answer.get('reason')}")
        if status != 200:
            raise ConnectionError(f"the warehouse answered {status}: {answer.get('reason')}")
        # From here on in one transaction with the end of the message.
        mine = demo_order.c.key == order
        ctx.session.execute(update(demo_order).where(mine).values(receipt=answer["receipt"]))


# Few attempts in a short time, so that there is something to see; without ``retry`` it is patient for hours.
warehouse = outbox.register("warehouse", Warehouse(), queue=QUEUE, retry=RetryPolicy(attempts=4, base=1.6))


def book(key: str, owner: str, thing: str, quantity: int) -> None:
    """Book an order and announce it to the warehouse. Raises :class:`IntegrityError` when the key is taken."""
    booked = datetime.now(timezone.utc).replace(tzinfo=None)
    with Session(service.engine) as session, session.begin():
        message = queued(warehouse, session, user=owner).reserve(order=key, thing=thing, quantity=quantity)
        order = {"key": key, "owner": owner, "thing": thing, "quantity": quantity, "booked": booked}
        session.execute(insert(demo_order).values(**order, message=message.id))


def _post(path: str, body: dict[str, Any], message_id: str) -> tuple[int, dict[str, Any]]:
    address = urlsplit(os.environ.get(ADDRESS) or "http://127.0.0.1:8481")
    connection = HTTPConnection(address.hostname or "", address.port, timeout=10)
    try:
        headers = {"Content-Type": "application/json", "Idempotency-Key": message_id}
        connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()
