"""The addresses of the dashboard: who may look gets a page or its JSON, everybody else the same answer everywhere."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, jsonify, request
from flask.sansio.blueprints import BlueprintSetupState
from werkzeug.routing import PathConverter

from ...clock import now_ms
from ...dashboard.overview import MOST
from .. import csrf, posted
from ..answers import quiet, wants_json
from ..durations import duration, utc
from ..identity import visitor_or_new
from ..site import current_site
from . import actions, labels, pages, system_pages
from .access import Access
from .asked import RESULT, Asked, Shown, hidden

#: Each address under the dashboard's own, the name of its view, and its page.
_PAGES: tuple[tuple[str, str, Callable[..., Shown]], ...] = (
    ("", "overview", pages.overview),
    ("/", "home", pages.overview),
    ("/queues/<name>", "queue", pages.queue),
    ("/queues/<name>/items/<int:item_id>", "item", pages.item),
    ("/charts", "charts", pages.charts),
    ("/items", "items", pages.items),
    ("/dead", "dead", pages.dead),
    ("/history", "history", pages.past),
    ("/workers", "workers", system_pages.workers),
    ("/runs", "runs", system_pages.all_runs),
    ("/schedules", "schedules", system_pages.schedules),
    ("/outbox", "outbox", system_pages.messages),
    ("/operations", "operations", system_pages.calls),
    ("/audit", "audit", system_pages.audit_log),
    ("/confirm", "confirm", actions.confirm),
)
_POSTS: tuple[tuple[str, str, Callable[..., Any]], ...] = (
    ("/act", "act", actions.act),
    ("/bulk", "bulk", actions.bulk),
    ("/queues/<name>/steer", "steer", actions.steer),
    ("/queues/<name>/options", "options", actions.options),
)
#: The pages in the bar at the top.
_BAR = (
    "overview", "items", "dead", "history", "charts", "workers", "runs", "schedules", "outbox", "operations", "audit",
)  # fmt: skip
_ANYTHING = "taskqueue_anything"
#: With this header the script asks for a page again.
LIVE = "X-Taskqueue-Live"


def add_dashboard_views(blueprint: Blueprint) -> None:
    """Give a blueprint the addresses."""
    for path, name, page in _PAGES:
        blueprint.add_url_rule(f"/dashboard{path}", f"dashboard_{name}", _seeing(page), methods=["GET"],
                               provide_automatic_options=False)  # fmt: skip
    for path, name, work in _POSTS:
        blueprint.add_url_rule(f"/dashboard{path}", f"dashboard_{name}", _doing(work), methods=["POST"],
                               provide_automatic_options=False)  # fmt: skip
    # Whatever else is asked for, however it is asked: what is there answers strangers no differently.
    blueprint.record(_know_anything)
    for number, path in enumerate(("/dashboard", "/dashboard/", f"/dashboard/<{_ANYTHING}:rest>")):
        blueprint.add_url_rule(path, f"dashboard_nothing_{number}", _nothing, provide_automatic_options=False)
    blueprint.record(_let_nothing_take_every_method)


class _Anything(PathConverter):
    """Also with line breaks, which a path as werkzeug knows it does not have."""

    regex = "[^/](?s:.*?)"


def _know_anything(state: BlueprintSetupState) -> None:
    state.app.url_map.converters.setdefault(_ANYTHING, _Anything)


def _let_nothing_take_every_method(state: BlueprintSetupState) -> None:
    """Also invented ones: else werkzeug refuses them, with a list of methods that is another where something is."""
    ours = f"{state.name_prefix}.{state.name}.dashboard_nothing_".lstrip(".")
    for rule in state.app.url_map.iter_rules():
        if rule.endpoint.startswith(ours):
            rule.methods = None


def is_page(endpoint: str) -> bool:
    """Whether an answer may set the session's cookie: a page that a human has opened, with a token for its forms."""
    if not endpoint.startswith("dashboard_") or request.method != "GET" or LIVE in request.headers:
        return False
    return not _is_for_scripts()


def _is_for_scripts() -> bool:
    return request.args.get("format") == "json" or wants_json(request)


def _asking(**_values: Any) -> Asked:
    site = current_site(request.blueprint or "")
    translate = site.translate()
    access = Access(site, translate)
    if not access.may("view"):
        raise hidden(site, translate)
    return Asked(site, access, translate)


def _nothing(rest: str = "") -> Any:
    site = current_site(request.blueprint or "")
    raise hidden(site, site.translate())


def _seeing(page: Callable[..., Shown]) -> Callable[..., Any]:
    @wraps(page)
    def see(**values: Any) -> Any:
        asked = _asking()
        return drawn(asked, page(asked, **values))

    return see


def _doing(work: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(work)
    def do(**values: Any) -> Any:
        asked = _asking()
        posted.check_size(request, asked.translate)
        csrf.check(request, asked.translate.gettext("This page has expired. Load it again and repeat what you did."))
        answer = work(asked, **values)
        return drawn(asked, answer) if isinstance(answer, Shown) else answer

    return do


def drawn(asked: Asked, page: Shown) -> Any:
    """A page as its reader wants it."""
    if _is_for_scripts():
        return quiet(jsonify(page.facts))
    visitor_or_new(asked.site.identity)  # a post sets no cookie any more, and its run must know its owner again
    helpers = {
        "title": page.title,
        "page": page.template,
        "facts": page.facts,
        "bar": [(name, asked.site.url(f"dashboard_{name}")) for name in _BAR],
        "bar_labels": _bar_labels(asked),
        "url": partial(_url, asked),
        "act_labels": labels.acts(asked.translate),
        "csrf_token": csrf.token(),
        "csrf_field": csrf.field_name(),
        "most": MOST,
        "notice": actions.notice(asked),
        "number": asked.translate.number,
        "span": lambda seconds: duration(seconds, asked.translate),
        "when": lambda seconds: utc(seconds, "%Y-%m-%d %H:%M:%S UTC"),
        "iso": lambda seconds: utc(seconds, "%Y-%m-%dT%H:%M:%SZ"),
        "drawn_at": utc(now_ms() / 1000, "%Y-%m-%d %H:%M:%S UTC"),
        "strings": _strings(asked),
        "here": _here(asked),
    }
    template = f"taskqueue/dashboard/{page.template}.html"
    return asked.site.render(template, asked.translate, **{**page.facts, **page.extras, **helpers})


def _url(asked: Asked, view: str, /, **values: Any) -> str:
    return asked.site.url(f"dashboard_{view}", **values)


def _here(asked: Asked) -> str:
    """The address of this page, without what an act has said on its way back."""
    if request.method != "GET":
        return asked.site.url("dashboard_overview")
    kept = [(name, value) for name, value in request.args.items(multi=True) if name not in RESULT]
    return request.script_root + request.path.rstrip("/") + (f"?{urlencode(kept)}" if kept else "")


def _bar_labels(asked: Asked) -> dict[str, str]:
    _ = asked.translate.gettext
    return {
        "overview": _("Overview"), "items": _("Items"), "dead": _("Dead letters"), "history": _("History"),
        "charts": _("Charts"), "workers": _("Workers"), "runs": _("Runs"), "schedules": _("Schedules"),
        "outbox": _("Outbox"), "operations": _("Operations"), "audit": _("Audit log"),
    }  # fmt: skip


def _strings(asked: Asked) -> dict[str, str]:
    """What the script says of its own."""
    _ = asked.translate.gettext
    return {
        "lost": _("The server does not answer. This page keeps trying."),
        "sign_in": _("You are no longer signed in, or this is gone. Load the page again."),
    }
