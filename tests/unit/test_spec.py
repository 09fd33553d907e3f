"""The options of a queue: names, types, ranges and what follows from them."""

from __future__ import annotations

from typing import Any

import pytest

from taskqueue.errors import SpecError
from taskqueue.spec import QueueSpec, check_name, check_options, check_weight, make_spec, nearest, shown

YEAR = 366 * 86_400


def test_every_option_has_a_default() -> None:
    spec = make_spec("jobs", "Sql", {})

    assert spec == QueueSpec(name="jobs", type="Sql")
    assert (spec.agent, spec.batch_limit, spec.error, spec.is_persistent) == (None, 1, None, True)
    assert (spec.lease_time, spec.payload, spec.retry_interval, spec.retry_limit) == (3600, None, None, 0)
    assert (spec.concurrency_limit, spec.keep_result, spec.complete_when_empty) == (None, None, False)
    assert (spec.retry_backoff, spec.status, spec.template, spec.is_template) == (1, "active", None, False)
    assert spec.policy == "abort"


GOOD = {
    "agent": [None, "browser", "server"],
    "batch_limit": [1, 2**31 - 1],
    "error": ["abort", "delete", "dead"],
    "is_persistent": [True, False],
    "lease_time": [0.001, 1, YEAR],
    "payload": [None, "task", "my.handler"],
    "retry_interval": [None, 0, 0.5, YEAR],
    "retry_limit": [0, 2**31 - 1],
    "retry_backoff": [1, 1.5, 100],
    "concurrency_limit": [None, 1, 2**31 - 1],
    "keep_result": [None, 0.1, YEAR],
    "complete_when_empty": [True, False],
    "status": ["active", "draft", "paused", "completed", "aborted"],
    "template": [None, "pattern"],
    "is_template": [True, False],
}
BAD: dict[str, list[Any]] = {
    "agent": ["both", "", True, 1, ["server"]],
    "batch_limit": [0, -1, 1.0, True, "1", None, 2**31],
    "error": ["ignore", "", True, 1],
    "is_persistent": [1, "yes", None],
    "lease_time": [0, -1, None, True, "60", YEAR + 1, float("inf"), float("nan"), 10**400],
    "payload": ["", "two words", 1, "ü"],
    "retry_interval": [-1, True, "1", YEAR + 1, float("nan"), float("inf")],
    "retry_limit": [-1, 1.5, True, "1", None, 2**31],
    "retry_backoff": [0.99, 0, -1, None, True, float("nan"), float("inf")],
    "concurrency_limit": [0, 1.5, True, "1", 2**31],
    "keep_result": [0, -1, True, "1", YEAR + 1, float("nan")],
    "complete_when_empty": [1, "no", None],
    "status": ["deleted", "", None, "ACTIVE", 1],
    "template": ["", "two words", 1],
    "is_template": [1, "no", None],
}


def cases(table: dict[str, list[Any]]) -> list[Any]:
    return [pytest.param(key, value, id=f"{key}={shown(value)}") for key, values in table.items() for value in values]


@pytest.mark.parametrize("key, value", cases(GOOD))
def test_a_good_value_is_taken_over(key: str, value: Any) -> None:
    options = {"error": "delete", key: value}

    assert getattr(make_spec("jobs", "Sql", options), key) == value


@pytest.mark.parametrize("key, value", cases(BAD))
def test_a_bad_value_is_refused_and_named(key: str, value: Any) -> None:
    with pytest.raises(SpecError, match=f"^option {key} must be .*, not "):
        make_spec("jobs", "Sql", {key: value})


def test_the_tables_of_these_tests_know_every_option() -> None:
    assert set(GOOD) == set(BAD) == {*QueueSpec("x", "y").options(), "status"}


@pytest.mark.parametrize(
    "given, hint",
    [("retry_limits", "retry_limit"), ("leasetime", "lease_time"), ("batch_size", "batch_limit"), ("erorr", "error")],
)
def test_an_unknown_option_is_refused_with_the_nearest_and_all_known_ones(given: str, hint: str) -> None:
    with pytest.raises(SpecError, match=rf"'{given}'( \(did you mean '{hint}'\?\))?; known are agent, batch_limit"):
        check_options({given: 1})


def test_the_nearest_value_is_named() -> None:
    with pytest.raises(SpecError, match=r"not 'delte' .did you mean 'delete'"):
        check_options({"error": "delte"})


@pytest.mark.parametrize("payload", [None, "task"])
def test_a_queue_of_tasks_for_workers_must_name_its_error_policy(payload: str | None) -> None:
    with pytest.raises(SpecError, match="error='abort', 'delete' or 'dead'"):
        make_spec("jobs", "Sql", {"agent": "server", "payload": payload})


def test_a_queue_of_other_payload_for_workers_need_not() -> None:
    assert make_spec("jobs", "Sql", {"agent": "server", "payload": "thumbnail"}).policy == "abort"


def test_a_change_is_checked_like_a_creation() -> None:
    spec = make_spec("jobs", "Sql", {"agent": "server", "error": "dead"})

    assert spec.changed({"retry_limit": 3}).retry_limit == 3
    assert spec.retry_limit == 0
    with pytest.raises(SpecError):
        spec.changed({"error": None})
    with pytest.raises(SpecError):
        spec.changed({"name": "other"})


def test_runner_means_agent_and_payload() -> None:
    with pytest.warns(DeprecationWarning, match="agent='server' and payload="):
        options = check_options({"runner": "task"})

    assert options == {"agent": "server", "payload": "task"}


def test_what_is_given_beside_runner_wins() -> None:
    with pytest.warns(DeprecationWarning):
        options = check_options({"runner": "task", "agent": "browser", "payload": "thumbnail"})

    assert options == {"agent": "browser", "payload": "thumbnail"}


def test_options_come_back_as_they_were_given() -> None:
    spec = make_spec("jobs", "Sql", {"error": "dead", "retry_limit": 2, "status": "paused"})

    assert make_spec("jobs", "Sql", {**spec.options(), "status": spec.status}) == spec
    assert not {"name", "type", "status"} & spec.options().keys()


@pytest.mark.parametrize(
    "interval, backoff, failures, seconds",
    [
        (None, 1, 1, 0),
        (0, 5, 9, 0),
        (10, 1, 1, 10),
        (10, 1, 7, 10),
        (10, 2, 1, 10),
        (10, 2, 4, 80),
        (10, 2, 0, 10),
        (10, 10, 5000, YEAR),
        (10, 1e7, 60, YEAR),
    ],
)
def test_the_pause_before_a_retry_grows_by_the_backoff_up_to_a_year(
    interval: float | None, backoff: float, failures: int, seconds: float
) -> None:
    spec = make_spec("jobs", "Sql", {"retry_interval": interval, "retry_backoff": backoff})

    assert spec.retry_delay(failures) == seconds


@pytest.mark.parametrize("name", ["a", "A.b:c_d-9", "x" * 128])
def test_a_good_name_is_a_name(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "x" * 129, "a b", "a\n", "ä", "٣", "a/b", None, 1, b"a"], ids=repr)
def test_a_bad_name_is_none(name: Any) -> None:
    with pytest.raises(SpecError, match="cannot name a queue"):
        check_name(name)


@pytest.mark.parametrize("weight", [-(2**31), 0, 2**31 - 1])
def test_a_weight_has_32_bits(weight: int) -> None:
    assert check_weight(weight) == weight


@pytest.mark.parametrize("weight", [-(2**31) - 1, 2**31, 1.0, True, "1", None], ids=repr)
def test_what_has_not_is_no_weight(weight: Any) -> None:
    with pytest.raises(SpecError, match="weight must be a whole number"):
        check_weight(weight)


def test_long_values_are_shown_short() -> None:
    assert len(shown("x" * 1000)) == 80
    assert shown([1]) == "[1]"


def test_only_similar_words_are_suggested() -> None:
    assert nearest("pausd", ["paused", "active"]) == " (did you mean 'paused'?)"
    assert nearest("zzz", ["paused", "active"]) == ""
