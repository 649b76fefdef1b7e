"""Following sets."""

from __future__ import annotations

from pathlib import Path

from iommuman.logging_backend import DataType, Follower, RegisterFlag, follow

from .helpers import make, read


def test_history_then_live(tmp_path: Path) -> None:
    """A follower gives what there is, then each new packet once."""
    with make(tmp_path, 4, 4) as writer, Follower(tmp_path) as follower:
        writer.log(0, 0, 5, "one")
        assert [packet.text for packet in follower.poll()] == ["one"]
        assert not follower.poll()
        writer.log(1, 0, 5, "two")
        writer.log(0, 0, 5, "x" * 5000)
        writer.log(0, 0, 5, "three")
        assert [packet.text for packet in follower.poll()] == ["two", "x" * 5000, "three"]
        assert not follower.poll()


def test_live_only(tmp_path: Path) -> None:
    """Without history a follower gives only what was logged after it began, and numbers go on."""
    with make(tmp_path, 4, 4) as writer:
        for i in range(100):
            writer.log(0, 0, 5, f"{i:0300d}")
        with Follower(tmp_path, history=False) as follower:
            assert not follower.poll()
            writer.log(0, 0, 5, "new")
            writer.log(1, 0, 5, "first of its buffer")
            assert [(packet.number, packet.text) for packet in follower.poll()] == [
                (100, "new"),
                (0, "first of its buffer"),
            ]


def test_a_set_that_appears_is_announced(tmp_path: Path) -> None:
    """A set registered while following gives an ONLINE packet a buffer, then its packets from the first on."""
    with Follower(tmp_path / "later") as follower:
        assert not follower.poll()
        with make(tmp_path / "later", 2, 2) as writer:
            writer.log(0, 0, 5, "first")
            found = follower.poll()
    assert [packet.data_type for packet in found] == [DataType.ONLINE, DataType.ONLINE, DataType.ASCII_STRING]
    assert [packet.text for packet in found] == ["-----ONLINE-----", "-----ONLINE-----", "first"]
    assert (found[0].stream.buffer_name, found[0].code, found[0].severity, found[0].flags) == ("", 0, 0, 0)


def test_an_overtaken_reader_is_told_how_many_it_lost(tmp_path: Path) -> None:
    """When the writer laps the reader, an UNSYNC packet has the exact number of packets lost."""
    with make(tmp_path, 4) as writer, Follower(tmp_path) as follower:
        writer.log(0, 0, 5, "first")
        follower.poll()
        for i in range(1, 2000):
            writer.log(0, 0, 5, f"packet {i}")
        gap, *found = follower.poll()
        assert gap.data_type is DataType.UNSYNC
        assert gap.number == 1
        assert gap.lost == found[0].number - 1
        assert [packet.number for packet in found] == list(range(found[0].number, 2000))


def test_a_new_set_that_was_lapped_at_once(tmp_path: Path) -> None:
    """What a new set overwrote before the follower saw it is counted from its first packet on."""
    with Follower(tmp_path) as follower, make(tmp_path, 2) as writer:
        for i in range(1000):
            writer.log(0, 0, 5, f"packet {i}")
        _, gap, *found = follower.poll()
        assert gap.lost + len(found) == 1000


def test_a_page_being_renewed_is_waited_for(tmp_path: Path) -> None:
    """While the next page has no index the follower waits; pages beyond a lost one are found in the end."""
    with make(tmp_path, 4) as writer, Follower(tmp_path) as follower:
        for i in range(3):
            writer.log(0, 0, 5, f"{i:02000d}")
        assert len(follower.poll()) == 3
        assert writer._shared is not None
        for i in range(3, 8):
            writer.log(0, 0, 5, f"{i:02000d}")
        # Page 3 vanishes, as when its store never reached the disk.
        writer._shared.memory[3 * 4096 : 3 * 4096 + 8] = bytes(8)
        found = [packet for _ in range(40) for packet in follower.poll()]
        assert sum(packet.lost or 1 for packet in found) == 5
        assert found[-1].number == 7


def test_a_file_replaced_or_gone_is_noticed(tmp_path: Path) -> None:
    """A set that is unlinked is read to its end and let go; another under the same name is followed afresh."""
    with make(tmp_path) as writer, Follower(tmp_path) as follower:
        writer.log(0, 0, 5, "old")
        follower.poll()
        writer.log(0, 0, 5, "just before")
        assert writer.path is not None
        writer.path.unlink()
        with make(tmp_path) as other:
            assert other.path == writer.path
            other.log(0, 0, 5, "new")
            found = [packet.text for packet in follower.poll()]
            assert sorted(found) == ["-----ONLINE-----", "just before", "new"]
        assert other.path is not None
        other.path.unlink()
        assert not follower.poll()
        assert not follower._files


def test_a_set_half_made_is_taken_up_when_it_is_whole(tmp_path: Path) -> None:
    """A file without a header yet is looked at again; it is not reported."""
    findings: list[object] = []
    with make(tmp_path / "other") as writer:
        writer.log(0, 0, 5, "inside")
    assert writer.path is not None
    data = writer.path.read_bytes()
    path = tmp_path / "set.1"
    path.write_bytes(bytes(8) + data[8:])
    with Follower(tmp_path, report=findings.append) as follower:
        assert not follower.poll()
        with path.open("r+b") as file:
            file.write(data[:8])
        assert [packet.text for packet in follower.poll()][-1] == "inside"
    assert not findings


def test_chosen_and_skipped_buffers(tmp_path: Path) -> None:
    """Sets that are not chosen and buffers that ask to be skipped are not followed; verbose shows the latter."""
    flags = RegisterFlag.HINT_SKIP_BUFFER_0
    with make(tmp_path, 2, 2, name="a", flags=flags) as writer, make(tmp_path, 2, name="b") as other:
        writer.log(0, 0, 5, "hidden")
        writer.log(1, 0, 5, "shown")
        other.log(0, 0, 5, "of b")
        with Follower(tmp_path, match=lambda header: header.set_name == "a") as follower:
            assert [packet.text for packet in follower.poll()] == ["shown"]
            assert not follower.poll()
        with Follower(tmp_path, verbose=True) as follower:
            assert [packet.text for packet in follower.poll()] == ["hidden", "shown", "of b"]
    assert len(read(tmp_path)) == 2


def test_follow_ends_when_asked_with_all_that_is_there(tmp_path: Path) -> None:
    """`follow` sleeps while nothing comes, and gives what is there when it is told to stop."""
    with make(tmp_path) as writer:
        writer.log(0, 0, 5, "one")
        turns = iter([False, False, True, True])
        found = [packet.text for chunk in follow(Follower(tmp_path), 0.001, lambda: next(turns)) for packet in chunk]
    assert found == ["one"]
