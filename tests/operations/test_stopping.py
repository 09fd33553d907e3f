"""What becomes of a call that is asked to stop while it runs, as the guide tells it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from taskqueue.operations import OperationFailed, Operations
from tests.operations.conftest import drain


class Stopped(Exception):
    """As in the guide: the work was given up."""


@pytest.mark.parametrize(
    ("raised", "state"),
    [(None, "succeeded"), (OperationFailed("no"), "failed"), (Stopped(), "cancelled")],
    ids=["returns", "says_no", "raises"],
)
def test_what_becomes_of_one_that_was_cancelled(ops: Operations, raised: Exception | None, state: str) -> None:
    @ops.operation("work", queueable=True)
    def work(ctx: Any, data: Any) -> str:
        ops.cancel(ctx.tracking_id)
        if raised is not None:
            raise raised
        return "half of it"

    call = ops.defer("work")
    assert (drain(ops), ops.get(call.id).state, drain(ops, 60)) == (1, state, 0)


def test_one_that_raises_because_its_worker_stops_is_given_back(ops: Operations) -> None:
    stop, looked = threading.Event(), []

    @ops.operation("work", queueable=True, retry=1)
    def work(ctx: Any, data: Any) -> str:
        if not looked:
            stop.set()
        looked.append(ctx.should_stop)
        if ctx.should_stop:
            raise Stopped
        return "all of it"

    call = ops.defer("work")
    ops.drain(stop=stop)
    found = ops.get(call.id)
    assert (found.state, found.attempts) == ("queued", 0)
    drain(ops)
    assert (ops.result(call.id), ops.get(call.id).attempts, looked) == ("all of it", 1, [True, False])
