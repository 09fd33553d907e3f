"""The command: ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from taskqueue import QueueService

from . import claim, dashboard, ours, table
from .floors import FLOORS, bare_calls
from .measure import Outcome, compete
from .servers import DATABASES, Home, running

RATES = ("enqueue", "bulk", "run_all")
BENCHMARKS = (*RATES, "claim", "dashboard")


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    #: Things per slice, and slices per round.
    count: dict[str, int]
    slices: int
    backlogs: tuple[int, ...]
    hidden: int
    #: Turns of 25 claims per round.
    turns: int
    dashboard: dashboard.Size


SCALES = {
    "small": Scale(
        {"enqueue": 300, "bulk": 5_000, "run_all": 1_000},
        2,
        (1_000, 10_000, 50_000),
        20_000,
        2,
        dashboard.Size(20_000, 500, 20),
    ),
    "full": Scale(
        {"enqueue": 1_000, "bulk": 30_000, "run_all": 3_000},
        4,
        (1_000, 100_000, 1_000_000),
        200_000,
        4,
        dashboard.Size(1_000_000, 5_000, 50),
    ),
}


@dataclass
class Report:
    """All that one call has measured."""

    host: dict[str, str]
    scale: str
    rates: list[Outcome] = field(default_factory=list)
    claims: list[claim.ClaimFigures] = field(default_factory=list)
    pages: list[dashboard.PageFigures] = field(default_factory=list)

    def markdown(self) -> str:
        """The tables."""
        parts = [table.rates(self.rates)] if self.rates else []
        parts += [table.claims(self.claims)] if self.claims else []
        parts += [table.pages(self.pages)] if self.pages else []
        known = "\n".join(f"- {what}: {value}" for what, value in self.host.items())
        return "\n\n".join([*parts, known])


def main(given: Sequence[str] | None = None) -> int:
    """Measure, show progress on stderr, print the tables."""
    options = _parser().parse_args(given)
    scale = SCALES[options.scale]
    report = Report(_host(), options.scale)
    wanted = [name for name in options.only if name in RATES]
    if wanted:
        report.rates += _memory(wanted, scale, options.rounds)
    for database in options.databases:
        with running(database) as home:
            report.host[database] = home.version
            if wanted:
                report.rates += _rates(home, wanted, scale, options.rounds)
                home.clear()
            if "claim" in options.only:
                report.claims += claim.measure(
                    home, scale.backlogs, scale.hidden, turns=scale.turns, rounds=options.rounds, say=_say
                )
                home.clear()
            if "dashboard" in options.only:
                report.pages += dashboard.measure(home, scale.dashboard, rounds=options.rounds, say=_say)
    report.rates.sort(key=lambda outcome: BENCHMARKS.index(outcome.benchmark))
    if options.json:
        options.json.write_text(json.dumps(asdict(report), indent=1) + "\n")
    print(report.markdown())
    return 0


def _memory(wanted: Sequence[str], scale: Scale, rounds: int) -> list[Outcome]:
    contestants, floors = ours.contestants(QueueService(), "Memory"), bare_calls()
    return [
        compete(
            "memory", name, [*([floors[name]] if name in floors else []), contestants[name]],
            count=scale.count[name], slices=scale.slices, rounds=rounds, say=_say,
        )
        for name in wanted
    ]  # fmt: skip


def _rates(home: Home, wanted: Sequence[str], scale: Scale, rounds: int) -> list[Outcome]:
    url = home.fresh()
    floor, service = FLOORS[home.name](home.fresh()), QueueService(url)
    service.create("Sql", "bench-bare").number_of_items()  # its tables
    beside = FLOORS[home.name](url, create=False)
    try:
        bare = [{"enqueue": one} for one in ours.bare_inserts(service.load("bench-bare"), beside)]
        sides = [floor.contestants(), *bare, *(ours.contestants(service, type_) for type_ in ours.SQL_TYPES)]
        return [
            compete(
                home.name, name, [side[name] for side in sides if name in side],
                count=scale.count[name], slices=scale.slices, rounds=rounds, say=_say,
            )
            for name in wanted
        ]  # fmt: skip
    finally:
        service.close()
        beside.close()
        floor.close()


def _host() -> dict[str, str]:
    packages = ", ".join(f"{name} {version(name)}" for name in ("sqlalchemy", "pymysql", "psycopg", "flask"))
    return {
        "measured": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.system()} {platform.machine()}, {_cores()}",
        "Python": f"{platform.python_version()}, {packages}",
    }


def _cores() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} × {names[0]}" if names else platform.processor()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _some_of(known: Sequence[str]) -> Any:
    def chosen(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
        return names

    return chosen


def _rounds(text: str) -> int:
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError("a number of at least 1")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--databases", type=_some_of(DATABASES), default=list(DATABASES), metavar="NAME,…",
                        help=f"which of {', '.join(DATABASES)}")  # fmt: skip
    parser.add_argument("--only", type=_some_of(BENCHMARKS), default=list(BENCHMARKS), metavar="NAME,…",
                        help=f"which of {', '.join(BENCHMARKS)}")  # fmt: skip
    parser.add_argument("--scale", choices=tuple(SCALES), default="full", help="small: a minute, to try it out")
    parser.add_argument("--rounds", type=_rounds, default=3, help="how often; figures are their medians")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep all figures of all rounds here")
    return parser


if __name__ == "__main__":
    sys.exit(main())
