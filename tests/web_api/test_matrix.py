"""Who gets what answer from which address: every address of the blueprint has its row here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.web_api.app import ADMIN, DENIED, VIEWER, Visitor, headers_of
from tests.web_api.world import World, secret_of

#: The visitors, and whose run they ask for. "reader" is the owner in an application that is read-only.
COLUMNS = {
    "owner": ("ann", "ann"),
    "admin": (ADMIN, "ann"),
    "viewer": (VIEWER, "ann"),
    "reader": ("ann", "ann"),
    "denied": (DENIED, DENIED),
    "stranger": ("bob", "ann"),
    "nobody": (None, "ann"),
}


@dataclass(frozen=True)
class Row:
    """What an address answers."""

    method: str
    #: The state of the run that is asked for; "": the address is not about a run.
    state: str
    owner: int
    admin: int
    viewer: int
    reader: int
    denied: int
    stranger: int
    nobody: int


def _seen(state: str = "blocked") -> Row:
    return Row("GET", state, 200, 200, 200, 200, 404, 404, 404)


def _done(state: str) -> Row:
    return Row("POST", state, 200, 200, 403, 403, 404, 404, 404)


def _everybodys() -> Row:
    return Row("GET", "", 200, 200, 200, 200, 200, 200, 200)


ROWS = {
    "csrf": _everybodys(),
    "static": _everybodys(),
    "page": _seen(),
    "state": _seen(),
    "log": _seen(),
    "tick": Row("GET", "running", 303, 303, 303, 303, 404, 404, 404),
    "drive": _done("running"),
    "start": _done("ready"),
    "pause": _done("running"),
    "resume": _done("paused"),
    "retry": _done("blocked"),
    "skip": _done("blocked"),
    "steal": _done("stale"),
    "abort": _done("running"),
    "retry_failed": _done("completed"),
    "take_over": _done("unserved"),
    "outbox_dead": Row("GET", "", 404, 200, 200, 404, 404, 404, 404),
    "outbox_revive": Row("POST", "", 404, 200, 403, 404, 404, 404, 404),
    "outbox_delete": Row("POST", "", 404, 200, 403, 404, 404, 404, 404),
}
OUTBOX = {
    "outbox_dead": "/queue/outbox/dead",
    "outbox_revive": "/queue/outbox/dead/revive",
    "outbox_delete": "/queue/outbox/dead/delete",
}
#: Of a run; those of the outbox take no forms.
POSTS = [name for name, row in ROWS.items() if row.method == "POST" and row.state]


def fields_of(world: World, owner: str, verb: str) -> dict[str, Any]:
    """What the page of the owner posts: exactly what its snapshot offers."""
    snapshot = Visitor(world.app(hook=lambda *_: True), owner).state(world.runs[owner, ROWS[verb].state])
    return next((action for action in snapshot["actions"] if action["verb"] == verb), {})


def test_every_address_has_its_row(world: World) -> None:
    rules = [rule for rule in world.usual.url_map.iter_rules() if rule.endpoint.startswith("taskqueue.")]
    # Those of the dashboard are in tests/web_api/dashboard.
    rules = [rule for rule in rules if not rule.endpoint.startswith("taskqueue.dashboard_")]
    methods = {
        rule.endpoint.removeprefix("taskqueue."): "/".join(sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}))
        for rule in rules
    }
    assert methods == {name: row.method for name, row in ROWS.items()}
    assert len(rules) == len(ROWS)


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("endpoint", ROWS)
def test_each_visitor_gets_the_right_answer(world: World, endpoint: str, column: str) -> None:
    name, owner = COLUMNS[column]
    row = ROWS[endpoint]
    visitor = Visitor(world.app(TASKQUEUE_READ_ONLY=column == "reader"), name)
    fields = fields_of(world, owner, endpoint) if endpoint in POSTS else {"ids": [world.message_id]}
    before = world.content()
    answer = _ask(visitor, world.runs.get((owner, row.state), ""), endpoint, fields)
    assert answer.status_code == getattr(row, column), answer.text
    if row.method == "GET" or answer.status_code != 200:
        assert world.content() == before
    if not (endpoint == "drive" and column in ("owner", "admin")):
        assert world.executed() == []
    if answer.status_code in (403, 404):
        assert secret_of(owner) not in answer.text
        assert secret_of(owner) not in str(answer.headers)
    if answer.status_code == 200 and row.state:
        assert secret_of(owner) in answer.text
    assert answer.status_code != 403 or answer.get_json()["error"]["code"] == "forbidden"
    assert answer.status_code != 404 or "not yours to see" in answer.text
    if endpoint == "outbox_dead" and answer.status_code == 200:
        assert secret_of("ann") in answer.text


# No form drives: that is what tickets are for.
@pytest.mark.parametrize("endpoint", [name for name in POSTS if name != "drive"])
def test_a_form_is_answered_by_the_page(world: World, endpoint: str) -> None:
    fields = fields_of(world, "ann", endpoint)
    run_id = world.runs["ann", ROWS[endpoint].state]
    answer = Visitor(world.usual, "ann").submit(run_id, endpoint, fields)
    assert (answer.status_code, answer.location) == (303, f"/queue/run/{run_id}")
    assert world.executed() == []


@pytest.mark.parametrize("column", ["viewer", "reader", "denied", "stranger", "nobody"])
@pytest.mark.parametrize("endpoint", POSTS)
def test_a_form_opens_no_back_door(world: World, endpoint: str, column: str) -> None:
    name, owner = COLUMNS[column]
    visitor = Visitor(world.app(TASKQUEUE_READ_ONLY=column == "reader"), name)
    fields = fields_of(world, owner, endpoint)
    before = world.content()
    answer = visitor.submit(world.runs[owner, ROWS[endpoint].state], endpoint, fields, **{"X-Driver": "d" * 32})
    assert answer.status_code == getattr(ROWS[endpoint], column)
    assert world.content() == before
    assert secret_of(owner) not in answer.text


def test_a_run_that_waits_for_workers_is_not_driven_by_pages(world: World) -> None:
    owner, run_id = Visitor(world.usual, "ann"), world.runs["ann", "unserved"]
    before = world.content()
    assert owner.post(run_id, "drive").get_json()["run"]["is_unserved"]
    assert (world.content(), world.executed()) == (before, [])
    owner.post(run_id, "take_over")
    owner.post(run_id, "drive")
    assert world.executed()


@pytest.mark.parametrize("settings", [{"TASKQUEUE_ALLOW": None}, {"TASKQUEUE_MODE": "observe"}])
def test_pages_that_may_execute_nothing_take_nothing_over(world: World, settings: dict[str, Any]) -> None:
    owner, run_id = Visitor(world.app(**settings), "ann"), world.runs["ann", "unserved"]
    before = world.content()
    snapshot = owner.state(run_id)
    assert "take_over" not in [action["verb"] for action in snapshot["actions"]]
    assert snapshot["text"]["warning"].endswith("Start one with “taskqueue work”.")
    assert owner.post(run_id, "take_over").status_code == 403
    assert world.content() == before


@pytest.mark.parametrize("endpoint", [name for name, row in ROWS.items() if row.state])
def test_what_is_not_there_answers_as_what_is_not_yours(world: World, endpoint: str) -> None:
    visitor = Visitor(world.usual, "bob")
    foreign = _ask(visitor, world.runs["ann", ROWS[endpoint].state], endpoint, {"item_id": 1, "fence": 1})
    missing = _ask(visitor, "0" * 32, endpoint, {"item_id": 1, "fence": 1})
    assert (foreign.status_code, foreign.data) == (missing.status_code, missing.data)
    assert headers_of(foreign) == headers_of(missing)


def _ask(visitor: Visitor, run_id: str, endpoint: str, fields: dict[str, Any]) -> TestResponse:
    if endpoint == "csrf":
        return visitor.client.get("/queue/csrf")
    if endpoint == "static":
        answer = visitor.client.get("/queue/static/taskqueue.css")
        answer.get_data()
        answer.close()
        return answer
    if endpoint.startswith("outbox_"):
        address = OUTBOX[endpoint]
        if endpoint == "outbox_dead":
            return visitor.client.get(address, headers={"Accept": "application/json"})
        return visitor.client.post(address, json=fields, headers={"X-CSRFToken": visitor.token})
    if ROWS[endpoint].method == "POST":
        return visitor.post(run_id, endpoint, fields)
    return visitor.get(run_id, "" if endpoint == "page" else endpoint)
