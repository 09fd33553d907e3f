"""The outbox that is meant by --app, --database and --tenant, and its queues."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import TypeVar

import click

from ..errors import ConfigurationError, SpecError
from ..outbox.outbox import Outbox
from ..queues.batch import BatchQueue
from ..spec import OUTBOX_PAYLOAD, nearest
from .output import one_line
from .service import Given

Found = TypeVar("Found")
tenant_option = click.option("--tenant", metavar="NAME", help="On the database of this tenant.")


def outbox_of(given: Given) -> Outbox:
    """What delivers: it knows the services, which only the application has. Raises :class:`ConfigurationError`."""
    found = given.service.settings.outbox
    if isinstance(found, Outbox):
        return found
    raise ConfigurationError(
        "nothing says who delivers: name by --app a QueueService whose module makes (or imports) its Outbox"
    )


def queues_of(given: Given, tenant: str | None) -> Callable[[str | None], Iterable[BatchQueue]]:
    """The queues of the outbox of --app; of a database alone those of all applications."""
    if tenant is not None:
        return outbox_of(given).for_tenant(tenant).queues.named
    outbox = given.service.settings.outbox
    if isinstance(outbox, Outbox) and given.missing_file is None:
        return outbox.queues.named

    def named(name: str | None) -> list[BatchQueue]:
        found = [queue for queue in given.queues() if queue.spec.payload == OUTBOX_PAYLOAD]
        chosen = [queue for queue in found if name in (None, queue.name)]
        if name is not None and not chosen:
            raise SpecError(f"no outbox has a queue {name!r}{nearest(name, [queue.name for queue in found])}")
        return chosen

    return named


def of_service(given: Given, name: str | None, found: Iterator[Found]) -> Iterator[Found]:
    """What was found of a service. Raises :class:`SpecError` when that is nothing because the application has no such
    service: only then, as there may be messages of one that was given up. A database alone says nothing of services."""
    first = next(found, None)
    if first is not None:
        return chain([first], found)
    outbox = given.service.settings.outbox
    if name is not None and isinstance(outbox, Outbox):
        outbox.check_service(name)
    return found


def say_none(given: Given, tenant: str | None, sentence: str) -> None:
    """Say that there are none: with ``sentence``, unless that is because there is no database file."""
    if tenant is None and given.missing_file is not None:
        sentence = f"There are no messages, nor a database file {one_line(given.missing_file)}."
    click.echo(sentence)
