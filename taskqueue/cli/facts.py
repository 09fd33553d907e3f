"""Queues, items, dead letters and results as JSON shows them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..execution.failure import error_text
from ..item import QueueItem
from ..queues.batch import BatchQueue
from ..queues.ended import DeadItem, Ending, Result
from ..result import RunResult
from ..schedules import Schedule
from ..showing import as_stored, content_of
from .output import iso


def queue_facts(queue: BatchQueue) -> dict[str, Any]:
    """Name, type, status and counts."""
    status = queue.status  # brings the options up to date too
    return {"name": queue.name, "type": queue.spec.type, "status": status, **queue.statistics()}


def item_facts(item: QueueItem) -> dict[str, Any]:
    """An item, with what it would call or holds."""
    return {
        "id": item.id,
        "queue": item.queue_name,
        "title": item.title,
        "weight": item.weight,
        "submit_time": iso(item.submit_time),
        "release_time": iso(item.release_time),
        "run_count": item.run_count,
        "failures": item.failures,
        "interruptions": item.interruptions,
        "last_error": item.last_error,
        "is_cancelled": item.is_cancelled,
        "batch_id": item.batch_id,
        "order_key": item.order_key,
        **content_of(item),
    }


def dead_facts(item: DeadItem) -> dict[str, Any]:
    """A dead letter, with what it would call or holds."""
    return {
        "id": item.id,
        "queue": item.queue_name,
        "title": item.title,
        "weight": item.weight,
        "submit_time": iso(item.submit_time),
        "dead_time": iso(item.dead_time),
        "run_count": item.run_count,
        "failures": item.failures,
        "attempts": item.attempts,
        "error": item.error,
        "traceback": item.traceback,
        **content_of(item),
    }


def schedule_facts(schedule: Schedule) -> dict[str, Any]:
    """A schedule, with what it would put on its queue."""
    return {
        "name": schedule.name,
        "queue": schedule.queue_name,
        "cron": schedule.cron,
        "timezone": schedule.timezone,
        "title": schedule.title,
        "weight": schedule.weight,
        "paused": schedule.is_paused,
        "next_time": None if schedule.is_paused else iso(schedule.next_time),
        "last_time": iso(schedule.last_time),
        **content_of(schedule),
    }


def ending_facts(ending: Ending) -> dict[str, Any]:
    """One line of an item's history."""
    return {**asdict(ending), "end_time": iso(ending.end_time)}


def result_value_facts(result: Result) -> dict[str, Any]:
    """What a task returned. Raises :class:`PayloadError` when it cannot be read."""
    return {"item_id": result.item_id, "end_time": iso(result.end_time), "value": as_stored(result.value)}


def result_facts(result: RunResult) -> dict[str, Any]:
    """What a run came to; its exception as text."""
    facts = {name: value for name, value in vars(result).items() if name != "exception"}
    return {**facts, "exception": error_text(result.exception) or None, "elapsed": round(result.elapsed, 3)}


def options_of(queue: BatchQueue) -> dict[str, Any]:
    """The options, in the order in which they are documented."""
    return {name: value for name, value in asdict(queue.spec).items() if name not in ("name", "type", "status")}
