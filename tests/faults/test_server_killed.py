"""kill -9 of the database server in the middle of a run."""

from __future__ import annotations

from typing import cast

import pytest

from tests.faults.history import Line
from tests.faults.stage import AFTER_THE_LEASE, Child, Stage
from tests.faults.tasks import effect, effect_on_hold, hold, hold_then_effect, record
from tests.servers import SERVER_DATABASES, Server

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.parametrize("database_url", SERVER_DATABASES, indirect=True),
    pytest.mark.parametrize("type", ["Sql", "SqlParallel"]),
]
ALL = list(range(1, 13))
#: The second one when the connection was lost at a commit.
UNAVAILABLE = ("DatabaseUnavailable", "OutcomeUnknown")


@pytest.fixture
def server(request: pytest.FixtureRequest, database_url: str) -> Server:
    """The server of the test's database."""
    return cast(Server, request.getfixturevalue(f"{request.node.callspec.params['database_url']}_server"))


def test_given_a_task_in_hand_when_the_server_is_killed_and_soon_back_then_the_run_goes_on(
    stage: Stage, server: Server, type: str
) -> None:
    # given
    stage.create(type)
    stage.fill(*[record] * 4, hold, *[record] * 7)
    child = stage.start()
    stage.history.wait_for("start", number=5)
    # when: the task ends, and its end cannot be stored before the server is back
    server.kill()
    stage.gate.let_through()
    stage.history.wait_for("end", number=5)
    server.start()
    # then
    ended = outcome_of_run(stage, child)
    assert ended["error"] is None and ended["is_drained"], f"the run did not ride through it: {child.log_text()}"
    assert stage.history.times("finished", outcome="ok") == dict.fromkeys(ALL, 1)
    assert stage.queue.number_of_items() == 0


def test_given_a_task_in_hand_when_the_server_stays_away_then_the_run_says_so_and_another_one_finishes(
    stage: Stage, server: Server, type: str
) -> None:
    # given
    stage.create(type)
    stage.fill(*[record] * 4, hold, *[record] * 7)
    child = stage.start(patience=0.5)
    stage.history.wait_for("start", number=5)
    # when
    server.kill()
    stage.gate.let_through()
    ended = outcome_of_run(stage, child)
    server.start()
    stage.gate.let_through()
    result = stage.run_rest(AFTER_THE_LEASE)
    # then
    assert ended["error"] in UNAVAILABLE, ended
    assert result and result.completed == 8
    assert stage.history.times("start") == dict.fromkeys(ALL, 1) | {5: 2}
    assert stage.history.times("finished", outcome="ok") == dict.fromkeys(ALL, 1)


def test_given_an_open_transaction_of_a_task_when_the_server_is_killed_then_its_effect_is_there_once_in_the_end(
    stage: Stage, server: Server, type: str
) -> None:
    # given
    stage.create(type)
    stage.create_effects()
    stage.fill(*[effect] * 4, effect_on_hold, *[effect] * 7)
    child = stage.start()
    stage.history.wait_for("inserted", number=5)
    # when
    server.kill()
    stage.gate.let_through(3)  # on a slow machine the lease ends meanwhile, and the run tries the item again
    server.start()
    ended = outcome_of_run(stage, child)
    assert stage.run_rest(AFTER_THE_LEASE)
    # then
    assert (ended["error"] or ended["exception"]) in (None, *UNAVAILABLE), child.log_text()
    assert [number for number, _fence in stage.effects()] == ALL
    assert stage.queue.number_of_items() == 0


@pytest.mark.parametrize("back", ["before", "while"])
def test_given_a_server_killed_between_tasks_when_the_next_opens_its_transaction_then_that_is_no_failure_of_it(
    stage: Stage, server: Server, type: str, back: str
) -> None:
    # given: a queue that would drop what fails, and connections that have stood since before the kill
    stage.create(type, error="delete")
    stage.create_effects()
    stage.fill(*[effect] * 4, hold_then_effect, *[effect] * 7)
    child = stage.start()
    stage.history.wait_for("start", number=5)
    # when: the server is back before the task opens its transaction, or while it tries to
    server.kill()
    if back == "before":
        server.start()
    stage.gate.let_through()
    server.start()
    ended = outcome_of_run(stage, child)
    # then
    assert (ended["error"], ended["failed"]) == (None, 0), f"{ended['exception']}: {child.log_text()}"
    assert [number for number, _fence in stage.effects()] == ALL


def outcome_of_run(stage: Stage, child: Child) -> Line:
    child.wait_until_done()
    return stage.history.wait_for("ended", pid=child.process.pid)
