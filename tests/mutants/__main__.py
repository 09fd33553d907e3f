"""``python -m tests.mutants [words]``: damage a copy of the project in each of these ways, and see its tests turn red.

With words: only the damages whose name has one of them. The exit code is 1 when a damage stays unnoticed, 2 when
a word is in no name.
"""

from __future__ import annotations

import argparse
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


def main(arguments: list[str]) -> int:
    """Do what the arguments say; the exit code."""
    parser = argparse.ArgumentParser(
        "python -m tests.mutants", description="Damage a copy of the project in many ways; its tests must notice each."
    )
    parser.add_argument("words", metavar="WORD", nargs="*", help="only the damages whose name has one of the words")
    parser.add_argument("--list", action="store_true", help="print the names of the damages, and try none")
    given = parser.parse_args(arguments)
    chosen = [mutant for mutant in MUTANTS if not given.words or any(word in mutant.name for word in given.words)]
    unknown = [word for word in given.words if not any(word in mutant.name for mutant in MUTANTS)]
    if unknown:
        print(f"There is no damage with {unknown[0]!r} in its name: --list prints all names.", file=sys.stderr)
        return 2
    if given.list:
        print(*(mutant.name for mutant in chosen), sep="\n")
        return 0
    return _try(chosen)


def _try(chosen: list[Mutant]) -> int:
    """Print what becomes of each; 1 when one stays unnoticed, else 0."""
    survived = 0
    print("| damage | noticed by |\n| --- | --- |")
    for mutant in chosen:
        noticed = _noticed_by(mutant)
        survived += noticed is None
        print(f"| {mutant.name} | {noticed or 'NOBODY'} |", flush=True)
    print(f"\n{len(chosen) - survived} of {len(chosen)} were noticed")
    return 1 if survived else 0


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
