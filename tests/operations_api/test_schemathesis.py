"""The served document is true: what it allows is taken, what it forbids is refused, and no other answer comes.

``OPERATIONS_API_EXAMPLES=300`` makes the big form of it: thousands of requests.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from taskqueue import QueueService
from tests.operations.conftest import metadata
from tests.operations_api.app import create_app
from tests.operations_api.serving import Server

CHECKOUT = str(Path(__file__).resolve().parents[2])
#: What a good request may be answered with. Beside what the check takes by itself: 410, as it has itself consumed the
#: result before.
CONFIG = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", "401", "403", "404", "409", "410", "429", "5xx"]
"""
#: For each address.
EXAMPLES = int(os.environ.get("OPERATIONS_API_EXAMPLES", "5"))
IS_BIG = EXAMPLES >= 100


@pytest.mark.slow
def test_all_checks_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    service = QueueService(f"sqlite:///{tmp_path}/schemathesis.db")
    metadata.create_all(service.engine)
    # Without those that fail: 500 and 422 are the right answers to good requests there, and the checks know of none.
    app = create_app(service, with_failing=False, max_wait=0.02)
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", "--checks=all", "--phases=examples,coverage,fuzzing,stateful",
        f"--max-examples={EXAMPLES}", "--header=Authorization: Bearer alice", "--seed=1", "--generation-database=none",
        "--no-color", "--continue-on-failure",
        # To delete a call that waits is to cancel it: it stays on record, and another test looks at those that do not.
        "--exclude-checks=use_after_free",
        # NUL is a character of JSON, but none that databases store, and a JSON schema cannot tell it without a pattern
        # for each text: deferred, such data are refused, which the check would take for a mistake.
        "--generation-allow-x00=false",
    ]  # fmt: skip
    with Server(app, app.extensions["tests"]) as server:
        ran = subprocess.run(
            [*command, f"{server.url}/ops/openapi.json"], cwd=tmp_path, capture_output=True, text=True, timeout=3000,
            check=False, env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.operations_api.hooks", "PYTHONPATH": CHECKOUT},
        )  # fmt: skip
    service.close()
    made, statuses = sum(server.statuses.values()), dict(sorted(server.statuses.items()))
    with capsys.disabled():
        print(f"\nschemathesis: {made} requests, {statuses}")
        print(*re.findall(r"^.*(?:tested|generated|passed|failed).*$", ran.stdout, re.MULTILINE), sep="\n")
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
    assert not [status for status in statuses if " 5" in status]
    assert made >= (5000 if IS_BIG else 1000)
