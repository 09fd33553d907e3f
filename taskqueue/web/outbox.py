"""The dead messages of the outbox for scripts: listed, revived and deleted. Nobody may, unless a hook says so."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import wraps
from itertools import islice
from typing import Any

from flask import Blueprint, jsonify, request

from ..errors import SpecError
from ..outbox.dead import DeadMessage
from ..outbox.facts import dead_facts
from ..outbox.outbox import Outbox
from ..spec import shown
from . import posted
from .answers import Refusal
from .i18n import Translations
from .identity import visitor
from .progress import View, posting
from .site import Site, current_site

_log = logging.getLogger(__name__)
_USUAL_PAGE, _LARGEST_PAGE = 50, 200
_FILTERS = ("service", "event", "queue", "error")


@dataclass(frozen=True)
class _Asking:
    """One request for dead messages."""

    site: Site
    outbox: Outbox
    translate: Translations

    def may(self, action: str, message: DeadMessage | None = None) -> bool:
        hook = self.site.authorize_outbox
        if hook is None or (self.site.settings.read_only and action != "view"):
            return False
        try:
            return hook(action, message) is True
        except Exception:  # who cannot be asked does not permit
            _log.exception("the authorize_outbox hook failed on %r and counts as a denial", action)
            return False

    def require(self, action: str, message: DeadMessage | None = None) -> None:
        if not self.may(action, message):
            raise Refusal(403, "forbidden", self.translate.gettext("You may not do that here."))


def add_outbox_views(blueprint: Blueprint) -> None:
    """Give a blueprint the addresses."""
    add = blueprint.add_url_rule
    add("/outbox/dead", "outbox_dead", _asking(_list))
    for verb in ("revive", "delete"):
        add(f"/outbox/dead/{verb}", f"outbox_{verb}", posting(_asking(_moving(verb))), methods=["POST"])


def _asking(view: Callable[[_Asking], Any]) -> View:
    """For those who may look at dead messages; everybody else learns nothing, not even whether there is an outbox."""

    @wraps(view)
    def ask() -> Any:
        site = current_site(request.blueprint or "")
        translate, outbox = site.translate(), site.service.settings.outbox
        if not isinstance(outbox, Outbox) or not (asking := _Asking(site, outbox, translate)).may("view"):
            raise _hidden(translate, site)
        return view(asking)

    return ask


def _hidden(translate: Translations, site: Site) -> Refusal:
    sentence = translate.gettext("There is no such message, or it is not yours to see.")
    return Refusal(404, "not_found", sentence, login_url=site.settings.login_url)


def _list(asking: _Asking) -> Any:
    translate = asking.translate
    _check_known(translate)
    filters = {name: value for name in _FILTERS if (value := request.args.get(name))}
    try:
        entries = asking.outbox.dead.list(after=_after(translate), **filters)  # type: ignore[arg-type]
        seen = (entry for entry in entries if asking.may("view", entry))
        size = _size(translate)
        page = [*islice(seen, size + 1)]
    except SpecError:
        raise posted.bad("queue", translate) from None
    last = page[size - 1] if len(page) > size else None
    cursor = f"{last.item_id}.{last.queue_name}" if last is not None else None
    return jsonify(messages=[dead_facts(entry) for entry in page[:size]], next=cursor)


def _check_known(translate: Translations) -> None:
    known = ("limit", "after", *_FILTERS)
    for name in request.args:
        if name not in known:  # else somebody takes all messages for those that were meant
            unknown = translate.gettext("The parameter %(name)s is not known.", name=shown(name))
            meant = get_close_matches(name, known, n=1)
            hint = translate.gettext("Did you mean %(name)s?", name=meant[0]) if meant else ""
            raise Refusal(400, "bad_request", f"{unknown} {hint}".rstrip())


def _after(translate: Translations) -> tuple[str, int] | None:
    given = request.args.get("after")
    if not given:
        return None
    number, _, name = given.partition(".")
    if not name or not _is_number(number, 19):
        raise posted.bad("after", translate)
    return name, int(number)


def _size(translate: Translations) -> int:
    given = request.args.get("limit")
    if not given:
        return _USUAL_PAGE
    if not _is_number(given, 3) or not 1 <= int(given) <= _LARGEST_PAGE:
        raise posted.bad("limit", translate)
    return int(given)


def _is_number(text: str, digits: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= digits


def _moving(verb: str) -> Callable[[_Asking], Any]:
    def move(asking: _Asking) -> Any:
        asking.require(verb)
        ids = posted.read_ids(request, asking.translate)
        entries = [*asking.outbox.dead.list(*ids)]
        if len(entries) != len(set(ids)) or not all(asking.may("view", entry) for entry in entries):
            raise _hidden(asking.translate, asking.site)
        for entry in entries:
            asking.require(verb, entry)
        moved = getattr(asking.outbox.dead, verb)(*ids)
        _log.info("%s: %s dead messages by %s: %s", verb, moved, visitor(asking.site.identity), ", ".join(ids))
        return jsonify({f"{verb}d": moved})

    return move
