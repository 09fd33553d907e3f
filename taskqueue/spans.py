"""Where spans are asked for: of OpenTelemetry nothing is loaded here, and nobody is asked until :mod:`.tracing` is.

Whoever enqueues or executes looks at :data:`tracer`, which is None until ``tracing.instrument()`` was called.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

#: The W3C trace context of whoever enqueues, as the JSON text that stands in the envelope of an item.
Trace = str

_PARENT = r'"traceparent":"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"'
# Without quotes and backslashes, which would have to be escaped.
_STATE = r'"tracestate":"[ !#-\[\]-~]{1,512}"'
# Two braces close the text: an object of that name inside the data has a third one behind it.
_AT_THE_END = re.compile(rf',"trace":(\{{{_PARENT}(?:,{_STATE})?\}})\}}\Z')
_LONGEST = 1000


class Sending(Protocol):
    """The span around an enqueueing."""

    def stored(self, *, item_id: int | None = None, number: int | None = None) -> None:
        """What was stored: one item, or so many."""


class Processing(Protocol):
    """The span around an execution."""

    def ended(self, attempts: Sequence[Any]) -> None:
        """What became of the items."""


class Tracer(Protocol):
    """Makes spans; whatever goes wrong with them is its own affair."""

    def sending(self, queue: Any, data: Any = None) -> AbstractContextManager[Sending]:
        """Around what enqueues ``data`` (None: many items)."""

    def processing(
        self, queue: Any, items: Sequence[Any], *, is_batch: bool = False
    ) -> AbstractContextManager[Processing]:
        """Around the execution of an item, or of those that a batch handler takes by one call."""

    def carried(self) -> Trace | None:
        """What an item carries that is made now; None outside of any span."""

    def flush(self) -> None:
        """Let what has ended be exported now, because this process ends without further ado."""


#: Set by ``tracing.instrument()``.
tracer: Tracer | None = None


class _NoSpan:
    """For those who are not traced."""

    def __enter__(self) -> _NoSpan:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def stored(self, *, item_id: int | None = None, number: int | None = None) -> None:
        """Nobody wants to know."""


_NO_SPAN = _NoSpan()


def sending(queue: Any, data: Any = None) -> AbstractContextManager[Sending]:
    """The span around what enqueues, if anybody traces."""
    return tracer.sending(queue, data) if tracer is not None else _NO_SPAN


def carried() -> Trace | None:
    """What an item carries that is made now, if anybody traces."""
    return tracer.carried() if tracer is not None else None


def flush() -> None:
    """Let what has ended be exported, if anybody traces."""
    if tracer is not None:
        tracer.flush()


def with_trace(text: str, trace: Trace) -> str:
    """An envelope that carries the context; the last of its members, where :func:`trace_in` finds it."""
    return f'{text[:-1]},"trace":{trace}}}'


def trace_in(text: str) -> Trace | None:
    """The context that an envelope carries; None when there is none, or when it is none of ours."""
    found = _AT_THE_END.search(text[-_LONGEST:])
    return found[1] if found else None


def trace_of(context: Any) -> Trace:
    """A span context as text. Its state is left out when it is too long, or of an odd make."""
    parent = f'"traceparent":"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"'
    header = context.trace_state.to_header() if context.trace_state else ""
    state = f'"tracestate":"{header}"'
    return f"{{{parent},{state}}}" if re.fullmatch(_STATE, state) else f"{{{parent}}}"


def context_of(trace: Trace) -> Any:
    """The present context of OpenTelemetry, with the span that ``trace`` names as the current one."""
    from opentelemetry.context import get_current
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract(json.loads(trace), get_current())


@contextmanager
def continued(trace: Trace | None) -> Iterator[None]:
    """In another process: what is done in the block belongs to the trace, if OpenTelemetry is in use here."""
    if trace is None or "opentelemetry.trace" not in sys.modules:
        yield
        return
    from opentelemetry.context import attach, detach

    token = attach(context_of(trace))
    try:
        yield
    finally:
        detach(token)


def current_ids() -> tuple[str, str] | None:
    """The ids of the current trace and span, as they are written; None outside of any, or without OpenTelemetry."""
    current = getattr(sys.modules.get("opentelemetry.trace"), "get_current_span", None)
    if current is None:
        return None
    context = current().get_span_context()
    return (f"{context.trace_id:032x}", f"{context.span_id:016x}") if context.is_valid else None
