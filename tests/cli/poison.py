"""Tasks that harm whoever executes them, in processes of their own."""

from __future__ import annotations

import ctypes
import locale
import os
import resource
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from taskqueue import QueueService

#: Notices in a test's time that a process has died.
service = QueueService(allow=[__name__], lease_slice=1.0, heartbeat=0.3)


def leave(ctx: Any) -> None:
    """End the process without a word."""
    os._exit(3)


def crash(ctx: Any) -> None:
    """Read where nothing is."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.string_at(0)


def kill_itself(ctx: Any) -> None:
    """What the kernel does to who uses up the memory of the host."""
    os.kill(os.getpid(), signal.SIGKILL)


def abort(ctx: Any) -> None:
    """As a library in C does that has lost its way."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.abort()


def kill_group(ctx: Any) -> None:
    """End all processes of the command, its supervisor too."""
    os.killpg(0, signal.SIGKILL)


def handle_signals(ctx: Any) -> None:
    """Take no notice of SIGTERM any more, which Python allows the main thread only."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def take_memory(ctx: Any) -> None:
    """Ask for more memory than there may be: Python can say so."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (2**30, before[1]))
    try:
        bytearray(2**31)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def recurse(ctx: Any) -> Any:
    """Never come back."""
    return recurse(ctx)


def exit_by_exception(ctx: Any) -> None:
    """SystemExit."""
    sys.exit(4)


def interrupt(ctx: Any) -> None:
    """KeyboardInterrupt, though nobody has pressed a key."""
    raise KeyboardInterrupt


def stop_generator(ctx: Any) -> None:
    """GeneratorExit."""
    raise GeneratorExit


def cut_lines(ctx: Any) -> None:
    """Close every connection of the process to the network, then go on as if nothing had happened."""
    for file in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if str(file.readlink()).startswith("socket:"):
                with socket.socket(fileno=os.dup(int(file.name))) as copy:
                    copy.shutdown(socket.SHUT_RDWR)


def change_all(ctx: Any, folder: str) -> None:
    """Change what belongs to the whole process; handlers of signals Python lets no thread but the main one change."""
    os.chdir("/")
    os.environ.clear()
    locale.setlocale(locale.LC_ALL, "C")


def note(ctx: Any, folder: str, number: int) -> None:
    """Leave a trace."""
    file = os.open(Path(folder) / "noted", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, f"{number}\n".encode())
    os.close(file)
