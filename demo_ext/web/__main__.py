"""``python -m demo_ext.web``: serve the demonstrations on loopback until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import logging
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Any

import waitress
from flask import Flask
from waitress import wasyncore

from taskqueue import TaskQueueError

from . import beside, create_app
from .sources import MAX_UPLOAD

_HOST = "127.0.0.1"
_PORT = 8480
_THREADS = 8


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve, and return the exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # that a request waits for a moment is no news
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        listener = _listener(options.port)
    except OSError as error:
        print(f"Error: port {options.port} cannot be used ({error.strerror}): choose another --port", file=sys.stderr)
        return 2
    with listener:
        try:
            app = create_app()
        except TaskQueueError as error:
            print(f"Error: {error}", file=sys.stderr)
            return 2
        print(f"The demonstration is at http://{_HOST}:{listener.getsockname()[1]}/ (Ctrl-C ends it)", flush=True)
        with beside.running(app):
            _serve(app, listener)
    # At the end of the process taskqueue.web waits TASKQUEUE_SHUTDOWN_GRACE seconds for the task in hand.
    print("Stopping: a task in hand is finished first, and what is left waits for the next start.", flush=True)
    return 0


def _listener(port: int | None) -> socket.socket:
    try:
        return socket.create_server((_HOST, _PORT if port is None else port))
    except OSError:
        if port is not None:
            raise
        return socket.create_server((_HOST, 0))  # the usual port is taken: any other will do


def _serve(app: Flask, listener: socket.socket) -> None:
    connections: dict[int, Any] = {}
    # Waitress reads a request to its end before the application sees it: what is far too large never gets that far.
    options = {"threads": _THREADS, "max_request_body_size": 4 * MAX_UPLOAD, "ident": None}
    server = waitress.create_server(app, map=connections, sockets=[listener], **options)
    server.run()  # returns on SystemExit, when the requests in hand are answered
    wasyncore.close_all(connections, ignore_all=True)


def _stop(number: int, _frame: object) -> None:
    """End in good order; whoever asks a second time does not want to wait."""
    for again in (signal.SIGINT, signal.SIGTERM):
        signal.signal(again, signal.SIG_DFL)
    sys.exit(0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m demo_ext.web",
        description="Import CSV files as small tasks on a durable queue, or book orders with an outbox.",
        epilog="An import that was interrupted, even by kill -9, goes on when its progress page is opened again.",
    )
    wanted = f"port on {_HOST}; 0: any free one (default: {_PORT}, or a free one if that is taken)"
    parser.add_argument("--port", type=_port, metavar="N", help=wanted)
    return parser


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 <= int(text) <= 65_535:
        raise argparse.ArgumentTypeError(f"a whole number from 0 to 65535 is needed, not {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
