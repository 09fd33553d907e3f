"""Fixtures of the fault tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.child import recording
from tests.faults.stage import Stage


@pytest.fixture
def stage(database_url: str, tmp_path: Path) -> Iterator[Stage]:
    """A stage on the database of the test; this process takes part in the history too."""
    stage = Stage(database_url, tmp_path)
    try:
        with recording(stage.history):
            yield stage
    finally:
        stage.close()
