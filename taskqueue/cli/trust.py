"""Commands that execute tasks refuse to begin while nothing says which code may run."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import ConfigurationError
from ..queues.batch import BatchQueue
from ..spec import TASK_PAYLOAD
from .output import counted


def require_allowed(queues: Iterable[BatchQueue], otherwise: str = "") -> None:
    """Raise :class:`ConfigurationError` if one of the queues holds tasks; ``otherwise`` says what else can be done."""
    for queue in queues:
        is_for_tasks = queue.spec.payload in (None, TASK_PAYLOAD)
        if is_for_tasks and not queue.settings.allow.given and (number := queue.number_of_items()):
            raise ConfigurationError(
                f"nothing says which code may run, so queue {queue.name!r} keeps its {counted(number, 'item')} "
                "untouched: name the packages that you trust by --allow PREFIX, TASKQUEUE_ALLOW, or allow= of a "
                f"service given by --app{otherwise}"
            )
