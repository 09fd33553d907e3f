"""When a cron expression comes next, in a time zone, with Debian's rules for the days on which the clock is changed."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from . import clock
from .errors import ConfigurationError
from .spec import shown

#: As many characters as a column holds.
LONGEST = 191
_FIELDS = 5


@dataclass(frozen=True)
class Cron:
    """A cron expression in a time zone.

    Arguments:
        expression: five fields: minute, hour, day of the month, month, day of the week.
        timezone: the name of an IANA time zone, such as "Europe/Berlin".
        seconds: whether there may be six fields, the first of them for seconds; then the days on which the clock is
            changed have no rules of their own.

    Raises :class:`ConfigurationError` when one of them is unknown, or the expression never comes.
    """

    expression: str
    timezone: str = "UTC"
    seconds: bool = False

    def __post_init__(self) -> None:
        self.following(clock.now_ms())

    def following(self, moment: int) -> int:
        """The first moment after ``moment`` that is meant (both in milliseconds since 1970)."""
        for found in self._from(moment):
            # An hour that comes twice is meant once: asked in the second one, the library names the first.
            if (milliseconds := clock.moment_ms(found)) > moment:
                return milliseconds
        raise ConfigurationError(f"the cron expression {shown(self.expression)} never comes: no such day exists")

    def _from(self, moment: int) -> CronSim:
        began = clock.from_ms(moment).astimezone(_zone(self.timezone))
        is_text = isinstance(self.expression, str) and len(self.expression) <= LONGEST
        try:
            if is_text and len(self.expression.split()) in (_FIELDS, _FIELDS + self.seconds):
                return CronSim(self.expression, began)
            reason = f"{_FIELDS}{' or 6' if self.seconds else ''} fields are needed"
        except CronSimError as error:
            reason = str(error)
        raise ConfigurationError(
            f"{shown(self.expression)} is no cron expression ({reason}): write minute, hour, day of the month, month "
            "and day of the week, as '30 6 * * MON-FRI'"
        )


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, TypeError, AttributeError, OSError) as error:  # OSError: a folder of zones
        raise ConfigurationError(
            f"unknown time zone {shown(name)}: use a name such as 'UTC' or 'Europe/Berlin'; a system without any time "
            "zones needs the package tzdata"
        ) from error
