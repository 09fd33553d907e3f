"""The lines of a run's log in the language of whoever looks."""

from __future__ import annotations

from typing import Any

from ..runs.problems import SEPARATOR
from ..storage.runs import LogLine
from .i18n import Translations


def describe_line(line: LogLine, translate: Translations) -> dict[str, Any]:
    """A line of the log as the page shows it."""
    return {"seq": line.id, "time": line.time / 1000, "level": line.level, "message": message(line, translate)}


def message(line: LogLine, translate: Translations) -> str:
    """What the line says; titles and errors of tasks stay as they are."""
    _p, subject = translate.pgettext, line.message.replace(SEPARATOR, ": ")
    if line.kind == "many":
        number, _space, title = subject.partition(" ")
        count = int(number) if number.isdigit() else 0
        return translate.ngettext(
            "Done: %(n)s task, the last: %(title)s", "Done: %(n)s tasks, the last: %(title)s", count, title=title
        )
    if line.kind in ("emptied", "reopened"):
        number = subject.partition(" ")[0]
        count = int(number) if number.isdigit() else 0
        if line.kind == "emptied":
            return translate.ngettext("%(n)s task was removed", "%(n)s tasks were removed", count)
        return translate.ngettext("%(n)s failed task is tried again", "%(n)s failed tasks are tried again", count)
    patterns = {
        "created": _p("log", "Ready"),
        "started": _p("log", "Started"),
        "done": _p("log", "Done: %(subject)s"),
        "retry": _p("log", "Failed, will be tried again: %(subject)s"),
        "failed": _p("log", "Failed: %(subject)s"),
        "retried": _p("log", "Failed: %(subject)s") if line.level == "warning" else _p("log", "Retry: %(subject)s"),
        "blocked": _p("log", "Stopped by a failure: %(subject)s"),
        "late": _p("log", "Late result ignored: %(subject)s"),
        "left": _p("log", "Left for a newer release: %(subject)s"),
        "skipped": _p("log", "Skipped: %(subject)s"),
        "taken_over": _p("log", "Taken over: %(subject)s"),
        "by_page": _p("log", "No worker was there; pages run it from now on"),
        "paused": _p("log", "Paused"),
        "resumed": _p("log", "Resumed"),
        "aborted": _p("log", "Aborted"),
        "finishing": _p("log", "All tasks are done; the last step runs"),
        "completed": _p("log", "Completed"),
    }
    pattern = patterns.get(line.kind, "%(subject)s")
    if "%(subject)s" in pattern:
        return pattern % {"subject": subject}
    return f"{pattern} {subject}" if subject.startswith("[") else pattern
