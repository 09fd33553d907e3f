"""What blocks a run, out of the failure of an item or of the last step."""

from __future__ import annotations

from ..errors import CallbackRefused, PayloadError
from ..execution.failure import traceback_text
from ..item import QueueItem
from .state import END_STEP, Problem

#: Between a title and its error in a line of the log.
SEPARATOR = "\x1f"


def problem_of(item: QueueItem, fence: int, exception: BaseException | None, error: str, *, is_dead: bool) -> Problem:
    """What blocks a run whose item failed for good and waits under ``fence`` (or is a dead letter)."""
    trace = traceback_text(exception) or ""
    return Problem(
        item.id, fence, item.title, item.failures + 1, _kind(exception), error, trace, is_dead=is_dead
    )  # fmt: skip


def end_problem(name: str, fence: int, exception: BaseException, error: str) -> Problem:
    """What blocks a run whose last step failed."""
    return Problem(END_STEP, fence, name, kind=_kind(exception), message=error, trace=traceback_text(exception) or "")


def first_line(text: str) -> str:
    """The first line of an error, short enough for a list."""
    return (text.strip().splitlines() or [""])[0][:500]


def _is_refused(exception: BaseException | None) -> bool:
    return isinstance(exception, (CallbackRefused, PayloadError))


def _kind(exception: BaseException | None) -> str:
    return "missing_callback" if _is_refused(exception) else "exception"
