"""Times as people say them: two units at most, and no more exact than they are."""

from __future__ import annotations

from datetime import datetime, timezone

from .i18n import Translations

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def duration(seconds: float, translate: Translations) -> str:
    """``12 s``, ``4 min 10 s``, ``1 h 5 min``, ``2 d 3 h``: of a time that has passed, so rounded down."""
    whole = max(0, int(seconds))
    for size, smaller in ((_DAY, _HOUR), (_HOUR, _MINUTE), (_MINUTE, 1)):
        if whole >= size:
            rest = whole % size // smaller
            first = _unit(whole // size, size, translate)
            return f"{first} {_unit(rest, smaller, translate)}" if rest else first
    return _unit(whole, 1, translate)


def estimate(seconds: float, translate: Translations) -> str:
    """A time still to come, as coarse as a guess should be: a countdown would promise too much."""
    steps = ((10, 1), (_MINUTE, 5), (_HOUR, _MINUTE), (_DAY, 10 * _MINUTE))
    step = next((step for below, step in steps if seconds < below), _HOUR)
    return duration(max(step, round(seconds / step) * step), translate)


def utc(moment: float, form: str) -> str:
    """A moment (seconds since 1970) in UTC, as ``strftime`` writes it; empty if no calendar has it."""
    try:
        return datetime.fromtimestamp(moment, timezone.utc).strftime(form)
    except (OverflowError, OSError, ValueError):
        return ""


def _unit(count: int, size: int, translate: Translations) -> str:
    count_text = translate.number(count)
    if size == _DAY:
        return translate.pgettext("duration", "%(n)s d", n=count_text)
    if size == _HOUR:
        return translate.pgettext("duration", "%(n)s h", n=count_text)
    if size == _MINUTE:
        return translate.pgettext("duration", "%(n)s min", n=count_text)
    return translate.pgettext("duration", "%(n)s s", n=count_text)
