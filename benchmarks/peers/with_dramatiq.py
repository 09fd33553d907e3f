"""Dramatiq on Redis."""

from __future__ import annotations

from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from .contestant import url
from .witness import argument, mark

dramatiq.set_broker(RedisBroker(url=url()))


@dramatiq.actor(queue_name="bench")
def run(given: dict[str, Any]) -> None:
    """The task."""
    mark(given)


def produce(count: int, bulk: bool) -> None:
    """Put tasks in; it has no way to put in many at once."""
    for number in range(count):
        run.send(argument(number))
