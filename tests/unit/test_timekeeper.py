"""Delayed starts: most of them are called off."""

from __future__ import annotations

import multiprocessing
import threading

import pytest

from taskqueue.execution.timekeeper import Timekeeper, timekeeper

_LONG = 30.0


@pytest.fixture
def keeper() -> Timekeeper:
    return Timekeeper()


def test_what_is_wished_for_is_started_and_what_is_called_off_is_not(keeper: Timekeeper) -> None:
    started: list[str] = []
    last = threading.Event()
    unwanted = keeper.after(0.02, lambda: started.append("unwanted"))
    keeper.after(0.01, lambda: started.append("first"))
    keeper.after(0.03, last.set)
    keeper.call_off(unwanted)

    assert last.wait(_LONG)
    assert started == ["first"]


def test_given_a_far_wish_when_a_nearer_one_comes_then_it_does_not_wait_behind_it(keeper: Timekeeper) -> None:
    far = keeper.after(1000, lambda: None)
    asleep = threading.Event()
    keeper.after(0.0, asleep.set)
    assert asleep.wait(_LONG)
    near = threading.Event()

    keeper.after(0.01, near.set)

    assert near.wait(_LONG)
    keeper.call_off(far)


def test_given_a_wish_that_comes_while_another_is_started_then_it_is_not_overlooked(keeper: Timekeeper) -> None:
    second = threading.Event()

    keeper.after(0.0, lambda: keeper.after(0.0, second.set))

    assert second.wait(_LONG)


def _wish_in_child(answer: multiprocessing.Queue[bool]) -> None:
    started = threading.Event()
    timekeeper.after(0.0, started.set)
    answer.put(started.wait(_LONG))


def test_given_a_thread_in_the_parent_when_it_forks_then_the_child_has_one_of_its_own() -> None:
    begun = threading.Event()
    timekeeper.after(0.0, begun.set)
    assert begun.wait(_LONG)
    context = multiprocessing.get_context("fork")
    answer: multiprocessing.Queue[bool] = context.Queue()

    child = context.Process(target=_wish_in_child, args=(answer,))
    child.start()

    assert answer.get(timeout=_LONG)
    child.join()


def test_given_a_thread_that_cannot_be_had_when_the_next_one_can_then_wishes_are_started(
    keeper: Timekeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", none_left)
        with pytest.raises(RuntimeError):
            keeper.after(0.0, lambda: None)
    started = threading.Event()

    keeper.after(0.0, started.set)

    assert started.wait(_LONG)


def test_given_a_start_that_fails_then_the_others_are_started(keeper: Timekeeper) -> None:
    started = threading.Event()

    keeper.after(0.0, lambda: 1 / 0)
    keeper.after(0.01, started.set)

    assert started.wait(_LONG)
