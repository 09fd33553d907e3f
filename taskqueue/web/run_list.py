"""The list of runs, and of queues that wait for one: what stands on it."""

from __future__ import annotations

from typing import Any

from flask import url_for

from ..errors import QueueNotFound
from ..queues.sql_base import SqlBase
from ..runs.standing import percent, standing
from ..runs.state import RunState
from .durations import utc
from .i18n import Translations
from .permission import may_execute
from .site import Site
from .texts import brief

#: So many are shown.
RUNS = 100
QUEUES = 100
#: A queue in one of these states is started by a button.
_STARTED = ("active", "aborted", "completed")


def runs_shown(site: Site, translate: Translations) -> list[dict[str, Any]]:
    """The latest runs, newest first."""
    return [_run(site, run, translate) for run in site.runs.latest(RUNS)]


def queues_waiting(site: Site, translate: Translations) -> list[dict[str, Any]]:
    """The queues that hold items while no run of them is open."""
    found: list[dict[str, Any]] = []
    for queue in site.service.queues():
        if not isinstance(queue, SqlBase) or not queue.spec.is_persistent or queue.spec.is_template:
            continue
        number = queue.number_of_items() if not site.runs.open_runs(queue.name) else 0
        if number and len(found) < QUEUES:
            found.append({
                "name": queue.name,
                "size": translate.ngettext("%(n)s task", "%(n)s tasks", number),
                "url": url_for("run_queue", name=queue.name),
                "obstacle": obstacle(site, queue, translate),
            })  # fmt: skip
    return found


def obstacle(site: Site, queue: SqlBase, translate: Translations) -> str | None:
    """Why no run of a queue can be begun here: a sentence, "" where nothing is to be said; None: it can."""
    _, status = translate.gettext, queue.status
    if site.settings.read_only or site.settings.mode == "observe":
        return ""
    if status == "paused":
        return _("This queue is paused.")
    if status not in _STARTED:
        return _("This queue is not active.")
    if not may_execute(queue):
        return _("Nothing says which code of this queue may run here.")
    return None


def _run(site: Site, run: RunState, translate: Translations) -> dict[str, Any]:
    try:
        queue = site.queue_of(run) if run.is_open else None
    except QueueNotFound:
        queue = None
    status = standing(queue, run)
    numbers = {"total": run.total, "done": run.done, "skipped": run.skipped, "failed": run.failed}
    badge, counts = brief(status, numbers, translate)
    started = (run.start_time or run.create_time) / 1000
    return {
        "title": run.title,
        "url": site.url("page", run_id=run.id),
        "queue": run.queue_name,
        "status": status,
        "has_failures": status == "completed" and run.failed > 0,
        "badge": badge,
        "counts": counts,
        "percent": percent(run),
        "started": utc(started, "%Y-%m-%d %H:%M:%S UTC"),
        "iso": utc(started, "%Y-%m-%dT%H:%M:%SZ"),
    }
