"""What a contestant is: a module that puts tasks in, and a command that works."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

#: The address of the contestant's database or broker, for its processes.
URL = "BENCH_URL"


def url() -> str:
    """The address for this process."""
    return os.environ[URL]


def plain_url() -> str:
    """The same without the name of a driver, as PostgreSQL's own clients take it."""
    return url().replace("postgresql+psycopg://", "postgresql://")


@dataclass(frozen=True)
class Contestant:
    """One way of having tasks done."""

    name: str
    #: "redis", "redis-aof", "sqlite", "mariadb" or "postgresql".
    server: str
    #: What becomes of tasks when the machine or a process dies, in a few words.
    crash: str
    #: Its module in this package, which has ``produce(count, bulk)``.
    module: str
    #: The command of ONE worker process group that uses ``workers`` processes (or threads).
    work: Callable[[int], list[str]]
    #: How many worker commands are started for so many workers: those that have no processes of their own need several.
    commands: Callable[[int], int] = lambda workers: 1
    #: Further environment of its processes.
    environment: dict[str, str] = field(default_factory=dict)
    #: Whether more than one worker makes sense.
    is_parallel: bool = True
    #: The Python that it needs; on an older one it is left out.
    oldest_python: tuple[int, int] = (3, 10)
    #: Whether PostgreSQL gets fresh statistics after the tasks were put in.
    analysed: bool = True


def python(module: str, *words: str) -> list[str]:
    """The command that runs a module of this package."""
    return [sys.executable, "-m", f"benchmarks.peers.{module}", *words]
