"""Posts come from pages of ours; asking for a page changes nothing; only pages that humans open set a cookie."""

# ruff: noqa: E501 (lists of texts)
from __future__ import annotations

from typing import Any

import pytest

from tests.web_api.dashboard.stage import BASE, HIDDEN, LISTS, SEEN, Stage, Visitor

POSTS = ("act", "bulk", "steer", "options")
both = pytest.mark.parametrize("wtf", [False, True], ids=["own", "flask-wtf"])
FOREIGN = [
    {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://localhost.evil.example"},
    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "none"},
]  # fmt: skip


def sent(stage: Stage, post: str) -> tuple[str, dict[str, Any]]:
    """A post that would do something."""
    return {
        "act": ("/act", {"what": "items", "verb": "skip", "items": [stage.chosen(SEEN, "waiting")], "confirmed": "1"}),
        "bulk": (
            "/bulk",
            {
                "what": "items",
                "verb": "skip",
                "bound": "99",
                "moment": "9999999999999",
                "number": "3",
                "key": "ab" * 16,
            },
        ),
        "steer": (f"/queues/{SEEN}/steer", {"verb": "pause"}),
        "options": (f"/queues/{SEEN}/options", {"lease_time": "77"}),
    }[post]


@both
@pytest.mark.parametrize("post", POSTS)
def test_every_post_needs_the_token_of_its_session(stage: Stage, post: str, wtf: bool) -> None:
    visitor = stage.visitor(wtf=wtf)
    other = Visitor(visitor.app, "bob")
    path, fields = sent(stage, post)
    before = stage.content()
    for token in ("", "x", visitor.token[:-1], other.token, "é".encode().decode("latin-1")):
        answer = visitor.post(path, fields, **{"X-CSRFToken": token})
        assert (answer.status_code, answer.get_json()["error"]["code"]) == (403, "csrf")
        answer = visitor.submit(path, {**fields, "csrf_token": token})
        assert (answer.status_code, answer.mimetype) == (403, "text/html")
    answer = visitor.client.post(BASE + path, data=fields)
    assert answer.status_code == 403
    answer = visitor.client.post(
        f"{BASE}{path}?csrf_token={visitor.token}", json={**fields, "csrf_token": visitor.token}
    )
    assert answer.status_code == 403
    assert stage.content() == before
    assert visitor.post(path, fields).status_code == 200
    assert stage.content() != before


@both
@pytest.mark.parametrize("post", POSTS)
def test_the_form_of_a_page_of_ours_is_let_in(stage: Stage, post: str, wtf: bool) -> None:
    visitor = stage.visitor(wtf=wtf)
    path, fields = sent(stage, post)
    before = stage.content()
    own = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    answer = visitor.submit(path, fields, **own)
    assert answer.status_code == 303
    assert stage.content() != before


@both
@pytest.mark.parametrize("post", POSTS)
def test_another_site_is_refused_although_it_has_the_token(stage: Stage, post: str, wtf: bool) -> None:
    visitor = stage.visitor(wtf=wtf)
    path, fields = sent(stage, post)
    before = stage.content()
    for headers in FOREIGN:
        assert visitor.post(path, fields, **headers).status_code == 403
        assert visitor.submit(path, fields, **headers).status_code == 403
    assert stage.content() == before


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_nothing_is_done_but_by_posts(stage: Stage, method: str) -> None:
    visitor = stage.visitor()
    before = stage.content()
    for post in POSTS:
        path, fields = sent(stage, post)
        headers = {"X-CSRFToken": visitor.token}
        assert visitor.client.open(BASE + path, method=method, json=fields, headers=headers).status_code == 404
        assert visitor.client.open(BASE + path, method=method, query_string=fields, headers=headers).status_code == 404
    assert stage.content() == before


def pages(stage: Stage) -> list[str]:
    """Every page with something on it."""
    return [
        "", "?from=1", *(f"/{name}" for name in LISTS), "/items?text=sesame", "/dead?text=sesame", "/history?state=failed",
        *(f"/queues/{name}" for name in (SEEN, HIDDEN, "outbox", "operations")),
        *(f"/queues/{name}/items/{item_id}" for name in (SEEN, HIDDEN) for item_id, _ in stage.items[name].values()),
        *(f"/confirm?what=items&verb={verb}" for verb in ("retry", "skip", "delete")),
        *(f"/confirm?what=dead&verb={verb}&text=s" for verb in ("revive", "delete")),
        "/items?done=skip&n=3&of=4", "/nonsense", "/queues/nowhere", "/items?after=x", "/items?nope=1",
    ]  # fmt: skip


def test_no_page_changes_anything(stage: Stage) -> None:
    visitor = stage.visitor()
    visitor.get("")
    before = stage.content()
    for path in pages(stage):
        for headers in ({}, {"Accept": "application/json"}, {"X-Taskqueue-Live": "1"}):
            for method in ("GET", "HEAD"):
                answer = visitor.client.open(BASE + path, method=method, headers=headers)
                assert answer.status_code in (200, 400, 404)
                assert stage.content() == before, (path, headers)


def test_only_pages_that_humans_open_set_a_cookie(stage: Stage) -> None:
    visitor = stage.visitor()  # whose session is permanent: Flask would send it again with each answer
    told = 0
    for path in pages(stage):
        if path in ("/items?after=x", "/items?nope=1"):
            continue
        for headers in ({"X-Taskqueue-Live": "1"}, {"Accept": "application/json"}, {"X-Taskqueue-Live": ""}):
            answer = visitor.get(path, headers=headers)
            assert "Set-Cookie" not in answer.headers, (path, headers)
        assert "Set-Cookie" not in visitor.get(f"{path}{'&' if '?' in path else '?'}format=json").headers
        told += "Set-Cookie" in visitor.get(path).headers
    assert told > 10, "else this could not fail"
    for post in POSTS:
        path, fields = sent(stage, post)
        assert "Set-Cookie" not in visitor.post(path, fields).headers
        assert "Set-Cookie" not in visitor.submit(path, fields).headers


def test_answers_are_kept_by_nobody_and_protected(stage: Stage) -> None:
    visitor = stage.visitor()
    for path in pages(stage):
        headers = visitor.get(path).headers
        assert headers["Cache-Control"] == "no-store"
        assert "script-src 'self'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_browser_without_a_name_sees_the_run_of_its_order(stage: Stage) -> None:
    """The application lets anybody in its network in, and knows no users."""
    visitor = stage.visitor(name=None)
    visitor.get("/items")
    _path, fields = sent(stage, "bulk")
    answer = visitor.submit("/bulk", fields)
    assert answer.status_code == 303
    assert visitor.client.get(answer.headers["Location"]).status_code == 200
