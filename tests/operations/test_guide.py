"""What docs/operations.md shows works as shown."""

from __future__ import annotations

import dataclasses
import inspect
import re
import subprocess
import sys
from pathlib import Path

from taskqueue.operations import FINAL, STATES, Call, Operations
from tests.guides import guide, python_in, smallest_example

GUIDE = guide("operations")


def test_the_smallest_example_runs_as_shown(tmp_path: Path) -> None:
    (_, first), (drain, drained), (_, result) = smallest_example(GUIDE, "office", tmp_path)

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        ran = subprocess.run([sys.executable, *args], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert ran.returncode == 0, ran.stderr
        return ran

    ran = run("office.py")
    price, call_id = ran.stdout.splitlines()
    assert (price, ran.stderr.strip()) == ("{'thing': 'kettle', 'total': 20}", first.rpartition(":")[2].strip())
    assert run("-m", *drain.split()).stdout.strip() == drained
    assert run("office.py", call_id).stdout.splitlines()[-1] == result


def test_the_other_examples_are_python() -> None:
    examples = python_in(GUIDE)
    assert len(examples) > 3
    exec(next(one for one in examples if one.startswith("from taskqueue import Later")), {})  # noqa: S102


def test_every_argument_and_state_is_named() -> None:
    rows = "\n".join(re.findall(r"^\| (`.*?) \|", GUIDE, re.MULTILINE))
    named = set(re.findall(r"`(\w+)`", rows))
    arguments = {*inspect.signature(Operations.operation).parameters} - {"self", "name"}
    assert arguments | set(STATES) <= named
    assert {field.name for field in dataclasses.fields(Call)} <= named
    assert set(FINAL) <= set(re.findall(r"\w+", GUIDE[GUIDE.index("```text") :]))
