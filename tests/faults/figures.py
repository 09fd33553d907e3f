"""What the long forms of the fault tests have counted, for the table of ``make soak``.

``python -m tests.faults.figures FILE`` prints it, in Markdown.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

#: The columns that come first, and their heads where these are not the names.
_COLUMNS = {
    "what": "database", "tasks": "", "worker_kills": "", "sleeps": "", "server_kills": "", "tried_again": "run again",
    "lost": "", "overlapping": "", "twice": "", "seconds_to_heal": "",
}  # fmt: skip


def note(what: str, **figures: Any) -> None:
    """Print the figures, and append them as a line of JSON to the file that ``SOAK_FIGURES`` names."""
    line = json.dumps({"what": what, **figures})
    print(line)
    if path := os.environ.get("SOAK_FIGURES"):
        with Path(path).open("a") as file:
            file.write(line + "\n")


def table(lines: Iterable[str]) -> str:
    """All that was noted, each a row."""
    noted = [json.loads(line) for line in lines]
    columns = list(dict.fromkeys([*_COLUMNS, *(name for figures in noted for name in figures)]))
    rows = [
        [_COLUMNS.get(name) or name.replace("_", " ") for name in columns],
        ["---", *["---:"] * (len(columns) - 1)],
        *([_shown(figures.get(name, "")) for name in columns] for figures in noted),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _shown(figure: Any) -> str:
    if isinstance(figure, dict):
        return ", ".join(f"{name}: {_shown(value)}" for name, value in figure.items())
    return f"{figure:,}" if isinstance(figure, int) else str(figure)


if __name__ == "__main__":
    file = Path(sys.argv[1])
    print(table(file.read_text().splitlines() if file.exists() else []))
