"""Tasks that start processes of their own: signals meant for those must not reach the run."""

from __future__ import annotations

import multiprocessing
import time

import pytest

from taskqueue import BatchQueue, TaskContext
from tests.cli.conftest import Shell

FORK = multiprocessing.get_context("fork")


def terminate_a_child(ctx: TaskContext) -> None:
    """Start a child and end it by SIGTERM."""
    child = FORK.Process(target=time.sleep, args=(60,))
    child.start()
    child.terminate()
    child.join(20)
    assert child.exitcode == -15, f"the child took no notice: {child.exitcode}"


def use_a_pool(ctx: TaskContext) -> None:
    """A pool ends its workers by SIGTERM as well."""
    with FORK.Pool(2) as pool:
        assert pool.map(abs, [-1, -2]) == [1, 2]


@pytest.mark.parametrize("task", [terminate_a_child, use_a_pool])
def test_given_a_task_that_ends_processes_of_its_own_when_it_is_run_then_the_run_goes_on(
    shell: Shell, queue: BatchQueue, task: object
) -> None:
    for _ in range(5):
        queue.enqueue(task)

    ran = shell.run("run", queue.name, "--allow", __name__)

    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout + ran.stderr
    assert queue.number_of_items() == 0
