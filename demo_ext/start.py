"""Starting an import, or finding the one that was interrupted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sqlalchemy import Select, delete, func, insert, select
from sqlalchemy.orm import Session

from taskqueue import BatchQueue, Task

from .app import QUEUE, import_queue, service
from .tables import demo_bad_row, demo_file, demo_import, demo_row, make_tables
from .tasks import SOURCE, SUMMARY, Trouble, source_task, summarise


def begin(
    sources: Sequence[str | Path],
    batch_size: int = 300,
    *,
    queue: BatchQueue | None = None,
    trouble: Trouble | None = None,
    owner: str = "",
    title: str = "",
) -> None:
    """Forget what this queue imported before and put the first tasks into it, all in one transaction."""
    queue, paths = queue or import_queue(), [str(Path(source).absolute()) for source in sources]
    queue.reset()
    make_tables(service.engine)
    with Session(service.engine) as session, session.begin():
        forget(session, queue.name)
        started = datetime.now(timezone.utc).replace(tzinfo=None)
        whose = {"queue": queue.name, "owner": owner, "title": title}
        session.execute(insert(demo_import).values(sources=paths, started=started, **whose))
        queue.create_items((source_task(path, batch_size, trouble) for path in paths), weight=SOURCE, session=session)
        queue.create_item(Task(summarise, title="Write the summary"), weight=SUMMARY, session=session)


def forget(session: Session, name: str) -> None:
    """Remove all that the import with this queue has left in the tables."""
    files = select(demo_file.c.id).where(demo_file.c.queue == name)
    session.execute(delete(demo_row).where(demo_row.c.file_id.in_(files)))
    for table in (demo_bad_row, demo_file, demo_import):
        session.execute(delete(table).where(table.c.queue == name))


# --- the import of the command line ---


def unfinished() -> list[str] | None:
    """The sources of the import that was begun and not finished, or None."""
    if not import_queue().number_of_items():
        return None
    sources: list[str] | None = _stored(select(demo_import.c.sources).where(demo_import.c.queue == QUEUE))
    return sources


def finished_summary() -> dict[str, Any] | None:
    """The summary of the import, once its last task has run."""
    summary: dict[str, Any] | None = _stored(select(demo_import.c.summary).where(demo_import.c.queue == QUEUE))
    return summary


def rows_so_far() -> int:
    """How many rows are in the table."""
    rows = select(func.count()).select_from(demo_row).join(demo_file).where(demo_file.c.queue == QUEUE)
    return int(_stored(rows))


def _stored(query: Select[Any]) -> Any:
    make_tables(service.engine)
    with Session(service.engine) as session:
        return session.scalar(query)
