"""Every backend does what the model says, through thousands of random steps.

``TASKQUEUE_MODEL_RUNS=200`` makes 200 runs of each backend, as a soak.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import count
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from taskqueue import QueueService
from taskqueue.queues.batch import BatchQueue
from tests.model.machine import OPTIONS, QueueMachine
from tests.servers import ALL_DATABASES

STEPS = 50
#: A server takes longer for a step than SQLite, and that longer than memory.
RUNS = {"memory": 30, "sqlite": 130, "mariadb": 50, "postgresql": 50}
#: So many calls are made at least with each type, looks after the steps not counted: 10,000 on SQLite, 3,000 on each
#: server for both types together.
CALLS = {"memory": 1000, "sqlite": 5000, "mariadb": 1500, "postgresql": 1500}
each_type = pytest.mark.parametrize("type_name", ["Sql", "SqlParallel"])


@pytest.fixture
def services(database_url: str) -> Iterator[list[QueueService]]:
    services = [QueueService(database_url), QueueService(database_url)]
    yield services
    for service in services:
        service.close()


def test_given_a_memory_queue_when_used_at_random_then_it_agrees_with_the_model(services: list[QueueService]) -> None:
    _compare("memory", "Memory", services[:1])


@each_type
@pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)
def test_given_a_queue_in_a_database_when_used_at_random_then_it_agrees_with_the_model(
    services: list[QueueService], type_name: str, request: pytest.FixtureRequest
) -> None:
    _compare(request.node.callspec.params["database_url"], type_name, services)


def _compare(backend: str, type_name: str, services: list[QueueService]) -> None:
    names = count()

    class Machine(QueueMachine):
        calls: ClassVar[Counter[str]] = Counter()

        def __init__(self) -> None:
            super().__init__(partial(_views, services, type_name, f"queue_{next(names)}"))

    runs = int(os.environ.get("TASKQUEUE_MODEL_RUNS", RUNS[backend]))
    run_state_machine_as_test(Machine, settings=_settings(runs))
    assert Machine.steps >= runs * STEPS // 2, "the runs were much shorter than asked for"
    made = Machine.calls.total()
    print(f"{made} calls: {dict(Machine.calls.most_common())}")
    assert made >= CALLS[backend] * runs // RUNS[backend], f"only {made} calls were made: {Machine.calls}"


def _views(services: list[QueueService], type_name: str, name: str) -> list[BatchQueue]:
    return [service.create(type_name, name, **OPTIONS) for service in services]


def _settings(runs: int) -> settings:
    is_ci = bool(os.environ.get("CI"))
    return settings(
        max_examples=runs,
        stateful_step_count=STEPS,
        deadline=None,
        derandomize=is_ci,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
    )
