"""Spans that are open: current inside a block, and ended with it.

Whatever goes wrong with one is logged and otherwise ignored: exporters and processors are code of others, and must not
decide the fate of an item.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextvars import Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from ..execution.attempt import Attempt
from ..execution.failure import error_text
from ..outcome import Outcome

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_log = logging.getLogger(__name__)
_FAILURES = (Outcome.RETRY, Outcome.ABORT, Outcome.DELETE, Outcome.DEAD)
#: Characters of an error that stand beside the status; all of it stands in the event.
_LONGEST = 200
Self = TypeVar("Self", bound="OpenSpan")


class OpenSpan:
    """A span, begun by ``start`` when the block is entered."""

    def __init__(self, start: Callable[[], Span]) -> None:
        self._start = start
        self._span: Span | None = None
        self._token: Token[Any] | None = None

    def __enter__(self: Self) -> Self:
        self._try(self._open)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):  # an interrupt is no failure
            self._try(lambda: self._fail(error, error_text(error)))
        self._try(self._close)

    def _open(self) -> None:
        from opentelemetry import context, trace

        self._span = self._start()
        self._token = context.attach(trace.set_span_in_context(self._span))

    def _close(self) -> None:
        from opentelemetry import context

        if self._token is not None:
            context.detach(self._token)
        if self._span is not None:
            self._span.end()

    def _set(self, **attributes: str | int | None) -> None:
        if self._span is not None:
            self._span.set_attributes(
                {name.replace("__", "."): value for name, value in attributes.items() if value is not None}
            )

    def _fail(self, error: BaseException | None, text: str, **facts: str | None) -> None:
        """An event says what failed, the status that something did. ``text`` is without what looks like a secret."""
        from opentelemetry.trace import Status, StatusCode

        if self._span is None:
            return
        kind = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
        event = {"exception.type": kind, "exception.message": text}
        event |= {name.replace("__", "."): fact for name, fact in facts.items() if fact is not None}
        self._span.add_event("exception", event)
        first = next(iter(text.splitlines()), "")
        self._span.set_status(Status(StatusCode.ERROR, first[:_LONGEST]))
        self._set(error__type=kind)

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:
            _log.exception("a span failed and was ignored")


class SendingSpan(OpenSpan):
    """Around an enqueueing."""

    def stored(self, *, item_id: int | None = None, number: int | None = None) -> None:
        """What was stored: one item, or so many."""
        one = str(item_id) if item_id is not None else None
        self._try(lambda: self._set(messaging__message__id=one, messaging__batch__message_count=number))


class ProcessingSpan(OpenSpan):
    """Around an execution."""

    def ended(self, attempts: Sequence[Attempt]) -> None:
        """What became of the items."""
        self._try(lambda: self._note(attempts))

    def _note(self, attempts: Sequence[Attempt]) -> None:
        outcomes = {str(attempt.outcome) for attempt in attempts}
        if len(outcomes) == 1:
            self._set(taskqueue__outcome=outcomes.pop())
        for attempt in attempts:
            if attempt.outcome in _FAILURES:
                one = {"messaging__message__id": str(attempt.item.id), "taskqueue__outcome": str(attempt.outcome)}
                self._fail(
                    attempt.exception, attempt.error, exception__stacktrace=attempt.trace,
                    **(one if len(attempts) > 1 else {}),
                )  # fmt: skip
