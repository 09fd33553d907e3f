"""The Flask extension: ``TaskQueue(app)`` hangs the progress pages into an application."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, current_app, has_app_context, has_request_context, redirect

from ..dashboard import bulk
from ..errors import ConfigurationError, QueueNotActive, SpecError
from ..queues.sql_base import SqlBase
from ..redact import RedactHook
from ..runner import Runner
from ..service import QueueService
from ..spec import TASK_PAYLOAD
from .dashboard import add_dashboard_views
from .end_url import check_end_url
from .identity import IdentityHook, visitor_or_new
from .outbox import add_outbox_views
from .permission import Authorize, AuthorizeDashboard, AuthorizeOutbox
from .progress import add_views
from .settings import WebSettings
from .site import EXTENSION, STATIC, LocaleHook, Site

_PACKAGE = Path(__file__).parents[1]
#: In a wheel the templates lie inside the package, in a checkout beside it.
TEMPLATES = next((folder for folder in (_PACKAGE / "templates", _PACKAGE.parent / "templates") if folder.is_dir()),
                 _PACKAGE / "templates")  # fmt: skip
#: The addresses of static files change with their content (seconds).
_A_YEAR = 31_536_000


class TaskQueue:
    """The progress pages of an application.

    Arguments:
        app: the application; None: call :meth:`init_app` later, for one or several.
        service: the queues; None: one made from the settings ``TASKQUEUE_*`` of each application.
        name: of the blueprint; two extensions in one application need two names (and prefixes).
        url_prefix: where the blueprint hangs; None: the setting ``TASKQUEUE_URL_PREFIX``, else "/queue".
        authorize: ``authorize(action, run, item_id)`` says who may do what: True permits, False denies, None (and
            without a hook) leaves it to the rule that only the one who started a run may see and handle it. Actions:
            view, view_args, view_trace, drive, start, pause, retry, skip, steal, abort.
        identity: ``identity()`` returns the id of who is signed in, or None; without it Flask-Login is asked if it is
            there, else a random id in the session tells browsers apart.
        locale: ``locale()`` returns a language such as "de"; without it Flask-Babel is asked if it is there, else the
            browser.
        authorize_outbox: ``authorize_outbox(action, message)`` says who may "view", "revive" and "delete" dead messages
            of the service's outbox: True permits, all else denies. It is asked with None in place of a message (a
            :class:`DeadMessage`) whether the visitor may at all, then about each. Without it nobody may.
        authorize_dashboard: ``authorize_dashboard(action, queue)`` says who may do what on the dashboard: True permits,
            all else denies. ``queue`` is a name, or None: whether the visitor may at all. Actions: view, view_args,
            view_trace; retry, skip, delete, revive, take_over; pause, resume, edit. Without it nobody may anything, and
            nobody learns that there is a dashboard.
        redact: ``redact(name, value)`` returns what the dashboard shows of a value in the arguments or the data of an
            item; name is that of the argument or of the member, "" where there is none. What is named like a secret, or
            looks like one, is hidden before it is asked.

    Raises :class:`ConfigurationError` on settings that make no sense.
    """

    def __init__(
        self, app: Flask | None = None, service: QueueService | None = None, *, name: str = EXTENSION,
        url_prefix: str | None = None, authorize: Authorize | None = None, identity: IdentityHook | None = None,
        locale: LocaleHook | None = None, authorize_outbox: AuthorizeOutbox | None = None,
        authorize_dashboard: AuthorizeDashboard | None = None, redact: RedactHook | None = None,
    ) -> None:  # fmt: skip
        if not name.isidentifier():
            raise ConfigurationError(f"the name of the blueprint must be an identifier, not {name!r}")
        self.name = name
        self._service = service
        self._url_prefix = url_prefix
        self._authorize = authorize
        self._identity = identity
        self._locale = locale
        self._authorize_outbox = authorize_outbox
        self._authorize_dashboard = authorize_dashboard
        self._redact = redact
        self._last: Flask | None = None
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask, service: QueueService | None = None) -> None:
        """Hang the pages into ``app``, with ``service`` or the one given before."""
        config = dict(app.config)
        if self._url_prefix is not None:
            config["TASKQUEUE_URL_PREFIX"] = self._url_prefix
        settings = WebSettings.of(config)
        sites: dict[str, Site] = app.extensions.setdefault(EXTENSION, {})
        if self.name in sites:
            raise ConfigurationError(f"this application has pages named {self.name!r} already: give another name=")
        service = service or self._service or _make_service(settings)
        _tune(service, settings)
        site = Site(app, self.name, settings, service, authorize=self._authorize, identity=self._identity,
                    locale=self._locale, authorize_outbox=self._authorize_outbox,
                    authorize_dashboard=self._authorize_dashboard, redact=self._redact)  # fmt: skip
        sites[self.name] = site
        blueprint = _Pages(self.name, __name__, static_folder=str(STATIC), template_folder=str(TEMPLATES))
        add_views(blueprint)
        add_outbox_views(blueprint)
        add_dashboard_views(blueprint)
        app.register_blueprint(blueprint, url_prefix=settings.url_prefix or None)
        service.settings.pages = self._open
        bulk.serve(service, self._redact)
        self._last = app

    def site(self, app: Flask) -> Site:
        """What the pages of ``app`` share."""
        found: Site = app.extensions[EXTENSION][self.name]
        return found

    def _open(self, runner: Runner, start: bool) -> Any:
        """Make a run, and lead to its page: by a redirect inside a request, else by its address."""
        if has_app_context() and self.name in current_app.extensions.get(EXTENSION, {}):
            return self._open_in(current_app._get_current_object(), runner, start)  # type: ignore[attr-defined]
        if self._last is None:
            raise ConfigurationError("the extension has no application yet: call init_app(app)")
        with self._last.app_context():
            return self._open_in(self._last, runner, start)

    def _open_in(self, app: Flask, runner: Runner, start: bool) -> Any:
        site = self.site(app)
        queue = runner.queue
        if not isinstance(queue, SqlBase) or queue.database.url != site.service.database.url:
            raise ConfigurationError(
                f"queue {queue.name!r} is not in the database of these pages: give TaskQueue the service of the queue"
            )
        is_for_callbacks = queue.spec.payload in (None, TASK_PAYLOAD) or runner.on_end is not None
        definition = runner.definition
        # Of a background run a page executes nothing, unless somebody takes it over; then it is asked again.
        if is_for_callbacks and not definition.is_background and not queue.settings.allow.given:
            raise ConfigurationError(
                "nothing says which code may run: give the service allow=[...] (or the application TASKQUEUE_ALLOW), "
                "because a page may be answered by another process than the one that queued its tasks"
            )
        check_end_url(runner.on_end_url, site.settings.end_url_hosts)
        if not start and queue.status in ("paused", "draft"):
            raise QueueNotActive(f"queue {queue.name!r} is {queue.status}: set it active before its run is offered")
        owner = visitor_or_new(site.identity) if has_request_context() else ""
        if definition.is_background:
            run = site.runs.carry_on(queue, definition, None, owner=owner)
        else:
            run = site.runs.create(queue, definition, owner=owner, start=start)
        if has_request_context():
            return redirect(site.url("page", run_id=run.id), code=303)
        return _address(app, f"{site.name}.page", run.id)


class _Pages(Blueprint):
    def get_send_file_max_age(self, filename: str | None) -> int | None:
        return _A_YEAR


def _make_service(settings: WebSettings) -> QueueService:
    return QueueService(
        settings.database_url, allow=settings.allow, secret_key=settings.secret_key, prefix=settings.prefix
    )


def _tune(service: QueueService, settings: WebSettings) -> None:
    names = ("heartbeat", "stale_after", "lease_slice")
    wanted = {name: value for name in names if (value := getattr(settings, name)) is not None}
    try:
        replace(service.settings, **wanted)
    except SpecError as error:
        keys = ", ".join(f"TASKQUEUE_{name.upper()}" for name in wanted)
        raise ConfigurationError(f"{keys}: {error}") from error
    for name, value in wanted.items():
        setattr(service.settings, name, value)


def _address(app: Flask, endpoint: str, run_id: str) -> str:
    server, root = app.config.get("SERVER_NAME"), app.config.get("APPLICATION_ROOT") or "/"
    scheme = str(app.config.get("PREFERRED_URL_SCHEME") or "http")
    adapter = app.url_map.bind(server or "localhost", script_name=root, url_scheme=scheme)
    return adapter.build(endpoint, {"run_id": run_id}, force_external=bool(server))
