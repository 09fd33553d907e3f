"""Two who do something on different nodes of a cluster, each of which sees its own locks alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from taskqueue import BatchQueue
from tests.faults.history import DEADLINE, wait_until
from tests.storage.tapped import tap

First, Second = TypeVar("First"), TypeVar("Second")


def across(
    first: Callable[[], First], second: Callable[[], Second], monkeypatch: pytest.MonkeyPatch
) -> tuple[First, Second]:
    """What both return, where ``first()`` waits before its first commit until ``second()`` is through."""
    is_at_commit, may_commit = threading.Event(), threading.Event()
    held_back: list[int] = []

    def hold_back(sql: str, commits: bool, send: Callable[[], Any]) -> Any:
        if sql == "COMMIT" and held_back == [threading.get_ident()] and not is_at_commit.is_set():
            is_at_commit.set()
            may_commit.wait(DEADLINE)
        return send()

    def begin() -> First:
        held_back.append(threading.get_ident())
        return first()

    with monkeypatch.context() as patched, ThreadPoolExecutor(1) as pool:
        tap(patched, hold_back)
        begun = pool.submit(begin)
        try:
            wait_until(lambda: is_at_commit.is_set() or begun.done(), "the first one is at its commit")
            assert is_at_commit.is_set(), f"it had no transaction: {begun.result()!r}"
            then = second()
        finally:
            may_commit.set()
        return begun.result(), then


def claims_across(here: BatchQueue, there: BatchQueue, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """What one node claims of its own new head, while the claim of another one waits at its commit; and that one."""
    here.create_item("late", weight=2)
    there.create_item("first", weight=0)
    first = there.claim_item()  # so that nothing is written for the first time below
    assert first is not None
    there.delete_item(first)

    def add_and_claim() -> Any:
        there.create_item("early", weight=1)
        return there.claim_item()

    one, other = across(here.claim_item, add_and_claim, monkeypatch)
    return other, one
