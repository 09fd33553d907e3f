"""What must be true of every history of producers and workers, whatever was killed or stood still meanwhile.

Six promises, a function each; what broke one of them is a sentence that begins with its name. Leases are known exactly
where the lines tell ``until``: a holder may prolong its lease, never shorten it. So nothing depends on who was slow, or
stood still, or wrote a line late, and a worker killed between its work and its line raises no false alarm.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Container, Iterable, Iterator

from tests.faults.account import ACKNOWLEDGED, ENDED, PLAIN, SENT, Account, Effect, Start
from tests.faults.history import Line

#: Outcomes after which an item is free although its lease had not ended.
_FREE = ("retry", "relinquish")
#: Seconds by which the clock of a host may be set back while tasks run.
_SLACK = 0.05
#: Seconds after the end of a lease, within which all that was in hand is done when the last fault is over.
RECOVERY = 5.0


def violations(
    history: Iterable[Line], effects: Iterable[Effect], kills: int = 0, *, lease: float | None = None,
    recovery: float = RECOVERY, sequential: Container[str] = (),
) -> list[str]:  # fmt: skip
    """Every promise that was broken, as a sentence; empty when all were kept (see :func:`broken`)."""
    return broken(Account(history, effects, sequential), kills, lease=lease, recovery=recovery)


def broken(account: Account, kills: int = 0, *, lease: float | None = None, recovery: float = RECOVERY) -> list[str]:
    """The same of a history that was read.

    Arguments:
        kills: so many tasks may have been run again although no line says why.
        lease: seconds of one lease, if all are alike.
        recovery: seconds after the end of a lease, within which what was in hand is done.
    """
    return [
        *nothing_is_lost(account),
        *no_two_leases_are_valid(account, lease),
        *each_is_completed_once(account),
        *sequential_queues_keep_their_order(account),
        *what_was_in_hand_is_done_soon(account, lease, recovery),
        *nothing_is_run_again_without_reason(account, kills),
    ]


def nothing_is_lost(account: Account) -> Iterator[str]:
    """I1: what was acknowledged is done, and nothing that was not sent."""
    for number in account.numbers(ACKNOWLEDGED):
        is_done = account.is_(number, ENDED) if account.is_(number, PLAIN) else account.effects_of(number)[0]
        if not is_done:
            yield f"I1: {number} was acknowledged and is lost"
    if any(account.numbers(SENT)):  # some histories do not tell what is sent
        yield from (f"I1: {number} was done and never sent" for number in account.numbers(0, has_not=SENT))


def no_two_leases_are_valid(account: Account, lease: float | None) -> Iterator[str]:
    """I2: a fence is given out once; the next lease begins when the one before has ended, or was given back."""
    for number, starts in account.begun_again():
        for before, start in itertools.pairwise(sorted(starts)):
            if before.fence == start.fence:
                yield f"I2: {number} was started twice under fence {start.fence}"
            elif lease is not None and not _was_freed(account, number, before, start):
                early = before.until - (start.until - lease)
                if early > _SLACK:
                    yield (f"I2: {number} was leased under fence {start.fence}, "
                           f"{early:.3f} s before the end of {before.fence}")  # fmt: skip
        if lease is None and (late := next((b for a, b in itertools.pairwise(starts) if b.fence < a.fence), None)):
            yield f"I2: {number} was started under fence {late.fence} after a later one"


def _was_freed(account: Account, number: int, start: Start, following: Start) -> bool:
    """Whether its holder gave it back.

    A gap between the fences: somebody else may have had it and given it back, or the holder itself, which was killed
    before it could say so.
    """
    outcome = account.outcomes.get((number, start.fence))
    return outcome in _FREE or (outcome is None and following.fence > start.fence + 1)


def each_is_completed_once(account: Account) -> Iterator[str]:
    """I3: completed once, with one effect, and by who had the last fence that was ever given out."""
    for number in account.numbers(SENT):
        newest = account.newest_fence_of(number)
        for what, (times, fence) in (("finished", account.good_ends_of(number)), ("done", account.effects_of(number))):
            if times > 1:
                yield f"I3: {number} was {what} {times} times"
            if times and fence != newest:
                yield f"I3: {number} was {what} under fence {fence}, but last started under {newest or None}"


def sequential_queues_keep_their_order(account: Account) -> Iterator[str]:
    """I4: by weight, then in the order in which they came.

    Of what a producer sent that was killed before it was told, or that lost the server, nobody knows when it came.
    """
    for number, what, before in account.descents():
        if account.is_(number, ACKNOWLEDGED):
            yield f"I4: {number} was {what} after {before}"


def what_was_in_hand_is_done_soon(account: Account, lease: float | None, recovery: float) -> Iterator[str]:
    """I5: within a lease and five seconds after the fault was over. What nobody had in hand may have to wait."""
    bound = (lease or 0) + recovery
    for healing in account.healings:
        if healing.seconds is None:
            yield f"I5: what was in hand at {healing.since:.3f} was never done"
        elif (took := max(healing.seconds, healing.latest)) > bound:
            yield f"I5: what was in hand at {healing.since:.3f} took {took:.1f} s"


def nothing_is_run_again_without_reason(account: Account, kills: int) -> Iterator[str]:
    """I6: only what somebody had in hand who was killed, or stood still, or has said that the attempt came to nothing.

    Who was killed had one in hand, or a group whose end was not stored yet.
    """
    by_victim: Counter[int] = Counter()
    found = []
    for number, starts in account.begun_again():
        for before, start in itertools.pairwise(sorted(starts)):
            if (
                (number, before.fence) in account.outcomes
                or before.pid in account.frozen
                or before.fence == start.fence
            ):
                continue
            by_victim[before.pid] += 1
            if by_victim[before.pid] > account.killed.get(before.pid, 0):
                found.append(f"I6: {number} was run again after fence {before.fence} for no reason")
    if len(found) > kills:
        yield from found


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
