"""What the queues of these tests run."""

from __future__ import annotations

import sys
import time
from typing import Any

from taskqueue import TaskContext


def note(ctx: TaskContext, *_args: Any, **_kwargs: Any) -> None:
    """Succeed."""


def fail(ctx: TaskContext, *_args: Any) -> None:
    """Fail, and tell a secret."""
    raise ValueError("no entry with password=hunter2\nat all")


def hang(ctx: TaskContext) -> None:
    """Take longer than anybody waits."""
    time.sleep(60)


def say(ctx: TaskContext) -> None:
    """Log a line, and fail."""
    ctx.log.warning("half way")
    raise ValueError("no")


def current_ids(ctx: Any) -> list[int]:
    """The ids of the present span, of which an executor's process knows if OpenTelemetry is in use there."""
    from opentelemetry import trace

    context = trace.get_current_span().get_span_context()
    return [context.trace_id, context.span_id]


async def awaited_ids(ctx: TaskContext) -> list[int]:
    """The same, of a coroutine."""
    return current_ids(ctx)


def is_opentelemetry_loaded(ctx: TaskContext) -> bool | None:
    """Fail if it is."""
    return "opentelemetry" not in sys.modules
