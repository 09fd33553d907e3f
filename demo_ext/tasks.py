"""The tasks of the import, in the order in which they run.

Each does its reading first and its writing at the end, inside ``ctx.transaction()``: the rows, the tasks that it adds
and its own completion are stored together or not at all. Whoever is killed in between leaves no trace.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from taskqueue import Task, TaskContext, TaskFailed

from .columns import BadRow, Columns
from .files import Batch, FileError, Layout, batches, csv_files, look_at, records
from .summary import summary_of
from .tables import demo_bad_row, demo_file, demo_import, demo_row

# Lower goes first: the rows of a file, then the next part of it, then the next file; the summary at the very end.
ROWS, PART, FILE, SOURCE, SUMMARY = -3, -2, -1, 0, 1000
#: So many batches are cut at a time. A large file comes into the queue part by part, never as a whole.
BATCHES_PER_PART = 200
#: A batch that takes its time reports so often in a second.
_STEPS = 4
#: :class:`Trouble` as it travels in the arguments of tasks.
_Stored = dict[str, Any] | None


@dataclass(frozen=True)
class Trouble:
    """What the web door can be asked for, so that there is something to watch and to decide."""

    #: So long each batch takes.
    seconds: float = 0
    #: So many batches fail, each at its first attempt only.
    failing: int = 0


def find_files(ctx: TaskContext, source: str, batch_size: int, trouble: _Stored = None) -> None:
    """Add a task for each file of a folder (or for the one file)."""
    paths = csv_files(source) if Path(source).is_dir() else iter([source])
    with ctx.transaction():
        ctx.queue.create_items((_file_task(path, batch_size, trouble) for path in paths), weight=FILE)


def open_file(ctx: TaskContext, path: str, batch_size: int, trouble: _Stored = None) -> None:
    """Find out how a file is to be read, and add a task that cuts it into batches."""
    queue = ctx.queue.name
    try:
        layout = look_at(path)
    except FileError as error:
        # One bad file of a folder should not keep the others out.
        with ctx.transaction() as session:
            session.execute(insert(demo_bad_row).values(queue=queue, path=path, line=0, reason=str(error)))
        return
    this = (demo_file.c.queue == queue, demo_file.c.path == path)
    with ctx.transaction() as session:
        if path in session.scalars(select(demo_file.c.path).where(*this)):
            ctx.log.info("%s was named twice and is imported once", path)
            return
        session.execute(insert(demo_file).values(queue=queue, path=path, encoding=layout.encoding))
        file_id = session.scalars(select(demo_file.c.id).where(*this)).one()
        first = _part_task(file_id, layout, layout.start, layout.line, batch_size, trouble)
        ctx.queue.create_item(first, weight=PART)


def cut_file(
    ctx: TaskContext,
    file_id: int,
    layout: dict[str, Any],
    start: int,
    line: int,
    batch_size: int,
    trouble: _Stored = None,
) -> None:
    """Add tasks for the next batches of a file, and one that goes on from there."""
    file, wanted = Layout(**layout), Trouble(**trouble or {})
    part = list(islice(batches(file, start, line, batch_size), BATCHES_PER_PART))
    failing = _failing(wanted.failing, part) if start == file.start else []
    with ctx.transaction() as session:
        _count(session, file_id, batches=len(part))
        tasks = (_rows_task(file_id, file, batch, wanted.seconds, batch in failing) for batch in part)
        ctx.queue.create_items(tasks, weight=ROWS)
        if len(part) == BATCHES_PER_PART:
            last = part[-1]
            rest = _part_task(file_id, file, last.end, last.next_line, batch_size, trouble)
            ctx.queue.create_item(rest, weight=PART)


def import_rows(
    ctx: TaskContext,
    file_id: int,
    layout: dict[str, Any],
    start: int,
    line: int,
    end: int,
    seconds: float = 0,
    fails: bool = False,
) -> None:
    """Import one batch."""
    if fails and ctx.item is not None and ctx.item.last_error is None:
        raise TaskFailed("It was asked to fail at its first attempt. Retry imports its rows, Skip leaves them out.")
    good: list[dict[str, Any]] = []
    bad: list[dict[str, Any]] = []
    for number, row, reason in _rows(Layout(**layout), start, line, end):
        if row is not None:
            good.append({"file_id": file_id, "line": number, **row})
        else:
            bad.append({"queue": ctx.queue.name, "path": layout["path"], "line": number, "reason": reason})
    if seconds:
        _take_time(ctx, seconds, len(good) + len(bad))
    with ctx.transaction() as session:
        _count(session, file_id, imported=1)
        for table, rows in ((demo_row, good), (demo_bad_row, bad)):
            if rows:
                session.execute(insert(table), rows)


def summarise(ctx: TaskContext) -> None:
    """Write down what the import came to."""
    queue = ctx.queue.name
    with ctx.transaction() as session:
        finished = datetime.now(timezone.utc).replace(tzinfo=None)
        values = {"finished": finished, "summary": summary_of(session, queue)}
        session.execute(update(demo_import).where(demo_import.c.queue == queue).values(values))


def _count(session: Session, file_id: int, **numbers: int) -> None:
    """Add to the counters of a file."""
    sums = {name: demo_file.c[name] + number for name, number in numbers.items()}
    session.execute(update(demo_file).where(demo_file.c.id == file_id).values(sums))


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


# --- trouble ---


def _failing(number: int, part: Sequence[Batch]) -> Sequence[Batch]:
    """The batches that fail at first: every third, from the second on if there is one."""
    return part[1 if len(part) > 1 else 0 :: 3][:number]


def _take_time(ctx: TaskContext, seconds: float, rows: int) -> None:
    """Let a batch take so long, and tell whoever watches how far it is; hurry when a stop is asked for."""
    steps = max(round(seconds * _STEPS), 1)
    for step in range(1, steps + 1):
        if ctx.should_stop:
            return
        time.sleep(seconds / steps)
        done = rows * step // steps
        ctx.report(done, rows, f"row {done} of {rows}")


# --- making tasks ---


def source_task(source: str, batch_size: int, trouble: Trouble | None = None) -> Task:
    """The task with which the import of a file or folder begins."""
    wanted = {"trouble": asdict(trouble)} if trouble is not None and trouble != Trouble() else {}
    return Task(find_files, (source, batch_size), title=f"Find files in {Path(source).name}", kwargs=wanted)


def _file_task(path: str, batch_size: int, trouble: _Stored) -> Task:
    return Task(open_file, (path, batch_size), title=f"Open {Path(path).name}", kwargs=_given(trouble=trouble))


def _part_task(file_id: int, file: Layout, start: int, line: int, batch_size: int, trouble: _Stored) -> Task:
    args, title = (file_id, asdict(file), start, line, batch_size), f"Split {Path(file.path).name} from line {line} on"
    return Task(cut_file, args, title=title, kwargs=_given(trouble=trouble))


def _rows_task(file_id: int, file: Layout, batch: Batch, seconds: float, fails: bool) -> Task:
    args = (file_id, asdict(file), batch.start, batch.line, batch.end)
    title = f"Import {Path(file.path).name}, lines {batch.line} to {batch.next_line - 1}"
    return Task(import_rows, args, title=title, kwargs=_given(seconds=seconds, fails=fails))


def _given(**kwargs: Any) -> dict[str, Any]:
    """What differs from doing nothing special; so all other items stay as small as they are."""
    return {name: value for name, value in kwargs.items() if value}
