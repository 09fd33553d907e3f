"""Showing the metrics of a family of processes from a process of its own.

The parent of workers forks again whenever one of them dies, and must have no thread that could hold a lock meanwhile.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..errors import ConfigurationError
from ..service import QueueService
from .counters import process_counters
from .serving import serve_metrics, share_with_children

#: So often (seconds) the process looks whether its parent is still there.
_LOOK_EVERY = 0.5


@contextmanager
def metrics_beside(service: QueueService, port: int, *, host: str = "127.0.0.1") -> Iterator[int]:
    """Serve metrics from a forked process inside the block; gives the port. What is forked in the block is counted.

    Arguments as of :func:`serve_metrics`. Raises :class:`ConfigurationError` when the port cannot be had.
    """
    share_with_children()
    process_counters()
    service.close()  # the child shall inherit no connection
    parent, (reading, writing) = os.getpid(), os.pipe()
    pid = os.fork()
    if not pid:
        _show(service, port, host, parent, writing)
    os.close(writing)
    try:
        yield _port(reading)
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _port(reading: int) -> int:
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    if not said.isdecimal():
        raise ConfigurationError(said or "the process that should show metrics has died")
    return int(said)


def _show(service: QueueService, port: int, host: str, parent: int, writing: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it shows the workers' last items, too; the parent ends it
    with os.fdopen(writing, "w") as pipe:
        try:
            pipe.write(str(serve_metrics(service, port, host=host).port))
        except BaseException as error:
            pipe.write(str(error))
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY)
    os._exit(0)  # what the parent has registered for its own exit is not ours
