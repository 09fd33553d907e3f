"""Who may do what to a run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import ConfigurationError
from ..execution.calls import check_handler
from ..outbox.dead import DeadMessage
from ..queues.sql_base import SqlBase
from ..runs.state import RunState
from ..spec import TASK_PAYLOAD

_log = logging.getLogger(__name__)
#: ``authorize(action, run, item_id)``: True permits, False denies, None leaves it to the rule that the owner may.
Authorize = Callable[[str, RunState, "int | None"], "bool | None"]
#: ``authorize_outbox(action, message)``: True permits, all else denies; message None: whether at all.
AuthorizeOutbox = Callable[[str, "DeadMessage | None"], "bool | None"]
#: ``authorize_dashboard(action, queue)``: True permits, all else denies; queue None: whether at all.
AuthorizeDashboard = Callable[[str, "str | None"], "bool | None"]
#: What may be asked for; seeing is permitted in read-only mode, too.
SEEING = ("view", "view_args", "view_trace")
#: Verbs that another action covers.
_COVERED = {"resume": "pause", "retry_failed": "retry", "take_over": "drive"}


@dataclass(frozen=True)
class Permissions:
    """The permissions of one visitor on one run. Closed by default: only the owner may, unless a hook says so."""

    run: RunState
    visitor: str | None
    authorize: Authorize | None
    read_only: bool

    @property
    def is_owner(self) -> bool:
        """Whether the visitor has started the run."""
        return bool(self.run.owner) and self.run.owner == self.visitor

    def may(self, verb: str, item_id: int | None = None) -> bool:
        """Whether the visitor may."""
        action = _COVERED.get(verb, verb)
        if self.read_only and action not in SEEING:
            return False
        answer = self._asked(action, item_id)
        return self.is_owner if answer is None else answer

    def _asked(self, action: str, item_id: int | None) -> bool | None:
        if self.authorize is None:
            return None
        try:
            answer = self.authorize(action, self.run, item_id)
        except Exception:  # who cannot be asked does not permit
            _log.exception("the authorize hook failed on %r and counts as a denial", action)
            return False
        return None if answer is None else answer is True


def may_execute(queue: SqlBase) -> bool:
    """Whether this process knows what may be executed of a queue: without that, its items would become dead letters."""
    try:
        check_handler(queue)
    except ConfigurationError:
        return False
    return queue.settings.allow.given or queue.spec.payload not in (None, TASK_PAYLOAD)
