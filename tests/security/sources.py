"""What must not stand in the sources of the package: ways in which data could become code, or a part of a statement.

A source is judged by its syntax tree alone; nothing is imported or executed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path

#: Modules that make objects, or calls, of bytes.
_MODULES = {
    "pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "jsonpickle", "yaml",
    "ruamel", "xmlrpc", "ctypes", "cffi", "code", "codeop", "runpy", "imp", "zipimport", "pty", "commands",
    "multiprocessing.reduction", "copyreg", "dbm",
}  # fmt: skip
#: Built-in functions that execute, or import, what a text says.
_BUILTINS = {"eval", "exec", "compile", "__import__", "breakpoint"}
#: Functions of modules that start programs, or import by a text.
_FUNCTIONS = {
    "os": {"system", "popen", "startfile"},
    "subprocess": {"getoutput", "getstatusoutput", "run", "Popen", "call", "check_call", "check_output"},
    "importlib": {"import_module", "__import__"},
    "importlib.util": {"spec_from_file_location", "module_from_spec"},
    "pydoc": {"locate"},
    "builtins": _BUILTINS,
    "operator": {"attrgetter", "methodcaller"},
    "werkzeug.utils": {"import_string"},
    "flask": {"render_template_string"},
    "markupsafe": {"Markup"},
}
_STARTS_PROGRAMS = re.compile(r"(exec|spawn|posix_spawn)[lv]?p?e?p?$")
#: Begins, or is a part of, a statement of SQL.
_SQL = re.compile(
    r"\b(SELECT|INSERT|UPDATE|DELETE|WHERE|ORDER BY|FROM|JOIN|VALUES|AND|SET|CREATE|DROP|ALTER|PRAGMA|LIMIT|SHOW|"
    r"UNION|LISTEN|NOTIFY|KILL)\b"
)
_EXECUTE = {"rows", "row", "change", "insert", "many", "execute", "executemany", "exec_driver_sql", "text"}
#: A constant of a module or class by its name, the names of the fields of a class, a number.
_FIXED = re.compile(r"(\w+\.)*_?[A-Z][A-Z0-9_]*|', '\.join\(\w+\._fields\)|int\(.*\)", re.DOTALL)


@dataclass(frozen=True)
class Allowed:
    """What may stand somewhere all the same. A place is the path of the module below the package."""

    #: Places of a forbidden name, and why: ``{("callbacks.py", "importlib.import_module"): "..."}``.
    names: Mapping[tuple[str, str], str] = field(default_factory=dict)
    #: What statements of SQL may be put together of, besides constants: ``{"storage/dead.py": {"columns"}}``.
    parts: Mapping[str, Set[str]] = field(default_factory=dict)


def problems(root: Path, allowed: Allowed) -> list[str]:
    """Each as ``module:line: sentence``; and what is allowed, but stands nowhere any more."""
    found: list[str] = []
    used: set[tuple[str, str]] = set()
    for file in sorted(root.rglob("*.py")):
        place = file.relative_to(root).as_posix()
        tree = ast.parse(file.read_text(encoding="utf-8"), place)
        for line, name in _forbidden(tree):
            used.add((place, name))
            if (place, name) not in allowed.names:
                found.append(f"{place}:{line}: {name}")
        for line, part in _parts_of_statements(tree):
            used.add((place, part))
            if part not in allowed.parts.get(place, ()):
                found.append(f"{place}:{line}: a statement is put together with {part}")
    listed = {*allowed.names, *((place, part) for place, parts in allowed.parts.items() for part in parts)}
    return found + [f"{place}: {what} is allowed, but stands there no more" for place, what in sorted(listed - used)]


def _forbidden(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The line and the full name of each forbidden thing that is imported, mentioned or called."""
    known = _known_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, (ast.Attribute, ast.Name)) and isinstance(node.ctx, ast.Load):
            names = [_full_name(node, known)]
        elif isinstance(node, ast.Call) and any(
            word.arg == "shell" and not (isinstance(word.value, ast.Constant) and not word.value.value)
            for word in node.keywords
        ):
            yield node.lineno, "shell=True"
            continue
        else:
            continue
        yield from ((node.lineno, found) for name in names if (found := _judged(name)))


def _known_names(tree: ast.AST) -> dict[str, str]:
    """What the names of a module stand for that were imported somewhere in it."""
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            known |= {alias.asname: alias.name for alias in node.names if alias.asname}
            known |= {first: first for alias in node.names if not alias.asname and (first := alias.name.split(".")[0])}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            known |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return known


def _full_name(node: ast.expr, known: Mapping[str, str]) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_full_name(node.value, known)}.{node.attr}"
    if isinstance(node, ast.Name):
        return known.get(node.id, f"builtins.{node.id}" if node.id in _BUILTINS else "")
    return ""


def _judged(name: str) -> str | None:
    """The forbidden thing that a full name means."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        if ".".join(parts[:end]) in _MODULES:
            return ".".join(parts[:end])
    module, _, function = name.rpartition(".")
    if module == "os" and _STARTS_PROGRAMS.match(function):
        return name
    if function in _FUNCTIONS.get(module, ()):
        return name.removeprefix("builtins.")
    return None


def _parts_of_statements(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """What is filled into texts that look like SQL, or is executed as one: the line, and the expression."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.JoinedStr, ast.BinOp)):
            if _is_sql(node):
                yield from _variable(node.lineno, _filled_in(node))
        elif isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
            if called == "format" and isinstance(node.func, ast.Attribute) and _is_sql(node.func.value):
                yield from _variable(node.lineno, [*node.args, *(word.value for word in node.keywords)])
            elif called in _EXECUTE and node.args:
                yield from _variable(node.lineno, _filled_in(node.args[0]))


def _is_sql(node: ast.expr) -> bool:
    return _SQL.search(_text_of(node)) is not None


def _text_of(node: ast.expr) -> str:
    """What stands in the source itself of a text that is put together."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_text_of, node.values))
    if isinstance(node, ast.BinOp):
        return f"{_text_of(node.left)} {_text_of(node.right)}"
    return f"{_text_of(node.body)} {_text_of(node.orelse)}" if isinstance(node, ast.IfExp) else ""


def _filled_in(node: ast.expr) -> list[ast.expr]:
    """The variable parts of a text that is put together; none of one that is not."""
    if isinstance(node, ast.JoinedStr):
        return [part.value for part in node.values if isinstance(part, ast.FormattedValue)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        return [node.right]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [part for side in (node.left, node.right) for part in _filled_in(side) or [side]]
    return []


def _variable(line: int, parts: list[ast.expr]) -> Iterator[tuple[int, str]]:
    for part in parts:
        if isinstance(part, ast.IfExp):
            yield from _variable(line, [part.body, part.orelse])
        elif isinstance(part, ast.JoinedStr):
            yield from _variable(line, _filled_in(part))
        elif not _is_fixed(part):
            yield line, ast.unparse(part)


def _is_fixed(part: ast.expr) -> bool:
    """Whether an expression can give nothing but what stands in the sources, or a number."""
    if isinstance(part, ast.Subscript):
        return _is_fixed(part.value)
    return isinstance(part, ast.Constant) or _FIXED.fullmatch(ast.unparse(part)) is not None
