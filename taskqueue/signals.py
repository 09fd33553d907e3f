"""Hooks: blinker signals that also work as decorators.

::

    from taskqueue import signals

    @signals.task_error
    def keep_invoices(queue, item, outcome, exception):
        if queue.name == "invoices":
            return "dead"          # a value other than None changes the outcome

A receiver that raises is logged and otherwise ignored: a hook must not decide the fate of an item by accident.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from blinker import Signal

from .interrupts import let_interrupt_pass

_log = logging.getLogger(__name__)
Receiver = TypeVar("Receiver", bound=Callable[..., Any])


class Hook(Signal):
    """A signal whose sender is the queue (or the run); ``@hook`` connects a function for good."""

    def __call__(self, receiver: Receiver) -> Receiver:
        """Connect ``receiver`` strongly, so that a decorated local function is not collected."""
        self.connect(receiver, weak=False)
        return receiver

    def answers(self, sender: Any, **facts: Any) -> list[Any]:
        """Call every receiver with ``sender`` and ``facts``; return their answers that are not None."""
        if not self.receivers:
            return []
        given = (self._ask(receiver, sender, facts) for receiver in self.receivers_for(sender))
        return [answer for answer in given if answer is not None]

    def _ask(self, receiver: Callable[..., Any], sender: Any, facts: dict[str, Any]) -> Any:
        try:
            return receiver(sender, **facts)
        except BaseException as error:
            let_interrupt_pass(error)
            _log.exception("hook %r failed in %r and was ignored", self.__doc__, receiver)
            return None


#: ``(queue, item, outcome, exception)`` after an attempt that is not ok; the last answer replaces the outcome.
task_error = Hook("task_error")
#: ``(queue, status)``, once for each real change of a queue's status.
queue_status = Hook("queue_status")
#: ``(queue)``; an answer of False holds the queue back although its status is active.
queue_active = Hook("queue_active")
#: ``(queue, item, outcome, exception, seconds, waited)`` after each attempt, once its outcome is stored. ``seconds`` is
#: its run time; ``waited`` the seconds from the item's submission to its first start, None at a later one. A delay that
#: was asked for is part of that, because nobody remembers when an item was due once it is. A receiver takes ``**facts``
#: for what it does not need.
item_finished = Hook("item_finished")
#: ``(runner)`` when a run begins.
run_started = Hook("run_started")
#: ``(runner, result)`` when a run ends, however it ends.
run_finished = Hook("run_finished")
