"""State files: written whole or not at all, and believed only when they are this service's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from iommuman.manager import Manager, simulate
from iommuman.manager import state as module
from iommuman.manager.state import ClientRecord, ObjectRecord, SegmentRecord, StateFile, fingerprint

from tests.manager.serving import give_away, refused, topology

CLIENT = ClientRecord(
    "driver", 1000, (ObjectRecord(True, ("0000:00:03.0",), (SegmentRecord(0x80000000, 4096, 0, 3),)),)  # noqa: FBT003
)  # fmt: skip


@pytest.fixture
def manager() -> Manager:
    """Return the manager of a board."""
    machine = simulate(topology("q35-vtd"))
    return Manager(topology("q35-vtd"), machine.ports, machine.private)


def test_what_is_written_is_read(tmp_path: Path, manager: Manager) -> None:
    """Clients come back as they were, from a file that is its owner's alone; no file holds nothing."""
    path = tmp_path / "state"
    assert StateFile(str(path), manager).load() == ()
    StateFile(str(path), manager).write([CLIENT.packed()])
    assert StateFile(str(path), manager).load() == (CLIENT,)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_without_folder_is_in_the_current_one(
    tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path of one word works."""
    monkeypatch.chdir(tmp_path)
    StateFile("state", manager).write([])
    assert StateFile("state", manager).load() == ()


def test_what_a_killed_writer_left_is_in_nobodys_way(tmp_path: Path, manager: Manager) -> None:
    """A half-written file beside it is replaced; a link there is not followed."""
    (tmp_path / "state.new").symlink_to(tmp_path / "victim")
    StateFile(str(tmp_path / "state"), manager).write([CLIENT.packed()])
    assert StateFile(str(tmp_path / "state"), manager).load() == (CLIENT,)
    assert not (tmp_path / "victim").exists()


def test_a_crash_before_the_new_file_is_whole_leaves_the_old(
    tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it is renamed the new file is no state; a write that fails is said, and the old one is gone then."""
    state = StateFile(str(tmp_path / "state"), manager)
    state.write([CLIENT.packed()])

    class KilledError(Exception):
        """Ends the writer."""

    def killed(*_: object) -> None:
        raise KilledError

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", killed)
        with pytest.raises(KilledError):
            state.write([])
        assert state.load() == (CLIENT,)
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            state.write([])
    assert state.load() == ()


def test_files_that_others_could_have_written_are_not_believed(
    tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Links, other owners, modes that let others write, and what is no file."""
    path = tmp_path / "state"
    state = StateFile(str(path), manager)
    state.write([CLIENT.packed()])
    path.chmod(0o620)
    assert "others" in str(refused(state.load))
    path.chmod(0o600)
    (tmp_path / "link").symlink_to(path)
    assert refused(StateFile(str(tmp_path / "link"), manager).load).reason == "EINVAL"
    os.mkfifo(tmp_path / "pipe")
    assert refused(StateFile(str(tmp_path / "pipe"), manager).load).reason == "EINVAL"
    assert refused(StateFile(str(tmp_path), manager).load).reason == "EINVAL"
    give_away(path, monkeypatch)
    assert "others than root and the service's own user" in str(refused(state.load))


def test_a_file_that_is_too_long_is_not_read_on(
    tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is a bound on what is read."""
    state = StateFile(str(tmp_path / "state"), manager)
    state.write([CLIENT.packed()])
    monkeypatch.setattr(module, "MOST_BYTES", 50)
    assert "more than 50 bytes" in str(refused(state.load))


def test_a_file_with_a_good_digest_and_wrong_content_is_not_believed(tmp_path: Path, manager: Manager) -> None:
    """The digest tells damage, and not that a file is right: every field is checked too."""
    state = StateFile(str(tmp_path / "state"), manager)
    for wrong in ('{"name":"x"}', CLIENT.packed().replace("1000", "-1"), CLIENT.packed().replace(",3", ",8"), "["):
        state.write([wrong.replace('"access":3', '"access":8')])
        assert "damaged" in str(refused(state.load))


def test_a_file_from_before_the_machine_started_is_not_believed(
    tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a start of the machine nobody is there who had the grants."""
    path = str(tmp_path / "state")
    StateFile(path, manager).write([CLIENT.packed()])
    monkeypatch.setattr(module, "_BOOT_ID", str(tmp_path / "absent"))
    assert "before the machine started" in str(refused(StateFile(path, manager).load))


def test_boards_differ_by_their_devices_units_and_ids(manager: Manager) -> None:
    """The same board has the same fingerprint, another one another."""
    machine = simulate(topology("virt-smmuv3-acpi"))
    other = Manager(topology("virt-smmuv3-acpi"), machine.ports, machine.private)
    assert fingerprint(manager) == fingerprint(manager) != fingerprint(other)


def test_a_file_that_cannot_be_read_is_not_believed(
    tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the disk is a typed error."""
    state = StateFile(str(tmp_path / "state"), manager)
    state.write([])

    def broken(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", broken)
        assert "cannot be read: Input/output error" in str(refused(state.load))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", broken)
        error = refused(state.load)
    assert "cannot be read: Input/output error" in str(error)
