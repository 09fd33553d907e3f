"""Refusals, quiet answers, identity, tokens, end addresses and redaction, in real Flask applications."""

from __future__ import annotations

import sys
import time
from typing import Any

import flask_login
import pytest
from flask import Blueprint, Flask, Response, g, jsonify, request, send_from_directory, session
from flask.testing import FlaskClient
from flask_wtf import CSRFProtect
from itsdangerous import URLSafeTimedSerializer
from werkzeug.middleware.proxy_fix import ProxyFix

from taskqueue.errors import ConfigurationError
from taskqueue.redact import HIDDEN, redact, redact_call
from taskqueue.web import csrf, identity
from taskqueue.web.answers import POLICY, POLICY_IN_FOREIGN_FRAME, QuietResponse, Refusal, protect, quiet, wants_json
from taskqueue.web.end_url import check_end_url

SECRET = "only for tests"
both = pytest.mark.parametrize("wtf", [False, True], ids=["own", "flask-wtf"])


class User(flask_login.UserMixin):
    def __init__(self, name: str) -> None:
        self.id = name


def make_app(*, wtf: bool = False, login: bool = False, hook: Any = None, **config: Any) -> Flask:
    """An application with the routes that the tests below need."""
    app = Flask(__name__)
    app.secret_key = SECRET
    app.config.update(config)
    blueprint = Blueprint("q", __name__, url_prefix="/q")
    blueprint.after_request(protect)

    @blueprint.errorhandler(Refusal)
    def _refused(refusal: Refusal) -> tuple[Response, int, dict[str, str]]:
        return jsonify(refusal.as_json()), refusal.status, refusal.headers()

    @blueprint.errorhandler(400)
    def _bad_request(error: Exception) -> Any:
        if refusal := csrf.refusal_by_host(error):
            return _refused(refusal)
        return error

    @blueprint.get("/who")
    def who() -> Any:
        seen = identity.visitor(hook)
        return jsonify(seen=seen, modified=session.modified)

    @blueprint.post("/new")
    def new() -> Any:
        return jsonify(seen=identity.visitor_or_new(hook))

    @blueprint.get("/token")
    def token() -> Any:
        return jsonify(token=csrf.token(), field=csrf.field_name())

    @blueprint.post("/act")
    def act() -> Any:
        csrf.check(request)
        g.acted = True
        return QuietResponse("acted")

    @blueprint.get("/quiet")
    def sets_cookies() -> Any:
        session["seen"] = True
        answer = QuietResponse("quiet")
        answer.set_cookie("own", "1")
        answer.delete_cookie("other")
        return answer

    @blueprint.get("/static/<name>", endpoint="static")
    def static(name: str) -> Any:
        return quiet(send_from_directory(str(app.config["FOLDER"]), name, max_age=31_536_000))

    @blueprint.get("/loud")
    def loud() -> str:
        session["seen"] = True
        return "loud"

    app.register_blueprint(blueprint)

    @app.post("/sign-in/<name>")
    def sign_in(name: str) -> str:
        flask_login.login_user(User(name))
        return "in"

    @app.post("/sign-out")
    def sign_out() -> str:
        flask_login.logout_user()
        return "out"

    @app.get("/permanent")
    def permanent() -> str:
        session.permanent = True
        session["a"] = 1
        return "permanent"

    if login:
        flask_login.LoginManager(app).user_loader(User)
    if wtf:
        CSRFProtect(app).exempt(f"{__name__}.sign_in")
    return app


def seen(client: FlaskClient, **headers: str) -> Any:
    return client.get("/q/who", headers=headers).get_json()["seen"]


def token_of(client: FlaskClient, **options: Any) -> str:
    return str(client.get("/q/token", **options).get_json()["token"])


# --- identity ------------------------------------------------------------------------------------


def test_a_browser_is_known_by_its_session() -> None:
    client, other = make_app().test_client(), make_app().test_client()
    assert seen(client) is None
    mine = client.post("/q/new").get_json()["seen"]
    assert mine.startswith("session:")
    assert len(mine) == len("session:") + 32
    assert seen(client) == mine
    assert client.post("/q/new").get_json()["seen"] == mine
    assert seen(other) is None
    assert other.post("/q/new").get_json()["seen"] != mine


def test_reading_writes_nothing_into_the_session() -> None:
    client = make_app().test_client()
    for _ in range(2):
        answer = client.get("/q/who")
        assert answer.get_json()["modified"] is False
        assert "Set-Cookie" not in answer.headers
        client.post("/q/new")


def test_a_hook_names_the_user() -> None:
    client = make_app(hook=lambda: request.headers.get("X-User")).test_client()
    assert seen(client) is None
    assert seen(client, **{"X-User": "ann"}) == "user:ann"
    assert client.post("/q/new", headers={"X-User": "ann"}).get_json()["seen"] == "user:ann"
    assert client.get_cookie("session") is None
    assert client.post("/q/new").get_json()["seen"].startswith("session:")


def test_a_user_cannot_choose_the_name_of_a_browser() -> None:
    app = make_app(hook=lambda: request.headers.get("X-User"))
    victim = app.test_client()
    name = victim.post("/q/new").get_json()["seen"]
    assert seen(app.test_client(), **{"X-User": name}) != name
    assert seen(app.test_client(), **{"X-User": name.removeprefix("session:")}) != name


@pytest.mark.parametrize("answer", ["", True, False, 1.5, ["ann"], object()])
def test_a_hook_that_answers_nonsense_is_told_so(answer: Any) -> None:
    app = make_app(hook=lambda: answer)
    with app.test_request_context(), pytest.raises(ConfigurationError, match="identity hook must return"):
        identity.visitor(lambda: answer)


@pytest.mark.parametrize("name", ["a" * 151, "a\x00b", "a\ud800", "a\n", "\u202ea"])
def test_an_odd_id_is_kept_as_its_hash(name: str) -> None:
    app = make_app()
    with app.test_request_context():
        odd, other = identity.visitor(lambda: name), identity.visitor(lambda: name + "a")
        assert odd is not None
        assert odd.startswith("user-hash:")
        assert len(odd) < 191
        assert odd != other
        # Nobody gets there by choosing the hash as a name.
        assert identity.visitor(lambda: str(odd).partition(":")[2]) != odd
        assert identity.visitor(lambda: "a" * 150) == "user:" + "a" * 150


def test_a_number_is_an_id() -> None:
    assert seen(make_app(hook=lambda: 0).test_client()) == "user:0"


def test_flask_login_names_the_user() -> None:
    client = make_app(login=True).test_client()
    before = client.post("/q/new").get_json()["seen"]
    client.post("/sign-in/ann")
    assert seen(client) == "user:ann"
    client.post("/sign-out")
    assert seen(client) == before


def test_a_guest_of_flask_login_is_nobody() -> None:
    class Guest(flask_login.AnonymousUserMixin):  # type: ignore[misc]
        def get_id(self) -> str:
            return "guest"

    app = make_app(login=True)
    app.login_manager.anonymous_user = Guest  # type: ignore[attr-defined]
    assert seen(app.test_client()) is None


def test_a_hook_overrules_flask_login() -> None:
    client = make_app(login=True, hook=lambda: None).test_client()
    client.post("/sign-in/ann")
    assert seen(client) is None


def test_flask_login_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app()
    app.login_manager = object()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "flask_login", None)
    assert seen(app.test_client()) is None


@both
def test_without_a_secret_key_the_error_tells_what_to_do(wtf: bool) -> None:
    app = make_app(wtf=wtf)
    app.secret_key = None
    with app.test_request_context():
        assert identity.visitor(None) is None
        for call in (lambda: identity.visitor_or_new(None), lambda: identity.visitor_or_new(lambda: "ann"), csrf.token):
            with pytest.raises(ConfigurationError, match=r"set app\.secret_key"):
                call()
    with app.test_request_context(method="POST", headers={"X-CSRFToken": "x"}), pytest.raises(Refusal):
        csrf.check(request)


def test_a_forged_session_is_nobodys() -> None:
    app, forger = make_app(), make_app()
    forger.secret_key = "another"
    client = forger.test_client()
    client.post("/q/new")
    cookie = client.get_cookie("session")
    assert cookie is not None
    victim = app.test_client()
    victim.set_cookie("session", cookie.value)
    assert seen(victim) is None


# --- tokens --------------------------------------------------------------------------------------


@both
def test_a_token_of_this_session_is_accepted(wtf: bool) -> None:
    client = make_app(wtf=wtf).test_client()
    token = token_of(client)
    for _ in range(2):
        assert client.post("/q/act", headers={"X-CSRFToken": token}, json={}).text == "acted"
        assert client.post("/q/act", data={"csrf_token": token}).text == "acted"
        token = token_of(client)


@both
@pytest.mark.parametrize("token", [None, "", "x", "é", "a.b.c", "None", "0" * 5000])
def test_no_token_or_a_wrong_one_is_refused(wtf: bool, token: str | None) -> None:
    client = make_app(wtf=wtf).test_client()
    token_of(client)
    headers = {} if token is None else {"X-CSRFToken": token.encode().decode("latin-1")}
    refused(client.post("/q/act", headers=headers, json={}))
    refused(client.post("/q/act", data={} if token is None else {"csrf_token": token}))


@both
def test_a_token_of_another_session_is_refused(wtf: bool) -> None:
    app = make_app(wtf=wtf)
    mallory, victim, new = app.test_client(), app.test_client(), app.test_client()
    token = token_of(mallory)
    token_of(victim)
    refused(victim.post("/q/act", headers={"X-CSRFToken": token}, json={}))
    refused(victim.post("/q/act", data={"csrf_token": token}))
    refused(new.post("/q/act", headers={"X-CSRFToken": token}, json={}))


@both
def test_a_token_of_another_application_is_refused(wtf: bool) -> None:
    """The same session, copied: but signed with another key, or for another purpose."""
    app = make_app(wtf=wtf)
    client = app.test_client()
    token_of(client)
    with client.session_transaction() as kept:
        nonce = kept["csrf_token" if wtf else csrf.SESSION_KEY]
    for key, salt in ((SECRET, "other"), ("other", "wtf-csrf-token" if wtf else "taskqueue.web.csrf")):
        forged = URLSafeTimedSerializer(key, salt=salt).dumps(nonce)
        refused(client.post("/q/act", headers={"X-CSRFToken": str(forged)}, json={}))


@both
def test_an_old_token_is_refused_and_a_fresh_one_helps(wtf: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    client = make_app(wtf=wtf).test_client()
    token = token_of(client)
    later = time.time() + csrf.LIFETIME + 60
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: later)
    refused(client.post("/q/act", headers={"X-CSRFToken": token}, json={}))
    fresh = token_of(client)
    assert fresh != token
    assert client.post("/q/act", headers={"X-CSRFToken": fresh}, json={}).text == "acted"


def test_a_token_outlives_the_change_of_the_key() -> None:
    app = make_app()
    client = app.test_client()
    token = token_of(client)
    app.secret_key, app.config["SECRET_KEY_FALLBACKS"] = "new", [SECRET]
    assert client.post("/q/act", headers={"X-CSRFToken": token}, json={}).text == "acted"
    app.config["SECRET_KEY_FALLBACKS"] = None
    refused(client.post("/q/act", headers={"X-CSRFToken": token}, json={}))


def test_a_token_does_not_change_the_session_again() -> None:
    client = make_app().test_client()
    assert "Set-Cookie" in client.get("/q/token").headers
    assert "Set-Cookie" not in client.get("/q/token").headers


def test_flask_wtf_may_call_its_field_otherwise() -> None:
    client = make_app(wtf=True, WTF_CSRF_FIELD_NAME="crumb").test_client()
    answer = client.get("/q/token").get_json()
    assert answer["field"] == "crumb"
    assert client.post("/q/act", data={"crumb": answer["token"]}).text == "acted"
    refused(client.post("/q/act", data={"csrf_token": "x"}))


@pytest.mark.parametrize("switch", ["WTF_CSRF_ENABLED", "WTF_CSRF_CHECK_DEFAULT"])
def test_our_check_stays_when_that_of_flask_wtf_is_switched_off(switch: str) -> None:
    client = make_app(wtf=True, **{switch: False}).test_client()
    token = token_of(client)
    refused(client.post("/q/act", json={}))
    refused(client.post("/q/act", headers={"X-CSRFToken": token[:-1]}, json={}))
    assert client.post("/q/act", headers={"X-CSRFToken": token}, json={}).text == "acted"


def test_flask_wtf_that_is_installed_but_not_initialised_is_not_asked() -> None:
    client = make_app().test_client()
    token_of(client)
    with client.session_transaction() as kept:
        assert csrf.SESSION_KEY in kept
        assert "csrf_token" not in kept


OWN = "http://localhost"
ORIGINS: list[tuple[dict[str, str], bool]] = [
    ({}, True),
    ({"Origin": OWN}, True),
    ({"Origin": "http://localhost:80"}, True),
    ({"Origin": "https://localhost"}, True),  # a proxy unpacks https
    ({"Origin": "https://localhost:80"}, False),
    ({"Origin": "http://localhost:8080"}, False),
    ({"Origin": "http://evil.example"}, False),
    ({"Origin": "http://localhost.evil.example"}, False),
    ({"Origin": "http://evil-localhost"}, False),
    ({"Origin": "http://evil@localhost:81"}, False),
    ({"Origin": "null"}, False),
    ({"Origin": ""}, False),
    ({"Origin": "localhost"}, False),
    ({"Origin": "ftp://localhost"}, False),
    ({"Origin": "http://localhost:99999"}, False),
    ({"Origin": "http://[localhost"}, False),
    ({"Sec-Fetch-Site": "same-origin"}, True),
    ({"Sec-Fetch-Site": "same-origin", "Origin": OWN}, True),
    ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, False),
    ({"Sec-Fetch-Site": "same-site", "Origin": OWN}, False),
    ({"Sec-Fetch-Site": "cross-site", "Origin": OWN}, False),
    ({"Sec-Fetch-Site": "none"}, False),
    ({"Sec-Fetch-Site": ""}, False),
]


@both
@pytest.mark.parametrize(("headers", "accepted"), ORIGINS)
def test_another_site_is_refused_even_with_the_token(wtf: bool, headers: dict[str, str], accepted: bool) -> None:
    client = make_app(wtf=wtf).test_client()
    answer = client.post("/q/act", headers={"X-CSRFToken": token_of(client), **headers}, json={})
    if accepted:
        assert answer.text == "acted"
    else:
        refused(answer)


@pytest.mark.parametrize(
    ("origin", "accepted"),
    [
        ("https://shop.example", True),
        ("http://shop.example", False),
        ("http://shop.example:443", False),
        ("https://localhost", False),
        ("https://shop.example:8443", False),
    ],
)
def test_behind_a_proxy_the_origin_is_the_outer_one(origin: str, accepted: bool) -> None:
    app = make_app(SESSION_COOKIE_SECURE=False)
    app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1, x_host=1)  # type: ignore[method-assign]
    client = app.test_client()
    outside = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.example"}
    headers = {"X-CSRFToken": token_of(client, headers=outside), "Origin": origin, **outside}
    answer = client.post("/q/act", headers=headers, json={})
    assert (answer.status_code == 200) is accepted


def test_a_proxy_that_unpacks_https_needs_no_more_than_the_host() -> None:
    client = make_app().test_client()
    url = "http://shop.example:443/"
    headers = {"X-CSRFToken": token_of(client, base_url=url), "Origin": "https://shop.example"}
    assert client.post("/q/act", base_url=url, headers=headers, json={}).text == "acted"


def refused(answer: Any) -> None:
    assert answer.status_code == 403
    assert answer.get_json()["error"]["code"] == "csrf"


# --- answers -------------------------------------------------------------------------------------


def test_a_quiet_answer_sets_no_cookie() -> None:
    client = make_app().test_client()
    client.get("/permanent")
    for path in ("/q/quiet", "/q/quiet"):
        answer = client.get(path)
        assert answer.text == "quiet"
        assert "Set-Cookie" not in answer.headers
        assert "Cookie" in answer.headers["Vary"]
    assert "Set-Cookie" in client.get("/q/loud").headers


def test_a_late_quiet_answer_does_not_sign_in_again() -> None:
    """The race with a logout in another tab: the answer that was under way must not bring the session back."""
    app = make_app(login=True)
    client = app.test_client()
    client.get("/permanent")
    client.post("/sign-in/ann")
    cookie = client.get_cookie("session")
    assert cookie is not None
    late = app.test_client()
    late.set_cookie("session", cookie.value)
    client.post("/sign-out")
    for name in ("quiet", "loud"):
        for line in late.get(f"/q/{name}").headers.getlist("Set-Cookie"):
            client.set_cookie("session", line.split("=", 1)[1].split(";")[0])
        # The loud answer is the proof that the race is real.
        assert seen(client) == (None if name == "quiet" else "user:ann")


def test_headers_that_protect() -> None:
    headers = make_app().test_client().get("/q/loud").headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Content-Security-Policy"] == POLICY
    assert "geolocation=()" in headers["Permissions-Policy"]
    for directive in ("default-src 'none'", "base-uri 'none'", "frame-ancestors 'self'", "form-action 'self'"):
        assert directive in POLICY
    assert "unsafe" not in POLICY


def test_static_files_may_be_kept(tmp_path: Any) -> None:
    (tmp_path / "page.css").write_text("p {}")
    client = make_app(FOLDER=tmp_path).test_client()
    client.get("/permanent")
    with client.get("/q/static/page.css") as answer:
        assert answer.cache_control.max_age == 31_536_000
        assert not answer.cache_control.no_store
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        # A cache shared by several users must never keep somebody's session.
        assert "Set-Cookie" not in answer.headers


def test_what_the_host_has_set_stays() -> None:
    answer = Response()
    answer.headers["Content-Security-Policy"] = "default-src 'self'"
    answer.headers["Referrer-Policy"] = "strict-origin"
    answer.headers["Cache-Control"] = "public"
    protect(answer)
    assert answer.headers["Content-Security-Policy"] == "default-src 'self'"
    assert answer.headers["Referrer-Policy"] == "strict-origin"
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_foreign_frame_keeps_its_scripts() -> None:
    assert protect(Response(), own_look=False).headers["Content-Security-Policy"] == POLICY_IN_FOREIGN_FRAME
    assert "script-src" not in POLICY_IN_FOREIGN_FRAME


@pytest.mark.parametrize(
    ("headers", "json"),
    [
        ({}, False),
        ({"Accept": "*/*"}, False),
        ({"Accept": "application/json"}, True),
        ({"Accept": "application/json, text/html;q=0.5"}, True),
        ({"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}, False),
        ({"Accept": ";;;q=,"}, False),
        ({"Content-Type": "application/json"}, True),
        ({"Content-Type": "application/json; charset=x"}, True),
        ({"Content-Type": "application/x-www-form-urlencoded"}, False),
    ],
)
def test_who_wants_json(headers: dict[str, str], json: bool) -> None:
    with make_app().test_request_context(headers=headers):
        assert wants_json(request) is json


def test_a_refusal_says_all_it_knows() -> None:
    bare = Refusal(404, "not_found", "There is no such run.")
    assert str(bare) == "There is no such run."
    assert bare.as_json() == {"error": {"code": "not_found", "message": "There is no such run."}}
    assert bare.headers() == {}
    full = Refusal(409, "moved_on", "m", {"protocol": 1}, "/login", retry_after=2, allow={"POST", "GET"})
    assert full.as_json() == {
        "error": {"code": "moved_on", "message": "m", "login_url": "/login"},
        "snapshot": {"protocol": 1},
    }
    assert full.headers() == {"Retry-After": "2", "Allow": "GET, POST"}


# --- end addresses -------------------------------------------------------------------------------

HOSTS = ("Shop.example", "shop.example:8443", "[::1]:80")


@pytest.mark.parametrize(
    "url",
    [
        None,
        "/",
        "/done",
        "/done?x=1&y=%2F%2F#top",
        "/fertig/größe",
        "/a@b",
        "/a//b:c",
        "/javascript:alert(1)",
        "https://shop.example/done",
        "https://shop.example",
        "HTTPS://SHOP.EXAMPLE/",
        "http://shop.example:80/x",
        "https://shop.example:443/x",
        "https://shop.example:8443/x?y#z@evil.example",
        "https://shop.example/?@evil.example",
        "https://shop.example#@evil.example",
        "http://[::1]/x",
    ],
)
def test_end_addresses_that_are_fine(url: str | None) -> None:
    assert check_end_url(url, HOSTS) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        " ",
        "done",
        "./done",
        "?done",
        "#done",
        " /done",
        "/do ne",
        "//evil.example",
        "///evil.example",
        "//shop.example/x",
        "/\\evil.example",
        "\\\\evil.example",
        "\\/evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "\t//evil.example",
        "/x\r\nSet-Cookie: a=b",
        "/\x00",
        "/\x7f",
        "/\u2028",
        "/\u202e",
        "/\u00a0",
        "/\ud800",
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "java\tscript:alert(1)",
        "javascript://shop.example/%0aalert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "ftp://shop.example/",
        "http:/evil.example",
        "http:evil.example",
        "https:///evil.example",
        "http://evil.example/",
        "http://shop.example.evil.example/",
        "http://evilshop.example/",
        "http://x.shop.example/",
        "http://shop.example@evil.example/",
        "http://evil.example@shop.example/",
        "http://user:pw@shop.example/",
        "http://shop.example:@evil.example/",
        "http://shop.example;@evil.example/",
        "http://shop.example:81/",
        "http://shop.example:x/",
        "http://shop.example:99999/",
        "http://shop.example\\@evil.example/",
        "http://shop.example%2eevil.example/",
        "http://shop.example\uff0eevil.example/",
        "http://[::1",
        "http://[::2]/",
        "/" + "a" * 2000,
        b"/done",
        7,
    ],
)
def test_end_addresses_that_lead_elsewhere(url: Any) -> None:
    for hosts in (HOSTS, ()):
        with pytest.raises(ConfigurationError, match=r"^on_end_url must be ") as caught:
            check_end_url(url, hosts)
        assert len(str(caught.value)) < 250


def test_without_hosts_only_paths_are_fine() -> None:
    with pytest.raises(ConfigurationError):
        check_end_url("https://shop.example/done")
    assert check_end_url("/done") == "/done"


# --- redaction -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "password", "PASSWORD", "db_passwd", "userPwd", "client_secret", "API-Key", "apikey", "accessToken",
        "csrf_token", "Authorization", "authorisation", "Cookie", "Set-Cookie", "credentials",
    ],
)  # fmt: skip
def test_what_is_named_like_a_secret_is_hidden(name: str) -> None:
    for value in ("hush", 4711, None, ["hush"], {"a": "hush"}, b"hush"):
        assert redact({name: value}) == {name: HIDDEN}
        assert redact({"a": [({name: value},)]}) == {"a": [[{name: HIDDEN}]]}
        assert redact_call([value, 1], {name: value}, [name, "n"]) == ([HIDDEN, 1], {name: HIDDEN})
    assert redact([(name, "hush"), ("plain", "x")]) == [[name, HIDDEN], ["plain", "x"]]
    assert redact({(name, 1): "hush", name.encode(): "hush"}) == {(name, 1): HIDDEN, name.encode(): HIDDEN}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mysql://shop:hush@db/shop", f"mysql://{HIDDEN}@db/shop"),
        ("see https://me:hush@example.com/x and more", f"see https://{HIDDEN}@example.com/x and more"),
        ("/api?api_key=hush&page=2", f"/api?api_key={HIDDEN}&page=2"),
        ("host=db password=hush dbname=shop", f"host=db password={HIDDEN} dbname=shop"),
        ("password='hu sh' user=x", f"password={HIDDEN} user=x"),
        ('{"token": "hush", "n": 1}', f'{{"token": {HIDDEN}, "n": 1}}'),
        ("Authorization: Bearer hush.hush", f"Authorization: {HIDDEN}"),
        ("Bearer abcdefghijklmnopqrst", f"Bearer {HIDDEN}"),
    ],
)
def test_secrets_within_texts_are_hidden(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact_call([text], {"note": text}) == ([shown], {"note": shown})


def test_the_rest_stays_as_it_is() -> None:
    plain = {
        "row": 7,
        "name": "Ann",
        "ok": True,
        "tags": ["a", "b"],
        "none": None,
        3: 1.5,
        "note": "basic income, a key",
    }
    assert redact(plain) == plain
    assert redact(("a", 1)) == ["a", 1]
    assert redact(b"hush") == "<4 bytes>"
    assert redact_call([], None) == ([], {})
    assert redact_call([1, 2, 3], {}, ["a"]) == ([1, 2, 3], {})
    assert redact_call([1], {}, ["a", "b", "password"]) == ([1], {})


def test_the_value_given_is_not_changed() -> None:
    value = {"a": [{"password": "hush"}]}
    redact(value)
    assert value == {"a": [{"password": "hush"}]}


def test_a_hook_hides_more() -> None:
    def hook(name: str, value: Any) -> Any:
        return HIDDEN if name == "iban" else value

    assert redact({"iban": "DE00", "x": {"iban": 1, "y": 2}}, hook) == {"iban": HIDDEN, "x": {"iban": HIDDEN, "y": 2}}
    assert redact_call(["DE00", 1], {"iban": 2}, ["iban"], hook) == ([HIDDEN, 1], {"iban": HIDDEN})


def test_a_hook_cannot_show_what_is_hidden_and_its_errors_show_nothing() -> None:
    assert redact({"password": "hush"}, lambda name, value: value) == {"password": HIDDEN}

    def broken(name: str, value: Any) -> Any:
        raise ValueError(value)

    assert redact({"a": "x"}, broken) == HIDDEN


def test_endless_and_huge_values_end() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert HIDDEN in repr(redact(endless))
    started = time.perf_counter()
    for piece in ("a", "key", "://", "=", "bearer ", "password ", 'key="', "key:"):
        redact(piece * (1_000_000 // len(piece)))
    assert time.perf_counter() - started < 20
