"""``cbwsOptions``: a deferral that is asked for is made, or refused; an execution is never its replacement."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.operations_webservice.conftest import Door, code

YES = [True, 1, "1", "true"]
NO = [False, 0, "0", "false", ""]


@pytest.mark.parametrize("value", YES, ids=repr)
@pytest.mark.parametrize("way", ["text", "get", "object", "brackets", "in_json"])
def test_a_call_is_deferred(door: Door, way: str, value: Any) -> None:
    answer = _sent(door, way, {"launchfromqueue": value})
    tracking_id = answer["result"]["operationTrackingID"]
    assert answer == {"success": True, "result": {"operationTrackingID": tracking_id}, "moreinfo": None}
    assert (len(tracking_id), door.done) == (32, [])
    door.ops.drain()
    assert door.done == [{"a": "b"}]


@pytest.mark.parametrize("value", NO, ids=repr)
@pytest.mark.parametrize("way", ["text", "object", "brackets"])
def test_a_call_is_not_deferred(door: Door, way: str, value: Any) -> None:
    assert _sent(door, way, {"launchfromqueue": value, "queuedelay": 5}) == {"success": True, "result": {"a": "b"}}
    assert door.ops.calls() == []


@pytest.mark.parametrize("options", ["{}", "[]", "null", '{"queuedelay": ""}', '{"queuedelay": 0}'])
def test_options_that_ask_for_nothing(door: Door, options: str) -> None:
    assert door.post(operation="echo", cbwsOptions=options)["result"] == {}


@pytest.mark.parametrize(
    "options",
    [
        "", "1", '"launchfromqueue"', "{", "{'launchfromqueue': 1}", "[1]", '[{"launchfromqueue": 1}]',
        '{"launchfromqueue": 2}', '{"launchfromqueue": "yes"}', '{"launchfromqueue": "TRUE"}',
        '{"launchfromqueue": null}', '{"launchfromqueue": [1]}', '{"launchfromqueue": 1.0}',
        '{"launchfromqueue": " 1"}',
        '{"launchfromqueue": 1, "launchfromqueue": 0}', '{"launchFromQueue": 1}', '{"launchfromqueue": 1, "delay": 5}',
        '{"launchfromqueue": 1, "queuedelay": "soon"}', '{"launchfromqueue": 1, "queuedelay": true}',
        '{"launchfromqueue": 1, "queuedelay": [5]}', '{"launchfromqueue": 1, "queuedelay": "1e3"}',
        '{"launchfromqueue": 1, "queuedelay": NaN}', '{"launchfromqueue": 1, "queuedelay": 1e400}',
        '{"launchfromqueue": 1, "queuedelay": 4000000000}', '{"launchfromqueue": 1, "queuedelay": "٣"}',
        '{"queuedelay": 5}', '{"launchfromqueue": 1, "ClientRequestIdentifier": 5}',
        '{"launchfromqueue": 1, "ClientRequestIdentifier": null}',
        '{"launchfromqueue": 1, "ClientRequestIdentifier": " k"}',
        '{"launchfromqueue": 1, "ClientRequestIdentifier": "%s"}' % ("x" * 191),
        '{"launchfromqueue": 1, "ClientRequestIdentifier": "\\u0000"}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("operation", ["create", "direct"])
def test_options_that_make_no_sense_are_refused(door: Door, options: str, operation: str) -> None:
    answer = door.post(operation=operation, cbwsOptions=options, elementType="x", element="{}")
    assert code(answer) == "INVALID_CBWSOPTIONS"
    assert (door.done, door.ops.calls()) == ([], [])


def test_an_unknown_option_is_named(door: Door) -> None:
    answer = door.post(operation="echo", cbwsOptions='{"lanchfromqueue": 1}')
    assert "'lanchfromqueue' (did you mean 'launchfromqueue'?)" in answer["error"]["message"]


@pytest.mark.parametrize(
    "fields",
    [
        {"cbwsoptions": '{"launchfromqueue": 1}'}, {"cbwsOptions ": '{"launchfromqueue": 1}'},
        {"cbwsOptions[]": '{"launchfromqueue": 1}'}, {"cbwsOptions[launchfromqueue][]": "1"},
        {"cbwsOptions[launchfromqueue": "1"}, {"cbwsOptions.launchfromqueue": "1"}, {"launchfromqueue": "1"},
        {"cbwsOptions": "{}", "cbwsOptions[launchfromqueue]": "1"}, {"CbwsOptions[launchfromqueue]": "1"},
    ],
    ids=str,
)  # fmt: skip
def test_options_at_the_wrong_place_are_refused(door: Door, fields: dict[str, str]) -> None:
    for way in (door.get, door.post, door.json):
        assert code(way(operation="echo", **fields)) == "INVALID_CBWSOPTIONS"
    assert (door.done, door.ops.calls()) == ([], [])


def test_what_cannot_be_deferred_is_not_executed(door: Door) -> None:
    """Not even when it can be called at once."""
    answer = door.post(operation="direct", cbwsOptions='{"launchfromqueue": 1}')
    assert code(answer) == "OPERATION_NOT_QUEUEABLE"
    assert (door.done, door.ops.calls()) == ([], [])
    assert door.post(operation="direct")["result"] == "now"


@pytest.mark.parametrize("operation", ["getQueuedOperationResult", "getchallenge", "login", "logout"])
def test_nor_is_what_the_endpoint_does_itself(door: Door, operation: str) -> None:
    answer = door.post(operation=operation, cbwsOptions='{"launchfromqueue": 1}', username="alice", accessKey="x")
    assert code(answer) == "OPERATION_NOT_QUEUEABLE"


def test_who_may_not_call_may_not_defer(door: Door) -> None:
    answer = door.post(operation="onlySales", cbwsOptions='{"launchfromqueue": 1}')
    assert (code(answer), door.ops.calls()) == ("ACCESS_DENIED", [])


def test_what_cannot_be_recorded_is_refused(door: Door) -> None:
    deep = json.loads("[" * 100 + "]" * 100)
    for options in ({"launchfromqueue": 1}, {"ClientRequestIdentifier": "k"}):
        answer = door.json(operation="create", elementType="x", element={"deep": deep}, cbwsOptions=options)
        assert code(answer) in ("INVALID_REQUEST", "VALIDATION_FAILED")
    assert (door.done, door.ops.calls()) == ([], [])


@pytest.mark.parametrize(
    ("given", "seconds"),
    [(3600, 3600), ("3600", 3600), (3600.5, 3600.5), ("3600.5", 3600.5), (-5, 0), ("-5", 0), ("", 0), (None, 0)],
)
def test_a_delay(door: Door, given: Any, seconds: float) -> None:
    door.json(operation="echo", cbwsOptions={"launchfromqueue": 1, "queuedelay": given})
    call = door.ops.calls()[0]
    assert call.state == ("scheduled" if seconds else "queued")
    assert ((call.due or call.created) - call.created).total_seconds() == pytest.approx(seconds, abs=0.01)
    assert door.ops.drain() == (not seconds)


# --- the client's identifier ----------------------------------------------------------------------


def _create(door: Door, who: str = "alice", name: str = "Ann", **options: Any) -> dict[str, Any]:
    return door.json(who, operation="create", elementType="x", element={"name": name}, cbwsOptions=options)


@pytest.mark.parametrize("identifier", ["", "generate", "my own"])
def test_a_repeated_deferral_is_the_same_one(door: Door, identifier: str) -> None:
    options = {"launchfromqueue": 1, "ClientRequestIdentifier": identifier}
    first, again, of_bob = (_create(door, who, **options) for who in ("alice", "alice", "bob"))
    assert first == again != of_bob
    assert door.ops.drain() == 2
    assert _create(door, **options) == first
    assert (door.ops.drain(), len(door.done)) == (0, 2)


def test_the_servers_key_knows_the_data(door: Door) -> None:
    options = {"launchfromqueue": 1, "ClientRequestIdentifier": "generate"}
    assert _create(door, **options) != _create(door, name="Bea", **options)
    assert len(door.ops.calls()) == 2


def test_a_key_with_other_data_is_refused(door: Door) -> None:
    options = {"launchfromqueue": 1, "ClientRequestIdentifier": "k"}
    _create(door, **options)
    reused = _create(door, name="Bea", **options)
    assert code(reused) == "CLIENT_REQUEST_IDENTIFIER_REUSED"
    assert reused["error"]["message"] == (
        "this ClientRequestIdentifier was sent before with other data: use a new one for a new request"
    )
    assert len(door.ops.calls()) == 1


@pytest.mark.parametrize("identifier", ["generate", "my own"])
def test_a_repeated_direct_call_is_answered_alike(door: Door, identifier: str) -> None:
    answers = [_create(door, ClientRequestIdentifier=identifier) for _ in range(3)]
    assert answers == [{"success": True, "result": {"id": 1, "by": "alice", "name": "Ann"}}] * 3
    assert len(door.done) == 1


def test_a_direct_call_of_what_was_deferred_names_its_id(door: Door) -> None:
    deferred = _create(door, launchfromqueue=1, ClientRequestIdentifier="k")
    answer = _create(door, ClientRequestIdentifier="k")
    assert (code(answer), answer["error"]["details"]) == ("OPERATION_STILL_RUNNING", deferred["result"])
    assert door.done == []


@pytest.mark.parametrize("launch", [0, 1])
def test_an_operation_without_keys_is_not_executed(door: Door, launch: int) -> None:
    options = {"launchfromqueue": launch, "ClientRequestIdentifier": "k"}
    assert code(door.json(operation="echo", cbwsOptions=options)) == "OPERATION_NOT_IDEMPOTENT"
    assert (door.done, door.ops.calls()) == ([], [])


def _sent(door: Door, way: str, options: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {"operation": "echo", "a": "b"}
    if way == "object":
        return door.json(cbwsOptions=options, **fields)
    if way == "brackets":
        parts = {f"cbwsOptions[{name}]": _in_form(value) for name, value in options.items()}
        return door.post(**fields, **parts)
    send = {"text": door.post, "get": door.get, "in_json": door.json}[way]
    return send(cbwsOptions=json.dumps(options), **fields)


def _in_form(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
