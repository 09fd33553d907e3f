"""The spans that a test has made. OpenTelemetry is loaded here when it is needed: it need not be installed."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import pytest

from taskqueue import spans
from taskqueue.tracing import instrument, uninstrument


def require() -> None:
    """At home these tests are skipped without OpenTelemetry; in CI that would hide that they never ran."""
    if importlib.util.find_spec("opentelemetry") and importlib.util.find_spec("opentelemetry.sdk"):
        return
    reason = "opentelemetry-sdk is not installed: pip install -e .[dev]"
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; under CI that is a failure", pytrace=False)
    pytest.skip(reason)


class Collected:
    """Gathers what ends while it is open, and makes spans of the test's own."""

    def __init__(self) -> None:
        require()
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("tests")
        instrument(self.provider)

    def close(self) -> None:
        """Trace nothing any more."""
        uninstrument()
        assert spans.tracer is None
        self.provider.shutdown()

    def named(self, name: str) -> list[Any]:
        """Those of that name, in the order of their ends."""
        return [span for span in self._exporter.get_finished_spans() if span.name == name]

    def one(self, name: str) -> Any:
        """The only one of that name."""
        [found] = self.named(name)
        return found

    def text(self) -> str:
        """All that would leave the house."""
        return "\n".join(span.to_json() for span in self._exporter.get_finished_spans())


def is_child(span: Any, parent: Any) -> bool:
    """Whether one span belongs to another, in one trace."""
    assert span.parent is None or span.context.trace_id == span.parent.trace_id
    return span.parent is not None and span.parent.span_id == parent.context.span_id


def failures(span: Any) -> list[Any]:
    """The attributes of what has failed in a span."""
    return [dict(event.attributes) for event in span.events if event.name == "exception"]


def status(span: Any) -> tuple[str, str | None]:
    """The status of a span."""
    return span.status.status_code.name, span.status.description
