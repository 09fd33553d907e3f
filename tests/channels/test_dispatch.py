"""Callbacks are called while something waits, one call of a subscription at a time."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from taskqueue import SpecError, travel
from taskqueue.channels import Channels, Subscription, Window
from tests.channels.conftest import NOON, at, got, rows, send, waits

TIMEOUT = 20


def callbacks(channels: Channels) -> list[str | None]:
    return [one.callback for one in channels.wake_ups()]


def test_wake_ups_are_the_callbacks_of_those_for_whom_something_waits(channels: Channels) -> None:
    channels.subscribe("orders", consumer="billing", callback="one")
    channels.subscribe("orders", consumer="billing", callback="two")
    channels.subscribe("orders", consumer="stock", callback="one")
    channels.subscribe("orders", consumer="stock")  # wants to be called by nobody
    channels.subscribe("orders", consumer="idle", callback="one", producer="another")
    assert channels.wake_ups() == []

    assert channels.publish("orders", 1, producer="shop") == 2
    assert channels.wake_ups() == [
        Subscription("orders", "billing", None, "one"), Subscription("orders", "billing", None, "two"),
        Subscription("orders", "stock", None, "one"),
    ]  # fmt: skip
    channels.unsubscribe("orders", consumer="billing", callback="two")
    assert callbacks(channels) == ["one", "one"]
    channels.unsubscribe("orders", consumer="stock", callback="one")
    assert callbacks(channels) == ["one"]
    assert got(channels) == [1]
    assert callbacks(channels) == []


def test_only_what_may_be_had_now_wakes_anybody(channels: Channels) -> None:
    channels.subscribe("orders", consumer="billing", callback="call")
    channels.subscribe("orders", consumer="billing", callback="of-web", producer="web")
    with at(NOON):
        send(channels, delay=60, expires=60)
        assert callbacks(channels) == []
    with at(NOON.replace(minute=1, second=30)):
        assert callbacks(channels) == ["call"]
    with at(NOON.replace(minute=3)):
        assert callbacks(channels) == []
        send(channels, producer="web", window=Window("13:00", "14:00"))
        assert callbacks(channels) == []
    with at(NOON.replace(hour=13, minute=30)):
        assert callbacks(channels) == ["call", "of-web"]


def test_dispatch_calls_what_was_registered(channels: Channels) -> None:
    called: list[object] = []

    @channels.callback("one")
    def one(subscription: Subscription) -> None:
        called.append(subscription)
        called.extend(got(channels))

    channels.subscribe("orders", consumer="billing", callback="one")
    assert channels.dispatch() == 0
    send(channels, "x")
    send(channels, "y")

    assert channels.dispatch() == 1
    assert called == [Subscription("orders", "billing", None, "one"), "x", "y"]
    assert channels.dispatch() == 0
    assert rows(channels.queue_service) == 0


def test_a_callback_that_takes_nothing_is_called_again(channels: Channels) -> None:
    called: list[object] = []
    channels.callback("one")(called.append)
    channels.subscribe("orders", consumer="billing", callback="one")
    send(channels)

    assert [channels.dispatch(), channels.dispatch()] == [1, 1]
    assert len(called) == 2


@pytest.mark.parametrize("error", [ValueError("boom"), SystemExit(3), GeneratorExit()], ids=repr)
def test_an_error_is_logged_and_stops_nobody(
    channels: Channels, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    called: list[object] = []

    @channels.callback("bad")
    def bad(_subscription: Subscription) -> None:
        raise error

    channels.callback("good")(called.append)
    channels.subscribe("orders", consumer="billing", callback="bad")
    channels.subscribe("orders", consumer="billing", callback="good")
    send(channels)

    assert channels.dispatch() == 2
    assert len(called) == 1
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.getMessage() == "callback bad failed, which channel orders has called for consumer billing"
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    assert channels.dispatch() == 2  # whoever has failed is called again


def test_ctrl_c_ends_it_and_the_turn_is_free_again(channels: Channels) -> None:
    calls = []

    @channels.callback("one")
    def one(_subscription: Subscription) -> None:
        calls.append(1)
        raise KeyboardInterrupt

    channels.subscribe("orders", consumer="billing", callback="one")
    send(channels)

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            channels.dispatch()
    assert len(calls) == 2


def test_one_that_is_not_registered_here_is_left_to_others(
    channels: Channels, others: Channels, caplog: pytest.LogCaptureFixture
) -> None:
    called: list[object] = []
    channels.callback("call")(called.append)
    channels.subscribe("orders", consumer="billing", callback="call")
    send(channels)

    assert ([one.callback for one in others.unregistered()], channels.unregistered()) == (["call"], [])
    assert [others.dispatch(), others.dispatch(), channels.dispatch()] == [0, 0, 1]
    assert [record.getMessage() for record in caplog.records] == [
        "callback call is not registered in this process, and messages on channel orders wait for consumer billing"
    ]


def test_a_subscription_is_never_called_by_two_at_once(channels: Channels, others: Channels) -> None:
    inside, go_on = Event(), Event()
    calls: list[str] = []

    @channels.callback("slow")
    def slow(_subscription: Subscription) -> None:
        calls.append("here")
        inside.set()
        assert go_on.wait(TIMEOUT)
        got(channels)

    @others.callback("slow")
    def slow_there(_subscription: Subscription) -> None:
        calls.append("there")

    channels.subscribe("orders", consumer="billing", callback="slow")
    send(channels)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(channels.dispatch)
        assert inside.wait(TIMEOUT)
        try:
            assert others.wake_ups() != []
            assert others.dispatch() == 0
            assert channels.dispatch() == 0
        finally:
            go_on.set()
        assert first.result(TIMEOUT) == 1
    assert calls == ["here"]
    send(channels)
    assert others.dispatch() == 1


def test_others_are_called_meanwhile(channels: Channels, others: Channels) -> None:
    inside, go_on = Event(), Event()

    @channels.callback("slow")
    def slow(_subscription: Subscription) -> None:
        inside.set()
        assert go_on.wait(TIMEOUT)

    others.callback("quick")(lambda _subscription: got(others))
    channels.subscribe("orders", consumer="billing", callback="slow")
    channels.subscribe("orders", consumer="billing", callback="quick")
    send(channels)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(channels.dispatch)
        assert inside.wait(TIMEOUT)
        try:
            assert others.dispatch() == 1
        finally:
            go_on.set()
        assert first.result(TIMEOUT) == 1


def test_what_was_taken_meanwhile_calls_nobody(channels: Channels, others: Channels) -> None:
    called: list[object] = []
    channels.callback("call")(called.append)
    channels.subscribe("orders", consumer="billing", callback="call")
    send(channels)
    waiting = channels.wake_ups()
    assert got(others) == [None]

    assert channels._dispatcher.dispatch(waiting) == 0
    assert called == []
    assert rows(channels.queue_service) == 0


def test_the_turn_of_one_that_was_lost_is_free_some_seconds_later(channels: Channels, others: Channels) -> None:
    called: list[object] = []

    @channels.callback("call")
    def call(_subscription: Subscription) -> None:
        with travel(31):  # whoever calls it is taken for lost
            assert others.dispatch() == 1

    others.callback("call")(called.append)
    channels.subscribe("orders", consumer="billing", callback="call")
    send(channels)

    assert channels.dispatch() == 1
    assert len(called) == 1
    assert waits(channels)


def test_mistakes_are_told(channels: Channels) -> None:
    channels.callback("one")(print)
    channels.callback("one")(print)

    async def later(_subscription: Subscription) -> None: ...

    with pytest.raises(SpecError, match="there is a callback 'one' already"):
        channels.callback("one")(got)
    with pytest.raises(SpecError, match="callback 'two' must be an ordinary function to call, not <function"):
        channels.callback("two")(later)
    with pytest.raises(SpecError, match="callback 'two' must be an ordinary function to call, not 5"):
        channels.callback("two")(5)  # type: ignore[type-var]
    with pytest.raises(SpecError, match="cannot name a callback"):
        channels.callback("a b")
