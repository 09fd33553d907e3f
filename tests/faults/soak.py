"""The course of a soak: queues that producers keep full, workers and producers that are killed, workers that are put to
sleep, a server that is killed, again and again, and what is left in the end."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, cycle

from sqlalchemy import text

from taskqueue.storage.schema import LEASED
from tests.faults import tasks
from tests.faults.child import LEASE
from tests.faults.history import mono
from tests.faults.in_hand import InHand
from tests.faults.stage import Child, Stage
from tests.faults.supplies import PARALLEL, QUEUES, SEQUENTIAL, is_long
from tests.servers import Server

WORKERS = 4
#: For how long a worker stands still: beyond its lease; in the middle of a long task until somebody else has begun
#: that, too, but at most so long.
SLEEP, LONGEST_SLEEP = LEASE + 0.6, LEASE + 4.0
#: So often (seconds) it is looked what has happened.
TICK = 0.02
#: Seconds for which a server that was killed stays away.
AWAY = (0.0, 1.0)
#: So many finished tasks a worker that commits them in groups may have in hand.
GROUP = 100
#: Numbers of tasks: each producer has so many for itself.
_NUMBERS = 1_000_000
#: How many kills there are for each one of a producer.
_PRODUCERS = 10


@dataclass(frozen=True)
class Aims:
    """What a soak has to reach, and for how long it goes on at least (seconds)."""

    seconds: float
    tasks: int
    kills: int
    server_kills: int

    @classmethod
    def of_environment(cls) -> Aims:
        """As long as SOAK_SECONDS says, else as under CI or, to be quick, without it; see ``make soak``."""
        seconds = float(os.environ.get("SOAK_SECONDS") or (15 if os.environ.get("CI") else 6))
        return cls(
            seconds,
            int(os.environ.get("SOAK_TASKS") or seconds * 50),
            int(os.environ.get("SOAK_KILLS") or seconds / 2),
            int(os.environ.get("SOAK_SERVER_KILLS") or seconds / 8),
        )

    @property
    def longest(self) -> float:
        """Seconds after which it is given up."""
        return 60 + 4 * self.seconds


@dataclass(frozen=True)
class Producer:
    """Who fills which queues, how full at most, and with how many seconds between two batches."""

    names: tuple[str, ...]
    most: int
    pause: float


class Soak:
    """One soak on the database of a stage.

    Arguments:
        server: the server of the database, if it has one.
    """

    def __init__(self, stage: Stage, aims: Aims, dice: random.Random, server: Server | None) -> None:
        self._stage = stage
        self._aims = aims
        self._dice = dice
        self._server = server
        self._firsts = count(_NUMBERS, _NUMBERS)
        self._in_hand = InHand(stage.history, is_long)
        self._workers: list[Child] = []
        #: Every second one commits what it has finished in groups.
        self._grouped = cycle((False, True))
        self._batches: dict[int, int] = {}
        self._producers: list[tuple[Producer, Child]] = []
        self._asleep: tuple[Child, float] | None = None
        #: How often a worker and a producer was killed, a worker was put to sleep, and woke up in a task that somebody
        #: else had begun, too; how often the server was killed.
        self.kills = self.producer_kills = self.sleeps = self.heirs = self.server_kills = 0
        #: Seconds from each repair until what was in hand was done.
        self.recoveries: list[float] = []

    @property
    def sent(self) -> int:
        """How many tasks were sent."""
        return self._in_hand.sent

    def create(self) -> None:
        """Create the queues, and the table for the effects of their tasks."""
        database = self._server.name if self._server is not None else "sqlite"
        with self._stage.service.engine.begin() as connection:
            connection.execute(text(tasks.ORDERED_EFFECTS.format(place=tasks.PLACE[database])))
        for name, kind in QUEUES.items():
            self._stage.service.create(kind.type, name, agent="server", error="dead")

    def disturb(self) -> None:
        """Let all work, and kill and put to sleep, until the aims are reached."""
        most = max(1000, min(self._aims.tasks // 20, 10_000))
        for producer in (Producer(PARALLEL, most, 0), Producer(SEQUENTIAL, 100, 0.2)):
            self._producers.append((producer, self._start_producer(producer)))
        self._workers = [self._start_worker() for _ in range(WORKERS)]
        self._stage.history.wait_for("serving", count=WORKERS)
        began = time.monotonic()
        pause = min(self._aims.seconds / (self._aims.kills * 1.3), 2.0) if self._aims.kills else 1e9
        repair_pause = self._aims.seconds / (max(self._aims.server_kills, 1) * 1.2)
        kill, repair = began + pause, began + repair_pause
        while not self._is_enough(time.monotonic() - began):
            time.sleep(TICK)
            self._in_hand.look()
            self._wake_if_slept_long_enough()
            now = time.monotonic()
            if now >= kill:
                self._kill_one()
                self._put_one_to_sleep()
                kill = max(kill + pause * self._dice.uniform(0.5, 1.5), now)
            if now >= repair:
                self._break_and_repair()
                repair = max(repair + repair_pause, time.monotonic() + pause)

    def _is_enough(self, seconds: float) -> bool:
        aims, server_kills = self._aims, self._aims.server_kills if self._server is not None else 0
        is_enough = (
            seconds >= aims.seconds and self.sent >= aims.tasks and self.kills >= aims.kills
            and self.server_kills >= server_kills
        )  # fmt: skip
        assert is_enough or seconds < aims.longest, (
            f"after {seconds:.0f} s only {self.sent} tasks, {self.kills} and {self.server_kills} kills"
        )
        return is_enough

    # --- processes ---

    def _start_producer(self, producer: Producer) -> Child:
        arguments = (str(producer.most), str(producer.pause), *producer.names)
        return self._stage.start("supply", first=next(self._firsts), arguments=arguments)

    def _start_worker(self) -> Child:
        grouped = next(self._grouped)
        worker = self._stage.start("work", grouped=grouped)
        self._batches[worker.pid] = GROUP if grouped else 1
        return worker

    def _kill_one(self) -> None:
        sleeper = self._asleep[0] if self._asleep is not None else None
        victim = self._dice.choice([worker for worker in self._workers if worker is not sleeper])
        self._kill(victim)
        self._workers[self._workers.index(victim)] = self._start_worker()
        self.kills += 1
        if self.kills % _PRODUCERS == 0:
            place = self._dice.randrange(len(self._producers))
            producer, victim = self._producers[place]
            self._kill(victim)
            self._producers[place] = producer, self._start_producer(producer)
            self.producer_kills += 1

    def _kill(self, victim: Child) -> None:
        victim.kill()
        self._stage.history.write("killed", pid=victim.pid, batch=self._batches.get(victim.pid, 0))
        self._in_hand.look()  # at its last line
        self._in_hand.forget(victim.pid)

    def _put_one_to_sleep(self) -> None:
        """One that has a long task in hand, if any has, unless one is asleep."""
        if self._asleep is not None:
            return
        busy = [worker for worker in self._workers if self._in_hand.of(worker.pid)]
        worker = self._dice.choice(busy or self._workers)
        self._stage.history.write("frozen", pid=worker.pid)
        worker.freeze()
        self.sleeps += 1
        self._asleep = worker, time.monotonic()

    def _wake_if_slept_long_enough(self) -> None:
        if self._asleep is None:
            return
        pid, slept = self._asleep[0].pid, time.monotonic() - self._asleep[1]
        waits_for_an_heir = self._in_hand.of(pid) is not None and not self._in_hand.is_shared(pid)
        if slept >= (LONGEST_SLEEP if waits_for_an_heir else SLEEP):
            self._wake()

    def _wake(self) -> None:
        if self._asleep is not None:
            worker, self._asleep = self._asleep[0], None
            self.heirs += self._in_hand.is_shared(worker.pid)
            worker.thaw()

    # --- healing ---

    def _break_and_repair(self) -> None:
        """Kill the server, if there is one; once all is in order, wait until everything that is in hand is done."""
        if self._server is not None:
            self._server.kill()
            self._stage.history.write("server_killed", pid=0)
            self.server_kills += 1
            time.sleep(self._dice.uniform(*AWAY))
            self._server.start()
        self._wake()
        self._recover()

    def _recover(self) -> None:
        since = mono()
        self._stage.history.write("healed")
        in_hand = self._leased()
        while in_hand and mono() - since < 60:
            time.sleep(TICK)
            self._in_hand.look()
            in_hand &= self._ids(in_hand)
        assert not in_hand, f"{len(in_hand)} items that were in hand are not done after 60 s"
        self._stage.history.write("recovered")
        self.recoveries.append(mono() - since)

    def _leased(self) -> set[int]:
        with self._stage.service.engine.connect() as connection:
            return set(connection.scalars(text(f"SELECT id FROM taskqueue_item WHERE state = {LEASED}")))

    def _ids(self, among: set[int]) -> set[int]:
        """Which of these items there still are."""
        with self._stage.service.engine.connect() as connection:
            wanted = ", ".join(map(str, among))
            return set(connection.scalars(text(f"SELECT id FROM taskqueue_item WHERE id IN ({wanted})")))

    # --- the end ---

    def finish(self) -> None:
        """Disturb nobody any more, and let all end when all is done."""
        self._wake()
        self._stage.announce_the_end()
        for _producer, process in self._producers:
            process.wait_until_done()
        self._recover()
        self._wait_until_idle()
        for worker in self._workers:
            worker.end()
        self._in_hand.look()

    def _wait_until_idle(self) -> None:
        """Wait until nothing is left; fails only when nothing gets done any more."""
        before, since = self._left(), time.monotonic()
        while before:
            time.sleep(0.1)
            left = self._left()
            if left < before:
                before, since = left, time.monotonic()
            assert time.monotonic() - since < 30, f"{left} items are left, and none was done for 30 s"

    def _left(self) -> int:
        return sum(self._stage.service.load(name).number_of_items() for name in QUEUES)

    def effects(self) -> Iterator[tuple[int, int]]:
        """(number, fence) of what tasks have inserted, in the order in which they did."""
        with self._stage.service.engine.connect() as connection:
            rows = connection.execute(text("SELECT number, fence FROM ordered_effects ORDER BY place"))
            yield from ((row.number, row.fence) for row in rows)
