"""New code is deployed in which a callback has another name: its items die with a reason, and live after the fix."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from taskqueue import BatchQueue, Runner, callbacks
from tests.contract.backends import Backend
from tests.contract.conftest import MakeService

OLD = "import pathlib\ndef resize(ctx, path):\n    pathlib.Path(path).write_text(f'resized by {ctx.item.title}')\n"
NEW = OLD.replace("def resize", "def scale")
FIXED = NEW + "resize = scale\n"


class Code:
    """A module of the application, deployed now and then; whoever runs it then is a new process."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._patch = monkeypatch
        monkeypatch.syspath_prepend(folder)

    def deploy(self, text: str) -> None:
        (self._folder / "shop_of_the_test.py").write_text(text)
        self._patch.setattr(sys, "dont_write_bytecode", True)  # else the old text may seem to be the new one
        self._patch.delitem(sys.modules, "shop_of_the_test", raising=False)
        self._patch.setattr(callbacks, "_resolved", {})
        self._patch.setattr(callbacks, "_remembered", set())


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Code:
    """The code, nothing deployed yet."""
    return Code(tmp_path, monkeypatch)


@pytest.fixture
def queue(make_service: MakeService, backend: Backend) -> BatchQueue:
    """A queue of a service that allows that module."""
    return make_service(allow=["shop_of_the_test"]).create(backend.type, "jobs", retry_limit=3)


def test_a_renamed_callback_dies_with_a_reason_and_runs_after_the_fix(
    code: Code, queue: BatchQueue, tmp_path: Path
) -> None:
    # given
    code.deploy(OLD)
    paths = [tmp_path / "1.png", tmp_path / "2.png"]
    items = [queue.enqueue("shop_of_the_test:resize", str(path), title=path.name) for path in paths]
    # when
    code.deploy(NEW)
    Runner(queue).run_all()
    Runner(queue).run_all()
    # then
    letters = queue.dead_items(callback="shop_of_the_test:resize")
    assert [(letter.id, letter.title, letter.attempts) for letter in letters] == [
        (item.id, path.name, 1) for item, path in zip(items, paths, strict=True)
    ]
    assert all("'shop_of_the_test' has no attribute 'resize'" in letter.error for letter in letters)
    assert not any(path.exists() for path in paths)
    # when
    code.deploy(FIXED)
    assert queue.revive_items(error="has no attribute 'resize'") == 2
    # then
    assert Runner(queue).run_all()
    assert [path.read_text() for path in paths] == ["resized by 1.png", "resized by 2.png"]
    assert [ending.outcome for ending in queue.history_of(items[0].id)] == ["dead", "revived"]
