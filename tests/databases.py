"""Databases with much in them, as tests of plans and of costs fill them."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from taskqueue import QueueService


def fresh_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, kind: str, name: str
) -> str:
    """The URL of an empty database of one kind, of which nothing is left from a run before."""
    if kind == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp(name) / name}.db"
    server = request.getfixturevalue(f"{kind}_server")
    server.drop_database(name)
    server.create_database(name)
    return str(server.url(name))


def analyze(service: QueueService, tables: Iterable[str]) -> None:
    """Give the planner fresh statistics."""
    word = "ANALYZE TABLE" if service.database.dialect.name == "mysql" else "ANALYZE"
    for table in tables:
        service.database.statement(lambda tx, said=f"{word} {{{table}}}": tx.change(said))  # type: ignore[misc]
