"""What other processes do in these tests; all of a race begin at once, from a barrier."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

from taskqueue import QueueService, travel
from taskqueue.channels import Channels, Subscription
from taskqueue.channels.queue import ChannelQueue
from taskqueue.storage.items import Items

PROCESSES = 4
TIMEOUT = 60
_barriers: list[Barrier] = []


def keep_barrier(barrier: Barrier) -> None:
    """Called once in each process."""
    _barriers.append(barrier)


def in_each(pool: ProcessPoolExecutor, job: Any, *args: Any) -> list[Any]:
    """Run ``job`` in all processes at the same time; their answers."""
    futures = [pool.submit(job, *args) for _ in range(PROCESSES)]
    return [future.result(TIMEOUT) for future in futures]


def get_all(url: str, way: str) -> list[Any]:
    """Take messages until there are none; what was got."""
    service = QueueService(url)
    channels, found = Channels(service), []
    _barriers[0].wait(TIMEOUT)
    while True:
        if way == "get":
            message = channels.get("orders", consumer="billing")
        else:
            with channels.receive("orders", consumer="billing") as message:
                pass
        if message is None:
            service.close()
            return found
        found.append(message.data)


def expire_all(url: str, seconds: float) -> int:
    """Put what has expired by then on the invalid channel."""
    service = QueueService(url)
    _barriers[0].wait(TIMEOUT)
    with travel(seconds):
        found = Channels(service).expire()
    service.close()
    return found


def dispatch(url: str, folder: str) -> int:
    """Call those who wait; the callback is there to be seen, and fails if anybody else is in it."""
    service = QueueService(url)
    channels = Channels(service)

    @channels.callback("alone")
    def alone(subscription: Subscription) -> None:
        (Path(folder) / "inside").mkdir()
        message = channels.get(subscription.channel, consumer=subscription.consumer)
        assert message is not None
        with (Path(folder) / "calls").open("a", encoding="utf-8") as file:
            file.write(f"{message.data}\n")
        (Path(folder) / "inside").rmdir()

    _barriers[0].wait(TIMEOUT)
    made = 0
    while channels.wake_ups():
        made += channels.dispatch()
    service.close()
    return made


def publish(url: str, data: Any) -> int:
    """Publish something."""
    service = QueueService(url)
    _barriers[0].wait(TIMEOUT)
    found = Channels(service).publish("news", data, producer="shop")
    service.close()
    return found


# --- killed ---


def kill_in_hand(url: str, seconds: float = 0) -> None:
    """Be killed with a message in hand."""
    with travel(seconds), Channels(QueueService(url)).receive("orders", consumer="billing") as message:
        assert message is not None
        _die()


def kill_in_get(url: str) -> None:
    """Be killed between the lease of a message and its end."""
    _die_before(ChannelQueue, "delete_item")
    Channels(QueueService(url)).get("orders", consumer="billing")


def kill_in_reject(url: str) -> None:
    """Be killed when a message was removed, and before it is put on the invalid channel."""
    channels = Channels(QueueService(url))
    with channels.receive("orders", consumer="billing") as message:
        assert message is not None
        _die_before(ChannelQueue, "insert_within")
        channels.reject(message, "bad")


def kill_in_expire(url: str, seconds: float) -> None:
    """The same while messages expire, after one of them was moved."""
    insert, calls = ChannelQueue.insert_within, []

    def insert_or_die(*args: Any) -> Any:
        calls.append(1)
        return insert(*args) if len(calls) == 1 else _die()

    ChannelQueue.insert_within = insert_or_die  # type: ignore[method-assign]
    with travel(seconds):
        Channels(QueueService(url)).expire()


def kill_in_publish(url: str) -> None:
    """Be killed after the first copy."""
    insert, calls = Items.insert, []

    def insert_or_die(*args: Any, **options: Any) -> Any:
        calls.append(1)
        return insert(*args, **options) if len(calls) == 1 else _die()

    Items.insert = insert_or_die  # type: ignore[method-assign]
    Channels(QueueService(url)).publish("news", 1, producer="shop")


def kill_in_callback(url: str) -> None:
    """Be killed in a callback."""
    channels = Channels(QueueService(url))
    channels.callback("call")(lambda _subscription: _die())
    channels.dispatch()


def kill_in_session(url: str) -> None:
    """Be killed with a message got, and another one sent, before the commit."""
    service = QueueService(url)
    channels = Channels(service)
    with service.engine.begin() as connection:
        channels.get("orders", consumer="billing", session=connection)
        channels.send("orders", "never", producer="shop", consumer="stock", session=connection)
        _die()


def _die_before(kind: type, name: str) -> None:
    setattr(kind, name, _die)


def _die(*_args: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)
