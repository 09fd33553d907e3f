"""Clocks that a test moves, by libfaketime: those of a process, or those of a database server.

Only the wall clock is moved. With a moved monotonic clock libfaketime 0.9.10 breaks ``time.sleep`` of Python 3.11 and
later (EINVAL); even without, see ``faults.clocked``. Besides, no step of a host's clock moves its monotonic one.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

_LIBRARY = "faketime/libfaketimeMT.so.1"
#: A process that has looked at the file does so again when the second after the next one has begun.
_CACHED = 1
_FORGOTTEN_AFTER = _CACHED + 1.1


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
    """A wall clock that is so many seconds ahead of the right one, for all processes with this :attr:`environment`.

    Arguments:
        is_at_once: whether a new time counts for all processes at the same moment, as on a real host. They then look
            at the file whenever they look at the clock, which is slow. Else each finds out at a moment of its own.
    """

    def __init__(self, file: Path, ahead: float = 0, *, is_at_once: bool = False) -> None:
        self._file = file
        self._is_at_once = is_at_once
        self._known_at = 0.0
        self.set(ahead)

    def set(self, ahead: float) -> None:
        """It is so many seconds ahead."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{ahead:+.3f}\n")
        new.chmod(0o644)
        new.replace(self._file)  # nobody may read half of it
        self._known_at = time.monotonic() + (0 if self._is_at_once else _FORGOTTEN_AFTER)

    def wait_until_known(self) -> None:
        """Wait until every process goes by what was set last, also those that others have forked since."""
        time.sleep(max(self._known_at - time.monotonic(), 0))

    @property
    def environment(self) -> dict[str, str]:
        """What a process has to be started with."""
        return {
            "LD_PRELOAD": str(_library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            **({"FAKETIME_NO_CACHE": "1"} if self._is_at_once else {"FAKETIME_CACHE_DURATION": str(_CACHED)}),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
        }


def _library() -> Path | None:
    found = [*Path("/usr/lib").glob(f"*/{_LIBRARY}"), *Path("/usr/local/lib").glob(_LIBRARY)]
    return next(iter(found), None)
