"""The command: ``python -m benchmarks.peers --help``."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median

from sqlalchemy import create_engine, text

from benchmarks.load import Load
from benchmarks.servers import Home, running
from benchmarks.work import Wrong

from . import chart, goals
from .catalogue import CONTESTANTS
from .contestant import Contestant
from .drain import drain, produce
from .figures import Figures, keep, kept


class Servers:
    """The servers that are needed, each started when it is first asked for."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._homes: dict[str, Home] = {}
        self._brokers: dict[str, str] = {}

    def fresh(self, server: str) -> str:
        """The URL of an empty one."""
        if not server.startswith("redis"):
            if server not in self._homes:
                self._homes[server] = self._stack.enter_context(running(server))
            return self._homes[server].fresh()
        import redis

        from .redis_server import running_redis

        if server not in self._brokers:
            self._brokers[server] = self._stack.enter_context(running_redis(append=server.endswith("aof")))
        with redis.Redis.from_url(self._brokers[server]) as client:
            client.flushall()
        return self._brokers[server]


def main(given: Sequence[str] | None = None) -> int:
    """Measure in turns; progress on stderr, the tables on stdout."""
    options = _parser().parse_args(given)
    figures = kept(options.kept) if options.kept else _measured(options)
    if options.json:
        keep(figures, options.json)
    if options.svg:
        options.svg.write_text(chart.svg(figures))
    print(_table([one for one in figures if one.measured]))
    if judged := goals.table(figures):
        print(f"\n{judged}")
    return 0


def _measured(options: argparse.Namespace) -> list[Figures]:
    chosen = [one for one in CONTESTANTS if _is_wanted(one, options.only) and sys.version_info >= one.oldest_python]
    figures = [
        Figures(one.name, one.server, one.crash, workers, bool(options.bulk), options.count)
        for one in chosen for workers in options.workers if workers == 1 or one.is_parallel
    ]  # fmt: skip
    by_name = {(one.name, one.server): one for one in chosen}
    with ExitStack() as stack:
        servers, folder = (
            Servers(stack),
            Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="taskqueue-bench-"))),
        )
        for turn in range(options.rounds):
            for place in range(len(figures)):
                one = figures[(place + turn) % len(figures)]
                with _told(one, turn):
                    _round(one, by_name[one.name, one.server], servers, folder)
    return figures


def _is_wanted(contestant: Contestant, words: Sequence[str] | None) -> bool:
    if contestant.server.startswith("redis") and shutil.which("redis-server") is None:
        print(f"{contestant.name}: left out, redis-server is not installed", file=sys.stderr)
        return False
    return not words or any(word in f"{contestant.name}, {contestant.server}" for word in words)


def _round(figures: Figures, contestant: Contestant, servers: Servers, folder: Path) -> None:
    url, load, count = servers.fresh(figures.server), Load(), figures.count
    produced = produce(contestant, url, count, bulk=figures.bulk)
    if figures.server == "postgresql" and contestant.analysed:
        _analyse(url)
    drained = drain(contestant, url, count, figures.workers, folder)
    is_lost = drained.done < count and not drained.was_cut
    if contestant.module in ("with_taskqueue", "with_floor") and (drained.repeated or is_lost):
        raise Wrong(f"{figures.name}: {drained.done} of {count} ran, {drained.repeated} more than once")
    figures.enqueue.append(produced.rate)
    figures.drains.append(drained)
    figures.foreign.append(load.foreign())


def _analyse(url: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()


@contextmanager
def _told(figures: Figures, turn: int) -> Iterator[None]:
    what = f"round {turn + 1}, {figures.name}, {figures.server}, {figures.workers} workers"
    try:
        yield
    except (ImportError, Wrong) as error:
        for rounds in (figures.enqueue, figures.drains, figures.foreign):
            rounds.append(None)  # type: ignore[attr-defined]
        print(f"{what}: {error}", file=sys.stderr, flush=True)
        return
    print(f"{what}: {figures.measured[-1].rate:,.0f}/s", file=sys.stderr, flush=True)


def _table(figures: Sequence[Figures]) -> str:
    head = ("what", "on", "in a crash", "workers", "put in per second", "done per second", "from", "to", "start, s",
            "MB", "repeated", "others' cores")  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "| --- | --- | --- |" + " --: |" * (len(head) - 3)]
    for one in figures:
        rates = [drained.rate for drained in one.measured]
        enqueue = [rate for rate in one.enqueue if rate is not None]
        foreign = [cores for cores in one.foreign if cores is not None]
        lines.append(
            f"| {one.name} | {one.server} | {one.crash} | {one.workers} | {median(enqueue):,.0f} "
            f"| **{median(rates):,.0f}** | {min(rates):,.0f} | {max(rates):,.0f} "
            f"| {median(drained.start for drained in one.measured):.2f} "
            f"| {median(drained.memory for drained in one.measured):.0f} "
            f"| {sum(drained.repeated for drained in one.measured)} "
            f"| {max(foreign, default=0):.2f} |"
        )
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--only", type=lambda given: given.split(","), metavar="WORD,…",
                        help="contestants with one of these words in their name or server")  # fmt: skip
    parser.add_argument("--workers", type=lambda given: [int(word) for word in given.split(",")], default=[1, 2],
                        metavar="N,…", help="with so many workers")  # fmt: skip
    parser.add_argument("--count", type=int, default=10_000, help="tasks in each drain")
    parser.add_argument("--bulk", action="store_true", help="put them in many at a time, where that can be")
    parser.add_argument("--rounds", type=int, default=3, help="how often; figures are medians")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep all figures here")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the rates of all contestants")
    parser.add_argument("--from", type=Path, metavar="FILE", dest="kept", help="measure nothing, show what was kept")
    return parser


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
