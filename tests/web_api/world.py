"""A database with a run of each of two owners in every state, made once and copied for each test."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from flask import Flask

from taskqueue.outbox import MessageRef, Outbox
from tests.web_api import tasks
from tests.web_api.app import DENIED, Visitor, create_app, service_of

STATES = ("ready", "running", "paused", "blocked", "stale", "completed", "aborted", "unserved")
OWNERS = ("ann", "bob", DENIED)
CHECKOUT = Path(__file__).resolve().parents[2]


def secret_of(owner: str) -> str:
    """What stands in everything that belongs to this owner, and must not be seen by others."""
    return f"{owner}secret"


@dataclass
class World:
    """One copy of the database, and the applications on it."""

    folder: Path
    #: Run ids by owner and state.
    runs: dict[tuple[str, str], str]
    #: The id of a dead message, in which the secret of ann stands.
    message_id: str = ""
    _apps: list[Flask] = field(default_factory=list)
    _watchers: list[sqlite3.Connection] = field(default_factory=list)

    @property
    def file(self) -> Path:
        return self.folder / "world.db"

    @property
    def url(self) -> str:
        return f"sqlite:///{self.file}"

    @property
    def journal(self) -> Path:
        """What was executed since the copy was made."""
        return self.folder / "journal"

    def app(self, **options: Any) -> Flask:
        """An application on this database."""
        app = create_app(self.url, TESTING=True, **options)
        self._apps.append(app)
        return app

    @cached_property
    def usual(self) -> Flask:
        """The application with the usual settings."""
        return self.app()

    def executed(self) -> list[str]:
        """The lines of the journal."""
        return self.journal.read_text().splitlines() if self.journal.exists() else []

    def content(self) -> list[str]:
        """All rows of all tables."""
        with closing(sqlite3.connect(self.file)) as database:
            names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return [f"{name} {row}" for name in sorted(names) for row in database.execute(f"SELECT * FROM {name}")]

    def watched(self) -> Callable[[], bool]:
        """Says, cheaply and again and again, whether the content is still what it is now."""
        watcher = sqlite3.connect(self.file, isolation_level=None)
        self._watchers.append(watcher)
        before, version = self.content(), watcher.execute("PRAGMA data_version").fetchone()

        def is_unchanged() -> bool:
            # The number moves on whenever others commit a change.
            return watcher.execute("PRAGMA data_version").fetchone() == version or self.content() == before

        return is_unchanged

    def copy(self, folder: Path) -> World:
        """The same in another folder."""
        folder.mkdir(exist_ok=True)
        shutil.copy(self.file, folder / "world.db")
        return World(folder, self.runs, self.message_id)

    def close(self) -> None:
        """Let go of the database."""
        for app in self._apps:
            service_of(app).close()
        for watcher in self._watchers:
            watcher.close()


def build(folder: Path) -> World:
    """Make the database; by nothing but what users do, too."""
    world = World(folder, {})
    for owner in OWNERS:
        visitor = Visitor(world.app(hook=lambda *_: None, TASKQUEUE_LEASE_SLICE=3600), owner)
        for state in STATES:
            world.runs[owner, state] = _make(world, visitor, secret_of(owner), state)
    deadline = time.monotonic() + 20
    for owner in OWNERS:
        visitor = Visitor(world.app(hook=lambda *_: None), owner)
        while not visitor.state(world.runs[owner, "stale"])["running"][0]["lease"]["stale"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for state in STATES:
            status = visitor.state(world.runs[owner, state])["run"]["status"]
            assert status == {"stale": "running", "unserved": "running"}.get(state, state)
    world.message_id = dead_message(world, secret_of("ann"))
    world.close()
    with closing(sqlite3.connect(world.file)) as database:
        database.execute("PRAGMA journal_mode = DELETE")  # so that one file holds all
    return world


def dead_message(world: World, to: str) -> str:
    """The id of one that has just died."""
    outbox: Outbox = service_of(world.usual).settings.outbox
    ref: MessageRef = outbox.queued(outbox.connect("mails")).send_mail(to)
    outbox.flush()
    return ref.id


def _make(world: World, visitor: Visitor, secret: str, state: str) -> str:
    ok: tuple[str, dict[str, Any]] = ("ok", {"number": 1, "note": secret})
    fail: tuple[str, dict[str, Any]] = ("fail", {"message": f"{secret} went wrong"})
    works = {"blocked": [fail, ok], "completed": [fail, ok], "stale": [("die", {}), ok]}.get(state, [ok, ok])
    queue = f"{secret}-{state}"
    run_id = visitor.make(
        queue, *works, start=state != "ready", error_mode="CONTINUE" if state == "completed" else None,
        background=state == "unserved",
    )  # fmt: skip
    if state in ("blocked", "completed"):
        _drive(visitor, run_id, state)
    elif state in ("paused", "aborted"):
        answer = visitor.post(run_id, "pause" if state == "paused" else "abort")
        assert answer.status_code == 200, answer.text
    elif state == "stale":
        command = [sys.executable, "-m", tasks.__name__, world.url, queue]
        ended = subprocess.run(command, cwd=CHECKOUT, check=False, timeout=60)
        assert ended.returncode == 1
    return run_id


def _drive(visitor: Visitor, run_id: str, state: str) -> None:
    for _ in range(20):
        answer = visitor.post(run_id, "drive")
        assert answer.status_code == 200, answer.text
        if answer.get_json()["run"]["status"] == state:
            return
    raise AssertionError(f"the run did not get {state}: {answer.text}")
