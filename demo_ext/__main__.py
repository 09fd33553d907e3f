"""``python -m demo_ext [FILE_OR_FOLDER ...]``: import CSV files and say what came of it."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from taskqueue import TaskQueueError

from .files import FileError, check_source

_DATA = Path("demo-data")
_DEFAULT = "$TASKQUEUE_DATABASE_URL, else SQLite in ./demo.db"


def main(arguments: Sequence[str] | None = None) -> int:
    """Import, and return the exit code."""
    options = _parser().parse_args(arguments)
    if options.database:
        # Before the application is imported below: it looks there, here as under `taskqueue --app`.
        os.environ["TASKQUEUE_DATABASE_URL"] = options.database
    try:
        sources = [check_source(source) for source in options.sources]
        from . import run

        with run.closing_service():
            rows_before = run.choose(sources, options.batch_size, options.fresh, _DATA)
            began = time.monotonic()
            code = run.run_queue()
            return code or run.tell(time.monotonic() - began, rows_before)
    except (FileError, TaskQueueError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m demo_ext",
        description="Import CSV files of people or places into a table, as small tasks on a durable queue.",
        epilog="An import that was interrupted, even by kill -9, goes on where it stood; a finished one is repeated.",
    )
    parser.add_argument(
        "sources",
        nargs="*",
        metavar="FILE_OR_FOLDER",
        help=f"CSV files, or folders of them; none: some 34,000 real cities, written to ./{_DATA} first",
    )
    parser.add_argument("--database", metavar="URL", help=f"where queue and tables are (default: {_DEFAULT})")
    parser.add_argument("--batch-size", type=_positive, default=300, metavar="N", help="rows per task (default: 300)")
    parser.add_argument("--fresh", action="store_true", help="throw an unfinished import away and begin anew")
    return parser


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"a whole number from 1 to 10000 is needed, not {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
