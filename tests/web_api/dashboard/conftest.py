"""Fixtures of the tests of the dashboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web_api.dashboard.stage import Stage, build
from tests.web_api.tasks import JOURNAL


@pytest.fixture(scope="package")
def first_stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """The database from which the others are copied."""
    folder = tmp_path_factory.mktemp("stage")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(JOURNAL, str(folder / "journal"))
        return build(folder)


@pytest.fixture
def stage(first_stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A copy of the database."""
    stage = first_stage.copy(tmp_path / "stage")
    monkeypatch.setenv(JOURNAL, str(stage.folder / "journal"))
    yield stage
    stage.close()
