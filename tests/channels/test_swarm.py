"""All at once: senders, consumers of every kind, rejections and expiries; each message ends in one place."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock

import pytest
from sqlalchemy.orm import Session

from taskqueue import QueueService, travel
from taskqueue.channels import Channels
from tests.channels.conftest import got, rows, send

SENDERS, EACH = 2, 60


class Swarm:
    """What happened to each message: where it was found, by its number."""

    def __init__(self, make: Callable[[], Channels]) -> None:
        self._make = make
        self._lock = Lock()
        self.all_sent = Event()
        self.found: list[object] = []

    def keep(self, number: object) -> None:
        with self._lock:
            self.found.append(number)

    def send(self, first: int) -> None:
        channels, dice = self._make(), random.Random(first)
        for number in range(first, first + EACH):
            options = {"expires": dice.choice([None, 0.05, 60]), "sequence": dice.randrange(3)}
            if dice.random() < 0.3:
                with Session(channels.queue_service.engine) as session, session.begin():
                    send(channels, number, session=session, **options)
            else:
                send(channels, number, producer=dice.choice(["shop", "web"]), **options)

    def consume(self, way: str) -> None:
        channels, dice = self._make(), random.Random(way)
        while True:
            is_last = self.all_sent.is_set()
            if not getattr(self, f"_by_{way}")(channels, dice) and is_last:
                return

    def _by_get(self, channels: Channels, dice: random.Random) -> bool:
        message = channels.get("orders", consumer="billing", producer=dice.choice([None, None, "web"]))
        if message is not None:
            self.keep(message.data)
        return message is not None

    def _by_receive(self, channels: Channels, dice: random.Random) -> bool:
        try:
            with channels.receive("orders", consumer="billing") as message:
                if dice.random() < 0.3:
                    raise KeyError
        except KeyError:
            return True
        if message is not None:
            self.keep(message.data)
        return message is not None

    def _by_session(self, channels: Channels, dice: random.Random) -> bool:
        with Session(channels.queue_service.engine) as session:
            message = channels.get("orders", consumer="billing", session=session)
            if dice.random() < 0.3:
                session.rollback()
                return True
            session.commit()
        if message is not None:
            self.keep(message.data)
        return message is not None

    def _by_rejection(self, channels: Channels, dice: random.Random) -> bool:
        with channels.receive("orders", consumer="billing", user=dice.choice([None, "nobody"])) as message:
            if message is not None:
                channels.reject(message, "bad")
        return message is not None

    def _by_expiry(self, channels: Channels, dice: random.Random) -> bool:
        return channels.expire() > 0


@pytest.mark.slow
def test_each_message_ends_in_one_place(make_service: Callable[..., QueueService]) -> None:
    swarm = Swarm(lambda: Channels(make_service()))
    ways = ("get", "receive", "session", "rejection", "expiry")
    with ThreadPoolExecutor(SENDERS + len(ways)) as pool:
        consumers = [pool.submit(swarm.consume, way) for way in ways]
        senders = [pool.submit(swarm.send, number * EACH) for number in range(SENDERS)]
        try:
            for sender in senders:
                sender.result(120)
        finally:
            swarm.all_sent.set()
        for consumer in consumers:
            consumer.result(120)

    channels = Channels(make_service())
    with travel(120):
        channels.expire()
        swarm.found += got(channels)
    invalid = iter(lambda: channels.get("invalid", consumer="billing"), None)
    swarm.found += [message.data for message in invalid]
    assert Counter(swarm.found) == Counter(range(SENDERS * EACH))
    assert rows(channels.queue_service) == 0
