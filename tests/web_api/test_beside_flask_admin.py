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
