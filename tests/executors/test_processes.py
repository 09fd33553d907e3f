"""Calls made by other processes, and what becomes of them when those die."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from taskqueue import (
    Attempt,
    BatchQueue,
    CallbackError,
    ConfigurationError,
    ExecutorLost,
    Later,
    NotSupported,
    Outcome,
    QueueService,
    Task,
    TaskFailed,
    callbacks,
    open_executor,
)
from taskqueue.execution.attempt import Execution
from taskqueue.execution.executors import Processes
from taskqueue.execution.holding import Holding
from tests.contract import tasks as here
from tests.executors import calls

MakeQueue = Callable[..., BatchQueue]


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    """Two processes, for all tests."""
    with open_executor("processes:2") as executor:
        yield executor


@pytest.fixture
def service(tmp_path: Path) -> Iterator[QueueService]:
    made = QueueService(f"sqlite:///{tmp_path / 'queue.db'}", allow=["tests"])
    yield made
    made.close()


@pytest.fixture
def make_queue(service: QueueService) -> MakeQueue:
    return lambda **options: service.create("SqlParallel", "jobs", **options)


def execute(queue: BatchQueue, executor: Executor, limit: int = 1) -> list[Attempt]:
    """Execute up to ``limit`` items by the executor."""
    with Holding(queue) as holding:
        execution = Execution(holding, executor=executor)
        return execution.run_batch(holding.lease(limit))


def test_another_process_makes_the_call(make_queue: MakeQueue, pool: Executor, tmp_path: Path) -> None:
    queue = make_queue()
    item = queue.enqueue(calls.where, str(tmp_path / "where"), title="Where am I")

    (attempt,) = execute(queue, pool)

    assert attempt.outcome == "ok"
    pid, *context = (tmp_path / "where").read_text().split(" ")
    assert int(pid) != os.getpid()
    assert context == ["jobs", str(item.id), "Where", "am", "I", "1", "False"]


def test_a_coroutine_is_run_there(make_queue: MakeQueue, pool: Executor, tmp_path: Path) -> None:
    queue = make_queue()
    queue.enqueue(calls.answer_later, str(tmp_path / "trace"))

    assert execute(queue, pool)[0].outcome == "ok"
    assert (tmp_path / "trace").read_text() == "awaited"


def test_false_is_a_failure_there_too(make_queue: MakeQueue, pool: Executor) -> None:
    queue = make_queue(error="delete")
    queue.enqueue(calls.answer, False)

    assert execute(queue, pool)[0].outcome == "delete"


@pytest.mark.parametrize(
    "how, outcome, kind, text",
    [
        ("error", "delete", KeyError, "'column 7'"),
        ("exit", "delete", SystemExit, "3"),
        ("cancelled", "delete", asyncio.CancelledError, "from inside"),
        ("interrupt", "retry", ExecutorLost, "the process that executed the task was lost: KeyboardInterrupt"),
        ("unportable", "delete", TaskFailed, "Unportable: 1 and 2"),
        ("retry", "delete", TaskFailed, "busy"),
        ("later", "relinquish", Later, "not yet"),
    ],
)
def test_exceptions_come_back(
    make_queue: MakeQueue, pool: Executor, how: str, outcome: str, kind: type[BaseException], text: str
) -> None:
    queue = make_queue(error="delete")
    queue.enqueue(calls.fail, how)

    (attempt,) = execute(queue, pool)

    assert (attempt.outcome, str(attempt.exception)) == (outcome, text)
    assert isinstance(attempt.exception, kind)


def test_the_traceback_is_that_of_the_other_process(service: QueueService, pool: Executor) -> None:
    queue = service.create("SqlParallel", "jobs", error="delete")
    queue.enqueue(calls.fail, "error")

    execute(queue, pool)

    (row,) = service.database.transaction(lambda tx: tx.rows("SELECT traceback FROM {ending}"))
    assert "in fail" in row[0]
    assert row[0].endswith("KeyError: 'column 7'")
    assert "remote.py" not in row[0]


@pytest.mark.parametrize("callback", [calls.use_transaction, calls.use_queue])
def test_what_only_threads_have_is_refused_with_a_sentence(
    make_queue: MakeQueue, pool: Executor, callback: Any
) -> None:
    queue = make_queue(error="delete")
    queue.enqueue(callback)

    (attempt,) = execute(queue, pool)

    assert isinstance(attempt.exception, NotSupported)
    assert "executor" in str(attempt.exception)


def test_what_is_not_allowed_here_is_not_called_there(tmp_path: Path, pool: Executor) -> None:
    service = QueueService(f"sqlite:///{tmp_path / 'queue.db'}", allow=["elsewhere"])
    queue = service.create("SqlParallel", "jobs")
    queue.create_item(Task.stored("tests.executors.calls:where", (str(tmp_path / "trace"),), "", {}, None))
    _forget("tests.executors.calls:where")

    (attempt,) = execute(queue, pool)

    assert attempt.outcome == "dead"
    assert not (tmp_path / "trace").exists()
    service.close()


def _forget(name: str) -> None:
    """As if another process had queued it."""
    callbacks._remembered.discard(name)


def test_a_process_that_dies_is_an_interruption_and_is_replaced(make_queue: MakeQueue, tmp_path: Path) -> None:
    queue = make_queue()
    queue.enqueue(calls.die_once, str(tmp_path / "deaths"))

    with Processes(1) as executor:
        (attempt,) = execute(queue, executor)
        standing = next(queue.items())
        assert (attempt.outcome, type(attempt.exception)) == ("retry", ExecutorLost)
        assert (standing.interruptions, standing.failures) == (1, 0)
        assert execute(queue, executor)[0].outcome == "ok"


def test_a_task_that_kills_each_process_fails_in_the_end(make_queue: MakeQueue, tmp_path: Path) -> None:
    queue = make_queue(error="dead", retry_limit=0)
    queue.enqueue(calls.die, str(tmp_path / "deaths"))

    with Processes(1) as executor:
        attempts = [execute(queue, executor)[0] for _ in range(4)]

    assert [attempt.outcome for attempt in attempts] == ["retry", "retry", "retry", "dead"]
    assert str(attempts[-1].exception) == "worker lost 3 times"
    assert len((tmp_path / "deaths").read_text()) == 3


def test_a_process_that_dies_takes_no_neighbour_with_it(make_queue: MakeQueue, pool: Executor, tmp_path: Path) -> None:
    queue = make_queue()
    queue.enqueue(calls.wait_for, str(tmp_path / "go"))
    queue.enqueue(calls.die_once, str(tmp_path / "deaths"))

    with Holding(queue) as holding, ThreadPoolExecutor(2) as threads:
        execution = Execution(holding, executor=pool)
        (waiting,) = holding.lease(1)
        neighbour = threads.submit(execution.run, waiting)
        try:
            assert here.until((tmp_path / "go.begun").exists)
            (dying,) = holding.lease(1)  # not before: what waits for long is given back
            assert threads.submit(execution.run, dying).result(30).outcome == "retry"
        finally:
            (tmp_path / "go").touch()
        assert neighbour.result(30).outcome == "ok"


def test_a_broken_executor_puts_items_off_and_counts_nothing(make_queue: MakeQueue) -> None:
    queue = make_queue()
    queue.enqueue(calls.answer, 1)
    executor = ProcessPoolExecutor(1)
    executor.shutdown()

    (attempt,) = execute(queue, executor)

    assert attempt.is_put_off
    standing = next(queue.items())
    assert (standing.run_count, standing.failures, standing.interruptions) == (0, 0, 0)
    assert queue.statistics()["delayed"] == 1


def test_a_lost_lease_is_not_waited_for(make_queue: MakeQueue, pool: Executor, tmp_path: Path) -> None:
    queue = make_queue()
    queue.enqueue(calls.wait_for, str(tmp_path / "go"))

    with Holding(queue) as holding, ThreadPoolExecutor(1) as threads:
        (item,) = holding.lease(1)
        attempt = threads.submit(Execution(holding, executor=pool).run, item)
        try:
            assert here.until((tmp_path / "go.begun").exists)
            queue.steal_item()
            holding._renew([holding._holds[item.id]])
            assert attempt.result(30).outcome is Outcome.LEASE_LOST
        finally:
            (tmp_path / "go").touch()


def test_a_batch_handler_is_called_there(service: QueueService, pool: Executor) -> None:
    service.handler("thumb", batch=True)(calls.thumbs)
    queue = service.create("SqlParallel", "thumbs", payload="thumb", batch_limit=4, error="delete")
    queue.create_items(range(4))

    attempts = execute(queue, pool, 4)

    assert [attempt.outcome for attempt in attempts] == ["ok", "delete", "ok", "delete"]


def test_a_handler_that_has_no_name_is_refused_at_once(service: QueueService, pool: Executor) -> None:
    service.handler("thumb")(lambda ctx, data: None)
    queue = service.create("SqlParallel", "thumbs", payload="thumb")

    with Holding(queue) as holding, pytest.raises(CallbackError, match="lambda"):
        Execution(holding, executor=pool)


def test_a_task_of_somebody_else_is_not_handed_over(tmp_path: Path, pool: Executor) -> None:
    service = QueueService(
        f"sqlite:///{tmp_path / 'queue.db'}", allow=["tests"], switch_user=lambda run_as: nullcontext()
    )
    queue = service.create("SqlParallel", "jobs", error="delete")
    queue.create_item(Task(calls.answer, (1,), run_as={"user": 7}))

    (attempt,) = execute(queue, pool)

    assert isinstance(attempt.exception, NotSupported)
    service.close()


# --- opening by name ---

of_ours = ThreadPoolExecutor(1)


def make_one() -> Executor:
    return ThreadPoolExecutor(1)


not_one = threading.Lock()


@pytest.mark.parametrize("name", ["of_ours", "make_one"])
def test_an_executor_of_ones_own_is_found_by_name(name: str) -> None:
    with open_executor(f"{__name__}:{name}") as executor:
        assert isinstance(executor, ThreadPoolExecutor)


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("processes:0", "named as processes:4"),
        ("processes:many", "named as processes:4"),
        ("processes", "named as processes:4"),
        ("", "named as processes:4"),
        ("no such thing", "named as processes:4"),
        ("no_such_module:executor", "ModuleNotFoundError"),
        (f"{__name__}:no_such", "AttributeError"),
        (f"{__name__}:not_one", "no concurrent.futures.Executor"),
        ("dask://127.0.0.1:nowhere", "no Dask scheduler answers"),
    ],
)
def test_what_is_no_executor_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        open_executor(text)
