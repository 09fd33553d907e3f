"""Runs whose stored definition was damaged, or written by others: shown, and never executed."""

from __future__ import annotations

from contextlib import suppress

import pytest

from taskqueue import BatchQueue, PayloadError
from taskqueue.runs.state import Definition
from tests.contract import tasks
from tests.contract.backends import Backend, only_sql
from tests.contract.conftest import MakeService
from tests.contract.records import begin, drive, sql, store

pytestmark = only_sql
KEY = "a key of the tests, no secret"


def replace_definition(queue: BatchQueue, run_id: str, text: str) -> None:
    """Write what somebody else might, behind the back of the package."""
    statement = "UPDATE {run} SET definition = :text WHERE id = :id"
    sql(queue).database.transaction(lambda tx: tx.change(statement, text=text, id=run_id))


def definition_in(queue: BatchQueue, run_id: str) -> str:
    read = "SELECT definition FROM {run} WHERE id = :id"
    return str(sql(queue).database.transaction(lambda tx: tx.row(read, id=run_id))[0])


@pytest.fixture
def signed(make_service: MakeService, backend: Backend) -> BatchQueue:
    """A queue whose runs are signed."""
    service = make_service(secret_key=KEY, allow=["tests.contract.tasks"])
    queue = service.create(backend.type, "jobs")
    queue.enqueue(tasks.note, "x")
    return queue


def forge(signed: BatchQueue, run_id: str, how: str, make_service: MakeService) -> None:
    if how == "altered":
        replace_definition(signed, run_id, definition_in(signed, run_id).replace("finish", "note__"))
    elif how == "unsigned":
        unsigned = make_service().load("jobs")
        twin = store(unsigned).create(unsigned, Definition("T", on_end="tests.contract.tasks:finish"))
        replace_definition(signed, run_id, definition_in(signed, twin.id))
    elif how == "of another run":
        twin = begin(signed, on_end="tests.contract.tasks:finish")
        replace_definition(signed, run_id, definition_in(signed, twin.id))
    elif how == "an item's":
        read = "SELECT data FROM {item} ORDER BY id LIMIT 1"
        row = sql(signed).database.transaction(lambda tx: tx.row(read))
        replace_definition(signed, run_id, row[0])
    else:
        replace_definition(signed, run_id, how)


@pytest.mark.parametrize("how", ["altered", "unsigned", "of another run", "an item's", "", "{", "null", "[]"])
def test_a_forged_run_is_shown_and_nothing_that_it_asks_for_is_executed(
    signed: BatchQueue, make_service: MakeService, effects: list[str], how: str
) -> None:
    run = begin(signed, title="Import", on_end="tests.contract.tasks:finish", on_end_url="/done")
    forge(signed, run.id, how, make_service)

    found = store(signed).get(run.id)
    assert found.damage
    assert (found.title, found.definition.on_end, found.definition.on_end_url) == (f"Run {run.id[:8]}", None, None)
    with suppress(PayloadError):
        drive(signed, found)
    assert "the end of jobs" not in effects
    assert store(signed).get(run.id).status != "completed", "its last step was neither carried out nor refused"


@pytest.mark.parametrize("text", ["", "{", "null", "[]", '{"v": 1}', '{"v": 1, "data": {"title": 5}}', "\u00fc"])
def test_a_damaged_run_without_a_key_is_shown(queue: BatchQueue, text: str) -> None:
    run = begin(queue, on_end="tests.contract.tasks:finish")
    replace_definition(queue, run.id, text)

    found = store(queue).get(run.id)
    assert found.damage
    assert found.title == f"Run {run.id[:8]}"
    assert store(queue).latest()[0].id == run.id
