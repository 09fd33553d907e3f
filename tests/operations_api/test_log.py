"""Where the cause of an answer 500 is found when an application has not set up its logging."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

APPLICATION = """
import logging
import sys

from flask import Flask
from taskqueue import QueueService
from taskqueue.operations import Operations
from taskqueue.web import OperationsApi, Webservice

service = QueueService("sqlite:///garden.db")
ops = Operations(service)


@ops.operation("dig", idempotent=True)
def dig(ctx, data):
    raise RuntimeError("the spade is broken")


if "basic" in sys.argv:
    logging.basicConfig()
app = Flask("garden")
OperationsApi(app, ops, identity=lambda: "ann")
Webservice(app, ops, identity=lambda: "ann")
client = app.test_client()
if "api" in sys.argv:
    assert client.post("/ops/dig", json={}).status_code == 500
elif "key" in sys.argv:
    assert client.post("/ops/dig", json={}, headers={"Idempotency-Key": "k"}).status_code == 500
else:
    assert client.post("/webservice", json={"operation": "dig"}).json["error"]["code"] == "INTERNAL_SERVER_ERROR"
service.close()
"""


@pytest.mark.parametrize("logging", ["none", "basic"])
@pytest.mark.parametrize("door", ["api", "key", "webservice"])
def test_the_traceback_is_written_once(tmp_path: Path, door: str, logging: str) -> None:
    command = [sys.executable, "-W", "error", "-c", APPLICATION, door, logging]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Traceback (most recent call last)") == 1, done.stderr
    assert done.stderr.count("\nRuntimeError: the spade is broken\n") == 1
