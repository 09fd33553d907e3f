"""Forked children, and threads that stand still in the middle of something while the process forks."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest


def forked(work: Callable[[], object]) -> int:
    """Do it in a forked child, which ends without a word to anybody; its process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.alarm(30)
        work()
        code = 0
    finally:
        os._exit(code)


def code_of(pid: int) -> int:
    """The exit code of a child, when it has ended."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@contextmanager
def halted(monkeypatch: pytest.MonkeyPatch, where: ModuleType, name: str, work: Callable[[], object]) -> Iterator[None]:
    """Inside, another thread that does the work stands still where it calls the function of that name."""
    function, has_come, goes_on = getattr(where, name), threading.Event(), threading.Event()

    def halting(*args: Any, **options: Any) -> Any:
        if threading.current_thread() is thread:
            has_come.set()
            goes_on.wait()
        return function(*args, **options)

    thread = threading.Thread(target=work)
    monkeypatch.setattr(where, name, halting)
    thread.start()
    try:
        assert has_come.wait(30)
        yield
    finally:
        goes_on.set()
        thread.join()
