"""What must be true of every history of a soak, and of the table that its tasks have written.

A lease is known exactly: each ``start`` tells its fence and ``until``, the end of the lease by the database's clock as
given at the claim. A holder may prolong it, never shorten it. So nothing here depends on who was slow, or stood still,
or wrote a line late, and a worker killed between its work and its line raises no false alarm.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from tests.faults.history import Line

#: (number, fence) of a row that a task has inserted in its own transaction, in the order of the inserts.
Effect = tuple[int, int]
#: Outcomes after which an item is free although its lease had not ended.
_FREE = ("retry", "relinquish")
#: Seconds by which the clock of a host may be set back while the soak runs.
_SLACK = 0.05


def violations(
    history: Iterable[Line], effects: Sequence[Effect], *,
    plain: Iterable[int], exact: Iterable[int], ordered: Sequence[Sequence[int]], lease: float,
) -> list[str]:  # fmt: skip
    """Every promise that was broken, as a sentence; empty when all were kept.

    Arguments:
        plain, exact: the numbers of the tasks that just end, and of those with an effect in their own transaction.
        ordered: the numbers in each sequential queue, in its order.
        lease: seconds of one lease.
    """
    lines = list(history)
    return [
        *_unfinished(lines, plain),
        *_not_exactly_once(effects, exact),
        *_one_fence_twice(lines),
        *_finished_and_begun_again(lines, effects),
        *_overlapping_leases(lines, lease),
        *_out_of_order(lines, effects, ordered),
    ]


def _unfinished(lines: list[Line], plain: Iterable[int]) -> Iterator[str]:
    ended = {line["number"] for line in lines if line["kind"] == "end"}
    yield from (f"{number} never came to its end" for number in sorted(set(plain) - ended))


def _not_exactly_once(effects: Sequence[Effect], exact: Iterable[int]) -> Iterator[str]:
    wanted, counted = set(exact), Counter(number for number, _fence in effects)
    yield from (f"{number} has no effect" for number in sorted(wanted - counted.keys()))
    yield from (f"{number} has an effect and was never sent" for number in sorted(counted.keys() - wanted))
    yield from (f"{number} has {times} effects" for number, times in sorted(counted.items()) if times > 1)


def _one_fence_twice(lines: list[Line]) -> Iterator[str]:
    starts = Counter((line["number"], line["fence"]) for line in lines if line["kind"] == "start")
    yield from (
        f"{number} was started {times} times under fence {fence}"
        for (number, fence), times in sorted(starts.items()) if times > 1
    )  # fmt: skip


def _finished_and_begun_again(lines: list[Line], effects: Sequence[Effect]) -> Iterator[str]:
    """Who finished it had the last fence that was ever given out."""
    finished = [(line["number"], line["fence"]) for line in lines if _outcome(line) == "ok"]
    times = Counter(number for number, _fence in finished)
    yield from (f"{number} was finished {count} times" for number, count in sorted(times.items()) if count > 1)
    latest = {number: leases[-1][0] for number, leases in _leases(lines).items()}
    for number, fence in sorted({*finished, *effects}):
        if latest.get(number, fence) > fence:
            yield f"{number} was finished under fence {fence}, and started under fence {latest[number]}"


def _overlapping_leases(lines: list[Line], lease: float) -> Iterator[str]:
    """The next lease was given when the one before had ended, unless its holder gave the item back."""
    outcomes = {(line["number"], line["fence"]): _outcome(line) for line in lines if line["kind"] == "finished"}
    for number, leases in sorted(_leases(lines).items()):
        for (fence, until), (next_fence, next_until) in itertools.pairwise(leases):
            outcome = outcomes.get((number, fence))
            # A gap between the fences: somebody else may have had it and given it back, or the holder itself, which
            # was killed before it could say so.
            was_freed = outcome in _FREE or (outcome is None and next_fence > fence + 1)
            if not was_freed and next_until - lease < until - _SLACK:
                early = until - (next_until - lease)
                yield f"{number} was leased under fence {next_fence}, {early:.3f} s before the end of {fence}"


def _out_of_order(lines: list[Line], effects: Sequence[Effect], ordered: Sequence[Sequence[int]]) -> Iterator[str]:
    for numbers in ordered:
        place = {number: index for index, number in enumerate(numbers)}
        started = dict.fromkeys(line["number"] for line in lines if line["kind"] == "start")  # the first of each
        yield from _descents("started", place, started)
        yield from _descents("done", place, (number for number, _fence in effects))


def _descents(what: str, place: dict[int, int], numbers: Iterable[int]) -> Iterator[str]:
    before: int | None = None
    for number in numbers:
        if number not in place:
            continue
        if before is not None and place[number] < place[before]:
            yield f"{number} was {what} after {before}"
        before = number


def _leases(lines: list[Line]) -> dict[int, list[tuple[int, float]]]:
    """(fence, end as given at the claim) of all that were started, by number, in the order of the fences."""
    found: defaultdict[int, set[tuple[int, float]]] = defaultdict(set)
    for line in lines:
        if line["kind"] == "start":
            found[line["number"]].add((line["fence"], line["until"]))
    return {number: sorted(leases) for number, leases in found.items()}


def _outcome(line: Line) -> str | None:
    return line["outcome"] if line["kind"] == "finished" else None
