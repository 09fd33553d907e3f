"""Requests that nobody planned for: no error of the server, no execution, no change, nothing that belongs to others.

Each kind of visitor may not do anything at all with the runs that are asked for, whatever the request looks like.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, event, given, seed, settings
from hypothesis import strategies as st
from werkzeug.datastructures import Headers
from werkzeug.exceptions import RequestEntityTooLarge

from tests.web_api.app import VIEWER, Visitor
from tests.web_api.tasks import JOURNAL
from tests.web_api.test_matrix import OUTBOX, ROWS
from tests.web_api.world import STATES, World, secret_of

#: Requests of each of the visitors below; together more than 5,000 under CI.
EXAMPLES = 800 if os.environ.get("CI") else 80
METHODS = ["GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "post", "X" * 50]
ODD_IDS = [
    "", "0", "0" * 32, "f" * 31, "f" * 33, "..", ".", "%2e%2e", "%00", "null", "undefined", "-1", "1 OR 1=1",
    "' OR '1'='1", "../csrf", "é" * 32, "１" * 32, "\u202e", "a" * 5000, "{}", "${7*7}", "{{7*7}}", "\x00", "\r\nX: y",
]  # fmt: skip
NUMBERS = [
    0,
    1,
    -1,
    2,
    2**31,
    2**53,
    2**63 - 1,
    2**63,
    2**64,
    10**30,
    1.0,
    1.5,
    1e308,
    float("nan"),
    float("inf"),
    -0.0,
]
TYPES = [
    "application/json", "application/json; charset=utf-16", "application/json;charset=\xff", "text/json", "text/plain",
    "application/x-www-form-urlencoded", "multipart/form-data", "multipart/form-data; boundary=x", "application/xml",
    "", "multipart/form-data; boundary=" + "x" * 300, "application/json-patch+json", "/", "application/octet-stream",
]  # fmt: skip


@dataclass
class Guest:
    """Somebody who may not change anything; ``token`` is what his page would send."""

    name: str
    app: Flask
    client: FlaskClient
    cookie: str
    token: str
    #: Whose secrets must never be answered to him.
    foreign: tuple[str, ...]
    #: The runs he asks for.
    runs: list[str]
    #: Headers that every request of his carries.
    always: dict[str, str]
    #: Item and fence that he may not name, because that would be right.
    right: tuple[int, int] | None = None


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    kind: str


# --- what is asked -------------------------------------------------------------------------------

words = st.one_of(st.sampled_from(ODD_IDS), st.text(max_size=40))
scalars = st.one_of(
    st.none(), st.booleans(), st.sampled_from(NUMBERS), st.integers(), st.floats(), words,
    st.sampled_from(["7", "07", "+7", " 7", "7 ", "٧", "7e0", "0x7", "9" * 19, "9" * 5000]),
)  # fmt: skip
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=5
)
names = st.one_of(st.sampled_from(["request_id", "item_id", "fence", "csrf_token", "nojs", "verb", "owner"]), words)
request_ids = st.one_of(st.just("a" * 32), st.text("abcdef0123456789", min_size=8, max_size=64), values)
large = st.sampled_from([2**31, 2**53, 2**63 - 1, 2**63, 2**64, 10**19, 10**30])
small = st.integers(0, 9)
#: Right in form, whatever the numbers.
formal = st.fixed_dictionaries({"request_id": st.just("a" * 32), "item_id": small | large, "fence": small | large})
likely = st.fixed_dictionaries(
    {}, optional={"request_id": request_ids, "item_id": small | large | values, "fence": small | large | values}
)
mixed = st.builds(lambda some, more: {**some, **more}, formal, st.dictionaries(names, values, max_size=3))
named = st.fixed_dictionaries({"ids": st.lists(words | st.text("0123456789abcdef", min_size=32, max_size=32)) | values})
objects = st.one_of(formal, likely, mixed, named)


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


bodies = st.one_of(
    objects.map(_json),
    values.map(_json),
    st.binary(max_size=200),
    st.sampled_from([
        b"", b"{", b"[" * 16_000, b'{"a":' * 3000, b"9" * 5000, b'{"item_id": ' + b"9" * 4400 + b"}", b"\xff\xfe{\x00",
        b"\x00" * 100, b"x" * 20_000, b"a=" + b"b" * 600_000, b"&".join(b"a%d=1" % n for n in range(1200)),
        b'--x\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\n', b"--x--", b'{"request_id": "\\ud800"}',
        b'{"request_id": "aaaaaaaa", "request_id": "bbbbbbbb"}', b'"' + b"\\u0000" * 50 + b'"',
    ]),
    objects.map(lambda given: "&".join(f"{key}={value}" for key, value in given.items()).encode(errors="replace")),
)  # fmt: skip
queries = st.fixed_dictionaries(
    {},
    optional={
        "after": st.sampled_from(["0", "1", "-1", "1.5", "9" * 18, "9" * 19, "9" * 30, "9" * 5000, "٣", "²", ""])
        | words,
        "format": st.sampled_from(["txt", "json", "TXT", ""]) | words,
        "level": st.sampled_from(["error", "warning", "info", "%"]) | words,
        "nojs": st.sampled_from(["1", "0"]),
        "t": words,
        "next": words,
        "limit": st.sampled_from(["1", "200", "201", "0", "-1", "9" * 30, "٣"]) | words,
        "queue": st.sampled_from(["outbox", "annsecret-ready"]) | words,
        "service": words,
    },
).map(lambda given: "&".join(f"{key}={value}" for key, value in given.items()))
header_values = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=60)
headers = st.dictionaries(
    st.sampled_from([
        "Accept", "Accept-Language", "Accept-Encoding", "X-Driver", "Referer", "User-Agent", "If-None-Match", "Range",
        "If-Modified-Since", "X-HTTP-Method-Override", "X-Forwarded-For", "X-Forwarded-Host", "Forwarded",
        "Authorization", "X-Requested-With", "Cache-Control", "Transfer-Encoding", "Content-Encoding", "Expect",
        "Cookie2", "X-User",
    ]),
    st.one_of(
        header_values,
        st.sampled_from([
            "*/*", "application/json", "text/html", "de", "de-AT,de;q=0.9", "ar", "*", "q=nan", "en;q=inf", "en;q=-1",
            "xx-" + "y" * 3000, ";,;,", "d" * 32, "chunked", "gzip", "bytes=0-1", "100-continue", "DELETE", '"x"', "",
        ]),
    ),
    max_size=4,
)  # fmt: skip


def one_in(count: int) -> st.SearchStrategy[bool]:
    """True once in a while."""
    return st.sampled_from([False] * (count - 1) + [True])


def mostly(usual: st.SearchStrategy[str], odd: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Requests that are wrong in everything are refused for the first thing that is looked at."""
    return one_in(5).flatmap(lambda is_odd: odd if is_odd else usual)


@st.composite
def requests(draw: st.DrawFn, runs: list[str]) -> Asked:
    """A request, more often than not for something that is there."""
    run_id = draw(mostly(st.sampled_from(runs), words))
    if draw(one_in(9)):
        run_id = draw(st.sampled_from([run_id.upper(), run_id[:-1], run_id + "/", f"{run_id} ", f"{run_id}%00"]))
    view = draw(mostly(st.sampled_from([*ROWS]), words))
    path = {
        "page": f"/queue/run/{run_id}", "csrf": "/queue/csrf", "static": f"/queue/static/{draw(words)}", **OUTBOX
    }.get(view, f"/queue/run/{run_id}/{view}")  # fmt: skip
    method = draw(mostly(st.just(ROWS[view].method if view in ROWS else "GET"), st.sampled_from(METHODS)))
    query = draw(st.one_of(queries, queries, words))
    kind = draw(mostly(st.just("application/json"), st.sampled_from(TYPES)))
    return Asked(method, path, query, tuple(draw(headers).items()), draw(bodies), kind)


# --- who asks ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared(first_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A database that none of the requests may change."""
    world = first_world.copy(tmp_path_factory.mktemp("fuzz") / "world")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(JOURNAL, str(world.journal))
        yield world
    world.close()


def _guest(world: World, kind: str) -> Guest:
    everything: dict[str, Any] = {"TASKQUEUE_READ_ONLY": True} if kind == "reader" else {}
    app = world.app(wtf=kind == "no token, flask-wtf", **everything)
    name = {"stranger": "bob", "nobody": None, "viewer": VIEWER}.get(kind, "ann")
    visitor = Visitor(app, name)
    cookie = visitor.client.get_cookie("session")
    assert cookie is not None
    token, always = visitor.token, {"X-CSRFToken": visitor.token}
    if kind.startswith("no token"):
        always = {"X-CSRFToken": Visitor(app, "bob").token}
    elif kind == "from elsewhere":
        always["Origin"] = "https://evil.example"
    owned = [world.runs["ann", state] for state in STATES]
    foreign = [secret_of("bob")]
    right = None
    if kind in ("stranger", "nobody"):
        foreign.append(secret_of("ann"))
    if kind == "stranger":
        foreign.remove(secret_of("bob"))
    if kind == "owner of a blocked run":
        owned = [world.runs["ann", "blocked"]]
        offered = visitor.state(owned[0])["actions"]
        right = next((entry["item_id"], entry["fence"]) for entry in offered if entry["verb"] == "skip")
    client = app.test_client(use_cookies=False)
    return Guest(kind, app, client, f"session={cookie.value}", token, tuple(foreign), owned, always, right)


KINDS = [
    "stranger", "nobody", "viewer", "reader", "no token", "no token, flask-wtf", "from elsewhere",
    "owner of a blocked run",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_comes_of_it(shared: World, kind: str) -> None:
    guest = _guest(shared, kind)
    is_unchanged = shared.watched()
    seen: dict[int, int] = {}

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, print_blob=True,
        phases=(Phase.generate, Phase.shrink), suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(asked=requests(guest.runs))
    def nothing_comes_of(asked: Asked) -> None:
        if not _is_harmless(guest, asked):
            return
        status, head, text = _send(guest, asked)
        seen[status] = seen.get(status, 0) + 1
        event(f"{kind}: {status}")
        assert status < 500, text
        assert not [secret for secret in guest.foreign if secret in text or secret in head]
        assert shared.executed() == []
        assert is_unchanged()

    # Under CI always the same, but for each of them others.
    (seed(crc32(kind.encode()))(nothing_comes_of) if os.environ.get("CI") else nothing_comes_of)()
    # The requests got far enough to be refused for all the reasons that there are.
    print(f"{kind}: {sum(seen.values())} requests, {dict(sorted(seen.items()))}")
    assert not os.environ.get("CI") or {200, 404, 405} | REASONS[kind] <= seen.keys()


#: Why each of them is refused, besides asking for what is not there in ways that are not there.
REASONS = {
    "stranger": set(),
    "nobody": set(),
    "viewer": {400, 403, 303},
    "reader": {400, 403, 303},
    "no token": {403, 303},
    "no token, flask-wtf": {403, 303},
    "from elsewhere": {403, 303},
    "owner of a blocked run": {400, 409, 303},
}


def _is_harmless(guest: Guest, asked: Asked) -> bool:
    """Whether the owner of the blocked run may really not do this: abort, and what his page offers, he may."""
    if guest.right is None:
        return True
    verb = asked.path.rpartition("/")[2].rstrip("\x00 ").lower()
    if "abort" in verb:
        return False
    if verb not in ("retry", "skip", "steal"):
        return True
    try:
        fields = json.loads(asked.body)
    except (ValueError, RecursionError):
        # Perhaps a form: the right numbers must not both stand in it, whatever for.
        text = asked.body.decode(errors="replace")
        return not all(str(number) in text for number in guest.right)
    if not isinstance(fields, dict):
        return True
    named = (fields.get("item_id"), fields.get("fence"))
    return not all(_means(value, number) for value, number in zip(named, guest.right, strict=True))


def _means(value: Any, number: int) -> bool:
    try:
        return int(value) == number
    except (ValueError, TypeError, OverflowError):
        return False


def _send(guest: Guest, asked: Asked) -> tuple[int, str, str]:
    sent = Headers()
    for name, value in (*asked.headers, ("Cookie", guest.cookie), *guest.always.items()):
        sent.set(name, value)
    body = asked.body
    if "csrf" in asked.query:
        body = body or f"csrf_token={guest.token}".encode()
    try:
        answer = guest.client.open(
            method=asked.method, headers=sent, input_stream=BytesIO(body), content_type=asked.kind,
            content_length=len(body),
            # As a server passes them on, so that the client does not put them right.
            environ_overrides={"PATH_INFO": _raw(asked.path), "QUERY_STRING": _in_line(asked.query)},
        )  # fmt: skip
    except RequestEntityTooLarge:  # what the test client itself refuses
        return 413, "", ""
    with answer:
        text = answer.get_data().decode(errors="replace")
        return answer.status_code, str(answer.headers), text


def _raw(text: str) -> str:
    return text.encode().decode("latin-1")


def _in_line(query: str) -> str:
    # Unlike the path it comes undecoded, and whatever ends a word or a line would have ended the request's first line.
    return "".join(f"%{ord(sign):02x}" if sign <= " " or sign == "\x7f" else sign for sign in _raw(query))


# --- what the test client cannot say -------------------------------------------------------------


@pytest.mark.parametrize("length", ["", "-1", "x", "1e3", "9" * 40, "16385", " 5", "٣", None])
@pytest.mark.parametrize("endpoint", ["drive", "start", "retry"])
def test_odd_lengths(shared: World, endpoint: str, length: str | None, tmp_path: Path) -> None:
    before = shared.content()
    guest = _guest(shared, "stranger")
    overrides: dict[str, Any] = {"CONTENT_LENGTH": length, "wsgi.input": BytesIO(b"{}" * 3)}
    if length is None:
        del overrides["CONTENT_LENGTH"]
        overrides["HTTP_TRANSFER_ENCODING"] = "chunked"
    path = f"/queue/run/{guest.runs[0]}/{endpoint}"
    answer = guest.client.post(
        path,
        headers={"Cookie": guest.cookie, "X-CSRFToken": guest.token, "Content-Type": "application/json"},
        environ_overrides=overrides,
    )
    assert 400 <= answer.status_code < 500
    assert shared.content() == before
