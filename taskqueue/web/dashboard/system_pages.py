"""The pages that show what works on the queues, and what comes to them: workers, runs, schedules, calls, messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from ... import clock
from ...dashboard.item_page import deed_facts
from ...dashboard.lists import PAGE, Lists
from ...dashboard.overview import MOST, Standing
from ...item import name_of
from ...operations.call import STATES, Call
from ...redact import redact_text
from ...runs.standing import percent
from ...runs.state import RunState
from ...spec import OPERATION_PAYLOAD, OUTBOX_PAYLOAD
from ...storage import audit, operations, runs
from ...storage.browse import HIGHEST
from ...storage.operations import OperationRow
from ...storage.runs import RunRow
from ...storage.transaction import Transaction
from ...worker.roster import WorkerInfo, present
from ..identity import visitor
from ..permission import Permissions
from ..texts import brief
from . import labels
from .asked import Asked, Shown, whole


def summary(asked: Asked, standing: Sequence[Standing]) -> dict[str, Any]:
    """How much there is of all this; nothing is counted further than ``MOST``."""
    visible = {each.entry.name for each in standing}
    found = _present(asked, visible)
    begun = asked.site.service.database.statement(lambda tx: runs.open_queues(tx, MOST + 1), write=False)
    numbers: dict[str, int] = {
        "workers": sum(info.state != "silent" for info in found),
        "silent_workers": sum(info.state == "silent" for info in found),
        "runs": sum(name in visible for name in begun),
        "schedules": sum(row.queue_name in visible for row in asked.site.service.schedules()),
        "messages": _standing_of(standing, OUTBOX_PAYLOAD),
        "operations": _standing_of(standing, OPERATION_PAYLOAD),
    }
    at_least = [name for name, number in numbers.items() if number > MOST]
    return {**{name: min(number, MOST) for name, number in numbers.items()}, "at_least": at_least}


def _standing_of(standing: Sequence[Standing], payload: str) -> int:
    ours = [each.numbers for each in standing if each.entry.options.get("payload") == payload]
    return sum(numbers.waiting + numbers.running + numbers.scheduled for numbers in ours)


def workers(asked: Asked) -> Shown:
    """The processes that serve queues."""
    asked.only()
    visible = set(asked.access.names)
    facts = [
        {
            "host": info.host, "pid": info.pid, "state": info.state, "threads": info.threads,
            "queues": [name for name in info.queues if name in visible],
            "since": _iso(info.since), "heartbeat_age_s": info.beat_age,
        }
        for info in _present(asked, visible)
    ]  # fmt: skip
    return Shown("workers", asked.translate.gettext("Workers"), {"workers": facts}, {"states": _worker_states(asked)})


def _present(asked: Asked, visible: set[str]) -> list[WorkerInfo]:
    """The workers that serve something that the visitor may see."""
    return [info for info in present(asked.site.service) if asked.access.sees_all or visible & set(info.queues)]


def _worker_states(asked: Asked) -> dict[str, str]:
    _ = asked.translate.gettext
    return {"serving": _("Serving"), "stopping": _("Stopping"), "silent": _("No sign of life")}


def all_runs(asked: Asked) -> Shown:
    """The runs, newest first."""
    asked.only("queue")
    wanted = asked.filter()
    visible = set(asked.access.names)
    place = _place(asked)
    if asked.access.sees_all:
        read = partial(_read_runs, asked, wanted.queue or None)
        rows = _visible(read, place, _place_of, visible.__contains__)
    else:
        chosen = [wanted.queue] if wanted.queue else asked.access.names
        rows = _of_each(lambda name: _read_runs(asked, name, place), chosen, _place_of)
    shown = rows[:PAGE]
    states = [RunState.of(row, asked.site.service.settings.codec) for row in shown]
    facts = {
        "runs": [_run(asked, run) for run in states],
        "next": _cursor(shown[-1].create_time, shown[-1].id) if len(rows) > PAGE else None,
    }
    extras = {"wanted": wanted, "query": wanted.as_query(), "queues": asked.access.names, "is_first": "after" not in
              asked.args, "urls": [_page_of(asked, run) for run in states]}  # fmt: skip
    return Shown("runs", asked.translate.gettext("Runs"), facts, extras)


def _page_of(asked: Asked, run: RunState) -> str | None:
    """The page of a run, for who may see it: that is for another hook to say."""
    site = asked.site
    may = Permissions(run, visitor(site.identity), site.authorize, site.settings.read_only).may("view")
    return site.url("page", run_id=run.id) if may else None


def _read_runs(asked: Asked, name: str | None, before: tuple[int, str] | None) -> list[RunRow]:
    def read(tx: Transaction) -> list[RunRow]:
        return runs.latest(tx, limit=PAGE + 1, queue_name=name, before=before)

    return asked.site.service.database.statement(read, write=False)


def _run(asked: Asked, run: RunState) -> dict[str, Any]:
    numbers = {"total": run.total, "done": run.done, "skipped": run.skipped, "failed": run.failed}
    badge, counts = brief(run.status, numbers, asked.translate)
    return {
        "id": run.id, "title": run.title, "queue": run.queue_name, "status": run.status, **numbers,
        "percent": percent(run), "started_s": (run.start_time or run.create_time) / 1000, "badge": badge,
        "counts": counts,
    }  # fmt: skip


def schedules(asked: Asked) -> Shown:
    """What comes again and again."""
    asked.only()
    visible = set(asked.access.names)
    facts = [
        {
            "name": each.name, "queue": each.queue_name, "cron": each.cron, "timezone": each.timezone,
            "title": name_of(each),
            "paused": each.is_paused,
            "next": None if each.is_paused else _iso(each.next_time), "last": _iso(each.last_time),
        }
        for each in asked.site.service.schedules()
        if each.queue_name in visible
    ]  # fmt: skip
    return Shown("schedules", asked.translate.gettext("Schedules"), {"schedules": facts})


def calls(asked: Asked) -> Shown:
    """The calls of operations, newest first."""
    asked.only("state")
    state = asked.args.get("state") or None
    if state is not None and state not in STATES:
        raise asked.wrong("state")
    visible = set(asked.access.names)
    rows = _visible(partial(_read_calls, asked, state), _place(asked), _place_of, visible.__contains__)
    shown = rows[:PAGE]
    facts = {
        "operations": [_call(row) for row in shown],
        "next": _cursor(shown[-1].create_time, shown[-1].id) if len(rows) > PAGE else None,
    }
    extras = {
        "state": state or "",
        "states": _call_states(asked),
        "is_first": "after" not in asked.args,
    }
    return Shown("operations", asked.translate.gettext("Operations"), facts, extras)


def _read_calls(asked: Asked, state: str | None, after: tuple[int, str] | None) -> list[OperationRow]:
    def read(tx: Transaction) -> list[OperationRow]:
        return operations.page(tx, PAGE + 1, owner=None, name=None, state=state, after=after)

    return asked.site.service.database.statement(read, write=False)


def _call(row: OperationRow) -> dict[str, Any]:
    call = Call.of(row)
    return {**call.facts(), "owner": call.owner, "queue": row.queue_name, "item": row.item_id}


def _call_states(asked: Asked) -> dict[str, str]:
    _ = asked.translate.gettext
    return {
        "queued": _("Waiting"),
        "scheduled": _("Scheduled"),
        "running": _("Running"),
        "retrying": _("Waits for its retry"),
        "succeeded": _("Succeeded"),
        "failed": _("Said no"),
        "dead": _("Dead"),
        "cancelled": _("Cancelled"),
        "expired": _("Expired"),
    }


def messages(asked: Asked) -> Shown:
    """The messages of outboxes that wait."""
    asked.only("queue")
    wanted = asked.filter()
    visible = set(asked.access.names)
    ours = [name for name in asked.site.overview.with_payload(OUTBOX_PAYLOAD) if name in visible]
    standing = asked.site.overview.standing(ours)
    names = [each.entry.name for each in standing]
    lists = Lists(asked.site.service, names, is_all=False, names=asked.names)
    page = lists.items(wanted, asked.number("after"))
    facts = {
        "queues": [
            {"name": each.entry.name, "status": each.entry.status, **each.numbers._asdict()} for each in standing
        ],
        "messages": page.lines,
        "next": page.next,
    }
    extras = {"states": labels.states(asked.translate), "queue_states": labels.queue_states(asked.translate),
              "query": wanted.as_query(), "is_first": "after" not in asked.args}  # fmt: skip
    return Shown("outbox", asked.translate.gettext("Outbox"), facts, extras)


def audit_log(asked: Asked) -> Shown:
    """What administrators did."""
    asked.only("queue")
    wanted, after = asked.filter(), asked.number("after")
    below = HIGHEST if after is None else after

    def read(name: str | None, place: int) -> list[audit.Deed]:
        return asked.site.service.database.statement(lambda tx: audit.page(tx, name, place, PAGE + 1), write=False)

    if asked.access.sees_all and not wanted.queue:

        def is_visible(name: str) -> bool:
            return not name or asked.may("view", name)  # of all queues, and also of those that are gone

        found = _visible(partial(read, None), below, lambda deed: deed.id, is_visible)
    else:
        chosen = [wanted.queue] if wanted.queue else asked.access.names
        found = _of_each(lambda name: read(name, below), chosen, lambda deed: deed.id)
    facts = {
        "audit": [{**deed_facts(deed), "detail": redact_text(deed.detail)} for deed in found[:PAGE]],
        "next": str(found[PAGE - 1].id) if len(found) > PAGE else None,
    }
    extras = {"deeds": labels.deeds(asked.translate), "query": wanted.as_query(), "queues": asked.access.names,
              "wanted": wanted, "is_first": "after" not in asked.args}  # fmt: skip
    return Shown("audit", asked.translate.gettext("Audit log"), facts, extras)


class _OfQueue(Protocol):
    @property
    def queue_name(self) -> str: ...


Row = TypeVar("Row", bound=_OfQueue)
Place = TypeVar("Place")


#: So many pages are looked through for what may be seen, where most may not.
_MOST_PAGES = 40


def _visible(
    read: Callable[[Place], list[Row]], place: Place, place_of: Callable[[Row], Place],
    is_visible: Callable[[str], bool],
) -> list[Row]:  # fmt: skip
    """The first rows after a place that may be seen, one more than a page shows; ``read`` gives so many of all.

    So neither the length of a page nor where the next one begins tells of the others.
    """
    found: list[Row] = []
    for _page in range(_MOST_PAGES):
        part = read(place)
        found += [row for row in part if is_visible(row.queue_name)]
        if len(part) <= PAGE or len(found) > PAGE:
            break
        place = place_of(part[-1])
    return found


def _of_each(read: Callable[[str], list[Row]], names: Sequence[str], place_of: Callable[[Row], Any]) -> list[Row]:
    """The same for who sees some of the queues: ``read`` gives the first rows of one, by an index of its own."""
    found = [row for name in names for row in read(name)]
    return sorted(found, key=place_of, reverse=True)[: PAGE + 1]


def _place_of(row: RunRow | OperationRow) -> tuple[int, str] | None:
    return row.create_time, row.id


def _place(asked: Asked) -> tuple[int, str] | None:
    given = asked.args.get("after", "")
    if not given:
        return None
    time, _, name = given.partition(".")
    at = whole(time, "after", asked.translate)
    if at is None or not (len(name) == 32 and name.isascii() and name.isalnum()):
        raise asked.wrong("after")
    return at, name


def _cursor(time: int, name: str) -> str:
    return f"{time}.{name}"


def _iso(time: Any) -> str | None:
    return clock.iso(time, "seconds") if time is not None else None
