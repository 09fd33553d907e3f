"""How an item leaves the hands of its holder; a driver carries it out, guarded by the fence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import NewItem


@dataclass(frozen=True)
class Settlement:
    """What happens to an item, in one transaction. Made by the functions below."""

    #: Whether the item stays in the queue, ready after ``delay`` milliseconds.
    stays: bool
    delay: int = 0
    #: Copied to the dead letters before it leaves.
    dead: bool = False
    #: The claim is taken back: ``run_count`` goes down by one.
    unclaimed: bool = False
    #: One more failure is counted (and the interruptions before it are forgotten).
    failed: bool = False
    #: One more interruption is counted.
    interrupted: bool = False
    #: Failures and interruptions are forgotten.
    fresh: bool = False
    #: It waits until those before it with the same order key have ended; the delay is only the longest it waits.
    awaits_turn: bool = False
    #: The text of the failure.
    error: str | None = None
    #: Where in the code it failed, for humans; None where that says nothing.
    traceback: str | None = None
    #: The outcome that is written down for good, None for none.
    record: str | None = None
    #: What the task of this one item returned, packed (:meth:`ArchivedQueue.pack_result`); kept as long as
    #: ``keep_result`` says.
    result: str | None = None
    #: Put on the queue in the same transaction, if the item is removed by it.
    followers: Sequence[NewItem] = ()

    @property
    def is_success(self) -> bool:
        """Whether the item was finished, as opposed to whatever else may become of it."""
        return not self.stays and self.record is None


#: Whether nobody else can have held the item of that id until this moment.
Sure = Callable[[int], bool]


def always(item_id: int) -> bool:
    """For who cannot know better."""
    return True


DONE = Settlement(stays=False)
RELINQUISH = Settlement(stays=True, unclaimed=True)


def await_turn(delay: int) -> Settlement:
    """Not its turn yet: like RELINQUISH, but hidden until whatever goes before it hands on, or for ``delay`` ms."""
    return Settlement(stays=True, delay=delay, unclaimed=True, awaits_turn=True)


def release(delay: int) -> Settlement:
    """Back into the queue, as after a failure that its holder handled: ready after ``delay`` ms."""
    return Settlement(stays=True, delay=delay)


def retry(delay: int, error: str, traceback: str | None = None) -> Settlement:
    """Failed, and tried again after ``delay`` ms."""
    return Settlement(stays=True, delay=delay, failed=True, error=error, traceback=traceback, record="retry")


def interrupt(error: str) -> Settlement:
    """Cut short by no fault of its own: ready at once."""
    return Settlement(stays=True, interrupted=True, error=error)


def abort(error: str, traceback: str | None = None) -> Settlement:
    """Failed for good, and kept in its place with fresh attempts for whoever resumes the queue."""
    return Settlement(stays=True, fresh=True, error=error, traceback=traceback, record="abort")


def delete(error: str, traceback: str | None = None) -> Settlement:
    """Failed for good, and removed."""
    return Settlement(stays=False, error=error, traceback=traceback, record="delete")


def bury(error: str, traceback: str | None = None) -> Settlement:
    """Failed for good, and kept as a dead letter."""
    return Settlement(stays=False, dead=True, error=error, traceback=traceback, record="dead")


def skip(reason: str) -> Settlement:
    """Removed without having been executed (to its end), because a human said so."""
    return Settlement(stays=False, error=reason, record="skipped")


def cancel(error: str, traceback: str | None = None) -> Settlement:
    """Removed before its end, because somebody asked for that."""
    return Settlement(stays=False, error=error, traceback=traceback, record="cancelled")
