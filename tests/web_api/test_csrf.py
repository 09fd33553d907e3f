"""Posts that did not come from a page of ours are refused, with and without Flask-WTF, and change nothing."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.web_api.app import Visitor
from tests.web_api.test_matrix import POSTS, ROWS, fields_of
from tests.web_api.world import World

both = pytest.mark.parametrize("wtf", [False, True], ids=["own", "flask-wtf"])
FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost.evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
]


@both
@pytest.mark.parametrize("endpoint", POSTS)
def test_every_post_needs_the_token_of_its_session(world: World, endpoint: str, wtf: bool) -> None:
    app = world.app(wtf=wtf)
    ann, bob = Visitor(app, "ann"), Visitor(app, "bob")
    run_id, fields = world.runs["ann", ROWS[endpoint].state], fields_of(world, "ann", endpoint)
    before = world.content()
    for token in ("", "x", ann.token[:-1], bob.token, "é".encode().decode("latin-1")):
        refused(ann.post(run_id, endpoint, fields, **{"X-CSRFToken": token}))
        form = {**fields, "csrf_token": token}
        page = ann.submit(run_id, endpoint, form, **{"X-Driver": "d" * 32, "Accept": "text/html"})
        assert page.status_code == 403
        assert page.mimetype == "text/html"
    assert world.content() == before
    assert ann.post(run_id, endpoint, fields).status_code == 200


@both
@pytest.mark.parametrize("endpoint", POSTS)
def test_another_site_is_refused_although_it_has_the_token(world: World, endpoint: str, wtf: bool) -> None:
    ann = Visitor(world.app(wtf=wtf), "ann")
    run_id, fields = world.runs["ann", ROWS[endpoint].state], fields_of(world, "ann", endpoint)
    before = world.content()
    for headers in FOREIGN:
        refused(ann.post(run_id, endpoint, fields, **headers))
        assert ann.submit(run_id, endpoint, fields, **headers).status_code == 403
    assert world.content() == before
    own = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    assert ann.post(run_id, endpoint, fields, **own).status_code == 200


@both
def test_a_form_that_is_older_than_its_token_leads_back(world: World, wtf: bool) -> None:
    ann = Visitor(world.app(wtf=wtf), "ann")
    run_id = world.runs["ann", "ready"]
    answer = ann.submit(run_id, "start", {"csrf_token": "old", "nojs": "1"}, Accept="text/html")
    assert answer.status_code == 403
    assert f'href="/queue/run/{run_id}"' in answer.text


@both
def test_a_page_that_is_older_than_its_token_gets_a_new_one(
    world: World, wtf: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = Visitor(world.app(wtf=wtf), "ann")
    run_id = world.runs["ann", "ready"]
    later = time.time() + 2 * 86_400
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: later)
    refused(ann.post(run_id, "start"))
    ann.token = ann.client.get("/queue/csrf").get_json()["csrf"]
    assert ann.post(run_id, "start").status_code == 200


def test_the_field_of_the_form_is_that_of_flask_wtf(world: World) -> None:
    ann = Visitor(world.app(wtf=True, WTF_CSRF_FIELD_NAME="crumb"), "ann")
    page = ann.get(world.runs["ann", "ready"]).text
    assert 'name="crumb"' in page
    assert 'name="csrf_token"' not in page
    form = {"crumb": ann.token}
    assert ann.submit(world.runs["ann", "ready"], "start", form).status_code == 303


def test_a_token_of_before_the_login_stays_good(world: World) -> None:
    """Signing in must not break the pages that stand open in other tabs of the same browser."""
    visitor = Visitor(world.usual)
    visitor.client.get("/sign-in/ann")
    assert visitor.post(world.runs["ann", "ready"], "start").status_code == 200


@pytest.mark.parametrize("view", ["drive", "start", "abort"])
def test_a_get_does_nothing(world: World, view: str) -> None:
    before = world.content()
    ann = Visitor(world.usual, "ann")
    for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE"):
        path = f"/queue/run/{world.runs['ann', 'running']}/{view}"
        assert ann.client.open(path, method=method, headers={"X-CSRFToken": ann.token}).status_code == 405
    assert world.content() == before


@pytest.mark.parametrize("endpoint", POSTS)
def test_a_post_larger_than_any_of_ours_is_not_read(world: World, endpoint: str) -> None:
    ann = Visitor(world.usual, "ann")
    run_id, fields = world.runs["ann", ROWS[endpoint].state], fields_of(world, "ann", endpoint)
    before = world.content()
    answer = ann.post(run_id, endpoint, {**fields, "note": "x" * 20_000})
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (413, "too_large")
    assert ann.submit(run_id, endpoint, {**fields, "note": "x" * 20_000}).status_code == 413
    assert world.content() == before


def refused(answer: Any) -> None:
    assert answer.status_code == 403, answer.text
    assert answer.get_json()["error"]["code"] == "csrf"
