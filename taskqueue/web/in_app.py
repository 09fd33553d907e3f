"""The application that a ``flask`` command is called for, and the pages in it."""

from __future__ import annotations

from collections.abc import Callable

import click
from flask import Flask, current_app
from flask.cli import NoAppException, ScriptInfo
from flask.ctx import AppContext

from ..errors import ConfigurationError
from ..spec import nearest
from .site import EXTENSION, Site


def site_of(ctx: click.Context, name: str | None) -> Site:
    """The pages of the application, whose context stays entered until the end of ``ctx``.

    Arguments:
        ctx: of a command below ``flask``.
        name: that of the extension, if the application has several; None: the one named "taskqueue", or the only one.

    Raises :class:`ConfigurationError` when there is no application, or nothing of ours in it.
    """
    app = _app(ctx)
    sites: dict[str, Site] = app.extensions.get(EXTENSION, {})
    if not sites:
        raise ConfigurationError(
            f"the Flask application {app.name!r} has no taskqueue: install it with taskqueue.web.TaskQueue(app), or "
            "use the command 'taskqueue', which needs no application"
        )
    if name is None:
        name = next(iter(sites)) if len(sites) == 1 else EXTENSION
    if name not in sites:
        known = ", ".join(sorted(sites))
        raise ConfigurationError(
            f"the Flask application {app.name!r} has no taskqueue named {name!r}{nearest(name, sites)}: "
            f"give one of {known} by --name"
        )
    return sites[name]


def app_context() -> Callable[[], AppContext]:
    """What enters the context of the current application, in any thread."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    return app.app_context


def _app(ctx: click.Context) -> Flask:
    if current_app:
        return current_app._get_current_object()  # type: ignore[attr-defined, no-any-return]
    try:
        app = ctx.ensure_object(ScriptInfo).load_app()
    except NoAppException as error:
        raise ConfigurationError(error.format_message()) from error
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise ConfigurationError(
            f"the Flask application cannot be loaded, it raises {type(error).__name__}: {error}"
        ) from error
    ctx.with_resource(app.app_context())
    return app
