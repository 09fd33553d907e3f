"""The application behind the page that is measured: ``python -m benchmarks.page_app DATABASE_URL PORT``."""

from __future__ import annotations

import sys
from typing import Any

from flask import Flask, Response, request
from waitress import serve

from taskqueue import QueueService, Runner, Task
from taskqueue.web import TaskQueue

from . import work


def create_app(url: str) -> Flask:
    """One address that fills a queue and shows its run, and one that tells how many requests came."""
    app = Flask(__name__)
    app.secret_key = "only for this benchmark, on loopback"  # noqa: S105
    service = QueueService(url, allow=["benchmarks"])
    TaskQueue(app, service)
    seen: list[str] = []

    @app.before_request
    def count() -> None:
        if request.blueprint and not request.path.endswith((".js", ".css", ".svg")):
            seen.append(request.path)

    @app.get("/go/<int:tasks>")
    def go(tasks: int) -> Any:
        queue = service.create("Sql", "page", reset=True)
        queue.create_items(Task(work.quiet, (work.argument(number),)) for number in range(tasks))
        seen.clear()
        return Runner(queue, title="Benchmark").run_all_via_web()

    @app.get("/requests")
    def requests() -> Response:
        return Response(str(len(seen)), mimetype="text/plain")

    return app


if __name__ == "__main__":
    serve(create_app(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]), threads=8)
