"""What the pages of one application share: its settings, its service, its hooks, and the slices that it executes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask, current_app, render_template, url_for

from ..dashboard.overview import Overview
from ..errors import QueueNotFound, RunNotFound
from ..queues.sql_base import SqlBase
from ..redact import RedactHook
from ..runs.state import RunState
from ..runs.store import Runs
from ..service import QueueService
from ..storage import runs
from .counts import Counts
from .i18n import Translations, choose
from .identity import IdentityHook
from .permission import Authorize, AuthorizeDashboard, AuthorizeOutbox, may_execute
from .settings import WebSettings
from .slices import Slices

if TYPE_CHECKING:
    from ..storage.runs import RunRow
    from ..storage.transaction import Transaction

EXTENSION = "taskqueue"
STATIC = Path(__file__).parent / "static"
LocaleHook = Callable[[], "str | None"]


class Site:
    """The progress pages of one application under one blueprint name."""

    def __init__(
        self, app: Flask, name: str, settings: WebSettings, service: QueueService, *,
        authorize: Authorize | None, identity: IdentityHook | None, locale: LocaleHook | None,
        authorize_outbox: AuthorizeOutbox | None, authorize_dashboard: AuthorizeDashboard | None,
        redact: RedactHook | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.settings = settings
        self.service = service
        self.authorize = authorize
        self.authorize_outbox = authorize_outbox
        self.authorize_dashboard = authorize_dashboard
        self.redact = redact
        self.identity = identity
        self.counts = Counts()
        self.overview = Overview(service)
        #: Draws a template: Flask, or the view of another extension in whose frame the pages stand.
        self.draw: Callable[..., str] = render_template
        self._locale = locale

        def inside(work: Callable[[], None]) -> None:
            with app.app_context():
                work()

        self.slices = Slices(
            budget=settings.budget, inline=settings.mode == "inline", grace=settings.shutdown_grace, inside=inside
        )

    @property
    def runs(self) -> Runs:
        """The runs of the service."""
        return Runs(self.service.database, self.service.settings.codec)

    def row(self, tx: Transaction, run_id: str) -> RunRow:
        """The row of a run. Raises :class:`RunNotFound`."""
        row = runs.find(tx, run_id)
        if row is None:
            raise RunNotFound(f"there is no run {run_id!r}")
        return row

    def queue_of(self, run: RunState) -> SqlBase:
        """The queue of a run. Raises :class:`QueueNotFound`."""
        queue = self.service.load(run.queue_name)
        if not isinstance(queue, SqlBase):
            raise QueueNotFound(f"queue {run.queue_name!r} is of a type that no page can show")
        return queue

    def may_drive(self, queue: SqlBase) -> bool:
        """Whether pages may execute the items of a queue here."""
        return self.settings.mode != "observe" and may_execute(queue)

    def translate(self) -> Translations:
        """The texts in the language of this request."""
        return choose(self._locale() if self._locale is not None else None)

    def render(self, template: str, translate: Translations, **values: Any) -> str:
        """A template with what all of ours need."""
        common = {
            "lang": translate.lang,
            "dir": translate.dir,
            "_": translate.gettext,
            "ngettext": translate.ngettext,
            "static_url": self.static_url,
            "base_template": self.settings.base_template,
            "is_minimal": False,
        }
        return self.draw(template, **{**common, **values})

    def url(self, endpoint: str, **values: Any) -> str:
        """The address of one of our views."""
        return url_for(f"{self.name}.{endpoint}", **values)

    def static_url(self, filename: str) -> str:
        """The address of a static file, which changes with its content."""
        return self.url("static", filename=filename, v=fingerprint(filename))


def current_site(name: str) -> Site:
    """The site behind a blueprint of the current application."""
    site: Site = current_app.extensions[EXTENSION][name]
    return site


@cache
def fingerprint(filename: str) -> str:
    """Changes with the content of a static file."""
    return hashlib.sha256((STATIC / filename).read_bytes()).hexdigest()[:16]
