"""Celery on Redis."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery

from .contestant import url
from .witness import argument, mark

app = Celery("bench", broker=url())
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)
if os.environ.get("BENCH_ACKS_LATE"):
    app.conf.update(task_acks_late=True, worker_prefetch_multiplier=1)


@app.task(name="bench.mark")
def run(given: dict[str, Any]) -> None:
    """The task."""
    mark(given)


def produce(count: int, bulk: bool) -> None:
    """Put tasks in; it has no way to put in many at once."""
    for number in range(count):
        run.delay(argument(number))
