"""A stranger learns nothing: every address, there or not, gives him the same answer, however he asks."""

# ruff: noqa: E501 (lists of texts)
from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from tests.web_api.app import headers_of
from tests.web_api.dashboard.stage import BASE, HIDDEN, LISTS, SECRETS, SEEN, Hook, Stage, Visitor

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
INVENTED = ("BREW", "PROPFIND", "get")
NONSENSE = (
    "", "/", "/x", "/items/", "/queues", "/queues/", f"/queues/{SEEN}/", f"/queues/{SEEN}/items", "/act/x", "/%00",
    "/..%2f..", "/é", "/favicon.ico", "/queues/x/items/1e9", f"/queues/{SEEN}/items/-1", "/queues/x/y/z", "/index.html", "/a%0ab", "/queues/a%0ab", "/queues/a%0ab/steer", "/a%0a", "/%0d%0aX: y",
)  # fmt: skip
#: Names and ids that are there, and that are not.
VALUES = ({"name": SEEN, "item_id": 20}, {"name": HIDDEN, "item_id": 8}, {"name": "nowhere", "item_id": 10**30})


def raises(_action: str, _queue: str | None) -> bool:
    raise RuntimeError("the hook is broken")


#: Whatever is not True is no permission.
NOBODY: dict[str, Hook | None] = {
    "no hook": None,
    "raises": raises,
    **{f"says {answer!r}": (lambda _action, _queue, answer=answer: answer)
       for answer in (None, False, 0, 1, "yes", "True", [True])},
    "queues but not the dashboard": lambda _action, queue: queue is not None,
}  # fmt: skip


def paths(app: Flask) -> Iterator[str]:
    """Every address of the dashboard, and nonsense below it."""
    rules = [rule for rule in app.url_map.iter_rules() if rule.rule.startswith(BASE) and "nothing" not in rule.endpoint]
    assert len(rules) >= 18
    for rule in rules:
        for values in VALUES if rule.arguments else VALUES[:1]:
            path = rule.rule
            for name, value in values.items():
                path = re.sub(rf"<(\w+:)?{name}>", str(value), path)
            assert "<" not in path
            yield path
    for rest in NONSENSE:
        yield BASE + rest


def told(answer: TestResponse) -> Any:
    """All that an answer says."""
    return answer.status_code, answer.get_data(), headers_of(answer)


def asked(visitor: Visitor, method: str, path: str, *, accept: str = "text/html", **more: Any) -> TestResponse:
    return visitor.client.open(path, method=method, **{"headers": {"Accept": accept}, **more})


@pytest.mark.parametrize(
    ("who", "read_only"), [*((who, False) for who in NOBODY), ("no hook", True), ("says None", True)]
)
def test_every_address_answers_as_one_that_is_not_there(stage: Stage, who: str, read_only: bool) -> None:
    visitor = stage.visitor(NOBODY[who], TASKQUEUE_READ_ONLY=read_only, TASKQUEUE_LOGIN_URL="/login")
    before = stage.content()
    for method in (*METHODS, *INVENTED):
        for accept in ("text/html", "application/json"):
            expected = told(asked(visitor, method, f"{BASE}/nonsense", accept=accept))
            assert expected[0] == 404
            for path in paths(visitor.app):
                assert told(asked(visitor, method, path, accept=accept)) == expected, (method, path)
    assert stage.content() == before


@pytest.mark.parametrize("name", ["ann", None], ids=["signed in", "anonymous"])
@pytest.mark.parametrize("wtf", [False, True], ids=["own", "flask-wtf"])
def test_posts_with_and_without_a_token_answer_the_same_everywhere(stage: Stage, wtf: bool, name: str | None) -> None:
    visitor = stage.visitor(None, name, wtf=wtf)
    before = stage.content()
    fields = {"what": "items", "verb": "delete", "items": [stage.chosen(SEEN, "waiting")], "confirmed": "1"}
    tokens: list[dict[str, str]] = [
        {}, {"X-CSRFToken": visitor.token}, {"X-CSRFToken": "wrong"}, {"Origin": "https://evil.example"},
    ]  # fmt: skip
    bodies: list[dict[str, Any]] = [
        {"json": fields}, {"data": fields}, {"data": b"x" * 20_000},
        {"data": b"{", "content_type": "application/json"},
    ]  # fmt: skip
    for headers, body, method in product(tokens, bodies, ("POST", "PUT", "DELETE")):
        expected = told(visitor.client.open(f"{BASE}/nonsense", method=method, headers=headers, **body))
        assert expected[0] in ((403, 404) if wtf else (404,))
        for path in paths(visitor.app):
            answer = told(visitor.client.open(path, method=method, headers=headers, **body))
            assert answer == expected, (method, path, headers)
    assert stage.content() == before


def test_the_script_and_its_headers_learn_nothing_either(stage: Stage) -> None:
    visitor = stage.visitor(None)
    for headers in (
        {"X-Taskqueue-Live": "1"}, {"X-Requested-With": "XMLHttpRequest"}, {"Range": "bytes=0-1"},
        {"If-None-Match": "*"}, {"X-HTTP-Method-Override": "POST"}, {"Accept-Language": "de"}, {"Accept": "*/*"},
    ):  # fmt: skip
        for query in ("", "?format=json&after=1", "?queue=x&state=y"):
            expected = told(visitor.client.get(f"{BASE}/nonsense{query}", headers=headers))
            for path in paths(visitor.app):
                assert told(visitor.client.get(path + query, headers=headers)) == expected


def test_an_address_with_two_slashes_is_corrected_whether_or_not_it_is_there(stage: Stage) -> None:
    visitor = stage.visitor(None)
    for path in ("/items", "/nonsense", f"/queues/{SEEN}", "/queues/nowhere", "/act"):
        answer = visitor.client.get(f"{BASE}/{path}")
        assert (answer.status_code, answer.headers["Location"]) == (308, f"http://localhost{BASE}{path}")


def test_a_permanent_session_is_renewed_everywhere_or_nowhere(stage: Stage) -> None:
    visitor = stage.visitor(None)

    def cookies(path: str, method: str) -> bool:
        return "Set-Cookie" in visitor.client.open(path, method=method).headers

    for method in METHODS:
        expected = cookies(f"{BASE}/nonsense", method)
        assert not expected or method == "GET"
        assert {cookies(path, method) for path in paths(visitor.app)} == {expected}


def test_what_is_logged_of_a_broken_hook_is_not_answered(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    visitor = stage.visitor(raises)
    answer = visitor.get("/items")
    assert (answer.status_code, "broken" in answer.text) == (404, False)
    assert "counts as a denial" in caplog.text


def test_somebody_who_may_look_but_sees_no_queue_reads_of_none(stage: Stage) -> None:
    visitor = stage.visitor(lambda _action, queue: queue is None)
    for path in ("", *(f"/{name}" for name in LISTS if name != "charts")):
        for accept in ("text/html", "application/json"):
            answer = visitor.get(path, headers={"Accept": accept})
            assert answer.status_code == 200
            assert not [word for word in (*SECRETS, SEEN, "opensesame", "sharedhost") if word in answer.text]
    assert visitor.get("/charts").status_code == 404
