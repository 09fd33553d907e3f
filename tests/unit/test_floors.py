"""The modules stand on floors, and each imports only from the floors below its own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "taskqueue"
ROOT = Path(__file__).resolve().parents[2] / PACKAGE

# One line for each floor, the lowest first. Floors may have steps (the strings of a line): a module imports
# from lower floors and from lower steps of its own; from its own step only what lies in the same folder.
# "storage" stands for the package and all inside it, unless a longer name fits better; "queues.*" for what
# is inside it alone.
FLOORS = (
    ("errors interrupts forks", "clock durations signals bell spans", "verdicts"),
    (
        "callbacks serializer outcome redact",
        "spec logs",
        "cron task retries credentials",
        "item rhythm",
        "showing payload",
        "settings",
    ),
    ("storage",),
    (
        "queues.arguments queues.ended",
        "queues.dead_filter queues.base",
        "queues.archive queues.settlement",
        "queues.archived",
        "queues.batch",
    ),
    ("queues.memory queues.sql_base queues.*", "queues.sql queues.sql_parallel", "queues"),
    ("schedules", "periodic service singles", "execution registering"),
    ("runs outbox channels operations metrics tracing", "dashboard"),
    ("result remaining", "watching", "drive", "runner loop", "worker"),
    ("web", "cli"),
    ("__init__ __main__",),
)

# Stands aside: it may import anything, and nothing imports it.
ASIDE = "testing"

# Where alone these may be imported (a name stands for all that begins like it).
ONLY_UNDER = {
    "flask": ("web",),
    "sqlalchemy": ("storage", "queues.sql", "runs", "outbox", "operations", "service"),
}


@dataclass(frozen=True)
class Import:
    """One imported module, the name taken from it (if any), and where that is written."""

    target: str
    name: str
    line: int
    in_function: bool
    #: Seen by type checkers only, so that nothing is imported when the code runs.
    for_types: bool = False


def test_modules_import_only_from_floors_below() -> None:
    found = violations(ROOT)
    assert not found, "\n" + "\n".join(found)


def violations(root: Path) -> list[str]:
    """Every breach of the rules under ``root``, each as ``file:line: sentence``."""
    files = {_module(root, file): file for file in sorted(root.rglob("*.py"))}
    found = []
    for module, file in files.items():
        path = file.relative_to(root.parent).as_posix()
        if not _is_aside(module) and _level(module) is None:
            found.append(f"{path}: the module has no floor; give it one in FLOORS")
            continue
        for an_import in _imports(module, file, set(files)):
            found += [f"{path}:{an_import.line}: {problem}" for problem in _problems(module, an_import, files)]
    # One import of several names tells the same thing several times.
    return list(dict.fromkeys(found))


def _problems(module: str, an_import: Import, modules: dict[str, Path]) -> Iterator[str]:
    target = an_import.target
    own = target == PACKAGE or target.startswith(f"{PACKAGE}.")
    if own and an_import.in_function:
        yield f"imports {target} inside a function; import it at the top of the module"
    if _is_aside(module):
        return
    if not own:
        if an_import.for_types:
            return
        for library, places in ONLY_UNDER.items():
            if target.split(".")[0] == library and not any(_begins(module, place) for place in places):
                yield f"imports {library}, which only {', '.join(places)} may"
        return
    inner = target.removeprefix(PACKAGE).removeprefix(".")
    if inner in ("", "__init__"):
        what = an_import.name or "the package"
        yield f"imports {what} from the top of {PACKAGE}; name the module that has it"
    elif _is_aside(inner):
        yield f"imports {ASIDE}, which stands aside and which nothing may import"
    elif inner not in modules:
        yield f"imports {target}, which does not exist"
    elif (level := _level(inner)) is not None and not _may(module, inner, level):
        yield f"imports {inner} (floor {_shown(level)}) from floor {_shown(_level(module))}"


def _may(module: str, target: str, level: tuple[int, int]) -> bool:
    own = _level(module)
    assert own is not None
    return level < own or (level == own and "." in f"{module}{target}" and _top(module) == _top(target))


def _level(module: str) -> tuple[int, int] | None:
    """The floor of a module (named without the package) and its step there."""
    levels = {
        name: (floor, step)
        for floor, steps in enumerate(FLOORS)
        for step, names in enumerate(steps)
        for name in names.split()
    }
    if module in levels:
        return levels[module]
    parents = module.split(".")[:-1]
    while parents:
        parent = ".".join(parents)
        if (level := levels.get(f"{parent}.*", levels.get(parent))) is not None:
            return level
        parents.pop()
    return None


def _shown(level: tuple[int, int] | None) -> str:
    assert level is not None
    floor, step = level
    return f"{floor}, step {step}" if len(FLOORS[floor]) > 1 else str(floor)


def _top(module: str) -> str:
    return module.split(".")[0]


def _is_aside(module: str) -> bool:
    return _top(module) == ASIDE


def _begins(module: str, place: str) -> bool:
    """Whether ``place`` is the module, holds it, or begins its last name (``queues.sql_parallel``)."""
    folder, _, last = place.rpartition(".")
    if not folder:
        return _top(module) == place
    return module.startswith(f"{folder}.{last}")


def _module(root: Path, file: Path) -> str:
    parts = file.relative_to(root).with_suffix("").parts
    if parts[-1] == "__init__" and len(parts) > 1:
        parts = parts[:-1]
    return ".".join(parts)


def _imports(module: str, file: Path, modules: set[str]) -> Iterator[Import]:
    tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    inside = {id(node) for function in functions for node in ast.walk(function)}
    guards = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    typed = {id(node) for guard in guards for node in ast.walk(guard)}
    # What "." means here: the package itself in an __init__, else the folder of the module.
    folder = [PACKAGE, *(module.split(".") if module != "__init__" else [])]
    if file.name != "__init__.py":
        folder.pop()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, "", node.lineno, id(node) in inside, id(node) in typed)
        elif isinstance(node, ast.ImportFrom):
            base = folder[: len(folder) - node.level + 1] if node.level else []
            source = ".".join([*base, *(node.module.split(".") if node.module else [])])
            for alias in node.names:
                # "from .storage import schema" takes a module, "from .storage import open" a name.
                submodule = f"{source}.{alias.name}"
                target = submodule if submodule.removeprefix(f"{PACKAGE}.") in modules else source
                yield Import(target, alias.name, node.lineno, id(node) in inside, id(node) in typed)


# --- the rules themselves ------------------------------------------------------------------------


def _breaches(tmp_path: Path, files: dict[str, str]) -> list[str]:
    for name, source in files.items():
        path = tmp_path / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return violations(tmp_path / PACKAGE)


def test_what_is_allowed_passes(tmp_path: Path) -> None:
    assert not _breaches(
        tmp_path,
        {
            "__init__.py": "from .service import Service\nfrom .queues import Memory",
            "__main__.py": "from taskqueue.cli import main",
            "errors.py": "",
            "clock.py": "from .errors import E",
            "spec.py": "from . import clock, errors",
            "task.py": "from .spec import Spec",
            "item.py": "from .task import Task",
            "storage/__init__.py": "from .schema import table",
            "storage/schema.py": "from .. import clock\nimport sqlalchemy.orm\nfrom . import deep",
            "storage/deep/__init__.py": "from ...errors import E\nfrom ..schema import table",
            "queues/__init__.py": "from .sql import SQL\nfrom .sql_parallel import P",
            "queues/base.py": "from ..storage import schema, table",
            "queues/sql_base.py": "from sqlalchemy import select\nfrom .base import Queue",
            "queues/sql.py": "from .sql_base import Base\nfrom ..storage.schema import table",
            "queues/sql_parallel.py": "from .sql import SQL",
            "service.py": "import sqlalchemy\ndef f():\n    import json",
            "execution.py": "from .service import Service",
            "runs/__init__.py": "import sqlalchemy\nfrom ..execution import run",
            "result.py": "from .runs import Run",
            "drive.py": "from .result import Result",
            "runner.py": "from .drive import Drive",
            "web/__init__.py": "import flask\nfrom .views import view",
            "web/views.py": "from flask.views import View\nfrom ..service import Service",
            "cli.py": "import click\nfrom .web import view",
            "testing.py": "import taskqueue, flask\nfrom . import Service\nfrom .cli import main",
        },
    )


def test_each_breach_is_told(tmp_path: Path) -> None:
    found = _breaches(
        tmp_path,
        {
            "__init__.py": "",
            "errors.py": "from .clock import now",
            "clock.py": "import taskqueue",
            "signals.py": "from .clock import now",
            "spec.py": "from . import VERSION",
            "task.py": "from .item import Item\nfrom .gone import x",
            "item.py": "from taskqueue import Service",
            "storage/__init__.py": "import flask",
            "queues/__init__.py": "",
            "queues/base.py": "def f():\n    from ..errors import E",
            "queues/memory.py": "from .sql import SQL\nfrom sqlalchemy import select",
            "queues/sql.py": "from . import SQL",
            "service.py": "from .execution import run\nfrom .testing import x",
            "execution.py": "",
            "runs.py": "async def f():\n    if x:\n        import taskqueue.outbox as o",
            "outbox.py": "",
            "drive.py": "from .runner import Runner",
            "runner.py": "",
            "web.py": "from .cli import main",
            "cli.py": "import sqlalchemy\nimport flask",
            "testing.py": "def f():\n    from .errors import E",
            "stranger.py": "",
        },
    )
    assert [line.removeprefix("taskqueue/") for line in found] == [
        "cli.py:1: imports sqlalchemy, which only storage, queues.sql, runs, outbox, operations, service may",
        "cli.py:2: imports flask, which only web may",
        "clock.py:1: imports the package from the top of taskqueue; name the module that has it",
        "drive.py:1: imports runner (floor 7, step 3) from floor 7, step 2",
        "errors.py:1: imports clock (floor 0, step 1) from floor 0, step 0",
        "item.py:1: imports Service from the top of taskqueue; name the module that has it",
        "queues/base.py:2: imports taskqueue.errors inside a function; import it at the top of the module",
        "queues/memory.py:1: imports queues.sql (floor 4, step 1) from floor 4, step 0",
        "queues/memory.py:2: imports sqlalchemy, which only storage, queues.sql, runs, outbox, operations, service may",
        "queues/sql.py:1: imports queues (floor 4, step 2) from floor 4, step 1",
        "runs.py:3: imports taskqueue.outbox inside a function; import it at the top of the module",
        "runs.py:3: imports outbox (floor 6, step 0) from floor 6, step 0",
        "service.py:1: imports execution (floor 5, step 2) from floor 5, step 1",
        "service.py:2: imports testing, which stands aside and which nothing may import",
        "signals.py:1: imports clock (floor 0, step 1) from floor 0, step 1",
        "spec.py:1: imports VERSION from the top of taskqueue; name the module that has it",
        "storage/__init__.py:1: imports flask, which only web may",
        "stranger.py: the module has no floor; give it one in FLOORS",
        "task.py:1: imports item (floor 1, step 3) from floor 1, step 2",
        "task.py:2: imports taskqueue.gone, which does not exist",
        "testing.py:2: imports taskqueue.errors inside a function; import it at the top of the module",
        "web.py:1: imports cli (floor 8, step 1) from floor 8, step 0",
    ]
