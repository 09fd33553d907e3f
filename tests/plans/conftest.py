"""Queues with a backlog, big enough for a lost index to show."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest

from taskqueue import QueueService
from taskqueue.queues.batch import BatchQueue
from taskqueue.storage.schema import DELAYED, LEASED, READY
from tests.databases import fresh_database
from tests.plans.backlog import AT_THE_HEAD, DUE, WAITING, Backlog
from tests.servers import ALL_DATABASES

_ANALYZE = {"sqlite": "ANALYZE", "mariadb": "ANALYZE TABLE taskqueue_item", "postgresql": "ANALYZE taskqueue_item"}


@pytest.fixture(
    scope="package", params=list(product(ALL_DATABASES, [False, True])), ids=lambda p: f"{p[0]}{'-analyzed' * p[1]}"
)
def backlog(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backlog]:
    """Many ready items behind leased and delayed ones; once as it comes, once with statistics for the planner."""
    kind, is_analyzed = request.param
    url = fresh_database(request, tmp_path_factory, kind, "plans")
    service = QueueService(url)
    parallel = service.create("SqlParallel", "parallel", batch_limit=100)
    sequential = service.create("Sql", "sequential", batch_limit=100)
    _fill(service, parallel, leased=AT_THE_HEAD // 2, delayed=AT_THE_HEAD // 2)
    _fill(service, sequential, leased=0, delayed=AT_THE_HEAD)
    if is_analyzed:
        _execute(service, _ANALYZE[kind])
    yield Backlog(kind, service, parallel, sequential)
    service.close()


def _fill(service: QueueService, queue: BatchQueue, leased: int, delayed: int) -> None:
    if service.database.dialect.name == "postgresql":
        _execute(service, "ALTER TABLE taskqueue_item SET (autovacuum_enabled = off)")
    for count, state in ((leased, LEASED), (delayed, DELAYED)):
        queue.create_items(range(count), weight=-1)
        _block(service, queue, state, "{now} + 3600000 + id")
    queue.create_items(range(DUE), weight=-2)
    _block(service, queue, DELAYED, "{now} - 1000")
    queue.create_items(range(WAITING))


def _block(service: QueueService, queue: BatchQueue, state: int, until: str) -> None:
    _execute(
        service,
        f"UPDATE {{item}} SET state = {state}, release_time = {until}, holder = 'somebody' "
        f"WHERE queue_name = '{queue.name}' AND state = {READY}",
    )


def _execute(service: QueueService, sql: str) -> None:
    service.database.statement(lambda tx: tx.change(sql))
