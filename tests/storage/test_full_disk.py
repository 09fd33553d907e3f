"""A full disk refuses what is new and keeps what is there; with room again all goes on."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from taskqueue.errors import DatabaseFull
from tests.storage.conftest import MakeService

LETTER = "x" * 20_000
ROOM = 2 * 1024 * 1024


class Disk(NamedTuple):
    """A place that fills up soon."""

    folder: Path
    make_room: Callable[[], object]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Disk]:
    """A file system of its own, of a few megabytes, with some ballast that can be thrown out."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={2 * ROOM}", "tmpfs", str(tmp_path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root may mount a small disk; the limited file of the other test stands for it")
    ballast = tmp_path / "ballast"
    ballast.write_bytes(bytes(ROOM))
    yield Disk(tmp_path, ballast.unlink)
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


@pytest.fixture
def limited_files(tmp_path: Path) -> Iterator[Disk]:
    """No file of this process may grow beyond a limit, which an account without rights can set, too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, before[1]))
    try:
        yield Disk(tmp_path, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(params=["small_disk", "limited_files"])
def disk(request: pytest.FixtureRequest) -> Disk:
    """Either of them."""
    place: Disk = request.getfixturevalue(request.param)
    return place


@pytest.mark.parametrize("type_name", ["Sql", "SqlParallel"])
def test_given_a_full_disk_when_items_are_added_then_none_is_lost_and_it_goes_on_when_there_is_room(
    make_service: MakeService, disk: Disk, type_name: str
) -> None:
    # given: full to the brim, also for small items
    queue = make_service(f"sqlite:///{disk.folder / 'queue.db'}").create(type_name, "mail")
    kept: list[int] = []
    for data in (LETTER, "small"):
        with pytest.raises(DatabaseFull, match="full"):
            while len(kept) < 10_000:
                kept.append(queue.create_item(data).id)
    # then
    assert len(kept) > 5
    assert [item.id for item in queue.items()] == kept
    # when
    disk.make_room()
    kept.append(queue.create_item(LETTER).id)
    # then
    assert [item.id for item in queue.items()] == kept
    first = queue.claim_item()
    assert first is not None and first.id == kept[0]
    queue.delete_item(first)
    assert queue.number_of_items() == len(kept) - 1


def test_given_a_full_disk_when_a_bulk_does_not_fit_then_nothing_of_it_is_stored(
    make_service: MakeService, disk: Disk
) -> None:
    queue = make_service(f"sqlite:///{disk.folder / 'queue.db'}").create("Sql", "mail")
    queue.create_item("before")

    with pytest.raises(DatabaseFull):
        queue.create_items(LETTER for _ in range(2000))

    assert [item.data for item in queue.items()] == ["before"]
    disk.make_room()
    assert queue.create_items(range(3)) == 3
