"""What may be said of a schedule, what is refused, and how it is shown and changed by others."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner

from taskqueue import ConfigurationError, NotSupported, QueueService, SerializationError, SpecError, travel
from taskqueue.cli import main
from taskqueue.outbox import MessageContext, Outbox, Plan, handles, queued, schedule, unqueued, unschedule
from taskqueue.periodic import tick
from tests.outbox.series.stage import Flights

HOUR = 3600.0


@pytest.fixture
def url(shared_database: Callable[[str], str]) -> str:
    """One database is enough for what is said, and what others say of it."""
    return shared_database("sqlite")


def test_the_scheduled_form_has_the_methods_of_the_service_and_send_and_emit(
    service: QueueService, outbox: Outbox, flights: Flights
) -> None:
    form = outbox.schedule(flights, user="alice", headers={"trace": "7"})
    form.emit("news/airports", {"code": "TXL"}).as_("news")
    form.send("replicate", {"entity": "Airports"}).as_("sent")
    schedule(queued(flights)).replicate(entity="Airlines").as_()

    outbox.flush()

    assert ({"code": "TXL"}, "alice", {"trace": "7"}) in flights.made
    assert {"Airports", "Airlines"} <= {made for made in flights.made if isinstance(made, str)}
    assert (unqueued(form), repr(form)) == (flights, "<scheduled 'flights'>")
    assert (form.flush(), service.schedules()) == (0, [])


@pytest.mark.parametrize(
    ("say", "cron"),
    [
        (lambda plan: plan.after(timedelta(minutes=90)), "once after 90m"),
        (lambda plan: plan.after(0.5), "once after 500ms"),
        (lambda plan: plan.after("1w"), "once after 7d"),
        (lambda plan: plan.every(86_400), "every 1d"),
        (lambda plan: plan.every("90s").after("0s"), "every 90s"),
        (lambda plan: plan.every("1h").every("0  3 * * MON").after("2d"), "0 3 * * MON after 2d"),
        (lambda plan: plan.every("0 3 * * *").every("10m"), "every 10m"),
    ],
)
def test_what_was_said_is_stored_as_humans_write_it(
    service: QueueService, outbox: Outbox, flights: Flights, say: Callable[[Plan], Plan], cron: str
) -> None:
    made = say(schedule(flights).replicate("Airports")).as_("replicate")

    assert made.cron == cron
    assert service.schedules() == [made]


@pytest.mark.parametrize(
    ("say", "error", "said"),
    [
        (lambda plan: plan.after("soon"), SpecError, "after must be seconds, a timedelta, or a text as"),
        (lambda plan: plan.after(float("inf")), SpecError, "after must be seconds or a timedelta of at most"),
        (lambda plan: plan.every("hourly"), SpecError, "every (which may also be a cron expression) must be seconds"),
        (lambda plan: plan.every("0s"), SpecError, "every must be at least a second, not '0s'"),
        (lambda plan: plan.every("61 * * * *"), ConfigurationError, "'61 * * * *' is no cron expression"),
        (
            lambda plan: plan.every("0 0 0 * * * *"),
            ConfigurationError,
            "(5 fields are needed, or 6 with leading seconds)",
        ),
        (lambda plan: plan.every("0 0 30 2 *"), ConfigurationError, "'0 0 30 2 *'"),
        (lambda plan: plan.every("0 0 * * *", timezone="Mars"), ConfigurationError, "unknown time zone 'Mars'"),
        (lambda plan: plan.as_("a:b"), SpecError, "leave out the ':'"),
        (lambda plan: plan.as_("a b"), SpecError, "'a b' cannot name a schedule"),
        (lambda plan: plan.as_("x" * 120), SpecError, "cannot name a schedule"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_stored(
    service: QueueService, outbox: Outbox, flights: Flights, say: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as refusal:
        say(schedule(flights).replicate("Airports"))
    assert said in str(refusal.value)
    assert service.schedules() == []


def test_calls_that_cannot_be_made_or_stored_are_refused(outbox: Outbox, flights: Flights) -> None:
    with pytest.raises(AttributeError, match="no method or handler 'replicat'"):
        schedule(flights).replicat("Airports")
    with pytest.raises(SerializationError):
        schedule(flights).replicate(object()).as_()
    for option in ("delay", "order_key", "dedup_key", "max_attempts"):
        with pytest.raises(SpecError, match=f"unknown option '{option}' of a scheduled call"):
            schedule(flights, **{option: 1})
    with pytest.raises(SpecError, match="'news/airports' cannot name a schedule of a service"):
        schedule(flights).emit("news/airports").as_()


@pytest.mark.parametrize("kind", ["memory", "off"])
def test_an_outbox_that_stores_nothing_has_no_schedules(
    make_outbox: Callable[..., Outbox], flights: Flights, kind: str
) -> None:
    make_outbox(kind=kind).register("flights", flights)
    for say in (lambda: schedule(flights), lambda: unschedule(flights, "replicate")):
        with pytest.raises(NotSupported, match="only an outbox of kind 'persistent' has schedules"):
            say()


def test_given_a_plan_that_is_not_stored_when_it_is_dropped_then_it_warns(
    service: QueueService, outbox: Outbox, flights: Flights
) -> None:
    with pytest.warns(RuntimeWarning, match="the schedule of 'replicate' was not stored: end it with .as_()"):
        schedule(flights).replicate("Airports").every("1h")
        gc.collect()
    assert service.schedules() == []


def test_given_tenants_then_each_has_schedules_in_its_own_database(tmp_path: Path) -> None:
    class Trips:
        went: ClassVar[list[Any]] = []

        @handles
        def plan(self, ctx: MessageContext) -> None:
            schedule(self).go().after("1h").as_("go")

        @handles
        def go(self, ctx: MessageContext) -> None:
            self.went.append(ctx.tenant)

    common, acme = (QueueService(f"sqlite:///{tmp_path / name}.db") for name in ("common", "acme"))
    outbox = Outbox(common, tenants={"acme": acme})
    trips = outbox.register("trips", Trips())
    outbox.for_tenant("acme").schedule(trips).plan().as_("plan")

    outbox.flush()
    assert ([found.name for found in acme.schedules()], common.schedules()) == (["outbox:trips:go"], [])
    with travel(2 * HOUR):
        outbox.flush()

    assert Trips.went == ["acme"]
    for service in (common, acme):
        service.close()


# --- as others see and change it ---


def test_schedules_of_services_are_listed_and_changed_like_all_others(
    service: QueueService, outbox: Outbox, flights: Flights, url: str
) -> None:
    schedule(flights).replicate("Airports").after("10m").every("1h").as_()
    name = "outbox:flights:replicate"

    def said(*words: str) -> str:
        result = CliRunner().invoke(main, ["--database", url, "schedule", *words])
        assert result.exit_code == 0, result.output
        return result.output

    assert "every 1h after 10m" in said("list")
    [facts] = json.loads(said("list", "--json"))
    assert (facts["name"], facts["queue"], facts["cron"]) == (name, "outbox", "every 1h after 10m")
    said("pause", name)
    with travel(2 * HOUR):
        assert outbox.flush() == 0
        assert "goes on" in said("resume", name)
        assert outbox.flush() == 0
    said("run", name)
    said("run", name)  # one of it stands already
    assert (outbox.flush(), flights.made) == (1, ["Airports"])
    said("remove", name)
    assert service.schedules() == []


def test_given_one_that_comes_once_when_it_rests_meanwhile_then_it_comes_once_it_goes_on(
    service: QueueService, outbox: Outbox, flights: Flights
) -> None:
    schedule(flights).replicate("Airports").after("10m").as_()
    service.pause_schedule("outbox:flights:replicate")
    with travel(HOUR):
        assert outbox.flush() == 0
        service.resume_schedule("outbox:flights:replicate")
        assert outbox.flush() == 1


def test_given_a_queue_that_was_deleted_when_it_is_due_then_it_waits_for_the_queue(
    service: QueueService, outbox: Outbox, flights: Flights, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    schedule(flights).replicate("Airports").as_()
    service.delete("outbox")
    for _ in range(2):
        assert tick(service) == 60
    assert [record.getMessage() for record in caplog.records] == [
        "schedule 'outbox:flights:replicate' of queue 'outbox' is due and left to other processes: "
        "there is no queue 'outbox'"
    ]

    starting = Outbox(QueueService(url))
    starting.register("flights", Flights())
    starting.prepare()
    outbox.flush()

    assert flights.made == ["Airports"]
    starting._service.close()


@pytest.mark.parametrize("damage", ["cron = 'every now'", "timezone = 'Mars'", "data = 'nonsense'"])
def test_one_that_cannot_be_read_here_is_left_to_others_until_it_is_said_again(
    service: QueueService, outbox: Outbox, flights: Flights, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    def say() -> None:
        schedule(flights).replicate("Airports").every("0 3 * * *").as_()

    say()
    service.database.transaction(lambda tx: tx.change(f"UPDATE {{periodic}} SET {damage}, next_time = 1"))
    assert tick(service) == 60
    assert "is due and left to other processes" in caplog.text

    say()
    with travel(25 * HOUR):
        outbox.flush()

    assert flights.made == ["Airports"]


def test_given_a_service_that_moves_to_another_queue_when_said_again_then_it_comes_from_there(
    service: QueueService, outbox: Outbox, flights: Flights
) -> None:
    schedule(flights).replicate("Airports").every("1h").as_()
    tick(service)

    queued(flights, queue="of-flights")
    again = schedule(flights).replicate("Airports").every("1h").as_()

    assert again.queue_name == "of-flights"
    assert service.load("outbox").number_of_items() == 0
    assert outbox.flush() == 1
    assert unschedule(flights, "replicate")
