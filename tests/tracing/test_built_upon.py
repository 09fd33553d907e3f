"""What is built upon queues is traced as they are: the outbox, operations, schedules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from taskqueue import QueueService, Runner, Task
from taskqueue.operations import Operations
from taskqueue.outbox import Outbox, queued
from tests.outbox.conftest import flush
from tests.outbox.services import Told
from tests.tracing import jobs
from tests.tracing.collected import Collected, is_child, status


@pytest.fixture
def service(tmp_path: Path) -> Iterator[QueueService]:
    """A service on a file."""
    made = QueueService(f"sqlite:///{tmp_path / 'test.db'}")
    yield made
    made.close()


def test_a_message_is_delivered_in_the_trace_of_its_transaction(service: QueueService, made: Collected) -> None:
    outbox, told = Outbox(service), Told(ValueError("password=hunter2"), "result-of-the-call")
    outbox.register("told", told, max_attempts=2)
    with Session(service.engine) as session, made.tracer.start_as_current_span("request") as request:
        queued(told, session).work("argument")
        session.commit()
        [row] = session.scalars(select(outbox.Message))
        assert (row.target, row.event, "traceparent" in row.msg) == ("told", "work", False)
    outbox.flush()
    sent = made.one("send outbox")
    assert sent.parent.span_id == request.get_span_context().span_id
    assert sent.attributes["taskqueue.callback"] == "told.work"
    [first] = made.named("process outbox")
    assert is_child(first, sent)
    assert (first.attributes["taskqueue.outcome"], status(first)[0]) == ("retry", "ERROR")
    assert first.attributes["taskqueue.callback"] == "told.work"

    flush(outbox, 3600)
    _, second, *news = made.named("process outbox")
    assert is_child(second, sent)
    assert second.attributes["taskqueue.outcome"] == "ok"
    assert len(news) == 2
    assert all(is_child(span, second) for span in news)
    assert {span.context.trace_id for span in news} == {sent.context.trace_id}
    assert not any(word in made.text() for word in ("argument", "result-of", "hunter2"))


def test_a_deferred_call_is_executed_in_the_trace_of_its_caller(service: QueueService, made: Collected) -> None:
    ops = Operations(service)
    ops.operation("double", queueable=True)(lambda ctx, data: data * 2)
    with made.tracer.start_as_current_span("request") as request:
        call = ops.defer("double", 21)
    ops.drain()
    assert ops.result(call.id) == 42
    sent, processed = made.one("send operations"), made.one("process operations")
    assert sent.parent.span_id == request.get_span_context().span_id
    assert is_child(processed, sent)
    assert sent.attributes["taskqueue.callback"] == processed.attributes["taskqueue.callback"] == "double"
    assert sent.attributes["messaging.message.id"] == processed.attributes["messaging.message.id"]


def test_a_call_with_a_key_is_part_of_its_caller(service: QueueService, made: Collected) -> None:
    ops = Operations(service)
    ops.operation("double", idempotent=True)(lambda ctx, data: data * 2)
    with made.tracer.start_as_current_span("request"):
        assert ops.call("double", 21, key="k", user="alice") == 42
    assert made.named("send operations") == []
    assert is_child(made.one("process operations"), made.one("request"))


def test_what_a_schedule_puts_on_a_queue_has_a_trace_of_its_own(service: QueueService, made: Collected) -> None:
    queue = service.create("Sql", "jobs")
    service.schedule("nightly", "0 3 * * *", Task(jobs.note), queue="jobs")
    service.run_schedule("nightly")
    Runner(queue).run_all()
    assert made.named("send jobs") == []
    assert made.one("process jobs").parent is None


def test_what_an_inbox_receives_is_traced(service: QueueService, made: Collected) -> None:
    queue: Any = service.create("Sql", "jobs")
    assert queue.receive(Task(jobs.note), "key-of-the-message")
    [item] = queue.items()
    assert item.trace_context is not None
    assert made.one("send jobs").attributes["taskqueue.callback"] == "tests.tracing.jobs:note"
