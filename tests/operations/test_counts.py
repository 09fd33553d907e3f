"""What stands on the queues of operations, as ``drain`` tells it."""

from __future__ import annotations

from typing import Any

from taskqueue.operations import Call, Operations
from taskqueue.operations.administration import Counts
from tests.operations.conftest import drain


def test_calls_are_counted_apart_from_what_tells_of_their_ends(ops: Operations) -> None:
    @ops.operation("break", queueable=True, retry=1)
    def fail(ctx: Any, data: Any) -> None:
        raise ValueError("boom")

    ops.operation("nothing", queueable=True)(lambda ctx, data: None)

    @ops.finished
    def refuse(call: Call) -> None:
        raise ValueError("nobody listens")

    assert ops.administration.counts() == Counts(0, 0, 0, 0, ())
    for name in ("break", "nothing"):
        ops.defer(name)
    ops.defer("nothing", delay=60)
    drain(ops)
    assert ops.administration.counts().dead == 1
    assert ops.administration.counts().waiting == 1
    assert ops.administration.counts().queues[:1] == ("operations",)
