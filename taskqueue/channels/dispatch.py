"""Calling those whose messages wait, one call of each subscription at a time, however many processes do this."""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from .. import clock
from ..errors import SpecError
from ..execution.holding import Holding
from ..interrupts import let_interrupt_pass
from ..queues import settlement
from ..service import QueueService
from ..spec import nearest, shown
from .queues import Queues
from .subscriptions import Subscription

_log = logging.getLogger(__name__)
Callback = Callable[[Subscription], Any]
Function = TypeVar("Function", bound=Callback)


class Dispatcher:
    """Calls the callbacks of subscriptions.

    Arguments:
        is_waiting: whether a message waits for a subscription.
    """

    def __init__(self, service: QueueService, queues: Queues, is_waiting: Callable[[Subscription], bool]) -> None:
        self._service = service
        self._queues = queues
        self._is_waiting = is_waiting
        self._callbacks: dict[str, Callback] = {}
        #: The callbacks of which it was told that nobody here has them.
        self._told: set[str] = set()

    def register(self, name: str, function: Function) -> Function:
        """Let ``function(subscription)`` be called where a subscription names it. Raises :class:`SpecError`."""
        if not callable(function) or inspect.iscoroutinefunction(function):
            raise SpecError(f"callback {name!r} must be an ordinary function to call, not {shown(function)}")
        if self._callbacks.setdefault(name, function) is not function:
            raise SpecError(
                f"there is a callback {name!r} already, {shown(self._callbacks[name])}: choose another name"
            )
        return function

    def dispatch(self, waiting: Iterable[Subscription]) -> int:
        """Call for each of these subscriptions, unless it is being called; how many calls were made."""
        return sum(self._call(subscription) for subscription in waiting if self._has(subscription))

    def knows(self, subscription: Subscription) -> bool:
        """Whether the callback of a subscription is registered here."""
        return (subscription.callback or "") in self._callbacks

    def _has(self, subscription: Subscription) -> bool:
        name = subscription.callback or ""
        if self.knows(subscription):
            return True
        if name not in self._told:
            self._told.add(name)
            hint = nearest(name, self._callbacks)
            _log.warning(
                "callback %s is not registered in this process, and messages on channel %s wait for consumer %s%s",
                name, subscription.channel, subscription.consumer, hint,
            )  # fmt: skip
        return False

    def _call(self, subscription: Subscription) -> bool:
        queue = self._queues.calls()
        key = hashlib.sha256(json.dumps(subscription.row).encode()).hexdigest()
        # The item is the turn: there is one of a key, and one may hold it, for as long as its process lives.
        turn = queue.create_item(list(subscription.row), dedup_key=key)
        self._service.database.statement(queue.make_due_ready)
        standing = queue.fetch_item(turn.id)
        lease = clock.to_ms(self._service.settings.lease_slice)
        mine = queue.lease_first([standing], lease) if standing is not None else None
        if mine is None:
            return False  # somebody is calling it
        with Holding(queue) as holding:
            holding.adopt([mine])
            try:
                # Whoever had the turn before may have taken all there was.
                is_wanted = self._is_waiting(subscription)
                if is_wanted:
                    self._try(subscription)
            finally:
                queue.settle([mine], settlement.DONE)
                holding.drop(mine)
        return is_wanted

    def _try(self, subscription: Subscription) -> None:
        try:
            self._callbacks[subscription.callback or ""](subscription)
        except BaseException as error:  # whatever it raises, others wait behind it
            let_interrupt_pass(error)
            _log.exception(
                "callback %s failed, which channel %s has called for consumer %s",
                subscription.callback, subscription.channel, subscription.consumer,
            )  # fmt: skip
