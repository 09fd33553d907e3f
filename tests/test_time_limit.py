"""A test that hangs is ended; a long form takes as long as it takes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import LONG_FORMS

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("variable", "limit", "plugins"),
    [
        ("", "300.0", ()),
        ("INTERLEAVINGS", "", ()),
        ("SOAK_SECONDS", "", ("-n", "1")),
    ],
)
def test_only_the_usual_form_has_a_time_limit(
    variable: str, limit: str, plugins: tuple[str, ...], tmp_path: Path
) -> None:
    test = tmp_path / "test_limit.py"
    test.write_text(
        "def test_limit(pytestconfig):\n"
        "    assert str(pytestconfig._env_timeout or '') == " + repr(limit)
    )  # fmt: skip
    command = [sys.executable, "-m", "pytest", "-q", "-c", "setup.cfg", "-p", "no:cacheprovider", *plugins]
    environment = {
        key: text for key, text in os.environ.items() if key not in LONG_FORMS and not key.startswith("PYTEST")
    }

    done = subprocess.run(
        [*command, "tests/test_readme.py", str(test), "-k", "limit"],
        cwd=ROOT, env=environment | ({variable: "1"} if variable else {}), capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout
