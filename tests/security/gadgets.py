"""What an attacker would like to have called: a module that nobody has allowed; it leaves marks when it is used."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from uuid import uuid4

#: Name of the environment variable with the folder in which each call leaves a file.
MARKS = "TASKQUEUE_TEST_MARKS"


def leave_mark(*args: Any, **kwargs: Any) -> None:
    """Takes any arguments, so that no attack fails for a reason other than that it was refused."""
    (Path(os.environ[MARKS]) / uuid4().hex).touch()


class Gadget:
    """Leaves a mark when it is made, called or rebuilt."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        leave_mark()

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        leave_mark()

    def __reduce__(self) -> tuple[Any, ...]:
        return leave_mark, ()

    def method(self, *args: Any) -> None:
        leave_mark()
