"""The tenants of an outbox, each with a database of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..errors import SpecError
from ..forks import inherit
from ..service import QueueService
from ..spec import nearest, shown

if TYPE_CHECKING:
    from .outbox import Outbox

Services = Mapping[str, QueueService] | Callable[[str], QueueService]


class Tenants:
    """Finds the services of tenants, and makes their outboxes when they are first asked for.

    Arguments:
        given: the services by name, which may become more, or a function that gives one.
        make: ``make(name, service)`` makes an outbox.
    """

    def __init__(self, given: Services, make: Callable[[str, QueueService], Outbox]) -> None:
        if not isinstance(given, Mapping) and not callable(given):
            raise SpecError(f"tenants are QueueServices by name, or a function that gives them, not {shown(given)}")
        self._given = given
        self._make = make
        self._made: dict[str, Outbox] = {}
        self._lock = threading.RLock()
        inherit(self)

    def forget_parent(self) -> None:
        """In a forked child: nobody holds the lock."""
        self._lock = threading.RLock()

    def names(self) -> list[str]:
        """Those in the mapping; of a function, those that it was asked for."""
        return sorted(self._given if isinstance(self._given, Mapping) else self._made)

    def outbox(self, name: str) -> Outbox:
        """The outbox of a tenant. Raises :class:`SpecError` on an unknown one."""
        if not isinstance(name, str) or not name:
            raise SpecError(f"the name of a tenant is text that is not empty, not {shown(name)}")
        with self._lock:
            if isinstance(self._given, Mapping) and name not in self._given:
                raise SpecError(f"there is no tenant {name!r}{nearest(name, self._given)}")
            if name not in self._made:
                self._made[name] = self._make(name, self._service(name))
            return self._made[name]

    def _service(self, name: str) -> QueueService:
        found = self._given[name] if isinstance(self._given, Mapping) else self._given(name)
        if not isinstance(found, QueueService):
            raise SpecError(f"tenant {name!r} has no QueueService, but {shown(found)}")
        return found
