"""The web door of the demonstrations: an import of CSV files that can be watched, orders, operations on contacts."""

from __future__ import annotations

from flask import Flask

from taskqueue.web import TaskQueue, Webservice

from ..app import QUEUE, service
from ..contacts import operations
from ..contacts.people import access_key_of
from ..tables import make_tables
from . import desk, guard, orders, views
from .key import kept_key, key_file
from .sources import MAX_UPLOAD

#: Besides the file itself: the other fields of the form.
_FORM = 64 * 1024


def create_app() -> Flask:
    """The application. Raises :class:`TaskQueueError` when the database cannot be reached."""
    service.exists(QUEUE)  # says in one sentence what is wrong with the database, if anything is
    make_tables(service.engine)
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY=kept_key(key_file(service.engine.url)),
        SESSION_COOKIE_NAME="demo_ext",
        SESSION_COOKIE_SAMESITE="Lax",
        # Who comes back tomorrow finds the imports of today.
        SESSION_REFRESH_EACH_REQUEST=False,
        MAX_CONTENT_LENGTH=MAX_UPLOAD + _FORM,
        # Served on loopback only: whoever comes under another name was led here by somebody else's page.
        TRUSTED_HOSTS=["127.0.0.1", "localhost"],
        # The progress page in the frame of this application.
        TASKQUEUE_BASE_TEMPLATE="demo/base.html",
        TASKQUEUE_SHUTDOWN_GRACE=10,
    )
    app.config.from_prefixed_env()  # FLASK_TASKQUEUE_BUDGET=0.5 and the like
    # The frame is English, so the progress page in it is, whatever the browser prefers.
    # Whoever sits at this machine is the administrator; an application asks who is signed in.
    TaskQueue(app, service, locale=lambda: "en", authorize_dashboard=lambda action, queue: True)
    app.register_blueprint(views.pages)
    app.register_blueprint(orders.pages)
    desk.install(app, operations)
    # For clients of coreBOS. The session of a browser counts for nothing there: they log in with an access key.
    Webservice(app, operations, identity=lambda: None, access_key=access_key_of)
    guard.install(app)
    return app
