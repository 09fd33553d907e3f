"""Calls on record: listed, ended, tried again."""

from __future__ import annotations

import pytest

from taskqueue.operations import Operations
from tests.operations.conftest import drain
from tests.operations_api.app import Client


def test_the_list_goes_page_by_page(alice: Client, ops: Operations) -> None:
    made = [alice.defer("echo", number).rpartition("/")[2] for number in range(5)]
    seen: list[str] = []
    pages, after = 0, ""
    while after is not None:
        page = alice.get(f"/ops/runs?limit=2{after and '&after=' + after}").get_json()
        seen += [call["id"] for call in page["runs"]]
        pages, after = pages + 1, page["next"]
    assert (sorted(seen), len(seen), pages) == (sorted(made), 5, 3)


def test_the_list_is_narrowed(alice: Client, ops: Operations) -> None:
    alice.defer("echo")
    drain(ops)
    alice.defer("create_contact", {"name": "Ann"})
    later = alice.defer("echo", delay=60)

    def found(query: str) -> list[str]:
        return [call["operation"] for call in alice.get(f"/ops/runs?{query}").get_json()["runs"]]

    assert found("state=succeeded") == ["echo"]
    assert found("operation=new_contact") == ["create_contact"]
    assert found("operation=echo&state=scheduled") == ["echo"]
    assert found("operation=echo&state=dead") == []
    assert alice.get("/ops/runs?operation=nothing").status_code == 404
    assert alice.get(later).get_json()["due"] is not None


def test_a_call_that_waits_is_cancelled_and_then_forgotten(alice: Client, ops: Operations) -> None:
    location = alice.defer("echo")
    answer = alice.delete(location)
    assert (answer.status_code, answer.get_json()["state"]) == (200, "cancelled")
    result = alice.get(f"{location}/result")
    assert (result.status_code, result.get_json()["code"]) == (409, "cancelled")
    forgotten = alice.delete(location)
    assert (forgotten.status_code, forgotten.data, "Content-Type" in forgotten.headers) == (204, b"", False)
    assert [alice.get(location).status_code, alice.delete(location).status_code] == [404, 404]
    assert drain(ops) == 0


def test_who_means_to_cancel_forgets_nothing(alice: Client, ops: Operations) -> None:
    done, waiting = alice.defer("echo", "x"), alice.defer("echo", delay=60)
    drain(ops)
    refused = alice.delete(f"{done}?only=cancel")
    assert (refused.status_code, refused.get_json()["code"]) == (409, "not_possible")
    assert alice.get(f"{done}/result").get_json() == "x"
    assert alice.delete(f"{waiting}?only=cancel").get_json()["state"] == "cancelled"


def test_who_means_to_forget_cancels_nothing(alice: Client, ops: Operations) -> None:
    done, waiting = alice.defer("echo", "x"), alice.defer("echo", delay=60)
    drain(ops)
    refused = alice.delete(f"{waiting}?only=forget")
    assert (refused.status_code, refused.get_json()["code"]) == (409, "not_possible")
    assert alice.get(waiting).get_json()["state"] == "scheduled"
    assert alice.delete(f"{done}?only=forget").status_code == 204
    assert alice.get(done).status_code == 404


@pytest.mark.parametrize("query", ["only=", "only=both", "only=cancel&only=forget", "onyl=cancel"])
def test_who_says_neither_changes_nothing(alice: Client, ops: Operations, query: str) -> None:
    location = alice.defer("echo")
    assert alice.delete(f"{location}?{query}").status_code == 422
    assert alice.get(location).get_json()["state"] == "queued"


def test_one_that_was_not_begun_in_time(alice: Client, ops: Operations) -> None:
    location = alice.defer("echo", expires=10)
    drain(ops, 11)
    result = alice.get(f"{location}/result")
    assert (result.status_code, result.get_json()["code"]) == (409, "expired")


def test_a_dead_call_is_tried_again(alice: Client, ops: Operations) -> None:
    location = alice.defer("crash")
    drain(ops)
    answer = alice.retry(location)
    assert (answer.status_code, answer.location, answer.get_json()["state"]) == (202, location, "queued")
    again = alice.retry(location)
    assert (again.status_code, again.get_json()["code"]) == (409, "not_possible")


def test_after_its_time_a_result_is_gone(alice: Client, ops: Operations) -> None:
    location = alice.defer("echo", "x")
    drain(ops)
    assert alice.get(f"{location}/result?consume=1").get_json() == "x"
    for path in (location, f"{location}/result"):
        answer = alice.get(path)
        assert (answer.status_code, answer.get_json()["code"]) == (410, "gone")
