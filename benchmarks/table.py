"""The figures as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from .claim import ClaimFigures
from .dashboard import GOAL, PageFigures
from .measure import Outcome

TITLES = {"enqueue": "Enqueue one by one", "bulk": "Bulk enqueue", "run_all": "Run to the end"}


def rates(outcomes: Sequence[Outcome]) -> str:
    """One table for each benchmark."""
    names = dict.fromkeys(outcome.benchmark for outcome in outcomes)
    return "\n\n".join(_benchmark([one for one in outcomes if one.benchmark == name]) for name in names)


def _benchmark(outcomes: Sequence[Outcome]) -> str:
    title = TITLES.get(outcomes[0].benchmark, outcomes[0].benchmark)
    head = ("database", "what", "per second", "µs each", "× floor", "from", "to", "others' cores")
    return _table(title, head, [row for outcome in outcomes for row in _rows(outcome)])


def _rows(outcome: Outcome) -> Iterable[Sequence[str]]:
    floor = outcome.figures[0]
    has_floor = floor.name.startswith("floor")
    for figures in outcome.figures:
        shown = _spread(figures.ratios(floor)) if has_floor and figures is not floor else ("", "", "")
        yield (
            outcome.database, figures.name, f"{figures.rate:,.0f}", f"{figures.microseconds:.1f}", *shown,
            _cores(outcome.foreign),
        )  # fmt: skip


def _spread(ratios: Sequence[float]) -> tuple[str, str, str]:
    return f"**{median(ratios):.2f}**", f"{min(ratios):.2f}", f"{max(ratios):.2f}"


def claims(figures: Sequence[ClaimFigures]) -> str:
    """What a claim costs by backlog, and how its rate compares with that of the smallest one."""
    head = ("database", "queue", "ready items", "claim 10, ms", "finish 10, ms", "claim × 1st", "from", "to",
            "claim + finish × 1st", "from", "to", "others' cores")  # fmt: skip
    return _table("Claim by backlog", head, [_claim_row(one, _smallest(one, figures)) for one in figures], labels=3)


def _smallest(one: ClaimFigures, figures: Sequence[ClaimFigures]) -> ClaimFigures:
    return next(other for other in figures if (other.database, other.type) == (one.database, one.type))


def pages(figures: Sequence[PageFigures]) -> str:
    """How long each page took: a summary for each database, and all pages."""
    databases = list(dict.fromkeys(one.database for one in figures))
    head = ("database", "pages", "median of all, ms", "slowest", "its page", "slowest first", "its page",
            f"within {GOAL} ms", "others' cores")  # fmt: skip
    summary = _table(
        "The dashboard", head, [_summary([one for one in figures if one.database == name]) for name in databases]
    )
    names = dict.fromkeys(one.name for one in figures)
    columns = ("page, in ms", *(f"{name}{what}" for name in databases for what in (": median", " slowest", " first")))
    rows = [(f"`{name}`", *_times(name, databases, figures)) for name in names]
    return f"{summary}\n\n{_table('Each page', columns, rows, labels=1)}"


def _summary(ours: Sequence[PageFigures]) -> Sequence[str]:
    slowest, first = max(ours, key=lambda one: max(one.again)), max(ours, key=lambda one: one.first)
    late = sum(max(one.first, *one.again) > GOAL for one in ours)
    return (
        ours[0].database, str(len(ours)), f"{median(median(one.again) for one in ours):.0f}",
        f"**{max(slowest.again):.0f}**",
        f"`{slowest.name}`", f"**{first.first:.0f}**", f"`{first.name}`", f"no: {late}" if late else "yes",
        _cores([ours[0].foreign]),
    )  # fmt: skip


def _times(name: str, databases: Sequence[str], figures: Sequence[PageFigures]) -> Iterable[str]:
    for database in databases:
        one = next(one for one in figures if (one.database, one.name) == (database, name))
        yield from (f"{median(one.again):.0f}", f"{max(one.again):.0f}", f"{one.first:.0f}")


def _claim_row(one: ClaimFigures, smallest: ClaimFigures) -> Sequence[str]:
    times = f"{median(one.lease):.2f}", f"{median(one.settle):.2f}"
    ratios = ("",) * 6 if one is smallest else (
        *_spread(_rate_ratios(one.lease, smallest.lease)), *_spread(_rate_ratios(one.both, smallest.both))
    )  # fmt: skip
    return one.database, one.type, one.shape, *times, *ratios, _cores(one.foreign)


def _rate_ratios(milliseconds: Sequence[float], smallest: Sequence[float]) -> list[float]:
    return [their / our for our, their in zip(milliseconds, smallest, strict=True)]


def _cores(foreign: Sequence[float | None]) -> str:
    known = [cores for cores in foreign if cores is not None]
    return f"{max(known):.2f}" if known else "?"


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], labels: int = 2) -> str:
    lines = [f"### {title}", "", "| " + " | ".join(head) + " |"]
    lines.append("|" + "".join(" --- |" if place < labels else " --: |" for place in range(len(head))))
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)
