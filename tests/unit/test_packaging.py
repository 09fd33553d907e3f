"""What an install carries, told from the metadata and the folders; nothing is built here."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DISTRIBUTION = "taskqueue-runner"


@pytest.fixture(scope="module")
def settings() -> configparser.ConfigParser:
    """The content of setup.cfg."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def test_the_installed_metadata_is_that_of_the_checkout(settings: configparser.ConfigParser) -> None:
    installed = metadata.metadata(DISTRIBUTION)
    assert installed["Name"] == settings["metadata"]["name"] == DISTRIBUTION
    assert installed["Version"] == settings["metadata"]["version"]
    assert installed["Requires-Python"] == ">=3.10"


def test_every_requirement_has_a_lower_bound(settings: configparser.ConfigParser) -> None:
    needed = settings["options"]["install_requires"].split()
    assert needed
    assert [need for need in needed if not re.fullmatch(r"[a-z]+>=[\d.]+", need)] == []


def test_the_console_script_is_declared() -> None:
    scripts = metadata.distribution(DISTRIBUTION).entry_points.select(group="console_scripts")
    assert [(script.name, script.value) for script in scripts] == [("taskqueue", "taskqueue.cli:main")]


def test_the_commands_of_flask_are_declared() -> None:
    commands = metadata.distribution(DISTRIBUTION).entry_points.select(group="flask.commands")
    assert [(command.name, command.value) for command in commands] == [("taskqueue", "taskqueue.cli.in_flask:commands")]
    assert [command.load().name for command in commands] == ["taskqueue"]


def test_every_package_is_listed(settings: configparser.ConfigParser) -> None:
    listed = settings["options"]["packages"].split()
    folders = {file.parent for file in (ROOT / "taskqueue").rglob("__init__.py") if "migrations" not in file.parts}
    packages = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert listed == sorted(packages | {"taskqueue.templates"})


def test_every_folder_with_modules_is_a_package() -> None:
    # Folders without an __init__ are left out of a wheel; migrations alone travel as plain files.
    folders = {file.parent for file in (ROOT / "taskqueue").rglob("*.py") if "migrations" not in file.parts}
    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def test_types_and_templates_travel_along(settings: configparser.ConfigParser) -> None:
    assert (ROOT / "taskqueue" / "py.typed").read_bytes() == b""
    data = settings["options.package_data"]
    assert "py.typed" in data["taskqueue"].split()
    assert "**/*" in data["taskqueue.templates"].split()
    assert settings["options"]["package_dir"].split("=")[0].strip() == "taskqueue.templates"
    folder = ROOT / settings["options"]["package_dir"].split("=")[1].strip()
    assert (folder / "taskqueue" / "base.html").is_file()


def test_what_the_pages_need_travels_along(settings: configparser.ConfigParser) -> None:
    web = ROOT / "taskqueue" / "web"
    patterns = settings["options.package_data"]["taskqueue.web"].split()
    packed = {path for pattern in patterns for path in web.glob(pattern) if path.is_file()}
    files = {path for path in web.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc", ".cfg")}
    assert {"taskqueue.css", "progress.js", "taskqueue.mo"} <= {path.name for path in packed}
    assert files - packed == set()


def test_templates_are_files_of_one_namespace() -> None:
    # An application's templates share one search path with these; and modules there would be imported by
    # someone, which works in a wheel but not in a checkout.
    assert [path.name for path in (ROOT / "templates").iterdir()] == ["taskqueue"]
    assert list((ROOT / "templates").rglob("*.py")) == []


@pytest.mark.parametrize("script", [".ci/run", "tests/install_servers.sh"])
def test_scripts_are_executable_and_parse(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
    subprocess.run(["bash", "-n", ROOT / script], check=True)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_without_a_target_lists_the_targets() -> None:
    listed = subprocess.run(
        ["make", "--no-print-directory", "-C", ROOT],
        check=True,
        capture_output=True,
        text=True,
        # Under `make test`, the options of that make must not reach this one.
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
    ).stdout
    targets = [line.split()[1] for line in listed.splitlines()]
    assert targets == [
        "help",
        "venv",
        "demo",
        "demo-web",
        "test",
        "soak",
        "faults",
        "attacks",
        "mutants",
        "lint",
        "format",
        "bench",
        "bench-peers",
        "translations",
        "wheel",
        "clean",
    ]
