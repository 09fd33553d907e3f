"""Calls that are answered at once: names, parameters, envelopes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from taskqueue import ConfigurationError
from taskqueue.operations import Operations
from taskqueue.web import Webservice
from tests.operations_webservice.conftest import Door, code, envelope

FORM = "application/x-www-form-urlencoded"
CONTACT = {"elementType": "Contacts", "element": '{"name": "Ann"}'}


def test_without_an_endpoint_there_is_none(ops: Operations) -> None:
    assert Flask("plain").test_client().get("/webservice").status_code == 404


@pytest.mark.parametrize("name", ["Create", "create", "CREATE", "MassCreate", "masscreate"])
@pytest.mark.parametrize("way", ["get", "post", "json"])
def test_an_operation_is_called_by_name_or_alias(door: Door, name: str, way: str) -> None:
    answer = getattr(door, way)(operation=name, **CONTACT)
    assert answer == {"success": True, "result": {"id": 1, "by": "alice", "name": "Ann"}}


def test_the_other_address(door: Door) -> None:
    answer = door.client().post("/webservice.php?operation=direct", headers={"X-User": "alice"})
    assert envelope(answer) == {"success": True, "result": "now"}


def test_texts_become_what_the_schema_expects(door: Door) -> None:
    door.post(
        operation="create", elementType="5", element='{"a": [1]}', tags='["x"]', score="1.5", dry="true", note="[1]"
    )
    assert door.done == [
        {"elementType": "5", "element": {"a": [1]}, "tags": ["x"], "score": 1.5, "dry": True, "note": "[1]"}
    ]


def test_without_a_schema_texts_stay_texts(door: Door) -> None:
    assert door.post(operation="echo", a="1", b="{}", c="ä€")["result"] == {"a": "1", "b": "{}", "c": "ä€"}


def test_what_belongs_to_the_protocol_is_no_data(door: Door) -> None:
    fields = {"operation": "echo", "sessionName": door.login("alice")["result"]["sessionName"], "format": "json"}
    for way in (door.get, door.post, door.json):
        assert way(cbwsOptions="{}", **fields)["result"] == {}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"elementType": "x"}, "MANDATORY_FIELDS_MISSING"),
        ({"elementType": "x", "element": "no JSON"}, "VALIDATION_FAILED"),
        ({"elementType": "x", "element": "[]"}, "VALIDATION_FAILED"),
        ({"elementType": "x", "element": "{}", "score": "NaN?"}, "VALIDATION_FAILED"),
        ({"elementType": "x", "element[name]": "Ann"}, "INVALID_REQUEST"),
    ],
)
@pytest.mark.parametrize("options", [{}, {"cbwsOptions": '{"launchfromqueue": 1}'}])
def test_data_that_do_not_fit_are_refused_at_once(
    door: Door, fields: dict[str, str], expected: str, options: dict[str, str]
) -> None:
    assert code(door.post(operation="create", **fields, **options)) == expected
    assert (door.done, door.ops.calls()) == ([], [])


def test_errors_have_the_words_of_corebos(door: Door) -> None:
    assert code(door.post(operation="nothing")) == "UNKNOWN_OPERATION"
    assert code(door.post(None, operation="echo")) == "AUTHENTICATION_REQUIRED"
    assert code(door.post(None, operation="nothing")) == "AUTHENTICATION_REQUIRED"
    assert code(door.post(operation="onlySales")) == "ACCESS_DENIED"
    assert code(door.post(operation="break")) == "INTERNAL_SERVER_ERROR"
    assert "secret" not in str(door.post(operation="break"))
    assert door.post(operation="refuse")["error"] == {
        "code": "DUPLICATE", "message": "there is one already", "details": {"id": 7}
    }  # fmt: skip
    assert "element: Field required" in door.post(operation="create", elementType="x")["error"]["message"]


def test_a_file_is_an_object_with_base64(door: Door) -> None:
    file = {"filename": "ä.pdf", "filetype": "application/pdf", "filesize": 2, "attachment": "AP8="}
    assert door.post(operation="gendoc_convert")["result"] == file
    tracking_id = door.defer(operation="gendoc_convert")
    door.ops.drain()
    assert door.inner(tracking_id) == {"success": True, "result": file}


def test_answers_are_json_whatever_an_operation_returns(door: Door) -> None:
    door.ops.operation("odd", queueable=True)(lambda ctx, data: {"a": float("nan"), "b": [float("inf")]})
    assert door.post(operation="odd") == {"success": True, "result": {"a": None, "b": [None]}}

    @door.ops.operation("exit")
    def leave(ctx: Any, data: Any) -> None:
        raise SystemExit(3)

    assert code(door.post(operation="exit")) == "INTERNAL_SERVER_ERROR"


def test_the_names_of_what_can_be_deferred(door: Door) -> None:
    assert door.endpoint.queueable_names() == ["break", "create", "echo", "gendoc_convert", "onlysales", "refuse"]


@pytest.mark.parametrize("name", ["getQueuedOperationResult", "GETQUEUEDOPERATIONRESULT", "Login", "logout"])
def test_no_operation_is_called_as_one_of_the_endpoint(ops: Operations, name: str) -> None:
    ops.operation(name)(lambda ctx, data: "mine")
    with pytest.raises(ConfigurationError, match="of its own"):
        Webservice(Flask("door"), ops, access_key=lambda name: None)


def test_nor_one_that_is_registered_later(door: Door) -> None:
    door.ops.operation("later", aliases=["getqueuedoperationresult"])(lambda ctx, data: "mine")
    assert code(door.result("0" * 32)) == "INTERNAL_SERVER_ERROR"


def test_names_that_differ_in_case_alone_are_taken_exactly(door: Door) -> None:
    door.ops.operation("twice")(lambda ctx, data: "small")
    door.ops.operation("Twice")(lambda ctx, data: "large")
    assert [door.get(operation=name)["result"] for name in ("twice", "Twice")] == ["small", "large"]
    assert code(door.get(operation="TWICE")) == "UNKNOWN_OPERATION"
    assert code(door.get(operation="\u212aelvin")) == "UNKNOWN_OPERATION"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{"), ("application/json", b"[]"), ("application/json", b'{"operation": 1}'),
        ("application/json", b'{"operation": "echo", "a": NaN}'),
        ("application/json", b'{"operation": "echo", "a": 1, "a": 2}'),
        ("application/json", b'{"operation": "echo", "a": "\\ud800"}'), ("application/json", b"\xff"),
        ("application/json", b"[" * 100_000), ("text/plain", b"operation=echo"), ("", b"operation=echo"),
        ("application/x-www-form-urlencoded", b"operation=echo&a=1&a=2"),
        ("application/x-www-form-urlencoded", b"operation=echo&format=xml"),
        ("application/x-www-form-urlencoded", b"operation=echo&cbwsoptions={}"),
        ("application/x-www-form-urlencoded", b"operation=echo&launchfromqueue=1"),
        ("application/x-www-form-urlencoded", b""),
        ("multipart/form-data; boundary=x", b"--x\r\nbroken"),
        ("multipart/form-data", b"--x"),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data\r\n\r\nx\r\n--x--\r\n"),
        ("multipart/form-data; boundary=x",
         b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\nx\r\n--x--\r\n'),
    ],
)  # fmt: skip
def test_broken_requests_are_answered_by_an_envelope(door: Door, kind: str, body: bytes) -> None:
    answer = door.client().post("/webservice", data=body, content_type=kind, headers={"X-User": "alice"})
    assert code(envelope(answer)) in ("INVALID_REQUEST", "INVALID_CBWSOPTIONS")
    assert door.done == []


@pytest.mark.parametrize(
    "kind",
    ["multipart/form-data", "multipart/form-data; boundary=x", "multipart/form-data; boundary=y",
     "application/x-www-form-urlencoded"],
)  # fmt: skip
def test_a_form_that_cannot_be_read_is_no_empty_one(door: Door, kind: str) -> None:
    options = b'--x\r\nContent-Disposition: form-data; name="cbwsOptions"\r\n\r\n{"launchfromqueue": 1}\r\n--x'
    body = options if kind.startswith("m") else b"&&"
    client, who = door.client(), {"X-User": "alice"}
    answer = client.post("/webservice?operation=echo&a=1", data=body, content_type=kind, headers=who)
    assert (code(envelope(answer)), door.done) == ("INVALID_REQUEST", [])


@pytest.mark.parametrize("text", ["caf%e9", "%ff", "%ed%a0%80", "%c3"])
def test_what_is_no_utf_8_is_refused_and_not_mended(door: Door, text: str) -> None:
    client, who = door.client(), {"X-User": "alice"}
    for answer in (
        client.get(f"/webservice?operation=echo&a={text}", headers=who),
        client.post("/webservice", data=f"operation=echo&a={text}", headers=who, content_type=FORM),
    ):
        assert (code(envelope(answer)), door.done) == ("INVALID_REQUEST", [])
    good = client.post("/webservice", data="operation=echo&a=caf%C3%A9+%EF%BF%BD", headers=who, content_type=FORM)
    assert envelope(good)["result"] == {"a": "café \ufffd"}


def test_address_and_body_must_not_contradict_each_other(door: Door) -> None:
    client, who = door.client(), {"X-User": "alice"}
    answer = client.post("/webservice?operation=echo&a=1", data={"operation": "echo", "a": "1"}, headers=who)
    assert envelope(answer)["result"] == {"a": "1"}
    answer = client.post("/webservice?operation=echo&a=1", data={"a": "2"}, headers=who)
    assert code(envelope(answer)) == "INVALID_REQUEST"


def test_a_get_request_with_a_body_is_refused(door: Door) -> None:
    options = {"operation": "echo", "cbwsOptions": {"launchfromqueue": 1}}
    answer = door.client().get("/webservice?operation=echo", json=options, headers={"X-User": "alice"})
    assert code(envelope(answer)) == "INVALID_REQUEST"
    assert door.done == []


@pytest.mark.parametrize("method", ["HEAD", "PUT", "PATCH", "DELETE"])
def test_other_methods_execute_nothing(door: Door, method: str) -> None:
    answer = door.client().open("/webservice?operation=echo", method=method, headers={"X-User": "alice"})
    assert (answer.status_code, answer.headers["Allow"], door.done) == (405, "GET, POST", [])


def test_large_requests_are_refused(make_door: Callable[..., Door]) -> None:
    door = make_door(max_bytes=1000)
    assert code(door.post(operation="echo", a="x" * 1000)) == "REQUEST_TOO_LARGE"
    assert code(door.json(operation="echo", a="x" * 1000)) == "REQUEST_TOO_LARGE"
    answer = door.client().post(
        "/webservice?operation=echo", headers={"X-User": "alice"},
        environ_overrides={"HTTP_TRANSFER_ENCODING": "chunked"},
    )  # fmt: skip
    assert code(envelope(answer)) == "REQUEST_TOO_LARGE"
    many = {f"a{number}": "" for number in range(1500)}
    assert code(make_door_again(door).post(operation="echo", **many)) is None


def make_door_again(door: Door) -> Door:
    """Another endpoint on the same operations, with the usual limits."""
    app = Flask("again")
    identity = door.endpoint._who._identity
    return Door(app, door.ops, Webservice(app, door.ops, identity=identity), door.done)


def test_a_form_of_the_largest_size_is_taken(door: Door) -> None:
    text = "x" * 900_000
    assert door.post(operation="echo", a=text)["result"] == {"a": text}
    assert json.loads(json.dumps(door.json(operation="echo", a=text)))["result"] == {"a": text}
