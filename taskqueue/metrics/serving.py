"""Showing metrics: as a WSGI view in an application, or on a port of their own beside workers."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable
from functools import lru_cache, partial
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from ..errors import ConfigurationError
from ..service import QueueService
from .collector import ServiceCollector
from .counters import process_counters
from .health import WSGIApp, health_app
from .optional import prometheus

_log = logging.getLogger(__name__)
#: Where the processes of a family leave their counters for each other; read by prometheus_client.
_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


def metrics_app(service: QueueService) -> WSGIApp:
    """A WSGI application that answers with the metrics of a service, for ``mount`` of your framework.

    The queues are counted at most every 5 seconds. Counters are those of this process; with
    ``PROMETHEUS_MULTIPROC_DIR`` set, those of all processes that share the folder. Raises
    :class:`ConfigurationError` without prometheus_client.
    """
    library = prometheus()
    counters, registry = process_counters(), library.CollectorRegistry()
    registry.register(ServiceCollector(service))
    if _FOLDER not in os.environ:
        registry.register(counters.registry)
    else:
        try:
            library.multiprocess.MultiProcessCollector(registry)
        except ValueError as error:
            raise ConfigurationError(f"{_FOLDER} names no folder: make {os.environ[_FOLDER]!r}, or unset it") from error
    app: WSGIApp = library.make_wsgi_app(registry)
    return app


def serve_metrics(service: QueueService, port: int, *, host: str = "127.0.0.1") -> MetricsServer:
    """Serve the metrics of a service over HTTP, until ``close()``; to be called before children are forked.

    Arguments:
        port: 0 lets the system choose; see ``.port`` of what is returned.
        host: the address to listen on; "0.0.0.0" lets other hosts ask. Nobody is asked for a password.

    Counters are those of this process and all that it forks from now on, ended ones included. Raises
    :class:`ConfigurationError` without prometheus_client, or when the port is taken.

    Under the path ``/healthz`` it is said whether the queues are looked after (:func:`health_app`), with all details.
    """
    share_with_children()
    metrics, health = metrics_app(service), health_app(service, tells=True)

    def by_path(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        return (health if environ.get("PATH_INFO") == "/healthz" else metrics)(environ, start_response)

    return MetricsServer(by_path, host, port)


@lru_cache(maxsize=1)
def share_with_children() -> None:
    """Let this process and its children count together; must come before anything imports prometheus_client."""
    if _FOLDER in os.environ:
        return
    if "prometheus_client" in sys.modules:
        _log.warning(
            "prometheus_client was imported before metrics were asked for, and cannot count what child processes do: "
            "set %s to an empty folder before the start", _FOLDER,
        )  # fmt: skip
        return
    os.environ[_FOLDER] = folder = tempfile.mkdtemp(prefix="taskqueue-metrics-")
    atexit.register(_remove, folder, os.getpid())


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:  # a child that ends leaves its counters to its parent
        shutil.rmtree(folder, ignore_errors=True)


class _Server(ThreadingMixIn, WSGIServer):
    """A thread for each request, so that a slow reader keeps nobody waiting."""

    daemon_threads = True


class _Handler(WSGIRequestHandler):
    """Silent, and with little patience."""

    timeout = 10

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged for each scrape."""


class MetricsServer:
    """An HTTP server in a thread of its own.

    Arguments:
        app: what answers.
        host, port: where to listen.
    """

    def __init__(self, app: WSGIApp, host: str, port: int) -> None:
        try:
            self._server = make_server(host, port, app, _Server, _Handler)
        except (OSError, OverflowError) as error:
            raise ConfigurationError(f"metrics cannot be served on {host}, port {port}: {error}") from error
        #: The port that it listens on.
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="taskqueue-metrics", daemon=True)
        self._thread.start()
        os.register_at_fork(after_in_child=partial(_leave, weakref.ref(self)))

    def close(self) -> None:
        """Stop answering and give the port back."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def leave(self) -> None:
        """In a forked child: the port is the parent's, and must not stay taken when that has ended."""
        self._server.socket.close()


def _leave(reference: weakref.ref[MetricsServer]) -> None:
    server = reference()
    if server is not None:
        server.leave()
