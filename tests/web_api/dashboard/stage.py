"""An application with two queues of everything: one that a visitor may see, and one that must stay hidden from him."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import flask_wtf
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from taskqueue import QueueService, Runner, Task
from taskqueue.dashboard.acts import Acts
from taskqueue.operations import Operations
from taskqueue.outbox import Outbox
from taskqueue.queues import settlement
from taskqueue.web import TaskQueue
from tests.web_api import tasks
from tests.web_api.app import SECRET, Mails, sign_in, user

SEEN, HIDDEN = "seenqueue", "hushqueue"
#: Stands in everything that belongs to a queue.
MARKS = {SEEN: "opensesame", HIDDEN: "hushcontent"}
#: The queue of the outbox, and of the operations: hidden as well.
OUTBOX, OPERATIONS = "outbox", "operations"
#: What a visitor who sees one queue must never read.
SECRETS = (HIDDEN, MARKS[HIDDEN], "hushcall", "hushmail", "hushhost")
ACTIONS = (
    "view", "view_args", "view_trace", "retry", "skip", "delete", "revive", "take_over", "pause", "resume", "edit",
)  # fmt: skip
BASE = "/queue/dashboard"
LISTS = ("items", "dead", "history", "workers", "runs", "schedules", "outbox", "operations", "audit", "charts")
Hook = Callable[[str, "str | None"], Any]


def everything(_action: str, _queue: str | None) -> bool:
    """An administrator."""
    return True


def only_seen(_action: str, queue: str | None) -> bool:
    """Somebody who may do everything, with one queue."""
    return queue in (None, SEEN)


def create_app(url: str, hook: Hook | None = everything, *, wtf: bool = False, **config: Any) -> Flask:
    """An application with a dashboard."""
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY=SECRET, TASKQUEUE_DATABASE_URL=url, TASKQUEUE_ALLOW=[tasks.__name__], TASKQUEUE_MODE="inline",
        TASKQUEUE_STALE_AFTER=30, TASKQUEUE_HEARTBEAT=3,
    )  # fmt: skip
    app.config.update(config)
    if wtf:
        flask_wtf.CSRFProtect(app)
    app.extensions["tests"] = TaskQueue(app, identity=user, authorize_dashboard=hook)
    app.add_url_rule("/sign-in/<name>", view_func=sign_in)
    return app


def service_of(app: Flask) -> QueueService:
    """The service behind the pages."""
    found: QueueService = app.extensions["tests"].site(app).service
    return found


class Visitor:
    """A browser."""

    def __init__(self, app: Flask, name: str | None = "adam") -> None:
        self.app = app
        self.client: FlaskClient = app.test_client()
        if name is not None:
            self.client.get(f"/sign-in/{name}")
        self.token: str = self.client.get("/queue/csrf").get_json()["csrf"]

    def get(self, path: str = "", **options: Any) -> TestResponse:
        """A page."""
        return self.client.get(BASE + path, **options)

    def json(self, path: str = "") -> Any:
        """What a script gets of a page."""
        answer = self.get(path, headers={"Accept": "application/json"})
        assert answer.status_code == 200, answer.text
        return answer.get_json()

    def post(self, path: str, fields: Any, **headers: str) -> TestResponse:
        """Post as a script does."""
        usual = {"X-CSRFToken": self.token, "Accept": "application/json"}
        return self.client.post(BASE + path, json=fields, headers={**usual, **headers})

    def submit(self, path: str, fields: dict[str, Any], **headers: str) -> TestResponse:
        """Post as a form does."""
        return self.client.post(BASE + path, data={"csrf_token": self.token, **fields}, headers=headers)


@dataclass
class Stage:
    """A copy of the database."""

    folder: Path
    #: By queue and state: queue, id and fence.
    items: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)
    _apps: list[Flask] = field(default_factory=list)

    @property
    def file(self) -> Path:
        return self.folder / "stage.db"

    @property
    def url(self) -> str:
        return f"sqlite:///{self.file}"

    def app(self, hook: Hook | None = everything, **options: Any) -> Flask:
        """An application on the database."""
        app = create_app(self.url, hook, TESTING=True, **options)
        self._apps.append(app)
        return app

    @cached_property
    def usual(self) -> Flask:
        """The application of an administrator."""
        return self.app()

    def visitor(self, hook: Hook | None = everything, name: str | None = "adam", **options: Any) -> Visitor:
        """Somebody with these permissions."""
        return Visitor(self.app(hook, **options), name)

    def chosen(self, queue: str, state: str, named: str | None = None) -> str:
        """An item as the pages name it; ``named``: below another queue."""
        item_id, fence = self.items[queue][state]
        return f"{named or queue}/{item_id}" + ("" if state.startswith("dead") else f"/{fence}")

    def content(self) -> list[str]:
        """All rows of all tables."""
        with closing(sqlite3.connect(self.file)) as database:
            names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return [f"{name} {row}" for name in sorted(names) for row in database.execute(f"SELECT * FROM {name}")]

    def rows(self, sql: str, *values: Any) -> list[Any]:
        """What a statement finds, or changes."""
        with closing(sqlite3.connect(self.file, isolation_level=None)) as database:
            return database.execute(sql, values).fetchall()

    def copy(self, folder: Path) -> Stage:
        """The same in another folder."""
        folder.mkdir(exist_ok=True)
        shutil.copy(self.file, folder / "stage.db")
        return Stage(folder, self.items, self.runs)

    def close(self) -> None:
        """Let go of the database."""
        for app in self._apps:
            service_of(app).close()


def build(folder: Path) -> Stage:
    """Make the database."""
    stage = Stage(folder)
    app = stage.app(TASKQUEUE_STALE_AFTER=30, TASKQUEUE_HEARTBEAT=3)
    service = service_of(app)
    with app.app_context():
        for name in (HIDDEN, SEEN):  # so that ids of both lie on both sides
            _fill(stage, service, name)
        for name in (SEEN, HIDDEN):
            _more(service, name)
    outbox = Outbox(service)
    outbox.register("mails", Mails())
    outbox.queued(outbox.connect("mails")).send_mail("hushmail")
    operations = Operations(service)

    @operations.operation("hushcall", queueable=True)
    def _call(ctx: Any, data: Any) -> None: ...

    for _ in range(3):
        operations.defer("hushcall", {})
    for queues, host in (([SEEN, HIDDEN], "sharedhost"), ([HIDDEN], "hushhost")):
        facts = json.dumps({"host": host, "pid": 4711, "queues": queues, "threads": 1, "state": "serving"})
        now = "CAST(strftime('%s', 'now') AS INTEGER) * 1000"
        stage.rows("INSERT INTO taskqueue_holder (token, label, start_time, beat_time, beat_period, worker) "
                   f"VALUES (?, ?, {now}, {now}, 3000, ?)", host.ljust(16, "x")[:16], host, facts)  # fmt: skip
    stage.close()
    with closing(sqlite3.connect(stage.file)) as database:
        database.execute("PRAGMA journal_mode = DELETE")  # so that one file holds all
    return stage


def _fill(stage: Stage, service: QueueService, name: str) -> None:
    mark = MARKS[name]
    queue: Any = service.create("SqlParallel", name)
    here = stage.items[name] = {}

    def task(what: str) -> Task:
        return Task(tasks.ok, kwargs={"note": f"{mark} argument {what}"}, title=f"{mark} {what}")

    for state, how in (
        ("retrying", settlement.retry(86_400_000, f"{mark} error\ntrace of {mark}")),
        ("dead", settlement.bury(f"{mark} died")),
        ("dead2", settlement.bury(f"{mark} died as well")),
        ("skipped", settlement.skip(f"{mark} was skipped")),
        ("aborted", settlement.retry(0, f"{mark} once more")),
    ):
        queue.create_item(task(state))
        item = queue.claim_item(lease_time=86_400)
        queue.settle([item], how)
        here[state] = item.id, item.fence + 1
        if state == "aborted":
            here["aborted"] = item.id, queue.fetch_item(item.id).fence
    for state in ("running", "silent"):
        queue.create_item(task(state), weight=-5)
        item = queue.claim_item(lease_time=86_400)
        here[state] = item.id, item.fence
    for state in ("waiting", "waiting2", "waiting3"):
        here[state] = queue.create_item(task(state)).id, 0
    here["scheduled"] = queue.create_item(task("scheduled"), delay=86_400).id, 0
    stage.runs[name] = Runner(queue, title=f"{mark} run").run_all_via_web(start=False).rpartition("/")[2]
    service.schedule(f"{mark}-nightly", "0 4 * * *", task("nightly"), queue=name)
    holder = f"{mark}holder".ljust(16, "x")[:16]
    stage.rows("INSERT INTO taskqueue_holder (token, label, start_time, beat_time, beat_period) "
               "VALUES (?, ?, 1, 1, 3000)", holder, f"{mark}:1")  # fmt: skip
    stage.rows("UPDATE taskqueue_item SET holder = ? || SUBSTR(holder, 17) WHERE id = ?", holder, here["silent"][0])
    acts = Acts(service, f"user:{mark}actor")
    acts.note("skip", name, number=12_345, detail=f"{mark} detail")
    here["ended"] = _skipped(acts, queue, task("ended")), 0


def _skipped(acts: Acts, queue: Any, task: Task) -> int:
    item = queue.create_item(task)
    acts.on_items(queue, "skip", [(item.id, item.fence)])
    return int(item.id)


def _more(service: QueueService, name: str) -> None:
    """What has a number of its own, by which a sum would tell: 3 more items of one queue, 57 of the other."""
    queue = service.load(name)
    queue.create_items([f"{MARKS[name]} plain {number}" for number in range(3 if name == SEEN else 57)])
    acts = Acts(service, f"user:{MARKS[name]}actor")
    for _ in range(3 if name == SEEN else 57):
        acts.note("pause", name, detail=f"{MARKS[name]} noted")
