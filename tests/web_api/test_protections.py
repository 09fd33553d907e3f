"""Posts that no page of ours has sent, at every address of every blueprint; and the proof that they would be noticed.

The last tests switch a protection off on purpose: the very same attacks must then be reported.
"""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from taskqueue.web import csrf, operations_reading, webservice_who
from tests.attacks.app import OPERATIONS, whole_app
from tests.attacks.state_changes import BY_GET, changed_by_looking, targets, violations
from tests.web_api.app import Visitor
from tests.web_api.world import World


@pytest.fixture
def app(world: World) -> Flask:
    """The application with everything in it."""
    return whole_app(world.url, TESTING=True)


@pytest.fixture
def call_id(app: Flask, world: World) -> str:
    """A deferred call of ann that has died, so that it may be tried again and forgotten."""
    answer = Visitor(app, "ann").client.post("/ops/crash", json={"data": "x", "options": {"defer": True}})
    app.extensions[OPERATIONS].drain()
    world.journal.unlink()
    found: str = answer.get_json()["id"]
    return found


def test_every_address_that_changes_something_is_attacked(world: World, app: Flask, call_id: str) -> None:
    attacked = {(target.endpoint, target.method) for target in targets(world, call_id)}
    ours = {
        (rule.endpoint, method)
        for rule in app.url_map.iter_rules()
        for method in {"POST", "PUT", "PATCH", "DELETE"} & (rule.methods or set())
        # The dashboard answers nobody here; tests/web_api/dashboard/test_safe.py attacks it where somebody may.
        if "." in rule.endpoint and not rule.endpoint.startswith("taskqueue.dashboard_")
    }
    # The door knows these methods only to refuse them.
    assert ours - {("webservice.endpoint", method) for method in ("PUT", "PATCH", "DELETE")} == attacked


def test_nothing_is_changed_by_requests_that_no_page_of_ours_sent(world: World, app: Flask, call_id: str) -> None:
    assert [*violations(world, app, call_id)] == []


def test_nothing_is_changed_by_looking(world: World, app: Flask, call_id: str) -> None:
    assert [*changed_by_looking(world, app, call_id)] == []
    assert {rule.endpoint for rule in app.url_map.iter_rules()} >= BY_GET.keys()


# --- the harness itself: with a protection off it reports what gets through ---


def test_given_no_token_check_when_attacked_then_the_violations_are_reported(
    world: World, app: Flask, call_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csrf, "check", _nothing)
    found = [*violations(world, app, call_id, lambda endpoint: endpoint.startswith("taskqueue."))]
    for verb in ("drive", "start", "resume", "retry", "outbox_revive"):
        assert [line for line in found if f"taskqueue.{verb}, " in line], (verb, found)


@pytest.mark.parametrize(
    ("module", "endpoint"), [(operations_reading, "operations.call"), (webservice_who.csrf, "webservice.endpoint")],
    ids=["operations", "webservice"],
)  # fmt: skip
def test_given_no_look_at_the_origin_when_attacked_then_the_violations_are_reported(
    world: World, app: Flask, call_id: str, monkeypatch: pytest.MonkeyPatch, module: Any, endpoint: str
) -> None:
    monkeypatch.setattr(module, "foreign", _nothing)
    found = [*violations(world, app, call_id, lambda asked: asked == endpoint)]
    assert [line for line in found if "evil.example" in line and "changed" in line], found


def test_given_a_view_that_changes_something_by_get_when_looked_at_then_it_is_reported(
    world: World, app: Flask, call_id: str
) -> None:
    service = Visitor(app, "ann") and app.extensions["tests.web_api"].site(app).service
    app._got_first_request = False  # a view that comes late, as only this test has one
    app.add_url_rule("/careless", view_func=lambda: service.create("Sql", "made-by-get").name, endpoint="careless")
    assert "GET /careless changed something" in [*changed_by_looking(world, app, call_id)]


def _nothing(*_: Any, **__: Any) -> None:
    """In the place of a check."""
