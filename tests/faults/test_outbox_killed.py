"""An outbox whose application, whose workers and whose server are killed with -9 at every point.

Nothing recorded is lost, nothing is delivered for what was not committed, nothing that is written in the transaction
of a message is there twice, and messages with one key keep their order.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy.orm import Session

from taskqueue import Worker, travel
from taskqueue.outbox import queued
from tests.faults.parcels import BOOKED, TOLD, book, make_parcels
from tests.faults.points import Point
from tests.faults.stage import AFTER_THE_LEASE, Stage
from tests.servers import ALL_DATABASES, SERVER_DATABASES, Server

pytestmark = pytest.mark.chaos
everywhere = pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)
on_servers = pytest.mark.parametrize("database_url", SERVER_DATABASES, indirect=True)


class Office:
    """The application of a test, in this process."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        stage.create_effects()
        self.outbox, self.parcels = make_parcels(stage.service, stage.folder)
        self.outbox.prepare()

    def record(self, *holds: str, keys: int = 0) -> None:
        """Record a call for each word that says where it waits, numbered from 1; with so many different order keys."""
        with Session(self.stage.service.engine) as session, session.begin():
            for number, hold in enumerate(holds, start=1):
                options = {"order_key": f"key {number % keys}"} if keys else {}
                queued(self.parcels, session, **options).send(number=number, holds=hold)

    def deliver_rest(self, shift: float = AFTER_THE_LEASE) -> None:
        """Deliver what is left, in this process."""
        with travel(shift):
            Worker(self.stage.service, ["outbox"], threads=1).drain()

    @property
    def written(self) -> list[int]:
        """The numbers of all rows."""
        return [number for number, _fence in self.stage.effects()]

    def assert_all_once(self, count: int, keys: int = 0) -> None:
        """So many parcels and their callbacks are there, once each, and in order."""
        numbers = list(range(1, count + 1))
        assert self.written == [*numbers, *(number + TOLD for number in numbers)], self.stage.history.tail()
        queue = self.stage.service.load("outbox")
        assert queue.statistics() == dict.fromkeys(queue.statistics(), 0)
        for key in range(keys):
            starts = [n for n in self.stage.history.numbers("start") if n < TOLD and n % keys == key]
            assert starts == sorted(starts), f"key {key} lost its order"


@pytest.fixture
def office(stage: Stage) -> Iterator[Office]:
    yield Office(stage)


@pytest.fixture
def server(request: pytest.FixtureRequest, database_url: str) -> Server:
    """The server of the test's database."""
    return cast(Server, request.getfixturevalue(f"{request.node.callspec.params['database_url']}_server"))


# --- the application ---


@everywhere
@pytest.mark.parametrize("when", ["before", "after"])
def test_given_an_application_killed_at_a_commit_then_what_was_committed_is_delivered_and_nothing_else(
    office: Office, stage: Stage, when: str
) -> None:
    stage.start("book", point=Point("effect", when, 3)).wait_until_killed()

    office.deliver_rest()

    booked = [1, 2] if when == "before" else [1, 2, 3]
    assert stage.history.numbers("acknowledged") == [1, 2]
    assert office.written == [*booked, *(n + TOLD for n in booked), *(n + BOOKED for n in booked)]


# --- a worker ---

POINTS = [Point(work, when, 3) for work in ("claim", "effect") for when in ("before", "after")]


@everywhere
@pytest.mark.parametrize("point", POINTS, ids=str)
def test_given_a_worker_killed_at_a_point_when_another_delivers_then_all_is_there_once(
    office: Office, stage: Stage, point: Point
) -> None:
    office.record(*[""] * 6, keys=2)
    stage.start("deliver", point=Point(point.work, point.when, point.nth)).wait_until_killed()

    office.deliver_rest()

    office.assert_all_once(6, keys=2)


@everywhere
@pytest.mark.parametrize("holds", ["before", "after", "callback"])
def test_given_a_worker_killed_inside_a_handler_when_another_delivers_then_all_is_there_once(
    office: Office, stage: Stage, holds: str
) -> None:
    """Also at the first attempt; "after" is between the handler's writes and the acknowledgement."""
    office.record(holds, "", "", keys=1)
    worker = stage.start("deliver")
    stage.history.wait_for("start" if holds == "before" else "inserted", number=1 + TOLD * (holds == "callback"))
    worker.kill()

    stage.gate.let_through()
    office.deliver_rest()

    office.assert_all_once(3, keys=1)
    held = 1 + TOLD * (holds == "callback")
    assert stage.history.times("start")[held] == 2
    assert [line["attempt"] for line in stage.history.lines("start", number=held)] == [1, 1], "a kill is no failure"


@everywhere
@pytest.mark.parametrize("point", [Point("acknowledge", when, 2) for when in ("before", "after")], ids=str)
def test_given_a_worker_killed_at_an_acknowledgement_then_a_call_without_a_transaction_is_made_at_least_once(
    office: Office, stage: Stage, point: Point
) -> None:
    with Session(stage.service.engine) as session, session.begin():
        for number in range(1, 5):
            queued(office.parcels, session).post(number=number)
    stage.start("deliver", point=Point(point.work, point.when, point.nth)).wait_until_killed()

    office.deliver_rest()

    assert stage.history.times("posted") == {1: 1, 2: 2 if point.when == "before" else 1, 3: 1, 4: 1}
    assert stage.service.load("outbox").number_of_items() == 0


@everywhere
@pytest.mark.parametrize("when", ["before", "after"])
def test_given_a_worker_killed_at_a_burial_then_the_letter_and_its_callback_are_there_once(
    office: Office, stage: Stage, when: str
) -> None:
    with Session(stage.service.engine) as session, session.begin():
        queued(office.parcels, session).refuse(number=1)
    stage.start("deliver", point=Point("acknowledge", when, 1)).wait_until_killed()

    office.deliver_rest()

    assert office.written == [TOLD], "the row of the handler is gone, that of its callback is there"
    assert len(stage.service.load("outbox").dead_items()) == 1


@everywhere
def test_given_workers_killed_at_random_until_all_is_delivered_then_all_is_there_once_and_in_order(
    office: Office, stage: Stage
) -> None:
    office.record(*[""] * 20, keys=4)
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # shown by pytest when the test fails
    dice = random.Random(seed)

    for kill in range(4):
        events = len(stage.history.lines("start")) + dice.randint(1, 8)
        victim = stage.start("deliver", shift=kill * AFTER_THE_LEASE)
        stage.history.wait_for("start", count=events)
        victim.kill()
    office.deliver_rest(4 * AFTER_THE_LEASE)

    office.assert_all_once(20, keys=4)


# --- the server ---


@on_servers
@pytest.mark.parametrize("holds", ["before", "after", "callback"])
def test_given_a_server_killed_inside_a_handler_when_it_is_back_then_the_worker_goes_on_and_all_is_there_once(
    office: Office, stage: Stage, server: Server, holds: str
) -> None:
    office.record(holds, "", "", keys=1)
    stage.start("deliver")
    held = 1 + TOLD * (holds == "callback")
    stage.history.wait_for("start" if holds == "before" else "inserted", number=held)

    server.kill()
    stage.gate.let_through(3)  # on a slow machine the lease ends meanwhile, and the message is tried again
    server.start()
    stage.history.wait_for("ended")

    office.assert_all_once(3, keys=1)
    assert {line["attempt"] for line in stage.history.lines("start")} == {1}, "an outage of the database is no failure"


@on_servers
def test_given_a_server_killed_in_the_transaction_of_the_application_then_neither_row_nor_call_is_there(
    office: Office, stage: Stage, server: Server, tmp_path: Path
) -> None:
    book(stage.service, office.parcels, 1)
    with Session(stage.service.engine) as session:
        queued(office.parcels, session).send(number=2)
        session.flush()
        server.kill()
        server.start()
        with pytest.raises(Exception, match=r"(?i)lost|gone|closed|terminat|abort|broken|connection"):
            queued(office.parcels, session).send(number=3)
            session.commit()
        session.rollback()
    book(stage.service, office.parcels, 4)

    office.deliver_rest()

    assert office.written == [1, 4, 1 + TOLD, 4 + TOLD, 1 + BOOKED, 4 + BOOKED]
