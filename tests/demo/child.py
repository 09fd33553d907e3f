"""A process of the application that kills itself at a chosen moment, or finds its file changed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from itertools import count

from sqlalchemy import event
from sqlalchemy.orm import Session

from demo_ext.app import import_queue, service
from demo_ext.start import begin
from taskqueue import Runner, travel

BATCH = 2


def killed(source: str, moment: str, number: str) -> None:
    """Import, but die by SIGKILL right before or after the commit of the task with that number."""
    begin([source], BATCH)
    commits = count(1)

    def die(session: Session) -> None:
        if next(commits) == int(number):
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Session, moment, die)
    Runner(import_queue()).run_all()


def finish() -> None:
    """Go on with the import, at a time at which the leases of the dead have ended."""
    with travel(60):
        result = Runner(import_queue()).run_all()
    assert result, result.exception


def cut(source: str) -> None:
    """Begin an import and stop once the file is cut into batches: three tasks."""
    begin([source], BATCH)
    runner = Runner(import_queue())
    for _ in range(3):
        assert not runner.run_next().is_error


if __name__ == "__main__":
    modes: dict[str, Callable[..., None]] = {"killed": killed, "finish": finish, "cut": cut}
    modes[sys.argv[1]](*sys.argv[2:])
    service.close()
