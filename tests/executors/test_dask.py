"""A Dask cluster of two processes does the work; the queue stays the source of truth."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from taskqueue import BatchQueue, ExecutorLost, QueueService, Task, open_executor
from taskqueue.execution.attempt import Execution
from taskqueue.execution.holding import Holding
from tests.contract import tasks as here
from tests.executors import calls

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
# Of the engine, which is not ours to put right.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

NUMBER = 1000
THREADS = 4


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two processes with one thread each; the scheduler repeats nothing by itself."""
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
        ) as cluster,
    ):
        yield cluster


@pytest.fixture
def executor(cluster: Any) -> Iterator[Executor]:
    with open_executor(cluster.scheduler_address.replace("tcp://", "dask://")) as executor:
        yield executor


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[BatchQueue]:
    service = QueueService(f"sqlite:///{tmp_path / 'queue.db'}", allow=["tests"])
    yield service.create("SqlParallel", "jobs", error="dead")
    service.close()


def work(queue: BatchQueue, executor: Executor, stop_after: int | None = None) -> list[BaseException | None]:
    """What one thread of a worker does; how each attempt ended."""
    seen: list[BaseException | None] = []
    with queue.hold(), Holding(queue) as holding:
        execution = Execution(holding, executor=executor)
        while items := holding.lease(1):  # what waits behind an item that takes long would be given back
            seen += [attempt.exception for attempt in execution.run_batch(items)]
    return seen


def test_a_thousand_tasks_and_a_killed_worker(
    queue: BatchQueue, cluster: Any, executor: Executor, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    queue.create_items(Task(calls.append, (str(journal), number)) for number in range(NUMBER))
    (victim, *_others) = _pids(cluster)

    with ThreadPoolExecutor(THREADS) as threads:
        working = [threads.submit(work, queue, executor) for _ in range(THREADS)]
        assert here.until(lambda: journal.exists() and len(_lines(journal)) > NUMBER // 10)
        os.kill(victim, signal.SIGKILL)
        seen = [exception for future in working for exception in future.result(120)]
    seen += work(queue, executor)  # what was interrupted last

    assert set(Counter(_lines(journal))) == set(range(NUMBER))  # none is lost
    assert queue.statistics() == dict.fromkeys(queue.statistics(), 0)
    assert {type(exception) for exception in seen} <= {type(None), ExecutorLost}  # and none has failed


def test_a_task_that_kills_its_worker_is_an_interruption(queue: BatchQueue, executor: Executor, tmp_path: Path) -> None:
    queue.enqueue(calls.die_once, str(tmp_path / "deaths"))

    seen = work(queue, executor)

    assert [type(exception) for exception in seen] == [ExecutorLost, type(None)]


def test_failures_come_back(queue: BatchQueue, executor: Executor) -> None:
    queue.enqueue(calls.fail, "error")

    (exception,) = work(queue, executor)

    assert isinstance(exception, KeyError)


def _lines(journal: Path) -> list[int]:
    return [int(line) for line in journal.read_text().split("\n")[:-1]]


def _pids(cluster: Any) -> list[int]:
    with distributed.Client(cluster, set_as_default=False) as client:
        return list(client.run(os.getpid).values())
