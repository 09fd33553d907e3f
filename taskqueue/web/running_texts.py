"""What the progress page says of the items that run right now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .durations import duration
from .i18n import Translations

# A quicker task would only make its lease line flash by.
_LEASE_AFTER = 2.0
# A report from the task itself that is older than this is worth a remark.
_OLD_REPORT = 10.0


def left_over(snapshot: dict[str, Any]) -> int:
    """How many items are neither through nor in hand. (``waiting`` leaves out what is leased ahead.)"""
    numbers: dict[str, int] = snapshot["progress"]
    through = numbers["done"] + numbers["skipped"] + numbers["failed"]
    return max(0, numbers["total"] - through - sum(1 for item in snapshot["running"] if item["item_id"]))


class RunningTexts:
    """One sequential task as a rule; several at once on a parallel queue."""

    def __init__(
        self, items: list[dict[str, Any]], translate: Translations, name: Callable[[dict[str, Any]], str]
    ) -> None:
        self.items = items
        self.is_stale = any(item["lease"]["stale"] for item in items)
        self._translate = translate
        self._name = name

    def together(self) -> str:
        """All of them in a few words."""
        if len(self.items) == 1:
            return self._line(self.items[0])
        return self._translate.ngettext("%(n)s task at once", "%(n)s tasks at once", len(self.items))

    def each(self) -> list[dict[str, str]]:
        """A few words for each; the name only where there are several, else the line above has it."""
        several = len(self.items) > 1
        return [
            {"line": self._line(item) if several else "", "note": self._note(item), "lease": self._lease(item)}
            for item in self.items
        ]

    def worst_lease(self) -> str:
        """Of the item without a sign of life for longest."""
        if not self.items:
            return ""
        return self._lease(max(self.items, key=lambda item: float(item["lease"]["heartbeat_age_s"] or 0)))

    def first_note(self) -> str:
        return self._note(self.items[0]) if self.items else ""

    def _line(self, item: dict[str, Any]) -> str:
        _ = self._translate.gettext
        title, attempt, seconds = self._name(item), item["attempt"], item["running_s"]
        if seconds is None or seconds < 1:
            return title if attempt <= 1 else _("%(title)s (attempt %(attempt)s)", title=title, attempt=attempt)
        time = duration(seconds, self._translate)
        if attempt <= 1:
            return _("%(title)s (for %(time)s)", title=title, time=time)
        return _("%(title)s (for %(time)s, attempt %(attempt)s)", title=title, time=time, attempt=attempt)

    def _note(self, item: dict[str, Any]) -> str:
        """What the task itself reports."""
        _ = self._translate.gettext
        note, fraction, age = " ".join(str(item["note"] or "").split()), item["fraction"], item["progress_age_s"]
        if fraction is not None:
            done = self._translate.percent(int(min(1.0, max(0.0, fraction)) * 100))
            note = _("%(percent)s: %(note)s", percent=done, note=note) if note else done
        # A beating heart proves the process; only this tells of the task.
        if note and age is not None and age >= _OLD_REPORT:
            return _("%(note)s (reported %(time)s ago)", note=note, time=duration(age, self._translate))
        return note

    def _lease(self, item: dict[str, Any]) -> str:
        _ = self._translate.gettext
        age = item["lease"]["heartbeat_age_s"]
        time = duration(age or 0, self._translate)
        if item["lease"]["stale"]:
            return _("No sign of life for %(time)s", time=time) if age is not None else _("No sign of life")
        if age is None or (item["running_s"] or 0) < _LEASE_AFTER:
            return ""
        return _("Still running (heartbeat %(time)s ago)", time=time)
