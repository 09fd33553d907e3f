"""SQLite has one writer; many who want to be it wait for their turn and never hear "database is locked"."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from taskqueue import QueueService
from tests.storage.programs import in_processes, in_threads, write_often


@pytest.mark.parametrize("at_once", [in_threads, in_processes])
def test_given_a_file_when_many_write_at_once_then_nobody_is_refused_and_nothing_is_lost(
    service: QueueService, database_url: str, at_once: Callable[..., list[int]]
) -> None:
    queue = service.create("SqlParallel", "shared")

    finished = at_once(write_often, database_url)

    assert sum(finished) + queue.number_of_items() == 15 * len(finished)
    assert all(finished)
