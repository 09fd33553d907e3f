"""A queued call writes the same row as ``create_item()``, although it reads nothing back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy.orm import Session

from taskqueue import QueueService
from taskqueue.outbox import Outbox, queued

DUE = datetime(2100, 2, 3, 4, 5, 6, tzinfo=timezone.utc)


class Partner:
    def tell(self, what: str) -> None:
        """Told by nobody here."""


@pytest.mark.parametrize(
    "placed",
    [{}, {"weight": -3}, {"delay": 3600}, {"release_time": DUE}, {"order_key": "a"}, {"delay": 60, "order_key": "b"}],
    ids=str,
)
def test_given_a_place_in_the_queue_when_recorded_then_the_row_is_that_of_create_item(
    service: QueueService, make_outbox: Callable[..., Outbox], session: Session, placed: dict[str, Any]
) -> None:
    outbox = make_outbox()
    partner = outbox.register("partner", Partner())
    outbox.prepare()
    queue = service.load("outbox")

    ref = queued(partner, session, **placed).tell("news")
    session.commit()
    item = queue.fetch_item(ref.item_id)
    assert item is not None
    other = queue.create_item(item.data, session=session, **placed)
    session.commit()
    twin = queue.fetch_item(other.id)
    assert twin is not None

    assert (item.uid, ref.state, ref.item_id < twin.id) == (ref.id, "waiting", True)
    assert timedelta(0) <= twin.submit_time - item.submit_time < timedelta(seconds=60)
    if "delay" in placed:
        assert item.release_time is not None
        # PostgreSQL looks at its clock twice.
        more = item.release_time - item.submit_time - timedelta(seconds=placed["delay"])
        assert timedelta(0) <= more < timedelta(seconds=60)
    if "release_time" in placed:
        assert item.release_time == DUE
    same = {"id": 0, "uid": "", "submit_time": None, "release_time": None}
    assert replace(item, **same) == replace(twin, **same)
    assert item.data == twin.data
