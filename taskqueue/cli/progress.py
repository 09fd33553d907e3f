"""What a human sees while a queue is run: a bar on a terminal, lines elsewhere, or failures only."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

import click
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..execution.failure import error_text
from ..item import QueueItem
from ..outcome import Outcome
from ..result import Progress
from ..verdicts import Later
from .output import counted, duration, first_line, one_line
from .pace import Pace

#: A terminal is drawn at most so often a second; further lines elsewhere come so many seconds apart.
_DRAWN_PER_SECOND = 8
_LINES_APART = 2.0
_BECAME = {
    Outcome.RETRY: "failed, will be tried again",
    Outcome.DELETE: "failed, removed",
    Outcome.DEAD: "failed, kept as a dead letter",
    Outcome.ABORT: "failed, kept in its place",
    Outcome.CANCELLED: "cancelled",
    Outcome.RELINQUISH: "given back",
    Outcome.LEASE_LOST: "lost to somebody else",
}


class Display(AbstractContextManager["Display"]):
    """Shows failures only, on stderr; the base of the other two. Never raises: the run must not end because
    nobody listens any more."""

    def begin(self, remaining: int) -> None:
        """The run begins."""

    def watch(self, progress: Progress) -> None:
        """The watcher of the run; called often, from any thread."""

    def stopping(self) -> None:
        """A stop was asked for."""

    def say(self, text: str) -> None:
        """A sentence at the end."""

    def attempt(self, queue: Any, item: QueueItem, outcome: Outcome, exception: BaseException | None) -> None:
        """Receiver of ``item_finished``."""
        if outcome is not Outcome.OK and not isinstance(exception, Later):
            self.failed(f"{_BECAME[outcome]}: {one_line(item.title)}: {first_line(error_text(exception))}", outcome)

    def failed(self, line: str, outcome: Outcome) -> None:
        """An attempt did not end well."""
        if outcome is not Outcome.RETRY:
            _echo(line, err=True)

    def logged(self, line: str) -> None:
        """A task has logged a warning or an error."""
        _echo(line, err=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The run is over."""


class Lines(Display):
    """Plain lines, for logs."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pace = Pace()
        self._last = time.monotonic()
        self._tenths = 0
        self._shown: tuple[Any, ...] = ()
        self._waiting = False

    def begin(self, remaining: int) -> None:
        _echo(f"Running queue {self._name!r}: {counted(remaining, 'item')}")

    def watch(self, progress: Progress) -> None:
        finished = progress.completed + progress.failed
        self._pace.note(finished)
        if (progress.waiting is not None) != self._waiting:
            self._waiting = progress.waiting is not None
            if self._waiting:
                _echo(waiting_text(progress))
        tenths = 10 * finished // max(finished + progress.remaining, 1)
        state = (finished, progress.done, progress.message)
        moment = time.monotonic()
        if tenths > self._tenths or (moment - self._last >= _LINES_APART and state != self._shown):
            self._last, self._tenths, self._shown = moment, tenths, state
            _echo(self._line(progress, finished))

    def _line(self, progress: Progress, finished: int) -> str:
        left = self._pace.seconds_left(finished, progress.remaining)
        parts = [
            f"{finished}/{finished + progress.remaining} ({percent(finished, progress.remaining)})",
            f"{self._pace.per_second(finished):.1f}/s",
            *([f"{duration(left)} left"] if left is not None and progress.remaining else []),
            *([f"{progress.failed} failed"] if progress.failed else []),
        ]
        what = doing(progress) if progress.remaining else ""
        return ", ".join(parts) + (f": {what}" if what else "")

    def stopping(self) -> None:
        _echo("Stopping after the item in hand; once more, or after the grace period: at once")

    def say(self, text: str) -> None:
        _echo(text)

    def failed(self, line: str, outcome: Outcome) -> None:
        _echo(line)


class Bar(Display):
    """Two lines at the foot of the terminal, drawn by a thread of rich's from the latest state."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, markup=False, emoji=False)
        self._pace = Pace()
        self._progress = Progress()
        self._stopping = False
        self._live = Live(
            console=self._console, get_renderable=self._render, refresh_per_second=_DRAWN_PER_SECOND, transient=True,
            vertical_overflow="crop",
        )  # fmt: skip

    def __enter__(self) -> Bar:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def watch(self, progress: Progress) -> None:
        self._progress = progress

    def stopping(self) -> None:
        self._stopping = True

    def say(self, text: str) -> None:
        _echo(text)

    def failed(self, line: str, outcome: Outcome) -> None:
        style = "yellow" if outcome is Outcome.RETRY else "red"
        self._console.print(Text(line, style=style), soft_wrap=True)

    def _render(self) -> Group:
        progress = self._progress
        finished = progress.completed + progress.failed
        self._pace.note(finished)
        numbers = Table.grid(expand=True, padding=(0, 1))
        numbers.add_column(ratio=1)
        cells = [ProgressBar(total=max(finished + progress.remaining, 1), completed=finished)]
        texts = [*self._numbers(progress, finished)]
        for _text in texts:
            numbers.add_column(no_wrap=True, justify="right")
        numbers.add_row(*cells, *texts)
        what = "stopping after this item (Ctrl-C: at once): " if self._stopping else ""
        return Group(numbers, Text(what + doing(progress), no_wrap=True, overflow="ellipsis"))

    def _numbers(self, progress: Progress, finished: int) -> list[Text]:
        left = None if progress.waiting else self._pace.seconds_left(finished, progress.remaining)
        return [
            Text(percent(finished, progress.remaining)),
            Text(f"{finished}/{finished + progress.remaining}"),
            *([Text(f"{progress.failed} failed", style="red")] if progress.failed else []),
            Text(f"{self._pace.per_second(finished):.1f}/s"),
            Text(f"{duration(self._pace.elapsed)} gone"),
            Text(f"{duration(left)} left" if left is not None else "- left"),
        ]


def choose_display(name: str, *, silent: bool) -> Display:
    """What fits the output."""
    if silent:
        return Display()
    if sys.stdout.isatty() and not Console().is_dumb_terminal:
        return Bar()
    return Lines(name)


def doing(progress: Progress) -> str:
    """What the run is at."""
    if progress.waiting is not None:
        return waiting_text(progress)
    inner = [part for part in (_inner_count(progress), one_line(progress.message)) if part]
    return one_line(progress.title) + (f" - {' '.join(inner)}" if inner else "")


def waiting_text(progress: Progress) -> str:
    """Why nothing is run."""
    pause = progress.waiting
    if pause is None:
        return ""
    who = "item held by somebody else, up to" if pause.is_leased else "next item is delayed,"
    return f"waiting: {who} {duration(pause.seconds)}"


def percent(finished: int, remaining: int) -> str:
    """Rounded down: 100 % is said when nothing is left."""
    return f"{100 * finished // max(finished + remaining, 1)} %"


def _inner_count(progress: Progress) -> str:
    if progress.total is not None:
        return f"{progress.done:g}/{progress.total:g}"
    return f"{progress.done:g}" if progress.done else ""


def _echo(line: str, *, err: bool = False) -> None:
    # Also when the pipe is closed or the disk of the log is full: the work itself goes on.
    try:
        click.echo(line, err=err)
    except (OSError, ValueError):
        return
