"""The plain answer, word for word, for faults that people ask about (their numbers in the list of questions)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from iommuman.base import Origin
from iommuman.faults import Fault
from iommuman.faults.attribute import attribute
from iommuman.faults.explain import explain
from iommuman.faults.raw import amdvi, from_registers, from_words, smmuv3, virtio, vtd
from iommuman.topology import Topology

from tests.conftest import FIXTURES
from tests.faults.test_attribute import made, translation
from tests.faults.test_units import board

HERE = Origin("here")
FRCD = Origin("frcd.bin", "fault", 0, 16)


def refused(identifier: int, reason: int, address: int = 0x11110000, **more: int) -> Fault:
    """Return a read that a VT-d unit refused."""
    return vtd.decode(vtd.encode(FI=address, SID=identifier, FR=reason, T1=1, F=1, **more), FRCD)


def interrupt(identifier: int, reason: int, index: int) -> Fault:
    """Return an interrupt that a VT-d unit refused."""
    return vtd.decode(vtd.encode(FI=index << 48, SID=identifier, FR=reason, F=1), FRCD)


def said(fault: Fault, topology: Topology | None = None) -> str:
    """Return the lines, with the files of the fixtures named from their folder on."""
    lines = explain(fault, None if topology is None else attribute(fault, topology))
    return "\n".join(lines).replace(f"{FIXTURES}/", "")


def test_memory_that_firmware_reserves() -> None:
    """Question 1: the graphics function reads its own RMRR."""
    fault = refused(0x10, 0x06, 0x7D000000)
    assert said(fault, board("dmar-segments")).splitlines() == [
        (
            "what: vtd@fed90000 refused a read of the page 0x7d000000 by 00:02.0 (ID 0x10): no permission to "
            "read (LGN.3, reason 0x06) [frcd.bin: fault+0x0 (16 bytes)]"
        ),
        "who: 0000:00:02.0 (VGA controller): it sends this ID [handmade/dmar-segments/pci.json: functions[2]]",
        (
            "way: pci:0000 0x10 -> vtd@fed90000 0x10 by device scope [handmade/dmar-segments/DMAR.bin: DMAR+0x40 "
            "(8 bytes)]"
        ),
        (
            "where: in reserved memory (rmrr) for 0000:00:02.0, 0x7d000000-0x7f7fffff (40 MiB) "
            "[handmade/dmar-segments/DMAR.bin: DMAR+0xe8 (32 bytes)]"
        ),
        (
            "why: likely firmware still has 0000:00:02.0 use memory that is reserved for it, and its address "
            "space lacks that memory"
        ),
        (
            "next: keep that region mapped one to one whenever its address space is changed; without that it "
            "cannot be given to a guest"
        ),
    ]


def test_a_read_that_nobody_mapped() -> None:
    """Question 2: which device, which driver, and what the address falls in."""
    fault = refused(0x18, 0x06)
    assert said(fault, board("q35-vtd")).splitlines() == [
        (
            "what: vtd@fed90000 refused a read of the page 0x11110000 by 00:03.0 (ID 0x18): no permission to "
            "read (LGN.3, reason 0x06) [frcd.bin: fault+0x0 (16 bytes)]"
        ),
        (
            "who: 0000:00:03.0 (SCSI controller, driver pci-stub): it sends this ID [boards/q35-vtd/pci.json: "
            "functions[1]]"
        ),
        ("way: pci:0000 0x18 -> vtd@fed90000 0x18 by device scope [boards/q35-vtd/DMAR.bin: DMAR+0x58 (8 bytes)]"),
        "where: in nothing that the board's sources name",
        (
            "why: likely 0000:00:03.0 uses an address that its driver has not mapped, or has unmapped while the "
            "device was still at work"
        ),
        (
            "next: look for a use after unmap in the driver; if it was switched to a guest or another driver "
            "just before, stop the device first"
        ),
    ]


def test_a_read_without_a_board() -> None:
    """Question 2, where no board is given: all that the record says."""
    fault = refused(0x18, 0x06)
    assert said(fault).splitlines() == [
        (
            "what: a VT-d unit refused a read of the page 0x11110000 by 00:03.0 (ID 0x18): no permission to read "
            "(LGN.3, reason 0x06) [frcd.bin: fault+0x0 (16 bytes)]"
        ),
        "who: give the board (--board) to learn which device sends this ID",
        (
            "why: likely the device uses an address that its driver has not mapped, or has unmapped while the "
            "device was still at work"
        ),
        (
            "next: look for a use after unmap in the driver; if it was switched to a guest or another driver "
            "just before, stop the device first"
        ),
    ]


def test_a_first_stage_entry_that_is_not_present() -> None:
    """Question 2: reason 0x71, with its PASID."""
    fault = refused(0x18, 0x71, PP=1, PV=5)
    assert said(fault).splitlines() == [
        (
            "what: a VT-d unit refused a read of the page 0x11110000 by 00:03.0 (ID 0x18) with PASID 0x5: a "
            "first-stage entry is not present (SFL.2, reason 0x71) [frcd.bin: fault+0x0 (16 bytes)]"
        ),
        "also: unprivileged",
        "who: give the board (--board) to learn which device sends this ID",
        (
            "why: likely the device uses an address that its driver has not mapped, or has unmapped while the "
            "device was still at work"
        ),
        (
            "next: look for a use after unmap in the driver; if it was switched to a guest or another driver "
            "just before, stop the device first"
        ),
    ]


def test_access_before_the_operating_system() -> None:
    """Question 3: no root entry at boot."""
    fault = refused(0x18, 0x01)
    assert said(fault, board("q35-vtd")).splitlines() == [
        (
            "what: vtd@fed90000 refused a read of the page 0x11110000 by 00:03.0 (ID 0x18): the root entry is "
            "not present (LRT.2, reason 0x01) [frcd.bin: fault+0x0 (16 bytes)]"
        ),
        (
            "who: 0000:00:03.0 (SCSI controller, driver pci-stub): it sends this ID [boards/q35-vtd/pci.json: "
            "functions[1]]"
        ),
        ("way: pci:0000 0x18 -> vtd@fed90000 0x18 by device scope [boards/q35-vtd/DMAR.bin: DMAR+0x58 (8 bytes)]"),
        "where: in nothing that the board's sources name",
        (
            "why: likely 0000:00:03.0 was already at work before the operating system set it up: firmware or a "
            "boot loader left it running"
        ),
        (
            "next: if it comes at boot only, have firmware stop the device, or declare the memory it uses "
            "(RMRR); else see whether its driver is loaded"
        ),
    ]


def test_access_by_a_function_that_is_hidden() -> None:
    """Question 3: no context entry, and no function of that address."""
    fault = refused(0x108, 0x02)
    assert said(fault, board("q35-vtd")).splitlines() == [
        (
            "what: vtd@fed90000 refused a read of the page 0x11110000 by 01:01.0 (ID 0x108): the context entry "
            "is not present (LCT.2, reason 0x02) [frcd.bin: fault+0x0 (16 bytes)]"
        ),
        "who: 0000:01:01.0, which no source lists: this ID would be its own",
        ("way: pci:0000 0x108 -> vtd@fed90000 0x108 by device scope [boards/q35-vtd/DMAR.bin: DMAR+0x70 (8 bytes)]"),
        "note: no source lists 0000:01:01.0; on its bus there are 0000:01:00.0",
        "where: in nothing that the board's sources name",
        (
            "why: likely no address space was made for this ID, and no listed device has it: a hidden device, or "
            "one that sends the ID of another function"
        ),
        "next: look for a function that the capture lacks, and for a device that needs a DMA alias quirk",
    ]


def test_translated_addresses_without_ats() -> None:
    """Question 5: event 0x07, and whose stream it is."""
    fault = from_words("0x2000000007 0x800000000 0xfee00000 0", architecture="smmuv3")[0].fault
    assert said(fault, board("virt-smmuv3-acpi")).splitlines() == [
        (
            "what: smmuv3@9050000 refused a read of 0xfee00000 by stream 0x20: translated transaction from a "
            "stream that may not use ATS (F_TRANSL_FORBIDDEN, event 0x07) [4 words of 64 bits]"
        ),
        (
            "who: 0000:00:04.0 (NVMe controller, driver pci-stub): it sends this ID "
            "[boards/virt-smmuv3-acpi/pci.json: functions[2]]"
        ),
        (
            "way: pci:0000 0x20 -> smmuv3@9050000 0x20 by ID mapping [boards/virt-smmuv3-acpi/IORT.bin: "
            "IORT+0xc4 (20 bytes)]"
        ),
        "where: in nothing that the board's sources name",
        ("why: likely 0000:00:04.0 uses addresses that it had translated (ATS), which is not switched on for it"),
        ("next: switch ATS off in the device, or allow it in the operating system; after a reset the two may disagree"),
    ]


def test_an_unknown_stream_that_a_table_names() -> None:
    """Question 8: who has the stream that the SMMU blocked."""
    fault = from_registers("GFSR 0x2, GFSYNR0 0x2, GFSYNR1 0x43", source="dmesg").faults[0]
    assert said(fault, board("iort-smmuv2")).splitlines() == [
        (
            "what: smmuv2@2b700000 refused a write by stream 0x43: unidentified stream: no stream match entry "
            "has this ID (USF, status 0x2) [dmesg: GFSR]"
        ),
        "also: unprivileged",
        "who: acpi:\\_SB.DMA0: it sends this ID [handmade/iort-smmuv2/IORT.bin: IORT+0x2dc (80 bytes)]",
        (
            "way: acpi:\\_SB.DMA0 0x0 -> smmuv2@2b700000 0x40 by ID mapping [handmade/iort-smmuv2/IORT.bin: "
            "IORT+0x304 (20 bytes)]"
        ),
        (
            "why: likely the operating system has not set up this ID, which the board's tables give to "
            "acpi:\\_SB.DMA0: that is not in use, or was at work before it was set up"
        ),
        (
            "next: see whether acpi:\\_SB.DMA0 is enabled and its driver loaded; stop it in firmware, or declare "
            "its memory (RMR)"
        ),
    ]


def test_an_unknown_stream_of_no_listed_function() -> None:
    """Question 8: the table has a place for the stream, and no source has the function."""
    fault = from_registers("GFSR 0x2, GFSYNR1 0x7043", source="dmesg", iommu="2b500000.iommu").faults[0]
    assert said(fault, board("iort-smmuv2")).splitlines() == [
        (
            "what: smmuv2@2b500000 refused a read by stream 0x7043: unidentified stream: no stream match entry "
            "has this ID (USF, status 0x2) [dmesg: GFSR]"
        ),
        "also: unprivileged",
        "who: 0000:70:08.3, which no source lists: this ID would be its own",
        (
            "way: pci:0000 0x7043 -> smmuv2@2b500000 0x7043 by ID mapping [handmade/iort-smmuv2/IORT.bin: "
            "IORT+0x1dc (20 bytes)]"
        ),
        (
            "why: likely the operating system has not set up this ID, and no source lists 0000:70:08.3, which "
            "the board's tables give it to: a function that was not found, or a mapping that is wrong by an "
            "offset"
        ),
        "next: see whether there is such a function; if not, which device should have this ID?",
    ]


def test_a_stream_that_no_table_leads_to() -> None:
    """Question 8: nothing leads to it."""
    fault = from_words("0x424200000002 0 0 0", architecture="smmuv3")[0].fault
    assert said(fault, board("virt-smmuv3-acpi")).splitlines() == [
        (
            "what: smmuv3@9050000: stream ID outside the stream table (C_BAD_STREAMID, event 0x02), about stream "
            "0x4242 [4 words of 64 bits]"
        ),
        "who: no device of the board sends stream 0x4242 to smmuv3@9050000",
        (
            "why: likely no table of the board leads to this ID: an ID mapping or iommu-map is missing, or is "
            "wrong by an offset or a count"
        ),
        "next: compare the ID with the output ranges of the IORT or device tree: which device should it be?",
    ]


def test_an_interrupt_from_a_function_that_does_not_exist() -> None:
    """Question 16: source-id verification failed for 01:05.0."""
    fault = interrupt(0x128, 0x26, 0x26)
    assert said(fault, board("q35-vtd")).splitlines() == [
        (
            "what: vtd@fed90000 refused interrupt 38 by 01:05.0 (ID 0x128): the interrupt does not come from the "
            "source that the entry names (IR.SOURCE, reason 0x26) [frcd.bin: fault+0x0 (16 bytes)]"
        ),
        "who: 0000:01:05.0, which no source lists: this ID would be its own",
        ("way: pci:0000 0x128 -> vtd@fed90000 0x128 by device scope [boards/q35-vtd/DMAR.bin: DMAR+0x70 (8 bytes)]"),
        "note: no source lists 0000:01:05.0; on its bus there are 0000:01:00.0",
        (
            "why: likely an interrupt entry is set up for another source than 0000:01:05.0: it sends interrupts "
            "under a requester ID that is not the one the operating system expects"
        ),
        (
            "next: if no such function exists, it is an alias: the device needs a quirk, or firmware set up its "
            "interrupts and they are still on"
        ),
    ]


def test_an_interrupt_of_compatibility_format() -> None:
    """Reason 0x25, from a log without a board."""
    fault = interrupt(0xF0F8, 0x25, 0)
    assert said(fault).splitlines() == [
        (
            "what: a VT-d unit refused interrupt 0 by f0:1f.0 (ID 0xf0f8): interrupts of compatibility format "
            "are blocked (IR.COMPATIBILITY, reason 0x25) [frcd.bin: fault+0x0 (16 bytes)]"
        ),
        "who: give the board (--board) to learn which device sends this ID",
        (
            "why: likely the device sends an interrupt that was set up before interrupt remapping was switched "
            "on, by firmware or a driver that does not use it"
        ),
        ("next: if it comes at boot only it is harmless; else see which driver sets up its interrupts, and update it"),
    ]


def test_devices_that_share_an_id() -> None:
    """None of three is picked."""
    fault = refused(0x30, 0x06)
    assert said(fault, board("q35-vtd")).splitlines() == [
        (
            "what: vtd@fed90000 refused a read of the page 0x11110000 by 00:06.0 (ID 0x30): no permission to "
            "read (LGN.3, reason 0x06) [frcd.bin: fault+0x0 (16 bytes)]"
        ),
        (
            "who: one of 3 that share this ID, which the unit cannot tell apart: 0000:02:01.0 (SCSI controller, "
            "driver pci-stub): it has this ID as conventional PCI bridge 0000:00:06.0 sends it "
            "[boards/q35-vtd/pci.json: functions[13]]; 0000:02:02.0 (SCSI controller, driver pci-stub): it has "
            "this ID as conventional PCI bridge 0000:00:06.0 sends it [boards/q35-vtd/pci.json: functions[14]]; "
            "0000:00:06.0 (PCI bridge, driver pci-stub): it sends this ID [boards/q35-vtd/pci.json: functions[5]]"
        ),
        "where: in nothing that the board's sources name",
        (
            "why: likely the device uses an address that its driver has not mapped, or has unmapped while the "
            "device was still at work"
        ),
        (
            "next: look for a use after unmap in the driver; if it was switched to a guest or another driver "
            "just before, stop the device first"
        ),
    ]


def test_a_cause_that_linux_prints_as_a_number() -> None:
    """RISC-V: cause 13, which says what was tried."""
    fault = from_registers("cause 13 devid: 0x18 iotval: 90001000 iotval2: 0", source="dmesg").faults[0]
    assert said(fault, board("riscv-virt-dt")).splitlines() == [
        (
            "what: riscv-iommu@0000:00:02.0 refused a read of 0x90001000 by device ID 0x18: "
            "the address is not mapped, or not for reading "
            "(cause 13, stage 1) [dmesg: CAUSE]"
        ),
        (
            "who: 0000:00:03.0 (NVMe controller, driver pci-stub): it sends this ID "
            "[boards/riscv-virt-dt/pci.json: functions[2]]"
        ),
        (
            "way: dt:/soc/pci@30000000 0x18 -> riscv-iommu@0000:00:02.0 0x18 by iommu-map "
            "[boards/riscv-virt-dt/board.dtb: /soc/pci@30000000 iommu-map+0x10 (16 bytes)]"
        ),
        "where: in nothing that the board's sources name",
        (
            "why: likely 0000:00:03.0 uses an address that its driver has not mapped, or has unmapped while the "
            "device was still at work"
        ),
        (
            "next: look for a use after unmap in the driver; if it was switched to a guest or another driver "
            "just before, stop the device first"
        ),
    ]


def test_a_message_request() -> None:
    """RISC-V: cause 260 of a message request."""
    fault = from_registers("cause=260 ttyp=9 did=24 iotval=4").faults[0]
    assert said(fault).splitlines() == [
        ("what: a RISC-V IOMMU: the type of transaction is disallowed (cause 260), about device ID 0x18 [CAUSE]"),
        "also: TTYP 9 (message request), message code 4",
        "who: give the board (--board) to learn which device sends this ID",
        (
            "why: likely the device sends a kind of request that is not set up for it (PASID, process, privilege "
            "or page requests)"
        ),
        "next: see which of these the device has switched on, and whether the operating system did so",
    ]


def test_a_device_directory_entry() -> None:
    """RISC-V: cause 258."""
    fault = from_registers("cause=258 devid=256 iotval=80000000").faults[0]
    assert said(fault).splitlines() == [
        (
            "what: a RISC-V IOMMU refused an access of 0x80000000 by device ID 0x100: the device directory entry "
            "is not valid (cause 258) [CAUSE]"
        ),
        "who: give the board (--board) to learn which device sends this ID",
        "why: likely the device is at work, and no address space was made for it",
        "next: see whether its driver is loaded, and whether something left the device running before",
    ]


def test_a_permission_of_amd() -> None:
    """Question 15: flags 0x0070."""
    fault = from_words("2070004300000200 ecdd5004", architecture="amdvi")[0].fault
    assert said(fault).splitlines() == [
        (
            "what: an AMD-Vi unit refused a write to 0xecdd5004 by 02:00.0 (ID 0x200): no permission to write "
            "(IO_PAGE_FAULT, event 0x2) [2 words of 64 bits]"
        ),
        "also: domain 0x43, PR 1, PE 1",
        "who: give the board (--board) to learn which device sends this ID",
        ("why: likely the buffer is mapped, but not for this kind of access: the direction of the mapping is wrong"),
        ("next: compare the direction that the driver maps with (to the device, from it) with what the device does"),
    ]


def test_a_device_that_does_not_answer() -> None:
    """IOTLB_INV_TIMEOUT is about a device, and refuses nothing."""
    fault = from_words("7000000000006300 42b5b01a0", architecture="amdvi")[0].fault
    assert said(fault).splitlines() == [
        (
            "what: an AMD-Vi unit: the device did not answer an invalidation of its translation cache in time "
            "(IOTLB_INV_TIMEOUT, event 0x7), about 63:00.0 (ID 0x6300) [2 words of 64 bits]"
        ),
        "also: CommandAddress 0x42b5b01a0",
        "who: give the board (--board) to learn which device sends this ID",
        (
            "why: likely the device does not answer when its translation cache is to be emptied: it hangs, "
            "sleeps or is gone"
        ),
        "next: look at the power state and the link of the device; switch ATS off for it if it stays so",
    ]


def test_one_page_too_far() -> None:
    """The access is just past a grant."""
    fault = translation(0x10, 0xA0002000)
    assert said(fault, made()).splitlines() == [
        (
            "what: smmuv3@9050000 refused a read of 0xa0002000 by stream 0x10: the address is not mapped "
            "(F_TRANSLATION, event 0x10, stage 1) [here]"
        ),
        "also: unprivileged, during context descriptor fetch",
        "who: acpi:DMA0: it sends this ID [IORT: acpi:DMA0]",
        "way: acpi:DMA0 -> smmuv3@9050000 0x10 by ID mapping [here]",
        "where: just past the end of grant ring (r) of acpi:DMA0 0xa0000000-0xa0001fff (8 KiB) [board.smmu:7]",
        (
            "why: likely acpi:DMA0 runs over the end of grant ring (r) of acpi:DMA0: a length that is one too "
            "large, or a prefetch"
        ),
        "next: compare the length that the device was given with the size of the mapping",
    ]


def test_a_grant_without_the_right() -> None:
    """A read-only grant of another device."""
    fault = translation(0x20, 0xA0000000, 0x13)
    assert said(fault, made()).splitlines() == [
        (
            "what: smmuv3@9050000 refused a read of 0xa0000000 by stream 0x20: no permission (F_PERMISSION, "
            "event 0x13, stage 1) [here]"
        ),
        "also: unprivileged, during context descriptor fetch",
        (
            "who: one of 2 that share this ID, which the unit cannot tell apart: acpi:DMA1: it sends this ID "
            "[IORT: acpi:DMA1]; acpi:DMA2: it sends this ID [IORT: acpi:DMA2]"
        ),
        "where: in grant ring (r) of acpi:DMA0, 0xa0000000-0xa0001fff (8 KiB) [board.smmu:7]",
        "why: likely a grant covers the address, but not for this device or not for this kind of access",
        "next: compare the access with the rights of grant ring (r) of acpi:DMA0",
    ]


def test_a_page_request_refuses_nothing() -> None:
    """A request for a page is got."""
    fault = smmuv3.decode_request(smmuv3.encode_request(StreamID=0x100, R=1, Last=1, Addr=0x5000), HERE)
    assert said(fault, board("virt-smmuv3-acpi")).splitlines() == [
        (
            "what: smmuv3@9050000 got a request for translation of the page 0x5000 by stream 0x100: the device "
            "asks for a page (page request) [here]"
        ),
        "also: unprivileged, R 1, Last 1",
        (
            "who: 0000:01:00.0 (NVMe controller, driver pci-stub): it sends this ID "
            "[boards/virt-smmuv3-acpi/pci.json: functions[8]]"
        ),
        (
            "way: pci:0000 0x100 -> smmuv3@9050000 0x100 by ID mapping [boards/virt-smmuv3-acpi/IORT.bin: "
            "IORT+0xc4 (20 bytes)]"
        ),
        "where: in nothing that the board's sources name",
        "why: likely 0000:01:00.0 asks for a page; that is no fault unless it is never answered",
        "next: see whether the operating system answers page requests of this device",
    ]


def test_records_that_were_lost() -> None:
    """FSTS.PFO alone."""
    fault = from_registers("FSTS=1").faults[0]
    assert said(fault, board("q35-vtd")).splitlines() == [
        "what: vtd@fed90000: faults were lost: the fault recording registers were full (PFO) [FSTS]",
        ("why: likely more faults came than the unit could record, so what is recorded is not all, and not the first"),
        "next: stop the device that faults most, then look again at the others",
    ]


def test_a_name_that_does_not_fit() -> None:
    """The source names one device, the ID is another's."""
    fault = replace(translation(0x20, 0x1000), device="0000:01:00.0")
    assert said(fault, board("virt-smmuv3-acpi")).splitlines() == [
        (
            "what: smmuv3@9050000 refused a read of 0x1000 by 0000:01:00.0 (stream 0x20): the address is not "
            "mapped (F_TRANSLATION, event 0x10, stage 1) [here]"
        ),
        "also: unprivileged, during context descriptor fetch",
        "doubt: its source names 0000:01:00.0, but the ID 0x20 is that of 0000:00:04.0",
        (
            "who: 0000:00:04.0 (NVMe controller, driver pci-stub): it sends this ID "
            "[boards/virt-smmuv3-acpi/pci.json: functions[2]]"
        ),
        (
            "way: pci:0000 0x20 -> smmuv3@9050000 0x20 by ID mapping [boards/virt-smmuv3-acpi/IORT.bin: "
            "IORT+0xc4 (20 bytes)]"
        ),
        "where: in nothing that the board's sources name",
        (
            "why: likely 0000:00:04.0 uses an address that its driver has not mapped, or has unmapped while the "
            "device was still at work"
        ),
        (
            "next: look for a use after unmap in the driver; if it was switched to a guest or another driver "
            "just before, stop the device first"
        ),
    ]


def test_a_nested_fault() -> None:
    """Stage 2, while the stage 1 tables were walked, with a substream."""
    fault = smmuv3.decode(
        smmuv3.encode(Number=0x10, StreamID=0x20, SSV=1, SubstreamID=3, S2=1, CLASS=1, IPA=0x40000000), HERE
    )
    assert said(fault).splitlines() == [
        (
            "what: an SMMUv3 refused a write to 0x0 by stream 0x20 with substream 0x3: the address is not mapped "
            "(F_TRANSLATION, event 0x10, stage 2) [here]"
        ),
        "also: unprivileged, intermediate physical address 0x40000000, during stage 1 table walk",
        "who: give the board (--board) to learn which device sends this ID",
        (
            "why: likely the device uses an address that its driver has not mapped, or has unmapped while the "
            "device was still at work"
        ),
        (
            "next: look for a use after unmap in the driver; if it was switched to a guest or another driver "
            "just before, stop the device first"
        ),
    ]


def test_an_endpoint() -> None:
    """virtio-iommu, as QEMU reports it: no access is said."""
    fault = virtio.decode(virtio.encode(reason=2, ADDRESS=1, endpoint=256, address=0x11110000), HERE)
    assert said(fault).splitlines() == [
        (
            "what: a virtio-iommu refused an access of 0x11110000 by endpoint 0x100: "
            "the address is not mapped, or not for such an access "
            "(VIRTIO_IOMMU_FAULT_R_MAPPING, reason 2) [here]"
        ),
        "who: give the board (--board) to learn which device sends this ID",
        (
            "why: likely the device uses an address that its driver has not mapped, or has unmapped while the "
            "device was still at work"
        ),
        (
            "next: look for a use after unmap in the driver; if it was switched to a guest or another driver "
            "just before, stop the device first"
        ),
    ]


def test_a_fault_that_stands_for_many() -> None:
    """A count, an unknown kind of unit, a device and no ID."""
    fault = Fault(
        HERE, "", iommu="fde40000.iommu", device="mmc0", reason="page fault", address=0x1000, access="execute", count=12
    )
    assert said(fault).splitlines() == [
        "what: fde40000.iommu refused a fetch of 0x1000 by mmc0: page fault (stands for 12) [here]",
    ]


def test_an_interrupt_of_amd() -> None:
    """An interrupt whose record has an address: no index is said."""
    fault = amdvi.decode(amdvi.encode(EventCode=2, DeviceID=0xA00, I=1, Address=0xFEE00000), HERE)
    assert said(fault).splitlines() == [
        (
            "what: an AMD-Vi unit refused an interrupt by 0a:00.0 (ID 0xa00): the interrupt remapping entry is "
            "not present (IO_PAGE_FAULT, event 0x2) [here]"
        ),
        "also: domain 0x0",
        "who: give the board (--board) to learn which device sends this ID",
        "why: likely the device still sends an interrupt that was taken away, or one that nobody set up",
        (
            "next: see whether its driver was unloaded or the device reset just before; such an interrupt is "
            "lost, not harmful"
        ),
    ]


@pytest.mark.parametrize(
    ("fault", "start"),
    [
        (
            replace(refused(0x18, 0x06), segment=2),
            "what: a VT-d unit refused a read of the page 0x11110000 by 0002:00:03.0",
        ),
        (
            refused(0x18, 0x0D, AT=1),
            "what: a VT-d unit refused a request for translation of the page 0x11110000 by 00:03.0",
        ),
        (
            Fault(HERE, "smmuv2", name="TF", access="atomic", identifier=1),
            "what: an SMMUv2 refused an atomic access by",
        ),
        (Fault(HERE, "", access="read", reason="\x1b[31mno"), "what: a unit refused a read: \\x1b[31mno [here]"),
        (Fault(HERE, ""), "what: a unit: no reason is told [here]"),
        (
            Fault(HERE, "smmuv2", code=0x80000002, name="TF", lost=True, domain=3),
            "what: an SMMUv2: no reason is told (TF",
        ),
    ],
)
def test_how_an_access_is_said(fault: Fault, start: str) -> None:
    """Segments, translation requests, atomics, control characters, and what is not known."""
    assert explain(fault)[0].startswith(start)


def test_more_devices_than_a_line_names() -> None:
    """Four are named and the others counted; a unit that the board has none of is said to be missing."""
    topology = board("q35-vtd")
    found = attribute(refused(0x30, 0x06), topology)
    many = replace(found, candidates=found.candidates * 2, more=10)
    assert "who: one of 16 that share this ID" in explain(refused(0x30, 0x06), many)[1]
    assert explain(refused(0x30, 0x06), many)[1].endswith("; and 12 more")
    nobody = explain(translation(0x77, 0x1000), attribute(translation(0x77, 0x1000), topology))
    assert nobody[2] == (
        "who: no device of the board sends stream 0x77 to any unit of this kind, as the board has none"
    )


def test_a_context_bank_and_lost_faults() -> None:
    """The bank is named as one, and MULTI as what it means."""
    fault = from_registers("fsr=0x80000002 iova=0x1000 cb=3").faults[0]
    assert explain(fault)[1] == "also: unprivileged, context bank 3, further faults were lost"


def test_a_hole_of_the_memory_map() -> None:
    """Where memory is known, so is where there is none."""
    fault = translation(0x10, 0x55550000)
    found = replace(attribute(fault, made()), tags=frozenset({"hole"}))
    assert "where: as a physical address, in a hole of the memory map" in explain(fault, found)
