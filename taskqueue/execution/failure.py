"""What is written down of a failure."""

from __future__ import annotations

import traceback
from types import FrameType, TracebackType

from ..errors import CallbackRefused, PayloadError, TaskFailed
from ..interrupts import let_interrupt_pass
from ..redact import redact_text
from ..serializer import storable
from ..verdicts import Later

_LONGEST = 20_000
#: Raised on purpose, with a sentence that says all: neither a type nor a traceback is needed beside it.
PLAIN = (TaskFailed, PayloadError, CallbackRefused, Later)
#: What stands between us and the task (or the last step); its frames say nothing about the task.
_MACHINERY = (
    "taskqueue.execution", "taskqueue.outbox", "taskqueue.channels", "taskqueue.drive", "asyncio", "contextlib",
)  # fmt: skip
#: An exception with the traceback that is shown of it, as functions for both take it.
Told = tuple[type[BaseException], BaseException, TracebackType | None]


class RemoteTraceback(Exception):
    """The text of a traceback of another process, as the cause of the exception that came from there."""


def error_text(exception: BaseException | None) -> str:
    """What is stored of a failure: its type and message, fit for every database, without what looks like a secret."""
    if exception is None:
        return ""
    kind, message = type(exception).__name__, redact_text(message_of(exception))
    is_plain = isinstance(exception, PLAIN)
    text = (message if is_plain else f"{kind}: {message}") if message else kind
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " …"


def message_of(exception: BaseException | None) -> str:
    """What it says, fit for every database; nothing if it cannot say it: ``__str__`` may be of the user's."""
    try:
        return storable(str(exception))
    except BaseException as error:
        let_interrupt_pass(error)
        return ""


def traceback_text(exception: BaseException | None) -> str | None:
    """Where the task failed: its own frames, and those of what caused it; at most 20,000 characters, the last ones.

    None when no code of the task has failed: what was refused, or returned False.
    """
    told = told_of(exception)
    if exception is None or told is None:
        return None
    if isinstance(exception.__cause__, RemoteTraceback):
        return str(exception.__cause__)
    text = redact_text(storable("".join(traceback.format_exception(*told)).rstrip()))
    return text if len(text) <= _LONGEST else "… " + text[2 - _LONGEST :]


def told_of(exception: BaseException | None) -> Told | None:
    """The exception with a traceback that begins at the task; None when no code of the task has failed."""
    if exception is None or isinstance(exception, (PayloadError, CallbackRefused)):
        return None
    frames = _own(exception.__traceback__)
    if frames is None and exception.__cause__ is None:
        return None
    return type(exception), exception, frames


def _own(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and _is_machinery(trace.tb_frame):
        trace = trace.tb_next
    return trace


def _is_machinery(frame: FrameType) -> bool:
    name = str(frame.f_globals.get("__name__", ""))
    return any(name == place or name.startswith(f"{place}.") for place in _MACHINERY)
