"""The host application of these tests, and the visitors who use it.

``python -m tests.web_api.app PORT DATABASE_URL`` serves it with waitress.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import flask_wtf
import waitress
from flask import Flask, current_app, redirect, request, session
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from taskqueue import ErrorMode, QueueService, Runner, Task, Unrecoverable
from taskqueue.outbox import DeadMessage, Outbox
from taskqueue.runs.state import RunState
from taskqueue.web import TaskQueue
from tests.web_api import tasks

SECRET = "only for tests"
EXTENSION = "tests.web_api"
#: May see all runs, may do everything with all runs, may do nothing with his own.
VIEWER, ADMIN, DENIED = "vera", "adam", "dan"
Authorize = Callable[[str, RunState, "int | None"], "bool | None"]


def user() -> str | None:
    """Who is signed in."""
    found: str | None = session.get("user")
    return found


def authorize(action: str, run: RunState, item_id: int | None) -> bool | None:
    """What the three above may do; all others have what they own."""
    who = user()
    if who == ADMIN:
        return True
    if who == VIEWER:
        return action == "view"
    return False if who == DENIED else None


def authorize_outbox(action: str, message: DeadMessage | None) -> bool | None:
    """Who may do what with dead messages."""
    return True if user() == ADMIN else user() == VIEWER and action == "view"


class Mails:
    """A service without a receiver."""

    def send_mail(self, to: str) -> None:
        raise Unrecoverable(f"{to} went wrong")


def create_app(url: str, *, hook: Authorize = authorize, wtf: bool = False, **config: Any) -> Flask:
    """An application on the database ``url``."""
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY=SECRET,
        TASKQUEUE_DATABASE_URL=url,
        TASKQUEUE_ALLOW=[tasks.__name__],
        TASKQUEUE_MODE="inline",
        TASKQUEUE_HEARTBEAT=0.05,
        TASKQUEUE_STALE_AFTER=0.2,
    )
    app.config.update(config)
    if wtf:
        flask_wtf.CSRFProtect(app).exempt(make)
    app.extensions[EXTENSION] = TaskQueue(app, identity=user, authorize=hook, authorize_outbox=authorize_outbox)
    Outbox(service_of(app)).register("mails", Mails())
    app.add_url_rule("/ready", view_func=lambda: "ready", endpoint="ready")
    app.add_url_rule("/sign-in/<name>", view_func=sign_in)
    app.add_url_rule("/sign-out", view_func=sign_out)
    app.add_url_rule("/make", view_func=make, methods=["POST"])
    app.add_url_rule("/done", view_func=lambda: "done", endpoint="done")
    return app


def service_of(app: Flask) -> QueueService:
    """The service behind the pages of an application."""
    found: QueueService = app.extensions[EXTENSION].site(app).service
    return found


def sign_in(name: str) -> str:
    """Sign in, for long."""
    session["user"] = name
    session.permanent = True
    return name


def sign_out() -> str:
    """Forget who it was."""
    session.pop("user", None)
    return "out"


def make() -> Any:
    """Make a queue with tasks, and a run of it; redirects to its page."""
    wanted: dict[str, Any] = request.get_json()
    is_background = wanted.get("background", False)
    served: dict[str, Any] = {"agent": "server", "error": "abort"} if is_background else {}
    queue = service_of(current_app).create("Sql", wanted["queue"], **served)
    for name, arguments in wanted.get("tasks", ()):
        queue.create_item(Task(getattr(tasks, name), kwargs=arguments, title=f"Task of {wanted['queue']}"))
    mode = wanted.get("error_mode")
    runner = Runner(
        queue,
        title=wanted.get("title", f"Run of {wanted['queue']}"),
        error_mode=ErrorMode[mode] if mode else None,
        on_end_url=wanted.get("on_end_url"),
    )
    if is_background:
        return redirect(runner.run_all_via_background().location, 303)
    answer = runner.run_all_via_web(start=wanted.get("start", True))
    return redirect(answer.location, 303)


class Visitor:
    """A browser: its cookies, and the token of its pages."""

    def __init__(self, app: Flask, name: str | None = None) -> None:
        self.app = app
        self.client: FlaskClient = app.test_client()
        if name is not None:
            self.client.get(f"/sign-in/{name}")
        self.token: str = self.client.get("/queue/csrf").get_json()["csrf"]

    def get(self, run_id: str, view: str = "", **options: Any) -> TestResponse:
        """Ask for the page, or for what lies under it."""
        return self.client.get(_address(run_id, view), **options)

    def post(self, run_id: str, verb: str, fields: dict[str, Any] | None = None, **headers: str) -> TestResponse:
        """Post as the script does."""
        usual = {"X-CSRFToken": self.token, "X-Driver": "d" * 32, "Accept": "application/json"}
        sent = {"request_id": "r" * 32, **(fields or {})}
        return self.client.post(_address(run_id, verb), json=sent, headers={**usual, **headers})

    def submit(self, run_id: str, verb: str, fields: dict[str, Any] | None = None, **headers: str) -> TestResponse:
        """Post as a form does."""
        sent = {"csrf_token": self.token, "request_id": "f" * 32, **(fields or {})}
        return self.client.post(_address(run_id, verb), data=sent, headers=headers)

    def state(self, run_id: str) -> dict[str, Any]:
        """The snapshot."""
        answer = self.get(run_id, "state")
        assert answer.status_code == 200, answer.text
        snapshot: dict[str, Any] = answer.get_json()
        return snapshot

    def make(self, queue: str, *tasks: tuple[str, dict[str, Any]], **options: Any) -> str:
        """Make a run; return its id."""
        answer = self.client.post("/make", json={"queue": queue, "tasks": tasks, **options})
        assert answer.status_code == 303, answer.text
        return answer.location.rpartition("/")[2]


def _address(run_id: str, view: str) -> str:
    return f"/queue/run/{run_id}" + (f"/{view}" if view else "")


if __name__ == "__main__":
    waitress.serve(create_app(sys.argv[2]), host="127.0.0.1", port=int(sys.argv[1]), threads=4)


def headers_of(answer: TestResponse) -> list[tuple[str, str]]:
    """Its headers, to be compared; a cookie that is set again has another moment in its signature."""
    return sorted((name, value.partition("=")[0] if name == "Set-Cookie" else value) for name, value in answer.headers)
