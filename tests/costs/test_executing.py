"""What a task costs from its claim to its completion: one statement that is a commit, and a share of what many have in
common. With completions in groups they share those as well."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from taskqueue import BatchQueue, QueueService, Runner, Task, Worker
from taskqueue.execution import group
from taskqueue.queues import sql_base
from tests.costs.meters import Counted, Meter
from tests.costs.tasks import nothing
from tests.servers import ALL_DATABASES

TASKS = 1000

each_database = pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)
each_type = pytest.mark.parametrize("type_name", ["Sql", "SqlParallel"])


@each_database
@each_type
def test_given_tasks_that_do_nothing_when_a_runner_executes_them_then_each_costs_hardly_more_than_its_commit(
    service: QueueService, meter: Meter, type_name: str
) -> None:
    queue = service.create(type_name, "many")

    counted, seconds = cost(queue, meter, lambda: Runner(queue).run_all().completed)

    assert TASKS <= counted.statements <= 1.2 * TASKS + looks(seconds)
    assert TASKS <= counted.commits <= 1.05 * TASKS + notes(seconds)


@each_database
@each_type
def test_given_tasks_that_do_nothing_when_a_worker_executes_them_then_each_costs_hardly_more_than_its_commit(
    service: QueueService, meter: Meter, type_name: str
) -> None:
    queue = service.create(type_name, "many", error="dead")

    counted, seconds = cost(queue, meter, lambda: Worker(service, ["many"], max_items=TASKS).run().executed)

    assert TASKS <= counted.statements <= 1.2 * TASKS + looks(seconds)
    assert TASKS <= counted.commits <= 1.05 * TASKS + notes(seconds)


@each_database
@each_type
def test_given_completions_in_groups_when_a_worker_executes_tasks_then_a_hundred_share_what_one_costs(
    service: QueueService, meter: Meter, type_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "_PATIENCE", 600)  # else it is a matter of time how many come together
    queue = service.create(type_name, "many", error="dead")

    counted, seconds = cost(
        queue, meter, lambda: Worker(service, ["many"], max_items=TASKS, grouped=True).run().executed
    )

    # By a hundred: a claim, which takes some statements where it has to lock, and one DELETE that tells what it found.
    assert counted.statements <= 0.14 * TASKS + looks(seconds)
    assert counted.commits <= 0.03 * TASKS + notes(seconds)


@each_database
def test_given_a_claim_that_got_all_it_asked_for_when_the_next_one_comes_then_it_does_not_ask_whether_there_is_but_one(
    service: QueueService, meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_base, "_PROMOTE_EVERY_MS", 600_000)  # else it is a matter of time what a claim looks for
    queue = service.create("SqlParallel", "many", batch_limit=10)
    queue.create_items(Task(nothing) for _ in range(100))
    assert len(queue.claim_items(1)) == 1

    before = meter.read()
    assert len(queue.claim_items(5)) == 5
    between = meter.read()
    assert len(queue.claim_items(5)) == 5
    after = meter.read()

    locks = service.database.dialect.name == "mysql"  # so that a claim of several takes a transaction
    assert (between - before).statements - (after - between).statements == locks


def cost(queue: BatchQueue, meter: Meter, execute: Callable[[], int]) -> tuple[Counted, float]:
    """What it takes to execute many tasks, and how many seconds; what is done once was done before."""
    Runner(queue).run_all()
    queue.create_items(Task(nothing) for _ in range(TASKS))
    before, began = meter.read(), time.monotonic()
    assert execute() == TASKS
    counted, seconds = meter.read() - before, time.monotonic() - began
    assert queue.number_of_items() == 0
    return counted, seconds


def looks(seconds: float) -> float:
    """Statements that are a matter of time: ten times a second it is looked for pauses and for what others do, twice a
    second the record of a run is stored, once a second a worker looks at its queues and says that it is alive."""
    return 4 * seconds / 0.1 + 8 * seconds / 0.5 + 20 * seconds


def notes(seconds: float) -> float:
    """The same for commits: the record, the sign of life, and the statistics that MariaDB stores by itself."""
    return 3 + 3 * seconds
