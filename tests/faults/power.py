"""The scenario of a power cut: producers and servants work, the disk forgets what was not synced, all goes on."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from taskqueue import TaskQueueError
from tests.faults.checks import violations
from tests.faults.disk import Disk
from tests.faults.stage import AFTER_THE_LEASE, Child, Stage
from tests.servers import Server

#: Each cut comes after so many more acknowledged tasks: at another moment of the work each time.
_STEPS = (11, 23, 17, 31)
_PRODUCERS, _SERVANTS = 2, 1


class Household:
    """Those who work on a stage until the power goes.

    Arguments:
        is_careless: whether their commits to SQLite do not wait for the disk.
    """

    def __init__(self, stage: Stage, *, is_careless: bool = False) -> None:
        self._stage = stage
        self._is_careless = is_careless
        self._next = 1
        self.kills = 0
        stage.create("SqlParallel")
        stage.create_effects()

    def suffer(self, fell: Callable[[], object], again: Callable[[], object]) -> None:
        """Work for a while, until the power falls; then those who worked are killed, and it comes ``again``."""
        self._stage.service.close()
        children = [self._start("produce", first=self._next + 100_000 * one) for one in range(_PRODUCERS)]
        children += [self._start("serve") for _ in range(_SERVANTS)]
        self._next += 100_000 * _PRODUCERS
        so_far = len(self._stage.history.lines("acknowledged"))
        self._stage.history.wait_for("acknowledged", count=so_far + _STEPS[self.kills % len(_STEPS)])
        self.kills += 1
        fell()
        for child in children:
            child.process.kill()
            child.process.join()
        again()

    def _start(self, role: str, first: int = 0) -> Child:
        return self._stage.start(role, first=first, is_careless=self._is_careless)

    def account(self) -> list[str]:
        """Finish what is left, and say what was broken."""
        try:
            self._stage.run_rest(AFTER_THE_LEASE)
            effects = self._stage.effects()
        except TaskQueueError as error:
            return [f"what was acknowledged is lost: {error}"]
        return violations(self._stage.history.lines(), effects, self.kills * (_PRODUCERS + _SERVANTS))

    @property
    def acknowledged(self) -> int:
        """How many tasks were promised."""
        return len(self._stage.history.lines("acknowledged"))


def cut_of_sqlite(disk: Disk, torn: int | None) -> tuple[Callable[[], object], Callable[[], object]]:
    """The power of the disk of a SQLite file falls; it comes again."""
    return disk.cut, lambda: disk.boot(torn)


def cut_of_server(disk: Disk, server: Server, torn: int | None) -> tuple[Callable[[], object], Callable[[], object]]:
    """The power of a server and its disk falls; it comes again."""

    def again() -> None:
        server.kill(lambda: disk.boot(torn))
        server.start()

    return disk.cut, again


def damage(path: Path) -> str:
    """What SQLite finds wrong in a file; "ok" if nothing."""
    with closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])
