"""An operation that has another name after a deployment, and the old one as an alias."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from taskqueue import QueueService
from taskqueue.operations import KeyReused, Operations
from tests.operations.conftest import drain
from tests.operations.crowd import Count


@pytest.fixture
def done() -> Count:
    """What was executed."""
    return Count()


@pytest.fixture
def newer(url: str, ops: Operations, done: Count) -> Iterator[Operations]:
    """The application after the deployment; ``ops`` is the one before."""
    ops.operation("old", queueable=True, idempotent=True, retry=1)(lambda ctx, data: done.add(data))
    made = QueueService(url)
    operations = Operations(made)

    @operations.operation("new", queueable=True, idempotent=True, retry=2, aliases=["older", "old"])
    def new(ctx: object, data: str) -> str:
        if done.add(data) == 1 and data == "die":
            raise ValueError
        return ctx.operation  # type: ignore[attr-defined, no-any-return]

    yield operations
    made.close()


def test_calls_of_before_are_executed(ops: Operations, newer: Operations, done: Count) -> None:
    bad, good = ops.defer("old", "die"), ops.defer("old", "a")
    drain(newer)
    assert (newer.result(good.id), newer.get(bad.id).state) == ("new", "retrying")
    drain(newer, 60)
    assert (newer.result(bad.id), done.done) == ("new", ["die", "a", "die"])


def test_keys_of_before_stay_known(ops: Operations, newer: Operations, done: Count) -> None:
    first = ops.defer("old", "a", key="k")
    assert newer.defer("new", "a", key="k").id == first.id
    assert newer.defer("old", "a", key="k").id == first.id
    with pytest.raises(KeyReused):
        newer.call("new", "b", key="k")
    drain(newer)
    assert newer.defer("new", "a", key="k").id == first.id
    assert done.done == ["a"]
