"""The very moment at which a lease or a delay ends, with the clock standing still at it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from taskqueue import BatchQueue, LeaseLost, QueueItem, QueueService, clock
from tests.contract.backends import Backend

SetClock = Callable[[int], None]
#: When the item is claimed (ms since 1970), and for how long.
BEGAN, LEASE = 1_900_000_000_000, 10


@pytest.fixture
def set_clock(backend: Backend, service: QueueService, monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Stops the clock that the backend goes by at a moment."""

    def stop_at(moment: int) -> None:
        monkeypatch.setattr(clock, "now_ms", lambda: moment)
        if backend.is_sql:
            dialect = service.database.dialect
            monkeypatch.setattr(dialect, "now", str(moment))
            monkeypatch.setattr(dialect, "rendered", dialect._render)

    return stop_at


@pytest.fixture
def held(queue: BatchQueue, set_clock: SetClock) -> QueueItem:
    """An item that was leased at that moment."""
    set_clock(BEGAN)
    queue.create_item("x")
    item = queue.claim_item(LEASE)
    assert item is not None
    return item


def test_a_millisecond_before_its_end_a_lease_is_valid(queue: BatchQueue, held: QueueItem, set_clock: SetClock) -> None:
    set_clock(BEGAN + LEASE * 1000 - 1)
    assert queue.claim_item() is None
    queue.extend_lease(held)


def test_at_its_end_a_lease_is_no_longer_prolonged(queue: BatchQueue, held: QueueItem, set_clock: SetClock) -> None:
    set_clock(BEGAN + LEASE * 1000)
    with pytest.raises(LeaseLost):
        queue.extend_lease(held)


def test_at_the_end_of_a_lease_others_get_the_item(queue: BatchQueue, held: QueueItem, set_clock: SetClock) -> None:
    set_clock(BEGAN + LEASE * 1000)
    heir = queue.claim_item()
    assert heir is not None and (heir.id, heir.fence > held.fence) == (held.id, True)


def test_at_the_end_of_a_delay_an_item_is_claimed(queue: BatchQueue, set_clock: SetClock) -> None:
    set_clock(BEGAN)
    queue.create_item("x", delay=5)
    set_clock(BEGAN + 4_999)
    assert queue.claim_item() is None
    set_clock(BEGAN + 5_000)
    assert queue.claim_item() is not None
