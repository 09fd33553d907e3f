"""Serving the pages until a signal ends it, in good order."""

from __future__ import annotations

import errno
import importlib
import ipaddress
import logging
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Callable
from signal import Signals
from typing import Any

from ..errors import ConfigurationError, TaskQueueError
from ..web.alone import Alone
from .signals import Interrupts

#: Requests that are answered at a time; one that drives waits for its slice.
_THREADS = 8
#: How often somebody at the terminal is looked for, and the end of what is in hand (seconds).
_LOOK_EVERY, _TICK = 0.5, 0.05
#: What is being answered may still be sent for so long (seconds).
_LEAVING = 1.0


def listen(host: str, port: int) -> socket.socket:
    """A socket on one address of ``host``; port 0 is any free one."""
    try:
        return _bound(*socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0])
    except (OSError, UnicodeError) as error:
        hint = "; leave --port out for any free one" if getattr(error, "errno", None) == errno.EADDRINUSE else ""
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(f"cannot listen on {host} port {port}: {reason}{hint}") from error


def _bound(family: int, kind: int, protocol: int, _name: str, address: Any) -> socket.socket:
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def is_private(host: str) -> bool:
    """Whether only this machine reaches ``host``."""
    try:
        found = {str(entry[4][0]).partition("%")[0] for entry in socket.getaddrinfo(host or None, 0)}
    except (OSError, UnicodeError):
        return True  # nobody reaches it, and listening on it will say so
    return bool(host) and all(ipaddress.ip_address(address).is_loopback for address in found)


def address_of(listener: socket.socket) -> str:
    """What a browser calls it."""
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = socket.gethostname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def web_server() -> Any:
    """The module waitress. Raises :class:`ConfigurationError` when it is not installed."""
    try:
        return importlib.import_module("waitress")
    except ImportError as error:
        raise ConfigurationError(
            "serving the pages needs the package waitress: pip install 'taskqueue-runner[web]'"
        ) from error


def serve(
    pages: Alone, listener: socket.socket, *, grace: float, tell: Callable[[], None], stopping: Callable[[], None]
) -> Signals:
    """Serve ``pages`` until SIGINT or SIGTERM; return which.

    Then nothing more is begun, and the tasks in hand get ``grace`` seconds; a second signal ends that.

    Arguments:
        tell: called once the pages are there, and again for each line that is typed.
        stopping: called at the first signal.
    """
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    server = web_server().create_server(pages.app, sockets=[listener], threads=_THREADS, ident=None)
    stopped = threading.Event()

    def answer() -> None:
        try:
            server.run()
        finally:
            stopped.set()

    def stop() -> None:
        stopped.set()
        stopping()

    with Interrupts(stop, grace) as interrupts:
        threading.Thread(target=answer, name="taskqueue-web", daemon=True).start()
        tell()
        threading.Thread(target=_listen_to_terminal, args=(tell,), name="taskqueue-typed", daemon=True).start()
        stopped.wait()
        closing = threading.Thread(target=pages.site.slices.close, args=(grace,), name="taskqueue-close", daemon=True)
        closing.start()
        while closing.is_alive() and not interrupts.is_over:
            closing.join(_TICK)
        pages.site.slices.close(0)  # nor does the end of the process wait any more
        _close(server)
    if interrupts.signal is None:
        raise TaskQueueError("the web server has ended by itself")
    return interrupts.signal


def _close(server: Any) -> None:
    logging.getLogger("waitress").setLevel(logging.CRITICAL)  # that it is cut short is what was asked for
    server.task_dispatcher.shutdown(timeout=_LEAVING)
    closed = threading.Event()

    def close() -> None:
        server.close()
        closed.set()

    # By the thread that waits for its sockets: they must not be closed under its hands.
    server.trigger.pull_trigger(close)
    closed.wait(_LEAVING)


def _listen_to_terminal(tell: Callable[[], None]) -> None:
    if sys.stdin is None:
        return
    try:
        file = sys.stdin.fileno()
        while True:
            # In the background of a shell, reading from the terminal would stop the whole process.
            if os.isatty(file) and os.tcgetpgrp(file) != os.getpgrp():
                time.sleep(_LOOK_EVERY)
            elif select.select([file], [], [], _LOOK_EVERY)[0]:
                typed = os.read(file, 4096)
                if not typed:
                    return
                if b"\n" in typed:
                    tell()
    except (OSError, ValueError):  # there is no terminal, or no more
        return
