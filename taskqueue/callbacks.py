"""Callbacks by name: how they are named for storage, found again, and which of them may run.

The database is a trust border. A name that comes from there is imported only if its module is allowed, and
what it leads to is called only if it was defined in an allowed module too, so that neither ``os:system`` nor
an ``os.system`` that some allowed module has imported can be named.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Iterable
from types import BuiltinMethodType, ClassMethodDescriptorType, FunctionType, MethodType, ModuleType
from typing import Any

from .errors import CallbackError, CallbackRefused, SpecError

__all__ = ["AllowList", "name_of", "remember", "resolve"]

_resolved: dict[str, Callable[..., Any]] = {}
#: The names of functions that were named before.
_names: dict[FunctionType, str] = {}
_remembered: set[str] = set()


def name_of(callback: Callable[..., Any] | str | tuple[str, str]) -> str:
    """Return the name ``"package.module:qualname"`` under which ``callback`` can be stored and found again.

    Args:
        callback: an importable function, static or class method; or its name, as
            ``"package.module:qualname"`` or ``("package.module.Class", "method")``.

    Raises:
        CallbackError: it has no such name, or the name leads to something else.
    """
    known = _names.get(callback) if type(callback) is FunctionType else None
    if known is not None and _resolved.get(known) is callback:
        return known
    try:
        if isinstance(callback, str):
            return _checked(callback)
        if isinstance(callback, tuple):
            return _checked(_name_of_pair(callback))
        return _name_of_object(callback)
    except _Problem as problem:
        raise CallbackError(str(problem)) from problem.__cause__


def resolve(name: str) -> Callable[..., Any]:
    """Import and return the callback of that name, whether it is allowed or not; see :class:`AllowList`.

    What was found once is returned again without a look at the module.

    Raises:
        CallbackRefused: its module cannot be imported, or the name leads to no function, static or class
            method. An exception of the import itself is kept as ``__cause__``.
    """
    try:
        return _resolved[name]
    except (KeyError, TypeError):  # TypeError: not even hashable
        pass
    try:
        return _remember_resolved(name, _find(*_split(name)))
    except _Problem as problem:
        raise CallbackRefused(str(problem)) from problem.__cause__


def remember(name: str) -> None:
    """Permit ``name``, as returned by :func:`name_of`, in this process: it is this process that queued it."""
    _remembered.add(name)


class AllowList:
    """The modules whose functions may be called because a stored item says so."""

    #: whether there is a list at all; without one only what this process has queued may run
    given: bool

    def __init__(self, prefixes: Iterable[str] | None) -> None:
        """Allow the modules named by ``prefixes`` and all modules below them.

        Args:
            prefixes: dotted names of packages and modules; ``None`` if nobody gave a list.

        Raises:
            SpecError: ``prefixes`` is one text instead of a list, or holds something else than module names.
        """
        self.given = prefixes is not None
        self._prefixes = _checked_prefixes(prefixes) if prefixes is not None else ()
        self._loaded: dict[str, Callable[..., Any]] = {}

    def extended(self, prefixes: Iterable[str]) -> AllowList:
        """This list and further modules. Raises :class:`SpecError` like the constructor."""
        return AllowList([*self._prefixes, *_checked_prefixes(prefixes)])

    def load(self, name: str) -> Callable[..., Any]:
        """Return the callback of that name if it may run here. No module is imported before it is allowed.

        Raises:
            CallbackRefused: it may not run here, or :func:`resolve` does not find it.
        """
        try:
            return self._loaded[name]
        except (KeyError, TypeError):
            pass
        callback = self._permitted(name)
        self._loaded[name] = callback
        return callback

    def _permitted(self, name: str) -> Callable[..., Any]:
        module = _module_of_name(name)
        if name in _remembered:
            return resolve(name)
        if not self._allows(module):
            raise CallbackRefused(
                f"The callback {name!r} may not run here: its module {module!r} is not allowed; "
                f"{_how_to_allow(module)}."
            )
        callback = resolve(name)
        home = getattr(callback, "__module__", None)
        if not isinstance(home, str):
            raise CallbackRefused(
                f"The callback {name!r} may not run here: nothing tells in which module it was defined; "
                "wrap it in a function of an allowed module."
            )
        if not self._allows(home):
            raise CallbackRefused(
                f"The callback {name!r} may not run here: it was defined in the module {home!r}, "
                f"which is not allowed; {_how_to_allow(home)}."
            )
        return callback

    def _allows(self, module: str) -> bool:
        return any(module == prefix or module.startswith(prefix + ".") for prefix in self._prefixes)


def _how_to_allow(module: str) -> str:
    return f'if you trust it, allow it by allow=["{module}"], --allow {module} or TASKQUEUE_ALLOW={module}'


def _checked_prefixes(prefixes: Iterable[str]) -> tuple[str, ...]:
    if isinstance(prefixes, str | bytes):
        raise SpecError(f"The allow list must be a list of module names, not the single text {prefixes!r}.")
    try:
        checked = tuple(prefixes)
    except TypeError:
        raise SpecError(f"The allow list must be a list of module names, not {prefixes!r}.") from None
    for prefix in checked:
        if not isinstance(prefix, str) or not _is_dotted(prefix):
            raise SpecError(
                f'The allow list must consist of dotted module names such as "mypkg.tasks", not {prefix!r}.'
            )
    return checked


# --- names -------------------------------------------------------------------------------------


class _Problem(Exception):
    """Why a callback has no name or a name no callback, as a sentence for the error of the caller."""


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _split(name: Any) -> tuple[str, str]:
    """Return module and qualname of the name of a callback, from wherever it came."""
    if not isinstance(name, str):
        raise _Problem(f'A callback must be named by text, as "package.module:name", not by {type(name).__qualname__}.')
    module, colon, qualname = name.partition(":")
    if not colon and _is_dotted(name) and "." in name:
        module, _, qualname = name.rpartition(".")
        raise _Problem(
            f"The callback {name!r} does not tell the module from the function; "
            f'write a colon between them, as "{module}:{qualname}".'
        )
    _check_not_local(name, qualname)
    if not _is_dotted(module) or not _is_dotted(qualname):
        raise _Problem(f'The callback {name!r} is not a name; write it as "package.module:qualname".')
    return module, qualname


def _module_of_name(name: str) -> str:
    try:
        return _split(name)[0]
    except _Problem as problem:
        raise CallbackRefused(str(problem)) from None


def _check_not_local(name: str, qualname: str) -> None:
    if "<lambda>" in qualname.split("."):
        raise _Problem(f"The callback {name!r} is a lambda, which cannot be imported; make it a function by def.")
    if "<locals>" in qualname.split("."):
        raise _Problem(
            f"The callback {name!r} is defined inside a function and cannot be imported; "
            "move it to the top level of its module and pass what it closes over as arguments."
        )


def _checked(text: str) -> str:
    module, qualname = _split(text)
    name = f"{module}:{qualname}"  # plain text, even if the one given is of a subclass of str
    if name not in _resolved:
        _remember_resolved(name, _find(module, qualname))
    return name


def _remember_resolved(name: str, callback: Callable[..., Any]) -> Callable[..., Any]:
    _resolved[name] = callback
    return callback


def _name_of_pair(pair: tuple[Any, ...]) -> str:
    if len(pair) != 2 or not all(isinstance(part, str) and _is_dotted(part) for part in pair):
        raise _Problem(f'The callback {pair!r} is not a name; write it as ("package.module.Class", "method").')
    path, method = pair
    parts = path.split(".")
    # only an import can tell where the module ends and the class begins; the longest module wins
    for end in range(len(parts), 0, -1):
        module = ".".join(parts[:end])
        if _import(module) is not None:
            return f"{module}:{'.'.join([*parts[end:], method])}"
    raise _Problem(f"The callback {pair!r} cannot be imported: there is no module {parts[0]!r}.")


def _name_of_object(callback: Any) -> str:
    name = _checked_name(callback)
    if type(callback) is FunctionType:
        _names[callback] = name
    return name


def _checked_name(callback: Any) -> str:
    name = f"{_module_of(callback)}:{_qualname(callback)}"
    if name in _resolved and _is_same(_resolved[name], callback):
        return name
    _check_kind(callback, f"The callback {_described(callback)}")
    _check_not_local(name, _qualname(callback))
    if not _is_dotted(_module_of(callback)) or not _is_dotted(_qualname(callback)):
        raise _Problem(f"The callback {name!r} cannot be imported by this name; wrap it in a function by def.")
    if not _is_same(_find(_module_of(callback), _qualname(callback)), callback):
        raise _Problem(
            f"The callback {name!r} leads to another object than the one given; "
            "give the function as it stands in its module (a decorator may have replaced it)."
        )
    _remember_resolved(name, callback)
    return name


def _qualname(callback: Any) -> str:
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, type):
        # not the qualname of the function: a class method may be inherited, and is called for this class
        return f"{owner.__qualname__}.{getattr(callback, '__name__', '?')}"
    return str(getattr(callback, "__qualname__", "?"))


def _module_of(callback: Any) -> str:
    owner = getattr(callback, "__self__", None)
    return str(getattr(owner if isinstance(owner, type) else callback, "__module__", None) or "?")


def _is_same(found: Any, given: Any) -> bool:
    # class methods are bound anew each time they are looked up
    return found is given or (isinstance(given, MethodType | BuiltinMethodType) and bool(found == given))


# --- what a name leads to --------------------------------------------------------------------------


def _find(module_name: str, qualname: str) -> Callable[..., Any]:
    """Import the module and walk from it to the callback, through classes only."""
    name = f"{module_name}:{qualname}"
    owner: Any = _import(module_name)
    if owner is None:
        raise _Problem(f"The callback {name!r} cannot be imported: there is no module {module_name!r}.")
    *classes, last = qualname.split(".")
    for part in classes:
        owner = _attribute(name, owner, part)
        if not isinstance(owner, type):
            raise _Problem(
                f"The callback {name!r} is refused, since {part!r} is no class; "
                "name a function or a method by the module that defines it."
            )
    found = _attribute(name, owner, last)
    _check_kind(found, f"The callback {name!r}")
    if isinstance(owner, type) and not _works_without_instance(owner, last):
        raise _Problem(f"The callback {name!r} is an instance method and would miss its self; make it a @staticmethod.")
    return found  # type: ignore[no-any-return]  # checked by _check_kind


def _import(name: str) -> ModuleType | None:
    """Return the module of that name, ``None`` if there is no such module."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            return None
        raise _import_problem(name, error) from error
    # a script without a guard around its main function may well exit
    except (Exception, SystemExit) as error:
        raise _import_problem(name, error) from error


def _import_problem(name: str, error: BaseException) -> _Problem:
    return _Problem(f"The module {name!r} of a callback cannot be imported, it raises {type(error).__name__}: {error}")


def _attribute(name: str, owner: Any, attribute: str) -> Any:
    try:
        return getattr(owner, attribute)
    except AttributeError:
        raise _Problem(
            f"The callback {name!r} cannot be imported: {owner.__name__!r} has no attribute {attribute!r}."
        ) from None
    except Exception as error:  # modules may import their attributes late, classes may compute them
        raise _Problem(
            f"The callback {name!r} cannot be imported, its attribute {attribute!r} raises "
            f"{type(error).__name__}: {error}"
        ) from error


def _works_without_instance(owner: type, attribute: str) -> bool:
    static = inspect.getattr_static(owner, attribute, None)
    return isinstance(static, staticmethod | classmethod | ClassMethodDescriptorType)


def _check_kind(callback: Any, subject: str) -> None:
    """Refuse whatever is not a function, a static method or a method bound to a class."""
    if isinstance(callback, type):
        raise _Problem(f"{subject} is a class; give a function, or one of its static or class methods.")
    if not callable(callback):
        raise _Problem(f"{subject} is not callable; give a function, a static or a class method.")
    if isinstance(callback, functools.partial):
        raise _Problem(
            f"{subject} is a functools.partial, which has no name; "
            "give the function itself and pass the arguments as args."
        )
    owner = getattr(callback, "__self__", None)
    if not (owner is None or isinstance(owner, type | ModuleType)):
        raise _Problem(
            f"{subject} is a method bound to an instance, which cannot be stored; "
            "make it a function or a @staticmethod and pass what it needs as arguments."
        )
    if not inspect.isroutine(callback):
        raise _Problem(f"{subject} is an instance of the class {type(callback).__qualname__}; give a function instead.")


def _described(callback: Any) -> str:
    if isinstance(getattr(callback, "__qualname__", None), str):
        return repr(f"{_module_of(callback)}:{_qualname(callback)}")
    return f"of type {type(callback).__qualname__}"
