"""The calls on record: looked at, waited for, listed, and ended by their owners."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any, NoReturn

from ..durations import seconds_of
from ..errors import SpecError
from ..service import QueueService
from ..spec import shown
from ..storage.operations import OperationRow
from . import results
from .administration import Administration
from .call import FINAL, Call, check_state, is_call_id
from .calls import Calls
from .ends import Ends
from .news import News
from .problems import CallGone, CallNotFound, NotFinished, NotPossible, OperationError, OperationFailed
from .registry import Registry
from .standing import CallQueues
from .users import User, Users

#: Who may be given as the one who calls: a user, their id, or None: nobody, or of a look at calls, an administrator.
Who = User | str | int | None
#: While somebody waits for the end of a call: how soon it is looked again (seconds), at first and at most.
_LOOK_FIRST, _LOOK_LAST = 0.02, 0.5
#: What is said where nothing is kept any more.
GONE = "the time is over for which the result was kept, or it was read once"
_ADMIN = User(is_admin=True)


class RecordedCalls(Registry):
    """Operations, and what may be asked and done of their calls that are on record.

    Arguments:
        queues: on which the calls stand.
        users: finds who asks.
    """

    def __init__(self, service: QueueService, queues: CallQueues, users: Users) -> None:
        super().__init__()
        self._users = users
        self._queues = queues
        self._news = News(service.settings, self._finished)
        self._ends = Ends(service, queues, self._news)
        self._calls = Calls(service, queues, self._ends)

    @property
    def administration(self) -> Administration:
        """The calls of everybody, for administrators."""
        return Administration(self._calls, self._queues)

    # --- looking ---

    def user_of(self, who: Who) -> User:
        """The user of an id, as ``load_user`` knows them; one who is not active when there is none. A :class:`User` is
        believed."""
        return self._users.of(who)

    def get(self, tracking_id: str, *, user: Who = None) -> Call:
        """A recorded call as it stands now.

        Arguments:
            user: who asks; others than its owner and administrators are told that there is none. None: not asked.

        Raises :class:`CallNotFound`, :class:`CallGone` when its time is over.
        """
        return Call.of(self._own(tracking_id, user))

    def _own(self, tracking_id: str, who: Who) -> OperationRow:
        row = self._visible(tracking_id, _ADMIN if who is None else self._users.of(who))
        if row.is_over:
            raise CallGone(GONE)
        return row

    def _visible(self, tracking_id: str, user: User) -> OperationRow:
        row = self._calls.find(tracking_id) if is_call_id(tracking_id) else None
        if row is None or not (user.is_active and (user.is_admin or user.owner == row.owner)):
            raise CallNotFound("there is no such call, or it is not yours to see")
        return row

    def result(self, tracking_id: str, *, user: Who = None, consume: bool = False) -> Any:
        """What a call has returned: JSON, or a :class:`File`.

        Arguments:
            consume: nobody can read it a second time.

        Raises :class:`NotFinished`; the error of a call that ended otherwise; :class:`CallNotFound`,
        :class:`CallGone`.
        """
        call = Call.of(self._own(tracking_id, user))
        if not call.is_final:
            raise NotFinished(f"the call has not ended yet, it is {call.state}")
        if call.state != "succeeded":
            _raise_end(call)
        told = self._calls.outcome(tracking_id, consume=consume)
        if told is None:  # others have consumed it in this moment
            raise CallGone(GONE)
        return results.decoded(told[1])

    def outcome(self, tracking_id: str, *, user: Who = None, consume: bool = False) -> tuple[Call, Any]:
        """A call that has ended in whatever way, and what it has returned; an error stands in the call.

        Arguments:
            consume: exactly one gets it, then its time is over. The dead letter of a dead call stays, but reviving it
                executes nothing any more.

        Raises :class:`NotFinished`, :class:`CallNotFound`, :class:`CallGone`.
        """
        if (state := self._own(tracking_id, user).state) not in FINAL:
            raise NotFinished(f"the call has not ended yet, it is {state}")
        told = self._calls.outcome(tracking_id, consume=consume)
        if told is None:  # others have consumed it in this moment
            raise CallGone(GONE)
        return Call.of(told[0]), results.decoded(told[1])

    def wait(self, tracking_id: str, timeout: float | timedelta | str = 30, *, user: Who = None) -> Call:
        """The call when it has ended, or as it stands after ``timeout``. Raises as :meth:`get`."""
        until, pause = time.monotonic() + seconds_of(timeout, "timeout"), _LOOK_FIRST
        while True:
            call = self.get(tracking_id, user=user)
            left = until - time.monotonic()
            if call.is_final or left <= 0:
                return call
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, _LOOK_LAST)

    def calls(
        self, *, user: Who = None, state: str | None = None, operation: str | None = None, limit: int = 50,
        after: str | None = None,
    ) -> list[Call]:  # fmt: skip
        """Recorded calls, the newest first; of a user, their own, of an administrator or None, all.

        Arguments:
            after: the id of the last one that was seen, which must not have been forgotten meanwhile.

        Raises :class:`SpecError`, :class:`UnknownOperation`, :class:`CallNotFound` on an unknown ``after``.
        """
        check_state(state)
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            raise SpecError(f"limit must be a whole number of at least 1, not {shown(limit)}")
        who = _ADMIN if user is None else self._users.of(user)
        if not who.is_active:
            return []
        name = self.named(operation).name if operation is not None else None
        place: tuple[int, str] | None = None
        if after is not None:
            row = self._visible(after, who)  # its result may have been consumed since the last page
            place = row.create_time, row.id
        owner = None if who.is_admin else who.owner
        return [Call.of(row) for row in self._calls.page(limit, owner, name, state, place)]

    # --- ending ---

    def cancel(self, tracking_id: str, *, user: Who = None) -> Call:
        """Take a call back that waits; one that runs is asked to stop (``ctx.should_stop``). Return it as it stands.

        Raises :class:`NotPossible` when it has ended, :class:`CallNotFound`, :class:`CallGone`.
        """
        row = self._own(tracking_id, user)
        if row.state in FINAL:
            raise NotPossible(f"the call has ended already, it is {row.state}")
        self._ends.cancel(row)
        return self.get(tracking_id, user=user)

    def forget(self, tracking_id: str, *, user: Who = None) -> None:
        """Remove a call that has ended from the record. Raises :class:`NotPossible` when it has not,
        :class:`CallNotFound`, :class:`CallGone`."""
        row = self._own(tracking_id, user)
        if row.state not in FINAL:
            raise NotPossible(f"the call has not ended yet, it is {row.state}: cancel it first")
        self._ends.forget(row)

    def retry(self, tracking_id: str, *, user: Who = None) -> Call:
        """Let a call that is dead or has failed be executed once more. Return it as it stands.

        Raises :class:`NotPossible` when it is neither, :class:`TooManyCalls`, :class:`CallNotFound`, :class:`CallGone`.
        """
        row = self._own(tracking_id, user)
        if row.state not in ("dead", "failed"):
            raise NotPossible(f"only a call that is dead or has failed can be tried again; this one is {row.state}")
        operation = None if user is None or self._users.of(user).is_admin else self.registered(row.name)
        self._ends.retry(row, operation.limits if operation is not None else None)
        return self.get(tracking_id, user=user)


def _raise_end(call: Call) -> NoReturn:
    """Raise what a call says that ended otherwise than succeeded."""
    error = call.error or {}
    kind = OperationFailed if call.state == "failed" else OperationError
    raised = kind(str(error.get("message", "")), code=str(error.get("code", call.state)), details=error.get("details"))
    raised.status = 500 if call.state == "dead" else error.get("status", raised.status)
    raise raised
