"""Private database servers for the tests.

Each has a temporary folder and a free loopback port of its own, may be stopped or killed and started again
with the same data, and goes when the tests go, even if they are killed. Servers that run on this host
anyway are neither used nor touched. Nothing is relaxed about durability, so that what a killed server loses
is what a real one would lose.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import IO, Any, ClassVar

import psycopg
import pymysql
from typing_extensions import Self

from tests.ports import free_port

SERVER_DATABASES = ("mariadb", "postgresql")
ALL_DATABASES = ("sqlite", *SERVER_DATABASES)

_START_TIMEOUT = 60.0
_STOP_TIMEOUT = 30.0

# Runs beside a server, reads its process id (or "-" when it is down) from a pipe, and cleans up when the
# pipe closes without "end", which is when the tests have died. A signal on the parent's death would not
# do: it comes when the starting *thread* ends.
_WATCHDOG = """
pid=-
while read -r said; do
  [ "$said" = end ] && exit 0
  pid=$said
done
if [ "$pid" != - ]; then
  kill -s "$1" "$pid"
  tries=0
  while kill -0 "$pid" && [ "$tries" -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
  kill -s KILL "$pid"
fi
rm -rf -- "$2"
"""


class ServerError(Exception):
    """A server did not start; the message ends with the tail of its log."""


class Server(ABC):
    """What both servers share: the folder, the port, the process and its watchdog."""

    name: ClassVar[str]
    # Unset, the system's account of that name runs the server when the tests run as root.
    _account: ClassVar[str]
    # How the tests ask the server to stop, and how the watchdog does when they have died.
    _stop_signal: ClassVar[signal.Signals]
    _abort_signal: ClassVar[str]

    def __init__(self, environment: Mapping[str, str] | None = None, *, parent: Path | None = None) -> None:
        #: What stands in the environment of the server besides: for a clock that can be moved, see ``faketime``.
        self._environment = dict(environment or {})
        # Where its folder is made.
        self._parent = parent
        self._folder: Path | None = None
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- what a test does with it --------------------------------------------------------------

    @classmethod
    def available(cls) -> bool:
        """Whether the programs of this server are installed."""
        return not cls.missing()

    @classmethod
    @abstractmethod
    def missing(cls) -> str:
        """What is not installed, as a sentence; empty when everything is."""

    @property
    def port(self) -> int:
        """The loopback port; it stays the same when the server is started again."""
        return self._port

    @property
    def pid(self) -> int:
        """The id of the (first) process of the running server."""
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    @property
    def log(self) -> Path:
        """The file to which the server writes what it has to say."""
        return self._home / "log"

    @property
    def running(self) -> bool:
        """Whether the server has been started and has not ended since."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and wait for its answer; from the second time on with the same data and port."""
        if self.running:
            return
        if reason := self.missing():
            raise ServerError(reason)
        self._forget_process()
        if self._folder is None:
            self._make_folder()
        self._launch()

    def stop(self) -> None:
        """Let the server end in order; its data stays for another ``start``."""
        process = self._process
        if process is None:
            return
        process.send_signal(self._stop_signal)
        try:
            process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()
        self._forget_process()

    def kill(self, then: Callable[[], object] = lambda: None) -> None:
        """End every process of the server at once, as a crash would; its data stays for another ``start``.

        What to do ``then`` comes before what they have left behind is removed.
        """
        process = self._process
        if process is None:
            return
        # Stopped first, so that it starts no further process while the present ones are listed.
        process.send_signal(signal.SIGSTOP)
        family = [process.pid, *children(process.pid)]
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        _wait_until_gone(family)
        self._forget_process()
        then()
        self._after_kill()

    def close(self) -> None:
        """Stop the server and delete its data."""
        try:
            self.stop()
        finally:
            if self._watchdog is not None:
                self._watchdog.communicate("end\n")
                self._watchdog = None
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder = None

    @abstractmethod
    def url(self, database: str) -> str:
        """The URL of a database, as SQLAlchemy reads it."""

    @abstractmethod
    def execute(self, statement: str, *, database: str | None = None) -> list[tuple[Any, ...]]:
        """Run one statement on a connection of its own, committed, and return its rows."""

    @abstractmethod
    def create_database(self, name: str) -> None:
        """Create an empty database."""

    @abstractmethod
    def drop_database(self, name: str) -> None:
        """Drop a database, if it exists, and end whatever still uses it."""

    # --- what a kind of server adds ------------------------------------------------------------

    @abstractmethod
    def _install(self, data: Path) -> list[str]:
        """The command that makes an empty data folder."""

    @abstractmethod
    def _command(self, data: Path) -> list[str]:
        """The command that runs the server in the foreground."""

    @abstractmethod
    def _after_kill(self) -> None:
        """Remove what a killed server leaves behind and would hinder the next start."""

    # --- how it is done ------------------------------------------------------------------------

    @property
    def _home(self) -> Path:
        assert self._folder is not None, f"{self.name} has not been started"
        return self._folder

    def _make_folder(self) -> None:
        # A short path that every account may walk through: pytest's own folders are closed to others,
        # and the path of a socket must stay under a hundred characters.
        parent = self._parent or ("/tmp" if os.access("/tmp", os.W_OK) else None)
        folder = Path(tempfile.mkdtemp(prefix=f"taskqueue-{self.name}-", dir=parent))
        self._folder = folder
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHDOG, "watchdog", self._abort_signal, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        try:
            folder.chmod(0o755)
            if (account := self._run_as()) is not None:
                os.chown(folder, account.pw_uid, account.pw_gid)
            with self._open_log() as log:
                done = self._spawn(self._install(folder / "data"), log).wait()
            if done != 0:
                raise ServerError(f"{self.name} could not make its data folder:\n{self._log_tail()}")
            self._port = free_port()
        except BaseException:
            self.close()
            raise

    def _launch(self) -> None:
        with self._open_log() as log:
            process = self._spawn(self._command(self._home / "data"), log)
        self._process = process
        self._tell_watchdog(str(process.pid))
        deadline = time.monotonic() + _START_TIMEOUT
        while True:
            try:
                self.execute("SELECT 1")
                return
            except (psycopg.OperationalError, pymysql.Error, OSError) as error:
                ended = process.poll() is not None
                if ended or time.monotonic() > deadline:
                    self.kill()
                    what = "ended while starting" if ended else f"did not answer ({error})"
                    raise ServerError(f"{self.name} {what}:\n{self._log_tail()}") from error
            time.sleep(0.02)

    def _spawn(self, command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        account = self._run_as()
        as_account: dict[str, Any] = {}
        if account is not None:
            as_account = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        return subprocess.Popen(
            command,
            cwd=self._home,
            # Nothing of the caller's environment (PGDATA, MYSQL_HOME, ...) may reach the server.
            env={"PATH": _search_path(), "HOME": str(self._home), "LC_ALL": "C", **self._environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C in the terminal is for pytest, which then stops the servers itself.
            start_new_session=True,
            **as_account,
        )

    @classmethod
    def _run_as(cls) -> pwd.struct_passwd | None:
        """The account for the server: database servers refuse to run as root."""
        if os.geteuid() != 0:
            return None
        try:
            return pwd.getpwnam(cls._account)
        except KeyError:
            return pwd.getpwnam("nobody")

    def _forget_process(self) -> None:
        if self._process is not None:
            self._process.wait()
            self._process = None
            self._tell_watchdog("-")

    def _tell_watchdog(self, word: str) -> None:
        if self._watchdog is not None and self._watchdog.stdin is not None:
            self._watchdog.stdin.write(word + "\n")
            self._watchdog.stdin.flush()

    def _open_log(self) -> IO[bytes]:
        return self.log.open("ab")

    def _log_tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-20:])


class MariaDBServer(Server):
    """A private MariaDB server; root may connect over TCP without a password."""

    name = "mariadb"
    _account = "mysql"
    _stop_signal = signal.SIGTERM
    _abort_signal = "KILL"

    @classmethod
    def missing(cls) -> str:
        for program in ("mariadbd", "mariadb-install-db"):
            if _find(program) is None:
                return f"MariaDB is not installed: {program} was not found"
        return ""

    def url(self, database: str) -> str:
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/{database}?charset=utf8mb4"

    def execute(self, statement: str, *, database: str | None = None) -> list[tuple[Any, ...]]:
        with (
            closing(
                pymysql.connect(
                    host="127.0.0.1",
                    port=self.port,
                    user="root",
                    database=database,
                    charset="utf8mb4",
                    connect_timeout=5,
                    read_timeout=60,
                    autocommit=True,
                )
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
            return list(cursor.fetchall())

    def create_database(self, name: str) -> None:
        self.execute(f"CREATE DATABASE {_checked(name)} CHARACTER SET utf8mb4")

    def drop_database(self, name: str) -> None:
        # A transaction that a test left open would let DROP wait for ever.
        users = self.execute(f"SELECT id FROM information_schema.processlist WHERE db = '{_checked(name)}'")
        for (connection_id,) in users:
            with suppress(pymysql.OperationalError):  # ended by itself meanwhile
                self.execute(f"KILL {connection_id:d}")
        self.execute(f"DROP DATABASE IF EXISTS {name}")

    def _install(self, data: Path) -> list[str]:
        return [
            _found("mariadb-install-db"),
            "--no-defaults",  # /etc/mysql is about another server
            f"--datadir={data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
            "--innodb-log-file-size=16M",
        ]

    def _command(self, data: Path) -> list[str]:
        return [
            _found("mariadbd"),
            "--no-defaults",
            f"--datadir={data}",
            f"--tmpdir={self._home}",
            f"--socket={self._home / 'socket'}",
            f"--pid-file={self._home / 'pid'}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--max-connections=300",
            "--innodb-buffer-pool-size=32M",
            "--innodb-log-file-size=16M",
            "--key-buffer-size=1M",
            "--aria-pagecache-buffer-size=8M",
        ]

    def _after_kill(self) -> None:
        """The next start finds nothing in its way: the socket and the pid file are written anew."""


class PostgreSQLServer(Server):
    """A private PostgreSQL server; ``postgres`` may connect over TCP without a password."""

    name = "postgresql"
    _account = "postgres"
    # "Fast": end the sessions, then stop in order.
    _stop_signal = signal.SIGINT
    # "Immediate": like a crash, but it takes its children and its shared memory along.
    _abort_signal = "QUIT"

    @classmethod
    def missing(cls) -> str:
        if _postgresql_programs() is None:
            return "PostgreSQL is not installed: no folder holds both initdb and postgres"
        return ""

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str, *, database: str | None = None) -> list[tuple[Any, ...]]:
        with (
            closing(
                psycopg.connect(
                    host="127.0.0.1",
                    port=self.port,
                    user="postgres",
                    dbname=database or "postgres",
                    connect_timeout=5,
                    autocommit=True,
                )
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def create_database(self, name: str) -> None:
        self.execute(f"CREATE DATABASE {_checked(name)}")

    def drop_database(self, name: str) -> None:
        self.execute(f"DROP DATABASE IF EXISTS {_checked(name)} WITH (FORCE)")

    def _install(self, data: Path) -> list[str]:
        return [
            f"{_postgresql_programs()}/initdb",
            f"--pgdata={data}",
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",  # about the empty folder only
        ]

    def _command(self, data: Path) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 300,
            "shared_buffers": "32MB",
            # In the data folder, so that a killed server leaves nothing elsewhere.
            "dynamic_shared_memory_type": "mmap",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [f"{_postgresql_programs()}/postgres", "-D", str(data), *options]

    def _after_kill(self) -> None:
        file = self._home / "data" / "postmaster.pid"
        if not file.exists():
            return
        # The seventh line names the (tiny) shared memory segment: "key id". The next start would replace
        # it, but there may be none.
        lines = file.read_text().splitlines()
        ipcrm = shutil.which("ipcrm")
        if ipcrm is not None and len(lines) > 6:
            subprocess.run([ipcrm, "-m", lines[6].split()[1]], check=False, stderr=subprocess.DEVNULL)
        # Once another process has the old id, the server would take it for itself and refuse to start.
        file.unlink()


SERVERS: dict[str, type[Server]] = {server.name: server for server in (MariaDBServer, PostgreSQLServer)}


def _checked(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,50}", name):
        raise ValueError(f"not a plain name of a database: {name!r}")
    return name


def _search_path() -> str:
    # The folders of system programs are often not on the path of a plain user.
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/usr/libexec"])


def _find(program: str) -> str | None:
    return shutil.which(program, path=_search_path())


def _found(program: str) -> str:
    path = _find(program)
    if path is None:
        raise ServerError(f"{program} was not found")
    return path


def _postgresql_programs() -> Path | None:
    """The folder with the newest PostgreSQL of the system, or of the one on the path if there is none."""

    def version(folder: Path) -> list[int]:
        return [int(part) for part in re.findall(r"\d+", folder.parent.name)]

    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=version, reverse=True)
    on_path = _find("initdb")
    if on_path is not None:
        folders.append(Path(on_path).resolve().parent)
    for folder in folders:
        if all(os.access(folder / program, os.X_OK) for program in ("initdb", "postgres")):
            return folder
    return None


def children(parent: int) -> list[int]:
    """The ids of all children of a process. (Those of PostgreSQL leave its process group.)"""
    return [pid for pid, (_, its_parent) in _processes() if its_parent == parent]


def _wait_until_gone(pids: Iterable[int]) -> None:
    deadline = time.monotonic() + _STOP_TIMEOUT
    pending = set(pids)
    while pending and time.monotonic() < deadline:
        # A zombie holds nothing any more; whoever inherited it may be slow to collect it.
        pending &= {pid for pid, (state, _) in _processes() if state != "Z"}
        if pending:
            time.sleep(0.01)


def _processes() -> Iterable[tuple[int, tuple[str, int]]]:
    """Every process of the host with its state and its parent."""
    if Path("/proc/self/stat").exists():
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # it has ended meanwhile
                # The name of the program, in parentheses, may hold anything.
                state, parent = stat.read_text(errors="replace").rpartition(")")[2].split()[:2]
                yield int(stat.parent.name), (state, int(parent))
        return
    listing = subprocess.run(["ps", "-axo", "pid=,state=,ppid="], check=True, capture_output=True, text=True)
    for line in listing.stdout.splitlines():
        pid_text, state, parent = line.split()
        yield int(pid_text), (state[0], int(parent))
