"""What an import came to."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from .tables import demo_bad_row, demo_file, demo_row

_BIGGEST = 5
_BAD_ROWS = 10


def summary_of(session: Session, queue: str) -> dict[str, Any]:
    """Counts, the biggest places, the first bad rows and the files that were not UTF-8, of the import with a queue."""
    files, is_bad = demo_file.c.queue == queue, demo_bad_row.c.queue == queue
    biggest = (
        select(demo_row.c.name, demo_row.c.country, demo_row.c.population)
        .join(demo_file)
        .where(files, demo_row.c.population.is_not(None))
        .order_by(demo_row.c.population.desc(), demo_row.c.id)
        .limit(_BIGGEST)
    )
    bad = select(demo_bad_row.c.path, demo_bad_row.c.line, demo_bad_row.c.reason).where(is_bad)
    latin = select(demo_file.c.path).where(files, demo_file.c.encoding == "latin-1").order_by(demo_file.c.id)
    return {
        "files": session.scalar(select(func.count()).select_from(demo_file).where(files)),
        "rows": session.scalar(select(func.count()).select_from(demo_row).join(demo_file).where(files)),
        "bad_rows": session.scalar(select(func.count()).select_from(demo_bad_row).where(is_bad)),
        "biggest": [list(row) for row in session.execute(biggest)],
        "first_bad_rows": [list(row) for row in session.execute(bad.order_by(demo_bad_row.c.id).limit(_BAD_ROWS))],
        "latin_1_files": list(session.scalars(latin)),
    }


def lines_of(summary: dict[str, Any]) -> list[str]:
    """The summary for a human."""
    lines = [f"{summary['rows']:,} rows of {summary['files']:,} files imported, {summary['bad_rows']:,} bad rows."]
    lines += [f"Read as Latin-1, because it is not UTF-8: {path}" for path in summary["latin_1_files"]]
    if summary["biggest"]:
        lines.append("The biggest places:")
        lines += [f"  {population:>13,}  {name} ({country or '?'})" for name, country, population in summary["biggest"]]
    if summary["bad_rows"]:
        lines.append("Bad rows (all of them: SELECT path, line, reason FROM demo_bad_row):")
        lines += [_bad_line(*bad) for bad in summary["first_bad_rows"]]
        if summary["bad_rows"] > len(summary["first_bad_rows"]):
            lines.append("  ...")
    return lines


def _bad_line(path: str, line: int, reason: str) -> str:
    return f"  {path}, line {line}: {reason}" if line else f"  {reason}"
