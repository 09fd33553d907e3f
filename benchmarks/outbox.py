"""What a queued call costs in the caller's transaction: ``python -m benchmarks.outbox --help``.

A transaction that books something and makes queued calls, against the same transaction with one plain INSERT in place
of each call: a row with the text that a queued call stores, through the same Session. Both take turns.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import Any

from sqlalchemy import Column, Integer, MetaData, String, Table, Text, delete, func, insert, select
from sqlalchemy.orm import Session

from taskqueue import QueueService
from taskqueue.outbox import Outbox, queued

from . import work
from .measure import Contestant, Outcome, compete
from .servers import DATABASES, running

#: Queued calls in one transaction.
CALLS = (1, 10)
metadata = MetaData()
bookings = Table(
    "bench_booking", metadata, Column("id", Integer, primary_key=True), Column("text", String(80), nullable=False)
)
plain = Table(
    "bench_plain",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("uid", String(32), nullable=False),
    Column("data", Text, nullable=False),
)


class Partner:
    """A service whose calls are queued."""

    def tell(self, given: dict[str, Any]) -> None:
        """Never called: only recording is measured."""


class Bench:
    """Transactions on one database."""

    def __init__(self, url: str) -> None:
        self.service = QueueService(url)
        metadata.create_all(self.service.engine)
        outbox = Outbox(self.service)
        self.partner = outbox.register("partner", Partner())
        outbox.prepare()
        self.queue = self.service.load("outbox")
        self._text = self._stored()

    def _stored(self) -> str:
        """The text that a queued call stores; all are of one length."""
        with Session(self.service.engine) as session:
            queued(self.partner, session).tell(work.argument(0))
            session.commit()
        item = next(iter(self.queue.items()))
        text = self.service.settings.codec.pack(item.data, self.queue.name, item.uid)
        self.queue.reset()
        return text

    def contestants(self, calls: int) -> list[Contestant]:
        """The floor and ours."""
        return [
            Contestant(
                "floor: plain INSERT", partial(self._run, partial(self._insert, calls)), partial(self._check, calls)
            ),
            Contestant("queued call", partial(self._run, partial(self._call, calls)), partial(self._check, calls)),
        ]

    def _run(self, more: Callable[[Session, int], None], count: int) -> None:
        for number in range(count):
            with Session(self.service.engine) as session, session.begin():
                session.execute(insert(bookings), {"text": "x" * 80})
                more(session, number)

    def _insert(self, calls: int, session: Session, number: int) -> None:
        for call in range(calls):
            session.execute(insert(plain), {"uid": f"{number:016}{call:016}", "data": self._text})

    def _call(self, calls: int, session: Session, number: int) -> None:
        for call in range(calls):
            queued(self.partner, session).tell(work.argument(number * calls + call))

    def _check(self, calls: int, count: int) -> None:
        """Everything stands there; then nothing."""
        with Session(self.service.engine) as session, session.begin():
            found = [session.scalar(select(func.count()).select_from(table)) or 0 for table in (bookings, plain)]
            for table in (bookings, plain):
                session.execute(delete(table))
        if [found[0], found[1] + self.queue.reset()] != [count, count * calls]:
            raise work.Wrong(f"of {count} transactions {found} rows stand there")


def main(given: Sequence[str] | None = None) -> int:
    """Measure, show progress on stderr, print the table."""
    options = _parser().parse_args(given)
    print("| database | calls | plain, µs | queued, µs | time × plain | from | to |")
    print("| --- | --: | --: | --: | --: | --: | --: |")
    for database in options.databases:
        with running(database) as home:
            bench = Bench(home.fresh())
            for calls in CALLS:
                outcome = compete(
                    home.name, f"{calls} calls", bench.contestants(calls),
                    count=options.count, slices=4, rounds=options.rounds, say=_say,
                )  # fmt: skip
                print(_row(outcome, calls), flush=True)
            bench.service.close()
    return 0


def _row(outcome: Outcome, calls: int) -> str:
    floor, ours = outcome.figures
    ratios = floor.ratios(ours)
    shown = (f"{figures.microseconds:.0f}" for figures in outcome.figures)
    spread = f"**{median(ratios):.2f}** | {min(ratios):.2f} | {max(ratios):.2f}"
    return f"| {outcome.database} | {calls} | {' | '.join(shown)} | {spread} |"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outbox", description=__doc__)
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=list(DATABASES), help="default: all")
    parser.add_argument("--count", type=int, default=100, help="transactions per slice, of which a round has four")
    parser.add_argument("--rounds", type=int, default=5, help="how often; figures are their medians")
    return parser


if __name__ == "__main__":
    sys.exit(main())
