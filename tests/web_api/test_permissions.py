"""What the authorize hook and the read-only setting say counts on the server, not only on the page."""

from __future__ import annotations

import re
from typing import Any

import pytest

from taskqueue.runs.state import Definition, RunState
from taskqueue.runs.store import Runs
from tests.web_api.app import VIEWER, Visitor, service_of
from tests.web_api.test_matrix import POSTS, ROWS, fields_of
from tests.web_api.world import STATES, World, secret_of

#: Which action of the hook an address needs.
NEEDS = {name: {"resume": "pause", "retry_failed": "retry", "take_over": "drive"}.get(name, name) for name in POSTS}


@pytest.mark.parametrize("action", sorted(set(NEEDS.values())))
def test_a_single_action_may_be_denied(world: World, action: str) -> None:
    visitor = Visitor(world.app(hook=lambda asked, *_: None if asked != action else False), "ann")
    for endpoint in POSTS:
        run_id = world.runs["ann", ROWS[endpoint].state]
        fields = {"item_id": 1, "fence": 1, "request_id": f"{action}-{endpoint}"}
        snapshot = visitor.state(run_id)
        offered = {entry["verb"] for entry in snapshot["actions"]} | ({"drive"} if snapshot["drive"] else set())
        before = world.content()
        status = visitor.post(run_id, endpoint, fields).status_code
        if NEEDS[endpoint] == action:
            assert endpoint not in offered
            assert status == 403
            assert world.content() == before
        else:
            assert status != 403


@pytest.mark.parametrize("state", STATES)
def test_read_only_offers_nothing(world: World, state: str) -> None:
    visitor = Visitor(world.app(TASKQUEUE_READ_ONLY=True), "ann")
    snapshot = visitor.state(world.runs["ann", state])
    assert (snapshot["actions"], snapshot["drive"]) == ([], False)
    page = visitor.get(world.runs["ann", state]).text
    assert 'data-verb="abort"' not in page.partition("<template")[0]


def test_read_only_counts_for_the_admin_too(world: World) -> None:
    visitor = Visitor(world.app(TASKQUEUE_READ_ONLY=True, hook=lambda *_: True), "ann")
    run_id = world.runs["ann", "running"]
    assert visitor.post(run_id, "abort").status_code == 403
    assert visitor.post(run_id, "drive").status_code == 403
    assert world.executed() == []


@pytest.mark.parametrize("broken", [1, "yes", object(), RuntimeError("down")])
def test_a_hook_that_says_anything_but_yes_denies(world: World, broken: Any) -> None:
    def hook(*_: Any) -> Any:
        if isinstance(broken, Exception):
            raise broken
        return broken

    visitor = Visitor(world.app(hook=hook), "ann")
    assert visitor.get(world.runs["ann", "blocked"], "state").status_code == 404
    assert visitor.post(world.runs["ann", "running"], "drive").status_code == 404
    assert world.executed() == []


def test_the_hook_is_told_who_and_what(world: World) -> None:
    asked: list[tuple[str, str, str, int | None]] = []

    def hook(action: str, run: RunState, item_id: int | None) -> bool:
        asked.append((action, run.id, run.owner, item_id))
        return True

    visitor = Visitor(world.app(hook=hook), "bob")
    run_id = world.runs["ann", "blocked"]
    fields = fields_of(world, "ann", "skip")
    visitor.post(run_id, "skip", fields)
    assert ("view", run_id, "user:ann", None) in asked
    assert ("skip", run_id, "user:ann", fields["item_id"]) in asked


def test_the_traceback_needs_its_own_permission(world: World) -> None:
    run_id = world.runs["ann", "blocked"]
    problem = Visitor(world.usual, "ann").state(run_id)["problem"]
    assert "Traceback" in problem["trace"]
    viewer = Visitor(world.usual, VIEWER)
    problem = viewer.state(run_id)["problem"]
    assert problem["has_trace"] is True
    assert "trace" not in problem
    for view in ("", "state", "log", "log?format=txt"):
        text = viewer.get(run_id, view).text
        assert secret_of("ann") in text
        assert "tests/web_api/tasks.py" not in text
        assert "raise ValueError" not in text


def test_a_denied_drive_cannot_be_had_by_a_ticket(world: World) -> None:
    run_id = world.runs["ann", "running"]
    denied = set[str]()
    visitor = Visitor(world.app(hook=lambda action, *_: False if action in denied else None), "ann")
    found = re.search(r'url=([^"]*tick\?t=[^"]*)"', visitor.get(run_id, query_string={"nojs": "1"}).text)
    assert found
    denied.add("drive")
    assert "tick?t=" not in visitor.get(run_id, query_string={"nojs": "1"}).text
    assert visitor.client.get(found[1]).status_code == 303
    assert world.executed() == []
    denied.clear()
    assert visitor.client.get(found[1]).status_code == 303
    assert world.executed() == ["ok 1", "ok 1"]


def test_a_ticket_is_good_for_one_use_by_one_visitor_on_one_run(world: World) -> None:
    # So short a slice is one task.
    app = world.app(TASKQUEUE_BUDGET=0.000_001)
    ann, bob = Visitor(app, "ann"), Visitor(app, "bob")
    admin = Visitor(world.app(hook=lambda *_: True), "adam")
    mine, other = world.runs["ann", "running"], ann.make("another", ("ok", {}))
    found = re.search(r'tick\?t=([^"&]*)"', ann.get(mine, query_string={"nojs": "1"}).text)
    assert found
    ticket = found[1]
    assert bob.get(mine, f"tick?t={ticket}").status_code == 404
    assert admin.get(mine, f"tick?t={ticket}").status_code == 303
    assert ann.get(other, f"tick?t={ticket}").status_code == 303
    for wrong in ("", "x", ticket[:-2], ticket + "a", ticket[::-1], "é", "a.b.c"):
        assert ann.get(mine, "tick", query_string={"t": wrong}).status_code == 303
    assert ann.get(mine, "tick").status_code == 303
    assert world.executed() == []
    for _ in range(3):
        assert ann.get(mine, f"tick?t={ticket}").status_code == 303
        assert world.executed() == ["ok 1"]


def test_only_the_owner_owns(world: World) -> None:
    assert Visitor(world.usual, "ann").state(world.runs["ann", "ready"])["run"]["owner_is_me"] is True
    assert Visitor(world.usual, VIEWER).state(world.runs["ann", "ready"])["run"]["owner_is_me"] is False


def test_a_run_of_a_terminal_is_nobodys(world: World) -> None:
    """It was started without a visitor; neither a browser without a name nor one with an empty one owns it."""
    queue = service_of(world.usual).create("Sql", "terminal")
    run_id = Runs.of(queue).create(queue, Definition(title="terminal")).id
    for name in (None, "ann"):
        assert Visitor(world.usual, name).get(run_id, "state").status_code == 404
    assert Visitor(world.usual, VIEWER).get(run_id, "state").status_code == 200
