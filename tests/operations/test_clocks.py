"""Time is the database's: the clocks of the hosts on which clients and workers are may say what they like."""

from __future__ import annotations

from datetime import timedelta

import pytest

from taskqueue import clock, travel
from taskqueue.operations import CallGone, Operations
from tests.operations.conftest import drain

_HOUR = 3_600_000


@pytest.fixture(params=[-_HOUR, _HOUR], ids=["slow", "fast"])
def wrong_clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of this host is an hour off."""
    monkeypatch.setattr(clock, "_origin_ms", clock._origin_ms + request.param)


@pytest.mark.usefixtures("wrong_clock")
def test_a_delay_and_a_deadline_count_from_the_moment_of_the_database(ops: Operations) -> None:
    ops.operation("note", queueable=True)(lambda ctx, data: None)
    later, limited = ops.defer("note", delay=60), ops.defer("note", delay=85, expires=90)
    assert later.due is not None and abs(later.due - later.created - timedelta(seconds=60)) < timedelta(seconds=1)
    assert drain(ops, 50) == 0
    assert drain(ops, 61) == 1
    assert (ops.get(later.id).state, ops.get(limited.id).state) == ("succeeded", "scheduled")
    with travel(91):
        assert ops.get(limited.id).state == "expired"


@pytest.mark.usefixtures("wrong_clock")
def test_a_result_and_its_key_are_kept_by_the_clock_of_the_database(ops: Operations) -> None:
    ops.operation("note", queueable=True, idempotent=True, result_ttl=60)(lambda ctx, data: "ok")
    call = ops.defer("note", key="k")
    drain(ops)
    with travel(50):
        assert (ops.result(call.id), ops.defer("note", key="k").id) == ("ok", call.id)
    with travel(70):
        with pytest.raises(CallGone):
            ops.get(call.id)
        assert ops.defer("note", key="k").id != call.id


def test_a_call_of_which_something_is_left_when_it_is_over_can_be_neither_retried_nor_forgotten(
    ops: Operations,
) -> None:
    ops.operation("note", queueable=True, result_ttl=1)(lambda ctx, data: "ok")
    call = ops.defer("note")
    drain(ops)
    with travel(5):
        for ask in (ops.retry, ops.forget, ops.cancel, ops.result):
            with pytest.raises(CallGone):
                ask(call.id)
