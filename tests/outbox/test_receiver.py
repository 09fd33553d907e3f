"""Orders are booked in the database and announced to an HTTP service that fails a third of the time and is down for a
while: each that was committed arrives, in the order of its customer, and none that was rolled back."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from taskqueue import QueueService
from taskqueue.outbox import queued
from tests.outbox.receiving import shop
from tests.outbox.receiving.stage import SEED, Arrival, Receiving, Working, wait_until

ORDERS = 500
CUSTOMERS = [f"customer {number}" for number in range(25)]


class Bookings:
    """Books orders; about a tenth of the transactions are rolled back, after they have announced theirs."""

    def __init__(self, service: QueueService) -> None:
        self._service = service
        self._receiver = shop.announcing(service)
        self._chance = random.Random(SEED)
        self._next = 1
        #: The orders of each customer as they were committed.
        self.committed: dict[str, list[int]] = defaultdict(list)
        self.rolled_back: set[int] = set()

    def book(self, number: int) -> None:
        """Commit so many orders."""
        with Session(self._service.engine) as session:
            while number:
                number -= self._book_one(session)

    def _book_one(self, session: Session) -> bool:
        order, customer = self._next, self._chance.choice(CUSTOMERS)
        self._next += 1
        session.execute(shop.orders.insert().values(number=order, customer=customer))
        queued(self._receiver, session, order_key=customer).place(order=order, customer=customer)
        if self._chance.random() < 0.1:
            session.rollback()
            self.rolled_back.add(order)
            return False
        session.commit()
        self.committed[customer].append(order)
        return True


@pytest.fixture
def bookings(service: QueueService) -> Iterator[Bookings]:
    shop.metadata.drop_all(service.engine)
    shop.metadata.create_all(service.engine)
    yield Bookings(service)
    shop.metadata.drop_all(service.engine)


@pytest.fixture
def receiving(tmp_path: Path) -> Iterator[Receiving]:
    receiving = Receiving(tmp_path)
    receiving.start()
    yield receiving
    receiving.kill()


def arrived(arrivals: list[Arrival]) -> set[int]:
    """The orders that the receiver has said yes to."""
    return {arrival.order for arrival in arrivals if arrival.status == 200}


def first_arrivals(arrivals: list[Arrival]) -> dict[str, list[int]]:
    """The orders of each customer, each where it came first."""
    found: dict[str, dict[int, None]] = defaultdict(dict)
    for arrival in arrivals:
        found[arrival.customer].setdefault(arrival.order)
    return {customer: list(orders) for customer, orders in found.items()}


@pytest.mark.chaos
def test_given_a_receiver_that_fails_and_is_down_when_500_orders_are_announced_then_each_arrives_in_order(
    url: str, service: QueueService, bookings: Bookings, receiving: Receiving, tmp_path: Path
) -> None:
    bookings.book(10)  # makes the queue, so that the workers have something to serve
    queue = service.load("outbox")
    workers = Working(url, receiving.port, tmp_path, "--processes", "2", "--threads", "2")
    try:
        bookings.book(190)
        wait_until(lambda: len(receiving.arrivals()) > 50, "orders have arrived")
        receiving.kill()
        bookings.book(300)
        refused = "Connection refused"
        wait_until(
            lambda: sum(refused in (item.last_error or "") for item in queue.items()) >= 10, "the workers have noticed"
        )
        receiving.start()
        wait_until(lambda: not queue.number_of_items(), "all are delivered")
    finally:
        code, said = workers.stop()
    assert code == 0, said

    arrivals = receiving.arrivals()
    with Session(service.engine) as session:
        booked = set(session.scalars(select(shop.orders.c.number)))
    assert arrived(arrivals) == booked
    assert len(booked) == ORDERS
    assert first_arrivals(arrivals) == bookings.committed
    assert {arrival.order for arrival in arrivals}.isdisjoint(bookings.rolled_back)
    assert len(bookings.rolled_back) > ORDERS // 20
    ids = {(arrival.order, arrival.message_id) for arrival in arrivals}
    assert len({message_id for _order, message_id in ids}) == len(ids) == ORDERS
    assert len(arrivals) > ORDERS * 1.2  # it has failed, and duplicates have come
    assert queue.statistics()["dead"] == 0
