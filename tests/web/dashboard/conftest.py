"""Fixtures of the dashboard's browser tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.web.conftest import Sites
from tests.web.dashboard.board import USERS, Board, board_of

Boards = Callable[..., Board]


@pytest.fixture
def boards(sites: Sites) -> Iterator[Boards]:
    """Makes dashboards on sites with settings of their own."""
    with ExitStack() as stack:

        def open_board(**config: Any) -> Board:
            return stack.enter_context(board_of(sites(**{"TEST_DASHBOARD": USERS, **config})))

        yield open_board


@pytest.fixture
def board(boards: Boards) -> Board:
    """The one with the usual settings; others have used its database before."""
    return boards()
