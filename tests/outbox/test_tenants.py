"""Tenants with databases of their own behind one declaration, and applications that share one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from taskqueue import DatabaseError, QueueService, SessionMismatch, SpecError, Worker
from taskqueue.outbox import MessageContext, MessageRef, Outbox, after, handles, queued
from taskqueue.worker.tenants import TenantWorkers
from tests.outbox.conftest import bookings


class Flights:
    def __init__(self) -> None:
        self.made: list[Any] = []
        self.outbox: Outbox | None = None
        self.is_made = threading.Event()

    @handles
    def reserve(self, ctx: MessageContext, flight: str) -> str:
        self.made.append((ctx.tenant, flight))
        if flight == "book":
            ctx.session.execute(bookings.insert().values(name=f"of {ctx.tenant}"))
        if flight == "and more":
            queued(self).reserve("more")
        if flight == "fail":
            raise ValueError(flight)
        self.is_made.set()
        return flight

    @after("reserve", "succeeded")
    def reserved(self, ctx: MessageContext, result: Any) -> None:
        self.made.append((ctx.tenant, f"{result} succeeded"))


@pytest.fixture
def flights() -> Flights:
    return Flights()


@pytest.fixture
def services(service: QueueService, tmp_path: Path) -> Iterator[dict[str, QueueService]]:
    """One on the database in question, one on another."""
    made = {"t1": QueueService(service.engine, prefix="one_"), "t2": QueueService(f"sqlite:///{tmp_path / 't2.db'}")}
    yield made
    for one in made.values():
        for queue in one.queues():
            queue.delete()
        one.close()


@pytest.fixture
def outbox(make_outbox: Callable[..., Outbox], services: dict[str, QueueService], flights: Flights) -> Outbox:
    outbox = make_outbox(tenants=services, services={"flights": {"max_attempts": 1}})
    outbox.register("flights", flights)
    for name in services:
        outbox.for_tenant(name).prepare()
    return outbox


def reserve(outbox: Outbox, tenant: str | None, flight: str, session: Session | None = None) -> MessageRef:
    chosen = outbox if tenant is None else outbox.for_tenant(tenant)
    ref: MessageRef = chosen.queued(outbox.connect("flights"), session).reserve(flight)
    return ref


def test_messages_stand_in_the_tenants_database_and_know_the_tenant(
    outbox: Outbox, services: dict[str, QueueService], flights: Flights
) -> None:
    refs = {name: reserve(outbox, name, f"LH {name}") for name in (None, "t1", "t2")}

    assert [one.load("outbox").number_of_items() for one in services.values()] == [1, 1]
    assert all(ref.state == "waiting" for ref in refs.values())
    assert outbox.flush(tenant="t1") == 2  # the message, and the news of it
    assert flights.made == [("t1", "LH t1"), ("t1", "LH t1 succeeded")]
    assert [refs[name].state for name in (None, "t2")] == ["waiting", "waiting"]
    assert outbox.flush() == 4
    assert flights.made[2:] == [
        (None, "LH None"),
        (None, "LH None succeeded"),
        ("t2", "LH t2"),
        ("t2", "LH t2 succeeded"),
    ]


def test_one_declaration_serves_all(outbox: Outbox, flights: Flights) -> None:
    one = outbox.for_tenant("t1")
    assert one is outbox.for_tenant("t1") is outbox.for_tenant("t2").for_tenant("t1")
    assert one is not outbox.for_tenant("t2")
    assert one.queued(flights) is one.queued(flights) is not outbox.queued(flights)
    hotels = outbox.register("hotels", Flights())
    assert one.connect("hotels") is hotels

    reserve(outbox, "t1", "fail")
    outbox.flush()

    assert one.dead.count() == 1  # after the one attempt that is configured
    assert outbox.dead.count() == outbox.for_tenant("t2").dead.count() == 0


def test_a_queued_form_of_a_tenant_stays_with_the_tenant(
    outbox: Outbox, services: dict[str, QueueService], flights: Flights
) -> None:
    form = outbox.for_tenant("t1").queued(flights)
    with Session(services["t1"].engine) as session:
        queued(form, session, user="ann").reserve("LH1")
        session.commit()
    assert services["t1"].load("outbox").number_of_items() == 1


def test_a_session_on_the_wrong_database_is_refused(
    outbox: Outbox, services: dict[str, QueueService], session: Session
) -> None:
    with Session(services["t2"].engine) as other:
        reserve(outbox, "t2", "LH1", other)
        for tenant, wrong in (("t2", session), (None, other), ("t1", other)):
            with pytest.raises(SessionMismatch, match="the queue on"):
                reserve(outbox, tenant, "LH1", wrong)
            session.rollback()
        other.commit()

    assert [one.load("outbox").number_of_items() for one in services.values()] == [0, 1]


def test_what_a_handler_records_and_writes_belongs_to_the_tenant(
    outbox: Outbox, services: dict[str, QueueService], flights: Flights, service: QueueService
) -> None:
    reserve(outbox, "t1", "and more")
    reserve(outbox, "t1", "book")

    outbox.flush(tenant="t1")

    assert sorted(flights.made) == sorted(
        ("t1", f"{flight}{end}") for flight in ("and more", "book", "more") for end in ("", " succeeded")
    )
    with Session(service.engine) as session:
        assert [name for _id, name in session.execute(bookings.select())] == ["of t1"]


def test_flush_of_a_queue_goes_wherever_it_stands(outbox: Outbox) -> None:
    reserve(outbox, "t2", "LH2")
    assert outbox.flush("outbox") == 2
    with pytest.raises(SpecError, match="no queue 'nonsense'"):
        outbox.flush("nonsense")


def test_a_tenant_whose_database_fails_holds_up_nobody(
    service: QueueService, services: dict[str, QueueService], flights: Flights, tmp_path: Path
) -> None:
    services["t0"] = QueueService(f"sqlite:///{tmp_path / 'nowhere' / 't0.db'}")
    outbox = Outbox(service, tenants=services)
    outbox.register("flights", flights)
    reserve(outbox, "t1", "LH1")
    reserve(outbox, "t2", "LH2")

    with pytest.raises(DatabaseError, match=r"t0\.db"):
        outbox.flush()

    assert {tenant for tenant, _flight in flights.made} == {"t1", "t2"}
    del services["t0"]


def test_tenants_may_be_found_by_a_function(
    make_outbox: Callable[..., Outbox], services: dict[str, QueueService], flights: Flights
) -> None:
    def find(name: str) -> QueueService:
        if name not in services:
            raise SpecError(f"no customer {name}")
        return services[name]

    outbox = make_outbox(tenants=find)
    outbox.register("flights", flights)
    assert outbox.known_tenants() == []
    reserve(outbox, "t2", "LH2")
    assert outbox.known_tenants() == ["t2"]
    assert outbox.flush() == 2
    with pytest.raises(SpecError, match="no customer t3"):
        outbox.for_tenant("t3")


def test_what_is_no_tenant_is_refused(make_outbox: Callable[..., Outbox], tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="QueueServices by name"):
        make_outbox(tenants=["t1"])
    outbox = make_outbox(tenants={"t1": "sqlite://", "t2": QueueService(f"sqlite:///{tmp_path / 'x.db'}")})
    for name, said in (("t3", "no tenant 't3'"), ("t1", "has no QueueService"), ("", "not empty"), (None, "not empty")):
        with pytest.raises(SpecError, match=said):
            outbox.for_tenant(name)
    with pytest.raises(SpecError, match="knows no tenants"):
        Outbox(QueueService(f"sqlite:///{tmp_path / 'y.db'}")).for_tenant("t1")


# --- workers ---


class Running:
    """Workers of tenants in a thread."""

    def __init__(self, workers: TenantWorkers) -> None:
        self.workers = workers
        self.thread = threading.Thread(target=workers.run)
        self.thread.start()

    def __enter__(self) -> TenantWorkers:
        return self.workers

    def __exit__(self, *_error: object) -> None:
        self.workers.stop()
        self.thread.join(60)
        assert not self.thread.is_alive()


def test_workers_find_what_quiet_tenants_have_left_and_serve_new_tenants(
    outbox: Outbox, services: dict[str, QueueService], flights: Flights, tmp_path: Path
) -> None:
    with Session(services["t1"].engine) as session, Session(services["t2"].engine) as other:
        reserve(outbox, "t1", "LH1", session)
        reserve(outbox, "t2", "LH2", other)
        session.commit()
        other.commit()

    with Running(TenantWorkers(outbox)):
        _until(lambda: {("t1", "LH1 succeeded"), ("t2", "LH2 succeeded")} <= set(flights.made))
        services["t3"] = QueueService(f"sqlite:///{tmp_path / 't3.db'}")
        reserve(outbox, "t3", "LH3")
        _until(lambda: ("t3", "LH3 succeeded") in flights.made)
        gone = services.pop("t2")
        reserve(outbox, "t1", "LH4")
        _until(lambda: ("t1", "LH4 succeeded") in flights.made)
    gone.close()
    assert sorted(flights.made) == sorted(set(flights.made))


def test_a_tenant_without_a_database_stops_no_other(
    outbox: Outbox, services: dict[str, QueueService], flights: Flights, tmp_path: Path
) -> None:
    services["t0"] = QueueService(f"sqlite:///{tmp_path / 'nowhere' / 't0.db'}")
    reserve(outbox, "t1", "LH1")
    with Running(TenantWorkers(outbox)):
        _until(lambda: ("t1", "LH1 succeeded") in flights.made)
    del services["t0"]


def test_workers_take_an_outbox_and_options_that_threads_can_have(outbox: Outbox, service: QueueService) -> None:
    for arguments, said in (
        ({"outbox": service}, "take an Outbox"),
        ({"outbox": outbox, "processes": 2}, "threads of one process"),
        ({"outbox": outbox, "threads": 0}, "at least 1"),
    ):
        with pytest.raises(SpecError, match=said):
            TenantWorkers(**arguments)


def _until(is_so: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _look in range(600):
        if is_so():
            return
        pause.wait(0.05)
    raise AssertionError("it did not come")


# --- applications ---


def test_two_applications_never_take_each_others_messages(service: QueueService) -> None:
    twin, third = QueueService(service.engine), QueueService(service.engine)
    made = {}
    for one, app_id in ((service, "a"), (twin, "b"), (third, None)):
        made[app_id] = flights = Flights()
        outbox = Outbox(one, app_id=app_id)
        outbox.register("flights", flights)
        reserve(outbox, None, f"LH {app_id}")
    outbox_a = service.settings.outbox

    assert outbox_a.flush() == 2
    Worker(twin).drain()

    assert [len(flights.made) for flights in made.values()] == [2, 2, 0]
    (left,) = third.settings.outbox.queues.standing()
    (waiting,) = left.items()
    assert (waiting.fence, waiting.run_count, left.dead_items()) == (0, 0, [])
    with pytest.raises(SpecError, match="no queue 'outbox:b'"):
        outbox_a.flush("outbox:b")
    Worker(third).drain()
    assert [made[None].made[0], len(made["a"].made)] == [(None, "LH None"), 2]
    twin.close()
    third.close()


def test_a_worker_that_is_told_to_serve_the_queue_of_another_application_does_not(service: QueueService) -> None:
    twin = QueueService(service.engine)
    theirs, ours = Flights(), Flights()
    outbox = Outbox(service, app_id="a")
    outbox.register("flights", theirs)
    Outbox(twin, app_id="b").register("flights", ours)
    reserve(outbox, None, "LH1")

    Worker(twin, ["outbox:a"]).drain()

    assert (ours.made, service.load("outbox:a").number_of_items()) == ([], 1)
    twin.close()


def test_given_the_row_of_another_tenant_when_delivered_then_it_is_dead_and_nothing_is_called(
    outbox: Outbox, flights: Flights
) -> None:
    reserve(outbox, "t1", "LH1")
    one, two = (outbox.for_tenant(name).queues.named(None)[0] for name in ("t1", "t2"))
    (item,) = one.items()
    two.create_item(item.data)  # as in a copy of its database

    outbox.flush(tenant="t2")

    assert flights.made == []
    (dead,) = outbox.for_tenant("t2").dead.list()
    assert "is of tenant 't1', this database of 't2'" in dead.error
