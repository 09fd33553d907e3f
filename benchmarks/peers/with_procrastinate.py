"""Procrastinate on PostgreSQL."""

from __future__ import annotations

from typing import Any

import procrastinate

from .contestant import plain_url
from .witness import argument, mark

#: The address in the words of the driver.
_address = plain_url()
app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(conninfo=_address), import_paths=["benchmarks.peers.with_procrastinate"]
)


@app.task(queue="bench", name="mark")
async def run(given: dict[str, Any]) -> None:
    """The task."""
    mark(given)


def produce(count: int, bulk: bool) -> None:
    """Put tasks in, a thousand at a time if asked for."""
    connector = procrastinate.SyncPsycopgConnector(conninfo=_address)
    with app.replace_connector(connector) as ready, ready.open():
        if not ready.check_connection():
            ready.schema_manager.apply_schema()
        task = ready.tasks["mark"]
        if not bulk:
            for number in range(count):
                task.defer(given=argument(number))
            return
        for first in range(0, count, 1000):
            numbers = range(first, min(first + 1000, count))
            task.batch_defer(*({"given": argument(number)} for number in numbers))


if __name__ == "__main__":
    from benchmarks.peers import with_procrastinate

    with with_procrastinate.app.open():
        with_procrastinate.app.run_worker(queues=["bench"])
