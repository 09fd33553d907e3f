"""What docs/operations-api.md shows works as shown."""

from __future__ import annotations

import inspect
import json
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskqueue.web import OperationsApi
from tests.operations_api.app import Client
from tests.ports import free_port

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "operations-api.md").read_text(encoding="utf-8")


class Terminals:
    """Where the commands of the guide are given, with another port; what goes on running ends with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.running: list[subprocess.Popen[bytes]] = []
        self.tracking_id = "ID"

    def start(self, command: str) -> None:
        words = [*command.split(), *(["--port", str(self.port)] if command.startswith("flask") else [])]
        with (self.folder / f"{words[0]}.log").open("wb") as log:
            self.running.append(
                subprocess.Popen([sys.executable, "-m", *words], cwd=self.folder, stdout=log, stderr=log)
            )
        while command.startswith("flask") and not self._answers():
            assert self.running[-1].poll() is None, (self.folder / "flask.log").read_text()

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ops", timeout=10)
        except urllib.error.HTTPError:  # nobody is signed in
            return True
        except OSError:
            return False
        raise AssertionError("whoever is not signed in sees the operations")

    def check(self, command: str, shown: str) -> None:
        """Give a command; it must answer as shown."""
        sent = command.replace("localhost:5000", f"127.0.0.1:{self.port}").replace(
            "runs/ID", f"runs/{self.tracking_id}"
        )
        ran = subprocess.run(["bash", "-c", sent], capture_output=True, text=True, timeout=60, check=True)
        if '"state"' in ran.stdout:
            self.tracking_id = json.loads(ran.stdout)["id"]
        pattern = re.escape(shown).replace("ID", self.tracking_id).replace("…", ".*")
        assert re.fullmatch(pattern, ran.stdout.strip()), (sent, ran.stdout)

    def close(self) -> None:
        for program in self.running:
            program.terminate()
        for program in self.running:
            program.wait(30)


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[Terminals]:
    """The example in a folder of its own."""
    example = re.search(r"```python\n(# contacts\.py\n.*?)```", GUIDE, re.DOTALL)
    assert example is not None
    (tmp_path / "contacts.py").write_text(example[1], encoding="utf-8")
    made = Terminals(tmp_path)
    yield made
    made.close()


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_commands_answer_as_shown(terminals: Terminals) -> None:
    checked = 0
    for block in re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL):
        lines = block.splitlines()
        if not lines[0].startswith("curl"):
            terminals.start(block.strip())
            continue
        for command, shown in zip(lines[::2], lines[1::2], strict=True):
            terminals.check(command, shown.removeprefix("# "))
            checked += 1
    assert checked == 7


def test_every_argument_is_named() -> None:
    arguments = set(inspect.signature(OperationsApi).parameters)
    named = set(re.findall(r"`(\w+)`", GUIDE.partition("## Arguments")[2]))
    assert arguments <= named


def test_every_address_is_named(alice: Client) -> None:
    for path in alice.get("/ops/openapi.json").get_json()["paths"]:
        shown = path.replace("{call_id}", "ID")
        assert shown in GUIDE or shown.count("/") == 2, shown
