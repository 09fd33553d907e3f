"""RQ: its SimpleWorker, which runs tasks in its own process, and its Worker, which forks for each."""

from __future__ import annotations

import os

import rq
from redis import Redis

from .contestant import url
from .witness import argument, mark


def produce(count: int, bulk: bool) -> None:
    """Put tasks in, a thousand at a time if asked for."""
    queue = rq.Queue("bench", connection=Redis.from_url(url()))
    if not bulk:
        for number in range(count):
            queue.enqueue(mark, argument(number))
        return
    for first in range(0, count, 1000):
        numbers = range(first, min(first + 1000, count))
        queue.enqueue_many([rq.Queue.prepare_data(mark, (argument(number),)) for number in numbers])


if __name__ == "__main__":
    connection = Redis.from_url(url())
    kind = rq.Worker if os.environ.get("BENCH_FORK") else rq.SimpleWorker
    kind([rq.Queue("bench", connection=connection)], connection=connection).work(logging_level="ERROR")
