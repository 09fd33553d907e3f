"""The operations that the tests call, and an application with their API, also as a process.

Who calls stands in a header. Each effect is a row in the table of contacts.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from pathlib import Path
from typing import Any

import waitress
from flask import Flask, request

from taskqueue import QueueService, Worker
from taskqueue.operations import File, Limits, OperationContext, OperationFailed, Operations, User
from taskqueue.web import OperationsApi
from tests.operations.conftest import contacts

ROOT = "root"
_PATIENCE = 60.0


def make(service: QueueService) -> Operations:
    """The operations."""
    ops = Operations(service)

    def note(ctx: OperationContext, data: Any) -> Any:
        """Write a name down."""
        ctx.session.execute(contacts.insert().values(name=str(data)))
        return {"noted": data, "by": ctx.user.id}

    ops.operation("note", queueable=True, idempotent=True, aliases=["jot"])(note)
    ops.operation("plain", queueable=True)(note)
    ops.operation("direct")(note)
    ops.operation("limited", queueable=True, idempotent=True, limits=Limits(pending=1))(note)

    @ops.operation("file", queueable=True)
    def file(ctx: OperationContext, data: Any) -> File:
        return File(bytes(range(256)) * 100, "application/pdf", "Grüße.pdf")

    @ops.operation("refuse", queueable=True)
    def refuse(ctx: OperationContext, data: Any) -> None:
        raise OperationFailed("there is one already", code="DUPLICATE", details={"id": 7})

    @ops.operation("broken", queueable=True, retry=1)
    def broken(ctx: OperationContext, data: Any) -> None:
        raise ValueError("secret of the program")

    @ops.operation("hold", queueable=True, idempotent=True)
    def hold(ctx: OperationContext, data: str) -> bool:
        """Report, then wait for a file, or for being stopped; tells which."""
        ctx.report(1, 2, "half")
        until = time.monotonic() + _PATIENCE
        while not ctx.should_stop and not Path(data).exists():
            assert time.monotonic() < until, "nobody has opened the gate"
            time.sleep(0.01)
        note(ctx, "held")  # only now: on SQLite it takes the one lock for writing
        return ctx.should_stop

    return ops


def make_app(ops: Operations) -> Flask:
    """The application."""
    app = Flask(__name__)
    OperationsApi(app, ops, identity=_user)
    return app


def _user() -> User | None:
    name = request.headers.get("X-User")
    return User(name, is_admin=name == ROOT) if name else None


def main(url: str, port: str, with_worker: str) -> None:
    """Serve until the end, by SIGKILL."""
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    service = QueueService(url)
    app = make_app(make(service))
    if with_worker == "yes":
        threading.Thread(target=Worker(service).run, daemon=True).start()
    server = waitress.create_server(app, host="127.0.0.1", port=int(port), threads=8)
    print("ready", flush=True)
    server.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
