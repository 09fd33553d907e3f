"""The spans that are made, after OpenTelemetry's conventions for messaging.

An item is executed as a child of the span that enqueued it, however often it is tried, so that one trace shows what
became of it. One call for many items belongs to many traces, and has links to them instead of a parent.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import spans
from ..errors import PayloadError
from ..item import QueueItem
from ..queues.batch import BatchQueue
from .called import called
from .open_span import ProcessingSpan, SendingSpan

if TYPE_CHECKING:
    from opentelemetry.trace import Link, Span, TracerProvider

_log = logging.getLogger(__name__)
#: Milliseconds that the end of a process waits for its spans to be exported.
_PATIENCE = 1500


class SpanTracer:
    """Makes the spans of this process.

    Arguments:
        provider: who exports them; None: OpenTelemetry's own one.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        from opentelemetry import trace

        self._trace = trace
        self._provider = provider
        self._tracer = trace.get_tracer("taskqueue", tracer_provider=provider)

    # --- enqueueing ---

    def sending(self, queue: BatchQueue, data: Any = None) -> SendingSpan:
        """Around what enqueues ``data`` (None: many items)."""
        return SendingSpan(lambda: self._start_sending(queue, data))

    def _start_sending(self, queue: BatchQueue, data: Any) -> Span:
        name = called(queue, data) if data is not None else None
        return self._tracer.start_span(
            f"send {queue.name}", kind=self._trace.SpanKind.PRODUCER, attributes=_attributes(queue, "send", name)
        )

    def carried(self) -> spans.Trace | None:
        """What an item carries that is made now; None outside of any span."""
        context = self._trace.get_current_span().get_span_context()
        return spans.trace_of(context) if context.is_valid else None

    # --- execution ---

    def processing(self, queue: BatchQueue, items: Sequence[QueueItem], *, is_batch: bool = False) -> ProcessingSpan:
        """Around the execution of an item, or of those that a batch handler takes by one call."""
        return ProcessingSpan(lambda: self._start_many(queue, items) if is_batch else self._start_one(queue, items[0]))

    def _start_one(self, queue: BatchQueue, item: QueueItem) -> Span:
        trace, links = item.trace_context, list[Any]()
        context = spans.context_of(trace) if trace is not None else None
        here = self._trace.get_current_span().get_span_context()
        if context is not None and here.is_valid and here != self._trace.get_current_span(context).get_span_context():
            links.append(self._trace.Link(here))  # the request, say, in which somebody runs the queue
        attributes = _attributes(queue, "process", called(queue, _data(item)))
        attributes |= {"messaging.message.id": str(item.id), "taskqueue.attempt": item.failures + 1}
        return self._tracer.start_span(
            f"process {queue.name}", context, kind=self._trace.SpanKind.CONSUMER, attributes=attributes, links=links
        )

    def _start_many(self, queue: BatchQueue, items: Sequence[QueueItem]) -> Span:
        # Items that were created together carry the same.
        traces = dict.fromkeys(trace for item in items if (trace := item.trace_context) is not None)
        attributes = _attributes(queue, "process", called(queue, None))
        return self._tracer.start_span(
            f"process {queue.name}", kind=self._trace.SpanKind.CONSUMER,
            attributes=attributes | {"messaging.batch.message_count": len(items)},
            links=[link for trace in traces if (link := self._link(trace)) is not None],
        )  # fmt: skip

    def _link(self, trace: spans.Trace) -> Link | None:
        context = self._trace.get_current_span(spans.context_of(trace)).get_span_context()
        return self._trace.Link(context) if context.is_valid else None

    # --- the end of a process ---

    def flush(self) -> None:
        """Let what has ended be exported now."""
        provider = self._provider if self._provider is not None else self._trace.get_tracer_provider()
        flush = getattr(provider, "force_flush", None)
        if flush is not None:
            try:
                flush(_PATIENCE)
            except Exception:
                _log.exception("spans could not be exported")


def _attributes(queue: BatchQueue, operation: str, name: str | None) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {
        "messaging.system": "taskqueue",
        "messaging.destination.name": queue.name,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
    }
    if name is not None:
        attributes["taskqueue.callback"] = name
    return attributes


def _data(item: QueueItem) -> Any:
    try:
        return item.data
    except PayloadError:
        return None  # whoever executes it says what is wrong with it
