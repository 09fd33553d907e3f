"""Two applications on one database, each with operations, and a queue for their calls, of its own."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from taskqueue import QueueService, SpecError, Worker
from taskqueue.operations import Operations
from taskqueue.operations.administration import Counts
from tests.operations.conftest import drain


@pytest.fixture
def other(url: str, ops: Operations) -> Iterator[Operations]:
    """The other application; ``ops`` has the operation "note"."""
    ops.operation("note", queueable=True)(lambda ctx, data: data)
    made = QueueService(url)
    operations = Operations(made, queue="of_the_other")
    operations.operation("count", queueable=True)(lambda ctx, data: len(data))
    yield operations
    made.close()


@pytest.mark.parametrize("how", ["drain", "work", "named"])
def test_each_leaves_the_calls_of_the_other_alone(ops: Operations, other: Operations, how: str) -> None:
    theirs, ours = ops.defer("note", "a"), other.defer("count", "abc")
    if how == "drain":
        drain(other)
    else:
        Worker(other.service, ["operations", "of_the_other"] if how == "named" else None).drain()
    assert (ops.get(theirs.id).state, other.result(ours.id)) == ("queued", 3)
    drain(ops)
    assert ops.result(theirs.id) == "a"


def test_dead_letters_and_strays_of_the_other_are_none_of_ours(ops: Operations, other: Operations) -> None:
    ops.defer("note", "a")
    assert other.administration.counts() == Counts(0, 0, 0, 0, ())
    ops.finished(lambda call: None)
    stray = ops.defer("note", "b")
    ops.service.load("operations").reset()
    other.drain()
    ended = "SELECT COUNT(*) FROM {operation} WHERE end_time > 0"
    assert int(ops.service.database.statement(lambda tx: tx.row(ended)[0])) == 0
    assert ops.get(stray.id).state == "cancelled"


def test_calls_on_a_queue_whose_name_was_changed_are_not_stranded_in_silence(
    ops: Operations, other: Operations, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    call = ops.defer("note", "a")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            Worker(other.service).drain()
    [told] = [record.message for record in caplog.records if "former_queues" in record.message]
    assert told.endswith("say Operations(service, queue='of_the_other', former_queues=['operations'])")
    made = QueueService(url)
    renamed = Operations(made, queue="of_the_other", former_queues=["operations"])
    renamed.operation("note", queueable=True)(lambda ctx, data: data)
    Worker(made).drain()
    assert renamed.result(call.id) == "a"
    made.close()


@pytest.mark.parametrize("given", ["operations", 7, ["a b"], None])
def test_names_that_are_none_are_refused(service: QueueService, given: object) -> None:
    with pytest.raises(SpecError):
        Operations(service, former_queues=given)  # type: ignore[arg-type]
