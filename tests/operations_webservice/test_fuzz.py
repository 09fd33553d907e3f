"""Requests that nobody planned for: always an envelope, and never an execution where a deferral was asked for."""

from __future__ import annotations

import json
import os
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.operations_webservice.conftest import Door, code, envelope

_EXAMPLES = 1500 if os.environ.get("CI") else 150
_SETTINGS = settings(
    max_examples=_EXAMPLES, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
ANY_TEXT = st.text(max_size=12)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    ["operation", "sessionName", "format", "cbwsOptions", "cbwsOptions[launchfromqueue]", "cbwsOptions[queuedelay]",
     "cbwsOptions[ClientRequestIdentifier]", "cbwsOptions[", "operationTrackingID", "username", "accessKey", "a",
     "a[b]", "element", "elementType", "tags"]
) | ANY_TEXT  # fmt: skip
OPERATIONS = st.sampled_from(
    ["create", "MassCreate", "echo", "direct", "refuse", "break", "getQueuedOperationResult", "login", "getchallenge",
     "logout", "nothing"]
) | ANY_TEXT  # fmt: skip
TYPES = st.sampled_from(
    ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "",
     "application/json; charset=utf-16", "multipart/form-data", "application/vnd.x+json"]
)  # fmt: skip
#: What asks for a deferral without doubt, and what may stand beside it.
ASKED = st.sampled_from([True, 1, "1", "true"])
BESIDE = st.dictionaries(
    st.sampled_from(["queuedelay", "ClientRequestIdentifier", "launchFromQueue", "priority"]), ANY_JSON, max_size=3
)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
@_SETTINGS
@given(
    method=st.sampled_from(["GET", "POST", "HEAD", "PUT"]), kind=TYPES, body=st.binary(max_size=60),
    query=st.lists(st.tuples(NAMES, ANY_TEXT), max_size=4), who=st.sampled_from(["alice", "admin", ""]),
)  # fmt: skip
def test_whatever_comes_an_envelope_goes(
    door: Door, method: str, kind: str, body: bytes, query: list[tuple[str, str]], who: str
) -> None:
    _send(door, method, kind, body, query, who)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
@_SETTINGS
@given(
    operation=OPERATIONS, fields=st.dictionaries(NAMES, ANY_JSON, max_size=4), options=ANY_JSON,
    who=st.sampled_from(["alice", "admin", ""]), kind=st.sampled_from(["json", "form", "query"]),
)  # fmt: skip
def test_whatever_is_called_an_envelope_goes(
    door: Door, operation: str, fields: dict[str, Any], options: Any, who: str, kind: str
) -> None:
    fields = {**fields, "operation": operation, "cbwsOptions": options}
    if kind == "json":
        _send(door, "POST", "application/json", json.dumps(fields).encode(), [], who)
    else:
        texts = [(name, _text(value)) for name, value in fields.items()]
        body = urlencode(texts, errors="replace").encode()
        if kind == "form":
            _send(door, "POST", "application/x-www-form-urlencoded", body, [], who)
        else:
            _send(door, "GET", "", b"", texts, who)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
@_SETTINGS
@given(
    operation=st.sampled_from(["create", "MASSCREATE", "echo", "direct", "onlySales"]), asked=ASKED, beside=BESIDE,
    fields=st.dictionaries(NAMES.filter(lambda name: name != "operation"), ANY_JSON, max_size=4),
    way=st.sampled_from(["object", "text", "form", "brackets", "get"]), broken=st.sampled_from(["", "", "}", "x"]),
)  # fmt: skip
def test_what_was_to_be_deferred_is_never_executed(
    door: Door, operation: str, asked: Any, beside: dict[str, Any], fields: dict[str, Any], way: str, broken: str
) -> None:
    """Whatever else is wrong with the request, or with the options."""
    before, standing = len(door.done), len(door.ops.calls(limit=10_000))
    options = {"launchfromqueue": asked, **beside}
    kept = {name: value for name, value in fields.items() if not name.startswith("cbwsOptions")}
    sent: dict[str, Any] = {"elementType": "x", "element": "{}", **kept, "operation": operation}
    if way == "object":
        sent["cbwsOptions"] = options
    elif way == "brackets":
        sent.update({f"cbwsOptions[{name}]": value for name, value in options.items()})
    else:
        sent["cbwsOptions"] = json.dumps(options) + broken
    texts = [(name, _text(value)) for name, value in sent.items()]
    if way in ("object", "text"):
        answer = _send(door, "POST", "application/json", json.dumps(sent).encode(), [], "alice")
    elif way == "get":
        answer = _send(door, "GET", "", b"", texts, "alice")
    else:
        body = urlencode(texts, errors="replace").encode()
        answer = _send(door, "POST", "application/x-www-form-urlencoded", body, [], "alice")
    assert answer is not None
    assert len(door.done) == before
    if code(answer) is None:
        assert answer["result"].keys() == {"operationTrackingID"}
    else:
        assert len(door.ops.calls(limit=10_000)) == standing


def _send(
    door: Door, method: str, kind: str, body: bytes, query: list[tuple[str, str]], who: str
) -> dict[str, Any] | None:
    answer = door.client().open(
        "/webservice", method=method, query_string=urlencode(query, errors="replace"), input_stream=BytesIO(body),
        content_type=kind, content_length=len(body), headers={"X-User": who} if who else {},
    )  # fmt: skip
    if method not in ("GET", "POST"):
        assert answer.status_code == 405
        return None
    return envelope(answer)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
