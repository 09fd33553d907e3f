"""Flask-Admin in the same application: both have their pages, and neither is in the other's way."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask_admin import Admin
from flask_babel import Babel

from taskqueue import QueueService, Runner, Task
from taskqueue.web import TaskQueue
from taskqueue.web.flask_admin import DashboardView
from tests.web_api import tasks


@pytest.fixture
def service(tmp_path: Path) -> Iterator[QueueService]:
    made = QueueService(f"sqlite:///{tmp_path / 'queues.db'}", allow=["tests.web_api"])
    yield made
    made.close()


@pytest.mark.parametrize("admin_first", [True, False])
def test_both_have_their_pages(service: QueueService, admin_first: bool) -> None:
    app = Flask(__name__)
    app.secret_key = "only for this test"
    Babel(app)  # Flask-Admin wants it where it is installed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Flask-Admin's own making
        if admin_first:
            Admin(app)
        TaskQueue(app, service)
        if not admin_first:
            Admin(app)
    queue = service.create("Sql", "jobs")
    queue.create_item(Task(tasks.ok, (1,), "One"))
    app.add_url_rule("/go", "go", lambda: Runner(queue, title="Beside the admin").run_all_via_web())
    client = app.test_client()

    page = client.get(client.get("/go").location)

    assert page.status_code == 200
    assert "Beside the admin" in page.text
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    admin = client.get("/admin/")
    assert admin.status_code == 200
    assert "Content-Security-Policy" not in admin.headers, "our headers are for our pages"


@pytest.mark.parametrize("is_admin", [True, False])
def test_the_dashboard_stands_in_its_menu_and_in_its_frame(service: QueueService, is_admin: bool) -> None:
    # given
    app = Flask(__name__)
    app.secret_key = "only for this test"
    Babel(app)
    service.create("Sql", "jobs").create_item(Task(tasks.ok, (1,), "One"))
    pages = TaskQueue(app, service, authorize_dashboard=lambda action, queue: is_admin)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Flask-Admin's own making
        Admin(app, name="The shop").add_view(DashboardView(pages, name="All queues"))
    client = app.test_client()
    # when
    menu = client.get("/admin/")
    entry = client.get("/admin/taskqueue_dashboard/")
    shown = client.get("/queue/dashboard/items")
    # then
    assert ("All queues" in menu.text) is is_admin
    assert shown.status_code == (200 if is_admin else 404)
    if is_admin:
        assert (entry.status_code, entry.location) == (303, "/queue/dashboard")
        assert "navbar" in shown.text and "The shop" in shown.text and ">One</bdi>" in shown.text
        assert "script-src" not in shown.headers["Content-Security-Policy"], "Flask-Admin's own stand in the page"
    else:
        assert entry.status_code == 404
        assert "jobs" not in shown.text and "All queues" not in shown.text
