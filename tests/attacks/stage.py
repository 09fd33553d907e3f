"""The whole application and the pages alone, served in this process, with one text in every field."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import waitress
from flask import Flask

from taskqueue import Task
from taskqueue.operations import Operations
from taskqueue.outbox import Outbox
from taskqueue.queues.sql_base import SqlBase
from taskqueue.runs.state import Definition
from taskqueue.runs.store import Runs
from taskqueue.web.alone import Alone
from taskqueue.web.identity import visitor
from tests.attacks import tasks
from tests.attacks.app import OPERATIONS, whole_app
from tests.web_api.app import Visitor, service_of
from tests.web_api.world import World

ALLOW = ["tests.web_api.tasks", tasks.__name__]


@contextmanager
def listening(app: Any) -> Iterator[str]:
    """Serve an application with waitress in a thread; its address."""
    server = waitress.create_server(app, host="127.0.0.1", port=0, threads=8)

    def serve() -> None:
        with suppress(OSError):  # its socket was closed
            server.run()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        server.task_dispatcher.shutdown(timeout=5)
        server.close()
        thread.join(30)
        for left in list(server._map.values()):  # a browser's, where the loop ended before it was closed
            left.close()


@dataclass
class Stage:
    """The application; ``text`` is the name of who is signed in, and stands in all else that takes one."""

    world: World
    text: str
    app: Flask = field(init=False)
    #: Calls of operations, by the operation's name.
    calls: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        config: dict[str, Any] = {"TASKQUEUE_ALLOW": ALLOW, "TESTING": True}
        self.app = whole_app(self.world.url, title=self.text, summary=self.text, **config)
        self.visitor = Visitor(self.app)
        self.visitor.client.post("/enter", data={"name": self.text})
        self.service = service_of(self.app)
        self.waiting = self._waiting_run()
        self.ended = self._ended_run()
        self._send_message()
        self._call_operations()

    def close(self) -> None:
        """Let go of the database."""
        self.service.close()

    def _queue(self, name: str, *, waits: bool) -> SqlBase:
        queue = self.service.create("Sql", name)
        queue.create_item(Task(tasks.say, kwargs={"text": self.text, "waits": waits}, title=self.text))
        assert isinstance(queue, SqlBase)
        return queue

    def _waiting_run(self) -> str:
        """A run whose task waits at the gate, once a page drives it."""
        tasks.gate.clear()
        queue = self._queue("waiting", waits=True)
        return Runs.of(queue).create(queue, Definition(title=self.text, on_end_url=self.text), owner=self._known()).id

    def _ended_run(self) -> str:
        """One that has completed with a failure; stored past the runner, which refuses addresses that lead away."""
        queue = self._queue("ended", waits=False)
        definition = Definition(title=self.text, on_end_url=self.text, error_mode="continue")
        run_id = Runs.of(queue).create(queue, definition, owner=self._known()).id
        for _ in range(5):
            if self.visitor.post(run_id, "drive").get_json()["run"]["status"] == "completed":
                return run_id
        raise AssertionError("the run did not end")

    def _known(self) -> str:
        """The visitor as runs know them: odd names are stored as a hash."""
        with self.app.test_request_context("/"):
            return str(visitor(lambda: self.text))

    def _send_message(self) -> None:
        outbox = self.service.settings.outbox
        assert isinstance(outbox, Outbox)
        outbox.queued(outbox.connect("mails")).send_mail(self.text)
        outbox.flush()

    def _call_operations(self) -> None:
        for name in ("echo", "document", "refuse", "crash"):
            answer = self.visitor.client.post(f"/ops/{name}", json={"data": self.text, "options": {"defer": True}})
            assert answer.status_code == 202, answer.text
            self.calls[name] = answer.get_json()["id"]
        ops: Operations = self.app.extensions[OPERATIONS]
        ops.drain()

    # --- where the text is to be looked for ---

    def addresses(self) -> dict[str, list[tuple[str, bool]]]:
        """By endpoint: what to open, and whether the text must be seen there."""
        said, runs = quote(self.text, safe=""), (self.waiting, self.ended)
        calls = self.calls.values()
        return {
            "taskqueue.page": [(f"/queue/run/{run}{query}", True) for run in runs for query in ("", "?nojs=1")]
            + [(f"/queue/run/{said}", False)],
            "taskqueue.state": [(f"/queue/run/{run}/state", True) for run in runs],
            "taskqueue.log": [(f"/queue/run/{run}/log?level=warning", True) for run in runs],
            "taskqueue.tick": [(f"/queue/run/{self.ended}/tick?t={said}", True)],
            "taskqueue.csrf": [(f"/queue/csrf?next={said}", False)],
            "taskqueue.static": [(f"/queue/static/{said}", False)],
            "operations.static": [(f"/ops/static/{said}", False)],
            "operations.list": [("/ops", True)],
            "operations.docs": [("/ops/docs", True), (f"/ops/docs?x={said}", False)],
            "operations.openapi": [("/ops/openapi.json", True)],
            "operations.runs": [("/ops/runs", True), (f"/ops/runs?state={said}", False)],
            "operations.run": [(f"/ops/runs/{call}", False) for call in calls] + [(f"/ops/runs/{said}", False)],
            "operations.result": [
                (f"/ops/runs/{self.calls[name]}/result", name != "crash") for name in ("echo", "refuse", "crash")
            ],
            "webservice.endpoint": [
                (f"/webservice?operation={said}", False), (f"/webservice?operation=echo&element={said}", False),
                (f"/webservice?operation=getQueuedOperationResult&operationTrackingID={self.calls['refuse']}", False),
            ],
            "taskqueue.outbox_dead": [(f"/queue/outbox/dead?service={said}", False)],
            "host": [(f"/{said}", False), (f"/ops/{said}", False)],
            **{f"taskqueue.dashboard_{name}": [(f"/queue{path}", False)] for name, path in self.board().items()},
        }  # fmt: skip

    def board(self) -> dict[str, str]:
        """The pages of the dashboard by the names of their views."""
        said = quote(self.text, safe="")
        lists = ("charts", "items", "dead", "history", "workers", "runs", "schedules", "outbox", "operations", "audit")
        return {
            "overview": "/dashboard", "home": "/dashboard/", **{name: f"/dashboard/{name}" for name in lists},
            "queue": f"/dashboard/queues/{said}", "item": f"/dashboard/queues/{said}/items/1",
            "confirm": f"/dashboard/confirm?what=dead&verb=revive&text={said}",
            "nothing_0": "/dashboard", "nothing_1": "/dashboard/", "nothing_2": f"/dashboard/{said}",
        }  # fmt: skip


@contextmanager
def alone(stage: Stage) -> Iterator[tuple[Alone, str]]:
    """``taskqueue web`` on the same database, and its address."""
    made = Alone(stage.service, mode="observe", read_only=False, url_prefix="", grace=1, cookie="alone")
    with listening(made.app) as address:
        yield made, address
    made.site.slices.close(0)
