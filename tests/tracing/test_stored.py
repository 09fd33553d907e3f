"""What stands in the row: a trace is carried, and whatever else stands in its place is ignored."""

from __future__ import annotations

import json
from typing import Any

import pytest

from taskqueue import BatchQueue, QueueService, Runner, Task
from taskqueue.payload import Codec
from taskqueue.spans import trace_in, with_trace
from tests.contract.store import envelope, overwrite, stored
from tests.tracing import jobs
from tests.tracing.collected import Collected, is_child

GOOD = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ID = 0x0AF7651916CD43DD8448EB211C80319C
NAME = "tests.tracing.jobs:note"


def as_text(parent: str) -> str:
    return json.dumps({"traceparent": parent}, separators=(",", ":"))


def run(queue: BatchQueue) -> None:
    assert Runner(queue).run_all()


def test_the_state_of_a_trace_travels_along(queue: BatchQueue, made: Collected) -> None:
    from opentelemetry import trace

    state = trace.TraceState([("vendor", "t61 x~"), ("other", "1")])
    context = trace.SpanContext(ID, 1, is_remote=False, trace_flags=trace.TraceFlags(1), trace_state=state)
    with trace.use_span(trace.NonRecordingSpan(context)):
        queue.enqueue(jobs.note)
    run(queue)
    processed = made.one("process jobs")
    assert processed.context.trace_id == ID
    assert processed.context.trace_state.to_header() == "vendor=t61 x~,other=1"


@pytest.mark.parametrize("header", ["a=" + "x" * 600, 'a="x"', "a=x\\"])
def test_a_state_that_is_long_or_odd_is_left_out(queue: BatchQueue, made: Collected, header: str) -> None:
    class State(dict[str, str]):
        def to_header(self) -> str:
            return header

    from opentelemetry import trace

    context = trace.SpanContext(ID, 1, is_remote=False, trace_flags=trace.TraceFlags(1), trace_state=State(a="x"))  # type: ignore[arg-type]
    with trace.use_span(trace.NonRecordingSpan(context)):
        trace_text = made_by(made)
    assert json.loads(trace_text) == {"traceparent": f"00-{ID:032x}-{1:016x}-01"}


def made_by(made: Collected) -> str:
    from taskqueue import spans

    assert spans.tracer is not None
    found = spans.tracer.carried()
    assert found is not None
    return found


@pytest.mark.parametrize(
    "trace",
    [
        None, 5, "x", [], {}, {"traceparent": 5}, {"traceparent": ""}, {"traceparent": GOOD.upper()},
        {"traceparent": GOOD + "\n"}, {"traceparent": GOOD + "-x"}, {"traceparent": "00-" + "0" * 32 + GOOD[35:]},
        {"traceparent": "ff" + GOOD[2:]}, {"traceparent": GOOD[:36] + "0" * 16 + "-01"},
        {"traceparent": GOOD, "tracestate": "x" * 513}, {"traceparent": GOOD, "tracestate": "é"},
        {"traceparent": GOOD, "tracestate": ["a=b"]}, {"traceparent": GOOD, "more": "x"},
        {"tracestate": "a=b", "traceparent": GOOD}, {"$set": ["x"]}, {"traceparent": "x" * 100_000},
    ],
)  # fmt: skip
def test_what_is_no_trace_is_ignored(queue: BatchQueue, made: Collected, trace: Any) -> None:
    item = queue.enqueue(jobs.note)
    text = json.dumps({"v": 1, "callback": NAME, "args": [], "trace": trace}, separators=(",", ":"))
    overwrite(queue, item, text)
    run(queue)
    processed = made.one("process jobs")
    assert processed.parent is None
    assert (processed.attributes["taskqueue.outcome"], processed.context.trace_id != ID) == ("ok", True)


def test_a_strange_state_is_ignored_and_the_rest_is_not(queue: BatchQueue, made: Collected) -> None:
    item = queue.enqueue(jobs.note)
    trace = json.dumps({"traceparent": GOOD, "tracestate": "no state at all"}, separators=(",", ":"))
    overwrite(queue, item, with_trace(f'{{"v":1,"callback":"{NAME}","args":[]}}', trace))
    run(queue)
    assert made.one("process jobs").context.trace_id == ID


@pytest.mark.parametrize(
    "data",
    [
        {"trace": {"traceparent": GOOD}}, [{"trace": {"traceparent": GOOD}}], f',"trace":{{"traceparent":"{GOOD}"}}',
        f',"trace":{{"traceparent":"{GOOD}"}}}}', f'{{"v":1,"trace":{{"traceparent":"{GOOD}"}}}}',
        Task(NAME, (), kwargs={"trace": {"traceparent": GOOD}}),
        Task(NAME, (), run_as={"trace": {"traceparent": GOOD}}),
        Task(NAME, ({"trace": {"traceparent": GOOD}},)),
    ],
)  # fmt: skip
def test_what_is_called_so_inside_the_data_is_data(data: Any) -> None:
    for codec in (Codec(), Codec(["k" * 16])):
        text = codec.pack(data, "q", "u" * 32)
        assert codec.unpack(text, "q", "u" * 32, is_trace=True) is None
        assert codec.unpack(text, "q", "u" * 32) == data
        text = codec.pack(data, "q", "u" * 32, trace=as_text(GOOD.replace("0a", "ff")))
        assert json.loads(codec.unpack(text, "q", "u" * 32, is_trace=True))["traceparent"].startswith("00-fff7")
        assert codec.unpack(text, "q", "u" * 32) == data


def test_a_trace_is_signed_with_the_rest(made: Collected) -> None:
    queue = QueueService(secret_key="k" * 32, allow=["tests.tracing"]).create("Memory", "jobs", error="dead")
    item = queue.enqueue(jobs.note)
    run(queue)
    assert is_child(made.one("process jobs"), made.one("send jobs"))

    item = queue.enqueue(jobs.note)
    text = stored(queue, item)
    mine = trace_in(text[33:].rpartition(".")[0])
    assert mine is not None
    overwrite(queue, item, text.replace(mine, as_text(GOOD)))
    Runner(queue).run_all()
    [letter] = queue.dead_items()
    assert "no valid signature" in letter.error
    refused = made.named("process jobs")[1]
    assert (refused.parent, refused.attributes["taskqueue.outcome"]) == (None, "dead")


def test_an_item_of_an_older_release_has_a_trace_of_its_own(queue: BatchQueue, made: Collected) -> None:
    overwrite(queue, queue.enqueue(jobs.note), envelope(NAME))
    run(queue)
    assert made.one("process jobs").parent is None


def test_who_does_not_trace_leaves_what_is_carried(queue: BatchQueue, made: Collected) -> None:
    from taskqueue.tracing import uninstrument

    item = queue.enqueue(jobs.note)
    uninstrument()
    assert item.data == Task(jobs.note)
    run(queue)
    assert made.named("process jobs") == []
