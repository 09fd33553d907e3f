"""What whoever watches a run is shown."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from .result import Progress, RunResult, Watcher

_log = logging.getLogger(__name__)


class Watching:
    """Shows each step of a run to a watcher, if there is one."""

    def __init__(self, watcher: Watcher | None) -> None:
        self._watcher = watcher
        self._shown = Progress()

    def show(self, **changes: Any) -> None:
        """Show what was shown before, with ``changes``."""
        if self._watcher is None:
            return
        self._shown = replace(self._shown, **changes)
        try:
            self._watcher(self._shown)
        except Exception:  # whoever only watches must not decide how a task ends
            _log.exception("the progress callback failed and was ignored")

    def item(self, title: str) -> None:
        """An item is in hand."""
        self.show(title=title, done=0, total=None, message="", waiting=None)

    def counts(self, result: RunResult, left: int) -> None:
        """No item is in hand; so many ended, and are left."""
        self.show(
            title="",
            done=0,
            total=None,
            message="",
            completed=result.completed,
            failed=result.failed,
            remaining=max(left, 0),
        )
