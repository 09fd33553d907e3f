"""The options of a queue: their names, defaults, ranges, and the check that each value passes.

The names follow CiviCRM's queue reference; ``agent``, ``runner``, ``dead``, ``paused`` and ``retry_backoff``
are explained in the table of the README.
"""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from .errors import SpecError

STATUSES = ("active", "draft", "paused", "completed", "aborted")
ERROR_POLICIES = ("abort", "delete", "dead")
AGENTS = ("browser", "server")
TASK_PAYLOAD = "task"
#: The payload of the queues of an outbox, which registers the handler of it.
OUTBOX_PAYLOAD = "outbox"
OPERATION_PAYLOAD = "operation"
#: The payload of the queues of channels, whose messages are taken by their consumers and run by nobody.
CHANNEL_PAYLOAD = "channel"

_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,128}", re.ASCII)
_WEIGHT_LIMIT = 2**31
_YEAR = 366 * 86_400


@dataclass(frozen=True)
class QueueSpec:
    """What is registered of a queue: its name, its type and its options, with their defaults."""

    name: str
    type: str
    #: Who drives the queue: None anybody, "browser" pages and terminals only, "server" workers.
    agent: str | None = None
    #: At most so many items for one ``claim_items`` and one call of a handler.
    batch_limit: int = 1
    #: What becomes of an item that used up its attempts: "abort", "delete" or "dead"; None means "abort".
    error: str | None = None
    #: False: the registration is not stored (the items of an SQL queue are, all the same).
    is_persistent: bool = True
    #: Seconds that a task may take without reporting, and that a plain ``claim_item()`` holds an item.
    lease_time: float = 3600.0
    #: What the items are: "task", or the name of a handler; None means "task".
    payload: str | None = None
    #: Seconds until a failed item is tried again; None: at once.
    retry_interval: float | None = None
    #: How many failures are forgiven: a task is executed until it has failed ``retry_limit`` + 1 times.
    retry_limit: int = 0
    #: Each further retry waits this many times as long as the one before; 1.0: always the same.
    retry_backoff: float = 1.0
    #: At most so many items are executed at a time, by all workers together; None: no limit.
    concurrency_limit: int | None = None
    #: What a task returns is kept for so many seconds; None: not at all.
    keep_result: float | None = None
    #: The status becomes "completed" once all items have ended.
    complete_when_empty: bool = False
    #: One of ``STATUSES``, at the time of the registration.
    status: str = "active"
    #: The name of the queue whose options were taken over.
    template: str | None = None
    #: True: this registration only serves as a template for others.
    is_template: bool = False

    def options(self) -> dict[str, Any]:
        """The options alone, as given to :meth:`create`: without name, type and status."""
        return {key: value for key, value in asdict(self).items() if key not in ("name", "type", "status")}

    @property
    def policy(self) -> str:
        """The ``error`` option with its default filled in."""
        return self.error or "abort"

    def changed(self, options: Mapping[str, Any]) -> QueueSpec:
        """A copy with ``options`` replaced, checked. Raises :class:`SpecError`."""
        return _consistent(replace(self, **check_options(options)))

    def retry_delay(self, failures: int) -> float:
        """Seconds to wait after the ``failures``-th failure of an item, before any jitter; at most a year."""
        if not self.retry_interval:
            return 0.0
        try:
            return min(self.retry_interval * self.retry_backoff ** max(failures - 1, 0), _YEAR)
        except OverflowError:
            return _YEAR


def make_spec(name: str, type: str, options: Mapping[str, Any]) -> QueueSpec:
    """A checked specification. Raises :class:`SpecError` on a bad name, option or combination."""
    return _consistent(QueueSpec(name=check_name(name), type=type, **check_options(options)))


def is_name(name: object) -> bool:
    """Whether that may be a name."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def check_name(name: object, what: str = "queue") -> str:
    """``name`` if it may name a queue or ``what``: 1 to 128 ASCII letters, digits and ``_ . : -``, compared exactly."""
    if is_name(name):
        return str(name)
    article = "an" if what[:1] in "aeiou" else "a"
    raise SpecError(
        f"{shown(name)} cannot name {article} {what}: use 1 to 128 ASCII letters, digits, '_', '.', ':' or '-'"
    )


def check_weight(weight: object, what: str = "weight") -> int:
    """``weight`` if it is a whole number of 32 bits; lower weights go first."""
    if isinstance(weight, int) and not isinstance(weight, bool) and -_WEIGHT_LIMIT <= weight < _WEIGHT_LIMIT:
        return weight
    raise SpecError(f"{what} must be a whole number of at most 32 bits, not {shown(weight)}")


def check_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with every value checked and the deprecated ``runner`` translated. Raises :class:`SpecError`."""
    given = dict(options)
    _translate_runner(given)
    for key, value in given.items():
        check = _CHECKS.get(key)
        if check is None:
            raise SpecError(_unknown_option(key))
        given[key] = check(key, value)
    return given


def nearest(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` for a typing error, else an empty text."""
    found = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {found[0]!r}?)" if found else ""


def shown(value: object) -> str:
    """``repr`` of a value from outside, short enough for a sentence."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _translate_runner(options: dict[str, Any]) -> None:
    runner = options.pop("runner", None)
    if runner is None:
        return
    warnings.warn("option runner= is deprecated; use agent='server' and payload=", DeprecationWarning, stacklevel=5)
    options.setdefault("agent", "server")
    options.setdefault("payload", runner)


def _consistent(spec: QueueSpec) -> QueueSpec:
    if spec.agent == "server" and spec.payload in (None, TASK_PAYLOAD) and spec.error is None:
        raise SpecError(
            f"queue {spec.name!r} is served by workers (agent='server') and must say what becomes of a failed "
            "task: give error='abort', 'delete' or 'dead'"
        )
    return spec


def _unknown_option(key: str) -> str:
    known = [field.name for field in fields(QueueSpec) if field.name not in ("name", "type")]
    return f"unknown queue option {shown(key)}{nearest(str(key), known)}; known are {', '.join(known)}"


Check = Callable[[str, Any], Any]


def _one_of(values: tuple[str, ...], *, optional: bool) -> Check:
    def check(key: str, value: Any) -> Any:
        if (value is None and optional) or (isinstance(value, str) and value in values):
            return value
        allowed = ", ".join(map(repr, values)) + (" or None" if optional else "")
        hint = nearest(value, values) if isinstance(value, str) else ""
        raise SpecError(f"option {key} must be one of {allowed}, not {shown(value)}{hint}")

    return check


def _whole(least: int, *, optional: bool = False) -> Check:
    def check(key: str, value: Any) -> int | None:
        if value is None and optional:
            return None
        if isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**31:
            return value
        raise SpecError(f"option {key} must be a whole number of at least {least}, not {shown(value)}")

    return check


def _number(least: float, what: str, *, above: bool = False, optional: bool = False) -> Check:
    def check(key: str, value: Any) -> float | None:
        if value is None and optional:
            return None
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            number = float(value) if abs(value) <= _YEAR else float("inf")
            if (number > least if above else number >= least) and number <= _YEAR:
                return number
        bound = "more than" if above else "at least"
        raise SpecError(f"option {key} must be {what} of {bound} {least:g} and at most a year, not {shown(value)}")

    return check


def _flag(key: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise SpecError(f"option {key} must be True or False, not {shown(value)}")


def _word(key: str, value: Any) -> str | None:
    if value is None or (isinstance(value, str) and _NAME.fullmatch(value)):
        return value
    raise SpecError(f"option {key} must be a name or None, not {shown(value)}")


_CHECKS: dict[str, Check] = {
    "agent": _one_of(AGENTS, optional=True),
    "batch_limit": _whole(1),
    "error": _one_of(ERROR_POLICIES, optional=True),
    "is_persistent": _flag,
    "lease_time": _number(0, "seconds", above=True),
    "payload": _word,
    "retry_interval": _number(0, "seconds", optional=True),
    "retry_limit": _whole(0),
    "retry_backoff": _number(1, "a factor"),
    "concurrency_limit": _whole(1, optional=True),
    "keep_result": _number(0, "seconds", above=True, optional=True),
    "complete_when_empty": _flag,
    "status": _one_of(STATUSES, optional=False),
    "template": _word,
    "is_template": _flag,
}
