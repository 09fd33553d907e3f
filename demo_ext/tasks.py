"""The tasks of the import, in the order in which they run.

Each does its reading first and its writing at the end, inside ``ctx.transaction()``: the rows, the tasks that it adds
and its own completion are stored together or not at all. Whoever is killed in between leaves no trace.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select, update

from taskqueue import Task, TaskContext

from .columns import BadRow, Columns
from .files import Batch, FileError, Layout, batches, csv_files, look_at, records
from .summary import summary_of
from .tables import demo_bad_row, demo_file, demo_import, demo_row

# Lower goes first: the rows of a file, then the next part of it, then the next file; the summary at the very end.
ROWS, PART, FILE, SOURCE, SUMMARY = -3, -2, -1, 0, 1000
#: So many batches are cut at a time. A large file comes into the queue part by part, never as a whole.
BATCHES_PER_PART = 200


def find_files(ctx: TaskContext, source: str, batch_size: int) -> None:
    """Add a task for each file of a folder (or for the one file)."""
    paths = csv_files(source) if Path(source).is_dir() else iter([source])
    with ctx.transaction():
        ctx.queue.create_items((_file_task(path, batch_size) for path in paths), weight=FILE)


def open_file(ctx: TaskContext, path: str, batch_size: int) -> None:
    """Find out how a file is to be read, and add a task that cuts it into batches."""
    try:
        layout = look_at(path)
    except FileError as error:
        # One bad file of a folder should not keep the others out.
        with ctx.transaction() as session:
            session.execute(insert(demo_bad_row).values(path=path, line=0, reason=str(error)))
        return
    with ctx.transaction() as session:
        if path in session.scalars(select(demo_file.c.path).where(demo_file.c.path == path)):
            ctx.log.info("%s was named twice and is imported once", path)
            return
        session.execute(insert(demo_file).values(path=path, encoding=layout.encoding))
        file_id = session.scalars(select(demo_file.c.id).where(demo_file.c.path == path)).one()
        ctx.queue.create_item(_part_task(file_id, layout, layout.start, layout.line, batch_size), weight=PART)


def cut_file(ctx: TaskContext, file_id: int, layout: dict[str, Any], start: int, line: int, batch_size: int) -> None:
    """Add tasks for the next batches of a file, and one that goes on from there."""
    file = Layout(**layout)
    part = list(islice(batches(file, start, line, batch_size), BATCHES_PER_PART))
    with ctx.transaction():
        ctx.queue.create_items((_rows_task(file_id, file, batch) for batch in part), weight=ROWS)
        if len(part) == BATCHES_PER_PART:
            last = part[-1]
            ctx.queue.create_item(_part_task(file_id, file, last.end, last.next_line, batch_size), weight=PART)


def import_rows(ctx: TaskContext, file_id: int, layout: dict[str, Any], start: int, line: int, end: int) -> None:
    """Import one batch."""
    good: list[dict[str, Any]] = []
    bad: list[dict[str, Any]] = []
    for number, row, reason in _rows(Layout(**layout), start, line, end):
        if row is not None:
            good.append({"file_id": file_id, "line": number, **row})
        else:
            bad.append({"path": layout["path"], "line": number, "reason": reason})
    with ctx.transaction() as session:
        for table, rows in ((demo_row, good), (demo_bad_row, bad)):
            if rows:
                session.execute(insert(table), rows)


def summarise(ctx: TaskContext) -> None:
    """Write down what the import came to."""
    with ctx.transaction() as session:
        finished = datetime.now(timezone.utc).replace(tzinfo=None)
        session.execute(update(demo_import).values(finished=finished, summary=summary_of(session)))


def _rows(file: Layout, start: int, line: int, end: int) -> Iterator[tuple[int, dict[str, Any] | None, str]]:
    columns = Columns(file.header)
    for record in records(file, start, line, end):
        if record.error:
            yield record.line, None, record.error
        elif record.fields:
            try:
                yield record.line, columns.row(record.fields), ""
            except BadRow as error:
                yield record.line, None, str(error)


# --- making tasks ---


def source_task(source: str, batch_size: int) -> Task:
    """The task with which the import of a file or folder begins."""
    return Task(find_files, (source, batch_size), title=f"Find files in {source}")


def _file_task(path: str, batch_size: int) -> Task:
    return Task(open_file, (path, batch_size), title=f"Open {Path(path).name}")


def _part_task(file_id: int, file: Layout, start: int, line: int, batch_size: int) -> Task:
    args = (file_id, asdict(file), start, line, batch_size)
    return Task(cut_file, args, title=f"Split {Path(file.path).name} from line {line} on")


def _rows_task(file_id: int, file: Layout, batch: Batch) -> Task:
    args = (file_id, asdict(file), batch.start, batch.line, batch.end)
    title = f"Import {Path(file.path).name}, lines {batch.line} to {batch.next_line - 1}"
    return Task(import_rows, args, title=title)
