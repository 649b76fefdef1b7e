"""Faults from the records of kernel logs: what each field means, and that the right device is told."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.base import Origin
from iommuman.faults import Fault
from iommuman.faults.from_log import from_log
from iommuman.parsers.kernel_log import read_kernel_log
from iommuman.topology import Topology, load_topology, routes

from tests.conftest import BOARDS, ROOT

LOG = Origin("log", line=1)
LINES = ROOT / "tests" / "parsers" / "kernel_log" / "lines"


def faults(text: str) -> list[Fault]:
    """Return the faults of a log, without what is the same for all: origins are tested elsewhere."""
    found = list(from_log(read_kernel_log(io.BytesIO(text.encode()), name="log")))
    assert all(fault.text and fault.origin.source == "log" for fault in found)
    return [replace(fault, text="", raw=b"") for fault in found]


def test_a_fault_of_vtd() -> None:
    """The reason is named and explained, only the page is known, and no PASID is none."""
    line = (
        "[   21.445303] DMAR: [DMA Read NO_PASID] Request device [00:03.0] fault addr 0x11110000 [fault reason 0x06] P"
    )
    (fault,) = from_log(read_kernel_log(io.BytesIO(line.encode()), name="log"))
    assert fault == Fault(
        LOG, "vtd", "DMAR", reason="no permission to read", name="LGN.3", code=6, time=21_445_303_000, clock="boot",
        identifier=0x18, address=0x11110000, address_bits=12, access="read", text=line,
    )  # fmt: skip


def test_an_interrupt_fault_of_vtd() -> None:
    """The address is the index of the table's entry, all of it."""
    (fault,) = faults("DMAR: [INTR-REMAP] Request device [f0:1f.0] fault index 26 [fault reason 38] Blocked")
    assert fault == Fault(
        LOG, "vtd", "DMAR", reason="the interrupt does not come from the source that the entry names",
        name="IR.SOURCE", code=0x26, identifier=0xF0F8, address=0x26, access="interrupt",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "reason", "code"),
    [
        ("fault addr 1000", "the line with the reason is missing", None),
        ("fault addr 1000 [fault reason 250] Something new", "Something new", 250),
        ("fault addr 1000 [fault reason 250] ", "reason not defined by VT-d 4.1", 250),
    ],
)
def test_reasons_of_vtd_that_are_not_known(line: str, reason: str, code: int | None) -> None:
    """A reason that is missing or new is said in the kernel's words, or in none."""
    (fault,) = faults(f"DMAR: [DMA Write] Request device [00:02.0] {line}")
    assert (fault.reason, fault.code, fault.name, fault.access) == (reason, code, "", "write")


def test_what_vtd_lost() -> None:
    """Bit 0 of the status says that records were lost; nobody knows how many."""
    (fault,) = faults("DMAR: DRHD: handling fault status reg 2\nDMAR: DRHD: handling fault status reg 3\n")
    assert fault == Fault(
        Origin("log", line=2), "vtd", "DMAR", name="PFO", lost=True, count=0,
        reason="faults were lost: the fault recording registers were full",
    )  # fmt: skip


def test_errors_of_the_invalidation_queue() -> None:
    """A time-out names the device that did not answer; an error of the queue has a number of its own."""
    found = faults(
        "DMAR: VT-d detected Invalidation Time-out Error: SID 100\n"
        "DMAR: VT-d detected Invalidation Queue Error: Reason 3\n"
        "DMAR: VT-d detected Invalidation Queue Error: Reason 5f\n"
    )
    assert [(fault.identifier, fault.name, fault.facts) for fault in found] == [
        (0x100, "ITE", ()), (None, "IQE", (("IQEI", "TYPE"),)), (None, "IQE", (("IQEI", "0xf"),)),
    ]  # fmt: skip
    assert found[0].reason == "a device did not answer an invalidation of its translation cache in time"


WORDS = "\n".join(
    f"arm-smmu-v3 x.iommu: {line}"
    for line in (
        "event 0x13 received:", "\t0x0000001100003813", "\t0x0000028a80000012", "\t0x00000000dead1000",
        "\t0x0000000012345000",
    )
)  # fmt: skip


def test_an_event_of_smmuv3_is_decoded_from_its_words() -> None:
    """The words say more than any line: stage, substream, privilege, the intermediate address, the stall."""
    lines = "event: F_PERMISSION client: 0000:01:00.0 sid: 0x11 ssid: 0x3 iova: 0xdead1000 ipa: 0x12345000"
    (fault,) = from_log(read_kernel_log(io.BytesIO(f"{WORDS}\narm-smmu-v3 x.iommu: {lines}\n".encode()), name="log"))
    assert replace(fault, text="", raw=b"") == Fault(
        LOG, "smmuv3", "arm-smmu-v3", "x.iommu", "no permission", "F_PERMISSION", 0x13, identifier=0x11, substream=3,
        device="0000:01:00.0", address=0xDEAD1000, access="read", privileged=True, stage=2, ipa=0x12345000,
        facts=(("during", "the transaction itself"), ("STAG", 0x12), ("Stall", 1)),
    )  # fmt: skip
    assert fault.raw == bytes.fromhex("1338000011000000 120000808a020000 0010adde00000000 0050341200000000")
    assert fault.text.count("\n") == 5


def test_an_event_of_smmuv3_without_its_words() -> None:
    """The decoded lines alone, the number alone, and a name that the kernel does not know."""
    decoded, number, unknown = faults(
        "arm-smmu-v3 x: event: F_TRANSLATION client: 0001:06:00.0 sid: 0x20600 ssid: 0x0 iova: 0xff9bc000 ipa: 0x0\n"
        'arm-smmu-v3 x: unpriv inst read s1 "Input address caused fault" stag: 0x0\n'
        "arm-smmu-v3 y: event 0x04 received:\n"
        "arm-smmu-v3 z: event: UNKNOWN client: (unassigned sid) sid: 0x5 ssid: 0x0\n"
    )
    assert decoded == Fault(
        LOG, "smmuv3", "arm-smmu-v3", "x", "the address is not mapped", "F_TRANSLATION", 0x10, identifier=0x20600,
        device="0001:06:00.0", address=0xFF9BC000, access="execute", privileged=False, stage=1,
        facts=(("class", "Input address caused fault"), ("stall", 0), ("stag", 0)),
    )  # fmt: skip
    assert (number.name, number.reason, number.identifier) == ("C_BAD_STE", "the stream table entry is invalid", None)
    assert (unknown.name, unknown.code, unknown.identifier) == ("UNKNOWN", None, 5)
    assert unknown.reason == "an event whose words are not all in the log"


def test_a_write_of_smmuv3_and_reserved_bits() -> None:
    """RnW clear is a write; bits without a meaning are reported."""
    (fault,) = faults(WORDS.replace("0x0000028a80000012", "0x0004020000000000"))
    assert (fault.access, fault.stage, dict(fault.facts)["reserved bits"] != 0) == ("write", 1, True)


def test_a_page_request_and_a_global_error_of_smmuv3() -> None:
    """A page request has an access of its own; the bits of a global error are named."""
    request, error = faults(
        "arm-smmu-v3 x: unexpected PRI request received:\n"
        "arm-smmu-v3 x: \tsid 0x00000100.0x00005: [12L] unprivileged RW access at iova 0x0000000000001000\n"
        "arm-smmu-v3 x: unexpected global error reported (0x00000104), this could be serious\n"
    )
    assert request == Fault(
        LOG, "smmuv3", "arm-smmu-v3", "x", "a page request that nobody expects", "page request", identifier=0x100,
        substream=5, address=0x1000, address_bits=12, access="translation", privileged=False,
        facts=(("R", 1), ("W", 1), ("PRGIndex", 12), ("Last", 1)),
    )  # fmt: skip
    assert (error.name, error.code) == ("EVENTQ_ABT_ERR SFM_ERR", 0x104)


def test_a_context_fault_of_smmuv2() -> None:
    """FSR and FSYNR0 are taken apart; the stream ID is the low half of CBFRSYNRA."""
    (fault,) = faults(
        "arm-smmu x.iommu: Unhandled context fault: fsr=0x40000408, iova=0x9d4bb500, fsynr=0x170033, "
        "cbfrsynra=0x70c88, cb=11"
    )
    assert fault == Fault(
        LOG, "smmuv2", "arm-smmu", "x.iommu", "no permission", "PF", 0x40000408, identifier=0xC88, address=0x9D4BB500,
        access="write", privileged=True, domain=11,
        facts=(("FORMAT", 2), ("SS", 1), ("PLVL", 3), ("S1CBNDX", 0x17)),
    )  # fmt: skip


def test_parts_of_faults_of_smmuv2() -> None:
    """A register line alone, and a fault whose bits have no name, still are faults."""
    alone, nothing, many = faults(
        "arm-smmu x: FSR    = 00000402 [Format=2 TF], SID=0x12\n"
        "arm-smmu y: Unhandled context fault: fsr=0x0, iova=0x0, fsynr=0x40, cb=1\n"
        "arm-smmu z: Unhandled context fault: fsr=0x80000006, iova=0x0, fsynr=0x0, cb=1\n"
    )
    assert (alone.name, alone.access, alone.privileged, alone.address) == ("TF", "", None, None)
    assert (nothing.reason, nothing.access) == ("no fault flag is set", "execute")
    assert (many.name, many.lost, many.count) == ("TF AFF", True, 1)


def test_global_faults_of_smmuv2() -> None:
    """The stream ID is in GFSYNR1; what is not printed is not said."""
    whole, blocked, strange = faults(
        "arm-smmu x: Unexpected global fault, this could be serious\n"
        "arm-smmu x: \tGFSR 0x80000002, GFSYNR0 0x00000006, GFSYNR1 0x00010043, GFSYNR2 0x00000000\n"
        'arm-smmu x: Blocked unknown Stream ID 0x880; boot with "arm-smmu.disable_bypass=0" to allow\n'
        "arm-smmu y: Unexpected global fault, this could be serious\n"
        "arm-smmu y: \tGFSR 0x00000000, GFSYNR0 0x00000000, GFSYNR1 0x00000000, GFSYNR2 0x00000000\n"
    )
    assert whole == Fault(
        LOG, "smmuv2", "arm-smmu", "x", "unidentified stream: no stream match entry has this ID", "USF", 0x80000002,
        identifier=0x43, access="write", privileged=True, lost=True, facts=(("SSD_Index", 1),),
    )  # fmt: skip
    assert (blocked.identifier, blocked.name, blocked.access, blocked.privileged) == (0x880, "USF", "", None)
    assert (strange.reason, strange.access) == ("no fault flag is set", "read")


@pytest.mark.parametrize(
    ("flags", "access", "reason", "facts"),
    [
        (0x0000, "read", "the address is not mapped", ()),
        (0x0020, "write", "the address is not mapped", ()),
        (0x0010, "read", "a table entry has an invalid level, or the address is beyond the table", (("PR", 1),)),
        (0x0050, "read", "no permission to read", (("PR", 1), ("PE", 1))),
        (0x0070, "write", "no permission to write", (("PR", 1), ("PE", 1))),
        (0x0090, "read", "a reserved bit is set in a table entry", (("PR", 1), ("RZ", 1))),
        (0x0002, "execute", "the address is not mapped", ()),
        (0x0100, "translation", "the address is not mapped", ()),
        (0x0008, "interrupt", "the interrupt remapping entry is not present", ()),
        (0x0098, "interrupt", "a reserved bit is set in a table entry", (("PR", 1), ("RZ", 1))),
        (0x1020, "write", "the address is not mapped", (("flags", 0x1020),)),
    ],
)
def test_flags_of_page_faults_of_amd(flags: int, access: str, reason: str, facts: tuple[tuple[str, int], ...]) -> None:
    """What the flags say of an IO_PAGE_FAULT, as the specification has them; more than the 12 bits are kept as read."""
    line = (
        f"ahci 0001:02:00.1: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x0043 address=0xecdd5004 flags=0x{flags:04x}]"
    )
    (fault,) = faults(line)
    assert (fault.access, fault.reason, fault.facts) == (access, reason, facts)
    assert replace(fault, access="", reason="", facts=()) == Fault(
        LOG, "amdvi", "AMD-Vi", name="IO_PAGE_FAULT", code=2, segment=1, identifier=0x201, device="0001:02:00.1",
        address=0xECDD5004, domain=0x43,
    )  # fmt: skip


def test_a_guest_fault_of_amd_has_a_pasid() -> None:
    """With GN, what is printed as domain is the PASID, and the privilege is known."""
    user, supervisor = faults(
        "AMD-Vi: Event logged [IO_PAGE_FAULT device=02:00.0 domain=0x0007 address=0x1000 flags=0x0005]\n"
        "AMD-Vi: Event logged [IO_PAGE_FAULT device=02:00.0 domain=0x0007 address=0x1000 flags=0x0001]\n"
    )
    assert (user.substream, user.domain, user.privileged, user.segment) == (7, None, False, None)
    assert supervisor.privileged is True


def test_other_events_of_amd() -> None:
    """Addresses of entries and commands are no device's; a driver's name that is no PCI function gives no ID."""
    found = faults(
        "iommu ivhd0: AMD-Vi: Event logged [PAGE_TAB_HARDWARE_ERROR device=0000:63:00.0 pasid=0x0005 address=0x10 "
        "flags=0x0420]\n"
        "iommu ivhd0: AMD-Vi: Event logged [IOTLB_INV_TIMEOUT device=63:00.0 address=0x42b5b01a0]\n"
        "plat fake.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x0043 address=0x1000 flags=0x0000]\n"
        "AMD-Vi: Event logged [SOMETHING_NEW device=63:00.0 address=0x1000 flags=0x0020]\n"
        "AMD-Vi: PPR logged [Request ignored due to GN=0 (device=0000:02:00.0 pasid=0x00007 address=0x1000 "
        "flags=0x0104 tag=0x1ff]\n"
    )
    assert found[0] == Fault(
        LOG, "amdvi", "AMD-Vi", "ivhd0", "a page table entry could not be read", "PAGE_TAB_HARDWARE_ERROR", 4,
        segment=0, identifier=0x6300, access="write", domain=5,
        facts=(("Type", "TARGET_ABORT"), ("TableAddress", 0x10)),
    )  # fmt: skip
    assert (found[1].address, found[1].facts, found[1].access) == (None, (("CommandAddress", 0x42B5B01A0),), "")
    assert (found[2].device, found[2].identifier) == ("fake.0", None)
    assert (found[3].reason, found[3].name) == ("event not defined by AMD 48882", "SOMETHING_NEW")
    assert (found[3].code, found[3].access, found[3].facts) == (None, "", (("flags", 0x20),))
    assert (found[4].substream, found[4].access, found[4].privileged) == (7, "translation", True)
    assert (found[4].name, found[4].reason) == ("page request", "a page request without a PASID was ignored")
    assert (found[4].address_bits, found[4].facts) == (12, (("Tag", 0x1FF), ("READ", 1)))


def test_an_event_of_amd_in_words() -> None:
    """What the kernel has no name for is decoded from its words."""
    line = (
        "AMD-Vi: Event logged [UNKNOWN event[0]=0x00000200 event[1]=0xa0000000 event[2]=0x00001000 event[3]=0x00000001"
    )
    (fault,) = from_log(read_kernel_log(io.BytesIO(line.encode())))
    assert fault.raw == bytes.fromhex("00020000 000000a0 00100000 01000000")
    assert (fault.name, fault.code, fault.reason) == ("EVENT_COUNTER_ZERO", 10, "a performance counter has overflowed")
    (fault,) = from_log(read_kernel_log(io.BytesIO(b"AMD-Vi: Event logged [UNKNOWN tag=0x1]")))
    assert (fault.raw, fault.name, fault.facts) == (b"", "UNKNOWN", (("Tag", 1),))


def test_faults_of_riscv() -> None:
    """The cause is explained, with the access and the stage that it tells; guest addresses are intermediate ones."""
    first, guest, message, new = faults(
        "riscv,iommu x: Fault 15 devid: 0x18 iotval: 11110000 iotval2: 0\n"
        "riscv,iommu x: Fault 21 devid: 0x18 iotval: 11110000 iotval2: 80001003\n"
        "riscv,iommu x: Fault 273 devid: 0x0 iotval: 28000000 iotval2: 0\n"
        "riscv,iommu x: Fault 999 devid: 0x18 iotval: 1 iotval2: 7\n"
    )
    assert first == Fault(
        LOG, "riscv-iommu", "riscv,iommu", "x", "the address is not mapped, or not for writing", code=15,
        identifier=0x18, address=0x11110000, access="write", stage=1,
    )  # fmt: skip
    assert (guest.stage, guest.ipa) == (2, 0x80001000)
    assert guest.facts == (("the write of an implicit access", 1), ("implicit access", 1))
    assert (message.identifier, message.address, message.facts) == (None, None, (("iotval", 0x28000000),))
    assert (new.reason, new.facts) == ("reserved cause", (("iotval2", 7),))


def test_faults_of_virtio_and_of_one_makers_chips() -> None:
    """Letters become one access; the words of drivers become plain ones."""
    write, read, execute, apple, samsung = faults(
        "virtio_iommu virtio0: page fault from EP 24 at 0x1000 [RW]\n"
        "virtio_iommu virtio0: domain fault from EP 24 at 0x1000 [R]\n"
        "virtio_iommu virtio0: unknown fault from EP 24 at 0x1000 [RX]\n"
        "apple-dart a.iommu: translation fault: status:0x85000004 stream:5 code:0x4 (NO PTE FOR IOVA) at 0x1000\n"
        "exynos-sysmmu b.sysmmu: c.decon: AW ACCESS PROTECTION FAULT occurred at 0x2000\n"
    )
    assert write == Fault(
        LOG, "virtio-iommu", "virtio_iommu", "virtio0", "the address is not mapped, or not for such an access",
        "VIRTIO_IOMMU_FAULT_R_MAPPING", 2, identifier=24, address=0x1000, access="write", facts=(("READ", 1),),
    )  # fmt: skip
    assert (read.access, read.code, execute.access, execute.code) == ("read", 1, "execute", 0)
    assert (apple.architecture, apple.driver, apple.identifier) == ("", "apple-dart", 5)
    assert apple.reason == "the address is not mapped: its page table entry is empty"
    assert (samsung.device, samsung.reason, samsung.access) == ("c.decon", "no permission", "write")


def test_faults_of_trace_events() -> None:
    """The event names the device itself; bits of the flags that only a driver knows are kept."""
    read, write = faults(
        " x-1 [0] d 1.000001: io_page_fault: IOMMU:arm-smmu 0000:01:00.0 iova=0x0000000000001000 flags=0x0000\n"
        " x-1 [0] d 1.000001: io_page_fault: IOMMU:rk_iommu mmc0 iova=0x0000000000001000 flags=0x0011\n"
    )
    assert (read.architecture, read.device, read.access, read.facts) == ("smmuv2", "0000:01:00.0", "read", ())
    assert (write.architecture, write.device, write.access, write.facts) == ("", "mmc0", "write", (("flags", 0x11),))
    assert (read.time, read.clock) == (1_000_001_000, "boot")


@pytest.mark.parametrize(
    ("function", "architecture", "driver"),
    [
        ("dmar_fault", "vtd", "DMAR"),
        ("arm_smmu_context_fault", "smmuv2", "arm-smmu"),
        ("arm_smmu_evtq_thread", "smmuv3", "arm-smmu-v3"),
        ("viommu_fault_handler", "virtio-iommu", "virtio_iommu"),
        ("amd_iommu_report_page_fault", "amdvi", "AMD-Vi"),
        ("some_iommu_function", "", ""),
    ],
)
def test_suppressed_lines_are_counted(function: str, architecture: str, driver: str) -> None:
    """How many lines were not printed, and whose, as far as the function tells."""
    (fault,) = faults(f"{function}: 4772 callbacks suppressed")
    assert (fault.lost, fault.count, fault.architecture, fault.driver) == (True, 4772, architecture, driver)


def test_errors_of_xen_have_an_architecture() -> None:
    """Xen's lines do not name the driver; the unit's name tells."""
    found = faults(
        "(XEN) [VT-D]iommu.c:858: iommu_fault_status: Fault Overflow\n"
        "(XEN) smmu: /soc/iommu: Unexpected global fault, this could be serious\n"
        "(XEN) SMMUv3: /smmuv3: CMDQ timeout\n"
    )
    assert [(fault.architecture, fault.driver) for fault in found] == [
        ("vtd", "Xen"),
        ("smmuv3", "Xen"),
        ("smmuv2", "Xen"),
    ]


def test_what_is_no_fault_gives_none() -> None:
    """Units, groups and mappings are no faults."""
    text = (
        "DMAR: DRHD base: 0x000000fed90000 flags: 0x0\n"
        "pci 0000:00:03.0: Adding to iommu group 1\n"
        "DMAR: Dump dmar0 table entries for IOVA 0x0\n"
        "x: map: IOMMU: iova=0x0000000000001000 paddr=0x0000000080001000 size=4096\n"
    )
    assert faults(text) == []


ALL = "\n".join(path.read_text() for path in sorted(LINES.glob("*.txt"))).split("\n")


@given(st.lists(st.tuples(st.sampled_from(ALL), st.integers(0, 200), st.text(max_size=3)), max_size=12))
def test_damaged_lines_raise_nothing(damage: list[tuple[str, int, str]]) -> None:
    """Lines in any order with some characters replaced give faults or none, and never an exception."""
    text = "\n".join(line[:at] + new + line[at + len(new) :] for line, at, new in damage)
    for fault in from_log(read_kernel_log(io.BytesIO(text.encode("utf-8", "replace")))):
        assert fault.address is None or 0 <= fault.address < 1 << 64


GENUINE = sorted(BOARDS.glob("*/linux/faults.json"))


ENDPOINTS = {0x18: "0000:00:03.0", 0x100: "0000:01:00.0", 0x30: "0000:02:01.0", 0x4100: "0000:41:00.0"}
"""Where a VIOT says the IDs, they are requester IDs; 02:01.0 is behind a bridge that puts its own in place of it."""


def reaching(topology: Topology) -> dict[int | None, set[str]]:
    """Return for each ID the devices whose requests reach an IOMMU with it."""
    found: dict[int | None, set[str]] = {}
    if not topology.iommus:
        return {endpoint: {name} for endpoint, name in ENDPOINTS.items()}
    for device in topology.devices.values():
        for route in routes(topology, device):
            found.setdefault(route.stream, set()).add(device.name)
    return found


@pytest.mark.parametrize("path", GENUINE, ids=[path.parent.parent.name for path in GENUINE])
def test_genuine_faults_are_those_of_the_device_that_did_it(path: Path) -> None:
    """Of every line that a guest printed, the ID is one of the device that was made to do it, and so is the address."""
    devices = reaching(load_topology([str(path.parent.parent)]))
    for provoked in json.loads(path.read_text())["faults"]:
        text = "".join(f"{line}\n" for line in provoked["lines"])
        log = read_kernel_log(io.BytesIO(text.encode()), name="log")
        told = [fault for fault in from_log(log) if fault.identifier is not None]
        assert log.counts.recognised == len(provoked["lines"])
        assert bool(told) == bool(provoked["lines"])
        start = int(provoked["address"], 16)
        for fault in told:
            assert provoked["device"] in devices[fault.identifier]
            assert fault.address is not None
            if fault.architecture == "amdvi":
                assert fault.address == 0  # QEMU leaves it out of its events
            else:
                assert start <= fault.address < start + 0x10000
            assert fault.clock == "boot"
            assert fault.device in {""} | devices[fault.identifier]  # the kernel names the first that has the ID
