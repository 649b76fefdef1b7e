"""`explain`, `faults` and `report`: genuine logs beside their boards, pasted text, and what they write read back."""

from __future__ import annotations

import errno
import gzip
import io
import json
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from iommuman.base import Origin
from iommuman.cli import faults as faults_command
from iommuman.cli.fault_journal import FaultJournal
from iommuman.cli.incident import fault_of
from iommuman.faults import Fault
from iommuman.faults.report.out import json_line, to_slog2
from iommuman.logging_backend import BufferConfig, Placement, SetConfig, packets, register, snapshot
from iommuman.manager import Access, Manager, simulate
from iommuman.manager.dma import TracedMemory, access
from iommuman.topology import load_topology

from tests.cli.conftest import Ran
from tests.conftest import BOARDS, FIXTURES, HANDMADE

SMMU, VTD = BOARDS / "virt-smmuv3-numa", BOARDS / "q35-vtd"
LINE = (
    "DMAR: [DMA Write NO_PASID] Request device [02:01.0] fault addr 0xe81759000 "
    "[fault reason 0x05] PTE Write access is not set"
)


@pytest.fixture(autouse=True)
def _own_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the log of the tests in a folder of their own."""
    monkeypatch.setenv("IOMMUMAN_SLOG2_DIR", str(tmp_path / "log"))


def typed(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """Let stdin hold these bytes."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(data))))


# --- explain


def test_a_pasted_line_is_explained_with_its_device(run: Callable[..., Ran]) -> None:
    """One line of a log, beside its board: what, who and by which way."""
    ran = run("explain", LINE, "--board", VTD)
    lines = ran.out.splitlines()
    assert ran.status == 0
    assert lines[0] == (
        "what: vtd@fed90000 refused a write to the page 0xe81759000 by 02:01.0 (ID 0x208): "
        "no permission to write (LGN.2, reason 0x05) [the command line:1]"
    )
    assert lines[1].startswith("who: 0000:02:01.0 (SCSI controller, driver pci-stub): it sends this ID [")
    assert lines[-1].startswith("next: ")


def test_words_of_a_line_need_no_quotes(run: Callable[..., Ran]) -> None:
    """What the shell has taken apart at its spaces is put together again."""
    assert run("explain", *LINE.split()).out == run("explain", LINE).out


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            "0x0000001800000010 0x20a00000000 0x9b0cc000 0",
            "what: an SMMUv3 refused a read of 0x9b0cc000 by stream 0x18",
        ),
        ("fsr=0x402 iova=0x9d4bb500 fsynr=0x170021 cbfrsynra=0xc88", "what: an SMMUv2 refused a read of 0x9d4bb500"),
        ("FSTS: 2 FRCD0: 80000005000020300000000000123000", "what: a VT-d unit refused"),
    ],
)
def test_words_and_registers_are_explained(run: Callable[..., Ran], text: str, what: str) -> None:
    """Hexadecimal words of a record, and registers by their names."""
    ran = run("explain", text)
    assert ran.status == 0
    assert ran.out.startswith(what)


@pytest.mark.parametrize(
    ("text", "what", "note"),
    [
        ("addr 0xffd0a000 [fault reason 06] PTE Read access", "refused a read of the page 0xffd0a000", "no whole line"),
        (LINE.replace("02:01.0", "O2:01.0"), "by 02:01.0 (ID 0x208)", "no whole line"),
        ("\x1b[31mDMAR\x1b[0m: " + LINE.removeprefix("DMAR: ") + "\x1b[0m", "by 02:01.0 (ID 0x208)", ""),
        ("DMAR: DRHD: handling fault status reg 2\r\n" + LINE + "\r\n", "by 02:01.0 (ID 0x208)", ""),
        (json.dumps({"MESSAGE": LINE, "_TRANSPORT": "kernel"}), "by 02:01.0 (ID 0x208)", ""),
        ("0000001800000010 0000020a00000000 9b0cc000 0", "refused a read of 0x9b0cc000 by stream 0x18", ""),
        ("0x10\n0x18\n0x0\n0x20a\n0x9b0cc000\n0x0\n0x0\n0x0", "a read of 0x9b0cc000 by stream 0x18", ""),
        ("fed90220: 00123000 00000000 00002030 80000005", "to the page 0x123000 by 20:06.0", "read as a memory dump"),
        (
            "IO_PAGE_FAULT device=04:00.0 domain=0x12 address=0x1000 flags=0x20]",
            "to 0x1000 by 04:00.0",
            "no whole line",
        ),
        (
            "AMD-Vi: Event logged [IO_PAGE_FAULT device=04:00.0 domain=0x0012\n> address=0x1000 flags=0x0020]",
            "refused a write to 0x1000 by 04:00.0 (ID 0x400)",
            "",
        ),
    ],
)
def test_odd_things_that_people_paste(run: Callable[..., Ran], text: str, what: str, note: str) -> None:
    """Half lines, typed or wrapped ones, colours, other line ends, JSON of the journal, and memory dumps."""
    ran = run("explain", text)
    assert ran.status == 0
    assert what in ran.out
    assert note in ran.err
    assert bool(note) == bool(ran.err)


def test_equal_faults_are_explained_once(run: Callable[..., Ran]) -> None:
    """A log of three storms has four explanations: one of each device, and one of what was not printed."""
    ran = run("explain", SMMU / "linux" / "faults.log", "--board", SMMU)
    blocks = ran.out.strip().split("\n\n")
    assert [block.splitlines()[-1] for block in blocks] == [
        "times: 10 alike",
        "times: 214746 alike",
        "times: 10 alike",
        "times: 10 alike",
    ]


def test_a_storm_over_many_pages_is_explained_once(run: Callable[..., Ran]) -> None:
    """Faults that differ in their pages alone have one explanation, with how many pages there are."""
    options = ("--board", HANDMADE / "dmar-segments", "--config", FIXTURES / "logs" / "vms.smmu")
    blocks = run("explain", FIXTURES / "logs" / "storm.log", *options).out.strip().split("\n\n")
    assert [block.splitlines()[-1] for block in blocks] == [
        "times: 86 alike, at 78 pages from 0x7d000000 to 0x7d05d000",
        "times: 3 alike",
        "times: 18 alike, at 18 pages from 0x20000000 to 0x20022000",
        "times: 212 alike",
        "times: 4 alike",
    ]


FEATURES = "DMAR: dmar0: reg_base_addr fed90000 ver 1:0 cap d2008c222f0606 ecap f00f4a"


def test_feature_registers_are_explained(run: Callable[..., Ran], tmp_path: Path) -> None:
    """What tells of no fault may tell what a unit can do: pasted, in a log of a boot, or in sysfs."""
    first = "what: a VT-d unit with CAP 0xd2008c222f0606, ECAP 0xf00f4a ["
    (tmp_path / "intel-iommu").mkdir()
    (tmp_path / "intel-iommu" / "cap").write_text("d2008c222f0606\n")
    (tmp_path / "intel-iommu" / "ecap").write_text("f00f4a\n")
    for what in (FEATURES, VTD / "linux" / "kernel.log", tmp_path, "CAP=0xd2008c222f0606 ECAP=0xf00f4a"):
        ran = run("explain", what)
        assert ran.status == 0
        assert ran.out.startswith(first)
        assert "has: interrupt remapping (ECAP.IR)\n" in ran.out
    assert run("explain", f"{FEATURES}\n{LINE}").out.startswith("what: a VT-d unit refused")
    assert run("explain", "IDR0=0x100000000").status == 3


def test_stdin_is_explained(run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument, or with `-`, what stands on stdin is explained."""
    for arguments in ((), ("-",)):
        typed(monkeypatch, LINE.encode())
        assert "by 02:01.0 (ID 0x208)" in run("explain", *arguments).out


def test_many_different_faults_are_not_all_explained(run: Callable[..., Ran], tmp_path: Path) -> None:
    """After 32 the others are counted, with the command that lists them."""
    log = tmp_path / "log"
    log.write_text("\n".join(LINE.replace("[02:01.0]", f"[{bus:02x}:01.0]") for bus in range(1, 41)), encoding="utf-8")
    ran = run("explain", log)
    assert ran.out.count("what: ") == 32
    assert ran.err == "8 more faults that differ: 'iommuman faults' lists them\n"


@pytest.mark.parametrize("text", ["hello world", "", "0x1", "0x1 0x2 0x3 0x4 0x5"])
def test_what_is_no_fault_is_said(run: Callable[..., Ran], text: str) -> None:
    """Text in which there is no fault is refused in one sentence."""
    ran = run("explain", text)
    assert (ran.status, ran.out, ran.err.count("\n")) == (3, "", 1)


def test_a_file_without_faults_is_said(run: Callable[..., Ran], tmp_path: Path) -> None:
    """A log of other matters has nothing to explain."""
    (tmp_path / "log").write_text("[    1.0] usb 1-1: new device\n", encoding="utf-8")
    ran = run("explain", tmp_path / "log")
    assert ran.status == 3
    assert "there is no IOMMU fault in this that is known" in ran.err


def test_an_architecture_may_be_named(run: Callable[..., Ran]) -> None:
    """Words that several records may be are read as the one that is named, and a wrong name is said."""
    ran = run("explain", "--architecture", "vtd", "0x0000000000123000", "0x8000000500002030")
    assert "a VT-d unit" in ran.out
    ran = run("explain", "--architecture", "vdt", "0x0000000000123000", "0x8000000500002030")
    assert ran.status == 3


# --- faults


def test_faults_are_listed_with_their_devices(run: Callable[..., Ran]) -> None:
    """Each with its place in the log; an ID that several devices send is pinned on none of them."""
    ran = run("faults", SMMU / "linux" / "faults.log", "--board", SMMU)
    lines = [line.partition("faults.log:")[2] for line in ran.out.splitlines()]
    assert ran.status == 0
    assert lines[0] == (
        "1: arm-smmu-v3.0.auto: the address is not mapped (F_TRANSLATION): read at 0x11110000 by 0000:00:03.0"
    )
    assert lines[11] == (
        "72: arm-smmu-v3.0.auto: the address is not mapped (F_TRANSLATION): read at 0x12220000 by ID 0x30, "
        "which 0000:01:01.0 or 0000:00:06.0 send"
    )
    assert len(lines) == 32


def test_a_fault_beside_a_board_has_its_place(run: Callable[..., Ran]) -> None:
    """What the address falls in stands behind the fault, and among the attributes: reserved memory, or a VM's."""
    log, board = FIXTURES / "logs" / "storm.log", HANDMADE / "dmar-segments"
    options = (log, "--board", board, "--config", FIXTURES / "logs" / "vms.smmu")
    lines = run("faults", *options).out.splitlines()
    assert lines[0].endswith("write at 0x7d000000 by 0000:02:00.0, in reserved memory (rmrr) for 0000:00:02.0")
    assert lines[-1].endswith("read at 0x20022000 by 0000:01:00.0, in grant linux (rw) of 0000:02:00.0")
    found = [json.loads(line)["Attributes"] for line in run("faults", *options, "--format", "jsonl").out.splitlines()]
    assert found[-1]["fault.place"] == "grant linux (rw) of 0000:02:00.0"
    assert sum("fault.place" not in one for one in found) == 4


def test_json_lines_are_read_back(run: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `--format jsonl` writes is a log again, as a file and on stdin."""
    first = run("faults", SMMU / "linux" / "faults.log", "--board", SMMU, "--format", "jsonl").out
    (tmp_path / "again.jsonl").write_text(first, encoding="utf-8")
    assert run("faults", tmp_path / "again.jsonl", "--format", "jsonl").out == first
    typed(monkeypatch, first.encode())
    assert run("faults", "-", "--format", "jsonl").out == first
    assert len({json.loads(line)["Attributes"]["fault.reason"] for line in first.splitlines()}) == 2


def test_faults_go_into_the_log_and_come_back(run: Callable[..., Ran], tmp_path: Path) -> None:
    """`--to slog2` fills a buffer set; a saved copy of the log is a source again."""
    ran = run("faults", SMMU / "linux" / "faults.log", "--to", "slog2")
    assert (ran.status, ran.out) == (0, "")
    assert len(list(packets(snapshot(tmp_path / "log")))) == 32
    assert run("slog2info", "--save", tmp_path / "copy").status == 0
    assert run("report", tmp_path / "copy", "--format", "json").out == (
        run("report", SMMU / "linux" / "faults.log", "--format", "json").out
    )


def overfilled(folder: Path, name: str, also: int = 0) -> Path:
    """Return a buffer of 4 pages that 500 faults were written to, after some packets that are none."""
    with register(SetConfig("test", (BufferConfig(name, 4),)), 0, Placement(directory=folder)) as writer:
        for number in range(also):
            writer.log(0, 0, 5, f"line {number}")
        for number in range(500):
            fault = Fault(Origin("x"), "vtd", iommu="dmar0", reason="no", time=10**18 + number, clock="utc")
            fault = replace(fault, identifier=8, address=number << 12)
            assert writer.log_fields(0, *to_slog2(fault), fault.time) == 0
        assert writer.path is not None
        return writer.path


def test_what_a_log_overwrote_is_lost(run: Callable[..., Ran], tmp_path: Path) -> None:
    """Faults that a full ring has overwritten are lost faults, in the report and in the list: none is missing."""
    path = overfilled(tmp_path / "log", "faults")
    listed = run("faults", path).out.splitlines()
    assert "packets of the log were overwritten or damaged before they were read" in listed[0]
    found = json.loads(run("report", path, "--format", "json").out)
    (loss,) = found["lost"]["rows"]
    assert (found["accesses"], loss["unit"], loss["notices"]) == (len(listed) - 1, "slog2", 1)
    assert 0 < found["accesses"] < 500
    assert loss["count"] == 500 - found["accesses"]
    run("slog2info", "--save", tmp_path / "copy")
    assert json.loads(run("report", tmp_path / "copy", "--format", "json").out)["lost"] == found["lost"]


def test_what_a_mixed_buffer_overwrote_need_not_be_faults(run: Callable[..., Ran], tmp_path: Path) -> None:
    """Of a buffer that holds other packets too it is said that packets are lost, not how many of them were faults."""
    path = overfilled(tmp_path / "log", "b", also=9)
    (loss,) = json.loads(run("report", path, "--format", "json").out)["lost"]["rows"]
    assert (loss["count"], loss["notices"]) == (0, 1)
    assert loss["reason"].endswith("not all of them need have been faults")


def test_what_was_cleared_is_not_lost(run: Callable[..., Ran], tmp_path: Path) -> None:
    """Packets that somebody cleared on purpose are no loss."""
    path = overfilled(tmp_path / "log", "faults")
    assert run("slog2info", "-c").status == 0
    assert run("faults", path).out == ""


@pytest.fixture
def journal() -> Iterator[tuple[str, socket.socket]]:
    """Give a socket that listens like the journal's, at a path short enough for a socket."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"{folder}/journal")
        listener.settimeout(10)
        yield f"{folder}/journal", listener


def test_faults_go_into_the_journal(
    run: Callable[..., Ran], tmp_path: Path, journal: tuple[str, socket.socket]
) -> None:
    """`--to journald` sends a message a fault, in the journal's protocol, byte by byte."""
    path, listener = journal
    log = tmp_path / "log"
    log.write_text(LINE, encoding="utf-8")
    ran = run("faults", log, "--to", f"journald:{path}")
    assert (ran.status, ran.out) == (0, "")
    lines = listener.recv(1 << 16).split(b"\n")
    assert lines[:3] == [
        b"MESSAGE=DMAR: no permission to write (LGN.2): write at 0xe81759000 by ID 0x208",
        b"PRIORITY=3",
        b"SYSLOG_IDENTIFIER=iommuman",
    ]
    assert b"FAULT_ADDRESS=0xe81759000" in lines
    assert b"FAULT_IDENTIFIER=520" in lines
    assert lines[-1] == b""


def test_a_journal_that_does_not_take_them_is_said(
    run: Callable[..., Ran], journal: tuple[str, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is not there, and one that goes away while faults are sent, end the command with status 3."""
    ran = run("faults", VTD / "linux" / "faults.log", "--to", "journald:/absent/socket")
    assert (ran.status, ran.err.count("\n")) == (3, 1)
    assert "/absent/socket: cannot be reached" in ran.err
    path, _ = journal
    monkeypatch.setattr(FaultJournal, "send", lambda *_: errno.ECONNREFUSED)
    ran = run("faults", VTD / "linux" / "faults.log", "--to", f"journald:{path}")
    assert ran.status == 3
    assert f"{path}: cannot be written to: found Connection refused" in ran.err


@pytest.mark.parametrize("where", ["", "syslog", "journald:", "jsonl:x"])
def test_a_place_for_faults_that_is_none_is_said(run: Callable[..., Ran], where: str) -> None:
    """Anything but stdout, slog2 and the journal is wrong usage."""
    ran = run("faults", "-", "--to", where)
    assert ran.status == 2
    assert "is neither stdout, slog2, journald nor journald:SOCKET" in ran.err


def test_packed_logs_and_pipes_are_read(
    run: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that is packed by gzip, and one on stdin, hold the same faults."""
    data = (SMMU / "linux" / "faults.log").read_bytes()
    (tmp_path / "log.gz").write_bytes(gzip.compress(data))
    packed = run("faults", tmp_path / "log.gz", "--format", "jsonl").out
    typed(monkeypatch, data)
    assert packed.count("\n") == run("faults", "-", "--format", "jsonl").out.count("\n") == 32


def test_a_log_that_grows_is_followed(run: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `--follow`, lines that come later are shown too."""
    log = tmp_path / "log"
    log.write_text(LINE + "\n", encoding="utf-8")
    more = [LINE.replace("02:01.0", "03:00.0") + "\n", ""]

    def wait() -> bool:
        if not more:
            return False
        with log.open("a", encoding="utf-8") as file:
            file.write(more.pop(0))
        return True

    monkeypatch.setattr(faults_command, "_wait", wait)
    ran = run("faults", "--follow", log)
    assert [line.rpartition(" ")[2] for line in ran.out.splitlines()] == ["0x208", "0x300"]


def test_waiting_takes_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between looks at a file there is a pause, and there is no end to them."""
    slept: list[float] = []
    monkeypatch.setattr("iommuman.cli.faults.time.sleep", slept.append)
    assert faults_command._wait()
    assert slept == [0.1]


def test_lines_that_are_not_understood_are_listed(run: Callable[..., Ran], tmp_path: Path) -> None:
    """Lines that look like faults and do not parse are shown, the first of them, and counted."""
    (tmp_path / "log").write_text("DMAR: [DMA Flip] Request device [zz] fault addr\n" * 10, encoding="utf-8")
    ran = run("faults", tmp_path / "log")
    assert ran.out == ""
    assert ran.err.splitlines()[0] == (
        f"not understood: {tmp_path / 'log'}:1: DMAR: [DMA Flip] Request device [zz] fault addr"
    )
    assert ran.err.splitlines()[-1] == "not understood: 2 more lines"


@pytest.mark.parametrize("command", ["faults", "report"])
@pytest.mark.parametrize("name", ["absent", "folder"])
def test_a_log_that_cannot_be_read_is_said(run: Callable[..., Ran], tmp_path: Path, command: str, name: str) -> None:
    """A file that is not there, and one that is a folder, are refused in one sentence."""
    (tmp_path / "folder").mkdir()
    ran = run(command, tmp_path / name)
    assert (ran.status, ran.err.count("\n")) == (3, 1)
    assert str(tmp_path / name) in ran.err


# --- report


def test_a_report_sums_up(run: Callable[..., Ran], tmp_path: Path) -> None:
    """Who, where, when, and what was lost, as text; as JSON, which is a baseline; as a page."""
    log = SMMU / "linux" / "faults.log"
    ran = run("report", log, "--board", SMMU)
    assert ran.status == 0
    assert ran.out.startswith("30 faults, 30 records, 3 sources, 1 unit\n")
    assert "LOST: at least 214,746 more faults that no record shows" in ran.out
    assert "0000:01:01.0 or 0000:00:06.0" in ran.out
    (tmp_path / "before.json").write_text(run("report", log, "--format", "json").out, encoding="utf-8")
    (tmp_path / "now.log").write_text(log.read_text(encoding="utf-8") + LINE + "\n", encoding="utf-8")
    ran = run("report", tmp_path / "now.log", "--since-report", tmp_path / "before.json")
    assert "ID 0x208" in ran.out.partition("SOURCES")[0]
    assert run("report", log, "--format", "html").out.startswith("<!DOCTYPE html>")


def test_an_earlier_report_that_is_none_is_said(run: Callable[..., Ran], tmp_path: Path) -> None:
    """A baseline that is absent, no text or no report is refused."""
    log = SMMU / "linux" / "faults.log"
    ran = run("report", log, "--since-report", tmp_path / "absent")
    assert ran.status == 3
    assert "the earlier report cannot be read: No such file or directory" in ran.err
    (tmp_path / "noise").write_bytes(b"\xff\xfe")
    assert run("report", log, "--since-report", tmp_path / "noise").status == 3
    (tmp_path / "other").write_text("{}", encoding="utf-8")
    assert run("report", log, "--since-report", tmp_path / "other").status == 3


# --- incidents of the manager


@pytest.mark.parametrize(
    ("board", "kind", "name"),
    [
        ("q35-vtd", "vtd", "LGN.2"),
        ("q35-amd", "amdvi", "IO_PAGE_FAULT"),
        ("virt-smmuv3-acpi", "smmuv3", "F_PERMISSION"),
        ("riscv-virt-sys-dt", "riscv-iommu", ""),
    ],
)
def test_an_incident_is_a_fault(board: str, kind: str, name: str) -> None:
    """What the manager recorded has all that its raw record holds, the device, and the object that it was in."""
    topology = load_topology([str(BOARDS / board)])
    machine = simulate(topology, TracedMemory, caching=False)
    manager = Manager(topology, machine.ports, machine.private)
    client = manager.attach("vm")
    number = manager.create_object(client)
    manager.map(client, number, 0x80000000, 0x1000, Access.READ)
    manager.add_device(client, number, "0000:00:03.0")
    (place,) = manager.member("0000:00:03.0").endpoints
    (piece,) = access(machine, manager, place, 0x80000000, 4, write=True)
    assert piece.incident is not None
    fault = fault_of(piece.incident, kind)
    assert (fault.name, fault.device, fault.identifier, fault.access) == (name, "0000:00:03.0", 0x18, "write")
    assert (fault.clock, fault.time, fault.iommu) == ("utc", piece.incident.time, place.unit)
    assert ("object", number) in fault.facts


def test_incidents_of_shared_ids_name_all_devices() -> None:
    """A fault of a group is a fault of no one device."""
    topology = load_topology([str(VTD)])
    machine = simulate(topology, TracedMemory, caching=False)
    manager = Manager(topology, machine.ports, machine.private)
    place = manager.member("0000:02:01.0").endpoints[1]
    (piece,) = access(machine, manager, place, 0x80000000, 4, write=False)
    assert piece.incident is not None
    fault = fault_of(piece.incident, "vtd")
    assert fault.device == ""
    assert ("devices", "0000:02:01.0 0000:02:02.0") in fault.facts
    assert isinstance(fault, Fault)
    assert fault.origin == Origin("")
    assert "0000:02:01.0 0000:02:02.0" in json_line(fault)
