"""Two processes at once on one sequential queue: never two tasks at a time, never out of order."""

from __future__ import annotations

from itertools import chain

import pytest

from tests.faults.stage import Stage
from tests.faults.tasks import linger
from tests.servers import ALL_DATABASES

pytestmark = pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)
TASKS = 200


@pytest.mark.parametrize("role", ["step", "run"])
def test_given_two_runners_on_a_sequential_queue_when_both_run_at_once_then_tasks_never_overlap_and_keep_their_order(
    stage: Stage, role: str
) -> None:
    # given: "step" claims anew for each item, "run" leases a few ahead; neither can do all alone
    stage.create("Sql")
    stage.fill(*[linger] * TASKS)
    half = TASKS // 2 if role == "run" else None
    patient = {"lease_slice": 30.0, "heartbeat": 3.0}  # on a busy machine nobody shall lose a lease
    runners = [stage.start(role, is_gated=True, wait=None, stop_after=half, settings=patient) for _ in range(2)]
    stage.history.wait_for("ready", count=2)
    # when
    stage.gate.let_through(2)
    for runner in runners:
        runner.wait_until_done()
    # then: the history has the order of the events
    events = [(line["kind"], line["number"]) for line in stage.history.lines() if line["kind"] in ("start", "end")]
    assert events == list(chain.from_iterable((("start", n), ("end", n)) for n in range(1, TASKS + 1)))
    assert len({line["pid"] for line in stage.history.lines("start")}) == 2, "one of the two has done nothing"
    assert stage.queue.number_of_items() == 0
