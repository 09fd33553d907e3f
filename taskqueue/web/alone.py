"""The progress pages alone, for people without an application: ``taskqueue web``."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from flask import Flask, Response, redirect, request, url_for

from ..errors import QueueNotActive, QueueNotFound
from ..queues.sql_base import SqlBase
from ..runner import Runner
from ..runs.state import RunState
from ..service import QueueService
from . import csrf, posted
from .alone_answers import Answers
from .answers import Refusal
from .extension import TaskQueue
from .login import LoginLinks, is_opened_by_human, is_signed_in, sign_in
from .permission import may_execute
from .run_list import obstacle, queues_waiting, runs_shown
from .site import EXTENSION, Site
from .slices import Slices

#: What tasks need around them.
Around = Callable[[], AbstractContextManager[Any]]
_OPEN_TO_ALL = ("login", f"{EXTENSION}.static")


class Alone:
    """An application that is nothing but the pages, behind a link for signing in.

    Whoever has come by the link may see and handle all queues and runs; everybody else learns nothing.

    Arguments:
        service: the queues.
        mode: "auto", "inline" or "observe"; see :class:`WebSettings`.
        read_only: True: all actions are refused.
        url_prefix: what stands before all addresses; "" for nothing.
        grace: seconds that the tasks in hand get at the end.
        cookie: a name that no other application on this host uses.
        around: entered around each slice, such as the context of the application that the tasks belong to.
    """

    def __init__(
        self, service: QueueService, *, mode: str, read_only: bool, url_prefix: str, grace: float, cookie: str,
        around: Around = nullcontext,
    ) -> None:  # fmt: skip
        self.app = app = Flask(__name__, static_folder=None, template_folder=None)
        app.secret_key = secrets.token_bytes(32)
        app.config.update(
            TASKQUEUE_MODE=mode,
            TASKQUEUE_READ_ONLY=read_only,
            TASKQUEUE_URL_PREFIX=url_prefix,
            TASKQUEUE_SHUTDOWN_GRACE=grace,
            SESSION_COOKIE_NAME=cookie,
            SESSION_COOKIE_PATH=url_prefix or "/",
            # Not "Strict": the link may be opened out of a mail or a chat.
            SESSION_COOKIE_SAMESITE="Lax",
        )
        pages = TaskQueue(app, service, authorize=self._may, authorize_dashboard=lambda _action, _queue: True)
        self.site: Site = pages.site(app)
        self.site.slices = _Slices(self.site, around)
        self._links = LoginLinks()
        self._answers = Answers(self.site)
        self._lock = threading.Lock()
        self._add_views(self.site.settings.url_prefix)

    def login_path(self) -> str:
        """The path of a new link; the one before is good for nothing any more."""
        return f"{self.site.settings.url_prefix}/login?token={self._links.new()}"

    def _may(self, action: str, run: RunState, item_id: int | None) -> bool:
        """The hook ``authorize``: whoever is asked about has come by the link."""
        if action != "drive" or self.site.service.settings.allow.given:
            return True
        try:
            return may_execute(self.site.queue_of(run))
        except QueueNotFound:
            return False

    # --- views ---

    def _add_views(self, prefix: str) -> None:
        app = self.app
        app.before_request(self._keep_strangers_out)
        app.add_url_rule(f"{prefix}/", "home", self._home)
        app.add_url_rule(f"{prefix}/runs", "runs", self._runs)
        app.add_url_rule(f"{prefix}/login", "login", self._login)
        app.add_url_rule(f"{prefix}/queue/<name>/run", "run_queue", self._run_queue, methods=["POST"])
        self._answers.attach(app)

    def _keep_strangers_out(self) -> Response | None:
        # The same answer whatever was asked for, and whether or not it exists.
        is_welcome = request.endpoint in _OPEN_TO_ALL or is_signed_in()
        return None if is_welcome else self._answers.to_stranger()

    def _login(self) -> Any:
        if is_opened_by_human(request) and self._links.spend(request.args.get("token", "")):
            sign_in()
        elif not is_signed_in():
            return self._answers.to_stranger()
        return redirect(url_for("home"), code=303)

    def _home(self) -> Any:
        return redirect(self.site.url("dashboard_overview"), code=303)

    def _runs(self) -> Any:
        translate = self.site.translate()
        return self._answers.render(
            "taskqueue/runs.html", translate, runs=runs_shown(self.site, translate),
            queues=queues_waiting(self.site, translate), csrf_token=csrf.token(), csrf_field=csrf.field_name(),
        )  # fmt: skip

    def _run_queue(self, name: str) -> Any:
        translate = self.site.translate()
        posted.check_size(request, translate)
        csrf.check(request)
        try:
            queue = self.site.service.load(name)
        except QueueNotFound:
            queue = None
        if not isinstance(queue, SqlBase):
            raise Refusal(404, "not_found", translate.gettext("There is no such queue."))
        reason = obstacle(self.site, queue, translate)
        if reason is not None:
            raise Refusal(403, "forbidden", reason or translate.gettext("You may not do that here."))
        try:
            return self._begin(queue)
        except QueueNotActive as error:
            raise Refusal(409, "not_active", translate.gettext("This queue is not active.")) from error

    def _begin(self, queue: SqlBase) -> Any:
        with self._lock:  # two clicks are one run
            for run in self.site.runs.open_runs(queue.name):
                return redirect(self.site.url("page", run_id=run.id), code=303)
            return Runner(queue, title=f"Queue {queue.name}").run_all_via_web()


class _Slices(Slices):
    """Slices inside what the tasks need around them, in whichever thread they are executed."""

    def __init__(self, site: Site, around: Around) -> None:
        settings = site.settings
        super().__init__(
            budget=settings.budget, inline=settings.mode == "inline", grace=settings.shutdown_grace,
            inside=lambda work: work(),
        )  # fmt: skip
        self._around = around

    def _execute(self, *args: Any) -> None:
        with self._around():
            super()._execute(*args)
