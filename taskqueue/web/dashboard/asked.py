"""One request for a page of the dashboard, and what a page is before it is drawn."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flask import request

from ...dashboard.filters import Filter
from ...dashboard.lines import Names
from ...dashboard.lists import Lists
from ...errors import DatabaseError, QueueNotFound, SpecError
from ...queues.sql_base import SqlBase
from ..answers import Refusal
from ..i18n import Translations
from ..posted import bad
from ..site import Site
from . import labels
from .access import Access

_log = logging.getLogger(__name__)
#: What an act says in the address to which it leads back: what was done, to how many, of how many.
RESULT = ("done", "n", "of")
#: What an address may carry besides the fields of a filter.
_COMMON = ("after", "format", *RESULT)


@dataclass(frozen=True)
class Shown:
    """A page: what scripts get as JSON, and what only its drawing needs."""

    template: str
    title: str
    facts: dict[str, Any]
    extras: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """One request of somebody who may look."""

    site: Site
    access: Access
    translate: Translations

    @property
    def args(self) -> Mapping[str, str]:
        """What stands behind the question mark."""
        return request.args

    @property
    def lists(self) -> Lists:
        """The lists, for the queues that the visitor may see."""
        return Lists(self.site.service, self.access.names, is_all=self.access.sees_all, names=self.names,
                     sees=lambda name: self.may("view", name))  # fmt: skip

    @property
    def names(self) -> Names:
        """What items are called for the visitor."""
        unpack, hook = self.site.service.settings.codec.unpack, self.site.redact
        return Names(unpack, shows_data=lambda name: self.may("view_args", name), hook=hook)

    def may(self, action: str, queue: str | None = None) -> bool:
        """Whether the visitor may."""
        return self.access.may(action, queue)

    def filter(self, states: tuple[str, ...] = (), given: Mapping[str, str] | None = None) -> Filter:
        """The filter in the address. Raises :class:`Refusal` (400, or 404 where a queue is none, or hidden)."""
        try:
            wanted = Filter.of(self.args if given is None else given, states)
        except SpecError as error:
            raise Refusal(400, "bad_request", str(error)) from None
        if wanted.queue and wanted.queue not in self.access.names:
            raise hidden(self.site, self.translate)
        return wanted

    def only(self, *known: str) -> None:
        """Refuse (400) an address with other parameters: else somebody takes all for what was meant."""
        for name in self.args:
            if name not in (*known, *_COMMON):
                raise Refusal(400, "bad_request", self.translate.gettext("The parameter %(name)s is not known.",
                                                                         name=name[:40]))  # fmt: skip

    def wrong(self, field: str) -> Refusal:
        """The refusal of an address because of one of its fields."""
        return bad(field, self.translate)

    def number(self, name: str) -> int | None:
        """A whole number in the address, or None."""
        return whole(self.args.get(name), name, self.translate)

    def queue(self, name: str) -> SqlBase:
        """A queue that the visitor may see. Raises :class:`Refusal` (404)."""
        if name not in self.access.names:
            raise hidden(self.site, self.translate)
        with self.reading(name):
            queue = self.site.service.load(name)
        if not isinstance(queue, SqlBase):
            raise hidden(self.site, self.translate)
        return queue

    @contextmanager
    def reading(self, name: str) -> Iterator[None]:
        """Around what reads the registration of a queue: a damaged one is named."""
        try:
            yield
        except QueueNotFound:
            raise hidden(self.site, self.translate) from None
        except (DatabaseError, SpecError) as error:
            if isinstance(error, DatabaseError) and type(error) is not DatabaseError:
                raise
            _log.error("queue %r cannot be shown: %s", name, error)
            damaged = labels.queue_states(self.translate)["damaged"]
            raise Refusal(409, "damaged", f"{name}: {damaged}") from error


def whole(text: str | None, name: str, translate: Translations) -> int | None:
    """A whole number given as text, or None where there is none. Raises :class:`Refusal` (400)."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise bad(name, translate)
    return int(text)


def hidden(site: Site, translate: Translations) -> Refusal:
    """The answer to everybody who may not look, and to whatever is not there."""
    sentence = translate.gettext("There is nothing here, or it is not yours to see.")
    return Refusal(404, "not_found", sentence, login_url=site.settings.login_url)
