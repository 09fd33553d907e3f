"""What is configured for a service, and what may be said about one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from ..durations import seconds_of
from ..errors import ConfigurationError, SpecError
from ..retries import DEFAULT, RetryPolicy, policy_of
from ..spec import OUTBOX_PAYLOAD, check_name, nearest, shown

#: The queue of all services that have none of their own.
QUEUE = "outbox"


@dataclass(frozen=True)
class ServiceOptions:
    """How the messages of a service are kept and tried.

    Arguments:
        outboxed: whether :meth:`Outbox.connect` gives the queued form of the service.
        queue: the queue on which its messages stand; services may share one.
        retry: a :class:`RetryPolicy`, or the name of one: "default" or "cap".
        max_attempts: goes before the attempts of the policy, wherever that was said; None: those of the policy.
        parallel: False: one message of the queue at a time, in their order, also after a failure.
        timeout: how long a handler may take without reporting, in seconds or as "1h".
        chunk_size: how many messages are taken from the queue at a time.
        store_last_error: False: of a failure only its class and its time are kept, for texts that may hold secrets.
        keep: for how long it is remembered that a message was delivered, and its result; None: not at all.
    """

    outboxed: bool = False
    queue: str = QUEUE
    retry: RetryPolicy = DEFAULT
    parallel: bool = True
    timeout: float = 3600.0
    chunk_size: int = 10
    store_last_error: bool = True
    keep: float | None = None
    max_attempts: int | None = None

    @property
    def policy(self) -> RetryPolicy:
        """How often and how soon a message is tried again."""
        return self.retry if self.max_attempts is None else replace(self.retry, attempts=self.max_attempts)

    def with_options(self, options: Mapping[str, Any], others: Sequence[str] = ()) -> ServiceOptions:
        """A copy with options replaced.

        Raises :class:`SpecError`; ``others`` are names that its sentence may propose as well.
        """
        given = dict(options)
        for name in given:
            if name not in NAMES:
                hint = nearest(name, (*NAMES, *others))
                raise SpecError(f"unknown option {name!r} of a queued service{hint}")
        if "retry" in given:
            given["retry"] = policy_of(given["retry"])
        if "timeout" in given:
            given["timeout"] = seconds_of(given["timeout"], "timeout")
        if given.get("keep") is not None:
            given["keep"] = seconds_of(given["keep"], "keep")
        if "queue" in given:
            check_name(given["queue"])
        changed = replace(self, **given)
        chunk = changed.chunk_size
        if not isinstance(chunk, int) or isinstance(chunk, bool) or chunk < 1:
            raise SpecError(f"chunk_size must be a whole number of at least 1, not {shown(chunk)}")
        if not changed.timeout:
            raise SpecError("timeout must be more than 0")
        for name in ("outboxed", "parallel", "store_last_error"):
            if not isinstance(getattr(changed, name), bool):
                raise SpecError(f"{name} must be True or False, not {shown(getattr(changed, name))}")
        attempts = changed.max_attempts
        if attempts is not None and (not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 1):
            raise SpecError(f"max_attempts must be a whole number of at least 1, not {shown(attempts)}")
        return changed

    def queue_options(self) -> dict[str, Any]:
        """What the queue is created with, its type included."""
        return {
            "type": "SqlParallel" if self.parallel else "Sql",
            "agent": "server",
            "payload": OUTBOX_PAYLOAD,
            "error": "dead",
            **self.changeable_options(),
        }

    def changeable_options(self) -> dict[str, Any]:
        """Those that a queue which stands already can be given."""
        return {"lease_time": self.timeout, "batch_limit": self.chunk_size, "keep_result": self.keep}


#: Those that are the queue's, so that services which share one must agree on them.
OF_QUEUE = ("parallel", "timeout", "chunk_size", "keep")
NAMES = tuple(field.name for field in fields(ServiceOptions))


def refuse_unequal(name: str, options: ServiceOptions, other: str, others: ServiceOptions) -> None:
    """Raise :class:`ConfigurationError` when two services share a queue, and say different things of it."""
    differing = [key for key in OF_QUEUE if getattr(options, key) != getattr(others, key)]
    if options.queue == others.queue and differing:
        listed = ", ".join(f"{key}={getattr(others, key)!r} and {getattr(options, key)!r}" for key in differing)
        raise ConfigurationError(
            f"services {other!r} and {name!r} share the queue {options.queue!r}, and say of it {listed}: say the same "
            "for both, or give one a queue of its own (option queue)"
        )


def refuse_conflict(name: str, before: ServiceOptions, now: ServiceOptions) -> None:
    """Raise :class:`ConfigurationError` when a service was queued with other options before."""
    differing = [key for key in NAMES if getattr(before, key) != getattr(now, key)]
    if differing:
        listed = ", ".join(f"{key}={getattr(before, key)!r} (not {getattr(now, key)!r})" for key in differing)
        raise ConfigurationError(
            f"service {name!r} was queued with {listed} before: say its options once, in Outbox(services=...)"
        )
