"""The record of a run whose driver, or whose database, is killed: nothing is lost, nothing is counted twice."""

from __future__ import annotations

from typing import cast

import pytest

from taskqueue import Runner, travel
from taskqueue.errors import RunMovedOn
from taskqueue.remaining import Remaining
from taskqueue.runs.state import END_STEP
from tests.contract.records import act, counted, counters, drive_to_the_end, recorder_of, run_of, runs_of
from tests.faults.child import HEARTBEAT
from tests.faults.history import wait_until
from tests.faults.stage import AFTER_THE_LEASE, Stage
from tests.faults.tasks import effect, hold, record
from tests.servers import ALL_DATABASES, SERVER_DATABASES, Server

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.parametrize("type", ["Sql", "SqlParallel"]),
]
each_database = pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)
each_server = pytest.mark.parametrize("database_url", SERVER_DATABASES, indirect=True)
#: After so many seconds a driver, and a holder, that is not heard of counts as lost.
AFTER_THE_SLOT, STALE = 11.0, 31.0
ON_END = "tests.faults.tasks:end_on_hold"


@pytest.fixture
def server(request: pytest.FixtureRequest, database_url: str) -> Server:
    """The server of the test's database."""
    return cast(Server, request.getfixturevalue(f"{request.node.callspec.params['database_url']}_server"))


@each_database
def test_given_a_driver_killed_in_mid_run_when_a_page_goes_on_then_done_and_left_are_the_total(
    stage: Stage, type: str
) -> None:
    # given
    stage.create(type)
    stage.fill(*[record] * 30, hold, *[record] * 9)
    victim = stage.start()
    stage.history.wait_for("start", number=31)
    victim.kill()
    run = run_of(stage.queue)
    assert (run.status, run.total) == ("running", 40)
    # when
    stage.gate.let_through()
    with travel(AFTER_THE_SLOT):
        recorder = recorder_of(stage.queue, run, "page")
        assert recorder.take()
        found, left = run_of(stage.queue), stage.queue.number_of_items()
        with recorder:
            pass
        ended = drive_to_the_end(stage.queue, run)
    # then
    assert (found.done + left, found.total) == (40, 40)
    assert (ended.status, counters(ended)) == ("completed", counted(40, done=40))
    assert stage.history.times("finished", outcome="ok") == dict.fromkeys(range(1, 41), 1)


@each_database
def test_given_a_driver_killed_in_mid_run_when_the_command_is_given_again_then_it_is_the_same_run(
    stage: Stage, type: str
) -> None:
    # given
    stage.create(type)
    stage.fill(*[record] * 10, hold, *[record] * 9)
    victim = stage.start()
    stage.history.wait_for("start", number=11)
    victim.kill()
    # when
    stage.gate.let_through()
    assert stage.run_rest(AFTER_THE_LEASE)
    # then
    assert counters(run_of(stage.queue)) == counted(20, done=20)


@each_database
@pytest.mark.parametrize("verb", ["retry", "skip"])
def test_given_a_driver_killed_in_the_last_step_when_it_is_taken_over_then_a_human_decides(
    stage: Stage, type: str, verb: str
) -> None:
    # given
    stage.create(type)
    stage.fill(record, record)
    victim = stage.start(on_end=ON_END)
    stage.history.wait_for("on_end")
    victim.kill()
    run = run_of(stage.queue)
    assert (run.status, run.end_fence) == ("finishing", 1)
    with pytest.raises(RunMovedOn):
        act(stage.queue, run).steal(END_STEP, 1)
    with travel(AFTER_THE_SLOT):
        assert drive_of_nobody(stage) is False
    # when
    with travel(STALE + 2 * HEARTBEAT):
        act(stage.queue, run).steal(END_STEP, 1)
        getattr(act(stage.queue, run), verb)(END_STEP, 2)
        stage.gate.let_through(2)
        assert Runner.of_run(stage.queue, run).run_all()
    # then
    (ended,) = runs_of(stage.queue)
    assert (ended.status, ended.is_ended, counters(ended)) == ("completed", True, counted(2, done=2))
    assert len(stage.history.lines("on_end")) == (2 if verb == "retry" else 1)
    assert len(stage.history.lines("on_end_done")) == (1 if verb == "retry" else 0)


def drive_of_nobody(stage: Stage) -> bool:
    """Whether a page that comes by executes the last step that a dead process began."""
    recorder = recorder_of(stage.queue, run_of(stage.queue), "page")
    if recorder.take():
        with recorder:
            Runner.of_run(stage.queue, run_of(stage.queue)).run_slice(0.2, recorder, Remaining(stage.queue))
    return len(stage.history.lines("on_end")) > 1


@each_server
@pytest.mark.parametrize("patience", [10.0, 0.5])
def test_given_a_server_killed_in_mid_run_when_it_is_back_then_no_count_is_lost(
    stage: Stage, server: Server, type: str, patience: float
) -> None:
    # given
    stage.create(type)
    stage.create_effects()
    stage.fill(*[record] * 20, hold, *[effect] * 20)
    child = stage.start(patience=patience)
    stage.history.wait_for("start", number=21)
    # when
    server.kill()
    if patience < 1:  # the record cannot be kept meanwhile
        wait_until(lambda: "could not be kept" in child.log_text(), "the recorder gave up once", child.log_text)
    server.start()
    stage.gate.let_through(2)  # on a slow machine the lease ends meanwhile, and the run tries the item again
    child.wait_until_done()
    if stage.queue.number_of_items():
        assert stage.run_rest(AFTER_THE_LEASE)
    # then
    (ended,) = runs_of(stage.queue)
    assert (ended.status, counters(ended)) == ("completed", counted(41, done=41)), child.log_text()[-3000:]
