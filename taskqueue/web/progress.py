"""The views of the progress page. Looking never executes anything; a post names exactly what its page has shown."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from flask import Blueprint, Response, jsonify, make_response, redirect, request, session, stream_with_context

from .. import clock
from ..errors import (
    ConfigurationError,
    DatabaseError,
    QueueNotFound,
    RunMovedOn,
    RunNotFound,
    TaskQueueError,
)
from ..queues.sql_base import SqlBase
from ..runs.actions import Actions
from ..runs.state import RunState
from ..spec import shown
from ..storage import runs
from . import csrf, posted, ticket
from .answers import Refusal, protect, quiet, wants_json
from .dashboard.access import Access
from .dashboard.views import is_page
from .i18n import Translations
from .identity import visitor, visitor_or_new
from .log_texts import message
from .login import is_opened_by_human
from .permission import Permissions
from .site import Site, current_site
from .slices import TooMany
from .snapshot import take_snapshot
from .texts import page_strings

_log = logging.getLogger(__name__)
_LOG_PAGE = 1000
#: What a human may do, each at an address of its own; some name an item and its fence.
VERBS = ("start", "pause", "resume", "retry", "skip", "steal", "abort", "retry_failed", "take_over")
_ON_ITEM = ("retry", "skip", "steal")
#: The answers that may set the session's cookie: the others set none, whatever became of the request.
_LOUD = ("page", "csrf")
#: Of no use to a human: what goes wrong there is told as JSON, whatever is accepted.
_FOR_SCRIPTS = ("state", "csrf", "outbox_dead", "outbox_revive", "outbox_delete")
View = Callable[..., Any]


@dataclass(frozen=True)
class _Visit:
    """One request for one run."""

    site: Site
    run: RunState
    queue: SqlBase
    permissions: Permissions
    translate: Translations

    def snapshot(self, after: int = 0, driver: str = "") -> dict[str, Any]:
        driver = driver or posted.driver_of(request)
        return take_snapshot(
            self.site, self.queue, self.run.id, self.permissions, self.translate, driver=driver, after=after
        )

    def require(self, verb: str, item_id: int | None = None) -> None:
        if not self.permissions.may(verb, item_id):
            raise Refusal(403, "forbidden", self.translate.gettext("You may not do that here."))


def add_views(blueprint: Blueprint) -> None:
    """Give a blueprint its addresses."""
    add = blueprint.add_url_rule
    add("/run/<run_id>", "page", _visiting(_page))
    add("/run/<run_id>/state", "state", _visiting(_state))
    add("/run/<run_id>/log", "log", _visiting(_log_view))
    add("/run/<run_id>/tick", "tick", _visiting(_tick))
    add("/run/<run_id>/drive", "drive", posting(_visiting(_drive)), methods=["POST"])
    for verb in VERBS:
        add(f"/run/<run_id>/{verb}", verb, posting(_visiting(_action_view(verb))), methods=["POST"])
    add("/csrf", "csrf", _csrf)
    blueprint.register_error_handler(Refusal, _refused)
    blueprint.register_error_handler(TaskQueueError, _failed)
    blueprint.register_error_handler(400, _bad_request)
    blueprint.after_request(_protect)


# --- what goes around a view ---


def _visiting(view: Callable[[_Visit], Any]) -> View:
    """Find the run for a visitor who may see it; everybody else learns nothing, not even whether it exists."""

    @wraps(view)
    def visit(run_id: str) -> Any:
        site = current_site(request.blueprint or "")
        translate = site.translate()
        hidden = Refusal(404, "not_found", _hidden(translate), login_url=site.settings.login_url)
        try:
            run = site.runs.get(run_id)
        except RunNotFound:
            raise hidden from None
        permissions = Permissions(run, visitor(site.identity), site.authorize, site.settings.read_only)
        if not permissions.may("view"):
            raise hidden
        try:
            queue = site.queue_of(run)
        except QueueNotFound as error:
            raise Refusal(410, "gone", translate.gettext("The queue of this run has been removed.")) from error
        return view(_Visit(site, run, queue, permissions, translate))

    return visit


def _hidden(translate: Translations) -> str:
    return translate.gettext("There is no such run, or it is not yours to see.")


def posting(view: View) -> View:
    """Refuse what does not come from a page of ours."""

    @wraps(view)
    def check(**values: Any) -> Any:
        translate = current_site(request.blueprint or "").translate()
        posted.check_size(request, translate)
        csrf.check(request, _expired(translate))
        return view(**values)

    return check


def _expired(translate: Translations) -> str:
    return translate.gettext("This page has expired. Load it again and repeat what you did.")


# --- looking ---


def _page(visit: _Visit) -> Any:
    site, nojs = visit.site, request.args.get("nojs") == "1"
    snapshot = visit.snapshot(driver=_nojs_driver(visit) if nojs else "")
    urls = {
        "page": site.url("page", run_id=visit.run.id),
        "state": site.url("state", run_id=visit.run.id),
        "drive": site.url("drive", run_id=visit.run.id),
        "log": site.url("log", run_id=visit.run.id),
        "log_txt": site.url("log", run_id=visit.run.id, format="txt"),
        "csrf": site.url("csrf"),
        "tick": site.url("tick", run_id=visit.run.id),
        "actions": {verb: site.url(verb, run_id=visit.run.id) for verb in VERBS},
    }
    token = csrf.token()
    page = {
        "urls": urls,
        "csrf": token,
        "snapshot": snapshot,
        "strings": page_strings(visit.translate),
        "login_url": site.settings.login_url,
    }
    return site.render(
        "taskqueue/progress.html",
        visit.translate,
        snapshot=snapshot,
        page=page,
        csrf_token=token,
        csrf_field=csrf.field_name(),
        request_ids=lambda: secrets.token_hex(16),
        nojs=nojs,
        tick_url=_tick_url(visit) if nojs and snapshot["drive"] else None,
        is_minimal=visit.run.definition.is_minimal,
        may_view_trace=visit.permissions.may("view_trace"),
        dashboard_url=site.url("dashboard_overview") if Access(site, visit.translate).may("view") else None,
    )


def _state(visit: _Visit) -> Any:
    return jsonify(visit.snapshot(_after()))


def _log_view(visit: _Visit) -> Any:
    after, level = _after(), request.args.get("level")
    if request.args.get("format") != "txt":
        lines = visit.site.runs.log(visit.run.id, after, _LOG_PAGE, level if level in ("warning", "error") else None)
        return jsonify(log=[{"seq": one.id, "time": one.time / 1000, "level": one.level,
                             "message": message(one, visit.translate)} for one in lines])  # fmt: skip

    def written() -> Any:
        last = after
        while lines := visit.site.runs.log_page(visit.run.id, last, _LOG_PAGE):
            last = lines[-1].id
            yield "".join(_text_line(one, visit.translate) for one in lines)

    response = Response(stream_with_context(written()), mimetype="text/plain")
    response.headers["Content-Disposition"] = f"attachment; filename=run-{visit.run.id[:8]}.txt"
    return response


def _text_line(line: runs.LogLine, translate: Translations) -> str:
    moment = clock.from_ms(line.time).strftime("%Y-%m-%d %H:%M:%S")
    text = " ".join(message(line, translate).split())
    return f"{moment} UTC  {line.level:7}  {text}\n"


def _after() -> int:
    given = request.args.get("after", "")
    return int(given) if given.isascii() and given.isdigit() and len(given) <= 18 else 0


def _csrf() -> Any:
    before = dict(session)
    visitor_or_new(current_site(request.blueprint or "").identity)  # for scripts, whose posts are somebody's
    response = jsonify(csrf=csrf.token())
    # Only the first token of a session is written into it; every later answer may come after a logout.
    return response if dict(session) != before else quiet(response)


# --- driving ---


def _drive(visit: _Visit) -> Any:
    visit.require("drive")
    driver = posted.driver_of(request)
    if not driver:
        raise Refusal(400, "bad_request", visit.translate.gettext("The header X-Driver is missing or wrong."))
    _execute(visit, driver)
    return jsonify(visit.snapshot(_after()))


def _execute(visit: _Visit, driver: str) -> None:
    run = visit.run
    if visit.site.settings.mode == "observe" or run.damage or run.status != "running" or run.definition.is_watched:
        return
    try:
        visit.site.slices.drive(visit.queue, run, driver)
    except TooMany:
        sentence = visit.translate.gettext("The server is busy with other runs; this one goes on soon.")
        raise Refusal(429, "too_many", sentence, retry_after=2) from None


def _tick_url(visit: _Visit) -> str | None:
    who = visit.permissions.visitor
    if who is None or not visit.permissions.may("drive"):
        return None
    return visit.site.url("tick", run_id=visit.run.id, t=ticket.issue(visit.run.id, who))


def _tick(visit: _Visit) -> Any:
    """Drive for a page without JavaScript: its link is good for one use, and only for whom it was made."""
    number = ticket.number_of(request.args.get("t", ""), visit.run.id, visit.permissions.visitor or "")
    if number is not None and visit.permissions.may("drive") and is_opened_by_human(request):
        database = visit.queue.database
        if database.transaction(lambda tx: runs.is_new_request(tx, visit.run.id, f"t{number}")):
            _execute(visit, _nojs_driver(visit))
    return redirect(visit.site.url("page", run_id=visit.run.id, nojs="1"), code=303)


def _nojs_driver(visit: _Visit) -> str:
    """Pages without JavaScript are one driver from load to load, else each would take the one before for another."""
    return f"nojs-{visit.run.id}"


# --- acting ---


def _action_view(verb: str) -> Callable[[_Visit], Any]:
    def act(visit: _Visit) -> Any:
        fields = posted.read(request, visit.translate, with_item=verb in _ON_ITEM)
        visit.require(verb, fields.item_id)
        if not visit.run.definition.offers(verb) or (verb == "take_over" and not visit.site.may_drive(visit.queue)):
            raise Refusal(403, "forbidden", visit.translate.gettext("This run does not offer that."))
        try:
            _carry_out(visit, verb, fields)
        except RunMovedOn as error:
            _log.info("refused %s of run %s: %s", verb, visit.run.id, error)
            sentence = visit.translate.gettext(
                "This was not done, because the run has moved on meanwhile. Below is how it stands now."
            )
            raise Refusal(409, "moved_on", sentence, snapshot=visit.snapshot()) from None
        if not wants_json(request):
            nojs = {"nojs": "1"} if fields.nojs else {}
            return redirect(visit.site.url("page", run_id=visit.run.id, **nojs), code=303)
        return jsonify(visit.snapshot(_after()))

    return act


def _carry_out(visit: _Visit, verb: str, fields: posted.Posted) -> None:
    actor = visit.permissions.visitor or ""
    actor = actor.partition(":")[2] if actor.startswith("user:") else ""
    actions = Actions(visit.queue, visit.run.id, actor=actor, request_id=fields.request_id)
    _log.info("%s: run %s, item %s, fence %s, by %s", verb, visit.run.id, fields.item_id, fields.fence,
              visit.permissions.visitor)  # fmt: skip
    if verb in _ON_ITEM:
        getattr(actions, verb)(fields.item_id, fields.fence)
    elif verb == "abort":
        actions.abort(skip_rest=visit.site.settings.on_abort == "skip")
    else:
        getattr(actions, verb)()


# --- what goes wrong ---


def _refused(refusal: Refusal) -> Response:
    site = current_site(request.blueprint or "")
    translate = site.translate()
    is_dashboard = _endpoint().startswith("dashboard_")
    if _endpoint() in _FOR_SCRIPTS or wants_json(request) or (is_dashboard and request.args.get("format") == "json"):
        response = jsonify(refusal.as_json())
    else:
        link = None
        if (refusal.status == 409 or refusal.code == "csrf") and "run_id" in (request.view_args or {}):
            back = site.url("page", run_id=(request.view_args or {})["run_id"])
            link = {"url": back, "text": translate.gettext("Back to the run")}
        elif is_dashboard and refusal.status != 404:
            link = {"url": site.url("dashboard_overview"), "text": translate.gettext("Dashboard")}
        elif refusal.login_url:
            link = {"url": refusal.login_url, "text": translate.gettext("Sign in")}
        title = translate.gettext("Not possible")
        response = make_response(
            site.render("taskqueue/message.html", translate, title=title, message=refusal.message, link=link)
        )
    response.status_code = refusal.status
    response.headers.extend(refusal.headers())
    return response


def _failed(error: TaskQueueError) -> Response:
    """Something of ours went wrong: one sentence, and a status that says whether another try makes sense."""
    translate = current_site(request.blueprint or "").translate()
    if isinstance(error, RunNotFound):
        return _refused(Refusal(404, "not_found", _hidden(translate)))
    _log.error("%s %s: %s", request.method, shown(request.path), error, exc_info=not isinstance(error, DatabaseError))
    if isinstance(error, ConfigurationError):
        sentence = translate.gettext("This page is not set up completely; the log of the server says what is missing.")
        return _refused(Refusal(503, "unavailable", sentence))
    sentence = translate.gettext("The database cannot be reached at the moment; nothing is lost.")
    return _refused(Refusal(503, "unavailable", sentence, retry_after=2))


def _bad_request(error: Any) -> Any:
    """What Flask-WTF refuses before our view is reached is the same refusal as ours."""
    refusal = csrf.refusal_by_host(error, _expired(current_site(request.blueprint or "").translate()))
    return error if refusal is None else _refused(refusal)


def _endpoint() -> str:
    return (request.endpoint or "").rpartition(".")[2]


def _protect(response: Response) -> Response:
    site = current_site(request.blueprint or "")
    if _endpoint() not in _LOUD and not is_page(_endpoint()):
        # Flask saves the session after this. The answer may come long after a logout in another tab, be kept by a
        # cache (static files), or be that of an extension which has refused the request before our view was reached.
        response = quiet(response)
    return protect(response, own_look=site.settings.has_own_look)
