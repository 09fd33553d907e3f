"""What the tests of schedules share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone

from taskqueue import QueueService, Schedule, Task, clock, travel
from tests.contract import tasks

UTC = timezone.utc
NOTE = Task(tasks.note, ("noted",), "Note it", kwargs={})


@contextmanager
def at(moment: datetime, later: float = 1.0) -> Iterator[None]:
    """Let it be ``later`` seconds after a moment."""
    with travel((moment - clock.from_ms(clock.now_ms())).total_seconds() + later):
        yield


def standing(service: QueueService, name: str = "hourly") -> Schedule:
    """The schedule as it is stored now."""
    return next(schedule for schedule in service.schedules() if schedule.name == name)
