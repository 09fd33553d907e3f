"""What may be wrong with the call of an operation: each has a word for programs, a sentence for humans, a status."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import to_jsonable_python

from ..errors import SpecError, TaskQueueError
from ..serializer import storable
from ..spec import is_name, shown

_MOST_DETAILS = 65_536
_LONGEST_MESSAGE = 10_000
#: So many places stand in the text of an exception.
_MOST_TOLD = 3


class OperationError(TaskQueueError):
    """An operation could not be called, or has said no.

    An operation raises it itself (or :class:`OperationFailed`) to end as "failed": what it wrote in ``ctx.session`` is
    rolled back, it is not tried again, and the caller is told ``code``, the message and ``details``. Of any other
    exception the caller is told nothing but that there was one.

    Arguments:
        message: a sentence for whoever called.
        code: one word for programs.
        details: more of it, as JSON; what is none becomes text, and what takes more than 64 KiB is left out.

    Raises :class:`SpecError` on a code that is none.
    """

    #: The status of HTTP.
    status = 400
    usual_code = "bad_request"
    #: Seconds after which another try makes sense.
    retry_after: float | None = None

    def __init__(self, message: str, *, code: str | None = None, details: Any = None) -> None:
        super().__init__(message)
        if code is not None and not is_name(code):
            raise SpecError(f"the code of an error is one word for programs, such as 'no_such_contact': {shown(code)}")
        self.code = code or self.usual_code
        self.message = str(message)
        self.details = details

    @property
    def chosen_status(self) -> int | None:
        """The status, from 400 to 499, that the application has chosen by a class of its own; None: the usual one.

        Of our own classes it tells what was wrong with a request, which is not the one for the result of the call.
        """
        is_own, status = type(self).__module__ != __name__, self.status
        is_fit = isinstance(status, int) and 400 <= status <= 499 and status != OperationFailed.status
        return int(status) if is_own and is_fit else None

    def facts(self) -> dict[str, Any]:
        """What is told of it."""
        details = _plain(self.details)
        found = {"code": self.code, "message": storable(self.message)[:_LONGEST_MESSAGE]}
        return found if details is None else {**found, "details": details}


def _plain(details: Any) -> Any:
    """Details as JSON, or None when they cannot be."""
    try:
        found = to_jsonable_python(to_jsonable_python(details, fallback=str), inf_nan_mode="null")
        return found if len(json.dumps(found, allow_nan=False)) <= _MOST_DETAILS else None
    except Exception:  # of an odd make; the error itself must not get lost by them
        return None


class OperationFailed(OperationError):
    """The operation itself has said no."""

    usual_code = "failed"
    status = 422


class UnknownOperation(OperationError, LookupError):
    """No operation has that name."""

    usual_code = "unknown_operation"
    status = 404


class NotQueueable(OperationError):
    """The operation cannot be deferred; it was not executed."""

    usual_code = "not_queueable"
    status = 409


class NotIdempotent(OperationError):
    """The operation takes no idempotency key; it was not executed."""

    usual_code = "not_idempotent"
    status = 422


class InvalidData(OperationError):
    """The data do not fit the schema; ``details`` lists each place and what is wrong there.

    A list of mappings with "at" (the keys and positions that lead there), "message" and "kind". The text of the
    exception has the first of them, ``message`` none.
    """

    usual_code = "invalid_data"
    status = 422

    def __str__(self) -> str:
        places = [*filter(None, map(_told, self.details))] if isinstance(self.details, list) else []
        more = [f"and {len(places) - _MOST_TOLD} more"] if len(places) > _MOST_TOLD else []
        return f"{self.message}: {'; '.join(places[:_MOST_TOLD] + more)}" if places else self.message


def _told(place: Any) -> str:
    """A place in the data as a sentence; "" when it is none: what comes from a server may be anything."""
    if not isinstance(place, dict) or not isinstance(place.get("at"), list) or "message" not in place:
        return ""
    return f"{'.'.join(map(str, place['at'])) or 'data'}: {place['message']}"


class AccessDenied(OperationError):
    """The user may not call the operation."""

    usual_code = "access_denied"
    status = 403


class KeyReused(OperationError):
    """The idempotency key was sent before with another request."""

    usual_code = "key_reused"
    status = 422


class StillRunning(OperationError):
    """The call with that idempotency key has not ended yet; ``tracking_id`` is its id."""

    usual_code = "still_running"
    status = 409
    retry_after = 1.0

    def __init__(self, message: str, tracking_id: str) -> None:
        super().__init__(message)
        self.tracking_id = tracking_id


class TooManyCalls(OperationError):
    """The user has made, or has waiting, as many calls as are allowed."""

    usual_code = "too_many_calls"
    status = 429

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class CallNotFound(OperationError, LookupError):
    """There is no call with that tracking id, or it belongs to somebody else."""

    usual_code = "not_found"
    status = 404


class CallGone(OperationError, LookupError):
    """The time is over for which the result was kept."""

    usual_code = "gone"
    status = 410


class NotFinished(OperationError):
    """The call has not ended yet."""

    usual_code = "not_finished"
    status = 409
    retry_after = 1.0


class NotPossible(OperationError):
    """The state of the call does not allow that."""

    usual_code = "not_possible"
    status = 409
