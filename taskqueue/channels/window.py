"""When a message may be delivered: between two times of day in some time zone, and on weekends or not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

from ..cron import time_zone
from ..errors import ConfigurationError, PayloadError, PayloadTooNew, SpecError
from ..spec import shown

_TIME = re.compile(r"(\d\d):(\d\d)(?::(\d\d))?", re.ASCII)
_DAY = 86_400
_SATURDAY, _SUNDAY = 5, 6
#: So many days hold an opening of every window there is, also where days or hours are left out by a zone.
_HORIZON = 15


@dataclass(frozen=True)
class Window:
    """A window that opens every day, by the clock on the wall of a time zone.

    Arguments:
        start, end: times of day, "22:00" or "22:00:30" (or :class:`datetime.time`); ``end`` also "24:00". An end that
            is not after the start is one of the next day: "22:00" to "06:00" is a night. The window is open at the
            start, and closed at the end. Two equal times mean all of the day.
        timezone: the name of an IANA time zone, such as "Europe/Berlin".
        saturday, sunday: False: closed for all of that day of the calendar, from midnight to midnight. The night that
            began on Friday ends then at midnight; and what of a night lies on the day after is open if that day is.

    On the days on which the clock is changed, what it shows counts: an hour that is left out opens nothing, in one
    that comes twice the window is open twice.

    Raises :class:`SpecError`, and :class:`ConfigurationError` on an unknown time zone.
    """

    start: str = "00:00"
    end: str = "24:00"
    timezone: str = "UTC"
    saturday: bool = True
    sunday: bool = True

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            given: Any = getattr(self, name)
            text = given.isoformat() if isinstance(given, time) else given
            object.__setattr__(self, name, _checked(name, text))
        for name in ("saturday", "sunday"):
            if not isinstance(getattr(self, name), bool):
                raise SpecError(f"{name} of a window must be True or False, not {shown(getattr(self, name))}")
        time_zone(self.timezone)

    def is_open(self, moment: datetime) -> bool:
        """Whether the window is open at an aware datetime."""
        local = moment.astimezone(self._zone)
        if (local.weekday() == _SATURDAY and not self.saturday) or (local.weekday() == _SUNDAY and not self.sunday):
            return False
        second = local.hour * 3600 + local.minute * 60 + local.second
        start, end = _seconds(self.start), _seconds(self.end)
        return start <= second < end if start < end else second >= start or second < end

    def opening(self, moment: datetime) -> datetime:
        """The first moment at or after ``moment`` at which the window is open; UTC."""
        if self.is_open(moment):
            return moment.astimezone(timezone.utc)
        today = moment.astimezone(self._zone).date()
        for days in range(_HORIZON):
            for candidate in sorted(self._changes(today + timedelta(days=days))):
                if candidate >= moment and self.is_open(candidate):
                    return candidate
        return moment.astimezone(timezone.utc) + timedelta(days=_HORIZON)  # it is looked again then

    @property
    def _zone(self) -> ZoneInfo:
        return time_zone(self.timezone)

    def _changes(self, day: date) -> Iterator[datetime]:
        """The moments of a day at which the window may open: its start, midnight, and when the clock is changed."""
        for second in (0, _seconds(self.start) % _DAY):
            yield from self._moments(day, second)
        begin, end = min(self._moments(day, 0)), max(self._moments(day + timedelta(days=1), 0))
        if self._offset(begin) != self._offset(end):
            yield self._change_between(begin, end)

    def _moments(self, day: date, second: int) -> list[datetime]:
        """When the clock shows that: once, twice, or where it is left out the moments beside the gap."""
        wall = datetime.combine(day, time(second // 3600, second // 60 % 60, second % 60), self._zone)
        return [wall.replace(fold=fold).astimezone(timezone.utc) for fold in (0, 1)]

    def _offset(self, moment: datetime) -> timedelta | None:
        return moment.astimezone(self._zone).utcoffset()

    def _change_between(self, before: datetime, after: datetime) -> datetime:
        """The second at which the clock is changed, between two moments with different offsets from UTC."""
        offset = self._offset(before)
        while after - before > timedelta(seconds=1):
            middle = before + timedelta(seconds=(after - before) // timedelta(seconds=1) // 2)
            before, after = (middle, after) if self._offset(middle) == offset else (before, middle)
        return after

    # --- as it is stored ---

    def to_data(self) -> dict[str, Any]:
        """What is stored of it."""
        return {"start": self.start, "end": self.end, "timezone": self.timezone, "saturday": self.saturday,
                "sunday": self.sunday}  # fmt: skip

    @classmethod
    def of(cls, data: Any) -> Window:
        """Read what :meth:`to_data` gave. Raises :class:`PayloadError`."""
        if not isinstance(data, Mapping) or data.keys() != _FIELDS:
            raise PayloadError(f"the stored message is damaged: its window is {shown(data)}")
        try:
            return cls(**data)
        except SpecError as error:
            raise PayloadError(f"the stored message is damaged: {error}") from error
        except ConfigurationError as error:  # other hosts may know the zone
            raise PayloadTooNew(f"the window of the stored message cannot be read here: {error}") from error


_FIELDS = set(Window.__dataclass_fields__)


def _checked(name: str, text: object) -> str:
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    if found is not None:
        second = _seconds(found[0])
        is_time = int(found[2]) < 60 and int(found[3] or 0) < 60
        if is_time and (second < _DAY or (name == "end" and second == _DAY)):
            return found[0].removesuffix(":00") if found[3] else found[0]
    raise SpecError(f"{name} of a window must be a time of day such as '22:00', in whole seconds, not {shown(text)}")


def _seconds(text: str) -> int:
    hour, minute, second = (*map(int, text.split(":")), 0)[:3]
    return hour * 3600 + minute * 60 + second
