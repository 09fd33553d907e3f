"""The host application of the browser tests: a small Flask application as anybody's, with the progress page in it.

``python -m tests.web.app PORT THREADS`` serves it with waitress; gunicorn takes ``tests.web.app:create_app()``.
The environment variable ``TASKQUEUE_TEST_CONFIG`` holds, as JSON, settings for ``app.config`` and these switches:

* ``TEST_LOGIN``: "cookie" (who is signed in stands in a cookie), "redirect" (the same, and the application sends
  everybody else to its login page before the blueprint hears of it), "flask-login", "none" (the extension's default)
* ``TEST_AUTHORIZE``: {user: [actions that the user may do, or "*"]}; whoever does not stand there has what they own,
  and without it there is no hook
* ``TEST_DASHBOARD``: {user: {action: [queues] or "*"}}, what each may do on the dashboard; without it there is no hook
* ``TEST_CSRF``: whether Flask-WTF's CSRFProtect is on
* ``TEST_CSP``: a Content-Security-Policy that the application sets on each of its answers
* ``TEST_BABEL``: the locale that Flask-Babel tells
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from typing import Any

import flask_babel
import flask_login
import flask_wtf
import waitress
from flask import Flask, Response, current_app, jsonify, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from taskqueue import BatchQueue, ErrorMode, QueueService, Runner, Task
from taskqueue.web import TaskQueue
from tests.web import tasks
from tests.web.toolkit.server import CONFIG

#: Whoever is signed in, for TEST_LOGIN "cookie" and "redirect".
COOKIE = "user"
_PAGES = "tests.web"


def create_app(**config: Any) -> Flask:
    """The application; ``config`` goes over what the environment says."""
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY="only for tests",
        TASKQUEUE_DATABASE_URL=os.environ.get("TASKQUEUE_DATABASE_URL"),
        TASKQUEUE_ALLOW=[tasks.__name__],
        TEST_LOGIN="cookie",
        TEST_AUTHORIZE=None,
        TEST_DASHBOARD=None,
        TEST_CSRF=False,
        TEST_CSP=None,
        TEST_BABEL=None,
    )
    app.config.update(json.loads(os.environ.get(CONFIG, "{}")), **config)
    _sign_in_by(app, app.config["TEST_LOGIN"])
    if app.config["TEST_CSRF"]:
        flask_wtf.CSRFProtect(app).exempt(make)
    if app.config["TEST_BABEL"]:
        flask_babel.Babel(app, locale_selector=lambda: app.config["TEST_BABEL"])
    hooks: dict[str, Any] = {}
    if app.config["TEST_LOGIN"] in ("cookie", "redirect"):
        hooks["identity"] = _user
    if app.config["TEST_AUTHORIZE"] is not None:
        hooks["authorize"] = _may
    if app.config["TEST_DASHBOARD"] is not None:
        hooks["authorize_dashboard"] = may_on_dashboard
    app.extensions[_PAGES] = TaskQueue(app, **hooks)
    app.add_url_rule("/ready", view_func=ready)
    app.add_url_rule("/login", view_func=login)
    app.add_url_rule("/logout", view_func=logout)
    app.add_url_rule("/done", view_func=done)
    app.add_url_rule("/make", view_func=make, methods=["POST"])
    app.after_request(_add_csp)
    return app


# --- the application's own pages ---


def ready() -> str:
    """For whoever waits until the application answers."""
    return "ready"


def login() -> AnyResponse:
    """Sign in as ``?user=``; without, a page that says where one is."""
    user = request.args.get("user")
    if not user:
        return _page("Please sign in")
    answer = _page(f"Hello {user}")
    if current_app.config["TEST_LOGIN"] == "flask-login":
        flask_login.login_user(_User(user))
    else:
        answer.set_cookie(COOKIE, user, httponly=True, samesite="Lax")
    return answer


def logout() -> AnyResponse:
    """Sign out."""
    answer = _page("Goodbye")
    if current_app.config["TEST_LOGIN"] == "flask-login":
        flask_login.logout_user()
    answer.delete_cookie(COOKIE)
    return answer


def done() -> Response:
    """Where a run sends the browser at its end."""
    return _page("The import is done")


def make() -> Response:
    """Make a queue with tasks, and a run of it unless ``run`` is false; see ``Site.make``."""
    wanted = request.get_json()
    queue: BatchQueue = _service().create(wanted.get("type", "Sql"), wanted["queue"], **wanted.get("options", {}))
    number = wanted.get("first", 1)
    for spec in wanted["tasks"]:
        times, weight = spec.pop("times", 1), spec.pop("weight", 0)
        callback, title = getattr(tasks, spec.pop("kind")), spec.pop("title", "Task {number}")
        numbers = range(number, number + times)
        made = (Task(callback, (n,), title.replace("{number}", str(n)), kwargs=spec) for n in numbers)
        queue.create_items(made, weight=weight)
        number += times
    if not wanted.get("run", True):
        return jsonify(url=None, run_id=None)
    options = wanted.get("runner", {})
    if options.get("error_mode"):
        options["error_mode"] = ErrorMode[options["error_mode"].upper()]
    if options.get("on_end"):
        options["on_end"] = f"{tasks.__name__}:{options['on_end']}"
    runner = Runner(queue, **options)
    is_background = wanted.get("background", False)
    answer = (
        runner.run_all_via_background() if is_background else runner.run_all_via_web(start=wanted.get("start", True))
    )
    return jsonify(url=answer.location, run_id=answer.location.rstrip("/").rpartition("/")[2])


def _page(text: str) -> Response:
    return Response(f"<!doctype html><html lang=en><title>Host</title><h1>{text}</h1></html>", mimetype="text/html")


def _service() -> QueueService:
    service: QueueService = current_app.extensions[_PAGES].site(current_app).service
    return service


# --- who is there, and what may they do ---


def _user() -> str | None:
    return request.cookies.get(COOKIE)


def _may(action: str, _run: Any, _item_id: int | None) -> bool | None:
    allowed = current_app.config["TEST_AUTHORIZE"].get(_signed_in())
    return None if allowed is None else "*" in allowed or action in allowed


def may_on_dashboard(action: str, queue: str | None) -> bool:
    """The hook of the dashboard, as ``TEST_DASHBOARD`` says."""
    queues = current_app.config["TEST_DASHBOARD"].get(_signed_in(), {}).get(action, [])
    return bool(queues) and (queues == "*" or queue is None or queue in queues)


def _signed_in() -> str | None:
    return flask_login.current_user.get_id() if current_app.config["TEST_LOGIN"] == "flask-login" else _user()


class _User(flask_login.UserMixin):  # type: ignore[misc]
    def __init__(self, name: str) -> None:
        self.id = name


def _sign_in_by(app: Flask, way: str) -> None:
    if way == "flask-login":
        manager = flask_login.LoginManager(app)
        manager.login_view = "login"
        manager.user_loader(_User)
    elif way == "redirect":
        app.before_request(_send_to_login)


def _send_to_login() -> AnyResponse | None:
    if _user() is None and request.endpoint not in ("login", "ready", "taskqueue.static"):
        return redirect("/login")
    return None


def _add_csp(answer: Response) -> Response:
    if current_app.config["TEST_CSP"]:
        answer.headers["Content-Security-Policy"] = current_app.config["TEST_CSP"]
    return answer


def main() -> None:
    """Serve on loopback until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    port, threads = (int(argument) for argument in sys.argv[1:])
    waitress.serve(create_app(), host="127.0.0.1", port=port, threads=threads)


if __name__ == "__main__":
    main()
