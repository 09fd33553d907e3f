"""A tap on the line between the package and a database's driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from taskqueue import forks
from taskqueue.storage import database
from taskqueue.storage.channel import Channel, open_channel
from tests.statements import Conversation

#: Called with the statement, whether it makes something durable, and what sends it.
Tap = Callable[[str, bool, Callable[[], Any]], Any]


class TappedCursor:
    """A driver's cursor whose statements pass through a tap."""

    def __init__(self, cursor: Any, tap: Tap) -> None:
        self._cursor = cursor
        self._tap = tap
        self._conversation = Conversation()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def execute(self, sql: str, *parameters: Any) -> Any:
        return self._tap(sql, self._conversation.commits(sql), lambda: self._cursor.execute(sql, *parameters))


def forget_lent() -> None:
    """Let what was opened before be in use no more."""
    for known in list(forks._inherited):
        if isinstance(known, database.Database):
            known.lending.clear()


def tap(monkeypatch: pytest.MonkeyPatch, through: Tap) -> None:
    """Put a tap on every channel that is opened from now on."""

    def tapped(*args: Any, **options: Any) -> Channel:
        channel = open_channel(*args, **options)
        channel.cursor = TappedCursor(channel.cursor, through)
        return channel

    monkeypatch.setattr(database, "open_channel", tapped)
    forget_lent()
