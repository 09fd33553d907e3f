"""What docs/corebos.md shows works as shown."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from taskqueue.web import Webservice
from taskqueue.web.webservice_envelope import BAD_OPTIONS, CODES, INTERNAL, INVALID, MISSING

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "corebos.md").read_text(encoding="utf-8")
#: Errors of calls that no client of the endpoint is told.
_UNTOLD = {"OPERATION_NOT_FINISHED", "OPERATION_NOT_POSSIBLE"}


WORKER = """import subprocess, sys
subprocess.run([sys.executable, "-m", "taskqueue", "--app", "crm:service", "work", "--drain"], check=True,
               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
"""


@pytest.mark.parametrize("with_worker", [False, True])
def test_the_smallest_example_runs_as_shown(tmp_path: Path, with_worker: bool) -> None:
    for name in ("crm.py", "client.py"):
        example = re.search(rf"```python\n(# {name}\n.*?)```", GUIDE, re.DOTALL)
        assert example is not None
        text = example[1].replace("operations.drain()\n", WORKER) if with_worker else example[1]
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert "--app crm:service work" in GUIDE
    ran = subprocess.run([sys.executable, "client.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    printed = re.search(r"It prints `(.*?)` and `(.*?)`\.", GUIDE, re.DOTALL)
    assert printed is not None
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == "".join(f"{' '.join(line.split())}\n" for line in printed.groups())


def test_every_option_and_code_is_named() -> None:
    named = set(re.findall(r"`\W*(\w+)[`=]|(\w+)=", GUIDE))
    words = {word for pair in named for word in pair}
    options = set(inspect.signature(Webservice).parameters) - {"app", "operations", "name"}
    assert options - words == set()
    codes = {*CODES.values(), BAD_OPTIONS, INTERNAL, INVALID, MISSING} - _UNTOLD
    assert {one for one in codes if f"`{one}`" not in GUIDE} == set()


def test_every_limit_has_its_line_and_its_tests_exist() -> None:
    rows = re.findall(r"^\| B(\d+) \|.*\| (.*?) ?\|$", GUIDE, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 22))
    for _, tests in rows:
        folder = ""
        for name in re.findall(r"`([\w/.]+)`", tests):
            folder = name.rpartition("/")[0] or folder
            assert (ROOT / "tests" / folder / name.rpartition("/")[2]).is_file()
