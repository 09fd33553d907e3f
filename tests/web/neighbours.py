"""The host application of ``app.py`` with much more in it: other extensions, frames of its own, a path under a proxy.

``python -m tests.web.neighbours PORT THREADS`` serves it. Besides the switches of ``app.py``:

* ``TEST_PERMANENT``: whether every session is permanent, so that Flask sends its cookie again with each answer
* ``TEST_TEMPLATES``: whether the host has templates of its own: the frame ``host/layout.html`` for
  ``TASKQUEUE_BASE_TEMPLATE``, and others instead of some of ours
* ``TEST_CSRF_LATE``: whether CSRFProtect is on, initialised after our extension (``TEST_CSRF``: before)

The cookie "language" tells Flask-Babel's locale. The same pages hang twice in it: as usual, and for the user "reporter"
under the name "reports" at /reports, with tables of their own. All of it stands at / and, as behind a dispatcher, at
/mounted; behind a proxy that says so (``X-Forwarded-Prefix`` and the like) it stands wherever that wants.
"""

from __future__ import annotations

import logging
import signal
import sys
from dataclasses import dataclass
from typing import Any

import flask_babel
import flask_login
import flask_wtf
import waitress
from flask import Flask, request, session
from jinja2 import DictLoader
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from taskqueue import QueueService
from taskqueue.web import TaskQueue
from tests.web import app as host
from tests.web import tasks
from tests.web.setups import Setup
from tests.web.toolkit.server import Hosting

MOUNTED = "/mounted"
#: Who makes runs on the second set of pages.
REPORTER = "reporter"
LANGUAGE = "language"
TEMPLATES = {
    "host/layout.html": """<!doctype html>
<html lang="fr"><head><meta charset="utf-8"><title>Chez nous: {% block title %}{% endblock %}</title>
<style>p { margin: 3em } progress { float: right } button { text-transform: uppercase }</style>
{% block head %}{% endblock %}</head>
<body><nav aria-label="Host"><a href="/done">Home of the host</a></nav>
<main>{% block content %}{% endblock %}</main><script>window.hostScriptRan = true</script></body></html>""",
    "taskqueue/base.html": """<!doctype html>
<html lang="{{ lang }}" dir="{{ dir }}"><head><meta charset="utf-8"><title>{% block title %}{% endblock %}</title>
{% block head %}{% endblock %}</head>
<body><p>A frame instead of yours</p><main>{% block content %}{% endblock %}</main></body></html>""",
    "taskqueue/message.html": """{% extends base_template %}{% block title %}{{ title }}{% endblock %}
{% block content %}<h1>The host is sorry</h1><p>{{ message }}</p>{% endblock %}""",
}


@dataclass(frozen=True)
class NeighbourHosting(Hosting):
    """Serves this application instead of the usual one."""

    def command(self, port: int) -> list[str]:
        """What runs in the server's process."""
        return [sys.executable, "-m", __name__, str(port), str(self.count)]


NEIGHBOURS = Setup("neighbours", hosting=NeighbourHosting())


def create_app() -> Flask:
    """The application."""
    app = host.create_app()
    if app.config.get("TEST_TEMPLATES"):
        app.jinja_loader = DictLoader(TEMPLATES)
    if app.config.get("TEST_PERMANENT"):
        app.before_request(_make_permanent)
    if app.config.get("TEST_CSRF_LATE"):
        flask_wtf.CSRFProtect(app).exempt(host.make)
    flask_babel.Babel(app, locale_selector=lambda: request.cookies.get(LANGUAGE))
    _add_second_pages(app)
    app.add_url_rule("/who", view_func=who)
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1, x_prefix=1)  # type: ignore[method-assign]
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {MOUNTED: app.wsgi_app})  # type: ignore[method-assign]
    return app


def who() -> str:
    """Who is signed in with Flask-Login."""
    return str(flask_login.current_user.get_id())


def _make_permanent() -> None:
    session.permanent = True


def _add_second_pages(app: Flask) -> None:
    url = app.config["TASKQUEUE_DATABASE_URL"]
    service = QueueService(url, prefix="reports_", allow=[tasks.__name__], heartbeat=0.5, stale_after=2.0)
    first = app.extensions[host._PAGES]
    identity = host._user if app.config["TEST_LOGIN"] == "cookie" else None
    dashboard = host.may_on_dashboard if app.config["TEST_DASHBOARD"] is not None else None
    second = TaskQueue(
        app, service, name="reports", url_prefix="/reports", identity=identity, authorize_dashboard=dashboard
    )
    app.extensions[host._PAGES] = _Pages(first, second)


class _Pages:
    """For ``/make``: the pages of whoever asks."""

    def __init__(self, first: TaskQueue, second: TaskQueue) -> None:
        self._first, self._second = first, second

    def site(self, app: Flask) -> Any:
        is_second = request.cookies.get(host.COOKIE) == REPORTER
        return (self._second if is_second else self._first).site(app)


def main() -> None:
    """Serve on loopback until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    port, threads = (int(argument) for argument in sys.argv[1:])
    waitress.serve(create_app(), host="127.0.0.1", port=port, threads=threads)


if __name__ == "__main__":
    main()
