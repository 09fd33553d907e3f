"""One suite, seven backends: what a test asks for here works on each of them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pytest

from taskqueue import BatchQueue, QueueService
from taskqueue.storage.transaction import Transaction
from tests.contract import processes as jobs
from tests.contract import tasks
from tests.contract.backends import BACKENDS, Backend

_EMPTIED = (
    "queue", "item", "dead", "ending", "lock", "run", "run_log", "run_request", "holder", "activity", "batch",
    "periodic", "received", "result", "operation", "subscription", "claimed", "trend",
    "audit",
)  # fmt: skip


class MakeService(Protocol):
    def __call__(self, target: Any = None, **settings: Any) -> QueueService: ...


class MakeQueue(Protocol):
    def __call__(self, name: str = "jobs", /, **options: Any) -> BatchQueue: ...


@pytest.fixture(scope="session")
def warm_service() -> Iterator[Callable[[str], QueueService]]:
    """Gives one service for each database, whose connections stay open between tests: opening them takes longest."""
    services: dict[str, QueueService] = {}
    yield lambda url: services.setdefault(url, QueueService(url))
    for service in services.values():
        _close(service)


@pytest.fixture(params=BACKENDS, ids=str)
def backend(request: pytest.FixtureRequest, shared_database: Callable[[str], str], tmp_path: Path) -> Backend:
    """The backend under test, with the URL of its database."""
    chosen: Backend = request.param
    url = shared_database(chosen.database) if chosen.is_sql else f"sqlite:///{tmp_path / 'memory_needs_none.db'}"
    return replace(chosen, url=url)


@pytest.fixture
def make_service(backend: Backend, warm_service: Callable[[str], QueueService]) -> Iterator[MakeService]:
    """Makes services on the backend's empty database (each is to the others as another process would be)."""
    made: list[QueueService] = []

    def make(target: Any = None, **settings: Any) -> QueueService:
        service = QueueService(backend.url if target is None else target, **settings)
        made.append(service)
        return service

    yield make
    for service in made:
        _close(service)
    if backend.is_sql:
        _empty(warm_service(backend.url))


@pytest.fixture
def service(backend: Backend, make_service: MakeService, warm_service: Callable[[str], QueueService]) -> QueueService:
    """The service of the test."""
    return warm_service(backend.url) if backend.is_sql else make_service()


@pytest.fixture
def make_queue(service: QueueService, backend: Backend) -> MakeQueue:
    """Makes queues of the backend's type."""

    def make(name: str = "jobs", /, **options: Any) -> BatchQueue:
        return service.create(backend.type, name, **options)

    return make


@pytest.fixture
def queue(make_queue: MakeQueue) -> BatchQueue:
    """An empty queue with the default options."""
    return make_queue()


@pytest.fixture
def other(queue: BatchQueue, other_of: Callable[[BatchQueue], BatchQueue]) -> BatchQueue:
    """The same queue as another process sees it; ``Memory`` has one process, and so one object."""
    return other_of(queue)


@pytest.fixture
def other_of(make_service: MakeService, backend: Backend) -> Callable[[BatchQueue], BatchQueue]:
    """The same for a queue that the test makes itself."""
    return lambda queue: make_service().load(queue.name) if backend.is_sql else queue


@pytest.fixture(autouse=True)
def effects() -> Iterator[list[Any]]:
    """What the tasks of the test have done."""
    tasks.forget()
    yield tasks.effects
    tasks.forget()


@pytest.fixture(scope="session")
def processes() -> Iterator[ProcessPoolExecutor]:
    """As many processes as ``jobs.PROCESSES``, started anew and not forked; see :mod:`tests.contract.processes`."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(jobs.PROCESSES)
    with ProcessPoolExecutor(jobs.PROCESSES, context, jobs.keep_barrier, (barrier,)) as pool:
        yield pool


def _empty(service: QueueService) -> None:
    def delete(tx: Transaction) -> None:
        for table in _EMPTIED:
            tx.change(f"DELETE FROM {{{table}}}")

    _check_pools(service)
    service.database.transaction(delete)
    service._queues.clear()
    service.database.last_beat = ("", 0.0)  # its sign of life is among what was deleted
    service.database.trends.forget()


def _close(service: QueueService) -> None:
    _check_pools(service)
    service.close()


def _check_pools(service: QueueService) -> None:
    engines = None
    if service._database is not None:
        service._database.lending.clear()
        engines = service._database._engines
    for engine in engines or ():
        assert engine.pool.checkedout() == 0, "a connection did not come back to its pool"  # type: ignore[attr-defined]
