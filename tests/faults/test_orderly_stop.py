"""``runner.stop()`` and Ctrl-C inside a task: what was not attempted goes back, and nothing stays leased."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from taskqueue import Runner, RunResult
from tests.faults.history import DEADLINE
from tests.faults.stage import Stage
from tests.faults.tasks import hold, interrupt, interrupt_in_transaction, record
from tests.servers import ALL_DATABASES

pytestmark = [
    pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True),
    pytest.mark.parametrize("type", ["Sql", "SqlParallel"]),
]


def test_given_a_run_when_it_is_stopped_by_another_thread_then_it_ends_after_the_item_in_hand(
    stage: Stage, type: str
) -> None:
    # given: 2 is in hand, 3 to 5 are leased ahead
    stage.create(type)
    stage.fill(record, hold, record, record, record)
    runner = Runner(stage.queue)
    results: list[RunResult] = []
    thread = threading.Thread(target=lambda: results.append(runner.run_all()))
    thread.start()
    stage.history.wait_for("start", number=2)
    assert stage.queue.get_statistic("leased") == 4
    # when
    runner.stop()
    stage.gate.let_through()
    thread.join(DEADLINE)
    # then
    assert not thread.is_alive(), f"the run did not end: {stage.history.tail()}"
    (result,) = results
    assert not result and result.is_continue and not result.is_error
    assert stage.history.numbers("end") == [1, 2]
    then_these_stand_as_if_never_claimed(stage, [3, 4, 5])


@pytest.mark.parametrize("task", [interrupt, interrupt_in_transaction])
def test_given_a_run_when_ctrl_c_hits_a_task_then_its_item_goes_back_and_the_interrupt_passes_on(
    stage: Stage, type: str, task: Any
) -> None:
    # given
    stage.create(type)
    stage.create_effects()
    stage.fill(record, task, record)
    # when
    with pytest.raises(KeyboardInterrupt):
        Runner(stage.queue).run_all()
    # then
    assert stage.history.numbers("start") == [1, 2]
    assert stage.effects() == []
    then_these_stand_as_if_never_claimed(stage, [2, 3])


def then_these_stand_as_if_never_claimed(stage: Stage, numbers: list[int]) -> None:
    items = list(stage.queue.items())
    assert [item.data.args[1] for item in items] == numbers
    assert {(item.run_count, item.failures, item.interruptions) for item in items} == {(0, 0, 0)}
    assert stage.queue.get_statistic("ready") == len(numbers)
