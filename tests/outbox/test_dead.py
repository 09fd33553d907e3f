"""Dead messages: listed, counted, revived and deleted by their ids and by filters; queues suspended and resumed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy.orm import Session

from taskqueue import QueueService, Runner, SpecError, Unrecoverable
from taskqueue.outbox import DeadMessage, MessageRef, Outbox, queued


class Flights:
    def __init__(self) -> None:
        self.is_down = True
        self.made: list[Any] = []

    def reserve(self, flight: str) -> None:
        self._do("reserve", flight)

    def release(self, flight: str) -> None:
        self._do("release", flight)

    def _do(self, what: str, flight: str) -> None:
        if self.is_down:
            raise Unrecoverable(f"no such flight {flight}")
        self.made.append((what, flight))


class Mails:
    outbox_options = {"queue": "mails"}  # noqa: RUF012  (as users write it)

    def send_mail(self, to: str) -> None:
        raise Unrecoverable(f"no such address {to}")


@pytest.fixture
def flights() -> Flights:
    return Flights()


@pytest.fixture
def outbox(make_outbox: Callable[..., Outbox], flights: Flights) -> Outbox:
    outbox = make_outbox()
    outbox.register("flights", flights)
    outbox.register("mails", Mails())
    return outbox


@pytest.fixture
def refs(outbox: Outbox, flights: Flights, session: Session) -> dict[str, MessageRef]:
    """Four dead messages on two queues."""
    form = queued(flights, session, user="ann", headers={"trace": "7"})
    made = {
        "one": form.reserve("LH1"),
        "two": form.reserve("LH2"),
        "three": form.release("LH3"),
        "mail": outbox.queued(outbox.connect("mails"), session).send_mail("bob"),
    }
    session.commit()
    outbox.flush()
    return made


def test_an_entry_tells_all_there_is(outbox: Outbox, refs: dict[str, MessageRef]) -> None:
    (entry,) = outbox.dead.list(refs["one"])
    assert isinstance(entry, DeadMessage)

    assert (entry.id, entry.item_id) == (refs["one"].id, refs["one"].item_id)
    assert (entry.queue_name, entry.service, entry.event, entry.title) == (
        "outbox", "flights", "reserve", "flights.reserve"
    )  # fmt: skip
    assert (entry.attempts, entry.user, entry.headers) == (1, "ann", {"trace": "7"})
    assert "no such flight LH1" in entry.error
    assert entry.submit_time <= entry.dead_time
    assert entry.message is not None
    assert entry.message.args == ["LH1"]


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({}, ["mail", "one", "three", "two"]),
        ({"service": "flights"}, ["one", "three", "two"]),
        ({"event": "reserve"}, ["one", "two"]),
        ({"service": "flights", "event": "release"}, ["three"]),
        ({"queue": "mails"}, ["mail"]),
        ({"error": "LH2"}, ["two"]),
        ({"error": "no such", "service": "mails"}, ["mail"]),
        ({"since": datetime.now(timezone.utc) + timedelta(days=1)}, []),
        ({"until": datetime.now(timezone.utc) + timedelta(days=1), "event": "release"}, ["three"]),
        ({"service": None, "event": "nothing"}, []),
    ],
)
def test_filters_choose_what_is_listed_counted_revived_and_deleted(
    outbox: Outbox, refs: dict[str, MessageRef], filters: dict[str, Any], names: list[str]
) -> None:
    by_id = {ref.id: name for name, ref in refs.items()}
    assert sorted(by_id[entry.id] for entry in outbox.dead.list(**filters)) == names
    assert outbox.dead.count(**filters) == len(names)
    if not filters:
        return

    assert outbox.dead.revive(**filters) == len(names)

    assert sorted(name for name, ref in refs.items() if ref.state == "waiting") == names
    outbox.flush()
    assert outbox.dead.count() == 4
    assert outbox.dead.delete(**filters) == len(names)
    assert sorted(name for name, ref in refs.items() if ref.state == "deleted") == names


def test_a_revived_message_keeps_its_id_and_is_delivered(
    outbox: Outbox, flights: Flights, refs: dict[str, MessageRef]
) -> None:
    flights.is_down = False

    assert outbox.dead.revive(refs["two"].id, refs["three"]) == 2
    assert outbox.dead.revive(refs["two"].id) == 0

    outbox.flush()
    assert sorted(flights.made) == [("release", "LH3"), ("reserve", "LH2")]
    assert {entry.id for entry in outbox.dead.list()} == {refs["one"].id, refs["mail"].id}


def test_ids_and_filters_must_be_met_together(outbox: Outbox, refs: dict[str, MessageRef]) -> None:
    assert outbox.dead.count(refs["one"], refs["mail"], service="flights") == 1
    assert outbox.dead.delete(refs["one"], event="release") == 0
    assert outbox.dead.delete("0" * 32, "nonsense", "' OR 1=1 --") == 0
    assert outbox.dead.count() == 4


@pytest.mark.parametrize("ids", [(), []])
def test_nothing_is_thrown_away_unless_it_is_said_which(
    outbox: Outbox, refs: dict[str, MessageRef], ids: list[str]
) -> None:
    for act in (outbox.dead.delete, outbox.dead.revive):
        with pytest.raises(SpecError, match="say which"):
            act(*ids, service=None)
    assert outbox.dead.count() == 4
    assert outbox.dead.delete(everything=True) == 4


@pytest.mark.parametrize(
    ("ids", "filters", "said"),
    [
        ((17,), {}, "the id of a message is text"),
        ((), {"servcie": "flights"}, "did you mean 'service'"),
        ((), {"queue": "mail"}, "no queue 'mail'"),
        ((), {"since": "yesterday"}, "datetime with a time zone"),
        ((), {"error": ""}, "not empty"),
    ],
)
def test_a_wrong_choice_is_refused(
    outbox: Outbox, refs: dict[str, MessageRef], ids: tuple[Any, ...], filters: dict[str, Any], said: str
) -> None:
    for act in (lambda: list(outbox.dead.list(*ids, **filters)), lambda: outbox.dead.delete(*ids, **filters)):
        with pytest.raises(SpecError, match=said):
            act()
    assert outbox.dead.count() == 4


def test_what_cannot_be_read_is_listed_and_can_be_deleted(service: QueueService, outbox: Outbox) -> None:
    outbox.prepare()
    item = service.load("outbox").create_item({"something": "else"})
    outbox.flush()

    (entry,) = outbox.dead.list()
    assert (entry.id, entry.service, entry.event, entry.message) == (item.uid, None, None, None)
    assert "no message of an outbox" in entry.error
    assert outbox.dead.count(service="flights") == 0
    assert outbox.dead.delete(entry.id) == 1


def test_dead_letters_of_other_queues_are_not_touched(service: QueueService, outbox: Outbox) -> None:
    queue = service.create("Sql", "jobs", error="dead", payload="jobs")
    service.handler("jobs")(lambda ctx, data: False)
    queue.create_item("x")
    Runner(queue).run_all()
    (letter,) = queue.dead_items()

    assert [*outbox.dead.list()] == []
    assert outbox.dead.delete(letter.uid) == 0
    assert outbox.dead.delete(everything=True) == 0
    assert len(queue.dead_items()) == 1


def test_a_suspended_queue_records_and_delivers_nothing_until_it_is_resumed(
    outbox: Outbox, flights: Flights, session: Session
) -> None:
    flights.is_down = False
    outbox.prepare()
    outbox.suspend(queue="outbox")
    queued(flights, session).reserve("LH1")
    session.commit()

    assert (outbox.flush(), flights.made) == (0, [])

    outbox.resume(queue="outbox")
    assert (outbox.flush(), flights.made) == (1, [("reserve", "LH1")])


def test_a_service_with_a_queue_of_its_own_is_suspended_by_its_name(
    outbox: Outbox, flights: Flights, session: Session
) -> None:
    flights.is_down = False
    outbox.suspend(service="mails")
    outbox.queued(outbox.connect("mails"), session).send_mail("bob")
    queued(flights, session).reserve("LH1")
    session.commit()

    outbox.flush()
    assert (flights.made, outbox.dead.count()) == ([("reserve", "LH1")], 0)

    outbox.resume(service="mails")
    outbox.flush()
    assert outbox.dead.count(service="mails") == 1


def test_a_service_that_shares_its_queue_is_not_suspended_alone(outbox: Outbox) -> None:
    outbox.register("hotels", Flights())

    with pytest.raises(SpecError, match="shares the queue 'outbox' with hotels"):
        outbox.suspend(service="flights")
    for said in ({}, {"queue": "outbox", "service": "flights"}):
        with pytest.raises(SpecError, match="say which queue"):
            outbox.suspend(**said)


def test_names_that_look_like_those_of_another_application_are_refused(service: QueueService, flights: Flights) -> None:
    with pytest.raises(SpecError, match="no ':'"):
        Outbox(service, app_id="a:b")
    outbox = Outbox(service)
    outbox.register("flights", flights, queue="outbox:a")
    with pytest.raises(SpecError, match="application's id"):
        outbox.prepare()
