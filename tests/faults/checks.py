"""What must be true of every history of producers and runners, whatever was killed meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from tests.faults.history import Line

#: (number, fence) of a row that a task has inserted in its own transaction.
Effect = tuple[int, int]


def violations(history: Iterable[Line], effects: Iterable[Effect], kills: int) -> list[str]:
    """Every promise that was broken, as a sentence; empty when all were kept."""
    lines, rows = list(history), list(effects)
    return [
        *_lost_or_invented(lines, rows),
        *_done_twice(rows),
        *_held_twice(lines),
        *_done_by_a_stale_holder(lines, rows),
        *_run_again_for_no_reason(lines, kills),
    ]


def _lost_or_invented(lines: list[Line], effects: list[Effect]) -> Iterator[str]:
    done = {number for number, _fence in effects}
    sent = {line["number"] for line in lines if line["kind"] == "sent"}
    acknowledged = {line["number"] for line in lines if line["kind"] == "acknowledged"}
    yield from (f"{number} was acknowledged and is lost" for number in sorted(acknowledged - done))
    yield from (f"{number} was done and never sent" for number in sorted(done - sent))


def _done_twice(effects: list[Effect]) -> Iterator[str]:
    counted = Counter(number for number, _fence in effects)
    yield from (f"{number} was done {times} times" for number, times in sorted(counted.items()) if times > 1)


def _held_twice(lines: list[Line]) -> Iterator[str]:
    """A fence is given out once, and to later holders a higher one: so leases do not overlap."""
    latest: dict[int, int] = {}
    for line in lines:
        if line["kind"] != "start":
            continue
        number, fence = line["number"], line["fence"]
        if fence <= latest.get(number, 0):
            yield f"{number} was started under fence {fence} after fence {latest[number]}"
        latest[number] = max(fence, latest.get(number, 0))


def _done_by_a_stale_holder(lines: list[Line], effects: list[Effect]) -> Iterator[str]:
    newest: dict[int, int] = {}
    for line in lines:
        if line["kind"] == "start":
            newest[line["number"]] = line["fence"]
    for number, fence in effects:
        if fence != newest.get(number):
            yield f"{number} was done under fence {fence}, but last started under {newest.get(number)}"


def overlaps(history: Iterable[Line]) -> list[str]:
    """Where a task was started while another start of it had not ended; of holders that were neither killed nor
    stopped there must be none."""
    found: list[str] = []
    at_it: dict[int, list[int]] = {}
    for line in history:
        if line["kind"] == "start":
            others = at_it.setdefault(line["number"], [])
            found += [f"{line['number']} was started under {line['fence']} while {other} was at it" for other in others]
            others.append(line["fence"])
        elif line["kind"] == "end" and line["fence"] in at_it.get(line["number"], ()):
            at_it[line["number"]].remove(line["fence"])
    return found


def _run_again_for_no_reason(lines: list[Line], kills: int) -> Iterator[str]:
    starts = Counter(line["number"] for line in lines if line["kind"] == "start")
    again = sum(starts.values()) - len(starts)
    lost = sum(line["kind"] == "finished" and line["outcome"] == "lease_lost" for line in lines)
    if again > kills + lost:
        yield f"{again} tasks were run again, though only {kills} runners were killed and {lost} leases lost"
