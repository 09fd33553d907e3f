"""Calls that are made now, and calls that are deferred."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import create_engine

from taskqueue import QueueService
from taskqueue.errors import DatabaseError, LeaseLost, SerializationError, SpecError
from taskqueue.operations import Operations
from tests.operations.conftest import drain, names
from tests.operations_api.app import SECRET, Client, create_app

CONTACT = {"name": "Ann"}


def test_the_operations_are_listed(alice: Client) -> None:
    found = {one["name"]: one for one in alice.get("/ops").get_json()["operations"]}
    made = found["create_contact"]
    assert (made["summary"], made["queueable"], made["idempotent"]) == ("Adds a contact.", True, True)
    assert made["aliases"] == ["new_contact"]
    assert made["schema"]["properties"]["addresses"]["items"] == {"$ref": "#/$defs/Address"}
    assert "Address" in made["schema"]["$defs"]
    assert made["result_schema"]["required"] == ["id", "name"]
    later = [one["name"] for one in alice.get("/ops?queueable=1").get_json()["operations"]]
    never = [one["name"] for one in alice.get("/ops?queueable=0").get_json()["operations"]]
    assert sorted([*later, *never]) == sorted(found)
    assert "now" in never


def test_a_direct_call_is_answered_by_the_result_itself(alice: Client, service: QueueService) -> None:
    answer = alice.post("/ops/new_contact", CONTACT)
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    assert answer.get_json() == {"id": 1, "name": "Ann"}
    assert names(service) == ["Ann"]


@pytest.mark.parametrize("value", [None, "", "äöü €😀 \u2028", [], {"a": [1, 2.5, None, True]}, "x" * 700_000, 2**70])
def test_values_round_trip(alice: Client, ops: Operations, value: Any) -> None:
    assert alice.post("/ops/echo", value).get_json() == value
    location = alice.defer("echo", value)
    drain(ops)
    assert alice.get(f"{location}/result").get_json() == value


def test_a_deferred_call_is_answered_by_its_id(alice: Client, ops: Operations, service: QueueService) -> None:
    answer = alice.post("/ops/create_contact", CONTACT, Prefer="respond-async")
    facts = answer.get_json()
    assert (answer.status_code, facts["state"], facts["operation"]) == (202, "queued", "create_contact")
    assert answer.location == facts["links"]["self"] == f"/ops/runs/{facts['id']}"
    assert answer.headers["Preference-Applied"] == "respond-async"
    assert names(service) == []
    early = alice.get(facts["links"]["result"])
    assert (early.status_code, early.headers["Retry-After"], early.get_json()["code"]) == (409, "1", "not_finished")
    drain(ops)
    assert alice.get(answer.location).get_json()["state"] == "succeeded"
    late = alice.get(facts["links"]["result"])
    assert (late.status_code, late.get_json()["name"], names(service)) == (200, "Ann", ["Ann"])


@pytest.mark.parametrize(("options", "prefer", "status"), [
    ({"defer": True}, "", 202),
    ({}, "", 200),
    ({"defer": False}, "respond-async", 200),
    ({"delay": 0}, "", 202),
    ({"delay": 60}, "", 202),
    ({"release_time": "2100-01-01T00:00:00+02:00"}, "", 202),
    ({"expires": 60}, "", 202),
    ({"expires": "2100-01-01T00:00:00Z"}, "", 202),
    ({}, "RESPOND-ASYNC", 202),
    ({}, "return=minimal, respond-async; x=1", 202),
    ({}, 'x="a, respond-async"', 200),
    ({}, "respond-async=no", 200),
    ({}, "wait=1", 200),
])  # fmt: skip
def test_who_asks_for_it_gets_it(alice: Client, options: Any, prefer: str, status: int) -> None:
    answer = alice.post("/ops/echo", 1, options, Prefer=prefer)
    assert answer.status_code == status, answer.text


def test_several_headers_are_one(app: Flask) -> None:
    sent = [("Prefer", "handling=strict"), ("Prefer", "respond-async"), ("Authorization", "Bearer alice")]
    answer = app.test_client().post("/ops/echo", json={}, headers=sent)
    assert answer.status_code == 202


def test_what_cannot_be_deferred_is_refused_and_not_executed(alice: Client) -> None:
    for answer in (alice.post("/ops/now", options={"defer": True}), alice.post("/ops/now", Prefer="respond-async")):
        assert (answer.status_code, answer.get_json()["code"]) == (409, "not_queueable")


def test_the_end_is_waited_for(service: QueueService, monkeypatch: pytest.MonkeyPatch) -> None:
    app = create_app(service, max_wait=30)
    ops: Operations = app.extensions["tests"]
    alice, wait = Client(app), ops.wait

    def worked(call_id: str, timeout: float, **options: Any) -> Any:
        ops.drain()
        return wait(call_id, timeout, **options)

    monkeypatch.setattr(ops, "wait", worked)
    answer = alice.post("/ops/echo", "x", Prefer="respond-async, wait=99")
    assert (answer.status_code, answer.get_json()) == (200, "x")
    assert answer.headers["Preference-Applied"] == "respond-async, wait=30"
    assert alice.get(answer.headers["Content-Location"]).get_json() == "x"
    answer = alice.post("/ops/refuse", Prefer="respond-async, wait=99")
    assert (answer.status_code, answer.get_json()["code"]) == (422, "duplicate")
    assert alice.get(f"{alice.defer('echo')}?wait=7.5").get_json()["state"] == "succeeded"


def test_who_waits_in_vain_is_told_how_it_stands(service: QueueService) -> None:
    alice = Client(create_app(service, max_wait=0.01))
    answer = alice.post("/ops/echo", "x", Prefer="respond-async, wait=9")
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (202, "respond-async, wait=0")
    assert alice.get(f"{answer.location}?wait=60").get_json()["state"] == "queued"


# --- keys ---


def test_the_same_key_is_the_same_call(alice: Client, bob: Client, ops: Operations) -> None:
    first, again = (alice.post("/ops/create_contact", CONTACT, Idempotency_Key=key) for key in ("k", '"k"'))
    assert first.get_json() == again.get_json()
    other = alice.post("/ops/create_contact", {"name": "Bob"}, Idempotency_Key="k")
    assert (other.status_code, other.get_json()["code"]) == (422, "key_reused")
    deferred = [alice.post("/ops/echo", 1, {"defer": True}, Idempotency_Key="d").location for _ in range(2)]
    assert deferred[0] == deferred[1]
    waiting = alice.post("/ops/echo", 1, Idempotency_Key="d")
    assert (waiting.status_code, waiting.get_json()["code"]) == (409, "still_running")
    assert (waiting.location, waiting.headers["Retry-After"]) == (deferred[0], "1")
    assert bob.post("/ops/echo", 2, Idempotency_Key="d").status_code == 200


def test_an_operation_that_takes_no_key_says_so(alice: Client) -> None:
    answer = alice.post("/ops/zoo", {"animals": []}, Idempotency_Key="k")
    assert (answer.status_code, answer.get_json()["code"]) == (422, "not_idempotent")


@pytest.mark.parametrize("key", ["", " ", '"', '"a', '""', "ä", "k" * 191, '"a"b"', "a\tb"])
def test_odd_keys_are_refused(alice: Client, key: str) -> None:
    answer = alice.post("/ops/echo", 1, Idempotency_Key=key)
    assert answer.status_code == 422
    assert "Idempotency-Key" in answer.get_json()["detail"]


def test_quotes_and_backslashes_may_stand_in_a_quoted_key(alice: Client) -> None:
    one = alice.post("/ops/echo", 1, {"defer": True}, Idempotency_Key=r'"a\"b\\c"')
    assert one.location == alice.post("/ops/echo", 1, {"defer": True}, Idempotency_Key=r"a\"b\\c".replace("\\\\", "\\")
                                      .replace('\\"', '"')).location  # fmt: skip


# --- errors ---


def test_the_no_of_an_operation_is_told(alice: Client, ops: Operations) -> None:
    answer = alice.post("/ops/refuse")
    told = answer.get_json()
    assert (answer.status_code, answer.content_type) == (422, "application/problem+json")
    assert told == {
        "type": "about:blank", "title": "Unprocessable Content", "status": 422, "code": "duplicate",
        "detail": "there is one already", "errors": {"at": ["name"]},
    }  # fmt: skip
    location = alice.defer("refuse")
    drain(ops)
    assert alice.get(location).get_json()["error"]["code"] == "duplicate"
    later = alice.get(f"{location}/result")
    assert (later.status_code, later.get_json()) == (answer.status_code, told)


def test_a_status_of_its_own_is_answered_directly_with_a_key_and_later(alice: Client, ops: Operations) -> None:
    answer = alice.post("/ops/conflict")
    assert (answer.status_code, answer.get_json()["code"]) == (409, "conflict")
    location = alice.defer("conflict")
    drain(ops)
    assert alice.get(location).get_json()["error"]["status"] == 409
    keyed = [alice.post("/ops/conflict", headers={"Idempotency-Key": "k"}) for _ in range(2)]
    for later in (alice.get(f"{location}/result"), *keyed):
        assert (later.status_code, later.get_json()) == (answer.status_code, answer.get_json())


def test_a_mistake_of_the_program_is_no_business_of_the_caller(
    alice: Client, ops: Operations, caplog: pytest.LogCaptureFixture
) -> None:
    answers = [alice.post("/ops/crash"), alice.post("/ops/crash", Idempotency_Key="k")]
    assert SECRET in caplog.text
    location = alice.defer("crash")
    drain(ops)
    assert alice.get(location).get_json()["state"] == "dead"
    for answer in [*answers, alice.get(f"{location}/result"), alice.get(location)]:
        assert SECRET not in answer.text + str(answer.headers)
        assert "Traceback" not in answer.text
    for answer in [*answers, alice.get(f"{location}/result")]:
        assert (answer.status_code, answer.get_json()["code"]) == (500, "internal_error")


@pytest.mark.parametrize("error", [SpecError, SerializationError, DatabaseError, LeaseLost, SystemExit, KeyError])
def test_whatever_it_raises_is_no_business_of_the_caller(
    alice: Client, ops: Operations, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    @ops.operation("odd", idempotent=True)
    def odd(ctx: Any, data: Any) -> None:
        raise error(SECRET)

    for headers in ({}, {"Idempotency_Key": "k"}):
        answer = alice.post("/ops/odd", **headers)
        assert (answer.status_code, answer.get_json()["code"]) == (500, "internal_error")
        assert SECRET not in answer.text
    assert SECRET in caplog.text


def test_too_many_calls_are_told_when_to_come_back(alice: Client) -> None:
    alice.defer("few")
    answer = alice.post("/ops/few", options={"defer": True})
    assert (answer.status_code, answer.get_json()["code"]) == (429, "too_many_calls")
    assert answer.headers["Retry-After"] == "5"


def test_data_that_do_not_fit_are_told_place_by_place(alice: Client) -> None:
    wrong = {"name": "", "addresses": [{"street": "x", "zip": "1"}], "born": "tomorrow", "more": 1}
    for options in ({}, {"defer": True}):
        answer = alice.post("/ops/create_contact", wrong, options)
        told = answer.get_json()
        assert (answer.status_code, told["code"]) == (422, "invalid_data")
        places = [one["at"] for one in told["errors"]]
        assert sorted(places, key=str) == sorted([["name"], ["addresses", 0, "zip"], ["born"], ["more"]], key=str)


def test_what_cannot_be_stored_is_refused(service: QueueService) -> None:
    alice = Client(create_app(service, max_bytes=3_000_000))
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    for data, word in ((["a\x00b"], "NUL"), (deep, "nested"), ("x" * 2_000_000, "bytes")):
        for headers in ({"Prefer": "respond-async"}, {"Idempotency_Key": "k"}):
            answer = alice.post("/ops/echo", data, **headers)
            assert (answer.status_code, word in answer.get_json()["detail"]) == (422, True), answer.text
    assert alice.post("/ops/echo", "x" * 3_000_000).status_code == 413


def test_a_database_that_is_away_is_503(tmp_path: Any) -> None:
    service = QueueService(create_engine(f"sqlite:///{tmp_path}/no/such/folder/x.db"))
    alice = Client(create_app(service))
    for answer in (
        alice.post("/ops/echo", options={"defer": True}), alice.get("/ops/runs"), alice.get(f"/ops/runs/{'0' * 32}"),
        alice.post("/ops/create_contact", CONTACT), alice.post("/ops/echo", Idempotency_Key="k"),
    ):  # fmt: skip
        assert (answer.status_code, answer.headers.get("Retry-After")) == (503, "5"), answer.text
        assert str(tmp_path) not in answer.text
    assert alice.post("/ops/echo", 1).get_json() == 1
    service.close()
