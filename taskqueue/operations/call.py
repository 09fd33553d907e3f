"""A call with a tracking id, as it stands."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .. import clock
from ..errors import SpecError
from ..item import optional_time
from ..spec import nearest, shown
from ..storage.operations import GONE, OperationRow

#: What a call may come to; the others may still change.
FINAL = ("succeeded", "failed", "dead", "cancelled", "expired")
STATES = ("queued", "scheduled", "running", "retrying", *FINAL)
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
#: What somebody may be told who must not read errors of the program.
_INTERNAL = {"code": "internal_error", "message": "the operation could not be executed; administrators find out why"}
_EXPIRED = {"code": "expired", "message": "it could not be begun in time"}
_REMOVED = {"code": "cancelled", "message": "it was cancelled"}
_USUAL = {"dead": _INTERNAL, "expired": _EXPIRED, "cancelled": _REMOVED}


def is_call_id(call_id: object) -> bool:
    """Whether that may be a tracking id."""
    return isinstance(call_id, str) and _ID.fullmatch(call_id) is not None


def check_state(state: object) -> None:
    """Raise :class:`SpecError` on what is neither a state nor None."""
    if state is not None and state not in STATES:
        hint = nearest(str(state), STATES)
        raise SpecError(f"there is no state {shown(state)}{hint}: they are {', '.join(STATES)}")


@dataclass(frozen=True)
class Progress:
    """What the operation has reported of itself."""

    done: float
    total: float | None
    message: str


@dataclass(frozen=True)
class Call:
    """One call of an operation. Times are aware UTC datetimes, or None."""

    #: The tracking id: 128 random bits as 32 hexadecimal digits.
    id: str
    operation: str
    #: queued, scheduled (it has a delay), running, retrying (it has failed and will be tried again); at the end
    #: succeeded, failed (it has said no), dead (its attempts are used up), cancelled or expired (not begun before its
    #: deadline).
    state: str
    #: The owner as stored: see :attr:`User.owner`.
    owner: str
    #: Attempts that were begun.
    attempts: int
    created: datetime
    due: datetime | None
    deadline: datetime | None
    finished: datetime | None
    #: Until when the result is kept.
    expires: datetime | None
    progress: Progress | None
    #: "code", "message" and perhaps "details" of a call that ended otherwise than succeeded; and "status", if the
    #: application has an error class of its own with another status of HTTP than the usual one.
    error: dict[str, Any] | None
    #: It runs, and was asked to stop (``ctx.should_stop``): what it does about that, its end will tell.
    is_stopping: bool = False

    @property
    def is_final(self) -> bool:
        """Whether it has ended."""
        return self.state in FINAL

    @classmethod
    def of(cls, row: OperationRow) -> Call:
        """A stored call."""
        state = "cancelled" if row.state == GONE else row.state
        error = _error_in(row.error) if row.error else _USUAL.get(state)
        progress = Progress(row.done, row.total, row.message or "") if row.done is not None else None
        finished = row.end_time or row.dead_time or (row.deadline if state == "expired" else 0)
        return cls(
            row.id, row.name, state, row.owner, row.attempts, clock.from_ms(row.create_time),
            optional_time(row.due_time), optional_time(row.deadline), optional_time(finished or 0),
            optional_time(row.expire_time), progress, error, state == "running" and bool(row.is_cancelled),
        )  # fmt: skip

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        progress = self.progress
        return {
            "id": self.id,
            "operation": self.operation,
            "state": self.state,
            "stopping": self.is_stopping,
            "attempts": self.attempts,
            "progress": progress and {"done": progress.done, "total": progress.total, "message": progress.message},
            **{name: _text(getattr(self, name)) for name in ("created", "due", "deadline", "finished", "expires")},
            "error": self.error,
        }


def _error_in(text: str) -> dict[str, Any]:
    """A stored error; what cannot be read must not keep anybody from looking at the call."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict) and isinstance(found.get("code"), str) and isinstance(found.get("message"), str):
        return found
    return {"code": "damaged", "message": "the stored error cannot be read: it was damaged or written by others"}


def _text(moment: datetime | None) -> str | None:
    return clock.iso(moment) if moment is not None else None
