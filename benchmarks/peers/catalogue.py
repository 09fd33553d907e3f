"""All contestants, and what each says of a crash."""

from __future__ import annotations

import sys

from .contestant import Contestant, python

_YES, _NO = "nothing is lost", "tasks are lost"
_BATCH_AGAIN = "nothing is lost, a batch is repeated"
_SQL = ("sqlite", "mariadb", "postgresql")


def _celery(*options: str) -> list[str]:
    return [sys.executable, "-m", "celery", "-A", "benchmarks.peers.with_celery", "worker", "-l", "ERROR", *options]


def _dramatiq(workers: int, threads: int) -> list[str]:
    return [sys.executable, "-m", "dramatiq", "benchmarks.peers.with_dramatiq", "-p", str(workers), "-t", str(threads)]


def _work(workers: int, *options: str) -> list[str]:
    return [sys.executable, "-m", "taskqueue", "work", "bench", "--allow", "benchmarks", "--processes", str(workers),
            *options]  # fmt: skip


def _floor(kind: str, server: str, crash: str) -> Contestant:
    return Contestant(
        f"floor {kind}", server, crash, "with_floor", lambda workers: python("with_floor", kind),
        commands=lambda workers: workers,
    )  # fmt: skip


OURS = [
    contestant
    for server in _SQL
    for contestant in (
        Contestant("taskqueue Sql, run_all", server, _YES, "with_taskqueue", lambda workers: python("with_taskqueue"),
                   environment={"BENCH_TYPE": "Sql"}, is_parallel=False),
        Contestant("taskqueue SqlParallel", server, _YES, "with_taskqueue", _work),
        Contestant("taskqueue SqlParallel, grouped", server, _BATCH_AGAIN, "with_taskqueue",
                   lambda workers: _work(workers, "--grouped")),
    )
]  # fmt: skip
FLOORS = [
    _floor(kind, server, crash)
    for server in _SQL
    for kind, crash in (("1c", _YES), ("p100", _YES), ("b100", _BATCH_AGAIN))
]
PEERS = [
    Contestant("Celery, prefork", "redis", _NO, "with_celery",
               lambda workers: _celery("-P", "prefork", "-c", str(workers))),
    Contestant("Celery, solo each", "redis", _NO, "with_celery", lambda workers: _celery("-P", "solo"),
               commands=lambda workers: workers),
    Contestant("Celery, acks_late, append file", "redis-aof", _YES, "with_celery",
               lambda workers: _celery("-P", "prefork", "-c", str(workers)), environment={"BENCH_ACKS_LATE": "1"}),
    Contestant("RQ, SimpleWorker", "redis", _NO, "with_rq", lambda workers: python("with_rq"),
               commands=lambda workers: workers),
    Contestant("Dramatiq, 8 threads", "redis", "tasks are lost with the server", "with_dramatiq",
               lambda workers: _dramatiq(workers, 8)),
    Contestant("Huey on Redis", "redis", _NO, "with_huey", lambda workers: python("with_huey", str(workers)),
               environment={"BENCH_KIND": "process"}),
    Contestant("Huey on SQLite", "sqlite", "the task in hand is lost", "with_huey",
               lambda workers: python("with_huey", str(workers))),
    Contestant("Procrastinate", "postgresql", _YES, "with_procrastinate", lambda workers: python("with_procrastinate"),
               commands=lambda workers: workers),
    Contestant("PgQueuer, batch 10", "postgresql", _BATCH_AGAIN, "with_pgqueuer",
               lambda workers: python("with_pgqueuer", "10"), commands=lambda workers: workers),
    Contestant("PgQueuer, batch 100", "postgresql", _BATCH_AGAIN, "with_pgqueuer",
               lambda workers: python("with_pgqueuer", "100"), commands=lambda workers: workers),
    *(
        Contestant(f"Oban, {limit} at a time", "postgresql", _YES, "with_oban",
                   lambda workers, limit=limit: python("with_oban", str(limit)),
                   commands=lambda workers: workers, oldest_python=(3, 12))
        for limit in (10, 100)
    ),
    Contestant("CiviCRM's statements", "mariadb", _YES, "with_civicrm", lambda workers: python("with_civicrm"),
               is_parallel=False),
]  # fmt: skip
CONTESTANTS = [*OURS, *FLOORS, *PEERS]
