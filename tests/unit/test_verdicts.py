"""What may be said to a verdict."""

from __future__ import annotations

import pickle
from datetime import timedelta
from typing import Any

import pytest

from taskqueue import Later, Retry, SpecError, Unrecoverable


@pytest.mark.parametrize("kind", [Retry, Later])
@pytest.mark.parametrize("after", ["soon", -1, True, float("nan"), float("inf"), [1]])
def test_a_time_that_is_none_is_refused(kind: type[Retry | Later], after: Any) -> None:
    with pytest.raises(SpecError, match="seconds"):
        kind(after)


@pytest.mark.parametrize("kind", [Retry, Later])
@pytest.mark.parametrize("after", [600, timedelta(minutes=10), "10m"])
def test_a_time_may_be_written_in_either_way(kind: type[Retry | Later], after: Any) -> None:
    assert kind(after).after == 600


def test_later_at_once_is_refused() -> None:
    with pytest.raises(SpecError, match="for ever"):
        Later(0)


@pytest.mark.parametrize(
    "verdict", [Retry(5, "why"), Retry(), Later(timedelta(minutes=1)), Unrecoverable("why")], ids=str
)
def test_verdicts_can_travel_between_processes(verdict: Any) -> None:
    there = pickle.loads(pickle.dumps(verdict))  # noqa: S301

    assert (type(there), str(there), vars(there)) == (type(verdict), str(verdict), vars(verdict))
