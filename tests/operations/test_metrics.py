"""Attempts at deferred calls are counted by operation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from taskqueue.metrics.counters import process_counters
from taskqueue.operations import OperationFailed, Operations
from taskqueue.signals import item_finished
from tests.operations.conftest import drain


@pytest.fixture(autouse=True)
def counting() -> Iterator[None]:
    """Counters that begin at nothing, and that count nothing after the test."""
    process_counters.cache_clear()
    process_counters()
    yield
    item_finished.disconnect(process_counters().count)
    process_counters.cache_clear()


def test_attempts_are_counted_by_operation_and_outcome(ops: Operations) -> None:
    @ops.operation("note", queueable=True, retry=2)
    def note(ctx: Any, data: Any) -> None:
        if data is not None:
            raise data_errors[data]

    data_errors = {"no": OperationFailed("no"), "boom": ValueError("boom")}
    ops.finished(lambda call: None)
    for data in (None, "no", "boom"):
        ops.defer("note", data)
    drain(ops)
    drain(ops, 60)

    def attempts(**labels: str) -> float | None:
        return process_counters().registry.get_sample_value("taskqueue_operation_attempts_total", labels)

    assert [attempts(operation="note", outcome=outcome) for outcome in ("ok", "retry", "dead")] == [2, 1, 1]
    assert process_counters().registry.get_sample_value(
        "taskqueue_attempts_total", {"queue": "operations", "outcome": "ok"}
    ) == 2 + 3  # fmt: skip
