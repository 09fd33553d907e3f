"""What the tests of channels share: an empty database of each kind, channels on it, and a calendar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

import pytest

from taskqueue import QueueService, clock, travel
from taskqueue.channels import Channels, Message
from taskqueue.storage.transaction import Transaction
from tests.servers import ALL_DATABASES

#: A Wednesday, on which nothing special happens anywhere.
NOON = datetime(2030, 1, 16, 12, tzinfo=timezone.utc)


@pytest.fixture(params=ALL_DATABASES)
def url(request: pytest.FixtureRequest, shared_database: Callable[..., str]) -> str:
    """The URL of a database without queues and subscriptions."""
    return shared_database(request.param, "channels")


@pytest.fixture
def make_service(url: str) -> Iterator[Callable[..., QueueService]]:
    """Makes services on the database, each of which is to the others as another process would be."""
    made: list[QueueService] = []

    def make(**settings: Any) -> QueueService:
        made.append(QueueService(url, **settings))
        return made[-1]

    _empty(make())
    yield make
    _empty(made[0])
    for service in made:
        service.close()


@pytest.fixture
def service(make_service: Callable[..., QueueService]) -> QueueService:
    """The service of the test."""
    return make_service()


@pytest.fixture
def channels(service: QueueService) -> Channels:
    """Channels on the empty database."""
    return Channels(service)


@pytest.fixture
def others(make_service: Callable[..., QueueService]) -> Channels:
    """The same, as another process sees them."""
    return Channels(make_service())


@contextmanager
def at(moment: datetime) -> Iterator[None]:
    """Let it be that moment inside the block, in the database, too."""
    with travel((clock.moment_ms(moment) - clock.now_ms()) / 1000):
        yield


def send(channels: Channels, data: Any = None, **options: Any) -> Message:
    """Send a message from the shop to billing."""
    return channels.send("orders", data, **{"producer": "shop", "consumer": "billing", **options})


def get(channels: Channels, **options: Any) -> Message | None:
    """The next message of billing, removed."""
    return channels.get("orders", **{"consumer": "billing", **options})


def got(channels: Channels, **options: Any) -> list[Any]:
    """The data of all that billing may have at this moment, removed."""
    found = iter(lambda: get(channels, **options), None)
    return [message.data for message in found]


def waits(channels: Channels, channel: str = "orders", **options: Any) -> bool:
    """Whether billing may have something."""
    return channels.is_waiting(channel, **{"consumer": "billing", **options})


def rows(service: QueueService) -> int:
    """How many items there are, of whatever queue."""
    return service.database.statement(lambda tx: int(tx.row("SELECT COUNT(*) FROM {item}")[0]), write=False)


def _empty(service: QueueService) -> None:
    def delete(tx: Transaction) -> None:
        for table in ("queue", "item", "dead", "ending", "holder", "lock", "subscription"):
            tx.change(f"DELETE FROM {{{table}}}")

    service.database.transaction(delete)
