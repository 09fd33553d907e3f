"""Two users, every address of every blueprint: what belongs to the other answers as what is not there (S4).

Whatever the rows of ``tests.web_api.test_matrix`` and ``tests.operations_api.test_owners`` say of who may what, here
all blueprints stand in one application, and each address with an id in it is asked for by somebody else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from tests.attacks.app import OPERATIONS, whole_app
from tests.web_api.app import Visitor
from tests.web_api.test_matrix import ROWS
from tests.web_api.world import World

#: What stands in the call of ann.
HERS = "annsecret of a call"
#: Addresses without an id of anybody's, and why.
OF_NOBODY = {
    "taskqueue.static": "files of the package", "operations.static": "files of the package",
    "operations.call": "the name of an operation, the same for all",
    **{f"taskqueue.dashboard_{name}": "a hook says who may look; held by tests/web_api/dashboard"
       for name in ("queue", "item", "steer", "options", "nothing_2")},
}  # fmt: skip
#: Ids that stand in the body or the query.
IN_BODY = {"taskqueue.outbox_revive", "taskqueue.outbox_delete", "webservice.endpoint", "operations.runs"}
Ask = Callable[[Visitor, str], TestResponse]


@pytest.fixture
def app(world: World) -> Flask:
    """The application with everything in it."""
    return whole_app(world.url, TESTING=True)


def asks(app: Flask, world: World) -> dict[tuple[str, str], tuple[Ask, str]]:
    """By endpoint and method: how it is asked for with an id, and an id of ann's."""
    dead, echo = (_deferred(app, name) for name in ("crash", "echo"))
    app.extensions[OPERATIONS].drain()
    urls, found = app.url_map.bind("localhost"), {}
    for rule in app.url_map.iter_rules():
        if not rule.arguments & {"run_id", "call_id"}:
            continue
        name = rule.endpoint.removeprefix("taskqueue.")
        given = world.runs["ann", ROWS[name].state] if name in ROWS else dead if name == "retry" else echo
        if rule.endpoint == "operations.retry":
            given = dead
        for method in (rule.methods or set()) - {"OPTIONS"}:
            found[rule.endpoint, method] = (_by_path(urls, rule, method), given)
    for verb in ("revive", "delete"):
        found[f"taskqueue.outbox_{verb}", "POST"] = (_outbox(verb), world.message_id)
    found["webservice.endpoint", "GET"] = (_result("get"), echo)
    found["webservice.endpoint", "POST"] = (_result("post"), echo)
    found["operations.runs", "GET"] = (lambda who, id_: who.client.get(f"/ops/runs?after={id_}"), echo)
    return found


def test_every_address_with_an_id_is_asked_for(app: Flask, world: World) -> None:
    asked = {endpoint for endpoint, _ in asks(app, world)}
    with_id = {rule.endpoint for rule in app.url_map.iter_rules() if rule.arguments and "." in rule.endpoint}
    assert asked == (with_id - OF_NOBODY.keys()) | IN_BODY


@pytest.mark.parametrize("name", ["bob", None])
def test_what_is_somebody_elses_answers_as_what_is_not_there(app: Flask, world: World, name: str | None) -> None:
    wrong = []
    for (endpoint, method), (ask, given) in asks(app, world).items():
        before, visitor = world.content(), Visitor(app, name)
        foreign, missing = ask(visitor, given), ask(visitor, "0" * 32)
        odd = ask(visitor, given.upper() if given.upper() != given else given[::-1])
        for other in (missing, odd):
            if (foreign.status_code, foreign.data, dict(foreign.headers)) != (
                other.status_code, other.data, dict(other.headers)
            ):  # fmt: skip
                wrong.append(f"{method} {endpoint}: {foreign.status_code} {other.status_code} {foreign.text[:200]}")
        refused = 401 if name is None and endpoint.startswith("operations.") else 404
        if endpoint != "webservice.endpoint" and foreign.status_code != refused:
            wrong.append(f"{method} {endpoint}: {foreign.status_code}")
        if HERS in foreign.text or "annsecret" in foreign.text or given in foreign.text:
            wrong.append(f"{method} {endpoint} tells: {foreign.text[:200]}")
        if world.content() != before:
            wrong.append(f"{method} {endpoint} changed something")
    assert wrong == []


def test_a_session_before_the_login_is_worth_nothing_after_it(app: Flask, world: World) -> None:
    """Session fixation: who has planted a cookie in a browser before its user signs in has not signed in with it."""
    planted = Visitor(app)
    cookie = planted.client.get_cookie("session")
    assert cookie is not None
    victim = Visitor(app)
    victim.client.set_cookie("session", cookie.value)
    victim.client.get("/sign-in/ann")
    run = f"/queue/run/{world.runs['ann', 'blocked']}"
    assert victim.client.get(run).status_code == 200
    assert planted.client.get(run).status_code == 404
    # Nor is the token of the planted session of any use to another site: it looks at the origin too.
    sent: dict[str, Any] = {"json": {"request_id": "r" * 32}, "headers": {
        "X-CSRFToken": planted.token, "Origin": "https://evil.example", "X-Driver": "d" * 32}}  # fmt: skip
    assert victim.client.post(f"/queue/run/{world.runs['ann', 'running']}/abort", **sent).status_code == 403
    assert world.executed() == []


def _deferred(app: Flask, name: str) -> str:
    answer = Visitor(app, "ann").client.post(f"/ops/{name}", json={"data": HERS, "options": {"defer": True}})
    found: str = answer.get_json()["id"]
    return found


def _by_path(urls: Any, rule: Any, method: str) -> Ask:
    def ask(who: Visitor, given: str) -> TestResponse:
        path = urls.build(rule.endpoint, dict.fromkeys(rule.arguments, given), method=method)
        body = {} if rule.endpoint.startswith("operations.") else {"request_id": "r" * 32, "item_id": 1, "fence": 1}
        sent: dict[str, Any] = {"json": body} if method in ("POST", "DELETE") else {}
        headers = {"X-CSRFToken": who.token, "X-Driver": "d" * 32}
        return who.client.open(path, method=method, headers=headers, **sent)

    return ask


def _outbox(verb: str) -> Ask:
    def ask(who: Visitor, given: str) -> TestResponse:
        return who.client.post(f"/queue/outbox/dead/{verb}", json={"ids": [given]}, headers={"X-CSRFToken": who.token})

    return ask


def _result(method: str) -> Ask:
    def ask(who: Visitor, given: str) -> TestResponse:
        fields = {"operation": "getQueuedOperationResult", "operationTrackingID": given}
        if method == "get":
            return who.client.get("/webservice", query_string=fields)
        return who.client.post("/webservice", data=fields)

    return ask
