"""``cancel``, and the keys of ``add``."""

from __future__ import annotations

import json

import pytest

from taskqueue import BatchQueue
from tests.cli.conftest import JOBS, Here, refused

OK = f"{JOBS}:ok"


def test_cancel_removes_what_waits_and_stops_what_is_held(here: Here, queue: BatchQueue) -> None:
    # given
    held, waiting = queue.enqueue(OK), queue.enqueue(OK)
    assert queue.claim_item() is not None
    # when
    result = here("cancel", "q", str(held.id), str(waiting.id))
    # then
    assert (result.exit_code, result.stdout) == (
        0,
        f"Item {held.id} is being executed: its task is asked to stop.\nCancelled item {waiting.id}.\n",
    )
    assert [item.is_cancelled for item in queue.items()] == [True]
    assert queue.outcome_of(waiting.id) == "cancelled"


def test_cancel_tells_a_program_what_became_of_each(here: Here, queue: BatchQueue) -> None:
    # given
    held, waiting = queue.enqueue(OK), queue.enqueue(OK)
    assert queue.claim_item() is not None
    # when
    result = here("cancel", "q", str(waiting.id), str(held.id), str(waiting.id), "--json")
    # then
    assert json.loads(result.stdout) == {
        "queue": "q", "cancelled": [waiting.id], "stopping": [held.id], "ended": [],
    }  # fmt: skip


def test_an_item_that_ends_meanwhile_is_no_error(
    here: Here, queue: BatchQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    item = queue.enqueue(OK)
    looked_up = [item]
    monkeypatch.setattr(type(queue), "fetch_items", lambda queue, ids: looked_up)
    held = queue.claim_item()
    assert held is not None
    queue.delete_item(held)
    # when
    result = here("cancel", "q", str(item.id))
    # then
    assert (result.exit_code, result.stdout) == (0, f"Item {item.id} ended by itself.\n")


def test_cancel_changes_nothing_when_one_is_unknown(here: Here, queue: BatchQueue) -> None:
    # given
    item = queue.enqueue(OK)
    # when
    result = here("cancel", "q", str(item.id), "998", "999")
    # then
    assert refused(result) == "Error: queue 'q' has no item with the id 998, 999; nothing was changed"
    assert queue.number_of_items() == 1


@pytest.mark.parametrize("ids", [(), ("x",)])
def test_cancel_wants_ids(here: Here, queue: BatchQueue, ids: tuple[str, ...]) -> None:
    # when
    result = here("cancel", "q", *ids)
    # then
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr


def test_add_adds_nothing_while_the_key_is_taken(here: Here, queue: BatchQueue) -> None:
    # when
    results = [here("add", "q", OK, "--title", title, "--dedup-key", "k") for title in ("first", "second")]
    # then
    (item,) = queue.items()
    assert {result.stdout for result in results} == {f"Item {item.id} 'first' stands in queue 'q' with this key.\n"}


def test_add_may_take_a_key_until_its_item_is_started(here: Here, queue: BatchQueue) -> None:
    # given
    add = ("add", "q", OK, "--dedup-key", "k", "--unique-until", "started")
    here(*add)
    assert queue.claim_item() is not None
    # when
    here(*add)
    here(*add)
    # then
    assert queue.number_of_items() == 2


def test_add_refuses_a_promise_without_a_key(here: Here, queue: BatchQueue) -> None:
    # when
    result = here("add", "q", OK, "--unique-until", "started")
    # then
    assert "give dedup_key as well" in refused(result)
