"""What the tasks of these tests do."""

from __future__ import annotations

from typing import Any


def nothing(ctx: Any) -> None:
    """A task."""
