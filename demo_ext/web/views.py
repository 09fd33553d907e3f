"""The pages: the form, what came of an import, and the way to its progress page."""

from __future__ import annotations

import threading
from http import HTTPStatus
from typing import Any

from flask import Blueprint, abort, redirect, render_template, request, session, url_for

from taskqueue import Runner

from ..app import service
from ..files import FileError
from ..start import begin
from . import form as forms
from . import sources, store
from .form import ImportForm
from .guard import browser, check_form
from .store import Import

pages = Blueprint("demo", __name__)
#: A form that is sent twice at the same moment begins one import.
_beginning = threading.Lock()


@pages.get("/")
def start() -> str:
    """The form, and the imports of this browser."""
    return _form_page(ImportForm())


@pages.post("/imports")
def begin_import() -> Any:
    """Begin an import, and lead to its progress page."""
    check_form()
    form, owner = ImportForm.of(request.form, request.files), browser()
    with _beginning:
        standing = store.find(form.key, owner)
        if standing is not None:
            return redirect(standing.page or url_for("demo.show", key=form.key), code=HTTPStatus.SEE_OTHER)
        if store.exists(form.key):
            form.key = ImportForm().key
        if not form.errors and not store.make_room():
            form.errors["full"] = f"{store.MOST} imports are unfinished. Finish or remove one of yours first."
        if not form.errors:
            try:
                return _begin(form, owner)
            except FileError as error:
                form.errors["upload" if form.upload else "source"] = f"{error}."
    return _form_page(form), HTTPStatus.BAD_REQUEST


@pages.get("/imports/<key>")
def show(key: str) -> Any:
    """What came of an import, or how far it is."""
    one = _mine(key)
    after = request.args.get("after", "0")
    line = int(after) if after.isascii() and after.isdigit() and len(after) <= 9 else 0
    queue = store.queue_of(one)
    waiting = queue.number_of_items() if queue is not None else 0
    return render_template(
        "demo/import.html", one=one, result=store.result_of(one, line), after=line, waiting=waiting,
        status=queue.status if queue is not None else "gone", page_size=store.PAGE,
    )  # fmt: skip


@pages.post("/imports/<key>/resume")
def resume(key: str) -> Any:
    """Go on with an import that was stopped."""
    check_form()
    one = _mine(key)
    queue = store.queue_of(one)
    if queue is not None and queue.status == "paused":
        queue.set_status("active")
    return _run(one)


@pages.post("/imports/<key>/remove")
def remove(key: str) -> Any:
    """Remove an import and its rows."""
    check_form()
    store.remove(_mine(key))
    return redirect(url_for("demo.start"), code=HTTPStatus.SEE_OTHER)


def _begin(form: ImportForm, owner: str) -> Any:
    name = store.queue_name(form.key)
    try:
        put = sources.put_sample(form.source, name) if form.upload is None else sources.put_upload(form.upload, name)
        # Only pages and terminals run it, no worker in the background: somebody wants to watch.
        queue = service.create("Sql", name, agent="browser")
        begin([put], int(form.batch_size), queue=queue, trouble=form.trouble, owner=owner, title=put.name)
    except BaseException:
        sources.remove(name)
        raise
    return _run(_mine(form.key))


def _run(one: Import) -> Any:
    """Show an import on a progress page, which drives it; then the page that says what came of it."""
    queue = store.queue_of(one) or abort(HTTPStatus.NOT_FOUND)
    runner = Runner(
        queue,
        title=f"Import of {one.title}",
        on_end=sources.remove_file,
        on_end_url=url_for("demo.show", key=one.key),
    )
    answer = runner.run_all_via_web()
    store.put_page(one.key, answer.location)
    return answer


def _mine(key: str) -> Import:
    """An import of this browser; others learn nothing of it."""
    one = store.find(key, session.get("browser", "")) if forms.KEY.fullmatch(key) else None
    return one or abort(HTTPStatus.NOT_FOUND)


def _form_page(form: ImportForm) -> str:
    return render_template(
        "demo/start.html", form=form, forms=forms, samples=sources.SAMPLES, imports=store.of_browser(browser()),
        limit=sources.megabytes(sources.MAX_UPLOAD),
    )  # fmt: skip
