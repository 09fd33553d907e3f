"""Traces: spans of OpenTelemetry around enqueueing and execution, which belong together across processes."""

from .switching import Instrumentor, instrument, instrument_if_asked, uninstrument

__all__ = ["Instrumentor", "instrument", "instrument_if_asked", "uninstrument"]
