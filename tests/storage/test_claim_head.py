"""A sequential claim asks several questions, and producers commit between them: nothing passes the head."""

from __future__ import annotations

from typing import Any

import pytest

from taskqueue import QueueService
from taskqueue.storage.transaction import Transaction
from tests.servers import SERVER_DATABASES


@pytest.mark.parametrize("database_url", SERVER_DATABASES, indirect=True)
@pytest.mark.parametrize("question", range(1, 7))
def test_given_a_delayed_head_that_is_committed_between_two_questions_when_claimed_then_nothing_behind_it_is_given(
    database_url: str, question: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, producer = QueueService(database_url), QueueService(database_url)
    queue, source = service.create("Sql", "ordered"), producer.create("Sql", "ordered", reset=False)
    assert queue.claim_item() is None  # all that is asked once has been asked
    asked, rows = 0, Transaction.rows

    def produce() -> None:
        with producer.database.engine.begin() as connection:
            source.create_item("head", delay=3600, session=connection)
            source.create_item("behind", session=connection)

    def watched(tx: Transaction, *given: Any, **values: Any) -> Any:
        nonlocal asked
        found = rows(tx, *given, **values)
        asked += 1
        if asked == question:
            monkeypatch.undo()
            produce()
            monkeypatch.setattr(Transaction, "rows", watched)
        return found

    monkeypatch.setattr(Transaction, "rows", watched)
    assert queue.claim_item() is None
    monkeypatch.undo()
    if asked < question:
        produce()
    assert queue.claim_item() is None
    assert [item.data for item in queue.items()] == ["head", "behind"]
    service.close()
    producer.close()
