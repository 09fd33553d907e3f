"""An application whose spans are written to a file, as a worker in a process of its own has it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from taskqueue import QueueService


class ToFile(SpanExporter):
    """Appends one line for each span."""

    def export(self, spans: Sequence[Any]) -> SpanExportResult:
        """See :class:`SpanExporter`."""
        with Path(os.environ["SPANS_FILE"]).open("a", encoding="utf-8") as file:
            for span in spans:
                file.write(json.dumps(json.loads(span.to_json())) + "\n")
        return SpanExportResult.SUCCESS


provider = TracerProvider()
# After a minute: what is written sooner was written because the process ended.
provider.add_span_processor(BatchSpanProcessor(ToFile(), schedule_delay_millis=60_000))
trace.set_tracer_provider(provider)
service = QueueService(allow=["tests.tracing.jobs"])
