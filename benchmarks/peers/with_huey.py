"""Huey, on Redis or on SQLite."""

from __future__ import annotations

import os
import sys
from typing import Any

from huey import RedisHuey, SqliteHuey

from .contestant import url
from .witness import argument, mark

if url().startswith("redis"):
    huey = RedisHuey("bench", url=url(), results=False)
else:
    huey = SqliteHuey("bench", filename=url().removeprefix("sqlite:///"), fsync=True, results=False)


@huey.task()
def run(given: dict[str, Any]) -> None:
    """The task."""
    mark(given)


def produce(count: int, bulk: bool) -> None:
    """Put tasks in; it has no way to put in many at once."""
    for number in range(count):
        run(argument(number))


if __name__ == "__main__":
    # Under its own name, as the producer has it: the task is looked up by that.
    from benchmarks.peers import with_huey

    kind = os.environ.get("BENCH_KIND", "thread")
    with_huey.huey.create_consumer(workers=int(sys.argv[1]), worker_type=kind, periodic=False).run()
