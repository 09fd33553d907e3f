"""Fixtures of the tests of the web addresses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web_api.tasks import JOURNAL
from tests.web_api.world import World, build


@pytest.fixture(scope="package")
def first_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The database from which the others are copied."""
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(JOURNAL, str(folder / "journal"))
        return build(folder)


@pytest.fixture
def world(first_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A copy of the database, and a journal in which nothing stands yet."""
    world = first_world.copy(tmp_path / "world")
    monkeypatch.setenv(JOURNAL, str(world.journal))
    yield world
    world.close()
