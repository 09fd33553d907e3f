"""What a request says cannot begin a line of its own in a log, nor steer the terminal that shows it."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from taskqueue import TaskQueueError
from taskqueue.web.site import Site
from tests.attacks.app import whole_app
from tests.web_api.app import Visitor
from tests.web_api.world import World

#: The end of a line, a line that looks like one of the log, a colour, a mark that turns the text round.
FORGED = "%0D%0A2026-01-01 INFO signed in: root%1B%5B31m%E2%80%AE%E2%80%A8"


@pytest.fixture
def ann(world: World, caplog: pytest.LogCaptureFixture) -> Visitor:
    """Somebody who may see and call much, while the log is kept."""
    caplog.set_level(logging.DEBUG)
    return Visitor(whole_app(world.url, TESTING=True), "ann")


def then_each_line_is_one(caplog: pytest.LogCaptureFixture, at_least: int = 1) -> None:
    lines = [record.getMessage() for record in caplog.records if record.name.startswith(("taskqueue", "tests"))]
    assert len([line for line in lines if "signed in: root" in line]) >= at_least, lines
    assert [line for line in lines if not line.isprintable()] == []


@pytest.mark.parametrize("path", [f"/queue/run/{FORGED}/drive", f"/queue/run/{FORGED}/abort"])
def test_given_a_forged_address_when_refused_then_the_log_has_one_line(
    path: str, ann: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    assert ann.client.post(path, headers={"X-CSRFToken": "x"}).status_code == 403
    then_each_line_is_one(caplog)


def test_given_a_forged_address_when_something_of_ours_fails_then_the_log_has_one_line(
    ann: Visitor, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise TaskQueueError("down")

    monkeypatch.setattr(Site, "runs", property(lambda _: fail()))
    assert ann.client.get(f"/queue/run/{FORGED}/state").status_code >= 500
    monkeypatch.setattr("taskqueue.operations.Operations.get", fail)
    assert ann.client.get(f"/ops/runs/{FORGED}").status_code >= 500
    then_each_line_is_one(caplog, 2)


@pytest.mark.parametrize("header", ["Origin", "Sec-Fetch-Site"])
def test_given_a_forged_header_when_refused_then_the_log_has_one_line(
    header: str, ann: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    # A server takes no end of line in a header, but colours and marks it may.
    forged = "\x1b[31m\x9b2J signed in: root"
    answer = ann.client.post(
        "/queue/run/x/drive", headers={"X-CSRFToken": ann.token}, environ_overrides={f"HTTP_{_cgi(header)}": forged}
    )
    assert answer.status_code == 403
    ann.client.post("/webservice?operation=echo", environ_overrides={f"HTTP_{_cgi(header)}": forged})
    then_each_line_is_one(caplog, 2)


def _cgi(header: str) -> str:
    return header.upper().replace("-", "_")
