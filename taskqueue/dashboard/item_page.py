"""All that is known of one item: as it stands, as a dead letter, or as what is on record of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import clock
from ..errors import PayloadError
from ..item import QueueItem, name_of, title_of_data
from ..queues.ended import DeadItem, Ending, Result
from ..queues.sql_base import SqlBase
from ..redact import RedactHook, redact_text
from ..runs.problems import SEPARATOR
from ..showing import content_of, presentable
from ..storage import audit, browse, presence, runs
from ..storage.audit import Deed
from ..storage.transaction import Transaction
from .lines import moment, state_of

#: So many lines of the audit log are shown.
_DEEDS = 100


def item_page(
    queue: SqlBase, item_id: int, may: Callable[[str], bool], hook: RedactHook | None = None
) -> dict[str, Any] | None:
    """The facts on an item, for somebody who ``may`` "view_args" and "view_trace"; None: nothing is known of it.

    ``hook`` says what of its arguments is not shown, besides what looks like a secret.
    """

    def read(tx: Transaction) -> tuple[Any, ...]:
        line = next((each for each in browse.item_lines(tx, [item_id]) if each.queue_name == queue.name), None)
        held = presence.held_item(tx, queue.name, item_id) if line is not None else None
        deeds = audit.of_item(tx, queue.name, item_id, _DEEDS)
        return line, held, deeds, runs.lines_of_item(tx, queue.name, item_id)

    line, held, deeds, log = queue.database.statement(read, write=False)
    item = queue.fetch_item(item_id) if line is not None else None
    letter = next(iter(queue.dead_items([item_id])), None) if item is None else None
    history = queue.history_of(item_id)
    result = queue.result_of(item_id) if item is None and letter is None else None
    if item is None and letter is None and result is None and not history and not deeds:
        return None
    facts: dict[str, Any] = {"id": item_id, "queue": queue.name, "title": "", "state": "gone", "fence": None,
                             "queue_status": queue.status}  # fmt: skip
    if item is not None:
        facts |= _standing(item, may, hook)
        facts |= {
            "state": state_of(line, clock.to_ms(queue.settings.stale_after)) if line is not None else "gone",
            "fence": item.fence,
            "lease": _lease(line, held),
        }
    elif letter is not None:
        facts |= _letter(letter, may, hook)
    else:
        facts["outcome"] = queue.outcome_of(item_id)
    if result is not None:
        facts["ended"] = _iso(result.end_time)
        if may("view_args"):
            facts["content"] = {"result": _value(result, hook)}
    return {
        **facts,
        "history": [_ending(ending, may) for ending in history],
        "audit": [deed_facts(deed) for deed in deeds],
        "log": [{"time": moment(each.time), "level": each.level, "kind": each.kind,
                 "message": redact_text(each.message.replace(SEPARATOR, ": "))} for each in log],
    }  # fmt: skip


def _standing(item: QueueItem, may: Callable[[str], bool], hook: RedactHook | None) -> dict[str, Any]:
    return {
        **_content(item, may, hook),
        "weight": item.weight,
        "submitted": _iso(item.submit_time),
        "released": _iso(item.release_time),
        "claims": item.run_count,
        "attempts": item.failures,
        "interruptions": item.interruptions,
        "is_cancelled": item.is_cancelled,
        "order_key": item.order_key,
        "batch": item.batch_id,
        "error": redact_text(item.last_error or ""),
    }


def _letter(letter: DeadItem, may: Callable[[str], bool], hook: RedactHook | None) -> dict[str, Any]:
    return {
        **_content(letter, may, hook),
        "state": "dead",
        "weight": letter.weight,
        "submitted": _iso(letter.submit_time),
        "died": _iso(letter.dead_time),
        "claims": letter.run_count,
        "attempts": letter.failures,
        "error": redact_text(letter.error),
        "trace": redact_text(letter.traceback or "") if may("view_trace") else "",
    }


def _content(item: QueueItem | DeadItem, may: Callable[[str], bool], hook: RedactHook | None) -> dict[str, Any]:
    content, name = content_of(item, hook), name_of(item)
    callback = content.pop("callback", "")
    if not may("view_args"):
        return {"title": name, "callback": callback}
    if not name and "data" in content:
        name = title_of_data(content["data"])
    return {"title": name, "callback": callback, "content": content}


def _value(result: Result, hook: RedactHook | None) -> Any:
    try:
        return presentable(result.value, hook)
    except PayloadError as error:
        return str(error)


def _lease(line: Any, held: Any) -> dict[str, Any] | None:
    if held is None or line is None or line.release_time <= line.now:
        return None
    running = held.start_time is not None
    return {
        "holder": held.label or "",
        "heartbeat_age_s": held.beat.age / 1000 if held.beat else None,
        "ends_s": max(held.release_time - held.now, 0) / 1000,
        "running_s": max(held.now - held.start_time, 0) / 1000 if running else None,
        "done": held.done,
        "total": held.total,
        "message": redact_text(held.message or ""),
    }


def _ending(ending: Ending, may: Callable[[str], bool]) -> dict[str, Any]:
    return {
        "outcome": ending.outcome,
        "attempt": ending.attempt,
        "error": redact_text(ending.error or ""),
        "trace": redact_text(ending.traceback or "") if may("view_trace") else "",
        "ended": _iso(ending.end_time),
    }


def deed_facts(deed: Deed) -> dict[str, Any]:
    """A line of the audit log."""
    return {
        "id": deed.id,
        "time": moment(deed.time),
        "actor": deed.actor,
        "action": deed.action,
        "queue": deed.queue_name,
        "item": deed.item_id,
        "number": deed.number,
        "detail": deed.detail,
    }


def _iso(time: Any) -> str | None:
    return clock.iso(time, "milliseconds") if time is not None else None
