"""Fixtures of the attacks: the database of ``tests.web_api``, and one browser."""

from __future__ import annotations

from tests.web.conftest import browser
from tests.web_api.conftest import first_world, world

__all__ = ["browser", "first_world", "world"]
