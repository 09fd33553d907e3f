"""What an operation reports is shown with the state of its call, and goes with its end."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from taskqueue import QueueService
from taskqueue.operations import OperationFailed, Operations, Progress
from tests.operations.conftest import contacts, drain, names


@pytest.mark.parametrize("end", ["succeeded", "failed", "retrying"])
def test_reports_are_shown_while_it_runs_and_not_after(ops: Operations, service: QueueService, end: str) -> None:
    has_reported, may_go_on = threading.Event(), threading.Event()

    @ops.operation("count", queueable=True)
    def count(ctx: Any, data: Any) -> None:
        ctx.report(3, 12, "Zeile\0 3" + "x" * 1000)
        has_reported.set()
        assert may_go_on.wait(60)
        if end != "succeeded":
            raise OperationFailed("no") if end == "failed" else ValueError()

    call = ops.defer("count")
    assert call.progress is None
    draining = threading.Thread(target=drain, args=[ops])
    draining.start()
    assert has_reported.wait(60)
    seen = ops.get(call.id)
    may_go_on.set()
    draining.join()
    assert seen.state == "running"
    assert seen.progress is not None and (seen.progress.done, seen.progress.total) == (3, 12)
    assert seen.progress.message.startswith("Zeile") and len(seen.progress.message) == 500
    assert (ops.get(call.id).state, ops.get(call.id).progress) == (end, None)
    assert not service.database.transaction(lambda tx: tx.rows("SELECT * FROM {activity}"))


def test_numbers_that_are_none_are_passed_over(ops: Operations) -> None:
    seen: list[Progress | None] = []

    @ops.operation("count", queueable=True)
    def count(ctx: Any, data: Any) -> None:
        ctx.report(10**400, float("nan"), "some")
        seen.append(ops.get(ctx.tracking_id).progress)

    drain_one(ops, "count")
    assert seen == [None]


def test_one_that_writes_is_not_held_up_by_its_reports(
    ops: Operations, service: QueueService, caplog: pytest.LogCaptureFixture
) -> None:
    @ops.operation("write", queueable=True)
    def write(ctx: Any, data: Any) -> None:
        for number in range(3):
            ctx.session.execute(contacts.insert().values(name=str(number)))
            ctx.report(number, 3)

    with caplog.at_level(logging.WARNING):
        drain_one(ops, "write")
    assert (names(service), caplog.records) == (["0", "1", "2"], [])


def test_a_direct_call_reports_to_nobody(ops: Operations) -> None:
    ops.operation("count")(lambda ctx, data: ctx.report(1, 2))
    assert ops.call("count") is None


def drain_one(ops: Operations, name: str) -> None:
    call = ops.defer(name)
    assert drain(ops) == 1
    assert ops.get(call.id).state == "succeeded", ops.get(call.id).error
