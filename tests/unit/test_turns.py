"""What a rival of the same order key waits for."""

from __future__ import annotations

import pytest

from taskqueue.storage.schema import DELAYED, READY, WAITS_ITS_TURN
from taskqueue.storage.turns import Rival


@pytest.mark.parametrize(
    ("state", "holder", "waits"),
    [
        (DELAYED, WAITS_ITS_TURN, True),
        (DELAYED, WAITS_ITS_TURN.ljust(32), True),  # as some servers give what has a fixed length
        (DELAYED, "", False),
        (READY, WAITS_ITS_TURN, False),
    ],
)
def test_only_what_is_hidden_behind_another_one_waits_its_turn(state: int, holder: str, waits: bool) -> None:
    assert Rival(weight=0, id=1, state=state, wait=0, holder=holder).waits_its_turn is waits
