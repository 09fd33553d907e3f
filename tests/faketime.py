"""Clocks that a test moves, by libfaketime: those of a process, or those of a database server.

Only the wall clock is moved. With a moved monotonic clock libfaketime 0.9.10 breaks ``time.sleep`` of Python 3.11 and
later (EINVAL); even without, see ``faults.clocked``. Besides, no step of a host's clock moves its monotonic one.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_LIBRARY = "faketime/libfaketimeMT.so.1"


def missing() -> str:
    """What is not installed, as a sentence; empty when it is."""
    return "" if _library() else f"libfaketime is not installed: {_LIBRARY} was not found"


def require() -> None:
    """At home a test without libfaketime is skipped; in CI that would hide that it never ran."""
    if reason := missing():
        if os.environ.get("CI"):
            pytest.fail(f"{reason}; under CI that is a failure", pytrace=False)
        pytest.skip(f"{reason}; `make test` installs it where it may")


class Clock:
    """A wall clock that is so many seconds ahead of the right one, for all processes with this :attr:`environment`."""

    def __init__(self, file: Path, ahead: float = 0) -> None:
        self._file = file
        self.set(ahead)

    def set(self, ahead: float) -> None:
        """It is so many seconds ahead, for those that run already within a second."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{ahead:+.3f}\n")
        new.chmod(0o644)
        new.replace(self._file)  # nobody may read half of it

    @property
    def environment(self) -> dict[str, str]:
        """What a process has to be started with."""
        return {
            "LD_PRELOAD": str(_library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            # Not at each look at the clock, which would slow everything down; so a new time counts within a second.
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
        }


def _library() -> Path | None:
    found = [*Path("/usr/lib").glob(f"*/{_LIBRARY}"), *Path("/usr/local/lib").glob(_LIBRARY)]
    return next(iter(found), None)
