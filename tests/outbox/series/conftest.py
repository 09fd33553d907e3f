"""Fixtures of the tests of schedules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from taskqueue import QueueService
from taskqueue.outbox import Outbox
from tests.outbox.series.stage import Flights


@pytest.fixture
def service(service: QueueService) -> Iterator[QueueService]:
    """One without schedules, whose leases outlast the time that tests skip while a handler is held."""
    service.settings.lease_slice = timedelta(days=100).total_seconds()
    _forget_schedules(service)
    yield service
    _forget_schedules(service)


def _forget_schedules(service: QueueService) -> None:
    for standing in service.schedules():
        service.unschedule(standing.name)


@pytest.fixture
def flights() -> Iterator[Flights]:
    made = Flights()
    yield made
    made.close()


@pytest.fixture
def outbox(make_outbox: Callable[..., Outbox], flights: Flights) -> Outbox:
    outbox = make_outbox()
    outbox.register("flights", flights)
    return outbox
