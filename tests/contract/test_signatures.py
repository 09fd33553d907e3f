"""Signed items: what was altered, moved, copied or never signed is not executed."""

from __future__ import annotations

import pytest

from taskqueue import BatchQueue, Runner
from tests.contract import tasks
from tests.contract.backends import Backend, only_sql
from tests.contract.conftest import MakeService
from tests.contract.store import envelope, overwrite, stored

KEY = "a key of the tests, no secret"


@pytest.fixture
def signed(make_service: MakeService, backend: Backend) -> BatchQueue:
    """A queue whose items are signed."""
    service = make_service(secret_key=KEY, allow=["tests.contract.tasks"])
    return service.create(backend.type, "jobs", error="delete")


def assert_refused(queue: BatchQueue, reason: str) -> None:
    Runner(queue).run_all()
    (dead,) = queue.dead_items()
    assert reason in dead.error
    assert tasks.effects == []


def test_a_signed_item_is_executed(signed: BatchQueue, effects: list[str]) -> None:
    signed.enqueue(tasks.note, "ü 😀")

    assert Runner(signed).run_all()
    assert effects == ["ü 😀"]


def test_an_altered_item_is_refused(signed: BatchQueue) -> None:
    item = signed.enqueue(tasks.note, "10 Euro")
    overwrite(signed, item, stored(signed, item).replace("10", "99"))

    assert_refused(signed, "no valid signature")


def test_an_unsigned_item_is_refused(signed: BatchQueue) -> None:
    item = signed.enqueue(tasks.note, "x")
    overwrite(signed, item, envelope("tests.contract.tasks:note"))

    assert_refused(signed, "no valid signature")


def test_an_item_that_was_copied_over_another_is_refused(signed: BatchQueue) -> None:
    item, other = signed.enqueue(tasks.note, "x"), signed.enqueue(tasks.note, "y")
    claimed = signed.claim_item()
    assert claimed is not None
    overwrite(signed, other, stored(signed, item))
    signed.delete_item(claimed)

    assert_refused(signed, "belongs to another item")


def test_a_row_that_was_copied_from_another_queue_is_refused(
    make_service: MakeService, signed: BatchQueue, backend: Backend
) -> None:
    elsewhere = make_service(secret_key=KEY).create(backend.type, "elsewhere")
    theirs, mine = elsewhere.enqueue(tasks.note, "x"), signed.enqueue(tasks.note, "y")
    overwrite(signed, mine, stored(elsewhere, theirs))

    assert_refused(signed, "no valid signature")


@only_sql
def test_a_row_that_was_moved_from_another_queue_is_refused(make_service: MakeService, signed: BatchQueue) -> None:
    elsewhere = make_service(secret_key=KEY).create("Sql", "elsewhere")
    elsewhere.enqueue(tasks.note, "x")
    move = "UPDATE {item} SET queue_name = 'jobs' WHERE queue_name = 'elsewhere'"
    assert signed.database.transaction(lambda tx: tx.change(move)) == 1  # type: ignore[attr-defined]

    assert_refused(signed, "no valid signature")


def test_an_item_with_the_key_of_another_service_is_refused(
    make_service: MakeService, signed: BatchQueue, backend: Backend
) -> None:
    foreign = make_service(secret_key="another key of the tests").create(backend.type, "jobs", error="delete")
    made = foreign.enqueue(tasks.note, "x")
    if not backend.is_sql:
        overwrite(signed, signed.create_item("anything"), stored(foreign, made))

    assert_refused(signed, "no valid signature")


def test_keys_can_be_rotated(make_service: MakeService, backend: Backend, effects: list[str]) -> None:
    old = make_service(secret_key=KEY).create(backend.type, "jobs")
    item = old.enqueue(tasks.note, "x")
    rotated = make_service(secret_key=[KEY, "the next key of the tests"]).create(backend.type, "jobs")
    if not backend.is_sql:  # each service has its own store: bring text and uid over
        mine = rotated.create_item("anything")
        rotated._records[mine.id].uid = item.uid  # type: ignore[attr-defined]
        overwrite(rotated, mine, stored(old, item))

    assert Runner(rotated).run_all()
    assert effects == ["x"]
