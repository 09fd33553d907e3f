"""The operations of an application over HTTP: ``OperationsApi(app, operations)``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Flask, Response, current_app, request
from werkzeug.exceptions import HTTPException, default_exceptions

from ..errors import ConfigurationError
from ..operations import Operations
from ..spec import shown
from .answers import protect, quiet
from .csrf import exempt
from .extension import TEMPLATES
from .operations_limits import LONGEST_WAIT, MAX_BYTES
from .operations_problem import problem_of
from .operations_site import EXTENSION, USUAL_TITLE, OperationsSite
from .operations_user import UserHook
from .operations_views import CONVERTER, OperationName, add_operation_views
from .settings import check_url_prefix
from .site import STATIC, LocaleHook


class OperationsApi:
    """The addresses of the operations of an application.

    Arguments:
        app: the application; None: call :meth:`init_app` later, for one or several.
        operations: what may be called; may be given to :meth:`init_app` instead.
        url_prefix: where the addresses hang; all under it is ours.
        identity: ``identity()`` returns a :class:`User`, the id of one, or None: nobody is signed in. Without it
            Flask-Login is asked, if it is there.
        name: of the blueprint; two in one application need two names (and prefixes).
        locale: ``locale()`` returns the language of the human page, such as "de"; without it Flask-Babel is asked if it
            is there, else the browser.
        max_bytes: the largest body of a request.
        max_wait: so long (seconds, at most 60) a request may wait for the end of a call; each that waits occupies a
            thread of the server. 0: none waits.
        security: how clients show who they are, as a security scheme of OpenAPI; None: the session's cookie.
        title, version: of the OpenAPI document, and the title of the human page.

    Raises :class:`ConfigurationError`.
    """

    def __init__(
        self, app: Flask | None = None, operations: Operations | None = None, *, url_prefix: str = "/ops",
        identity: UserHook | None = None, name: str = "operations", locale: LocaleHook | None = None,
        max_bytes: int = MAX_BYTES, max_wait: float = LONGEST_WAIT, security: Mapping[str, Any] | None = None,
        title: str = USUAL_TITLE, version: str = "1",
    ) -> None:  # fmt: skip
        if not isinstance(name, str) or not name.isidentifier():
            raise ConfigurationError(f"the name of the blueprint must be an identifier, not {shown(name)}")
        self.name = name
        self._prefix = check_url_prefix("url_prefix", url_prefix)
        if not self._prefix:
            raise ConfigurationError("url_prefix must be a path of its own such as '/ops', not the root")
        self._operations = operations
        self._options = {
            "identity": identity, "locale": locale, "security": security, "title": title, "version": version,
            "max_bytes": _number("max_bytes", max_bytes, 1, math.inf),
            "max_wait": _number("max_wait", max_wait, 0, LONGEST_WAIT),
        }  # fmt: skip
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask, operations: Operations | None = None) -> None:
        """Hang the addresses into ``app``, with ``operations`` or those given before."""
        operations = operations or self._operations
        if not isinstance(operations, Operations):
            raise ConfigurationError(f"OperationsApi takes an Operations, not {shown(operations)}")
        sites: dict[str, OperationsSite] = app.extensions.setdefault(EXTENSION, {})
        if self.name in sites:
            raise ConfigurationError(f"this application has operations named {self.name!r} already: give another name=")
        blueprint = self._blueprint()
        app.url_map.converters[CONVERTER] = OperationName
        app.register_blueprint(blueprint, url_prefix=self._prefix)
        exempt(app, blueprint)
        sites[self.name] = OperationsSite(self.name, operations, **self._options)

    def _blueprint(self) -> Blueprint:
        blueprint = Blueprint(self.name, __name__, static_folder=str(STATIC), template_folder=str(TEMPLATES))
        add_operation_views(blueprint)
        # By their numbers, too: else the application's own page for one of them would go before.
        blueprint.register_error_handler(Exception, _failed)
        for status in default_exceptions:
            blueprint.register_error_handler(status, _failed)
        blueprint.after_request(lambda response: quiet(protect(response)))
        # Once more, as Flask-WTF may come later than we.
        blueprint.before_app_request(lambda: exempt(current_app, blueprint))
        blueprint.after_app_request(self._in_our_words)
        return blueprint

    def _in_our_words(self, response: Response) -> Response:
        """Answer for what Flask finds no view for under our prefix."""
        error = request.routing_exception
        is_ours = request.path == self._prefix or request.path.startswith(f"{self._prefix}/")
        if not is_ours or error is None or error.code is None or error.code < 400:
            return response
        return quiet(protect(problem_of(error).response()))


def _failed(error: Exception) -> Any:
    if isinstance(error, HTTPException) and (error.code is None or error.code < 400):
        return error  # a redirect
    return problem_of(error).response()


def _number(name: str, given: Any, least: float, most: float) -> Any:
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not least <= given <= most:
        raise ConfigurationError(f"{name} must be a number from {least:g} to {most:g}, not {shown(given)}")
    return given
