"""Turning traces on and off. OpenTelemetry is loaded when they are turned on, and not before."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .. import spans
from ..errors import ConfigurationError
from .tracer import SpanTracer

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

_YES = ("1", "true", "yes", "on")


def instrument(tracer_provider: TracerProvider | None = None) -> None:
    """Make spans from now on, in this process and those that it forks; a second call changes the provider.

    Arguments:
        tracer_provider: who exports them; None: OpenTelemetry's own one, which may also be set later.

    Raises :class:`ConfigurationError` when OpenTelemetry is not installed.
    """
    try:
        import opentelemetry.trace  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            f"traces need the package opentelemetry-api ({error}): install taskqueue-runner[tracing]"
        ) from error
    spans.tracer = SpanTracer(tracer_provider)


def uninstrument() -> None:
    """Make no spans any more. What items carry stays with them."""
    spans.tracer = None


def instrument_if_asked() -> None:
    """:func:`instrument`, when the environment says ``TASKQUEUE_TRACING=1``."""
    if os.environ.get("TASKQUEUE_TRACING", "").strip().lower() in _YES:
        instrument()


class Instrumentor:
    """What ``opentelemetry-instrument`` finds by the entry point ``opentelemetry_instrumentor``."""

    def instrument(self, **options: Any) -> None:
        """See :func:`instrument`."""
        instrument(options.get("tracer_provider"))

    def uninstrument(self, **_options: Any) -> None:
        """See :func:`uninstrument`."""
        uninstrument()
