"""How a schedule goes on: as a cron expression says, at a distance from the end of one run to the next, or once."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .cron import LONGEST, Cron
from .errors import ConfigurationError
from .spec import shown

#: The longest first, in milliseconds.
_UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_SPAN = re.compile(r"(\d+)([a-z]+)", re.ASCII)
_EVERY, _ONCE, _AFTER = "every ", "once", " after "


@dataclass(frozen=True)
class Rhythm:
    """Said in one text: "30 6 * * *", "every 1h", or "once"; " after 10m" behind it puts off the first time.

    Arguments:
        cron: an expression of five fields, or of six with leading seconds; "" for none.
        timezone: that of the expression.
        distance: milliseconds from the end of one run to the next; 0: there is no next, unless ``cron`` says so.
        after: not before so many milliseconds have passed since it was set.

    Raises :class:`ConfigurationError` when the expression or the time zone is unknown.
    """

    cron: str = ""
    timezone: str = "UTC"
    distance: int = 0
    after: int = 0

    def __post_init__(self) -> None:
        if self.cron:
            self._cron.following(0)
        if len(self.text) > LONGEST:
            raise ConfigurationError(f"the rhythm {shown(self.text)} is too long to be stored: shorten its lists")

    @classmethod
    def of(cls, text: str, timezone: str) -> Rhythm:
        """Read :attr:`text`."""
        what, _, after = text.partition(_AFTER)
        delay = _ms(after) if after else 0
        if what == _ONCE:
            return cls("", timezone, 0, delay)
        if what.startswith(_EVERY):
            return cls("", timezone, _ms(what.removeprefix(_EVERY)), delay)
        return cls(what, timezone, 0, delay)

    @property
    def text(self) -> str:
        """What is stored, and shown to humans."""
        what = self.cron or (f"{_EVERY}{_span(self.distance)}" if self.distance else _ONCE)
        return what + (f"{_AFTER}{_span(self.after)}" if self.after else "")

    @property
    def is_once(self) -> bool:
        """Whether there is one time only."""
        return not self.cron and not self.distance

    def first(self, now: int) -> int:
        """The first moment, when it is set ``now`` (milliseconds since 1970)."""
        return self._cron.following(now + self.after) if self.cron else now + self.after

    def following(self, moment: int) -> int | None:
        """The next moment, counted from ``moment``; None when there is none."""
        if self.cron:
            return self._cron.following(moment)
        return moment + self.distance if self.distance else None

    @property
    def _cron(self) -> Cron:
        return Cron(self.cron, self.timezone)


def _span(milliseconds: int) -> str:
    unit = next(unit for unit, size in _UNITS.items() if milliseconds % size == 0)
    return f"{milliseconds // _UNITS[unit]}{unit}"


def _ms(span: str) -> int:
    found = _SPAN.fullmatch(span)
    if found is None or found[2] not in _UNITS:
        raise ConfigurationError(f"the stored schedule says {shown(span)}, which is no span of time")
    return int(found[1]) * _UNITS[found[2]]
