"""Connections that cannot carry all characters would damage what is stored, and say nothing."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine

from taskqueue import ConfigurationError, QueueService


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_given_connections_with_another_character_set_then_they_are_refused_at_first_use(database_url: str) -> None:
    engine = create_engine(database_url, connect_args={"charset": "utf8mb3"})

    with pytest.raises(ConfigurationError, match="add charset=utf8mb4 to its URL"):
        QueueService(engine).create("Sql", "jobs")
    engine.dispose()
