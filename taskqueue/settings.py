"""What an application decides once for all its queues; a service carries one of these."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from .bell import Bell
from .callbacks import AllowList
from .errors import SpecError
from .payload import Codec

#: ``identity(run_as)`` may raise, or return False, to refuse a task that must run as somebody else.
IdentityHook = Callable[[Mapping[str, Any]], Any]
#: ``switch_user(run_as)`` gives a context manager in which a task with ``run_as`` is called.
SwitchUser = Callable[[Mapping[str, Any]], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Handler:
    """What runs the items of a payload: ``function(ctx, data)``, or ``function(contexts, data_list)``."""

    function: Callable[..., Any]
    is_batch: bool = False
    #: ``pause(item, exception)``: seconds until a failed item is tried again, or None when its attempts are used up;
    #: instead of the queue's retry options. ``item.failures`` does not count the failure in question yet. One of these
    #: rules that fails itself is logged; the attempts are used up then, nothing follows, only the type is told.
    pause: Callable[[Any, BaseException | None], float | None] | None = None
    #: ``follow(item, exception)``: the items (:class:`NewItem`) that are put on the queue in the transaction in which
    #: a failed item leaves it.
    follow: Callable[[Any, BaseException | None], Sequence[Any]] | None = None
    #: ``tell(item, exception)``: what is written down of a failure: its text, and its traceback or None.
    tell: Callable[[Any, BaseException | None], tuple[str, str | None]] | None = None
    #: Whether it works in the transaction of the worker, so that no executor may be given its calls.
    needs_transaction: bool = False
    #: ``serves(queue_name)``: whether it is for the items of that queue; workers leave the others alone.
    serves: Callable[[str], bool] | None = None


@dataclass
class Settings:
    """The common settings; times are seconds."""

    #: Which callbacks may run.
    allow: AllowList = field(default_factory=lambda: AllowList(None))
    #: How items are stored and signed.
    codec: Codec = field(default_factory=Codec)
    #: Checks a task's ``run_as`` before the call.
    identity: IdentityHook | None = None
    #: Makes this process somebody else while it calls a task with ``run_as``.
    switch_user: SwitchUser | None = None
    #: ``pages(runner, start)`` makes a run and opens its progress page; set by the web extension.
    pages: Callable[[Any, bool], Any] | None = None
    #: payload name -> what runs items of that payload.
    handlers: dict[str, Handler] = field(default_factory=dict)
    #: The outbox of the service; set by itself.
    outbox: Any = None
    #: The operations of the service; set by themselves.
    operations: Any = None
    #: The channels of the service; set by themselves.
    channels: Any = None
    #: Rung when something may have become ready in a queue.
    bell: Bell = field(default_factory=Bell)
    #: While execution holds an item it leases it for so long at a time ...
    lease_slice: float = 30.0
    #: ... and renews the lease so often; a holder without a beat for ``stale_after`` is shown as stale.
    heartbeat: float = 3.0
    stale_after: float = 10.0
    #: So many lost holders in mid-task count as one failure of the item.
    interrupt_limit: int = 3
    #: At most so many items are leased ahead of the one in hand.
    prefetch: int = 100

    def __post_init__(self) -> None:
        if not 0 < self.heartbeat * 2 < self.lease_slice:
            raise SpecError(
                f"lease_slice ({self.lease_slice:g} s) must be more than twice the heartbeat ({self.heartbeat:g} s), "
                "else one late beat loses the lease"
            )
        if self.interrupt_limit < 1 or self.prefetch < 1:
            raise SpecError("interrupt_limit and prefetch must be at least 1")
