"""Times as they are given on the command line: ages such as ``30d``, and moments."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import click

from .. import clock

_AGE = re.compile(r"(\d{1,9})\s?([smhdw]?)", re.ASCII)
_UNITS = {"": "seconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def as_age(ctx: click.Context, param: click.Parameter, value: str) -> timedelta:
    """Callback of an option: ``90`` (seconds), ``90s``, ``15m``, ``12h``, ``30d`` or ``2w``."""
    age = _age(value)
    if age is None:
        raise click.BadParameter(f"{value!r} is no age: write it as 90s, 15m, 12h, 30d or 2w", ctx, param)
    return age


def as_moment(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime | None:
    """Callback of an option: an age (so long ago), or a date with or without a time, in UTC unless it says a zone."""
    if value is None:
        return None
    try:
        age = _age(value)
        if age is not None:
            return clock.from_ms(clock.now_ms()) - age
        moment = datetime.fromisoformat(re.sub("[Zz]$", "+00:00", value))
    except (ValueError, OverflowError) as error:
        hint = "write it as 2026-02-28, 2026-02-28T13:30, or 2h for two hours ago"
        raise click.BadParameter(f"{value!r} is no time: {hint}", ctx, param) from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)


def _age(text: str) -> timedelta | None:
    found = _AGE.fullmatch(text)
    try:
        return timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None
    except OverflowError:
        return None
