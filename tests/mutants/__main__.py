"""``python -m tests.mutants [words]``: damage a copy of the project in each of these ways, and see its tests turn red.

With words: only the damages whose name has one of them. The exit code is 1 when a damage stays unnoticed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.mutants.mutants import MUTANTS, ROOT, Mutant

#: Seconds; a damage may as well make a test wait for ever, which is noticed, too.
_TIMEOUT = 600
_COPIED = ("taskqueue", "tests", "demo_ext", "templates", "benchmarks", "docs",
           "setup.cfg", "pyproject.toml", "README.md", "Makefile")  # fmt: skip


def main(words: list[str]) -> int:
    """Try the mutants; how many survived."""
    chosen = [mutant for mutant in MUTANTS if not words or any(word in mutant.name for word in words)]
    survived = 0
    print("| damage | noticed by |\n| --- | --- |")
    for mutant in chosen:
        noticed = _noticed_by(mutant)
        survived += noticed is None
        print(f"| {mutant.name} | {noticed or 'NOBODY'} |", flush=True)
    print(f"\n{len(chosen) - survived} of {len(chosen)} were noticed")
    return 1 if survived or not chosen else 0


def _noticed_by(mutant: Mutant) -> str | None:
    """The first test that turns red, or None."""
    with tempfile.TemporaryDirectory(prefix="taskqueue-mutant-") as folder:
        copy = Path(folder)
        for name in _COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy / name)
        for change in mutant.changes:
            file = copy / change.file
            file.write_text(change.applied_to(file.read_text(encoding="utf-8")), encoding="utf-8")
        return _first_failure(copy, mutant.tests)


def _first_failure(copy: Path, tests: tuple[str, ...]) -> str | None:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=no", *tests]
    environment = os.environ | {"PYTHONPATH": str(copy)}
    try:
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=_TIMEOUT)
    except subprocess.TimeoutExpired:
        return f"(no end within {_TIMEOUT} s)"
    if done.returncode == 0:
        return None
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    assert done.returncode == 1 and failed, f"the tests did not run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return failed[0].split()[1]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
