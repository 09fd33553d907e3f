"""Oban on PostgreSQL, with so many jobs at a time in each process; ten are what its introduction has."""

from __future__ import annotations

import asyncio
import signal
import sys

from oban import Oban, worker
from oban.job import Job
from oban.schema import install
from psycopg_pool import AsyncConnectionPool

from .contestant import plain_url
from .witness import argument, mark

_address = plain_url()


@worker(queue="bench")
class Mark:
    """The task."""

    async def process(self, job: Job) -> None:
        """Called by its worker."""
        mark(dict(job.args))


def produce(count: int, bulk: bool) -> None:
    """Put tasks in, a thousand at a time if asked for."""
    asyncio.run(_produce(count, bulk))


async def _produce(count: int, bulk: bool) -> None:
    async with AsyncConnectionPool(_address, min_size=1, max_size=2) as pool:
        async with pool.connection() as connection:
            found = await (await connection.execute("SELECT to_regclass('oban_jobs')")).fetchone()
        if found is None or found[0] is None:
            await install(pool)
        oban = Oban(pool=pool)
        if not bulk:
            for number in range(count):
                await oban.enqueue(Mark.new(argument(number)))
            return
        for first in range(0, count, 1000):
            await oban.enqueue_many([Mark.new(argument(number)) for number in range(first, min(first + 1000, count))])


async def _work(limit: int) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with (
        AsyncConnectionPool(_address, min_size=1, max_size=10) as pool,
        Oban(pool=pool, queues={"bench": limit}),
    ):
        await ended.wait()


if __name__ == "__main__":
    from benchmarks.peers import with_oban

    asyncio.run(with_oban._work(int(sys.argv[1])))
