"""No source of the package has a way in which data could become code, or a part of a statement of SQL."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.security.sources import Allowed, problems

PACKAGE = Path(__file__).resolve().parents[2] / "taskqueue"
_OPTIONAL = "a package that need not be installed, by a name that stands there"

#: Where a forbidden name stands all the same, and why.
NAMES = {
    ("callbacks.py", "importlib.import_module"): "imports callbacks, once AllowList has let their module pass",
    ("cli/service.py", "importlib.import_module"): "what the user of the command line has named with --app",
    ("cli/group.py", "importlib.import_module"): "the commands, by a table of the module's own",
    ("cli/serve.py", "importlib.import_module"): _OPTIONAL,
    ("execution/executors.py", "importlib.import_module"): f"what the user has named with --executor; and {_OPTIONAL}",
    ("execution/remote.py", "pickle"): "tries, in a process of an executor, whether an exception of the task that was "
    "just made survives the way back; nothing that was stored or sent comes there",
    ("web/csrf.py", "importlib.import_module"): _OPTIONAL,
    ("web/i18n.py", "importlib.import_module"): _OPTIONAL,
    ("web/identity.py", "importlib.import_module"): _OPTIONAL,
}

#: What statements are put together of, besides constants. All of it stands in the same module, as texts of its own that
#: are chosen by what is asked for; values are bound, and numbers in lists went through ``int``. A part that is new here
#: has to be looked at: can any of it come from outside?
PARTS = {
    # The dialect's own words.
    "storage/checkup.py": {"database.dialect.now"},
    # Columns, which the module of the statements gives as constants.
    "storage/dialects.py": {"column", "first", "last", "', '.join(changes)", "', '.join(key)", "latest", "name"},
    # Names of settings, which the calls beside give as constants; and a sentence that only looks like a statement.
    "storage/durability.py": {"kind", "name", "names[level]"},
    "storage/items.py": {
        "', '.join(values)", "', '.join(values.values())", "after", "below", "insert", "once",
        "self._dialect.call",
    },
    "storage/wake.py": {"key", "self._database.dialect.channel", "state"},
    # Conditions, columns and assignments.
    "storage/audit.py": {"order", "within"},
    "storage/batches.py": {"statement"},
    "storage/browse.py": {
        "tx.dialect.stretch('dead_time', '>= 0', '<= :last')",
        "' OR '.join((f'{column} {{like}} :pattern' for column in columns))",
        "also", "chosen", "order", "source", "when", "within",
    },
    "storage/claims.py": {"_IS_DUE.format(state=state)", "_due(state)", "guard", "ready", "returned('item')", "source"},
    "storage/dead.py": {"' AND '.join(conditions)", "columns"},
    "storage/expiry.py": {"which"},
    "storage/messages.py": {"bound", "source"},
    "storage/operations.py": {"' AND '.join(where)", "counted", "due_time", "ends", "index"},
    "storage/presence.py": {"found", "reported", "statement"},
    "storage/reading.py": {"bound", "further", "order"},
    "storage/retention.py": {"old", "self._where", "self.also", "self.key", "self.table", "self.time", "table"},
    "storage/runs.py": {
        "tx.dialect.stretch('create_time', '>= 0', '<= :time')", "order", "where",
        "', '.join((f':{key}' for key in values))", "', '.join([slot, *added, *stored, *total])",
        "also", "assignments", "columns", "condition", "free", "started", "wanted",
    },
    # A table and its columns, which the callers give as constants, and a mark for each value.
    "storage/transaction.py": {"names", "table"},
    # What the dialect makes of constants; names of parameters, made of numbers; and a choice of two constants.
    "storage/trends.py": {"marks", "merging"},
    # A condition of constants and a number that went through ``int``.
    "storage/stranded.py": {"_FARTHEST * int(lease)", "far"},
    "storage/settling.py": {"also", "changes", "guard", "holder", "place"},
    "storage/turns.py": {
        "_first(DELAYED)", "_first(READY)", "_of_key(':key', LEASED)", "_of_key(':key', READY)",
        "_of_key(':key', state)", "_of_key('mine.order_key', LEASED)", "_of_key('mine.order_key', state)",
        "_stands_before(DELAYED)", "_stands_before(READY)", "found", "key", "state",
    },
}  # fmt: skip


def test_nothing_in_the_package_makes_code_or_statements_of_data() -> None:
    found = problems(PACKAGE, Allowed(NAMES, PARTS))

    assert not found, "\n" + "\n".join(found)


def test_statements_are_made_in_the_storage_alone() -> None:
    assert {place.partition("/")[0] for place in PARTS} == {"storage"}


# --- the check itself ------------------------------------------------------------------------------


FORBIDDEN = {
    "import pickle": "pickle",
    "import marshal as m": "marshal",
    "from pickle import loads": "pickle",
    "import os, shelve": "shelve",
    "import dill": "dill",
    "import cloudpickle": "cloudpickle",
    "import yaml\nyaml.load(data)": "yaml",
    "from multiprocessing.reduction import ForkingPickler": "multiprocessing.reduction",
    "eval(data)": "eval",
    "exec(data)": "exec",
    "compile(data, 'x', 'exec')": "compile",
    "__import__(data)": "__import__",
    "run = eval": "eval",
    "import builtins\nbuiltins.eval(data)": "eval",
    "import os\nos.system(data)": "os.system",
    "import os as o\no.popen(data)": "os.popen",
    "from os import system": "os.system",
    "import os\nos.execvp(data, [])": "os.execvp",
    "import os\nos.posix_spawn(data, [], {})": "os.posix_spawn",
    "import subprocess\nsubprocess.run(data)": "subprocess.run",
    "from subprocess import Popen as P\nP(data)": "subprocess.Popen",
    "thing.run(data, shell=True)": "shell=True",
    "thing.run(data, shell=given)": "shell=True",
    "import importlib\nimportlib.import_module(data)": "importlib.import_module",
    "from importlib import import_module\nimport_module(data)": "importlib.import_module",
    "from operator import attrgetter": "operator.attrgetter",
    "from flask import render_template_string": "flask.render_template_string",
    "from markupsafe import Markup": "markupsafe.Markup",
    "def f():\n    if x:\n        import pickle": "pickle",
}
STATEMENTS = {
    "tx.rows(f'SELECT 1 FROM x WHERE name = {name}')": "name",
    "tx.row('SELECT 1 FROM x WHERE name = ' + name)": "name",
    "tx.change('DELETE FROM x WHERE id = %s' % number)": "number",
    "tx.change('DELETE FROM x WHERE id = {}'.format(number))": "number",
    "tx.change('DELETE FROM x WHERE id = {id}'.format(id=number))": "number",
    "connection.execute(text(f'{statement}'))": "statement",
    "connection.exec_driver_sql(f'VACUUM {table}')": "table",
    "sql = 'SELECT ' + (first + second)": "first",
    "sql = f'SELECT {rows[0]}'": "rows[0]",
    "sql = f\"SELECT {'a' if b else c}\"": "c",
}
HARMLESS = """
import json, re, subprocess, os, importlib.metadata
from .pickle import compile as make
pattern = re.compile("SELECT")
thing.exec_(data)
self.eval
os.path.join(a, b)
tx.rows("SELECT 1 FROM x WHERE name = :name", name=name)
tx.rows(f"SELECT {_COLUMNS}, {', '.join(Row._fields)} FROM {{item}} LIMIT {int(limit)} {schema.READY}")
tx.rows(f"SELECT 1 {'FOR UPDATE' if lock else ''} {ORDER[state]}")
message = f"{name} from here on"
thing.run(data, shell=False)
"""


def found_in(source: str, folder: Path, allowed: Allowed | None = None) -> list[str]:
    """What the check says of one module."""
    (folder / "sub").mkdir(exist_ok=True)
    (folder / "sub" / "module.py").write_text(source)
    return problems(folder, allowed or Allowed())


@pytest.mark.parametrize("source, name", FORBIDDEN.items(), ids=FORBIDDEN)
def test_given_a_forbidden_name_when_checked_then_it_is_told(source: str, name: str, tmp_path: Path) -> None:
    found = found_in(source, tmp_path)

    assert found
    assert {line.rpartition(": ")[2] for line in found} == {name}
    assert not found_in(source, tmp_path, Allowed({("sub/module.py", name): "a reason"}))


@pytest.mark.parametrize("source, part", STATEMENTS.items(), ids=STATEMENTS)
def test_given_a_statement_with_a_value_in_it_when_checked_then_it_is_told(
    source: str, part: str, tmp_path: Path
) -> None:
    assert f"sub/module.py:1: a statement is put together with {part}" in found_in(source, tmp_path)


def test_given_harmless_sources_when_checked_then_nothing_is_told(tmp_path: Path) -> None:
    assert found_in(HARMLESS, tmp_path) == []


def test_given_a_permission_that_nothing_uses_when_checked_then_it_is_told(tmp_path: Path) -> None:
    found = found_in("x = 1", tmp_path, Allowed({("sub/module.py", "eval"): "a reason"}, {"sub/module.py": {"name"}}))

    assert found == [
        "sub/module.py: eval is allowed, but stands there no more",
        "sub/module.py: name is allowed, but stands there no more",
    ]
