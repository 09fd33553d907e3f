"""What the addresses of one :class:`OperationsApi` share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flask import current_app, request

from ..errors import ConfigurationError
from ..operations import Operations, User
from .i18n import Translations, choose
from .identity import flask_login_id
from .operations_problem import Problem

EXTENSION = "taskqueue.operations"
#: ``identity()`` returns who calls: a user, the id of one, or None: nobody is signed in.
UserHook = Callable[[], "User | str | int | None"]


@dataclass(frozen=True)
class OperationsSite:
    """The operations of one application under one blueprint name."""

    name: str
    operations: Operations
    identity: UserHook | None
    locale: Callable[[], str | None] | None
    max_bytes: int
    max_wait: float
    security: Mapping[str, Any] | None
    title: str
    version: str

    def user(self) -> User:
        """Who calls. Raises :class:`Problem` (401, 403)."""
        found = self.identity() if self.identity is not None else flask_login_id()
        # An empty id would make one user of all who lack one, and True one of all who have one.
        if found is not None and (isinstance(found, bool) or not isinstance(found, (User, str, int)) or found == ""):
            raise ConfigurationError(
                "the identity hook must return a User, the id of one (text or number), or None, not "
                f"{type(found).__name__}" + (" (empty)" if found == "" else "")
            )
        user = self.operations.user_of(found)
        if user.id is None or user.id == "":
            raise Problem(401, "not_signed_in", "sign in first", headers={"WWW-Authenticate": self._challenge()})
        if not user.is_active:
            raise Problem(403, "access_denied", "this user is not active (any more)")
        return user

    def security_scheme(self) -> dict[str, Any]:
        """How clients show who they are, as OpenAPI says it."""
        if self.security is not None:
            return dict(self.security)
        return {"type": "apiKey", "in": "cookie", "name": str(current_app.config["SESSION_COOKIE_NAME"])}

    def _challenge(self) -> str:
        scheme = self.security_scheme()
        kind = str(scheme.get("scheme", "")).title() if scheme.get("type") == "http" else "Cookie"
        return f'{kind} realm="operations"'

    def translate(self) -> Translations:
        """The texts in the language of this request."""
        return choose(self.locale() if self.locale is not None else None)


def current_site() -> OperationsSite:
    """The site behind the blueprint that answers this request."""
    site: OperationsSite = current_app.extensions[EXTENSION][request.blueprint]
    return site
