"""When a cron expression comes next, in a time zone.

On the days on which the clock is changed Debian's rules hold for expressions without seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from . import clock
from .errors import ConfigurationError
from .spec import shown

#: As many characters as a column holds.
LONGEST = 191
_FIELDS = (5, 6)


@dataclass(frozen=True)
class Cron:
    """A cron expression in a time zone.

    Arguments:
        expression: five fields: minute, hour, day of the month, month, day of the week; or six, the second before them.
        timezone: the name of an IANA time zone, such as "Europe/Berlin".

    Raises :class:`ConfigurationError` when one of them is unknown, or the expression never comes.
    """

    expression: str
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        self.following(clock.now_ms())

    def following(self, moment: int) -> int:
        """The first moment after ``moment`` that is meant (both in milliseconds since 1970)."""
        for found in self._from(moment):
            # An hour that comes twice is meant once: asked in the second one, the library names the first.
            if (milliseconds := clock.moment_ms(found)) > moment:
                return milliseconds
        raise self._never()

    def _from(self, moment: int) -> CronSim:
        began = clock.from_ms(moment).astimezone(time_zone(self.timezone))
        is_text = isinstance(self.expression, str) and len(self.expression) <= LONGEST
        try:
            if is_text and len(self.expression.split()) in _FIELDS:
                return CronSim(self.expression, began)
            reason = "5 fields are needed, or 6 with leading seconds"
        except CronSimError as error:
            if self._is_of_good_fields():
                raise self._never() from error
            reason = str(error)
        raise ConfigurationError(
            f"{shown(self.expression)} is no cron expression ({reason}): write minute, hour, day of the month, month "
            "and day of the week, as '30 6 * * MON-FRI'"
        )

    def _is_of_good_fields(self) -> bool:
        """Whether each field has a meaning, so that it is day and month together that have none."""
        *time, day, month, weekday = self.expression.split()
        return _is_known([*time, day, "*", weekday]) and _is_known([*time, "*", month, weekday])

    def _never(self) -> ConfigurationError:
        return ConfigurationError(f"the cron expression {shown(self.expression)} never comes due: there is no such day")


def _is_known(fields: Sequence[str]) -> bool:
    try:
        CronSim(" ".join(fields), clock.from_ms(0))
    except CronSimError:
        return False
    return True


def time_zone(name: str) -> ZoneInfo:
    """The IANA time zone of that name. Raises :class:`ConfigurationError`."""
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, TypeError, AttributeError, OSError) as error:  # OSError: a folder of zones
        raise ConfigurationError(
            f"unknown time zone {shown(name)}: use a name such as 'UTC' or 'Europe/Berlin'; a system without any time "
            "zones needs the package tzdata"
        ) from error
