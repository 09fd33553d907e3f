"""What somebody who can write rows might put into them, so that code of his choice is executed.

Each attack would leave a file behind, in the folder of the marks, if it came through.
"""

from __future__ import annotations

import base64
import json
import os
import pickle
from pathlib import Path
from typing import Any

from tests.security.gadgets import MARKS, Gadget

ALLOWED = "tests.security.allowed"
GADGETS = "tests.security.gadgets"


def folder() -> Path:
    """Where the marks are left."""
    return Path(os.environ[MARKS])


def marks() -> list[str]:
    """What was left there."""
    return sorted(path.name for path in folder().iterdir())


def _touch() -> str:
    return f"touch {folder()}/command"


def _python() -> str:
    return f"__import__('pathlib').Path({str(folder() / 'python')!r}).touch()"


def names() -> dict[str, list[Any]]:
    """Names of callbacks that lead to what must not be called, with arguments for them."""
    return {
        # Functions of Python's own.
        "os:system": [_touch()],
        "posix:system": [_touch()],
        "os.system": [_touch()],
        "subprocess:run": [["touch", str(folder() / "run")]],
        "subprocess:check_call": [["touch", str(folder() / "call")]],
        "subprocess:getoutput": [_touch()],
        "builtins:eval": [_python()],
        "builtins:exec": [_python()],
        "pathlib:Path.touch": [str(folder() / "path")],
        # A module that nobody has allowed.
        f"{GADGETS}:leave_mark": [],
        f"{GADGETS}:Gadget": [],
        f"{GADGETS}.leave_mark": [],
        # What is in reach of an allowed one.
        f"{ALLOWED}:leave_mark": [],
        f"{ALLOWED}:alias": [],
        f"{ALLOWED}:bound": [],
        f"{ALLOWED}:made": [],
        f"{ALLOWED}:Gadget": [],
        f"{ALLOWED}:gadgets.leave_mark": [],
        f"{ALLOWED}:Holder.inherited": [],
        f"{ALLOWED}:Holder.inner": [],
        f"{ALLOWED}:system": [_touch()],
        f"{ALLOWED}:os.system": [_touch()],
        f"{ALLOWED}:getoutput": [_touch()],
        f"{ALLOWED}:evaluate": [_python()],
        f"{ALLOWED}:builtins.eval": [_python()],
        f"{ALLOWED}:good.__globals__.get": ["leave_mark"],
        f"{ALLOWED}:good.__class__": [],
        f"{ALLOWED}:good.__init__": [],
        f"{ALLOWED}:Holder.__subclasses__": [],
        f"{ALLOWED}:Holder.__init__.__globals__.get": ["x"],
        f"{ALLOWED}:Holder.__reduce__": [],
        f"{ALLOWED}:makers.get": ["leave"],
        f"{ALLOWED}:sys.modules.get": ["os"],
        # What is no name at all.
        "": [],
        ":": [],
        f"{ALLOWED}:": [],
        ":leave_mark": [],
        f"{ALLOWED}:good()": [],
        f"{ALLOWED}:good;leave_mark": [],
        "../../tmp/x:y": [],
        f"{ALLOWED}:good\n": [],
        f"{ALLOWED}:{{0.__class__}}": [],
        "%s": [],
        "{{7*7}}": [],
        f"lambda: {_python()}": [],
        _python(): [],
    }


def callbacks() -> dict[str, str]:
    """Stored tasks with these callbacks."""
    return {f"callback {name!r}": envelope(name, args) for name, args in names().items()}


def envelope(callback: Any, args: Any = (), **more: Any) -> str:
    """The stored text of a task that nobody has signed."""
    return json.dumps({"v": 1, "callback": callback, "args": list(args), **more})


def pickles() -> dict[str, str]:
    """Pickled objects that leave a mark when they are loaded, as text without NUL (PostgreSQL stores none)."""
    loads = [pickle.dumps(object.__new__(Gadget), protocol) for protocol in (0, 2, 5)]
    command = f"cos\nsystem\n(S{_touch()!r}\ntR.".encode()
    found = {f"pickle {number}": pickled.decode("latin-1") for number, pickled in enumerate([*loads, command])}
    coded = {f"{name} in base64": base64.b64encode(text.encode("latin-1")).decode() for name, text in found.items()}
    return {name: text for name, text in {**found, **coded}.items() if "\0" not in text}


def texts() -> dict[str, str]:
    """Stored texts that are no task, with pickles and hints at classes in the ways of well-known libraries."""
    hints: list[Any] = [
        {"py/object": f"{GADGETS}.Gadget"},
        {"py/reduce": [{"py/function": f"{GADGETS}.leave_mark"}, {"py/tuple": []}]},
        {"__reduce__": ["os.system", [_touch()]]},
        {"__class__": f"{GADGETS}.Gadget"},
        {"__type__": "Gadget", "__module__": GADGETS},
        {"$type": f"{GADGETS}.Gadget"},
        {"$ref": f"{GADGETS}:leave_mark"},
        {"exc_type": "system", "exc_module": "os", "exc_message": [_touch()]},
        {"$pickle": base64.b64encode(pickle.dumps(object.__new__(Gadget))).decode()},
        {"$object": {"$tuple": [f"{GADGETS}:Gadget"]}},
    ]
    found = {f"hint {number}": json.dumps({"v": 1, "data": hint}) for number, hint in enumerate(hints)}
    found |= {f"bare hint {number}": json.dumps(hint) for number, hint in enumerate(hints)}
    found |= {f"callback of hint {number}": envelope(hint) for number, hint in enumerate(hints)}
    found |= pickles()
    found["yaml"] = f"!!python/object/apply:os.system ['{_touch()}']"
    found["python"] = _python()
    found["bytes"] = json.dumps({"v": 1, "data": {"$bytes": base64.b64encode(pickle.dumps(os.getcwd)).decode()}})
    return found


def everything() -> dict[str, str]:
    """All stored texts, by a name for each."""
    return {**callbacks(), **texts()}


#: Texts that would be filled in, or executed as a template, if something formatted them. They are kept as they are.
TEMPLATES = (
    "{0.__class__.__init__.__globals__}",
    "{self.__class__.__mro__[1].__subclasses__}",
    "%s%s%n %(title)s %(asctime)d",
    "{{7*7}} {{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{% import os %}{{ os.system('id') }}",
    "${7*7} #{7*7} <%= 7*7 %>",
    "{title} {queue} {item} {attempt}",
    "$ids $name $limit :queue {item} {now}",
    "'; DROP TABLE taskqueue_item; --",
    "`id` $(id) | id",
)
