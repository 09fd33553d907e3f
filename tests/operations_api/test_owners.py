"""Who may do what: every address has its row here, and what is not yours answers as what is not there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from taskqueue.operations import Operations, User
from tests.names import shown
from tests.operations.conftest import drain
from tests.operations_api.app import USERS, Client

#: What stands in the call of alice.
HERS = "hers alone"
WHO = ("alice", "admin", "bob", "gone", "nobody")


@dataclass(frozen=True)
class Row:
    """What an address answers to each; of calls: to the one of alice that is in that state."""

    method: str
    path: str
    state: str
    alice: int
    admin: int
    bob: int
    gone: int = 403
    nobody: int = 401


ROWS = {
    "list": Row("GET", "/ops", "", 200, 200, 200),
    "openapi": Row("GET", "/ops/openapi.json", "", 200, 200, 200),
    "docs": Row("GET", "/ops/docs", "", 200, 200, 200),
    "static": Row("GET", "/ops/static/taskqueue.css", "", 200, 200, 200, 200, 200),
    "call": Row("POST", "/ops/create_contact", "", 200, 403, 403),
    "runs": Row("GET", "/ops/runs", "queued", 200, 200, 200),
    "run": Row("GET", "", "queued", 200, 200, 404),
    "waited": Row("GET", "?wait=0.01", "queued", 200, 200, 404),
    "result": Row("GET", "/result", "succeeded", 200, 200, 404),
    "consumed": Row("GET", "/result?consume=1", "succeeded", 200, 200, 404),
    "early": Row("GET", "/result", "queued", 409, 409, 404),
    "end": Row("DELETE", "", "queued", 200, 200, 404),
    "forgotten": Row("DELETE", "", "succeeded", 204, 204, 404),
    "retry": Row("POST", "/retry", "dead", 202, 202, 404),
    "retry_of_succeeded": Row("POST", "/retry", "succeeded", 409, 409, 404),
}


@pytest.fixture
def in_state(alice: Client, ops: Operations) -> Callable[[str], str]:
    """Makes a call of alice that is in a state; gives its address."""

    def make(state: str) -> str:
        location = alice.defer("crash" if state == "dead" else "echo", HERS)
        if state != "queued":
            drain(ops)
        assert alice.get(location).get_json()["state"] == state
        return location

    return make


def test_every_address_has_its_row(app: Flask) -> None:
    rules = {rule.endpoint.removeprefix("operations.") for rule in app.url_map.iter_rules()
             if rule.endpoint.startswith("operations.")}  # fmt: skip
    assert rules == set(ROWS) - {"early", "waited", "consumed", "forgotten", "retry_of_succeeded"}


@pytest.mark.parametrize("name", ROWS)
def test_each_gets_the_right_answer(app: Flask, ops: Operations, in_state: Callable[[str], str], name: str) -> None:
    row = ROWS[name]
    for who in ("bob", "gone", "nobody", "admin", "alice"):
        location = in_state(row.state) if row.state else ""
        before = ops.calls()
        answer = _ask(Client(app, None if who == "nobody" else who), row, location)
        wanted = getattr(row, who)
        assert answer.status_code == wanted, (who, answer.text)
        if wanted >= 400:
            assert HERS not in answer.text
            assert answer.content_type == "application/problem+json"
            assert answer.headers["Cache-Control"] == "no-store"
            assert ops.calls() == before
        assert wanted != 401 or answer.headers["WWW-Authenticate"].startswith("Bearer ")
        answer.close()


@pytest.mark.parametrize("name", ["run", "waited", "result", "consumed", "end", "forgotten", "retry"])
def test_what_is_not_there_answers_as_what_is_not_yours(bob: Client, in_state: Callable[[str], str], name: str) -> None:
    row = ROWS[name]
    foreign = _ask(bob, row, in_state(row.state))
    odd = ("0" * 32, "x", "0" * 31, "A" * 32, "1'--", "%00", "é" * 16, "a" * 5000)
    for other in [_ask(bob, row, f"/ops/runs/{one}") for one in odd]:
        assert (foreign.status_code, foreign.data) == (other.status_code, other.data)
        assert dict(foreign.headers) == dict(other.headers)


def test_everybody_sees_their_own_calls(app: Flask, alice: Client, bob: Client, admin: Client) -> None:
    hers, his = alice.defer("echo"), bob.defer("echo")

    def seen(client: Client) -> list[str]:
        return [call["links"]["self"] for call in client.get("/ops/runs").get_json()["runs"]]

    assert (seen(alice), seen(bob), sorted(seen(admin))) == ([hers], [his], sorted([hers, his]))
    assert bob.get(f"/ops/runs?after={hers.rpartition('/')[2]}").status_code == 404


def test_only_administrators_are_told_whose_a_call_is(alice: Client, admin: Client, ops: Operations) -> None:
    location, crashed, own = alice.defer("echo"), alice.defer("crash"), admin.defer("echo")
    assert [call["owner"] for call in admin.get("/ops/runs").get_json()["runs"]].count("alice") == 2
    assert admin.get(own).get_json()["owner"] == "root"
    assert admin.get(f"{location}?wait=0.01").get_json()["owner"] == "alice"
    hers = [alice.post("/ops/echo", options={"defer": True}).get_json(), alice.get(location).get_json()]
    hers += [*alice.get("/ops/runs").get_json()["runs"], alice.delete(alice.defer("echo")).get_json()]
    drain(ops)
    hers.append(alice.retry(crashed).get_json())
    assert [call["operation"] for call in hers if "owner" in call] == []
    assert admin.delete(crashed).get_json()["owner"] == "alice"


def test_permission_depends_on_the_data(alice: Client) -> None:
    for options in ({}, {"defer": True}):
        assert alice.post("/ops/private", "secret", options).status_code == 403
        assert alice.post("/ops/private", "open", options).status_code in (200, 202)


@pytest.mark.parametrize("found", [True, "", 1.5, b"alice", object()], ids=shown)
def test_an_identity_that_makes_no_sense_lets_nobody_in(app: Flask, found: Any) -> None:
    site = app.extensions["taskqueue.operations"]["operations"]
    object.__setattr__(site, "identity", lambda: found)
    answer = Client(app, None).get("/ops")
    assert (answer.status_code, answer.get_json()["code"]) == (500, "internal_error")


def test_a_user_with_an_empty_id_is_nobody(app: Flask) -> None:
    site = app.extensions["taskqueue.operations"]["operations"]
    object.__setattr__(site, "identity", lambda: User(""))
    assert Client(app, None).get("/ops/runs").status_code == 401


def test_an_id_is_looked_up(service: Any) -> None:
    app = Flask("ids")
    ops = Operations(service, load_user=USERS.get)
    ops.operation("who", roles={"sales"})(lambda ctx, data: ctx.user.id)
    from taskqueue.web import OperationsApi

    asks: list[Any] = []
    OperationsApi(app, ops, identity=lambda: asks[-1])
    for who, status in (("alice", 200), ("bob", 403), ("stranger", 403), (None, 401)):
        asks.append(who)
        assert Client(app, None).post("/ops/who").status_code == status


def _ask(client: Client, row: Row, location: str) -> TestResponse:
    path = row.path if row.path.startswith("/ops") else location + row.path
    if row.method == "POST":
        return client.send("POST", path, json={"data": {"name": "Ann"}} if row.path.startswith("/ops") else {})
    return client.send(row.method, path)
