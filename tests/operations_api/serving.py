"""The application over a real server, in this process."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any

import waitress
from flask import Flask
from typing_extensions import Self

from taskqueue.errors import DatabaseError
from taskqueue.operations import Operations


class Server:
    """Serves an application, counts its answers, and executes what was deferred."""

    def __init__(self, app: Flask, ops: Operations) -> None:
        self.statuses: Counter[str] = Counter()
        self._app, self._ops = app, ops
        self._server: Any = waitress.create_server(self._counted, host="127.0.0.1", port=0, threads=4)
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._serve), threading.Thread(target=self._work)]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.effective_port}"

    def _counted(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        def begin(status: str, *rest: Any) -> Any:
            self.statuses[f"{environ['REQUEST_METHOD']} {status[:3]}"] += 1
            return start(status, *rest)

        return self._app(environ, begin)

    def _serve(self) -> None:
        with suppress(OSError):  # its socket was closed
            self._server.run()

    def _work(self) -> None:
        while not self._stopped.wait(0.05):
            with suppress(DatabaseError):
                self._ops.drain(wait=False)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopped.set()
        self._server.close()
        for thread in self._threads:
            thread.join(30)
