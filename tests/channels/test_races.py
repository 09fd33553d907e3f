"""Many consumers at once: each message has exactly one."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from taskqueue import LeaseLost, QueueService, travel
from taskqueue.channels import Channels, Message
from taskqueue.channels.queue import ChannelQueue
from tests.channels import consumers as jobs
from tests.channels.conftest import get, got, rows, send, waits

THREADS = 8


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    """As many processes as ``jobs.PROCESSES``, started anew and not forked."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(jobs.PROCESSES)
    with ProcessPoolExecutor(jobs.PROCESSES, context, jobs.keep_barrier, (barrier,)) as pool:
        yield pool


@pytest.fixture
def crowd(make_service: Callable[..., QueueService]) -> list[Channels]:
    """The channels as so many processes see them."""
    return [Channels(make_service()) for _ in range(THREADS)]


def at_once(crowd: list[Channels], work: Callable[[Channels], Any]) -> list[Any]:
    """Call ``work`` for each of them in a thread of its own, all from the same moment on."""
    barrier = Barrier(len(crowd))

    def start(channels: Channels) -> Any:
        barrier.wait(20)
        return work(channels)

    with ThreadPoolExecutor(len(crowd)) as pool:
        return list(pool.map(start, crowd))


def test_one_of_many_gets_a_message(crowd: list[Channels]) -> None:
    for number in range(5):
        send(crowd[0], number)

        found = [message for message in at_once(crowd, get) if message is not None]

        assert [message.data for message in found] == [number]
        assert rows(crowd[0].queue_service) == 0


def test_as_many_as_there_are_messages_get_one_each(crowd: list[Channels]) -> None:
    for _ in range(3):
        for number in range(THREADS):
            send(crowd[0], number)

        found = at_once(crowd, get)

        assert sorted(message.data for message in found) == list(range(THREADS))


@pytest.mark.parametrize("way", ["get", "receive"])
def test_processes_share_the_messages_among_them(
    channels: Channels, url: str, processes: ProcessPoolExecutor, way: str
) -> None:
    for number in range(60):
        send(channels, number)

    found = jobs.in_each(processes, jobs.get_all, url, way)

    assert sorted(number for part in found for number in part) == list(range(60))
    assert all(part == sorted(part) for part in found)
    assert rows(channels.queue_service) == 0


@pytest.mark.parametrize("rival", ["get", "reject", "expire", "receive"])
def test_two_who_have_seen_the_same_message(
    channels: Channels, others: Channels, monkeypatch: pytest.MonkeyPatch, rival: str
) -> None:
    """The one that is about to lease it is stopped just before that, until the other one is done with it."""
    send(channels, "x", expires=5 if rival == "expire" else None)
    lease_first = ChannelQueue.lease_first

    def late(queue: ChannelQueue, *args: Any) -> Any:
        monkeypatch.undo()
        rivals[rival]()
        return lease_first(queue, *args)

    def reject() -> None:
        seen = others.peek("orders", consumer="billing")
        assert seen is not None
        others.reject(seen, "bad")

    def receive_and_give_back() -> None:
        with pytest.raises(KeyError), others.receive("orders", consumer="billing"):
            raise KeyError

    rivals: dict[str, Callable[[], Any]] = {
        "get": lambda: got(others), "reject": reject, "receive": receive_and_give_back,
        "expire": lambda: _expire_later(others),
    }  # fmt: skip
    monkeypatch.setattr(ChannelQueue, "lease_first", late)

    assert get(channels) is None  # whoever looks again finds what was given back
    assert got(channels) == (["x"] if rival == "receive" else [])


def _expire_later(channels: Channels) -> None:
    with travel(6):
        assert channels.expire() == 1


def test_a_message_is_rejected_or_taken_but_never_both(crowd: list[Channels]) -> None:
    for number in range(6):
        send(crowd[0], number)
        seen = crowd[0].peek("orders", consumer="billing")
        assert seen is not None

        outcomes = at_once(crowd[:4], lambda channels, seen=seen: _reject_or_get(channels, crowd[0], seen))

        assert Counter(outcomes)["won"] == 1
        assert waits(crowd[0], "invalid") is (outcomes[0] == "won")
        crowd[0].get("invalid", consumer="billing")


def _reject_or_get(channels: Channels, first: Channels, seen: Message) -> str:
    if channels is not first:
        return "won" if get(channels) is not None else "lost"
    try:
        channels.reject(seen, "bad")
        return "won"
    except LeaseLost:
        return "lost"


def test_what_expires_is_moved_once(channels: Channels, url: str, processes: ProcessPoolExecutor) -> None:
    for number in range(50):
        send(channels, number, expires=5)

    assert sum(jobs.in_each(processes, jobs.expire_all, url, 6)) == 50

    found = iter(lambda: channels.get("invalid", consumer="billing"), None)
    assert sorted(message.data for message in found) == list(range(50))
    assert rows(channels.queue_service) == 0


def test_what_expires_is_moved_or_taken(crowd: list[Channels]) -> None:
    """Half of them take, the others let expire; every message ends in one place."""
    for number in range(30):
        send(crowd[0], number, expires=5)

    def work(channels: Channels) -> Any:
        return got(channels) if crowd.index(channels) % 2 else channels.expire()

    with travel(4.99):  # for some of them it is early, for others late
        found = at_once(crowd, work)
    with travel(6):
        late = crowd[0].expire()
    taken = [number for part in found if isinstance(part, list) for number in part]
    moved = sum(part for part in found if isinstance(part, int)) + late
    assert len(taken) == len(set(taken))
    assert len(taken) + moved == 30
    assert rows(crowd[0].queue_service) == moved


def test_one_subscription_is_called_by_one_process_at_a_time(
    channels: Channels, url: str, processes: ProcessPoolExecutor, tmp_path: Path
) -> None:
    channels.subscribe("orders", consumer="billing", callback="alone")
    for number in range(20):
        send(channels, number)

    made = jobs.in_each(processes, jobs.dispatch, url, str(tmp_path))

    assert sum(made) == 20
    assert (tmp_path / "calls").read_text().split() == [str(number) for number in range(20)]
    assert rows(channels.queue_service) == 0


def test_many_send_the_first_message_at_once(url: str, channels: Channels, processes: ProcessPoolExecutor) -> None:
    channels.subscribe("news", consumer="a")
    channels.subscribe("news", consumer="b")

    assert jobs.in_each(processes, jobs.publish, url, "x") == [2] * jobs.PROCESSES

    for consumer in ("a", "b"):
        found = iter(lambda consumer=consumer: channels.get("news", consumer=consumer), None)  # type: ignore[misc]
        assert [message.data for message in found] == ["x"] * jobs.PROCESSES


def test_many_subscribe_at_once(crowd: list[Channels]) -> None:
    at_once(crowd, lambda channels: channels.subscribe("news", consumer="a", callback="one"))

    assert len(crowd[0].subscriptions()) == 1
