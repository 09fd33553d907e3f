"""How callbacks are named, found again and permitted."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from taskqueue import callbacks
from taskqueue.callbacks import AllowList, name_of, remember, resolve
from taskqueue.errors import CallbackError, CallbackRefused, SpecError
from tests.names import shown

from . import callables

HERE = callables.__name__
TOP = HERE.partition(".")[0]


@pytest.fixture(autouse=True)
def fresh_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "_resolved", {})
    monkeypatch.setattr(callbacks, "_remembered", set())


@pytest.fixture
def new_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that writes a module to be imported, gone after the test."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(name: str, source: str) -> None:
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


GOOD = [
    (callables.function, "function"),
    (callables.coroutine_function, "coroutine_function"),
    (callables.decorated, "decorated"),
    (callables.cached, "cached"),
    (callables.Group.static, "Group.static"),
    (callables.Group.for_class, "Group.for_class"),
    (callables.Group.Inner.static, "Group.Inner.static"),
    (callables.SubGroup.for_class, "SubGroup.for_class"),
]


class TestNames:
    @pytest.mark.parametrize(("callback", "qualname"), GOOD)
    def test_object_text_and_pair_give_the_same_name(self, callback: Any, qualname: str) -> None:
        name = f"{HERE}:{qualname}"
        path, _, method = f"{HERE}.{qualname}".rpartition(".")
        assert name_of(callback) == name_of(name) == name_of((path, method)) == name
        assert resolve(name) == callback

    def test_inherited_static_method_is_named_by_its_home(self) -> None:
        assert name_of(callables.SubGroup.static) == f"{HERE}:Group.static"

    def test_inherited_class_method_keeps_its_class(self) -> None:
        assert resolve(name_of(callables.SubGroup.for_class))(1) == (callables.SubGroup, 1)

    def test_builtin_functions(self) -> None:
        assert name_of(len) == "builtins:len"
        assert resolve(name_of(os.getpid)) is os.getpid
        assert name_of(dict.fromkeys) == "builtins:dict.fromkeys"

    def test_lambda_with_a_name_may_be_given_as_text(self) -> None:
        assert name_of(f"{HERE}:anonymous") == f"{HERE}:anonymous"

    def test_name_is_plain_text(self) -> None:
        class Text(str):
            __slots__ = ()

        assert type(name_of(Text(f"{HERE}:function"))) is str

    def test_repeated_naming_does_not_look_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        name_of(callables.Group.for_class)
        monkeypatch.setattr(callbacks, "_find", None)
        assert name_of(callables.Group.for_class) == f"{HERE}:Group.for_class"

    def test_a_function_put_in_place_of_another_is_found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        name_of(callables.function)
        new = callables.make_closure()
        new.__qualname__ = "function"
        monkeypatch.setattr(callables, "function", new)
        assert resolve(name_of(new)) is new


BAD = [
    (callables.anonymous, "is a lambda, which cannot be imported; make it a function by def"),
    (callables.make_closure(), "make_closure.<locals>.closure' is defined inside a function"),
    (callables.partial, "of type partial is a functools.partial, which has no name; give the function"),
    (callables.bound, "Group.for_instance' is a method bound to an instance, which cannot be stored"),
    ([].append, "is a method bound to an instance"),
    (callables.instance, "is an instance of the class Callable_; give a function instead"),
    (callables.Group, "Group' is a class; give a function, or one of its static or class methods"),
    (42, "of type int is not callable"),
    (None, "of type NoneType is not callable"),
    (callables.Group.for_instance, "Group.for_instance' is an instance method and would miss its self"),
    (callables.lost, "cannot be imported: 'tests.unit.callables' has no attribute 'gone'"),
    (callables.first_replaced, "replaced' leads to another object than the one given"),
    (str.upper, "cannot be imported by this name"),
    (f"{HERE}:anonymous.<locals>.x", "is defined inside a function"),
    (f"{HERE}:<lambda>", "is a lambda"),
    (f"{HERE}:partial", "is a functools.partial"),
    (f"{HERE}:bound", "is a method bound to an instance"),
    ("random:choice", "'random:choice' is a method bound to an instance"),
    (f"{HERE}:instance", "is an instance of the class Callable_"),
    (f"{HERE}:Group", "is a class"),
    (f"{HERE}:constant", "is not callable"),
    (f"{HERE}:Group.for_instance", "make it a @staticmethod"),
    ("builtins:str.upper", "is an instance method"),
    (f"{HERE}:Group.mro", "is an instance method"),
    (f"{HERE}:Group.late", "its attribute 'late' raises RuntimeError: not today"),
    (f"{HERE}:Group.missing", "'Group' has no attribute 'missing'"),
    (f"{HERE}:missing", "has no attribute 'missing'"),
    (f"{HERE}:os.system", "is refused, since 'os' is no class"),
    (f"{HERE}:instance.__call__", "is refused, since 'instance' is no class"),
    ("no_such_package:f", "there is no module 'no_such_package'"),
    (f"{HERE}.deeper:f", f"there is no module '{HERE}.deeper'"),
    (f"{HERE}.function", f'write a colon between them, as "{HERE}:function"'),
    ("function", "is not a name; write it as"),
    ("", "is not a name"),
    (":f", "is not a name"),
    ("a:", "is not a name"),
    ("a:b:c", "is not a name"),
    ("a..b:c", "is not a name"),
    ("..a:c", "is not a name"),
    ("a b:c", "is not a name"),
    ((f"{HERE}.Group", "missing"), "'Group' has no attribute 'missing'"),
    ((f"{HERE}.Group", "for_instance"), "is an instance method"),
    ((f"{HERE}.Missing", "f"), "has no attribute 'Missing'"),
    (("no_such_package.Class", "f"), "there is no module 'no_such_package'"),
    ((HERE,), 'is not a name; write it as ("package.module.Class", "method")'),
    ((HERE, 1), "is not a name; write it as"),
    ((f"{HERE}:Group", "static"), "is not a name; write it as"),
]


@pytest.mark.parametrize(("callback", "sentence"), BAD, ids=shown)
def test_refused_callbacks(callback: Any, sentence: str) -> None:
    with pytest.raises(CallbackError) as caught:
        name_of(callback)
    assert sentence in str(caught.value)
    assert str(caught.value).endswith((".", "not today"))


@pytest.mark.parametrize(("name", "sentence"), [case for case in BAD if isinstance(case[0], str)])
def test_refused_names(name: str, sentence: str) -> None:
    with pytest.raises(CallbackRefused) as caught:
        resolve(name)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("name", [None, 1, ["os", "system"], b"os:system"])
def test_names_that_are_no_text(name: Any) -> None:
    with pytest.raises(CallbackRefused, match="must be named by text"):
        resolve(name)
    with pytest.raises(CallbackRefused, match="must be named by text"):
        AllowList(["os"]).load(name)


@pytest.mark.parametrize(
    ("statement", "raised"),
    [
        ("import no_such_package", ModuleNotFoundError),
        ("raise RuntimeError('boom')", RuntimeError),
        ("raise SystemExit(3)", SystemExit),
        ("def", SyntaxError),
    ],
)
def test_failing_import_keeps_its_cause(new_module: Any, statement: str, raised: type[Exception]) -> None:
    new_module("taskqueue_broken", statement)
    expected = f"The module 'taskqueue_broken' of a callback cannot be imported, it raises {raised.__name__}"
    for call, error in ((resolve, CallbackRefused), (name_of, CallbackError)):
        with pytest.raises(error, match=expected) as caught:
            call("taskqueue_broken:f")
        assert isinstance(caught.value.__cause__, raised)


def test_interrupt_of_an_import_is_passed_on(new_module: Any) -> None:
    new_module("taskqueue_interrupted", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        resolve("taskqueue_interrupted:f")


def test_resolving_twice_looks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(f"{HERE}:function")
    monkeypatch.setattr(callbacks, "_find", None)
    assert resolve(f"{HERE}:function") is callables.function


class TestAllowList:
    @pytest.mark.parametrize(("callback", "qualname"), GOOD)
    def test_allowed_by_module_or_package(self, callback: Any, qualname: str) -> None:
        for prefix in (HERE, TOP):
            assert AllowList(["other", prefix]).load(f"{HERE}:{qualname}") == callback

    def test_given(self) -> None:
        assert AllowList([]).given
        assert AllowList(iter(["a"])).given
        assert not AllowList(None).given

    @pytest.mark.parametrize("prefixes", [None, [], [HERE + "2"], [HERE[:-1]], [HERE + ".deeper"]])
    def test_other_modules_are_refused_with_the_remedy(self, prefixes: list[str] | None) -> None:
        with pytest.raises(CallbackRefused) as caught:
            AllowList(prefixes).load(f"{HERE}:function")
        assert str(caught.value) == (
            f"The callback '{HERE}:function' may not run here: its module '{HERE}' is not allowed; "
            f'if you trust it, allow it by allow=["{HERE}"], --allow {HERE} or TASKQUEUE_ALLOW={HERE}.'
        )

    def test_refused_module_is_not_imported(self, new_module: Any) -> None:
        new_module("taskqueue_spy", "def f(ctx): pass")
        with pytest.raises(CallbackRefused, match="'taskqueue_spy' is not allowed"):
            AllowList(["taskqueue"]).load("taskqueue_spy:f")
        assert "taskqueue_spy" not in sys.modules
        AllowList(["taskqueue_spy"]).load("taskqueue_spy:f")
        assert "taskqueue_spy" in sys.modules

    def test_functions_of_other_modules_are_refused(self) -> None:
        with pytest.raises(CallbackRefused, match=rf"was defined in the module '{os.system.__module__}', which"):
            AllowList([TOP]).load(f"{HERE}:system")
        with pytest.raises(CallbackRefused, match="was defined in the module 'functools', which is not allowed"):
            AllowList([TOP]).load(f"{HERE}:functools_wraps")

    def test_foreign_class_method_is_refused(self) -> None:
        with pytest.raises(CallbackRefused, match=r"was defined in the module 'pathlib\S*', which is not allowed"):
            AllowList([TOP]).load(f"{HERE}:ForeignClass.cwd")

    def test_function_without_a_home_is_refused(self) -> None:
        with pytest.raises(CallbackRefused, match="nothing tells in which module it was defined"):
            AllowList([TOP, "builtins"]).load(f"{HERE}:from_keys")

    def test_module_of_an_allowed_module_is_no_way_out(self) -> None:
        with pytest.raises(CallbackRefused, match="'os' is no class"):
            AllowList([TOP]).load(f"{HERE}:os.system")

    def test_this_process_may_run_what_it_queued(self) -> None:
        allowed = AllowList(None)
        name = name_of(os.getpid)
        with pytest.raises(CallbackRefused):
            allowed.load(name)
        remember(name)
        assert allowed.load(name) is os.getpid
        with pytest.raises(CallbackRefused):
            allowed.load(f"{os.getpid.__module__}:getppid")

    def test_naming_alone_permits_nothing(self) -> None:
        with pytest.raises(CallbackRefused, match="is not allowed"):
            AllowList(["other"]).load(name_of(callables.function))

    def test_main_must_be_allowed_by_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def task(ctx: Any) -> None:
            pass

        task.__module__, task.__qualname__ = "__main__", "taskqueue_test_task"
        monkeypatch.setattr(sys.modules["__main__"], "taskqueue_test_task", task, raising=False)
        name = name_of(task)
        assert name == "__main__:taskqueue_test_task"
        with pytest.raises(CallbackRefused, match="its module '__main__' is not allowed"):
            AllowList([TOP]).load(name)
        assert AllowList(["__main__"]).load(name) is task

    def test_malformed_name(self) -> None:
        with pytest.raises(CallbackRefused, match="write a colon"):
            AllowList(["os"]).load("os.system")

    def test_missing_function(self) -> None:
        with pytest.raises(CallbackRefused, match="has no attribute 'missing'"):
            AllowList([TOP]).load(f"{HERE}:missing")

    def test_permitted_once_is_one_look_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        allowed = AllowList([TOP])
        allowed.load(f"{HERE}:function")
        monkeypatch.setattr(callbacks, "_module_of_name", None)
        assert allowed.load(f"{HERE}:function") is callables.function

    @pytest.mark.parametrize("prefixes", ["mypkg", b"mypkg"])
    def test_one_text_is_no_list(self, prefixes: Any) -> None:
        with pytest.raises(SpecError, match=r"must be a list of module names, not the single text b?'mypkg'"):
            AllowList(prefixes)

    def test_no_list_at_all(self) -> None:
        with pytest.raises(SpecError, match="must be a list of module names, not 5"):
            AllowList(5)  # type: ignore[arg-type]

    @pytest.mark.parametrize("prefix", ["*", "", "a.*", "a.", ".a", "a:b", "a b", None, 1])
    def test_prefixes_are_module_names(self, prefix: Any) -> None:
        with pytest.raises(SpecError, match="must consist of dotted module names"):
            AllowList(["good", prefix])
