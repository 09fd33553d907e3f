"""What answers carry besides their body: no cookie where none belongs, nothing for caches, nothing that leads away."""

from __future__ import annotations

from typing import Any

import pytest

from taskqueue.errors import ConfigurationError
from taskqueue.runs.state import Definition
from taskqueue.runs.store import Runs
from tests.web_api.app import Visitor, service_of
from tests.web_api.test_matrix import OUTBOX, POSTS, ROWS, fields_of
from tests.web_api.world import World

both = pytest.mark.parametrize("wtf", [False, True], ids=["own", "flask-wtf"])
QUIET = [*POSTS, "state", "log"]


@both
@pytest.mark.parametrize("endpoint", QUIET)
def test_background_answers_set_no_cookie(world: World, endpoint: str, wtf: bool) -> None:
    """The session is permanent, so that Flask sends its cookie with every other answer."""
    app = world.app(wtf=wtf)
    ann, bob = Visitor(app, "ann"), Visitor(app, "bob")
    run_id = world.runs["ann", ROWS[endpoint].state]
    assert "Set-Cookie" in ann.client.get("/done").headers or "Set-Cookie" in ann.client.get("/queue/csrf").headers
    answers: list[Any] = []
    if endpoint in POSTS:
        fields = fields_of(world, "ann", endpoint)
        answers = [
            ann.post(run_id, endpoint, fields, **{"X-CSRFToken": "x"}),
            ann.post(run_id, endpoint, fields, Origin="https://evil.example"),
            bob.post(run_id, endpoint, fields),
            ann.post("0" * 32, endpoint, fields),
            ann.post(run_id, endpoint, {"request_id": 7}),
            ann.post(run_id, endpoint, {"item_id": 99, "fence": 99, "request_id": "another-request"}),
            ann.post(run_id, endpoint, {"note": "x" * 100_000}),
            # More than Flask reads of a form; with Flask-WTF it is refused before our view is reached.
            ann.submit(run_id, endpoint, {"note": "x" * 600_000}),
            ann.post(run_id, endpoint, fields),
            ann.submit(run_id, endpoint, fields),
        ]
    else:
        answers = [viewer.get(which, endpoint) for viewer in (ann, bob) for which in (run_id, "0" * 32)]
    for answer in answers:
        assert "Set-Cookie" not in answer.headers, answer.status
        assert answer.headers["Cache-Control"] == "no-store", answer.status


def test_a_late_answer_does_not_sign_in_again(world: World) -> None:
    ann = Visitor(world.usual, "ann")
    cookie = ann.client.get_cookie("session")
    assert cookie is not None
    late = Visitor(world.usual)
    late.client.set_cookie("session", cookie.value)
    late.token = ann.token
    ann.client.get("/sign-out")
    answer = late.post(world.runs["ann", "running"], "drive")
    assert answer.status_code == 200
    for line in answer.headers.getlist("Set-Cookie"):
        ann.client.set_cookie("session", line.split("=", 1)[1].split(";")[0])
    assert ann.get(world.runs["ann", "running"]).status_code == 404


@pytest.mark.parametrize("endpoint", ROWS)
def test_headers_of_every_answer(world: World, endpoint: str) -> None:
    ann = Visitor(world.usual, "ann")
    run_id = world.runs.get(("ann", ROWS[endpoint].state), "")
    paths = {"csrf": "/queue/csrf", "static": "/queue/static/taskqueue.css", "page": f"/queue/run/{run_id}", **OUTBOX}
    path, method = paths.get(endpoint, f"/queue/run/{run_id}/{endpoint}"), ROWS[endpoint].method
    answer = (
        ann.post(run_id, endpoint, fields_of(world, "ann", endpoint))
        if endpoint in POSTS
        else ann.client.open(path, method=method)
    )
    answer.get_data()
    answer.close()
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    if endpoint == "static":
        assert answer.cache_control.max_age == 31_536_000
        assert "Set-Cookie" not in answer.headers
    else:
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Cookie" in answer.headers["Vary"]
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'")
        assert "unsafe" not in policy


@both
def test_a_static_file_sets_no_cookie(world: World, wtf: bool) -> None:
    """A cache shared by several users must never keep a session."""
    ann = Visitor(world.app(wtf=wtf), "ann")
    with ann.client.get("/queue/static/taskqueue.css") as answer:
        assert "Set-Cookie" not in answer.headers


# --- nothing leads away --------------------------------------------------------------------------

AWAY = ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)", "/x\r\nX: y", "/\t/evil"]


@pytest.mark.parametrize("url", AWAY)
def test_a_run_that_would_lead_away_is_not_made(world: World, url: str) -> None:
    ann = Visitor(world.usual, "ann")
    with pytest.raises(ConfigurationError, match="on_end_url"):
        ann.make("leads-away", ("ok", {}), on_end_url=url)
    assert not any("leads-away" in row for row in world.content() if row.startswith("taskqueue_run "))


def test_a_run_may_lead_to_a_host_that_is_configured(world: World) -> None:
    ann = Visitor(world.app(TASKQUEUE_END_URL_HOSTS=["shop.example"]), "ann")
    ann.make("leads-on", ("ok", {}), on_end_url="https://shop.example/done")


@pytest.mark.parametrize("url", AWAY)
def test_a_stored_address_that_leads_away_is_not_shown(world: World, url: str) -> None:
    """A run of a terminal knows no web settings, and a database may have been written by others."""
    service = service_of(world.usual)
    queue = service.create("Sql", "elsewhere")
    run_id = Runs.of(queue).create(queue, Definition(title="x", on_end_url=url), owner="user:ann").id
    ann = Visitor(world.usual, "ann")
    for _ in range(3):
        ann.post(run_id, "drive")
    snapshot = ann.state(run_id)
    assert snapshot["run"]["status"] == "completed"
    assert snapshot["run"]["end_url"] is None
    assert "evil" not in ann.get(run_id).text
    assert "alert(1)" not in ann.get(run_id).text


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"},
        {"Forwarded": "host=evil.example"},
        {"Referer": "https://evil.example/"},
        {"X-Original-URL": "/evil", "X-Rewrite-URL": "/evil"},
    ],
)
def test_redirects_stay_here(world: World, headers: dict[str, str]) -> None:
    ann = Visitor(world.usual, "ann")
    run_id = world.runs["ann", "ready"]
    host = {"Host": "localhost", **headers}
    cookie = ann.client.get_cookie("session")
    assert cookie is not None
    host["Cookie"] = f"session={cookie.value}"
    client = world.usual.test_client(use_cookies=False)
    query = {"next": "https://evil.example", "url": "//evil.example", "t": "https://evil.example"}
    answers = [
        client.get(f"/queue/run/{run_id}/tick", headers=host, query_string=query),
        client.post(
            f"/queue/run/{run_id}/start",
            data={"csrf_token": ann.token, "request_id": "r" * 32, "next": "//evil.example"},
            headers={**host, "Referer": "https://evil.example/"},
            query_string=query,
        ),
    ]
    for answer in answers:
        assert answer.status_code == 303
        assert answer.location.startswith(f"/queue/run/{run_id}")
    page = client.get(f"/queue/run/{run_id}", headers=host, query_string=query).text
    assert "evil" not in page
