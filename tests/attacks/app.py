"""One application with all that the package puts into one, on a database of ``tests.web_api.world``.

The progress pages with the outbox, the operations, the door for clients of coreBOS, and metrics.
``python -m tests.attacks.app PORT DATABASE_URL`` serves it with waitress; gunicorn takes ``tests.attacks.app:served()``
and the database's URL out of the environment.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

import waitress
from flask import Flask, request, session
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from taskqueue.metrics import metrics_app
from taskqueue.operations import File, OperationContext, OperationFailed, Operations, User
from taskqueue.web import OperationsApi, Webservice
from tests.web_api import tasks
from tests.web_api.app import create_app, service_of, user

#: Found on every answer of the application, so that those of the server itself can be told apart.
MARK = ("X-From-Application", "1")
#: The one who may call no operations.
BOB = "bob"
KEYS = {"ann": "k3yOfAnn", BOB: "k3yOfBob"}
OPERATIONS = "tests.attacks"


def whole_app(
    url: str, *, title: str = "Operations", summary: str = "Returns what it is given.", **config: Any
) -> Flask:
    """The application; ``title`` and ``summary`` are texts of the operations' page."""
    app = create_app(url, **config)
    ops = app.extensions[OPERATIONS] = Operations(service_of(app))
    _register(ops, summary)
    app.add_url_rule("/enter", view_func=enter, methods=["POST"])
    OperationsApi(app, ops, identity=_caller, title=title, max_wait=0.05)
    Webservice(app, ops, identity=_caller, access_key=KEYS.get)
    return app


def enter() -> str:
    """Sign in under any name, also one that could not stand in an address."""
    session["user"] = request.form["name"]
    return "in"


def _caller() -> User | None:
    name = user()
    if name is None:
        return None
    # No application has users with such ids; what is signed in may be called so all the same.
    usual = name if name.isprintable() and len(name) <= 60 else "odd"
    return User(usual, frozenset() if name == BOB else frozenset({"sales"}))


def _register(ops: Operations, summary: str) -> None:
    def echo(ctx: OperationContext, data: Any) -> Any:
        tasks.note("echo")
        return data

    echo.__doc__ = summary
    ops.operation("echo", queueable=True, idempotent=True, roles=["sales"])(echo)

    @ops.operation("document", queueable=True, roles=["sales"])
    def document(ctx: OperationContext, data: Any) -> File:
        """A file that a browser would show, with a name that the caller chooses."""
        tasks.note("document")
        # A name with controls or marks that turn the text round is refused: such a call fails.
        name = str(data) if str(data).isprintable() else "odd.html"
        return File(str(data).encode(errors="replace"), "text/html", name)

    @ops.operation("refuse", queueable=True, roles=["sales"])
    def refuse(ctx: OperationContext, data: Any) -> None:
        tasks.note("refuse")
        raise OperationFailed(str(data), code="refused", details={"given": data})

    @ops.operation("crash", queueable=True, retry=1, roles=["sales"])
    def crash(ctx: OperationContext, data: Any) -> None:
        tasks.note("crash")
        raise ValueError(str(data))


def with_metrics(app: Flask) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    """The application and its metrics as a server gets them; every answer of theirs carries the mark."""
    inner: Any = DispatcherMiddleware(app, {"/metrics": metrics_app(service_of(app))})

    def marked(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        def begin(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start(status, [*headers, MARK], *rest)

        answer: Iterable[bytes] = inner(environ, begin)
        return answer

    return marked


def served() -> Any:
    """What gunicorn serves."""
    return with_metrics(whole_app(os.environ["TASKQUEUE_DATABASE_URL"]))


if __name__ == "__main__":
    # Waitress lets no more than a hundred connections in by itself: whoever comes later waits until somebody goes.
    options = {"host": "127.0.0.1", "port": int(sys.argv[1]), "threads": 4, "connection_limit": 1000}
    waitress.serve(with_metrics(whole_app(sys.argv[2])), **options)
