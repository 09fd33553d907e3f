"""The page against the terminal: ``python -m benchmarks.page``.

The same queue of tasks that do nothing is run to its end by turns: by ``run_all()`` in a process of its own, and by
the progress page in a real Chromium, with the application under waitress in a process of its own. The time is that of
the run's own record, from its start to its end, by the database's clock.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Page, sync_playwright

from taskqueue import QueueService, Runner, Task
from taskqueue.runs.store import Runs

from . import work
from .servers import DATABASES, running

_FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
          "--disable-background-networking", "--disable-component-update", "--disable-sync"]  # fmt: skip
_LONGEST = 600.0
_BETWEEN_POLLS = 0.1


@dataclass(frozen=True)
class Turn:
    """One turn of both: seconds, and the requests that the page needed."""

    terminal: float
    page: float
    requests: int
    #: How long state polls took meanwhile, in milliseconds: the median, and the ninth tenth.
    polls: tuple[float, float]

    @property
    def ratio(self) -> float:
        return self.terminal / self.page

    @property
    def requests_per_second(self) -> float:
        return self.requests / self.page


def main(given: Sequence[str] | None = None) -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("--databases", default=",".join(DATABASES), metavar="NAME,…")
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(given)
    print("| database | run_all, s | page, s | rate × run_all | from | to | requests per second | poll, ms | p90 |")
    print("| --- | --: | --: | --: | --: | --: | --: | --: | --: |")
    for name in options.databases.split(","):
        with running(name) as home:
            turns = _turns(home.fresh(), options.tasks, options.rounds)
        ratios, polls = [turn.ratio for turn in turns], [turn.polls for turn in turns]
        print(
            f"| {name} | {median(turn.terminal for turn in turns):.2f} | {median(turn.page for turn in turns):.2f} "
            f"| **{median(ratios):.2f}** | {min(ratios):.2f} | {max(ratios):.2f} "
            f"| {max(turn.requests_per_second for turn in turns):.2f} "
            f"| {median(half for half, _most in polls):.1f} | {max(most for _half, most in polls):.1f} |",
            flush=True,
        )
    return 0


def _turns(url: str, tasks: int, rounds: int) -> list[Turn]:
    port = _free_port()
    with _application(url, port), _chromium() as page:
        _through_page(page, url, port, tasks // 10)  # warm
        return [
            Turn(_in_terminal(url, tasks), *_through_page(page, url, port, tasks)) for _round in range(rounds)
        ]  # fmt: skip


def _in_terminal(url: str, tasks: int) -> float:
    program = f"from benchmarks import page; page.run_all({url!r}, {tasks})"
    subprocess.run([sys.executable, "-c", program], check=True)
    return _elapsed(url, "terminal", tasks)


def run_all(url: str, tasks: int) -> None:
    """Fill a queue and run it to its end, as a program in a terminal does."""
    service = QueueService(url, allow=["benchmarks"])
    queue = service.create("Sql", "terminal", reset=True)
    queue.create_items(Task(work.quiet, (work.argument(number),)) for number in range(tasks))
    if not Runner(queue, title="Benchmark").run_all():
        raise work.Wrong("the run failed")
    service.close()


def _through_page(page: Page, url: str, port: int, tasks: int) -> tuple[float, int, tuple[float, float]]:
    page.goto(f"http://127.0.0.1:{port}/go/{tasks}", timeout=_LONGEST * 1000)
    polls = _poll(page, port)
    page.locator("[data-status=completed]").wait_for(timeout=_LONGEST * 1000)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/requests", timeout=10) as answer:
        requests = int(answer.read()) - len(polls)
    return _elapsed(url, "page", tasks), requests, (median(polls), sorted(polls)[len(polls) * 9 // 10])


def _poll(page: Page, port: int) -> list[float]:
    """Ask for the state of the run several times a second, as another tab would, until it has ended: milliseconds."""
    cookies = "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in page.context.cookies())
    connection, took = http.client.HTTPConnection("127.0.0.1", port, timeout=60), list[float]()
    while True:
        began = time.perf_counter()
        connection.request("GET", f"{urlsplit(page.url).path}/state", headers={"Cookie": cookies})
        state = json.load(connection.getresponse())
        took.append((time.perf_counter() - began) * 1000)
        if state["run"]["status"] not in ("ready", "running", "finishing"):
            return took
        time.sleep(_BETWEEN_POLLS)


def _elapsed(url: str, queue_name: str, tasks: int) -> float:
    service = QueueService(url)
    run = next(run for run in Runs(service.database, service.settings.codec).latest() if run.queue_name == queue_name)
    service.close()
    if (run.status, run.done) != ("completed", tasks):
        raise work.Wrong(f"the run of {tasks} tasks is {run.status} with {run.done} done")
    return run.elapsed


@contextmanager
def _application(url: str, port: int) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.page_app", url, str(port)])
    try:
        _wait_for(port)
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _chromium() -> Iterator[Page]:
    program = os.environ.get("CHROMIUM") or shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if program is None:
        raise SystemExit("Chromium is missing: install it, or name it by $CHROMIUM")
    with sync_playwright() as playwright:
        browser: Any = playwright.chromium.launch(executable_path=program, args=_FLAGS)
        yield browser.new_page()
        browser.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    limit = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > limit:
                raise
            time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
