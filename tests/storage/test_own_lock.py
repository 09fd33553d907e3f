"""A thread whose session holds SQLite's write lock does not wait for itself."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from taskqueue import NotSupported, QueueService


def test_given_a_session_that_writes_when_its_thread_enqueues_without_it_then_that_is_refused_at_once(
    database_url: str,
) -> None:
    service = QueueService(database_url)
    queue = service.create("SqlParallel", "jobs")
    with Session(service.engine) as session:
        item = queue.create_item("with it", session=session)

        for attempt in (lambda: queue.create_item("without it"), lambda: queue.cancel_item(item.id)):
            with pytest.raises(NotSupported, match="a session of this thread is it: pass session="):
                attempt()

        session.commit()
        queue.create_item("afterwards")
    assert [found.data for found in queue.items()] == ["with it", "afterwards"]
    service.close()
