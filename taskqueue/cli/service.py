"""Finding the service and its queues: by --app, --database, the environment, or the embedded default."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import click

from ..errors import ConfigurationError, QueueNotFound
from ..queues.batch import BatchQueue
from ..service import QueueService, allowed_by_environment
from ..spec import check_name, nearest
from .terminal_log import first_use_on_terminal


@dataclass
class Given:
    """What was said before the command, and the service that it leads to."""

    app: str | None
    database: str | None
    #: How a hint begins that names another command.
    program: str = "taskqueue"
    #: Of the lines of the log, if it is not the usual one.
    log_formatter: logging.Formatter | None = None

    @cached_property
    def service(self) -> QueueService:
        """The service; nothing is opened yet, but what its first use warns of will be seen."""
        with first_use_on_terminal(self.log_formatter):
            return self._find()

    def _find(self) -> QueueService:
        if self.app is not None and self.database is not None:
            raise ConfigurationError("give --app or --database, not both: the service of --app has its database")
        if self.app is not None:
            return _service_of(self.app)
        if self.database is not None and not self.database.strip():
            raise ConfigurationError("--database is empty: write it as sqlite:///file.db, or leave it out")
        # Tasks that ask for the default service must find the queues of the database that was named.
        return QueueService(self.database).make_default()

    @property
    def around(self) -> Callable[[], AbstractContextManager[Any]]:
        """What tasks need around them in other threads than this one."""
        return nullcontext

    @property
    def is_of_code(self) -> bool:
        """Whether the user's code says which database it is, so that its name was not mistyped here."""
        return self.app is not None

    def queue(self, name: str) -> BatchQueue:
        """The queue of that name. Raises :class:`QueueNotFound`; never makes a database file."""
        local = {queue.name for queue in self.service.local_queues()}
        missing = None if check_name(name) in local else self.missing_file
        if missing is not None:
            raise QueueNotFound(
                f"there is no queue {name!r}, nor a database file {missing} that could hold it: name the database by "
                "--database or --app"
            )
        return self.service.load(name)

    def queues(self) -> list[BatchQueue]:
        """All queues, by name; never makes a database file."""
        if self.missing_file is None:
            return self.service.queues()
        return self.service.local_queues()

    @property
    def missing_file(self) -> str | None:
        """The SQLite file of the service, if it is not there."""
        url = self.service.database.url
        if url.get_backend_name() != "sqlite" or not url.database or url.database.startswith((":", "file:")):
            return None
        return None if Path(url.database).exists() else url.database

    def allow(self, prefixes: Sequence[str]) -> None:
        """Let callbacks of these modules run too."""
        prefixes = [*prefixes, *(allowed_by_environment() or [])]
        if prefixes:
            settings = self.service.settings
            settings.allow = settings.allow.extended(prefixes)

    def close(self) -> None:
        """Close connections, if any."""
        if "service" in self.__dict__:
            self.service.close()


pass_given = click.make_pass_decorator(Given)


def use_current_folder() -> None:
    """Let modules beside the user be imported, as ``python -m`` does."""
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _service_of(app: str) -> QueueService:
    module_name, _, attribute = app.partition(":")
    if not all(part.isidentifier() for part in [*module_name.split("."), *attribute.split(".")]):
        raise ConfigurationError(f"--app takes module:service, such as myapp.jobs:service, not {app!r}")
    found: Any = _module(module_name)
    for part in attribute.split("."):
        if not hasattr(found, part):
            known = [name for name, value in vars(found).items() if isinstance(value, QueueService)]
            hint = nearest(part, known) or (f"; it has {', '.join(sorted(known))}" if known else "")
            raise ConfigurationError(f"--app {app}: {module_name!r} has no {attribute!r}{hint}")
        found = getattr(found, part)
    found = getattr(found, "queue_service", found)  # of an Outbox or Operations, not imported for other commands
    if not isinstance(found, QueueService):
        raise ConfigurationError(f"--app {app}: that is of type {type(found).__name__}, and no QueueService")
    return found


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            raise ConfigurationError(
                f"--app: there is no module {error.name!r}, neither installed nor in this folder"
            ) from error
        raise ConfigurationError(
            f"--app: the module {name!r} cannot be imported, it raises {type(error).__name__}: {error}"
        ) from error
