"""``getQueuedOperationResult``: the envelope inside the envelope, once, and for nobody else."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, request

from taskqueue import QueueService, travel
from taskqueue.operations import CallGone, Limits, Operations, User
from taskqueue.web import Webservice
from tests.operations.conftest import ALICE
from tests.operations_webservice.conftest import WAITING, Door, code, drain


def test_a_result_is_a_text_in_the_envelope_and_read_once(door: Door) -> None:
    tracking_id = door.defer(operation="echo", name="Änne €😀")
    assert door.result(tracking_id) == WAITING
    door.ops.drain()
    answer = door.result(tracking_id)
    assert answer == {
        "success": True,
        "result": '{"success":true,"result":{"name":"\\u00c4nne \\u20ac\\ud83d\\ude00"}}',
    }
    assert json.loads(answer["result"]) == {"success": True, "result": {"name": "Änne €😀"}}
    assert door.result(tracking_id) == WAITING


@pytest.mark.parametrize("way", ["get", "post", "json"])
@pytest.mark.parametrize("name", ["getQueuedOperationResult", "getqueuedoperationresult"])
def test_it_is_read_in_any_way(door: Door, way: str, name: str) -> None:
    tracking_id = door.defer(operation="echo")
    door.ops.drain()
    answer = getattr(door, way)(operation=name, operationTrackingID=tracking_id)
    assert json.loads(answer["result"]) == {"success": True, "result": {}}


def test_options_of_the_endpoint(make_door: Callable[..., Door]) -> None:
    door = make_door(read_once=False, as_text=False)
    tracking_id = door.defer(operation="echo", a="b")
    door.ops.drain()
    expected = {"success": True, "result": {"success": True, "result": {"a": "b"}}}
    assert [door.result(tracking_id) for _ in range(3)] == [expected] * 3


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        ("refuse", {"code": "DUPLICATE", "message": "there is one already", "details": {"id": 7}}),
        (
            "break",
            {
                "code": "INTERNAL_SERVER_ERROR",
                "message": "the operation could not be executed; administrators find out why",
            },
        ),
    ],
)
@pytest.mark.parametrize("read_once", [True, False])
def test_an_error_is_read_once_as_well(
    make_door: Callable[..., Door], operation: str, error: dict[str, Any], read_once: bool
) -> None:
    door = make_door(read_once=read_once)
    tracking_id = door.defer(operation=operation)
    door.ops.drain()
    assert door.inner(tracking_id) == {"success": False, "error": error}
    if read_once:
        assert door.result(tracking_id) == WAITING
    else:
        assert door.inner(tracking_id) == {"success": False, "error": error}


def test_the_dead_letter_stays_for_those_who_look_after_the_program(door: Door, service: QueueService) -> None:
    tracking_id = door.defer(operation="break")
    door.ops.drain()
    door.inner(tracking_id)
    queue = service.load("operations")
    assert [queue.revive_item(one.id) for one in queue.dead_items()]
    door.ops.drain()
    assert door.result(tracking_id) == WAITING


@pytest.mark.parametrize("state", ["cancelled", "expired"])
def test_a_call_that_was_never_begun_has_ended_too(door: Door, state: str) -> None:
    call = door.ops.defer("echo", {}, user="alice", expires=10)
    if state == "cancelled":
        door.ops.cancel(call.id)
    else:
        drain(door.ops, 11)
    assert door.inner(call.id)["error"]["code"] == f"OPERATION_{state.upper()}"
    assert door.result(call.id) == WAITING


def test_one_whose_end_no_worker_has_written_yet(door: Door) -> None:
    call = door.ops.defer("echo", {}, user="alice", expires=10)
    with travel(11):
        assert door.inner(call.id)["error"]["code"] == "OPERATION_EXPIRED"
        door.ops.drain()
        door.result(call.id)
        assert door.result(call.id) == WAITING


def test_before_the_end_there_is_one_sentence_for_all(door: Door) -> None:
    seen = []
    door.ops.operation("look", queueable=True)(lambda ctx, data: seen.append(door.result(ctx.tracking_id)))
    tracking_id = door.json(operation="look", cbwsOptions={"launchfromqueue": 1, "queuedelay": 60})["result"][
        "operationTrackingID"
    ]
    assert door.result(tracking_id) == WAITING
    drain(door.ops, 61)
    assert seen == [WAITING]


@pytest.mark.parametrize("ended", [False, True])
def test_strangers_learn_and_take_nothing(door: Door, ended: bool) -> None:
    tracking_id = door.defer("alice", operation="echo", a="b")
    if ended:
        door.ops.drain()
    odd = ["0" * 32, "", "' OR 1=1", tracking_id.upper(), tracking_id + "0", "operations", "MessageQueue", "\x00"]
    for one in (tracking_id, *odd):
        assert door.result(one, "bob") == WAITING
    for one in odd:
        assert door.result(one) == WAITING
    for one in (None, 5, [tracking_id], {"a": 1}, True):
        assert door.json(operation="getQueuedOperationResult", operationTrackingID=one) == WAITING
    door.ops.drain()
    assert door.inner(tracking_id)["result"] == {"a": "b"}


def test_an_id_is_needed_and_a_user(door: Door) -> None:
    assert code(door.get(operation="getQueuedOperationResult")) == "MANDATORY_FIELDS_MISSING"
    tracking_id = door.defer(operation="echo")
    asked = {"operation": "getQueuedOperationResult", "operationTrackingID": tracking_id}
    assert code(door.get(None, **asked)) == "AUTHENTICATION_REQUIRED"


def test_administrators_see_what_others_have_deferred(door: Door) -> None:
    tracking_id = door.defer("alice", operation="echo", a="b")
    door.ops.drain()
    assert door.inner(tracking_id, "admin")["result"] == {"a": "b"}


def test_what_was_deferred_elsewhere_is_read_here(door: Door) -> None:
    call = door.ops.defer("echo", {"a": 1}, user=ALICE)
    door.ops.drain()
    assert door.inner(call.id)["result"] == {"a": 1}
    with pytest.raises(CallGone):
        door.ops.result(call.id, user=ALICE)


def test_a_result_of_megabytes(door: Door) -> None:
    door.ops.operation("large", queueable=True)(lambda ctx, data: "é" * 5_000_000)
    tracking_id = door.defer(operation="large")
    door.ops.drain()
    assert door.inner(tracking_id)["result"] == "é" * 5_000_000


@pytest.mark.parametrize("operation", ["echo", "refuse", "break"])
def test_of_two_readers_at_one_moment_exactly_one_gets_it(door: Door, operation: str) -> None:
    for _ in range(5):
        tracking_id = door.defer(operation=operation)
        door.ops.drain()
        answers = _at_once(4, lambda: door.result(tracking_id))  # noqa: B023  (called before the next one is made)
        told = [answer for answer in answers if answer != WAITING]
        assert len(told) == 1, answers
        assert json.loads(told[0]["result"])["success"] is (operation == "echo")


def test_without_reading_once_all_readers_get_it(make_door: Callable[..., Door]) -> None:
    door = make_door(read_once=False)
    tracking_id = door.defer(operation="echo")
    door.ops.drain()
    answers = _at_once(4, lambda: door.result(tracking_id))
    assert answers == [{"success": True, "result": '{"success":true,"result":{}}'}] * 4


def test_a_user_who_is_not_active_any_more_gets_nothing(make_door: Callable[..., Door]) -> None:
    users = {True: User("carl")}
    door = make_door(identity=lambda: users[True])
    tracking_id = door.defer(operation="echo")
    door.ops.drain()
    users[True] = User("carl", is_active=False)
    assert door.result(tracking_id) == WAITING
    assert code(door.post(operation="echo")) == "ACCESS_DENIED"


def test_one_who_was_deactivated_meanwhile_gets_nothing_executed(service: QueueService) -> None:
    users = {"carl": User("carl"), "root": User("root", is_admin=True)}
    ops, app, done = Operations(service, load_user=users.get), Flask("users"), []
    ops.operation("note", queueable=True)(lambda ctx, data: done.append(data))
    door = Door(app, ops, Webservice(app, ops, identity=lambda: request.headers["X-User"]))
    tracking_id = door.defer("carl", operation="note")
    users["carl"] = User("carl", is_active=False)
    ops.drain()
    assert (door.inner(tracking_id, "root")["error"]["code"], done) == ("ACCESS_DENIED", [])


def test_who_has_too_many_calls_waiting_is_told_so(door: Door) -> None:
    door.ops.operation("few", queueable=True, limits=Limits(pending=1))(lambda ctx, data: None)
    door.defer(operation="few")
    answer = door.post(operation="few", cbwsOptions='{"launchfromqueue": 1}')
    assert (code(answer), len(door.ops.calls())) == ("TOO_MANY_REQUESTS", 1)
    door.defer("bob", operation="few")


def _at_once(number: int, function: Callable[[], Any]) -> list[Any]:
    barrier, answers, errors = threading.Barrier(number), list[Any](), list[BaseException]()

    def ask() -> None:
        try:
            barrier.wait(30)
            answers.append(function())
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors, errors
    return answers
