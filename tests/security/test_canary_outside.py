"""A secret that went in comes out nowhere else: log lines of workers, metrics, documents and answers of operations."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from pydantic import BaseModel, Field, SecretStr

from taskqueue import QueueService
from taskqueue.metrics import metrics_app
from taskqueue.operations import OperationContext, Operations, User
from taskqueue.web import OperationsApi
from tests.cli.conftest import Shell
from tests.contract.test_metrics import ask
from tests.security import allowed
from tests.security.test_canary import CANARY, ERRORS, leaked, log, worked

__all__ = ["log", "worked"]
#: Of the worker's environment: nothing has it among its arguments.
IN_ENVIRONMENT = "w3llens1ttich"
with_a_password = pytest.mark.parametrize("url", ["postgresql"], indirect=True)


def everything_stored(service: QueueService) -> str:
    """All rows of all our tables."""
    names = service.database.tables.names.keys() - {"prefix", "schema"}
    read = [service.database.statement(lambda tx, one=name: tx.rows(f"SELECT * FROM {{{one}}}")) for name in names]
    return "\n".join(str(tuple(row)) for rows in read for row in rows)


@with_a_password
@pytest.mark.parametrize("form", ["text", "json"])
def test_given_secrets_when_a_worker_works_then_its_log_lines_have_none(
    worked: QueueService, tmp_path: Path, form: str
) -> None:
    shell, address = Shell(tmp_path), worked.database.url.render_as_string(hide_password=False)
    words = ("work", "jobs", "--drain", "--allow", allowed.__name__, "--log-format", form)

    done = shell.run(*words, env={"TASKQUEUE_DATABASE_URL": address, "SMTP_PASSWORD": IN_ENVIRONMENT})
    shell.close()

    # then: it has told of failures, in its form, and of no secret
    assert "cannot reach mysql://[hidden]@db/shop" in done.stderr and "Traceback" in done.stderr
    if form == "json":
        lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
        assert len([line for line in lines if "exception" in line]) >= len(ERRORS)
    assert leaked(done.stdout, done.stderr) == []
    assert IN_ENVIRONMENT not in done.stdout + done.stderr + everything_stored(worked)
    letters = worked.load("jobs").dead_items()
    assert letters
    assert leaked(*(letter.error for letter in letters)) == []
    assert leaked(ask(metrics_app(worked))) == []


def test_given_secrets_that_wait_when_metrics_are_asked_for_then_they_have_none(worked: QueueService) -> None:
    text = ask(metrics_app(worked))

    assert 'queue="jobs"' in text
    assert leaked(text) == []


# --- operations with secret fields ---


class Login(BaseModel):
    """What an operation takes that is only called, never stored."""

    user: str = Field(max_length=20)
    password: SecretStr = SecretStr(CANARY)


@pytest.fixture
def app(url: str) -> Iterator[Flask]:
    """An application with such an operation."""
    app, service = Flask(__name__), QueueService(url)
    ops = Operations(service)

    @ops.operation("login", schema=Login)
    def login(ctx: OperationContext, data: Login) -> Any:
        if data.user == "crash":
            raise ValueError(f"cannot reach mysql://root:{data.password.get_secret_value()}@db/shop")
        return {"user": data.user, "known": data.password.get_secret_value() == CANARY}

    OperationsApi(app, ops, identity=lambda: User("ann"))
    yield app
    service.close()


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_given_an_operation_that_takes_a_secret_when_its_documents_are_read_then_they_have_none(app: Flask) -> None:
    for path in ("/ops/openapi.json", "/ops/docs"):
        answer = app.test_client().get(path)
        assert (answer.status_code, leaked(answer.text, answer.headers)) == (200, [])
    schema = app.test_client().get("/ops/openapi.json").text
    assert '"writeOnly": true' in schema or '"writeOnly":true' in schema


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_given_a_request_with_a_secret_when_it_is_answered_then_no_answer_has_it(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    bodies: list[Any] = [
        {"data": {"user": "ann", "password": CANARY}},
        {"data": {"password": CANARY}},
        {"data": {"user": "x" * 21, "password": CANARY}},
        {"data": {"user": "ann", "password": [CANARY]}},
        {"data": {"user": "ann", "password": {"is": CANARY}}},
        {"data": [CANARY]},
        {"data": {"user": "ann", "password": CANARY}, "options": {"defer": True}},
        {"data": {"user": "ann", "password": CANARY}, "options": {"key": "x"}},
        {"data": {"user": "crash", "password": CANARY}},
    ]
    statuses = []
    for body in bodies:
        answer = app.test_client().post("/ops/login", json=body)
        assert leaked(answer.text, answer.headers) == [], body
        statuses.append(answer.status_code)
    assert statuses[0] == 200 and statuses[-1] == 500 and all(400 <= status < 500 for status in statuses[1:-1])
    assert logging.ERROR in {record.levelno for record in caplog.records}
