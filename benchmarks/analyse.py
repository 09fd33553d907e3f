"""What a drain loses on PostgreSQL before there are statistics: ``python -m benchmarks.analyse --help``.

A fresh database is filled in bulk and drained at once by ``run_all()``, or after VACUUM ANALYZE; both take turns.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from statistics import median

from sqlalchemy import text

from taskqueue import QueueService, Runner

from . import ours, work
from .load import Load
from .servers import Home, running


def main(given: Sequence[str] | None = None) -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.analyse", description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="items of each drain")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(given)
    load, rounds = Load(), []
    with running("postgresql") as home:
        for number in range(options.rounds):
            turns = (False, True) if number % 2 == 0 else (True, False)
            rounds.append({analysed: _rate(home, options.count, analysed=analysed) for analysed in turns})
            print(f"round {number + 1}: {rounds[-1]}", file=sys.stderr, flush=True)
            home.clear()
    ratios = [one[False] / one[True] for one in rounds]
    print("| items | as filled, per second | after VACUUM ANALYZE | ratio | from | to | others' cores |")
    print("| --: | --: | --: | --: | --: | --: | --: |")
    filled, fresh = (median(one[analysed] for one in rounds) for analysed in (False, True))
    print(f"| {options.count:,} | {filled:,.0f} | {fresh:,.0f} "
          f"| **{median(ratios):.2f}** | {min(ratios):.2f} | {max(ratios):.2f} "
          f"| {load.foreign() or 0:.2f} |")  # fmt: skip
    return 0


def _rate(home: Home, count: int, *, analysed: bool) -> float:
    service = QueueService(home.fresh())
    try:
        queue = service.create("SqlParallel", "bench")
        ours.bulk(queue, count)
        work.expect(count)
        if analysed:
            with service.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text("VACUUM ANALYZE"))
        began = time.perf_counter()
        Runner(queue).run_all()
        elapsed = time.perf_counter() - began
        work.verify_ran("analyse")
        return count / elapsed
    finally:
        service.close()


if __name__ == "__main__":
    raise SystemExit(main())
