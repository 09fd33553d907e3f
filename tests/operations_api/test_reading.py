"""Requests are read strictly, and every refusal is a problem."""

from __future__ import annotations

import json
from typing import Any

import flask_wtf
import pytest
from flask import Flask

from taskqueue.errors import ConfigurationError
from taskqueue.operations import Operations
from taskqueue.web import OperationsApi
from tests.operations_api.app import Client, create_app

JSON = "application/json"


@pytest.fixture
def url(tmp_path: Any) -> str:
    """What is read is the same whatever the database."""
    return f"sqlite:///{tmp_path}/reading.db"


@pytest.mark.parametrize(("body", "status"), [
    (b"", 400), (b"{", 400), (b"{}", 200), (b'{"data": 1}', 200), (b"\xef\xbb\xbf{}", 400), (b'{"data": NaN}', 400),
    (b'{"data": -Infinity}', 400), (b'{"data": 1e999}', 400), (b'{"data": 1, "data": 2}', 400),
    (b'{"data": {"a": {"b": 1, "b": 1}}}', 400), (b'{"data": "\xff"}', 400), (b'{"data": "\\ud800"}', 400),
    (b'{"data": "\\ud83d\\ude00"}', 200), (b"[" * 100_000, 400), (b'{"data": ' + b"[" * 900 + b"]" * 900 + b"}", 422),
    (b'{"data": ' + b"9" * 5000 + b"}", 400), (b"null", 422), (b"[]", 422), (b'"x"', 422), (b'{"dato": 1}', 422),
    (b'{"options": null}', 422), (b'{"options": []}', 422), (b"{} {}", 400), (b'{"data": 1}\x00', 400),
    (b"\xff\xfe{\x00}\x00", 400), (b'{"data": "' + b"x" * 1_048_600 + b'"}', 413), (b" {} \n", 200),
])  # fmt: skip
def test_bodies(alice: Client, body: bytes, status: int) -> None:
    answer = alice.send("POST", "/ops/echo", body=body, kind=JSON)
    assert answer.status_code == status, answer.text
    if status >= 400:
        _check_problem(answer, status)


@pytest.mark.parametrize("options", [
    {"defer": 1}, {"defer": None}, {"defer": "true"}, {"delay": -1}, {"delay": "60"}, {"delay": True}, {"delay": None},
    {"delay": 10**12}, {"expires": []}, {"expires": "soon"}, {"expires": -0.5}, {"release_time": "2030-01-01"},
    {"release_time": "2030-01-01T00:00:00"}, {"release_time": 5},
    {"release_time": "9999-12-31T23:59:60Z"}, {"release_time": "2030-01-01T00:60:00Z"},
    {"release_time": "2030-13-01T00:00:00Z"},
    {"release_time": "１030-01-01T00:00:00Z"}, {"delay": 1, "release_time": "2030-01-01T00:00:00Z"}, {"delya": 1},
    {"defer": False, "delay": 1}, {"defer": False, "expires": 1}, {"key": "x"}, {"expires": 1e300},
    {"delay": 10**400}, {"expires": 10**400},
], ids=lambda options: str(options)[:60])  # fmt: skip
def test_options_that_make_no_sense(alice: Client, ops: Operations, options: Any) -> None:
    answer = alice.post("/ops/echo", 1, options)
    _check_problem(answer, 422)
    assert ops.calls() == []


def test_a_mistyped_option_is_explained(alice: Client) -> None:
    answer = alice.post("/ops/echo", 1, {"delya": 1})
    assert answer.get_json()["detail"].startswith("options has no key 'delya' (did you mean 'delay'?)")


MOMENT = "a moment with a time zone as '2030-01-31T12:00:00Z'"


@pytest.mark.parametrize(("options", "said"), [
    ({"delay": -1}, "options.delay must be a number of seconds, 0 or more, not -1"),
    ({"release_time": 5}, f"options.release_time must be {MOMENT}, not 5"),
    ({"expires": -1}, f"options.expires must be a number of seconds, 0 or more, or {MOMENT}, not -1"),
    ({"expires": "soon"}, f"options.expires must be a number of seconds, 0 or more, or {MOMENT}, not 'soon'"),
])  # fmt: skip
def test_options_say_what_they_must_be(alice: Client, options: Any, said: str) -> None:
    answer = alice.post("/ops/echo", 1, options)
    assert (answer.status_code, answer.get_json()["detail"]) == (422, said)


@pytest.mark.parametrize(("text", "moment"), [
    ("2100-01-31T12:00:00Z", "2100-01-31T12:00:00Z"), ("2100-01-31t12:00:00.5z", "2100-01-31T12:00:00.500000Z"),
    ("2099-12-31T23:59:60Z", "2100-01-01T00:00:00Z"),
    ("2100-01-31 14:00:00.123456789+02:00", "2100-01-31T12:00:00.123000Z"),
])  # fmt: skip
def test_moments(alice: Client, text: str, moment: str) -> None:
    assert alice.post("/ops/echo", 1, {"release_time": text}).get_json()["due"] == moment


@pytest.mark.parametrize("kind", [
    None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json",
    "application/json-patch+json", "application/json; charset=utf-16", "application/jsonx", "/",
])  # fmt: skip
@pytest.mark.parametrize("path", ["/ops/echo", "/ops/runs/" + "0" * 32 + "/retry"])
def test_only_json_is_taken(alice: Client, path: str, kind: str | None) -> None:
    answer = alice.send("POST", path, body=b"{}", kind=kind)
    _check_problem(answer, 415)


@pytest.mark.parametrize("kind", ["application/json; charset=UTF-8", "Application/JSON", "application/json;x=1"])
def test_json_has_several_names(alice: Client, kind: str) -> None:
    assert alice.send("POST", "/ops/echo", body=b"{}", kind=kind).status_code == 200


def test_nothing_compressed_is_taken(alice: Client) -> None:
    _check_problem(alice.send("POST", "/ops/echo", body=b"{}", kind=JSON, Content_Encoding="gzip"), 415)


FOREIGN = [
    {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}, {"Origin": "https://evil.example"},
    {"Origin": "null"}, {"Origin": "http://localhost:81"},
]  # fmt: skip
OWN = [{}, {"Sec_Fetch_Site": "same-origin"}, {"Origin": "http://localhost"}]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_pages_of_others_change_nothing(alice: Client, ops: Operations, headers: dict[str, str]) -> None:
    location = alice.defer("echo", 1)
    for answer in (
        alice.post("/ops/echo", 1, {"defer": True}, **headers), alice.delete(location, **headers),
        alice.retry(location, **headers), alice.send("POST", f"{location}/retry", **headers),
    ):  # fmt: skip
        _check_problem(answer, 403)
        assert answer.get_json()["code"] == "foreign_origin"
    assert [call.state for call in ops.calls()] == ["queued"]
    ops.drain()
    if "Sec_Fetch_Site" in headers:
        _check_problem(alice.get(f"{location}/result?consume=1", **headers), 403)
        assert alice.get(f"{location}/result", **headers).status_code == 200


@pytest.mark.parametrize("headers", OWN, ids=str)
def test_pages_of_ours_and_programs_may(alice: Client, headers: dict[str, str]) -> None:
    assert alice.post("/ops/echo", 1, **headers).status_code == 200
    location = alice.defer("echo", 1)
    # Without content there need be no type, where a page of others could not have sent it.
    assert alice.send("POST", f"{location}/retry", **headers).status_code == (409 if headers else 415)
    assert alice.delete(location, **headers).status_code == 200


def test_a_body_where_none_is_read_must_be_empty(alice: Client) -> None:
    location = alice.defer("echo", 1)
    assert alice.send("DELETE", location, json={"force": True}).status_code == 422
    assert alice.send("DELETE", location, body=b"{", kind=JSON).status_code == 400
    assert alice.send("DELETE", location, body=b"a=b", kind="application/x-www-form-urlencoded").status_code == 415
    assert alice.send("DELETE", location, json={}).status_code == 200


@pytest.mark.parametrize("path", [
    "/ops?queueable=yes", "/ops?queuable=1", "/ops?queueable=1&queueable=0", "/ops/runs?limit=0", "/ops/runs?limit=201",
    "/ops/runs?limit=x", "/ops/runs?limit=1.5", "/ops/runs?limit=%D9%A3", "/ops/runs?state=quened",
    "/ops/runs?stat=dead",
    "/ops/runs/{id}?wait=61", "/ops/runs/{id}?wait=-1", "/ops/runs/{id}?wait=nan", "/ops/runs/{id}?wait=",
    "/ops/runs/{id}?wait=1_0", "/ops/runs/{id}/result?consume=2", "/ops/runs/{id}/result?consumed=1",
])  # fmt: skip
def test_parameters_that_make_no_sense(alice: Client, path: str) -> None:
    path = path.format(id=alice.defer("echo").rpartition("/")[2])
    _check_problem(alice.get(path), 422)


@pytest.mark.parametrize(("method", "path", "status", "allowed"), [
    ("GET", "/ops/echo", 405, {"POST", "OPTIONS"}),
    ("PUT", "/ops/echo", 405, {"POST", "OPTIONS"}),
    ("POST", "/ops", 405, {"GET", "HEAD", "OPTIONS"}),
    ("POST", "/ops/runs", 405, {"GET", "HEAD", "OPTIONS"}),
    ("POST", "/ops/docs", 405, {"GET", "HEAD", "OPTIONS"}),
    ("POST", "/ops/openapi.json", 405, {"GET", "HEAD", "OPTIONS"}),
    ("PATCH", "/ops/runs/x", 405, {"GET", "HEAD", "OPTIONS", "DELETE"}),
    ("GET", "/ops/runs/x/retry", 405, {"POST", "OPTIONS"}),
    ("GET", "/ops/a/b", 404, None),
    ("GET", "/ops/", 404, None),
    ("GET", "/ops/static/nothing.css", 404, None),
    ("POST", "/ops/nothing", 404, None),
])  # fmt: skip
@pytest.mark.parametrize("has_own_pages", [False, True])
def test_what_flask_refuses_is_a_problem_too(
    app: Flask, method: str, path: str, status: int, allowed: set[str] | None, has_own_pages: bool
) -> None:
    if has_own_pages:
        app.register_error_handler(404, lambda error: ("<h1>Lost?</h1>", 404))
        app.register_error_handler(405, lambda error: ("<h1>No</h1>", 405))
    answer = Client(app).send(method, path, json={})
    _check_problem(answer, status)
    if allowed is not None:
        assert set(answer.headers["Allow"].split(", ")) == allowed
    elsewhere = Client(app).get("/opsx/nothing")
    assert (elsewhere.status_code, elsewhere.content_type.partition(";")[0]) == (404, "text/html")


@pytest.mark.parametrize("path", ["/ops", "/ops/runs", "/ops/openapi.json", "/ops/runs/{id}"])
def test_who_takes_no_json_gets_none(alice: Client, path: str) -> None:
    path = path.format(id=alice.defer("echo").rpartition("/")[2])
    for accept in ("*/*", "text/html, */*;q=0.1", "application/*"):
        assert alice.get(path, Accept=accept).status_code == 200
    for accept in ("text/html", "application/json;q=0"):
        assert alice.get(path, Accept=accept).status_code == 406
    _check_problem(alice.get(path, Accept="image/png"), 406)


def test_no_answer_sets_a_cookie_or_may_be_kept(app: Flask) -> None:
    @app.before_request
    def remember() -> None:
        from flask import session

        session["seen"] = session.permanent = True

    alice = Client(app)
    for answer in (alice.get("/ops"), alice.post("/ops/echo", 1), alice.get("/ops/nothing/x"), alice.get("/ops/docs")):
        assert "Set-Cookie" not in answer.headers
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("first", [True, False])
def test_beside_flask_wtf_programs_need_no_token(service: Any, first: bool) -> None:
    app = Flask("wtf")
    app.secret_key = "only for tests"
    ops = Operations(service)
    ops.operation("echo")(lambda ctx, data: data)
    app.add_url_rule("/form", view_func=lambda: "done", methods=["POST"])
    if first:
        flask_wtf.CSRFProtect(app)
    OperationsApi(app, ops, identity=lambda: "alice")
    if not first:
        flask_wtf.CSRFProtect(app)
    client = app.test_client()
    assert client.post("/ops/echo", json={}).status_code == 200
    assert client.post("/ops/echo", json={}, headers={"Origin": "https://evil.example"}).status_code == 403
    assert client.post("/form", data={}).status_code == 400  # all else is protected as before


def test_a_mistake_of_the_application_is_answered_and_logged(service: Any, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> str:
        raise RuntimeError("secret")

    answer = Client(create_app(service, identity=broken)).get("/ops")
    _check_problem(answer, 500)
    assert "secret" not in answer.text
    assert "RuntimeError: secret" in caplog.text


@pytest.mark.parametrize("options", [
    {"name": "a b"}, {"url_prefix": ""}, {"url_prefix": "ops"}, {"url_prefix": "/"}, {"max_bytes": 0},
    {"max_wait": 61}, {"max_wait": "1"}, {"max_bytes": True},
], ids=str)  # fmt: skip
def test_arguments_that_make_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        OperationsApi(**options)


def test_an_application_needs_operations_and_each_name_once(app: Flask, ops: Operations) -> None:
    with pytest.raises(ConfigurationError, match="takes an Operations"):
        OperationsApi(Flask("empty"))
    with pytest.raises(ConfigurationError, match="already"):
        OperationsApi(app, ops)
    OperationsApi(None, ops, name="more", url_prefix="/v2/ops", identity=lambda: "alice").init_app(app)
    answer = Client(app, None).post("/v2/ops/echo", 1, {"defer": True})
    assert (answer.status_code, answer.location.startswith("/v2/ops/runs/")) == (202, True)


def _check_problem(answer: Any, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/problem+json"
    told = json.loads(answer.text)
    assert (told["type"], told["status"]) == ("about:blank", status)
    assert told["title"]
    assert told["detail"]
    assert "\n" not in told["detail"]
    assert len(told["detail"]) < 400


def test_a_body_that_breaks_off_while_it_is_read_is_refused(alice: Client) -> None:
    """As gunicorn raises it, for one that is sent in pieces of which one is none."""

    class Broken:
        def read(self, *_: int) -> bytes:
            raise ValueError("an invalid chunk")

    answer = alice.client.post("/ops/echo", content_type=JSON, headers={"Authorization": "Bearer alice"},
                               environ_overrides={"wsgi.input": Broken(), "wsgi.input_terminated": True,
                                                  "HTTP_TRANSFER_ENCODING": "chunked"})  # fmt: skip
    assert (answer.status_code, answer.get_json()["code"]) == (400, "bad_json")
