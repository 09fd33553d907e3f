"""Starting an import, or finding the one that was interrupted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sqlalchemy import Select, delete, func, insert, select
from sqlalchemy.orm import Session

from taskqueue import Task

from .app import import_queue, service
from .tables import demo_bad_row, demo_file, demo_import, demo_row, metadata
from .tasks import SOURCE, SUMMARY, source_task, summarise


def begin(sources: Sequence[str | Path], batch_size: int = 300) -> None:
    """Empty the tables and put the first tasks of an import into the queue, all in one transaction."""
    queue, paths = import_queue(), [str(Path(source).absolute()) for source in sources]
    queue.reset()
    metadata.create_all(service.engine)
    with Session(service.engine) as session, session.begin():
        for table in (demo_row, demo_bad_row, demo_file, demo_import):
            session.execute(delete(table))
        started = datetime.now(timezone.utc).replace(tzinfo=None)
        session.execute(insert(demo_import).values(sources=paths, started=started))
        queue.create_items((source_task(path, batch_size) for path in paths), weight=SOURCE, session=session)
        queue.create_item(Task(summarise, title="Write the summary"), weight=SUMMARY, session=session)


def unfinished() -> list[str] | None:
    """The sources of the import that was begun and not finished, or None."""
    if not import_queue().number_of_items():
        return None
    sources: list[str] | None = _stored(select(demo_import.c.sources))
    return sources


def finished_summary() -> dict[str, Any] | None:
    """The summary of the import, once its last task has run."""
    summary: dict[str, Any] | None = _stored(select(demo_import.c.summary))
    return summary


def rows_so_far() -> int:
    """How many rows are in the table."""
    return int(_stored(select(func.count()).select_from(demo_row)))


def _stored(query: Select[Any]) -> Any:
    metadata.create_all(service.engine)
    with Session(service.engine) as session:
        return session.scalar(query)
