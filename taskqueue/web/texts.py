"""What a human reads on the progress page, made from a snapshot.

All of it is made here, so that the page with and without JavaScript says the same, in one language, with the
plurals of that language. Where there is nothing to say the text is empty.
"""

from __future__ import annotations

import math
from typing import Any

from .action_texts import ActionTexts
from .bidi import isolated, shortened
from .durations import duration, estimate, utc
from .i18n import Translations
from .running_texts import RunningTexts, left_over

_OPEN = ("ready", "running", "paused", "blocked", "finishing")
_TITLE_LENGTH = 120


def describe(snapshot: dict[str, Any], translate: Translations, *, on_abort: str = "keep") -> None:
    """Put ``text`` into the snapshot, and ``label``, ``hint`` and perhaps ``confirm`` into each of its actions.

    ``on_abort`` is the setting TASKQUEUE_ON_ABORT: what becomes of the items that are left.
    """
    texts = _Texts(snapshot, translate)
    snapshot["text"] = {
        "status": texts.status(),
        "title": texts.title(),
        "line": texts.line(),
        "counts": texts.tasks() + texts.added(),
        "percent": translate.percent(snapshot["progress"]["percent"]),
        "bar": texts.bar(),
        "time": texts.time(),
        "lease": texts.running.worst_lease(),
        "note": texts.running.first_note(),
        "running": texts.running.each(),
        "retry": texts.retry(),
        "problem": texts.problem(),
        "failures": texts.failures(),
        "driver": texts.driver(),
        "warning": texts.warning(),
        "summary": texts.summary(),
        "announce": texts.announce(),
        # For the page without JavaScript; the script shows the reader's own time zone.
        "times": [utc(line["time"], "%H:%M:%S") for line in snapshot["log"]],
    }
    ActionTexts(snapshot, translate, texts.name, on_abort).describe()


class _Texts:
    """The texts of one snapshot."""

    def __init__(self, snapshot: dict[str, Any], translate: Translations) -> None:
        self.snapshot = snapshot
        self.translate = translate
        self.run: dict[str, Any] = snapshot["run"]
        self.state = str(self.run["status"])
        self.numbers: dict[str, int] = snapshot["progress"]
        self.is_open = self.state in _OPEN
        self.running = RunningTexts(snapshot["running"], translate, self.name)

    def name(self, item: dict[str, Any]) -> str:
        """What an item is called inside a sentence."""
        title = shortened(str(item["title"] or ""), _TITLE_LENGTH)
        if title:
            return isolated(title)
        if item["item_id"] == 0:
            return self.translate.gettext("last step")
        return self.translate.gettext("task %(id)s", id=item["item_id"])

    def status(self) -> str:
        """The badge."""
        _p = self.translate.pgettext
        if self.state == "completed" and self.numbers["failed"]:
            return _p("run", "Completed with failures")
        return {
            "ready": _p("run", "Ready"),
            "running": _p("run", "Running"),
            "paused": _p("run", "Paused"),
            "blocked": _p("run", "Blocked"),
            "finishing": _p("run", "Finishing"),
            "completed": _p("run", "Completed"),
            "aborted": _p("run", "Aborted"),
        }.get(self.state, self.state)  # written by others

    def title(self) -> str:
        """Of the browser's tab. It changes with the state and in whole percents, so that it does not flicker."""
        mark = self._mark()
        title = isolated(shortened(str(self.run["title"]), _TITLE_LENGTH))
        return f"({mark}) {title}" if mark else title

    def _mark(self) -> str:
        _p = self.translate.pgettext
        failed = self.numbers["failed"]
        if self.state == "blocked" or self.running.is_stale or self.run.get("is_unserved"):
            return "!"
        if self.state == "completed" and failed:
            return self.translate.ngettext("done, %(n)s failed", "done, %(n)s failed", failed)
        if self.state in ("running", "finishing"):
            return self.translate.percent(self.numbers["percent"])
        return {"paused": _p("tab", "paused"), "completed": _p("tab", "done"), "aborted": _p("tab", "aborted")}.get(
            self.state, ""
        )

    def line(self) -> str:
        """What is going on right now."""
        _ = self.translate.gettext
        left = left_over(self.snapshot)
        if not self.is_open and not self.running.items:
            return ""
        if self.state == "ready":
            return self.translate.ngettext("%(n)s task, not started yet", "%(n)s tasks, not started yet", left)
        if self.state == "blocked" and self.snapshot["problem"]:
            return _("Stopped at: %(title)s", title=self.name(self.snapshot["problem"]))
        if self.running.items and self.state == "paused":
            return _("Pausing after: %(task)s", task=self.running.together())
        if self.running.items:
            return _("Running: %(task)s", task=self.running.together())
        if self.snapshot["next_retry"] and self.state != "paused":
            return _("Waiting to retry: %(title)s", title=self.name(self.snapshot["next_retry"]))
        if self.state == "finishing":
            return _("All tasks are through; the last step is due")
        return self.translate.ngettext("%(n)s task to go", "%(n)s tasks to go", left) if left else ""

    def tasks(self) -> str:
        """``37 of 151 tasks, 2 skipped, 1 failed``."""
        parts = [self._done()]
        if self.numbers["skipped"]:
            parts.append(self.translate.ngettext("%(n)s skipped", "%(n)s skipped", self.numbers["skipped"]))
        if self.numbers["failed"]:
            parts.append(self.translate.ngettext("%(n)s failed", "%(n)s failed", self.numbers["failed"]))
        return ", ".join(parts)

    def added(self) -> str:
        """Why the total has grown, and the bar perhaps stepped back."""
        added = self.numbers["added"]
        if not added:
            return ""
        return " " + self.translate.ngettext("(%(n)s added while running)", "(%(n)s added while running)", added)

    def bar(self) -> str:
        """What a screen reader says of the bar."""
        percent = self.numbers["percent"]
        return self.translate.gettext("%(percent)s percent, %(tasks)s", percent=percent, tasks=self._done())

    def time(self) -> str:
        # Before the start there is none, and at the end the summary has it.
        if self.state == "ready" or not self.is_open or self.run["elapsed_s"] < 1:
            return ""
        elapsed = duration(self.run["elapsed_s"], self.translate)
        # The server leaves the estimate out where it would be a guess.
        if self.state != "running" or self.run["eta_s"] is None:
            return self.translate.gettext("Elapsed %(elapsed)s", elapsed=elapsed)
        left = estimate(self.run["eta_s"], self.translate)
        return self.translate.gettext("Elapsed %(elapsed)s, about %(left)s left", elapsed=elapsed, left=left)

    def retry(self) -> str:
        coming = self.snapshot["next_retry"]
        if not coming or not self.is_open:
            return ""
        tries = {"attempt": coming["attempt"], "attempts": coming["attempts"]}
        seconds = math.ceil(coming["seconds"])
        if seconds <= 0:
            return self.translate.gettext("Next retry now (attempt %(attempt)s of %(attempts)s)", **tries)
        wait = duration(seconds, self.translate)
        return self.translate.gettext(
            "Next retry in %(wait)s (attempt %(attempt)s of %(attempts)s)", wait=wait, **tries
        )

    def problem(self) -> dict[str, str] | None:
        """Of the box about the item that stopped the run."""
        problem = self.snapshot["problem"]
        if not problem:
            return None
        _ = self.translate.gettext
        title, attempt = self.name(problem), problem["attempt"]
        heading, explanation = {
            "lost_lease": (
                _("Lost: %(title)s", title=title),
                _("Whoever ran it gave no more sign of life. It may have done all of its work, a part, or nothing."),
            ),
            "missing_callback": (
                _("Cannot be run: %(title)s", title=title),
                _("Its code was not found, or may not be run here."),
            ),
        }.get(problem["kind"], (_("Failed: %(title)s", title=title), ""))
        if problem["item_id"] == 0:
            where = _("Last step, attempt %(attempt)s", attempt=attempt)
        else:
            where = _("Task %(id)s, attempt %(attempt)s", id=problem["item_id"], attempt=attempt)
        return {
            "heading": heading,
            "explanation": explanation,
            "where": where,
            "when": utc(problem["when"], "%Y-%m-%d %H:%M:%S UTC"),
            "iso": utc(problem["when"], "%Y-%m-%dT%H:%M:%SZ"),
        }

    def failures(self) -> dict[str, str]:
        """Of the list of items that failed for good: its heading, and what it does not show."""
        failed = self.numbers["failed"]
        hidden = failed - len(self.snapshot["failures"])
        more = self.translate.ngettext("and %(n)s more", "and %(n)s more", hidden) if hidden > 0 else ""
        heading = self.translate.ngettext("%(n)s task failed", "%(n)s tasks failed", failed) if failed else ""
        return {"heading": heading, "more": more}

    def driver(self) -> str:
        """Who drives the run, when it is not this page."""
        driver = self.snapshot["driver"]
        if self.state not in ("running", "finishing", "paused") or driver["mine"] or self.snapshot["drive"]:
            return ""
        if self.run.get("mode") == "background":
            return self._workers()
        if driver["alive"] and driver["label"]:
            label = isolated(shortened(str(driver["label"]), _TITLE_LENGTH))
            return self.translate.gettext("You are watching: %(label)s drives this run", label=label)
        if driver["alive"]:
            return self.translate.gettext("You are watching: another page drives this run")
        if self.run["is_unattended"] and self.state in ("running", "finishing"):
            return self.translate.gettext("Nobody drives this run at the moment. It goes on as soon as somebody does.")
        return ""

    def _workers(self) -> str:
        if self.run["is_unserved"]:
            return ""
        return self.translate.gettext("Workers run this in the background. You may close this page.")

    def warning(self) -> str:
        """Why it does not go on by itself."""
        _ = self.translate.gettext
        if not self.run.get("is_unserved"):
            return ""
        if any(action["verb"] == "take_over" for action in self.snapshot["actions"]):
            return _("No worker serves this queue. Start one with “taskqueue work”, or run it here.")
        return _("No worker serves this queue. Start one with “taskqueue work”.")

    def summary(self) -> str:
        """At the end: how it went; the counts stand beside it."""
        if self.is_open:
            return ""
        failed = self.numbers["failed"]
        elapsed = duration(max(1.0, self.run["elapsed_s"]), self.translate)
        if self.state == "aborted":
            return self.translate.gettext("Aborted after %(elapsed)s", elapsed=elapsed)
        if failed:
            return self.translate.ngettext(
                "Completed with %(n)s failure in %(elapsed)s",
                "Completed with %(n)s failures in %(elapsed)s",
                failed,
                elapsed=elapsed,
            )
        if not self.numbers["total"]:
            return self.translate.gettext("Completed: there was nothing to do")
        return self.translate.gettext("Completed in %(elapsed)s", elapsed=elapsed)

    def announce(self) -> str:
        """What is spoken: it changes with the state and at each tenth of the way, not with each task."""
        if not self.is_open:
            return self.summary()
        if self.running.is_stale:
            return self.translate.gettext("No sign of life")
        if self.run.get("is_unserved"):
            return self.warning()
        if self.state != "running":
            return self.status()
        tenth = self.numbers["percent"] // 10 * 10
        return self.translate.gettext("%(status)s, %(percent)s percent", status=self.status(), percent=tenth)

    def _done(self) -> str:
        done, total = self.translate.number(self.numbers["done"]), self.numbers["total"]
        return self.translate.ngettext("%(done)s of %(n)s task", "%(done)s of %(n)s tasks", total, done=done)


def brief(status: str, numbers: dict[str, int], translate: Translations) -> tuple[str, str]:
    """The badge and the counts of a run in a list; ``numbers`` are total, done, skipped and failed."""
    texts = _Texts({"run": {"status": status}, "progress": numbers, "running": []}, translate)
    return texts.status(), texts.tasks()


def page_strings(translate: Translations) -> dict[str, str]:
    """What the script says of its own: about the connection, and about what only a browser can do."""
    _ = translate.gettext
    return {
        "checking": _("Checking the state …"),
        "resending": _("No answer yet. Your request is sent again until there is one."),
        "stuck": _("The server does not get to work at the moment. This page keeps trying."),
        "unavailable": _("The server cannot reach its database. This page keeps trying."),
        "sign_in": _("You are no longer signed in. The run is kept."),
        "sign_in_link": _("Sign in again"),
        "gone": _("This run is no longer kept."),
        "moved_on": _("The run has moved on meanwhile. This is how it stands now."),
        "refused": _("The server refused this request."),
        "outdated": _("This page is older than the server."),
        "reload": _("Load it again"),
        "copied": _("Copied"),
        "copy_failed": _("Copying did not work"),
        "warning": _("Warning"),
        "error": _("Error"),
    }
