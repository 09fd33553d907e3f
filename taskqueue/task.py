"""A task: what to call, with which arguments, under which title."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .callbacks import name_of
from .errors import SpecError
from .spec import shown


class Task:
    """A call to make later: ``callback(ctx, *args, **kwargs)``.

    Arguments:
        callback: an importable function, static or class method, given as object, as
            ``"package.module:qualname"`` or as ``("package.module.Class", "method")``. It is kept by name.
        args: positional arguments after the context; a list or tuple that survives the serializer.
        title: a label for the human who watches; a lazy (translated) string becomes text when the item is created.
        kwargs: keyword arguments, or None.
        run_as: a mapping (``contact_id``, ``domain_id`` or your own keys) that the service's ``identity`` hook
            checks before the call; may also be set later.

    Raises :class:`CallbackError` when the callback cannot be stored by name, :class:`SpecError` on wrong types.
    """

    __slots__ = ("args", "callback", "kwargs", "run_as", "title")

    def __init__(
        self,
        callback: Callable[..., Any] | str | tuple[str, str],
        args: Sequence[Any] = (),
        title: Any = "",
        *,
        kwargs: Mapping[str, Any] | None = None,
        run_as: Mapping[str, Any] | None = None,
    ) -> None:
        self.callback = name_of(callback)
        if not isinstance(args, (list, tuple)):
            raise SpecError(f"args of a task must be a list or tuple of arguments, not {shown(args)}")
        if type(title) is not str and isinstance(title, (Mapping, list, tuple, set, bytes, int, float)):
            raise SpecError(f"title must be text, not {shown(title)}; keyword arguments are given as kwargs=")
        self.args = tuple(args)
        self.kwargs = dict(kwargs) if kwargs else {}
        self.title = title
        self.run_as = run_as

    @classmethod
    def stored(
        cls, callback: str, args: tuple[Any, ...], title: str, kwargs: dict[str, Any], run_as: dict[str, Any] | None
    ) -> Task:
        """A task as read back from a queue: the name of its callback is neither imported nor checked here."""
        task = cls.__new__(cls)
        task.callback, task.args, task.title, task.kwargs, task.run_as = callback, args, title, kwargs, run_as
        return task

    def _key(self) -> tuple[Any, ...]:
        return self.callback, self.args, str(self.title), self.kwargs, self.run_as

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Task) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # mutable: run_as and title may be set later

    def __repr__(self) -> str:
        title = f", title={str(self.title)!r}" if str(self.title) else ""
        return f"Task({self.callback!r}, {self.args!r}{title})"
