"""What is posted to the dashboard: acts on chosen items, on all that a filter finds, and on queues."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from flask import jsonify, redirect, request

from ...dashboard.acts import EDITABLE, POSSIBLE, VERBS, Acts
from ...dashboard.bulk import Bulk, Order
from ...dashboard.bulk import put as put_order
from ...dashboard.filters import ITEM_STATES, Filter
from ...dashboard.lists import PAGE
from ...errors import SpecError
from ...runner import Runner
from ...spec import is_name, shown
from .. import posted
from ..answers import Refusal, wants_json
from ..identity import visitor, visitor_or_new
from . import labels
from .asked import RESULT, Asked, Shown, hidden, whole

#: What may be ordered for all that a filter finds.
_FOR_MANY = {what: tuple(verb for verb in verbs if verb != "take_over") for what, verbs in VERBS.items()}
#: What cannot be taken back is asked for twice, where a human asks.
_FINAL = ("delete", "skip")
#: So many may be chosen one by one.
_MOST_CHOSEN = 200
_CHOSEN = re.compile(r"([A-Za-z0-9_.:-]{1,128})/(\d{1,18})(?:/(\d{1,18}))?", re.ASCII)
#: What may follow upon the address of the dashboard: nothing that leads out of it again.
_BELOW = re.compile(r"(/(?!\.{1,2}(?:[/?]|$))[A-Za-z0-9_.:-]+)*(\?[!-~]*)?", re.ASCII)
_NOTHING = object()
_KEY = re.compile(r"[0-9a-f]{32}", re.ASCII)


# --- chosen items --------------------------------------------------------------------------------


def act(asked: Asked) -> Any:
    """Do something to the items, or dead letters, that were chosen."""
    fields = _fields(asked)
    what, verb = str(fields.get("what", "")), str(fields.get("verb", ""))
    _check(asked, what, verb, VERBS)
    chosen = _chosen(asked, fields.get("items"), with_fence=what == "items")
    for name in {each[0] for each in chosen}:
        _require(asked, verb, name)
    if not wants_json(request) and verb in _FINAL and fields.get("confirmed") != "1":
        return _ask_again(asked, what, verb, chosen, str(fields.get("next", "")))
    acts, done = Acts(asked.site.service, _actor(asked)), 0
    queues = {name: asked.queue(name) for name in sorted({each[0] for each in chosen})}
    for name, queue in queues.items():
        ours = [(item_id, fence) for queue_name, item_id, fence in chosen if queue_name == name]
        if what == "dead":
            done += acts.on_dead(queue, verb, [item_id for item_id, _fence in ours])
        else:
            done += acts.on_items(queue, verb, ours)
    asked.site.overview.forget()
    if wants_json(request):
        return jsonify(done=done, asked=len(chosen))
    return _back(asked, str(fields.get("next", "")), verb, done, len(chosen))


def _check(asked: Asked, what: str, verb: str, known: Mapping[str, Sequence[str]]) -> None:
    if what not in known:
        raise asked.wrong("what")
    if verb not in known[what]:
        raise asked.wrong("verb")


def _chosen(asked: Asked, given: Any, *, with_fence: bool) -> list[tuple[str, int, int]]:
    """Queue, id and fence of each, as "queue/id/fence"; of dead letters "queue/id"."""
    texts = given if isinstance(given, list) else [given] if given else []
    if not texts:
        raise Refusal(400, "nothing_chosen", asked.translate.gettext("Nothing was selected."))
    if len(texts) > _MOST_CHOSEN:
        raise asked.wrong("items")
    found = []
    for text in texts:
        match = _CHOSEN.fullmatch(text) if isinstance(text, str) else None
        if match is None or (with_fence and match[3] is None):
            raise asked.wrong("items")
        found.append((match[1], int(match[2]), int(match[3] or 0)))
    return found


def _ask_again(asked: Asked, what: str, verb: str, chosen: list[tuple[str, int, int]], following: str) -> Shown:
    labelled = labels.acts(asked.translate)[verb]
    facts = {"what": what, "verb": verb, "items": [f"{name}/{item}/{fence}" for name, item, fence in chosen]}
    question = asked.translate.ngettext(
        "%(act)s: %(n)s item. This cannot be taken back.", "%(act)s: %(n)s items. This cannot be taken back.",
        len(chosen), act=labelled,
    )  # fmt: skip
    extras = {
        "is_final": True,
        "question": question,
        "label": labelled,
        "next": _own(asked, following),
        "action": "act",
        "query": {},
    }
    return Shown("confirm", labelled, facts, extras)


# --- all that a filter finds ---------------------------------------------------------------------


def confirm(asked: Asked) -> Shown:
    """How many there are of what a filter finds, and whether that is meant."""
    asked.only("what", "verb", "queue", "state", "text", "since", "until")
    what, verb, wanted, queues = _wanted(asked, asked.args)
    bulk = Bulk(asked.site.service, what, wanted, queues, asked.access.where("view_args"), asked.site.redact)
    bound, moment = bulk.now()
    number, is_more = bulk.count(bound, moment)
    labelled = labels.acts(asked.translate)[verb]
    facts = {"what": what, "verb": verb, "number": number, "is_more": is_more, "bound": bound, "moment": moment,
             "filter": wanted.as_query()}  # fmt: skip
    extras = {
        "is_final": verb in _FINAL,
        "question": _question(asked, labelled, number, is_more),
        "label": _label(asked, labelled, number, is_more),
        "described": _described(asked, what, wanted),
        "next": asked.site.url(f"dashboard_{what}", **wanted.as_query()),
        "action": "bulk",
        "query": wanted.as_query(),
        "key": secrets.token_hex(16),
        "offered": (number > 0 or is_more) and asked.site.settings.mode != "observe",
    }
    return Shown("confirm", labelled, facts, extras)


def _question(asked: Asked, labelled: str, number: int, is_more: bool) -> str:
    if is_more:
        return asked.translate.gettext("%(act)s: at least %(n)s match.", act=labelled, n=asked.translate.number(number))
    return asked.translate.ngettext("%(act)s: %(n)s matches.", "%(act)s: %(n)s match.", number, act=labelled)


def _label(asked: Asked, labelled: str, number: int, is_more: bool) -> str:
    if is_more:
        return asked.translate.gettext("%(act)s all that match", act=labelled)
    return asked.translate.ngettext("%(act)s %(n)s", "%(act)s all %(n)s", number, act=labelled)


def _described(asked: Asked, what: str, wanted: Filter) -> list[tuple[str, str]]:
    """The filter in words."""
    _, ages = asked.translate.gettext, labels.ages(asked.translate)
    states = labels.states(asked.translate)
    return [
        (label, value)
        for label, value in (
            (_("List"), _("Dead letters") if what == "dead" else _("Items")),
            (_("Queue"), wanted.queue or _("All")),
            (_("State"), states.get(wanted.state, "")),
            (_("Text"), wanted.text),
            (_("Younger than"), ages.get(wanted.since, "")),
            (_("Older than"), ages.get(wanted.until, "")),
        )
        if value
    ]


def bulk(asked: Asked) -> Any:
    """Order what was confirmed, and lead to the progress page of its run."""
    fields = _fields(asked)
    given = {name: value for name, value in fields.items() if isinstance(value, str)}
    what, verb, wanted, queues = _wanted(asked, given)
    bound, moment, number = (_whole(asked, fields, name) for name in ("bound", "moment", "number"))
    key = str(fields.get("key", ""))
    if not _KEY.fullmatch(key):
        raise asked.wrong("key")
    if asked.site.settings.mode == "observe":
        raise Refusal(409, "observe", asked.translate.gettext("Pages execute nothing here."))
    title = asked.translate.gettext(
        "%(act)s: %(n)s (%(where)s)", act=labels.acts(asked.translate)[verb], n=asked.translate.number(number),
        where=wanted.queue or asked.translate.gettext("All queues"),
    )  # fmt: skip
    order = Order(
        "dead" if what == "dead" else "items", verb, wanted, queues, asked.access.where("view_args"), bound, moment,
        number, _actor(asked), title,
    )  # fmt: skip
    queue, is_new = put_order(asked.site.service, order, key)
    asked.site.overview.forget()
    owner = visitor_or_new(asked.site.identity)
    # What was pressed twice, or once more on the way back, leads to the run that there was.
    known = asked.site.runs.open_runs(queue.name) if is_new else asked.site.runs.latest(PAGE, queue.name)
    mine = next((run for run in known if run.owner == owner), None)
    if mine is not None:
        answer = redirect(asked.site.url("page", run_id=mine.id), code=303)
    else:
        answer = Runner(queue, title=title).run_all_via_web()
    if wants_json(request):
        return jsonify(number=number, page=answer.headers["Location"])
    return answer


def _whole(asked: Asked, fields: dict[str, Any], name: str) -> int:
    number = whole(str(fields.get(name, "")), name, asked.translate)
    if number is None:
        raise asked.wrong(name)
    return number


def _wanted(asked: Asked, given: Any) -> tuple[str, str, Filter, tuple[str, ...]]:
    what, verb = given.get("what", ""), given.get("verb", "")
    _check(asked, what, verb, _FOR_MANY)
    wanted = asked.filter(ITEM_STATES if what == "items" else (), given)
    if what == "items" and (state := _state_for(asked, verb, wanted.state)) != wanted.state:
        wanted = replace(wanted, state=state)
    if wanted.queue:
        _require(asked, verb, wanted.queue)
    queues = (wanted.queue,) if wanted.queue else asked.access.where(verb)
    if not queues and (asked.access.names or not asked.may(verb)):
        raise _forbidden(asked)
    return what, verb, wanted, queues


def _state_for(asked: Asked, verb: str, state: str) -> str:
    """The state of items to which something can be done, where it is said of all that match."""
    if state and verb not in POSSIBLE[state]:
        sentence = asked.translate.gettext("That cannot be done to items in this state.")
        raise Refusal(400, "bad_request", sentence)
    return "scheduled" if verb == "retry" else state


# --- queues --------------------------------------------------------------------------------------


def steer(asked: Asked, name: str) -> Any:
    """Pause or resume a queue."""
    queue, fields = asked.queue(name), _fields(asked)
    verb = str(fields.get("verb", ""))
    if verb not in ("pause", "resume"):
        raise asked.wrong("verb")
    _require(asked, verb, name)
    changed = Acts(asked.site.service, _actor(asked)).on_queue(queue, verb)
    asked.site.overview.forget()
    if wants_json(request):
        return jsonify(changed=changed, status=queue.status)
    return _back(asked, str(fields.get("next", "")), verb, int(changed), 1)


def options(asked: Asked, name: str) -> Any:
    """Change options of a queue."""
    queue, fields = asked.queue(name), _fields(asked)
    _require(asked, "edit", name)
    if request.is_json and (unknown := sorted(map(str, fields.keys() - set(EDITABLE)))):
        raise Refusal(400, "bad_request", asked.translate.gettext(
            "The option %(name)s cannot be changed here.", name=shown(unknown[0])))  # fmt: skip
    try:
        # What stands in the form as it was shown is not meant: somebody else may have changed it meanwhile.
        given = {
            key: _option(key, fields[key])
            for key in EDITABLE if key in fields and fields[key] != fields.get(f"was_{key}", _NOTHING)
        }  # fmt: skip
        former = Acts(asked.site.service, _actor(asked)).edit(queue, given)
    except SpecError as error:
        raise Refusal(400, "bad_request", str(error)) from None
    asked.site.overview.forget()
    if wants_json(request):
        return jsonify(changed=sorted(former))
    return _back(asked, str(fields.get("next", "")), "edit", len(former), len(former))


def _option(name: str, value: Any) -> Any:
    """A value out of a form, in which everything is text and nothing is None."""
    if not isinstance(value, str) or name == "error":
        return value or None if name == "error" else value
    text = value.strip()
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text  # refused, by name


# --- common --------------------------------------------------------------------------------------


def _fields(asked: Asked) -> dict[str, Any]:
    if request.is_json:
        return posted.read_json(request, asked.translate)
    fields: dict[str, Any] = request.form.to_dict()
    return {**fields, "items": request.form.getlist("items")}


def _require(asked: Asked, verb: str, name: str) -> None:
    if not is_name(name) or name not in asked.access.names:
        raise hidden(asked.site, asked.translate)
    if not asked.may(verb, name):
        raise _forbidden(asked)


def _forbidden(asked: Asked) -> Refusal:
    return Refusal(403, "forbidden", asked.translate.gettext("You may not do that here."))


def _actor(asked: Asked) -> str:
    return visitor(asked.site.identity) or "?"


def _own(asked: Asked, following: str) -> str:
    """An address of ours to go on to, whatever was asked for."""
    home = asked.site.url("dashboard_overview")
    is_own = following.startswith(home) and _BELOW.fullmatch(following.removeprefix(home))
    return following if is_own else home


def _back(asked: Asked, following: str, verb: str, done: int, of: int) -> Any:
    url, _, query = _own(asked, following).partition("?")
    kept = [part for part in query.split("&") if part and part.partition("=")[0] not in RESULT]
    return redirect(f"{url}?{'&'.join([*kept, f'done={verb}', f'n={done}', f'of={of}'])}", code=303)


def notice(asked: Asked) -> str:
    """What was done, as the page says it to which an act leads back."""
    verb, done, asked_for = asked.args.get("done"), _few(asked.args.get("n")), _few(asked.args.get("of"))
    known = labels.deeds(asked.translate)
    if verb not in known or done is None:
        return ""
    if asked_for is not None and done < asked_for:
        return asked.translate.ngettext(
            "%(n)s of %(of)s: %(deed)s. The rest has moved on meanwhile, and was left alone.",
            "%(n)s of %(of)s: %(deed)s. The rest has moved on meanwhile, and was left alone.",
            done, of=asked.translate.number(asked_for), deed=known[verb],
        )  # fmt: skip
    return asked.translate.ngettext("%(n)s: %(deed)s.", "%(n)s: %(deed)s.", done, deed=known[verb])


def _few(text: str | None) -> int | None:
    """A number of at most nine digits, or None: what is no number in this address is passed over."""
    return int(text) if text and len(text) <= 9 and text.isascii() and text.isdigit() else None
