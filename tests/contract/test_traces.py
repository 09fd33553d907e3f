"""Traces: who enqueued an item, and each attempt at it, wherever it stood meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from taskqueue import BatchQueue, Runner, Task, TaskContext, run_loop
from tests.contract import tasks
from tests.contract.backends import Backend, only_sql
from tests.contract.conftest import MakeQueue, MakeService
from tests.contract.store import stored
from tests.tracing.collected import Collected, failures, is_child, status

SEND, PROCESS = "send jobs", "process jobs"


@pytest.fixture
def made() -> Iterator[Collected]:
    """What is traced."""
    collected = Collected()
    yield collected
    collected.close()


def test_an_item_is_executed_in_the_trace_of_who_enqueued_it(
    queue: BatchQueue, other: BatchQueue, made: Collected
) -> None:
    with made.tracer.start_as_current_span("request") as request:
        item = queue.enqueue(tasks.note, "x")
    assert Runner(other).run_all()

    sent, processed = made.one(SEND), made.one(PROCESS)
    assert (sent.parent.span_id, is_child(processed, sent)) == (request.get_span_context().span_id, True)
    assert (sent.kind.name, processed.kind.name) == ("PRODUCER", "CONSUMER")
    common = {
        "messaging.system": "taskqueue", "messaging.destination.name": "jobs",
        "messaging.message.id": str(item.id), "taskqueue.callback": "tests.contract.tasks:note",
    }  # fmt: skip
    operation = {"messaging.operation.name": "send", "messaging.operation.type": "send"}
    assert dict(sent.attributes) == common | operation
    operation = {"messaging.operation.name": "process", "messaging.operation.type": "process"}
    assert dict(processed.attributes) == common | operation | {"taskqueue.attempt": 1, "taskqueue.outcome": "ok"}
    assert status(processed) == status(sent) == ("UNSET", None)


def test_each_attempt_is_a_span_of_the_same_trace(make_queue: MakeQueue, made: Collected) -> None:
    queue = make_queue(retry_limit=1, error="dead")
    queue.enqueue(tasks.fail, "password=hunter2 is wrong\nand so on")
    Runner(queue).run_all()

    first, second = made.named(PROCESS)
    sent = made.one(SEND)
    assert is_child(first, sent)
    assert is_child(second, sent)
    found = [(span.attributes["taskqueue.attempt"], span.attributes["taskqueue.outcome"]) for span in (first, second)]
    assert found == [(1, "retry"), (2, "dead")]
    for span in (first, second):
        assert status(span) == ("ERROR", "ValueError: password=[hidden] is wrong")
        [failure] = failures(span)
        assert failure["exception.type"] == span.attributes["error.type"] == "ValueError"
        assert failure["exception.message"] == "ValueError: password=[hidden] is wrong\nand so on"
        assert "in fail" in failure["exception.stacktrace"]
    assert "hunter2" not in made.text()


def test_a_dead_letter_keeps_its_trace(make_queue: MakeQueue, made: Collected) -> None:
    queue = make_queue(error="dead")
    item = queue.enqueue(tasks.fail)
    context = item.trace_context
    Runner(queue).run_all()
    [letter] = queue.dead_items()
    assert (letter.args, letter.kwargs, letter.data) == ((), {}, Task(tasks.fail))

    assert context is not None
    assert queue.revive_item(item.id).trace_context == context
    Runner(queue).run_all()
    assert [is_child(span, made.one(SEND)) for span in made.named(PROCESS)] == [True, True]


def test_many_items_are_sent_by_one_span(queue: BatchQueue, made: Collected) -> None:
    queue.create_items(Task(tasks.note, (number,)) for number in range(3))
    Runner(queue).run_all()

    sent = made.one(SEND)
    assert sent.attributes["messaging.batch.message_count"] == 3
    assert [is_child(span, sent) for span in made.named(PROCESS)] == [True] * 3


def test_what_follows_a_batch_belongs_to_who_made_it(queue: BatchQueue, made: Collected) -> None:
    queue.create_batch([Task(tasks.note)] * 2, Task(tasks.keywords))
    Runner(queue).run_all()

    assert [is_child(span, made.one(SEND)) for span in made.named(PROCESS)] == [True] * 3
    assert made.named(PROCESS)[2].attributes["taskqueue.callback"] == "tests.contract.tasks:keywords"


def test_what_a_task_enqueues_belongs_to_its_span(queue: BatchQueue, made: Collected) -> None:
    queue.create_item(tasks.step(lambda ctx: ctx.queue.enqueue(tasks.note, "inner") and None))
    Runner(queue).run_all()

    outer, inner = made.named(PROCESS)
    outer_sent, inner_sent = sorted(made.named(SEND), key=lambda span: int(span.start_time))
    assert is_child(inner_sent, outer)
    assert is_child(inner, inner_sent)
    assert is_child(outer, outer_sent)
    assert len({span.context.trace_id for span in (outer, inner, outer_sent, inner_sent)}) == 1


@only_sql
def test_a_transaction_of_the_task_is_part_of_its_span(queue: BatchQueue, made: Collected) -> None:
    def work(ctx: TaskContext) -> None:
        with ctx.transaction():
            ctx.queue.enqueue(tasks.note)

    queue.create_item(tasks.step(work))
    Runner(queue).run_all()

    outer = made.named(PROCESS)[0]
    assert outer.attributes["taskqueue.outcome"] == "ok"
    assert any(is_child(span, outer) for span in made.named(SEND))


def test_a_batch_handler_has_one_span_with_links(make_service: MakeService, backend: Backend, made: Collected) -> None:
    service = make_service()

    @service.handler("thumb", batch=True)
    def thumbs(contexts: list[TaskContext], data: list[Any]) -> list[Any]:
        return [None, ValueError("bad"), None]

    queue = service.create(backend.type, "jobs", payload="thumb", batch_limit=3, error="delete")
    first = queue.create_item(1)
    second = queue.create_item(2)
    queue.create_item(3)
    run_loop(queue)

    processed = made.one(PROCESS)
    assert processed.parent is None
    assert {link.context.span_id for link in processed.links} == {span.context.span_id for span in made.named(SEND)}
    assert processed.attributes["messaging.batch.message_count"] == 3
    assert "taskqueue.outcome" not in processed.attributes
    [failure] = failures(processed)
    assert (failure["messaging.message.id"], failure["taskqueue.outcome"]) == (str(second.id), "delete")
    assert status(processed)[0] == "ERROR"
    assert first.id != second.id


def test_nothing_is_stored_when_nobody_traces(queue: BatchQueue, make_service: MakeService) -> None:
    item = queue.enqueue(tasks.note, "x")
    queue.create_items([1])
    assert [set(json.loads(stored(queue, one))) for one in queue.items()] == [
        {"v", "callback", "args"}, {"v", "data"}
    ]  # fmt: skip
    assert item.trace_context is None


def test_the_trace_is_neither_data_nor_counted_for_the_limit(
    make_service: MakeService, backend: Backend, made: Collected
) -> None:
    queue = make_service(max_bytes=1000).create(backend.type, "jobs")
    item = queue.create_item("x" * (1000 - len('{"v":1,"data":""}')))
    assert set(json.loads(stored(queue, item))) == {"v", "data", "trace"}
    assert set(item.data) == {"x"}
    assert set(json.loads(item.trace_context or "")) == {"traceparent"}
