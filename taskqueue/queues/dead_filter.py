"""Which dead letters are meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

from ..errors import SpecError
from ..spec import nearest, shown
from .arguments import check_ids
from .ended import DeadItem


class DeadFilters(TypedDict, total=False):
    """What dead letters may be chosen by; None stands for any, and all that are given must be met."""

    #: A text that stands in the error, in capitals or not.
    error: str | None
    #: The whole name of the callback, as "shop.tasks:resize", or that of a module or package around it.
    callback: str | None
    #: Died at that moment or later, died before that moment: aware datetimes.
    since: datetime | None
    until: datetime | None


@dataclass(frozen=True)
class DeadFilter:
    """The same, checked. The rules on texts live here and not in SQL, so that they are the same on every database."""

    ids: frozenset[int] | None = None
    error: str | None = None
    callback: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @classmethod
    def of(cls, ids: Iterable[int] | None, filters: Mapping[str, Any]) -> DeadFilter:
        """Raises :class:`SpecError` on an unknown name or a wrong type."""
        for name, value in filters.items():
            _check(name, value)
        return cls(frozenset(check_ids(ids)) if ids is not None else None, **filters)

    @property
    def is_empty(self) -> bool:
        """Whether all are meant."""
        return self == DeadFilter()

    @property
    def needs_content(self) -> bool:
        """Whether one has to look into the letters, because ids and times do not tell."""
        return self.error is not None or self.callback is not None

    @property
    def names_ids_only(self) -> bool:
        """Whether nothing but ids was given."""
        return self.ids is not None and self == DeadFilter(self.ids)

    def matches(self, letter: DeadItem) -> bool:
        """Whether the letter meets all of it."""
        return (
            (self.ids is None or letter.id in self.ids)
            and (self.since is None or letter.dead_time >= self.since)
            and (self.until is None or letter.dead_time < self.until)
            and (self.error is None or self.error.casefold() in letter.error.casefold())
            and (self.callback is None or _is_of(letter.callback, self.callback))
        )


def _is_of(callback: str | None, name: str) -> bool:
    return callback is not None and (callback == name or callback.startswith((f"{name}.", f"{name}:")))


def _check(name: str, value: object) -> None:
    if name in ("error", "callback"):
        if value is not None and not (isinstance(value, str) and value):
            raise SpecError(f"{name} must be text that is not empty, not {shown(value)}")
    elif name in ("since", "until"):
        if value is not None and not (isinstance(value, datetime) and value.utcoffset() is not None):
            raise SpecError(f"{name} must be a datetime with a time zone, not {shown(value)}")
    else:
        known = DeadFilters.__annotations__
        raise SpecError(f"unknown filter {name!r}{nearest(name, known)}; known are {', '.join(known)}")
