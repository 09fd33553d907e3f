"""The room of a worker's threads: many at a time, or one alone."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from taskqueue.worker.room import Room

DEADLINE = 10.0


def come_in(pool: ThreadPoolExecutor, room: Room, *, alone: bool, leave: threading.Event) -> Future[None]:
    """Somebody who stays until told to leave; waits until they are about to come in."""
    coming = threading.Event()

    def stay() -> None:
        coming.set()
        with room.entered(alone=alone):
            inside.append(alone)
            assert leave.wait(DEADLINE)

    found = pool.submit(stay)
    assert coming.wait(DEADLINE)
    return found


inside: list[bool] = []


@pytest.fixture(autouse=True)
def nobody_inside() -> None:
    inside.clear()


def test_who_may_be_beside_others_does_not_wait() -> None:
    room = Room()
    with ExitStack() as stack:
        for _number in range(3):
            stack.enter_context(room.entered(alone=False, patience=0))


def test_who_has_to_be_alone_waits_for_the_others_and_they_for_him() -> None:
    room, first_leaves, second_leaves = Room(), threading.Event(), threading.Event()
    with ThreadPoolExecutor(3) as pool:
        first = come_in(pool, room, alone=False, leave=first_leaves)
        while not inside:
            pass
        second = come_in(pool, room, alone=True, leave=second_leaves)
        while not room._waiting:
            pass
        third = come_in(pool, room, alone=False, leave=first_leaves)
        assert inside == [False], "who came after the one that has to be alone waits for him"
        first_leaves.set()
        first.result(DEADLINE)
        while len(inside) < 2:
            pass
        assert inside == [False, True]
        second_leaves.set()
        second.result(DEADLINE)
        third.result(DEADLINE)
    assert inside == [False, True, False]


@pytest.mark.parametrize(("there", "comes"), [(False, True), (True, False), (True, True)])
def test_nobody_waits_for_ever(there: bool, comes: bool) -> None:
    room, ended = Room(), False
    with room.entered(alone=there), room.entered(alone=comes, patience=0.01):
        ended = True
    assert ended
