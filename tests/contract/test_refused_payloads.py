"""Stored items that may not, or cannot, be executed: each becomes a dead letter with its reason."""

from __future__ import annotations

import pytest

from taskqueue import BatchQueue, ErrorMode, PayloadError, Runner, Task, travel
from tests.contract import tasks
from tests.contract.backends import Backend
from tests.contract.conftest import MakeService
from tests.contract.store import envelope, overwrite, stored

REFUSED = {
    "not allowed": (envelope("os:system"), "module 'os' is not allowed"),
    "not defined in the allowed module": (envelope("tests.contract.tasks:sys.exit"), "'sys' is no class"),
    "no longer existing": (envelope("tests.contract.tasks:gone"), "has no attribute 'gone'"),
    "in a module that is gone": (envelope("tests.contract.tasks.gone:x"), "there is no module"),
    "not callable": (envelope("tests.contract.tasks:effects"), "not callable"),
    "a class": (envelope("tests.contract.tasks:Holder"), "is a class"),
    "no name": (envelope("rm -rf"), "not a name"),
    "no text": (envelope(7), "fields of wrong types"),
    "wrong arguments": (envelope("tests.contract.tasks:note", args={}), "fields of wrong types"),
    "wrong keywords": (envelope("tests.contract.tasks:note", kwargs=[]), "fields of wrong types"),
    "no JSON": ("\x80\x04\x95 pickled", "cannot be read"),
    "empty": ("", "cannot be read"),
    "no envelope": ("[1, 2]", "not an envelope"),
    "no version": ('{"data": 1}', "not an envelope"),
    "an unknown tag": ('{"v": 1, "data": {"$nonsense": "1"}}', "cannot be read"),
    "a lone surrogate": ('{"v": 1, "data": "\\ud800"}', "lone surrogate"),
    "plain data": ('{"v": 1, "data": "just data"}', "plain data, not a Task"),
}


@pytest.fixture
def allowing(make_service: MakeService, backend: Backend) -> BatchQueue:
    """A queue whose service allows the module of the tasks."""
    service = make_service(allow=["tests.contract.tasks"])
    return service.create(backend.type, "jobs", error="abort", retry_limit=3)


@pytest.mark.parametrize("text, reason", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_executed_is_buried_with_its_reason_and_the_rest_goes_on(
    allowing: BatchQueue, effects: list[str], text: str, reason: str
) -> None:
    bad = allowing.enqueue(tasks.note, "bad")
    allowing.enqueue(tasks.note, "good")
    overwrite(allowing, bad, text)

    result = Runner(allowing, error_mode=ErrorMode.CONTINUE).run_all()

    assert effects == ["good"]
    assert (result.completed, result.failed) == (1, 1)
    (dead,) = allowing.dead_items()
    assert dead.id == bad.id
    assert reason in dead.error
    assert allowing.status == "active"


def test_a_refused_item_stops_a_run_that_aborts_but_does_not_stand_in_the_way(
    allowing: BatchQueue, effects: list[str]
) -> None:
    bad = allowing.enqueue(tasks.note, "bad")
    allowing.enqueue(tasks.note, "good")
    overwrite(allowing, bad, envelope("os:system"))

    first = Runner(allowing).run_all()

    assert (first.is_error, first.failed, first.number_of_items) == (True, 1, 1)
    assert allowing.outcome_of(bad.id) == "dead"
    assert Runner(allowing).run_all()
    assert effects == ["good"]


def test_an_unreadable_item_can_still_be_listed(queue: BatchQueue) -> None:
    item = queue.create_item("a")
    overwrite(queue, item, "{")

    (found,) = queue.items()

    assert found.title == "(unreadable item)"
    with pytest.raises(PayloadError):
        _ = found.data
    claimed = queue.claim_item()
    assert claimed is not None
    queue.delete_item(claimed)


def test_an_allowed_callback_that_others_stored_is_executed(allowing: BatchQueue, effects: list[str]) -> None:
    item = allowing.create_item("anything")
    overwrite(allowing, item, envelope("tests.contract.tasks:note"))

    assert Runner(allowing).run_all()
    assert effects == ["x"]


def test_without_an_allow_list_only_what_this_process_queued_is_executed(queue: BatchQueue, effects: list[str]) -> None:
    own = queue.enqueue(tasks.note, "own")
    foreign = queue.create_item("anything")
    overwrite(queue, foreign, envelope("tests.contract.tasks:never_queued_here"))

    Runner(queue).run_all()

    assert effects == ["own"]
    assert queue.outcome_of(own.id) == "ok"
    (dead,) = queue.dead_items()
    assert "is not allowed" in dead.error


@pytest.mark.parametrize(
    "text",
    [
        '{"v":2,"callback":"tests.contract.tasks:note","args":[]}',
        '{"v":99,"data":1}',
        '{"v":2,"callback":{"new":"shape"},"args":7}',
    ],
)
def test_an_item_of_a_newer_format_is_left_for_a_newer_worker(
    allowing: BatchQueue, effects: list[str], text: str
) -> None:
    newer = allowing.enqueue(tasks.note, "newer")
    overwrite(allowing, newer, text)

    Runner(allowing).run_all(wait=0)

    assert effects == []
    assert allowing.dead_items() == []
    found = allowing.fetch_item(newer.id)
    assert found is not None
    assert (found.failures, found.interruptions) == (0, 0)
    assert stored(allowing, newer) == text
    assert allowing.status == "active"


def test_dead_letters_of_unreadable_items_can_be_looked_at(allowing: BatchQueue) -> None:
    item = allowing.enqueue(tasks.note)
    overwrite(allowing, item, "{")
    Runner(allowing).run_all()

    (dead,) = allowing.dead_items()

    with pytest.raises(PayloadError):
        _ = dead.data
    with travel(1):
        assert allowing.revive_item(item.id).title == "(unreadable item)"


def test_a_stored_task_is_not_imported_when_it_is_only_looked_at(queue: BatchQueue) -> None:
    item = queue.create_item("a")
    overwrite(queue, item, envelope("no.such.module:function"))

    (found,) = queue.items()

    assert isinstance(found.data, Task)
    assert found.title == "no.such.module:function"
