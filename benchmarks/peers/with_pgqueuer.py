"""PgQueuer on PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import sys

import asyncpg
from pgqueuer import AsyncpgDriver, Job, PgQueuer, Queries

from .contestant import plain_url
from .witness import argument, mark

_address = plain_url()


def produce(count: int, bulk: bool) -> None:
    """Put tasks in, a thousand at a time if asked for."""
    asyncio.run(_produce(count, 1000 if bulk else 1))


async def _produce(count: int, size: int) -> None:
    connection = await asyncpg.connect(_address)
    queries = Queries(AsyncpgDriver(connection))
    if not await queries.has_table("pgqueuer"):
        await queries.install()
    for first in range(0, count, size):
        numbers = range(first, min(first + size, count))
        payloads: list[bytes | None] = [json.dumps(argument(number)).encode() for number in numbers]
        await queries.enqueue(["bench"] * len(payloads), payloads, [0] * len(payloads))
    await connection.close()


async def _work(batch: int) -> None:
    connection = await asyncpg.connect(_address)
    queue = PgQueuer(AsyncpgDriver(connection))

    @queue.entrypoint("bench")
    async def run(job: Job) -> None:
        mark(json.loads(job.payload or b""))

    await queue.run(batch_size=batch)


if __name__ == "__main__":
    asyncio.run(_work(int(sys.argv[1])))
