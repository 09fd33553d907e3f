"""What stands on and beside the buttons of the progress page, and what is asked before some of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .durations import duration
from .i18n import Translations
from .running_texts import left_over


class ActionTexts:
    """Gives each action of a snapshot its ``label``, and its ``hint`` and ``confirm`` where it has one."""

    def __init__(
        self,
        snapshot: dict[str, Any],
        translate: Translations,
        name: Callable[[dict[str, Any]], str],
        on_abort: str,
    ) -> None:
        self._snapshot = snapshot
        self._translate = translate
        self._name = name
        self._on_abort = on_abort

    def describe(self) -> None:
        labels = self._labels()
        for action in self._snapshot["actions"]:
            verb, item = action["verb"], self._item(action)
            texts = {"label": labels[verb], "hint": self._hint(verb, item), "confirm": self._question(verb, item)}
            action.update({key: text for key, text in texts.items() if text})

    def _labels(self) -> dict[str, str]:
        _p = self._translate.pgettext
        failed = self._snapshot["progress"]["failed"]
        return {
            "start": _p("button", "Start"),
            "pause": _p("button", "Pause"),
            "resume": _p("button", "Resume"),
            "retry": _p("button", "Retry"),
            "skip": _p("button", "Skip"),
            "abort": _p("button", "Abort"),
            "steal": _p("button", "Take over"),
            "take_over": _p("button", "Run it here"),
            "retry_failed": self._translate.ngettext("Retry failed (%(n)s)", "Retry failed (%(n)s)", failed),
        }

    def _hint(self, verb: str, item: dict[str, Any]) -> str:
        """The consequences, where a decision is asked for; elsewhere the word on the button says enough."""
        _ = self._translate.gettext
        title = self._name(item)
        if verb == "take_over":
            return _("This page does the work from now on, as long as it is open. Workers that come back share it.")
        if verb == "steal":
            return _("Takes “%(title)s” from whoever held it. Then you choose between Retry and Skip.", title=title)
        if verb == "skip":
            return _(
                "Leaves “%(title)s” out for good and goes on with the next task. Its work stays undone.", title=title
            )
        if self._snapshot["run"]["status"] == "blocked":
            if verb == "retry":
                return _(
                    "Runs “%(title)s” again. Use it when the cause has been removed, or was only temporary.",
                    title=title,
                )
            if verb == "abort":
                ends = _("Ends the run here.")
                return f"{ends} {self._rest()}".rstrip()
        elif verb == "retry":
            return _("Runs “%(title)s” now instead of waiting.", title=title)
        return ""

    def _question(self, verb: str, item: dict[str, Any]) -> str:
        """Asked before what cannot be taken back."""
        _ = self._translate.gettext
        if verb == "abort":
            stays = _("What is done stays done.")
            if self._snapshot["running"]:
                stays = _("What runs right now may still come to its end. What is done stays done.")
            return f"{stays} {self._rest()}".rstrip()
        if verb == "steal":
            age = item["lease"]["heartbeat_age_s"] if "lease" in item else None
            silence = duration(age or 0, self._translate)
            return _(
                "There was no sign of life of “%(title)s” for %(time)s, but it may still be running. Its result would "
                "be ignored from now on; what it does meanwhile would not be undone.",
                title=self._name(item),
                time=silence,
            )
        return ""

    def _rest(self) -> str:
        """What becomes of the items that are left."""
        left = left_over(self._snapshot)
        if not left:
            return ""
        if self._on_abort == "skip":
            return self._translate.ngettext(
                "The %(n)s task that is left is skipped.", "The %(n)s tasks that are left are skipped.", left
            )
        return self._translate.ngettext(
            "The %(n)s task that is left stays in the queue.", "The %(n)s tasks that are left stay in the queue.", left
        )

    def _item(self, action: dict[str, Any]) -> dict[str, Any]:
        """What the action is about, as the snapshot has it; the run's actions are about none."""
        wanted = action.get("item_id")
        known = [*self._snapshot["running"], self._snapshot["problem"], self._snapshot["next_retry"]]
        return next((item for item in known if item and item["item_id"] == wanted), {"item_id": wanted, "title": ""})
