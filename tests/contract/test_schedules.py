"""Schedules as an application sees them: set, listed, changed, paused, run, removed, refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from taskqueue import (
    BatchQueue,
    ConfigurationError,
    NotSupported,
    QueueNotFound,
    QueueService,
    Schedule,
    ScheduleNotFound,
    SpecError,
    Task,
)
from taskqueue.periodic import tick
from tests.contract import tasks
from tests.contract.backends import once_per_database, only_memory
from tests.contract.conftest import MakeQueue
from tests.contract.scheduled import NOTE, at, standing


@pytest.fixture
def hourly(service: QueueService, queue: BatchQueue) -> Schedule:
    """A schedule that comes at each full hour."""
    return service.schedule("hourly", "0 * * * *", NOTE, queue="jobs", weight=3)


@once_per_database
def test_a_schedule_is_listed_as_it_was_given(service: QueueService, queue: BatchQueue) -> None:
    made = service.schedule("nightly", "0 3 * * MON", NOTE, queue="jobs", timezone="Asia/Tokyo", weight=-1)
    other = service.schedule("also", "* * * * *", {"plain": "data"}, queue="jobs")
    assert service.schedules() == [other, made]
    assert (made.name, made.queue_name, made.cron, made.timezone) == ("nightly", "jobs", "0 3 * * MON", "Asia/Tokyo")
    assert (made.weight, made.is_paused, made.last_time) == (-1, False, None)
    assert (made.data, made.title, other.data) == (NOTE, "Note it", {"plain": "data"})
    assert (made.next_time.hour, made.next_time.weekday()) == (18, 6)  # Monday 03:00 in Tokyo


@once_per_database
def test_said_again_at_each_start_it_loses_nothing_that_is_due(
    service: QueueService, queue: BatchQueue, hourly: Schedule
) -> None:
    with at(hourly.next_time):
        again = service.schedule("hourly", "0 * * * *", Task(tasks.note, ("changed",)), queue="jobs")
        assert again.next_time == hourly.next_time
        tick(service)
        assert [item.data.args for item in queue.items()] == [("changed",)]


@once_per_database
def test_another_rhythm_or_zone_counts_from_now(service: QueueService, queue: BatchQueue, hourly: Schedule) -> None:
    with at(hourly.next_time, later=61):
        for cron, zone, minutes in (
            ("*/5 * * * *", "UTC", 5),
            ("*/5 * * * *", "Asia/Kathmandu", 5),
            ("2 * * * *", "UTC", 2),
        ):
            changed = service.schedule("hourly", cron, NOTE, queue="jobs", timezone=zone)
            assert changed.next_time == hourly.next_time + timedelta(minutes=minutes)
        assert len(service.schedules()) == 1


@once_per_database
def test_a_paused_schedule_rests_and_then_goes_on_with_what_comes_next(
    service: QueueService, queue: BatchQueue, hourly: Schedule
) -> None:
    service.pause_schedule("hourly")
    assert standing(service).is_paused
    with at(hourly.next_time):
        assert tick(service) is None
        service.schedule("hourly", "0 * * * *", NOTE, queue="jobs")  # as at the next start of the application
        assert tick(service) is None
        service.resume_schedule("hourly")
        assert tick(service) == pytest.approx(3600, abs=10)
        assert queue.number_of_items() == 0
    with at(hourly.next_time + timedelta(hours=1)):
        tick(service)
        service.resume_schedule("hourly")  # it was not paused: that changes nothing
        assert queue.number_of_items() == 1


@once_per_database
def test_resuming_what_is_not_paused_leaves_what_is_due(
    service: QueueService, queue: BatchQueue, hourly: Schedule
) -> None:
    with at(hourly.next_time):
        service.resume_schedule("hourly")
        assert tick(service) == pytest.approx(3600, abs=10)
        assert queue.number_of_items() == 1


@once_per_database
def test_a_schedule_can_be_run_at_any_time(service: QueueService, queue: BatchQueue, hourly: Schedule) -> None:
    service.pause_schedule("hourly")
    item = service.run_schedule("hourly")
    assert [(found.id, found.data, found.weight) for found in queue.items()] == [(item.id, NOTE, 3)]
    assert standing(service).last_time is not None
    assert standing(service).next_time == hourly.next_time


@once_per_database
def test_what_was_removed_comes_no_more(service: QueueService, queue: BatchQueue, hourly: Schedule) -> None:
    service.unschedule("hourly")
    assert service.schedules() == []
    with at(hourly.next_time):
        assert tick(service) is None
    assert queue.number_of_items() == 0


@once_per_database
@pytest.mark.parametrize("method", ["unschedule", "pause_schedule", "resume_schedule", "run_schedule"])
def test_a_name_that_is_unknown_is_told_with_the_nearest(service: QueueService, hourly: Schedule, method: str) -> None:
    with pytest.raises(ScheduleNotFound, match=r"there is no schedule 'hourl' \(did you mean 'hourly'\?\)"):
        getattr(service, method)("hourl")


@once_per_database
@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"name": "no good"}, SpecError, "'no good' cannot name a schedule"),
        ({"cron": "* * * *"}, ConfigurationError, "cron expression (5 fields are needed, or 6 with leading seconds)"),
        ({"timezone": "Mars"}, ConfigurationError, "unknown time zone 'Mars'"),
        ({"weight": 1.5}, SpecError, "weight must be a whole number"),
    ],
)
def test_what_makes_no_sense_is_refused_and_not_stored(
    service: QueueService, queue: BatchQueue, arguments: dict[str, Any], error: type[Exception], said: str
) -> None:
    given = {"name": "hourly", "cron": "0 * * * *", "task": NOTE, "queue": "jobs", **arguments}
    with pytest.raises(error) as refusal:
        service.schedule(**given)
    assert said in str(refusal.value)
    assert service.schedules() == []


@once_per_database
def test_only_queues_that_workers_can_find_take_schedules(service: QueueService, make_queue: MakeQueue) -> None:
    service.create("Memory", "scratch")
    make_queue("unregistered", is_persistent=False)
    make_queue("pattern", is_template=True)
    for name in ("scratch", "unregistered", "pattern"):
        with pytest.raises(NotSupported, match=f"queue '{name}'"):
            service.schedule("hourly", "0 * * * *", NOTE, queue=name)
    with pytest.raises(QueueNotFound, match=r"'patern' \(did you mean 'pattern'\?\)"):
        service.schedule("hourly", "0 * * * *", NOTE, queue="patern")
    assert service.schedules() == []
    service.delete("scratch")


@only_memory
def test_a_queue_of_this_process_takes_no_schedule(service: QueueService, queue: BatchQueue) -> None:
    with pytest.raises(NotSupported, match="type Sql or SqlParallel"):
        service.schedule("hourly", "0 * * * *", NOTE, queue="jobs")
