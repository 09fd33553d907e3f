"""The page of the operations: one is deferred or executed, and it shows what became of the calls of who is there."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, abort, current_app, redirect, render_template, request, session, url_for

from taskqueue import TaskQueueError
from taskqueue.operations import (
    Call,
    CallGone,
    CallNotFound,
    File,
    KeyReused,
    NotPossible,
    OperationError,
    Operations,
    StillRunning,
    User,
)
from taskqueue.web import OperationsApi

from ..contacts.people import PEOPLE, Person, person_of
from . import calling
from .calling import LATER, LONGEST_DELAY, NOW, CallForm, SentBefore
from .examples import examples_for, shown_json
from .guard import check_form

_log = logging.getLogger(__name__)
pages = Blueprint("desk", __name__, url_prefix="/operations")
#: So many calls are shown at a time, and so much of a result.
PAGE = 10
_LONGEST = 2_000
_EXTENSION = "demo.operations"
#: What states are called, and what their badges look like.
STATES = {
    "queued": ("Waiting", "warn"), "scheduled": ("Scheduled", "warn"), "running": ("Running", ""),
    "retrying": ("Failed, to be tried again", "warn"), "succeeded": ("Done", "good"), "failed": ("Refused", "bad"),
    "dead": ("Dead", "bad"), "cancelled": ("Cancelled", ""), "expired": ("Expired", ""),
}  # fmt: skip


def install(app: Any, operations: Operations) -> None:
    """Give an application the page, and the API from which it brings itself up to date."""
    app.extensions[_EXTENSION] = operations
    app.register_blueprint(pages)
    OperationsApi(app, operations, identity=signed_in, name="api")


def signed_in() -> str | None:
    """The login of who is there."""
    person = _person()
    return person.login if person is not None else None


@dataclass(frozen=True)
class Shown:
    """A call as the page shows it."""

    call: Call
    #: The result as text; "" when it is a file, or there is none.
    result: str = ""
    is_file: bool = False

    @property
    def label(self) -> str:
        """The state in words."""
        return STATES.get(self.call.state, (self.call.state, ""))[0]

    @property
    def says(self) -> str:
        """What there is to say beside the state."""
        error = self.call.error
        if error is not None:
            return f"{error.get('message', '')} ({error.get('code', '')})"
        if self.call.state == "scheduled" and self.call.due is not None:
            return f"due at {self.call.due:%H:%M:%S} UTC"
        return ""


# --- who is there ---


@pages.post("/person")
def become() -> Any:
    """Become one of the people of the demonstration, or nobody."""
    check_form()
    person = person_of(request.form.get("login", ""))
    session.pop("person", None)
    if person is not None and person.is_active:
        session["person"] = person.login
    return redirect(url_for("desk.show"), code=HTTPStatus.SEE_OTHER)


def _person() -> Person | None:
    found = person_of(session.get("person"))
    return found if found is not None and found.is_active else None


def _somebody() -> Person:
    """Who is there; a form that was made for somebody else does nothing."""
    check_form()
    person = _person()
    if person is None or request.form.get("person") != person.login:
        abort(HTTPStatus.FORBIDDEN)
    return person


def _mine(person: Person) -> User:
    """For a look at one's own calls alone, whatever one's roles are."""
    return User(person.login)


def _operations() -> Operations:
    found: Operations = current_app.extensions[_EXTENSION]
    return found


# --- the page ---


@pages.get("")
def show() -> Any:
    """The form and the calls; or the question who is there."""
    person = _person()
    if person is None:
        return _rendered(None)
    examples = examples_for(_operations(), person)
    wanted = request.args.get("example", "0")
    number = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 3 else 0
    form = CallForm()
    if examples:
        example = examples[number % len(examples)]
        form = CallForm(operation=example.operation, data=example.text)
    return _page(person, form)


@pages.post("")
def call() -> Any:
    """Defer an operation, or execute it."""
    person, operations = _somebody(), _operations()
    form = CallForm.of(request.form, [one.name for one in operations.known()])
    if form.errors:
        return _page(person, form), HTTPStatus.BAD_REQUEST
    operation = operations.named(form.operation)
    try:
        if form.how == LATER:
            return _back(calling.defer(operations, operation, form, person.login).id)
        return _done(person, form, calling.execute(operations, operation, form, person.login))
    except StillRunning as error:  # the same form is just being worked on
        return _back(error.tracking_id)
    except SentBefore as before:
        return _sent_before(person, form, before)
    except OperationError as error:
        return _refused(person, form, error)
    except TaskQueueError:
        raise
    except Exception:
        _log.exception("%s failed", form.operation)
        form.errors["operation"] = "It could not be executed; the terminal of the server says why."
        form.key = CallForm().key
        return _page(person, form), HTTPStatus.INTERNAL_SERVER_ERROR


def _done(person: Person, form: CallForm, value: Any) -> Any:
    if not isinstance(value, File):
        return _page(person, _again(form), done=form.operation, result=_short(shown_json(value)))
    response = Response(value.content, content_type=value.media_type)
    response.headers.set("Content-Disposition", "attachment", filename=value.name or "result")
    return response


def _again(form: CallForm) -> CallForm:
    """The same fields as a new form."""
    return CallForm(operation=form.operation, data=form.data, delay=form.delay)


def _sent_before(person: Person, form: CallForm, before: SentBefore) -> Any:
    if before.is_same and before.call_id is not None:
        return _back(before.call_id)
    again = _again(form)
    again.errors["form"] = "This form was sent before, and is not executed twice. Send it once more if you mean it."
    return _page(person, again), HTTPStatus.CONFLICT


def _refused(person: Person, form: CallForm, error: OperationError) -> Any:
    if isinstance(error, KeyReused):
        return _sent_before(person, form, SentBefore(None, False))
    again = _again(form)
    again.errors["operation"] = f"{error.message} ({error.code})."
    details = error.details if isinstance(error.details, list) else []
    again.details = [
        f"{'.'.join(map(str, one.get('at', []))) or 'data'}: {one.get('message', '')}"
        for one in details
        if isinstance(one, dict)
    ]
    return _page(person, again), error.status


@pages.post("/<call_id>/<any(cancel, retry, forget):verb>")
def act(call_id: str, verb: str) -> Any:
    """Press a button of a call."""
    person = _somebody()
    try:
        with suppress(CallGone, NotPossible):  # it is otherwise meanwhile, which the page shows
            getattr(_operations(), verb)(call_id, user=_mine(person))
    except CallNotFound:
        abort(HTTPStatus.NOT_FOUND)
    return _back(None if verb == "forget" else call_id)


def _back(call_id: str | None) -> Any:
    anchor = f"call-{call_id}" if call_id else "calls-title"
    return redirect(url_for("desk.show", _anchor=anchor), code=HTTPStatus.SEE_OTHER)


def _page(person: Person, form: CallForm, **more: Any) -> str:
    shown, following = _calls(person)
    return _rendered(
        person, form=form, calls=shown, following=following, after=request.args.get("after"),
        known=_operations().known(), examples=examples_for(_operations(), person), **more,
    )  # fmt: skip


def _rendered(person: Person | None, **more: Any) -> str:
    return render_template(
        "demo/operations.html", person=person, people=[one for one in PEOPLE if one.is_active], states=STATES,
        longest_delay=LONGEST_DELAY, later=LATER, now=NOW, **more,
    )  # fmt: skip


def _calls(person: Person) -> tuple[list[Shown], str | None]:
    """The calls of a person on this page, and the one behind which the next page begins."""
    operations, after = _operations(), request.args.get("after")
    try:
        found = operations.calls(user=_mine(person), limit=PAGE + 1, after=after)
    except (CallNotFound, CallGone):
        found = operations.calls(user=_mine(person), limit=PAGE + 1)
    shown = [_shown(operations, one) for one in found[:PAGE]]
    return shown, found[PAGE - 1].id if len(found) > PAGE else None


def _shown(operations: Operations, call: Call) -> Shown:
    if call.state != "succeeded":
        return Shown(call)
    try:
        value = operations.result(call.id)
    except (CallGone, CallNotFound):  # in this very moment
        return Shown(call)
    return Shown(call, is_file=True) if isinstance(value, File) else Shown(call, _short(shown_json(value)))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}\n..."
