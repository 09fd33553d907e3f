"""What states, outcomes and acts are called on the pages."""

from __future__ import annotations

from ...dashboard.bulk import ORDERED
from ..i18n import Translations


def states(translate: Translations) -> dict[str, str]:
    """The states of items."""
    _ = translate.gettext
    return {
        "waiting": _("Waiting"),
        "running": _("Running"),
        "silent": _("No sign of life"),
        "scheduled": _("Scheduled"),
        "retrying": _("Waits for its retry"),
        "dead": _("Dead"),
        "gone": _("Gone"),
    }


def queue_states(translate: Translations) -> dict[str, str]:
    """The states of queues."""
    _ = translate.gettext
    return {
        "active": _("Active"),
        "paused": _("Paused"),
        "draft": _("Draft"),
        "completed": _("Completed"),
        "aborted": _("Aborted"),
        "damaged": _("Damaged"),
    }


def outcomes(translate: Translations) -> dict[str, str]:
    """How items, and attempts, ended."""
    _ = translate.gettext
    return {
        "failed": _("All failures"),
        "retry": _("Failed, tried again"),
        "abort": _("Failed, queue stopped"),
        "delete": _("Failed, removed"),
        "dead": _("Failed, dead letter"),
        "skipped": _("Skipped"),
        "cancelled": _("Cancelled"),
        "revived": _("Revived"),
    }


def acts(translate: Translations) -> dict[str, str]:
    """What may be done, as buttons say it."""
    _ = translate.gettext
    return {
        "retry": _("Run now"),
        "skip": _("Skip"),
        "delete": _("Delete"),
        "revive": _("Retry"),
        "take_over": _("Take over"),
        "pause": _("Pause"),
        "resume": _("Resume"),
        "edit": _("Change options"),
    }


def deeds(translate: Translations) -> dict[str, str]:
    """The same as the audit log says it; of orders for many what they are about."""
    _ = translate.gettext
    done = {
        "retry": _("made ready"),
        "skip": _("skipped"),
        "delete": _("deleted"),
        "revive": _("revived"),
        "take_over": _("taken over"),
        "pause": _("paused"),
        "resume": _("resumed"),
        "edit": _("options changed"),
    }
    orders = {f"{ORDERED}{verb}": _("ordered: %(act)s", act=act) for verb, act in acts(translate).items()}
    return {**done, **orders}


def ages(translate: Translations) -> dict[str, str]:
    """The ages that a filter knows."""
    _ = translate.gettext
    return {
        "5m": _("5 minutes"),
        "1h": _("1 hour"),
        "1d": _("1 day"),
        "7d": _("7 days"),
        "30d": _("30 days"),
    }
