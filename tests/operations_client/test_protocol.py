"""What the client sends, and how it takes what comes back: against a server that says what is written here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any
from urllib.request import HTTPCookieProcessor, build_opener

import pytest

from taskqueue import SpecError
from taskqueue.operations import (
    AccessDenied,
    CallGone,
    CallNotFound,
    Client,
    File,
    InvalidData,
    KeyReused,
    NoAnswer,
    NotFinished,
    NotIdempotent,
    NotPossible,
    NotQueueable,
    OperationError,
    OperationFailed,
    Progress,
    StillRunning,
    TooManyCalls,
    UnexpectedAnswer,
    UnknownOperation,
)
from tests.operations_client.scripted import CALL, CUT, Said, ScriptedServer, facts, offered, problem, scripted
from tests.ports import free_port


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted() as running:
        yield running
        assert running.script == [], "the client has not asked for everything"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(server: ScriptedServer, clock: Clock) -> Client:
    return timed(Client(server.url), clock)


def timed(client: Client, clock: Clock) -> Client:
    client._transport.sleep, client._transport.now = clock.sleep, lambda: clock.now
    return client


# --- what is sent ---


def test_a_call_is_posted_as_json_with_the_headers_of_the_user(server: ScriptedServer) -> None:
    server.say(Said(200, {"ä": 1}), Said(200, None))
    tokens = iter(["one", "two"])
    client = Client(f"{server.url}/", headers=lambda: {"Authorization": f"Bearer {next(tokens)}"})
    assert client.call("note", {"text": "Ä"}) == {"ä": 1}
    assert client.call("note") is None
    first, second = server.asked
    assert (first.method, first.path, first.json()) == ("POST", "/ops/note", {"data": {"text": "Ä"}})
    assert first.headers["Content-Type"] == "application/json"
    assert [one.headers["Authorization"] for one in (first, second)] == ["Bearer one", "Bearer two"]
    assert "Idempotency-Key" not in first.headers


def test_a_deferral_carries_its_options(server: ScriptedServer, client: Client) -> None:
    moment = datetime(2030, 1, 2, 3, 4, tzinfo=timezone(timedelta(hours=2)))
    server.say(offered("note", idempotent=False), facts(), facts(), facts())
    call = client.defer("note", [1], delay="2m", expires=timedelta(hours=1))
    client.defer("note", release_time=moment, expires=moment)
    client.defer("noteAlias")
    assert (call.id, call.state, call.is_final, call.owner) == (CALL, "queued", False, "")
    assert call.created == datetime(2026, 1, 2, 3, 4, 5, 678000, timezone.utc)
    assert [one.json() for one in server.asked[1:]] == [
        {"data": [1], "options": {"defer": True, "delay": 120.0, "expires": 3600.0}},
        {"data": None, "options": {"defer": True, "release_time": "2030-01-02T01:04:00+00:00",
                                   "expires": "2030-01-02T01:04:00+00:00"}},
        {"data": None, "options": {"defer": True}},
    ]  # fmt: skip
    assert all("Idempotency-Key" not in one.headers for one in server.asked)


def test_what_changes_something_is_json_and_what_looks_has_its_query(server: ScriptedServer, client: Client) -> None:
    running = facts(state="running", progress={"done": 3, "total": 10, "message": "rows"})
    server.say(running, facts(), offered("a"), Said(200, {"runs": [], "next": None}), Said(204))
    assert client.cancel(CALL).progress == Progress(3, 10, "rows")
    client.retry(CALL)
    assert [one["name"] for one in client.operations(queueable=False)] == ["a"]
    assert list(client.calls(state="dead", operation="a", limit=7)) == []
    client.forget(CALL)
    assert server.lines == [
        f"DELETE /ops/runs/{CALL}?only=cancel", f"POST /ops/runs/{CALL}/retry", "GET /ops?queueable=0",
        "GET /ops/runs?limit=7&state=dead&operation=a", f"DELETE /ops/runs/{CALL}?only=forget",
    ]  # fmt: skip
    for one in server.asked:
        if one.method != "GET":
            assert (one.headers["Content-Type"], one.json()) == ("application/json", {})


@pytest.mark.parametrize("key", ["", " k", "k" * 191, "k\r\nX-Evil: 1", "ä", 7])
def test_a_key_that_no_header_holds_is_refused_before_anything_is_sent(
    server: ScriptedServer, client: Client, key: Any
) -> None:
    with pytest.raises(SpecError, match="an idempotency key for HTTP is"):
        client.defer("note", key=key)
    assert server.asked == []


def test_bad_arguments_are_refused_before_anything_is_sent(server: ScriptedServer, client: Client) -> None:
    now = datetime.now()
    for wrong in ({"delay": 1, "release_time": now}, {"release_time": now}, {"expires": now}, {"delay": "soon"}):
        with pytest.raises(SpecError):
            client.defer("note", key="k", **wrong)  # type: ignore[arg-type]
    for data in (float("nan"), {1, 2}, datetime.now(timezone.utc)):
        with pytest.raises(InvalidData, match="cannot be sent as JSON"):
            client.call("note", data)
    for name in ("", "a/b", "a?b", "../runs", "ä", 7):
        with pytest.raises(UnknownOperation):
            client.call(name)  # type: ignore[arg-type]
    for call_id in ("", "../ops", CALL.upper(), CALL + "0", None):
        for ask in (client.get, client.wait, client.result, client.cancel, client.retry, client.forget):
            with pytest.raises(CallNotFound):
                ask(call_id)  # type: ignore[arg-type]
    assert server.asked == []


@pytest.mark.parametrize(
    "url", ["", "host/ops", "file:///etc/passwd", "ftp://host/ops", "https://", "https://host:0/ops", "http://host:x/",
            "https://host/ops?a=1", "https://host/ops#a", "https://host/o ps", "https://host/\nops", None],
)  # fmt: skip
def test_an_address_of_something_else_is_refused(url: Any) -> None:
    with pytest.raises(SpecError, match="the address of the operations is one such as"):
        Client(url)


@pytest.mark.parametrize("url", ["https://ann:secret@host/ops", "https://ann:secret@host:x/ops?a"])
def test_a_password_in_the_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(SpecError, match="headers= or opener=") as caught:
        Client(url)
    assert "secret" not in str(caught.value)


# --- what comes back ---


def test_results_are_json_or_files(server: ScriptedServer, client: Client) -> None:
    disposition = "attachment; filename=\"_.pdf\"; filename*=UTF-8''%C3%A4.pdf"
    file = Said(200, b"\x00\xff", {"Content-Type": "application/pdf", "Content-Disposition": disposition})
    json_file = Said(200, b"{}", {"Content-Disposition": "attachment"})
    up = Said(200, b"", {"Content-Type": "text/plain", "Content-Disposition": 'attachment; filename="../../x\\\\y.sh"'})
    server.say(file, json_file, up, Said(200, {"a": [None, "ä€😀"]}))
    assert client.result(CALL) == File(b"\x00\xff", "application/pdf", "ä.pdf")
    assert client.call("give") == File(b"{}", "application/json")
    assert client.result(CALL) == File(b"", "text/plain", "y.sh")
    assert client.result(CALL) == {"a": [None, "ä€😀"]}


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (problem(404, "unknown_operation"), UnknownOperation),
        (problem(409, "not_queueable"), NotQueueable),
        (problem(422, "not_idempotent"), NotIdempotent),
        (problem(422, "invalid_data", errors=[{"at": ["a"]}]), InvalidData),
        (problem(403, "access_denied"), AccessDenied),
        (problem(422, "key_reused"), KeyReused),
        (problem(404, "not_found"), CallNotFound),
        (problem(410, "gone"), CallGone),
        (problem(409, "not_finished", headers={"Retry-After": "3"}), NotFinished),
        (problem(409, "not_possible"), NotPossible),
        (problem(422, "failed"), OperationFailed),
        (problem(422, "duplicate"), OperationFailed),
        (problem(429, "too_many_calls", headers={"Retry-After": "7"}), TooManyCalls),
        (problem(401, "not_signed_in"), OperationError),
        (problem(422, "invalid_request"), OperationError),
        (problem(500, "internal_error"), OperationError),
        (problem(409, "expired"), OperationError),
        (problem(400, "not_found"), OperationError),  # an operation may use any word
        (problem(418, "no name at all\n"), OperationError),
    ],
    ids=lambda value: value.body["code"] if isinstance(value, Said) else "",
)
def test_problems_are_raised_as_the_errors_they_are(
    server: ScriptedServer, client: Client, said: Said, kind: type[OperationError]
) -> None:
    server.say(said)
    with pytest.raises(OperationError, match=r"^a sentence$") as caught:
        client.call("note")
    error = caught.value
    assert (type(error), error.status, error.details) == (kind, said.status, said.body.get("errors"))
    assert error.code == (said.body["code"] if " " not in said.body["code"] else "unknown")
    assert error.retry_after == (float(after) if (after := said.headers.get("Retry-After")) else kind.retry_after
                                 if kind is not TooManyCalls else 5)  # fmt: skip


def test_a_call_that_is_still_running_is_named(server: ScriptedServer, client: Client) -> None:
    server.say(problem(409, "still_running", headers={"Location": f"/ops/runs/{CALL}", "Retry-After": "1"}))
    with pytest.raises(StillRunning) as caught:
        client.call("note", key="k")
    assert caught.value.tracking_id == CALL


@pytest.mark.parametrize(
    "said",
    [
        Said(200, b"<h1>Hello</h1>", {"Content-Type": "text/html"}),
        Said(200, b'{"half":'),
        Said(200, ["no", "facts"]),
        Said(200, {"id": "../x"}),
        Said(404, b"<h1>No</h1>", {"Content-Type": "text/html"}),
        Said(500, b"[]"),
        Said(302, b"", {"Location": "https://elsewhere.example/login?secret=1", "Content-Type": "text/html"}),
    ],
    ids=lambda said: f"{said.status} {said.body!r:.10}",
)
def test_an_answer_of_something_else_is_told_as_such(server: ScriptedServer, client: Client, said: Said) -> None:
    server.say(said)
    with pytest.raises(UnexpectedAnswer, match=r"^the server answered") as caught:
        client.get(CALL)
    assert "secret" not in str(caught.value)
    assert len(server.asked) == 1


def test_headers_go_to_no_other_server(server: ScriptedServer) -> None:
    with scripted() as other:
        server.say(Said(307, b"", {"Location": f"{other.url}/note"}))
        with pytest.raises(UnexpectedAnswer, match="leads elsewhere"):
            Client(server.url, headers={"Authorization": "Bearer secret"}).call("note")
        assert other.asked == []


def test_an_opener_of_ones_own_sends_the_requests(server: ScriptedServer) -> None:
    server.say(Said(200, 1, {"Set-Cookie": "session=abc"}), Said(200, 2))
    client = Client(server.url, opener=build_opener(HTTPCookieProcessor()))
    assert [client.call("note"), client.call("note")] == [1, 2]
    assert server.asked[1].headers["Cookie"] == "session=abc"


# --- what is sent again, and what is not ---


def test_a_deferral_with_a_key_is_sent_again_with_the_same_key(
    server: ScriptedServer, client: Client, clock: Clock
) -> None:
    away = Said(503, b"", {"Retry-After": "4", "Content-Type": "text/html"})
    server.say(offered("note"), CUT, away, Said(502, b""), Said(504, b""), facts(), facts())
    client.defer("note", 1)
    client.defer("note", 1)
    keys = [one.headers["Idempotency-Key"] for one in server.asked[1:]]
    assert len({*keys[:5]}) == 1 and len({*keys}) == 2
    assert all(len(key) == 34 and key[0] == key[-1] == '"' for key in keys)
    assert clock.slept[1] == 4


def test_a_key_given_by_hand_is_sent_again_without_asking_what_is_idempotent(
    server: ScriptedServer, client: Client
) -> None:
    server.say(CUT, facts(), CUT, Said(200, "ok"))
    client.defer("note", key='order "7"\\')
    assert client.call("note", key="k") == "ok"
    assert [one.headers["Idempotency-Key"] for one in server.asked] == ['"order \\"7\\"\\\\"'] * 2 + ['"k"'] * 2


@pytest.mark.parametrize("trouble", [CUT, Said(502, b""), Said(503, b"", {"Retry-After": "1"}), Said(504, b"")],
                         ids=["cut", "502", "503", "504"])  # fmt: skip
def test_without_a_key_nothing_is_sent_again_and_the_error_says_so(
    server: ScriptedServer, client: Client, trouble: Said | None
) -> None:
    server.say(offered("note", idempotent=False), trouble, trouble)
    with pytest.raises(NoAnswer, match="not sent again: whether note was deferred is not known") as caught:
        client.defer("note")
    assert (caught.value.key, caught.value.is_unsent) == (None, False)
    with pytest.raises(NoAnswer, match="whether note was executed is not known"):
        client.call("note")
    assert len(server.asked) == 3


def test_in_the_end_the_error_names_the_key(server: ScriptedServer, client: Client, clock: Clock) -> None:
    server.say(*[CUT] * 100)
    with pytest.raises(NoAnswer, match="may be sent again with the same key='mine'") as caught:
        client.defer("note", key="mine")
    assert caught.value.key == "mine"
    assert 1 < len(server.asked) < 30 and 15 < sum(clock.slept) <= 30
    server.script.clear()


def test_one_that_was_idempotent_once_goes_without_a_key(server: ScriptedServer, client: Client) -> None:
    server.say(offered("note"), problem(422, "not_idempotent"), facts())
    client.defer("note")
    assert ["Idempotency-Key" in one.headers for one in server.asked] == [False, True, False]


def test_what_was_never_sent_is_sent_again(clock: Clock) -> None:
    client = timed(Client(f"http://127.0.0.1:{free_port()}/ops"), clock)
    with pytest.raises(NoAnswer, match="cannot be reached") as caught:
        client.call("note")
    assert caught.value.is_unsent and "not known" not in str(caught.value)
    assert len(clock.slept) > 2


def test_our_own_first_request_may_still_be_executed(server: ScriptedServer, client: Client, clock: Clock) -> None:
    busy = problem(409, "still_running", headers={"Location": f"/ops/runs/{CALL}", "Retry-After": "2"})
    server.say(CUT, busy, busy, Said(200, "done"))
    assert client.call("note", key="k") == "done"
    assert clock.slept[1:] == [2, 2]


def test_looks_are_made_again_and_a_limit_is_waited_for(server: ScriptedServer, client: Client, clock: Clock) -> None:
    soon = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=10), usegmt=True)
    limit = problem(429, "too_many_calls", headers={"Retry-After": soon})
    server.say(CUT, Said(503, b""), limit, facts())
    client.get(CALL)
    assert 5 < clock.slept[2] <= 10


def test_a_limit_of_calls_is_told_at_once_and_nothing_waits_for_ever(
    server: ScriptedServer, client: Client, clock: Clock
) -> None:
    limit = problem(429, "too_many_calls", headers={"Retry-After": "3600"})
    server.say(limit, limit)
    with pytest.raises(TooManyCalls) as caught:
        client.defer("note", key="k")
    assert caught.value.retry_after == 3600
    with pytest.raises(TooManyCalls):
        client.get(CALL)
    assert clock.slept == []


def test_a_result_that_may_be_consumed_is_not_asked_for_again(server: ScriptedServer, client: Client) -> None:
    server.say(CUT, CUT, Said(200, 1))
    with pytest.raises(NoAnswer, match="may have been consumed"):
        client.result(CALL, consume=True)
    assert client.result(CALL) == 1
    assert server.lines[0] == f"GET /ops/runs/{CALL}/result?consume=1"


# --- waiting ---


def test_waiting_asks_the_server_to_hold_the_answer_back(server: ScriptedServer, client: Client, clock: Clock) -> None:
    running = facts(state="running")
    server.say(running, running, facts(state="succeeded"))
    assert client.wait(CALL, timeout=15).state == "succeeded"
    waits = [float(line.partition("?wait=")[2]) for line in server.lines]
    assert waits[0] == 15 and waits == sorted(waits, reverse=True) and len({*waits}) == 3
    # This server does not hold it back: the client does not spin.
    assert len(clock.slept) == 2 and min(clock.slept) > 0.1


def test_waiting_ends_with_the_call_as_it_stands(server: ScriptedServer, client: Client, clock: Clock) -> None:
    server.say(*[facts(state="running")] * 100)
    assert client.wait(CALL, timeout="20s").state == "running"
    assert sum(clock.slept) == pytest.approx(20)
    asked = len(server.asked)
    assert asked < 40
    assert client.wait(CALL, timeout=0).state == "running"
    assert len(server.asked) == asked + 1
    client.wait(CALL, timeout=0.00001)
    assert server.lines[-1].endswith("?wait=0.000")
    server.script.clear()


def test_waiting_outlasts_a_server_that_is_away(server: ScriptedServer, client: Client, clock: Clock) -> None:
    away = Said(503, b"", {"Retry-After": "9"})
    limit = problem(429, "too_many_calls", headers={"Retry-After": "8"})
    server.say(
        CUT, away, facts(state="running"), limit, CUT, facts(state="failed", error={"code": "a", "message": "b"})
    )
    call = client.wait(CALL, timeout=60)
    assert (call.state, call.error) == ("failed", {"code": "a", "message": "b"})
    assert {8, 9} <= {*clock.slept}


def test_waiting_for_a_server_that_stays_away_is_bounded(server: ScriptedServer, client: Client, clock: Clock) -> None:
    server.say(*[CUT] * 100)
    with pytest.raises(NoAnswer):
        client.wait(CALL, timeout=40)
    assert 25 < sum(clock.slept) <= 40
    server.script.clear()


# --- ending ---


def test_a_call_that_has_ended_is_not_forgotten_by_cancelling_it(server: ScriptedServer, client: Client) -> None:
    server.say(problem(409, "not_possible"))
    with pytest.raises(NotPossible):
        client.cancel(CALL)
    # The answer is lost, and it has ended meanwhile.
    server.say(CUT, problem(409, "not_possible"), facts(state="succeeded"))
    with pytest.raises(NotPossible):
        client.cancel(CALL)
    server.say(CUT, problem(409, "not_possible"), facts(state="cancelled"))
    assert client.cancel(CALL).state == "cancelled"
    deleted = [line for line in server.lines if line.startswith("DELETE")]
    assert len(deleted) == 5
    assert all("?only=cancel" in line for line in deleted)


def test_cancelling_is_tried_twice_at_most(server: ScriptedServer, client: Client) -> None:
    server.say(CUT, CUT)
    with pytest.raises(NoAnswer):
        client.cancel(CALL)


def test_forgetting_knows_what_it_does(server: ScriptedServer, client: Client) -> None:
    server.say(problem(409, "not_possible"))
    with pytest.raises(NotPossible):
        client.forget(CALL)
    server.say(CUT, problem(404, "not_found"))
    client.forget(CALL)
    server.say(CUT, facts(state="dead"))
    with pytest.raises(NoAnswer):
        client.forget(CALL)
    server.say(problem(404, "not_found"))
    with pytest.raises(CallNotFound):
        client.forget(CALL)
    assert all("?only=forget" in line for line in server.lines if line.startswith("DELETE"))


def test_the_owner_is_there_if_it_is_told(server: ScriptedServer, client: Client) -> None:
    server.say(facts(), facts(owner="alice"), facts(owner="7"), facts(owner=":7"), facts(owner=7))
    assert [client.get(CALL).owner for _ in range(4)] == ["", ":alice", "#7", ":7"]
    with pytest.raises(UnexpectedAnswer):
        client.get(CALL)


def test_a_retry_is_not_sent_again(server: ScriptedServer, client: Client) -> None:
    server.say(CUT)
    with pytest.raises(NoAnswer):
        client.retry(CALL)


# --- pages ---


def test_calls_come_page_by_page_and_may_be_forgotten_meanwhile(server: ScriptedServer, client: Client) -> None:
    ids = [f"{number:032x}" for number in range(5)]

    def page(numbers: list[int], after: str | None) -> Said:
        return Said(200, {"runs": [facts(id=ids[number]).body for number in numbers], "next": after})

    server.say(page([0, 1], ids[1]), page([2, 3], ids[3]), page([4], None))
    asked = []
    for call in client.calls(limit=2):
        asked.append((call.id, len(server.asked)))
    assert asked == [(ids[0], 2), (ids[1], 2), (ids[2], 3), (ids[3], 3), (ids[4], 3)]
    assert server.lines[1] == f"GET /ops/runs?limit=2&after={ids[1]}"


def test_an_empty_page_is_the_last(server: ScriptedServer, client: Client) -> None:
    server.say(Said(200, {"runs": [facts().body], "next": CALL}), Said(200, {"runs": [], "next": CALL}))
    assert [call.id for call in client.calls()] == [CALL]


def test_nothing_of_the_credentials_is_shown(server: ScriptedServer) -> None:
    client = Client(server.url, headers={"Authorization": "Bearer secret"})
    server.say(CUT)
    with pytest.raises(NoAnswer) as caught:
        client.call("note")
    assert "secret" not in f"{client!r}{client.__dict__!r}{caught.value!r}{json.dumps(caught.value.facts())}"
