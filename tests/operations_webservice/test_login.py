"""The login of coreBOS, and who asks."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from taskqueue import ConfigurationError, QueueService
from taskqueue.operations import Operations, User
from taskqueue.web import Webservice
from tests.operations_webservice.conftest import KEYS, WAITING, Door, code, envelope, proof


def test_a_client_logs_in_and_calls(door: Door) -> None:
    challenge = door.get(None, operation="getchallenge", username="alice")["result"]
    assert challenge.keys() == {"token", "serverTime", "expireTime"}
    assert challenge["expireTime"] - challenge["serverTime"] == 300
    answer = door.post(None, operation="login", username="alice", accessKey=proof(challenge["token"], KEYS["alice"]))
    session = answer["result"]
    assert session.keys() == {"sessionName", "userId", "version", "vtigerVersion"}
    assert session["userId"] == "alice"
    named = {"sessionName": session["sessionName"]}
    contact = {"elementType": "x", "element": "{}"}
    for way in (door.get, door.post, door.json):
        answer = way(None, operation="create", cbwsOptions='{"launchfromqueue":1}', **contact, **named)
        door.ops.drain()
        read = way(None, operation="getQueuedOperationResult", **answer["result"], **named)
        assert '"by":"alice"' in read["result"]
    assert door.post(None, operation="logout", **named) == {"success": True, "result": {"message": "successfull"}}


def test_the_session_may_stand_in_a_header(door: Door) -> None:
    name = door.login("alice")["result"]["sessionName"]
    headers = {"corebos-authorization": name}
    answer = door.client().get("/webservice?operation=echo&a=b", headers=headers)
    assert envelope(answer)["result"] == {"a": "b"}
    answer = door.client().get("/webservice?operation=echo&sessionName=other", headers=headers)
    assert code(envelope(answer)) == "INVALID_SESSIONID"


@pytest.mark.parametrize("username", ["alice", "nobody"])
@pytest.mark.parametrize("wrong", ["", "x", "0" * 32, "é", "key", "of bob"])
def test_a_wrong_proof_is_refused_alike(door: Door, username: str, wrong: str) -> None:
    token = door.get(None, operation="getchallenge", username=username)["result"]["token"]
    given = {"key": KEYS["alice"], "of bob": proof(token, KEYS["bob"])}.get(wrong, wrong)
    answer = door.post(None, operation="login", username=username, accessKey=given)
    assert code(answer) == ("INVALID_USER_CREDENTIALS" if wrong else "MANDATORY_FIELDS_MISSING")


def test_a_challenge_is_for_one_user(door: Door) -> None:
    token = door.get(None, operation="getchallenge", username="bob")["result"]["token"]
    answer = door.post(None, operation="login", username="alice", accessKey=proof(token, KEYS["alice"]))
    assert code(answer) == "INVALID_USER_CREDENTIALS"


def test_a_challenge_and_a_session_have_their_time(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    token = door.get(None, operation="getchallenge", username="alice")["result"]["token"]
    asked = {"operation": "login", "username": "alice", "accessKey": proof(token, KEYS["alice"])}
    monkeypatch.setattr(time, "time", lambda: real() + 290)
    name = door.post(None, **asked)["result"]["sessionName"]
    monkeypatch.setattr(time, "time", lambda: real() + 370)
    assert code(door.post(None, **asked)) == "INVALID_USER_CREDENTIALS"
    monkeypatch.setattr(time, "time", lambda: real() + 290 + 8 * 3600 - 10)
    assert door.get(None, operation="echo", sessionName=name)["success"]
    monkeypatch.setattr(time, "time", lambda: real() + 290 + 8 * 3600 + 10)
    assert code(door.get(None, operation="echo", sessionName=name)) == "INVALID_SESSIONID"


def test_an_access_key_that_was_changed_ends_the_sessions(make_door: Callable[..., Door]) -> None:
    keys = dict(KEYS)
    door = make_door(access_key=keys.get)
    name = door.login("alice")["result"]["sessionName"]
    assert door.get(None, operation="echo", sessionName=name)["success"]
    for keys["alice"] in ("another", None):  # type: ignore[assignment]
        assert code(door.get(None, operation="echo", sessionName=name)) == "INVALID_SESSIONID"


def test_tokens_are_good_for_one_purpose(door: Door) -> None:
    token = door.get(None, operation="getchallenge", username="alice")["result"]["token"]
    name = door.login("alice")["result"]["sessionName"]
    for wrong in (token, name[:-1], name + "x", f"{name}.x", "x" * 5000, "é", "\x00", " "):
        assert code(door.post(None, operation="echo", sessionName=wrong)) == "INVALID_SESSIONID"
    assert code(door.json(None, operation="echo", sessionName=["x"])) == "INVALID_SESSIONID"
    other = door.app.secret_key
    door.app.secret_key = "another"
    assert code(door.post(None, operation="echo", sessionName=name)) == "INVALID_SESSIONID"
    door.app.config["SECRET_KEY_FALLBACKS"] = [other]
    assert door.post(None, operation="echo", sessionName=name)["success"]


def test_the_hook_may_name_another_user(make_door: Callable[..., Door]) -> None:
    door = make_door(access_key=lambda name: ("key", User(7)) if name == "ann" else None)
    session = door.login("ann", "key")["result"]
    assert session["userId"] == "7"
    answer = door.post(
        None, operation="create", elementType="x", element="{}", sessionName=session["sessionName"]
    )  # fmt: skip
    assert answer["result"]["by"] == 7


def test_a_session_of_another_than_who_is_signed_in_is_refused(door: Door) -> None:
    name = door.login("alice")["result"]["sessionName"]
    assert code(door.post("bob", operation="echo", sessionName=name)) == "ACCESS_DENIED"
    assert door.post("alice", operation="echo", sessionName=name)["success"]
    assert code(door.post("alice", operation="echo", sessionName="wrong")) == "INVALID_SESSIONID"


@pytest.mark.parametrize("operation", ["getchallenge", "login", "logout"])
def test_without_the_hook_there_is_no_login(make_door: Callable[..., Door], operation: str) -> None:
    door = make_door(access_key=None)
    assert code(door.post(operation=operation, username="alice")) == "UNKNOWN_OPERATION"
    assert code(door.post(None, operation="echo", sessionName="x")) == "AUTHENTICATION_REQUIRED"


def test_secrets_do_not_stand_in_addresses(door: Door) -> None:
    token = door.get(None, operation="getchallenge", username="alice")["result"]["token"]
    asked = {"operation": "login", "username": "alice", "accessKey": proof(token, KEYS["alice"])}
    assert code(door.get(None, **asked)) == "INVALID_REQUEST"


def test_a_session_name_is_neither_stored_nor_logged(
    door: Door, service: QueueService, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing of the request is kept but the operation's data."""
    caplog.set_level(logging.DEBUG)
    name = door.login("alice")["result"]["sessionName"]
    door.json(None, operation="echo", a="b", sessionName=name, cbwsOptions={"launchfromqueue": 1})
    door.post(None, operation="break", sessionName=name)
    door.post(None, operation="echo", cbwsOptions="{", sessionName=name)
    texts = service.database.statement(lambda tx: [str(row) for row in tx.rows("SELECT request FROM {operation}")])
    items = service.database.statement(lambda tx: [str(row) for row in tx.rows("SELECT * FROM {item}")])
    assert (len(texts), len(items)) == (1, 1)
    assert '"b"' in texts[0]
    for text in (*texts, *items, caplog.text):
        assert name not in text
        assert "cbwsOptions" not in text
        assert "sessionName" not in text


@pytest.mark.parametrize("who", [True, "", 1.5, b"x", ["alice"]])
def test_a_hook_that_returns_nonsense_lets_nobody_in(make_door: Callable[..., Door], who: Any) -> None:
    door = make_door(identity=lambda: who)
    assert code(door.post(operation="echo")) == "INTERNAL_SERVER_ERROR"
    assert door.done == []


@pytest.mark.parametrize("who", [None, User(), User("")])
def test_nobody_in_particular_is_nobody(make_door: Callable[..., Door], who: Any) -> None:
    assert code(make_door(identity=lambda: who).post(operation="echo")) == "AUTHENTICATION_REQUIRED"


def test_a_key_without_a_secret_is_a_mistake_of_the_program(door: Door) -> None:
    door.app.secret_key = None
    assert code(door.get(None, operation="getchallenge", username="alice")) == "INTERNAL_SERVER_ERROR"


@pytest.mark.parametrize("options", [{"name": "a b"}, {"max_bytes": 0}, {"max_bytes": True}, {"url": "webservice"}])
def test_settings_that_make_no_sense_are_refused(ops: Operations, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Webservice(Flask("door"), ops, **options)
    with pytest.raises(ConfigurationError, match="give Webservice the operations"):
        Webservice(Flask("door"))


# --- other sites ----------------------------------------------------------------------------------

FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "none"},
    {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://localhost:1"},
]  # fmt: skip


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("options", ["", "&cbwsOptions[launchfromqueue]=1"])
def test_what_another_site_sends_with_a_cookie_is_refused(
    door: Door, headers: dict[str, str], method: str, options: str
) -> None:
    sent = {"X-User": "alice", "Cookie": "session=x", **headers}
    answer = door.client().open(f"/webservice?operation=echo{options}", method=method, headers=sent)
    assert (code(envelope(answer)), door.done, door.ops.calls()) == ("ACCESS_DENIED", [], [])


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_it_reads_no_results_either(door: Door, headers: dict[str, str]) -> None:
    tracking_id = door.defer(operation="echo")
    door.ops.drain()
    url = f"/webservice?operation=getQueuedOperationResult&operationTrackingID={tracking_id}"
    answer = door.client().get(url, headers={"X-User": "alice", "Cookie": "session=x", **headers})
    assert code(envelope(answer)) == "ACCESS_DENIED"
    assert door.result(tracking_id) != WAITING


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_session_name_is_proof_enough(door: Door, headers: dict[str, str]) -> None:
    name = door.login("alice")["result"]["sessionName"]
    for who in ({}, {"X-User": "alice", "Cookie": "session=x"}):
        answer = door.client().post("/webservice", data={"operation": "echo", "sessionName": name},
                                    headers={**who, **headers})  # fmt: skip
        assert envelope(answer)["success"]


@pytest.mark.parametrize(
    ("headers", "is_taken"),
    [
        ({"Cookie": "session=x"}, False),
        ({"Authorization": "Basic eDp5"}, False),
        ({"Cookie": "session=x", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Authorization": "Bearer x"}, True),
        ({}, True),
    ],
)
def test_a_get_request_of_which_nothing_says_where_it_comes_from(
    door: Door, headers: dict[str, str], is_taken: bool
) -> None:
    """An old page over plain http may be shown a picture of that address."""
    answer = door.client().get("/webservice?operation=echo", headers={"X-User": "alice", **headers})
    assert envelope(answer)["success"] is is_taken
    answer = door.client().post("/webservice?operation=echo", headers={"X-User": "alice", **headers})
    assert envelope(answer)["success"]


def test_the_protection_of_forms_of_the_host_does_not_stand_in_the_way(ops: Operations) -> None:
    flask_wtf = pytest.importorskip("flask_wtf")
    ops.operation("echo")(lambda ctx, data: data)
    for early in (True, False):
        app = Flask("guarded")
        app.secret_key = "x"
        if early:
            flask_wtf.CSRFProtect(app)
        Webservice(app, ops, identity=lambda: "alice")
        if not early:
            flask_wtf.CSRFProtect(app)
        answer = envelope(app.test_client().post("/webservice", data={"operation": "echo"}))
        assert code(answer) == (None if early else "ACCESS_DENIED")


def test_flask_login_is_asked_without_a_hook(ops: Operations) -> None:
    flask_login = pytest.importorskip("flask_login")
    ops.operation("me")(lambda ctx, data: ctx.user.id)
    app = Flask("with_login")
    app.secret_key = "x"
    manager = flask_login.LoginManager(app)
    user = flask_login.UserMixin()
    user.id = "carl"
    manager.request_loader(lambda request: user if "X-Carl" in request.headers else None)
    Webservice(app, ops)
    client = app.test_client()
    assert envelope(client.post("/webservice?operation=me", headers={"X-Carl": "1"}))["result"] == "carl"
    assert code(envelope(client.post("/webservice?operation=me"))) == "AUTHENTICATION_REQUIRED"
