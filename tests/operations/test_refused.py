"""What was damaged, altered or copied is never executed; what is newer is left for who can read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from taskqueue import QueueService
from taskqueue.operations import Operations
from tests.operations.conftest import ALICE, BOB, clear, drain
from tests.operations.crowd import Count

KEY = "a key of the tests, no secret"


@pytest.fixture
def done() -> Count:
    """What was executed."""
    return Count()


@pytest.fixture
def signed(url: str, service: QueueService) -> Iterator[QueueService]:
    """A service that signs what it stores."""
    made = QueueService(url, secret_key=KEY)
    yield made
    clear(made)
    made.close()


@pytest.fixture
def ops(signed: QueueService, done: Count) -> Operations:
    """Two operations that note who calls them with what."""
    made = Operations(signed)
    for name in ("pay", "drop"):
        made.operation(name, queueable=True)(lambda ctx, data, name=name: done.add((name, ctx.user.id, data)) and None)
    return made


def change(ops: Operations, statement: str, **values: Any) -> None:
    """Write to the database, as somebody might who has no key."""
    ops.service.database.transaction(lambda tx: tx.change(statement, **values))


def stored(ops: Operations, table: str, column: str, tracking_id: str) -> Any:
    """What stands there."""
    where = "id" if table == "operation" else "uid"
    return ops.service.database.statement(
        lambda tx: tx.row(f"SELECT {column} FROM {{{table}}} WHERE {where} = :id", id=tracking_id)[0], write=False
    )


def assert_refused(ops: Operations, tracking_id: str, done: Count, reason: str) -> None:
    drain(ops)
    call = ops.get(tracking_id)
    assert (call.state, done.done) == ("dead", [])
    (letter,) = ops.service.load("operations").dead_items()
    assert reason in letter.error
    assert reason not in str(call.error)


def test_a_signed_call_is_executed(ops: Operations, done: Count) -> None:
    ops.defer("pay", "10 Euro", user=ALICE)
    drain(ops)
    assert done.done == [("pay", "alice", "10 Euro")]


def test_an_altered_request_is_refused(ops: Operations, done: Count) -> None:
    call = ops.defer("pay", "10 Euro", user=ALICE)
    text = stored(ops, "operation", "request", call.id).replace("10", "99")
    change(ops, "UPDATE {operation} SET request = :text", text=text)
    assert_refused(ops, call.id, done, "no valid signature")


def test_an_unsigned_request_is_refused(ops: Operations, service: QueueService, done: Count) -> None:
    call = ops.defer("pay", "10 Euro", user=ALICE)
    change(
        ops,
        "UPDATE {operation} SET request = :text",
        text=stored(ops, "operation", "request", call.id).rpartition(".")[0],
    )
    assert_refused(ops, call.id, done, "no valid signature")


def test_a_request_that_was_copied_to_another_call_is_refused(ops: Operations, done: Count) -> None:
    rich, poor = ops.defer("pay", "to Bob", user=ALICE), ops.defer("pay", "to Alice", user=BOB)
    text = stored(ops, "operation", "request", rich.id)
    ops.cancel(rich.id)
    change(ops, "UPDATE {operation} SET request = :text WHERE id = :id", text=text, id=poor.id)
    assert_refused(ops, poor.id, done, "belongs to another item")


def test_the_name_of_another_operation_is_refused(ops: Operations, done: Count) -> None:
    call = ops.defer("pay", "10 Euro", user=ALICE)
    change(ops, "UPDATE {operation} SET name = 'drop'")
    assert_refused(ops, call.id, done, "one of them was altered")


def test_a_request_in_place_of_an_item_is_refused(ops: Operations, done: Count) -> None:
    call = ops.defer("pay", "10 Euro", user=ALICE)
    change(ops, "UPDATE {item} SET data = :text", text=stored(ops, "operation", "request", call.id))
    assert_refused(ops, call.id, done, "one of them was altered")


def test_an_item_in_place_of_a_request_is_refused(ops: Operations, done: Count) -> None:
    call = ops.defer("pay", "10 Euro", user=ALICE)
    change(ops, "UPDATE {operation} SET request = :text", text=stored(ops, "item", "data", call.id))
    assert_refused(ops, call.id, done, "the stored request is damaged")


@pytest.mark.parametrize("text", ["", "{", "null", "[]", '{"v": 1}', '{"v": 1, "data": {"data": 1}}'])
def test_a_damaged_request_is_refused_and_others_are_executed(service: QueueService, done: Count, text: str) -> None:
    ops = Operations(service)
    ops.operation("pay", queueable=True)(lambda ctx, data: done.add(data) and None)
    call, other = ops.defer("pay", 1), ops.defer("pay", 2)
    change(ops, "UPDATE {operation} SET request = :text WHERE id = :id", text=text, id=call.id)
    drain(ops)
    assert (ops.get(call.id).state, ops.get(other.id).state, done.done) == ("dead", "succeeded", [2])


def test_a_request_of_a_newer_format_is_left_for_a_newer_worker(service: QueueService, done: Count) -> None:
    ops = Operations(service)
    ops.operation("pay", queueable=True)(lambda ctx, data: done.add(data) and None)
    call = ops.defer("pay", 1)
    text = stored(ops, "operation", "request", call.id)
    change(ops, "UPDATE {operation} SET request = :text", text=text.replace('"v":1', '"v":99'))
    for minutes in range(5):
        drain(ops, minutes * 61)
        found = ops.get(call.id)
        assert (found.is_final, found.attempts, done.done) == (False, 0, [])
    change(ops, "UPDATE {operation} SET request = :text", text=text)
    drain(ops, 600)
    assert (ops.get(call.id).state, done.done) == ("succeeded", [1])


def test_strange_items_on_the_queue_are_dead_and_harm_nobody(service: QueueService, done: Count) -> None:
    ops = Operations(service)
    ops.operation("pay", queueable=True)(lambda ctx, data: done.add(data) and None)
    call = ops.defer("pay", 1)
    queue = service.load("operations")
    for data in (None, 7, "x", [], {"operation": "pay"}, {"operation": 7}, {"finished": 7}):
        queue.create_item(data)
    drain(ops)
    assert (ops.get(call.id).state, done.done, len(queue.dead_items())) == ("succeeded", [1], 7)
