"""How the pages alone answer what is no progress page."""

from __future__ import annotations

import logging
from typing import Any

from flask import Flask, Response, jsonify, make_response, request, url_for
from werkzeug.exceptions import HTTPException

from ..errors import TaskQueueError
from ..spec import shown
from .answers import Refusal, protect, wants_json
from .i18n import Translations
from .login import is_signed_in
from .site import Site

_log = logging.getLogger(__name__)


class Answers:
    """Pages and messages of one site."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def attach(self, app: Flask) -> None:
        """Answer what goes wrong in ``app``."""
        app.register_error_handler(Refusal, self._refused)
        app.register_error_handler(TaskQueueError, self._failed)
        app.register_error_handler(HTTPException, self._http_error)
        app.context_processor(self._home)
        app.after_request(protect)

    def _home(self) -> dict[str, Any]:
        """The way to the list of runs, and from there to the dashboard, for the frame of all pages."""
        if not is_signed_in():
            return {}
        if request.endpoint == "runs":
            url = self._site.url("dashboard_overview")
            return {"taskqueue_home": {"url": url, "text": self._site.translate().gettext("Dashboard")}}
        return {"taskqueue_home": self._link_to_list()}

    def _link_to_list(self) -> dict[str, str]:
        return {"url": url_for("runs"), "text": self._site.translate().gettext("All runs")}

    def render(self, template: str, translate: Translations, **values: Any) -> str:
        """A template with what all of ours need."""
        return self._site.render(template, translate, **values)

    def to_stranger(self) -> Response:
        """The same for everything that somebody asks for who has not come by a link, or by one that is spent."""
        _ = self._site.translate().gettext
        sentence = _(
            "This page is opened by a link that works once. For a new one, press Enter in the terminal where "
            "“taskqueue web” runs, or start it again there."
        )
        # A script takes 404 for "signed out": its page was there once.
        status = 404 if wants_json(request) else 403
        return self._message(status, "sign_in", _("Please sign in"), sentence)

    def _refused(self, refusal: Refusal) -> Response:
        title = self._site.translate().gettext("Not possible")
        return self._message(refusal.status, refusal.code, title, refusal.message, with_link=True)

    def _failed(self, error: TaskQueueError) -> Response:
        _ = self._site.translate().gettext
        _log.error("%s %s: %s", request.method, shown(request.path), error)
        sentence = _("The database cannot be reached at the moment; nothing is lost.")
        return self._message(503, "unavailable", _("Not possible"), sentence)

    def _http_error(self, error: HTTPException) -> Any:
        if error.code is None or error.code < 400:
            return error  # a redirect
        _, status = self._site.translate().gettext, error.code
        sentence = _("There is nothing at this address.") if status in (404, 405) else _("Something went wrong.")
        return self._message(status, "not_found" if status == 404 else "failed", _("Not possible"), sentence,
                             with_link=True)  # fmt: skip

    def _message(self, status: int, code: str, title: str, message: str, *, with_link: bool = False) -> Response:
        translate = self._site.translate()
        if wants_json(request):
            response = jsonify(error={"code": code, "message": message})
        else:
            link = self._link_to_list() if with_link else None
            response = make_response(
                self.render("taskqueue/message.html", translate, title=title, message=message, link=link)
            )
        response.status_code = status
        return response
