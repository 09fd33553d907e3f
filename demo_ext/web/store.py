"""The imports that were begun in a browser: finding, describing and removing them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from taskqueue import BatchQueue, QueueNotFound

from ..app import QUEUE, service
from ..start import forget
from ..tables import demo_bad_row, demo_file, demo_import, demo_row
from . import sources

#: So many imports are kept; further ones take the place of what is finished, or was left alone for a day.
MOST = 20
_FORSAKEN = timedelta(days=1)
#: So many rows and bad rows are shown at a time.
PAGE = 25


@dataclass(frozen=True)
class Import:
    """One import."""

    queue: str
    title: str
    page: str
    started: datetime
    finished: datetime | None

    @property
    def key(self) -> str:
        """How it is called in addresses."""
        return self.queue.removeprefix(f"{QUEUE}-")

    @property
    def took(self) -> str:
        """From its start to its end, for humans."""
        seconds = ((self.finished or self.started) - self.started).total_seconds()
        return f"{seconds:.0f} s" if seconds < 100 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


@dataclass(frozen=True)
class Result:
    """What an import has come to so far."""

    rows: int
    bad_rows: int
    #: Batches that were cut, and were not imported.
    missing: int
    encoding: str
    first_rows: list[Any]
    first_bad_rows: list[Any]


def queue_name(key: str) -> str:
    """The queue of the import with that key."""
    return f"{QUEUE}-{key}"


def queue_of(one: Import) -> BatchQueue | None:
    """Its queue, or None when somebody has deleted that."""
    try:
        return service.load(one.queue)
    except QueueNotFound:
        return None


def find(key: str, owner: str) -> Import | None:
    """The import of that browser with that key."""
    return next(iter(_imports(demo_import.c.queue == queue_name(key), demo_import.c.owner == owner)), None)


def exists(key: str) -> bool:
    """Whether any browser has an import with that key."""
    return bool(_imports(demo_import.c.queue == queue_name(key)))


def of_browser(owner: str) -> list[Import]:
    """The imports of a browser, newest first."""
    return _imports(demo_import.c.owner == owner)[::-1] if owner else []


def put_page(key: str, page: str) -> None:
    """Remember where the progress page of an import is."""
    with Session(service.engine) as session, session.begin():
        session.execute(update(demo_import).where(demo_import.c.queue == queue_name(key)).values(page=page))


def result_of(one: Import, after: int = 0) -> Result:
    """Counts, and a page of rows behind the line ``after``."""
    files, bad = demo_file.c.queue == one.queue, demo_bad_row.c.queue == one.queue
    rows = select(demo_row).join(demo_file).where(files, demo_row.c.line > after).order_by(demo_row.c.line)
    bad_rows = select(demo_bad_row.c.line, demo_bad_row.c.reason).where(bad).order_by(demo_bad_row.c.line)
    counts = select(func.sum(demo_file.c.batches - demo_file.c.imported), func.max(demo_file.c.encoding)).where(files)
    with Session(service.engine) as session:
        missing, encoding = session.execute(counts).one()
        return Result(
            rows=session.scalar(select(func.count()).select_from(demo_row).join(demo_file).where(files)) or 0,
            bad_rows=session.scalar(select(func.count()).select_from(demo_bad_row).where(bad)) or 0,
            missing=int(missing or 0),
            encoding=encoding or "",
            first_rows=list(session.execute(rows.limit(PAGE))),
            first_bad_rows=list(session.execute(bad_rows.limit(PAGE))),
        )


def make_room() -> bool:
    """Remove old imports until there is room for another one; whether there is."""
    standing = _imports(demo_import.c.owner != "")
    forsaken = datetime.now(timezone.utc).replace(tzinfo=None) - _FORSAKEN
    for one in [one for one in standing if one.finished or one.started < forsaken]:
        if len(standing) < MOST:
            break
        remove(one)
        standing.remove(one)
    return len(standing) < MOST


def remove(one: Import) -> None:
    """Remove an import with all it has left behind; whoever still works on it changes nothing any more."""
    if queue_of(one) is not None:
        service.delete(one.queue)
    with Session(service.engine) as session, session.begin():
        forget(session, one.queue)
    sources.remove(one.queue)


def _imports(*conditions: Any) -> list[Import]:
    columns = (demo_import.c[name] for name in ("queue", "title", "page", "started", "finished"))
    with Session(service.engine) as session:
        found = session.execute(select(*columns).where(*conditions).order_by(demo_import.c.id))
        return [Import(*row) for row in found]
