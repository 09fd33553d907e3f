"""The pages that show queues and items."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from typing import Any

from ... import clock
from ...dashboard.acts import EDITABLE, POSSIBLE, VERBS
from ...dashboard.filters import AGES, ITEM_STATES, OUTCOMES, Filter
from ...dashboard.item_page import item_page
from ...dashboard.lists import Page
from ...dashboard.overview import MOST, RECENT, Detail, Standing
from ...metrics.trends import Period, history
from ...storage.browse import HIGHEST, Death
from . import labels, svg, system_pages
from .asked import Asked, Shown, hidden, whole

#: Queues on one page of the overview.
_QUEUES = 20
_FILTER = ("queue", "state", "text", "since", "until")
PERIODS: tuple[Period, ...] = ("hour", "day", "week")


# --- queues --------------------------------------------------------------------------------------


def overview(asked: Asked) -> Shown:
    """All queues, and their numbers together."""
    asked.only("from")
    names = asked.access.names
    standing = asked.site.overview.standing(names)
    first = asked.number("from") or 0
    page = standing[first : first + _QUEUES]
    details = asked.site.overview.details(page)
    queues = [_queue(each, details[each.entry.name]) for each in page]
    facts = {
        "counters": _counters(asked, standing),
        "system": system_pages.summary(asked, standing),
        "queues": queues,
        "next": first + _QUEUES if len(standing) > first + _QUEUES else None,
        "number_of_queues": len(standing),
    }
    extras = {
        "states": labels.queue_states(asked.translate),
        # Without the minute that it is now, at whose beginning every line would fall.
        "lines": {queue["name"]: svg.sparkline(queue["rate"][:-1]) for queue in queues},
        "may": {queue["name"]: _may_steer(asked, queue["name"]) for queue in queues},
    }
    return Shown("overview", asked.translate.gettext("Overview"), facts, extras)


def _counters(asked: Asked, standing: list[Standing]) -> dict[str, Any]:
    numbers: dict[str, Any] = {
        name: sum(getattr(each.numbers, name) for each in standing)
        for name in ("waiting", "running", "scheduled", "dead")
    }
    numbers["failed"] = sum(each.failed for each in standing)
    numbers["done_per_minute"] = _done_per_minute(asked)
    # What was counted no further is said to be more.
    capped = {name for name in ("waiting", "running", "scheduled", "dead")
              for each in standing if getattr(each.numbers, name) > MOST}  # fmt: skip
    if any(each.failed > MOST for each in standing):
        capped.add("failed")
    return {**numbers, "at_least": sorted(capped)}


def _done_per_minute(asked: Asked) -> int | None:
    """Of the last whole minute; None for who does not see all queues."""
    if not asked.access.sees_all:
        return None
    points = history(asked.site.service, None, "hour")
    return points[-2].done if len(points) > 1 else 0


def _queue(each: Standing, detail: Detail) -> dict[str, Any]:
    return {
        "name": each.entry.name,
        "type": each.entry.type,
        "status": each.entry.status,
        **each.numbers._asdict(),
        "failed": each.failed,
        "oldest_s": detail.oldest,
        "heartbeat_age_s": detail.silent,
        "is_silent": detail.is_stale,
        "rate": list(detail.rate),
    }


def _may_steer(asked: Asked, name: str) -> dict[str, bool]:
    return {verb: asked.may(verb, name) for verb in ("pause", "resume", "edit")}


def queue(asked: Asked, name: str) -> Shown:
    """One queue: its numbers, its charts, its options."""
    asked.only("period")
    found = asked.queue(name)
    with asked.reading(name):
        status = found.status  # brings the options up to date, too
    standing = asked.site.overview.standing([name])
    if not standing:
        raise hidden(asked.site, asked.translate)
    details = asked.site.overview.details(standing)
    period = _period(asked)
    charts, points = _charts(asked, name, period)
    options = {key: value for key, value in asdict(found.spec).items() if key not in ("name", "type", "status")}
    facts = {**_queue(standing[0], details[name]), "status": status, "options": options, "period": period,
             "points": points}  # fmt: skip
    extras = {
        "states": labels.queue_states(asked.translate),
        "may": _may_steer(asked, name),
        "editable": EDITABLE,
        "charts": charts,
        "periods": PERIODS,
    }
    return Shown("queue", name, facts, extras)


def charts(asked: Asked) -> Shown:
    """How it went, over time."""
    asked.only("queue", "period")
    wanted, period = asked.filter(), _period(asked)
    if not wanted.queue and not asked.access.sees_all:
        if not asked.access.names:
            raise hidden(asked.site, asked.translate)
        wanted = Filter(queue=asked.access.names[0])  # all together would tell of the others, too
    drawn, points = _charts(asked, wanted.queue or None, period)
    facts = {"queue": wanted.queue, "period": period, "points": points}
    extras = {"charts": drawn, "periods": PERIODS, "queues": asked.access.names, "sees_all": asked.access.sees_all}
    return Shown("charts", asked.translate.gettext("Charts"), facts, extras)


def _period(asked: Asked) -> Period:
    given = asked.args.get("period") or "hour"
    for period in PERIODS:
        if period == given:
            return period
    raise asked.wrong("period")


def _charts(asked: Asked, name: str | None, period: Period) -> tuple[dict[str, svg.Chart], list[dict[str, Any]]]:
    found = history(asked.site.service, name, period)
    points = [
        {
            "start": clock.iso(point.start), "seconds": point.seconds, "done": point.done,
            "failed": point.failed, "dead": point.dead, "p50_s": point.p50, "p95_s": point.p95, "depth": point.depth,
        }
        for point in found
    ]  # fmt: skip
    drawn = {
        "throughput": svg.bars([point.done for point in found], [point.failed for point in found]),
        "failures": svg.bars([point.failed - point.dead for point in found], [point.dead for point in found]),
        "run_time": svg.lines([point.p50 for point in found], [point.p95 for point in found]),
    }
    if any(point.depth is not None for point in found):
        drawn["depth"] = svg.lines([point.depth for point in found])
    return drawn, points


# --- lists ---------------------------------------------------------------------------------------


def items(asked: Asked) -> Shown:
    """What stands in the queues."""
    asked.only(*_FILTER)
    wanted = asked.filter(ITEM_STATES)
    page = asked.lists.items(wanted, asked.number("after"))
    names = {key: label for key, label in labels.states(asked.translate).items() if key in ITEM_STATES}
    extras = {**_list_extras(asked, wanted, page, names), "states": labels.states(asked.translate)}
    verbs = [verb for verb in ("retry", "skip", "delete") if asked.access.where(verb)]
    extras |= {
        "verbs": verbs,
        "for_all": [verb for verb in verbs if not wanted.state or verb in POSSIBLE[wanted.state]],
    }
    return Shown("items", asked.translate.gettext("Items"), _list_facts(page, "items"), extras)


def dead(asked: Asked) -> Shown:
    """What used up its attempts."""
    asked.only(*_FILTER)
    wanted = asked.filter()
    after = asked.args.get("after", "")
    time, _, item_id = after.partition(".")
    place = None
    if after:
        at, which = whole(time, "after", asked.translate), whole(item_id, "after", asked.translate)
        if at is None or which is None:
            raise asked.wrong("after")
        place = Death(at, which)
    page = asked.lists.dead(wanted, place)
    extras = _list_extras(asked, wanted, page, {})
    extras["verbs"] = extras["for_all"] = [verb for verb in VERBS["dead"] if asked.access.where(verb)]
    return Shown("dead", asked.translate.gettext("Dead letters"), _list_facts(page, "dead"), extras)


def past(asked: Asked) -> Shown:
    """What has ended otherwise than ok."""
    asked.only(*(name for name in _FILTER if name != "text"))
    wanted = asked.filter(tuple(OUTCOMES))
    page = asked.lists.history(wanted, asked.number("after"))
    outcomes = labels.outcomes(asked.translate)
    extras = {**_list_extras(asked, wanted, page, outcomes), "outcomes": outcomes, "recent": RECENT}
    return Shown("history", asked.translate.gettext("History"), _list_facts(page, "history"), extras)


def _list_facts(page: Page, name: str) -> dict[str, Any]:
    return {name: page.lines, "next": page.next, "examined": page.examined}


def _list_extras(asked: Asked, wanted: Filter, page: Page, states: dict[str, str]) -> dict[str, Any]:
    return {
        "wanted": wanted,
        "query": wanted.as_query(),
        "queues": asked.access.names,
        "filter_states": states,
        "ages": {key: label for key, label in labels.ages(asked.translate).items() if key in AGES},
        "is_first": not asked.args.get("after"),
    }


def item(asked: Asked, name: str, item_id: int) -> Shown:
    """One item."""
    asked.only()
    queue = asked.queue(name)
    known = partial(item_page, queue, item_id, lambda action: asked.may(action, name), asked.site.redact)
    found = known() if item_id <= HIGHEST else None  # larger ones no database takes
    if found is None:
        raise hidden(asked.site, asked.translate)
    verbs = POSSIBLE.get(found["state"], ())
    facts = {**found, "actions": [verb for verb in verbs if asked.may(verb, name)]}
    extras = {
        "content_text": json.dumps(facts.get("content"), ensure_ascii=False, indent=2),
        "states": labels.states(asked.translate),
        "queue_states": labels.queue_states(asked.translate),
        "outcomes": labels.outcomes(asked.translate),
        "acts": labels.acts(asked.translate),
        "deeds": labels.deeds(asked.translate),
    }
    return Shown("item", f"{name} #{item_id}", facts, extras)
