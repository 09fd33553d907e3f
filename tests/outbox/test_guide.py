"""What docs/outbox.md shows works as shown."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from taskqueue.outbox import ServiceOptions
from taskqueue.outbox.proxy import CALL_OPTIONS
from tests.guides import guide, python_in, run_as_shown, smallest_example

GUIDE = guide("outbox")


def test_the_smallest_example_runs_as_shown(tmp_path: Path) -> None:
    shown = smallest_example(GUIDE, "orders", tmp_path)
    run_as_shown(shown, tmp_path)
    assert len(shown) == 2


def test_the_other_examples_are_python() -> None:
    assert len(python_in(GUIDE)) > 3


def test_every_option_is_named() -> None:
    named = set(re.findall(r"`(\w+)[`=]", GUIDE))
    assert {field.name for field in fields(ServiceOptions)} | set(CALL_OPTIONS) <= named
