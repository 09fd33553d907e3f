"""The figures of soaks: each test adds a line of JSON to the file that SOAK_FIGURES names, if it does.

``python -m tests.faults.figures FILE`` prints them as a table in Markdown.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

COLUMNS = (
    "database", "tasks", "worker kills", "producer kills", "sleeps", "server kills", "run again", "lost", "overlapping",
    "twice", "seconds to heal", "seconds",
)  # fmt: skip


def report(**figures: Any) -> None:
    """Add the figures of one soak, named like the columns, with underlines for blanks."""
    if file := os.environ.get("SOAK_FIGURES"):
        with Path(file).open("a") as out:
            out.write(json.dumps({name.replace("_", " "): figure for name, figure in figures.items()}) + "\n")


def table(lines: list[dict[str, Any]]) -> str:
    """The figures as a table."""
    more = [name for line in lines for name in line if name not in COLUMNS]
    columns = [*COLUMNS, *dict.fromkeys(more)]
    rows = [columns, ["---"] + ["---:"] * (len(columns) - 1)]
    rows += [[_shown(line.get(name, "")) for name in columns] for line in lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _shown(figure: Any) -> str:
    return f"{figure:,}" if isinstance(figure, int) else f"{figure:.1f}" if isinstance(figure, float) else str(figure)


if __name__ == "__main__":
    file = Path(sys.argv[1])
    text = file.read_text() if file.exists() else ""
    print(table([json.loads(line) for line in text.splitlines()]))
