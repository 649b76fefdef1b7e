"""Structures and records against words written by hand from the specification, and against two other codings."""

from __future__ import annotations

import pytest
from iommuman.iommu.bits import Bits, Field
from iommuman.iommu.smmuv3.layout import CD, L1CD, L1STD, STE, Stage1Leaf, Stage2Leaf, TableDescriptor, queues
from iommuman.iommu.smmuv3.layout import registers as regs
from iommuman.iommu.smmuv3.records import decode_event


def words(*values: int) -> bytes:
    """Return 64-bit words as they lie in memory."""
    return b"".join(value.to_bytes(8, "little") for value in values)


def test_l1std_by_hand() -> None:
    """A level 1 stream table descriptor has Span in bits 4:0 and L2Ptr in 55:6."""
    # Span 9 = 0b01001; bit 5 reserved; L2Ptr 0x0012_3456_7800_0040 & 55:6
    raw = bytes([0x49, 0x00, 0x00, 0x78, 0x56, 0x34, 0x12, 0x00])
    std = L1STD.from_bytes(raw)
    assert (std.Span, std.L2Ptr, std.reserved) == (9, 0x12345678000040, 0)
    assert L1STD(1 << 5 | 0xFF << 56).reserved == 1 << 5 | 0xFF << 56


def test_ste_words_0_and_1_by_hand() -> None:
    """The first two words of an STE: validity, stage 1 pointer, and what applies to all streams."""
    word0 = (
        1  # V, bit 0
        | 0b111 << 1  # Config, 3:1: both stages
        | 0b01 << 4  # S1Fmt, 5:4: two levels, 4 KiB leaves
        | 0x00AB_CDEF_0123_4540  # S1ContextPtr, 55:6
        | 10 << 59  # S1CDMax, 63:59
    )
    word1 = (
        0b10  # S1DSS, 65:64
        | 0b01 << 2  # S1CIR, 67:66
        | 0b10 << 4  # S1COR, 69:68
        | 0b11 << 6  # S1CSH, 71:70
        | 1 << 12  # DRE, 76
        | 5 << 13  # CONT, 80:77
        | 1 << 17  # DCP, 81
        | 1 << 18  # PPAR, 82
        | 1 << 19  # MEV, 83
        | 1 << 25  # S2FWB, 89
        | 1 << 27  # S1STALLD, 91
        | 0b10 << 28  # EATS, 93:92
        | 0b10 << 30  # STRW, 95:94
        | 0x7 << 32  # MemAttr, 99:96
        | 1 << 36  # MTCFG, 100
        | 0b1011 << 37  # ALLOCCFG, 104:101
        | 0b01 << 44  # SHCFG, 109:108
        | 0b11 << 46  # NSCFG, 111:110
        | 0b10 << 48  # PRIVCFG, 113:112
        | 0b11 << 50  # INSTCFG, 115:114
    )
    ste = STE.from_bytes(words(word0, word1, 0, 0, 0, 0, 0, 0))
    expected = {
        "V": 1, "Config": 7, "S1Fmt": 1, "S1ContextPtr": 0xABCDEF01234540, "S1CDMax": 10, "S1DSS": 2, "S1CIR": 1,
        "S1COR": 2, "S1CSH": 3, "DRE": 1, "CONT": 5, "DCP": 1, "PPAR": 1, "MEV": 1, "S2FWB": 1, "S1STALLD": 1,
        "EATS": 2, "STRW": 2, "MemAttr": 7, "MTCFG": 1, "ALLOCCFG": 11, "SHCFG": 1, "NSCFG": 3, "PRIVCFG": 2,
        "INSTCFG": 3,
    }  # fmt: skip
    assert {name: value for name, value in ste.items() if value} == expected
    assert ste.reserved == 0


def test_ste_words_2_to_7_by_hand() -> None:
    """The stage 2 words of an STE, and the pointer to the virtual machine structure."""
    word2 = (
        0xBEEF  # S2VMID, 143:128
        | 25 << 32  # S2T0SZ, 165:160
        | 0b01 << 38  # S2SL0, 167:166
        | 0b01 << 40  # S2IR0, 169:168
        | 0b10 << 42  # S2OR0, 171:170
        | 0b11 << 44  # S2SH0, 173:172
        | 0b10 << 46  # S2TG, 175:174
        | 0b101 << 48  # S2PS, 178:176
        | 1 << 51  # S2AA64, 179
        | 1 << 52  # S2ENDI, 180
        | 1 << 53  # S2AFFD, 181
        | 1 << 54  # S2PTW, 182
        | 1 << 55  # S2HD, 183
        | 1 << 56  # S2HA, 184
        | 1 << 57  # S2S, 185
        | 1 << 58  # S2R, 186
    )
    word3 = (
        1 << 2  # S2SL0_2, 194
        | 1 << 3  # S2DS, 195
        | 0x000F_EDCB_A987_6540  # S2TTB, 247:196, address bits 55:4
    )
    word5 = 0x0012_3456_789A_B000  # VMSPtr, 375:332, address bits 55:12
    ste = STE.from_bytes(words(0, 0, word2, word3, 0, word5, 0, 0))
    expected = {
        "S2VMID": 0xBEEF, "S2T0SZ": 25, "S2SL0": 1, "S2IR0": 1, "S2OR0": 2, "S2SH0": 3, "S2TG": 2, "S2PS": 5,
        "S2AA64": 1, "S2ENDI": 1, "S2AFFD": 1, "S2PTW": 1, "S2HD": 1, "S2HA": 1, "S2S": 1, "S2R": 1, "S2SL0_2": 1,
        "S2DS": 1, "S2TTB": 0xFEDCBA9876540, "VMSPtr": 0x123456789AB000,
    }  # fmt: skip
    assert {name: value for name, value in ste.items() if value} == expected
    assert (ste.reserved, bytes(ste)[20:24].hex()) == (0, (word2 >> 32).to_bytes(4, "little").hex())


def test_cd_by_hand() -> None:
    """A context descriptor, word by word."""
    word0 = (
        25  # T0SZ, 5:0
        | 0b01 << 6  # TG0, 7:6: 64 KiB
        | 0b01 << 8  # IR0, 9:8
        | 0b10 << 10  # OR0, 11:10
        | 0b11 << 12  # SH0, 13:12
        | 1 << 15  # ENDI
        | 16 << 16  # T1SZ, 21:16
        | 0b10 << 22  # TG1, 23:22: 4 KiB
        | 0b01 << 24  # IR1, 25:24
        | 0b01 << 26  # OR1, 27:26
        | 0b10 << 28  # SH1, 29:28
        | 1 << 30  # EPD1
        | 1 << 31  # V
        | 0b101 << 32  # IPS, 34:32
        | 1 << 35  # AFFD
        | 1 << 36  # WXN
        | 1 << 38  # TBI0
        | 1 << 40  # PAN
        | 1 << 41  # AA64
        | 1 << 42  # HD
        | 1 << 43  # HA
        | 1 << 45  # R
        | 1 << 46  # A
        | 1 << 47  # ASET
        | 0x1234 << 48  # ASID, 63:48
    )
    word1 = (
        1 << 1  # HAD0, 65
        | 1 << 2  # E0PD0, 66
        | 0x0007_8901_2345_6780  # TTB0, 119:68, address bits 55:4
        | 1 << 59  # EPAN, 123
    )
    word2 = 0x0004_4444_4444_4440 | 1 << 58  # TTB1, 183:132; DS, 186
    word3 = 0x4404_FF00_BBAA_9988  # MAIR0 low, MAIR1 high
    cd = CD.from_bytes(words(word0, word1, word2, word3, 0, 0, 0, 0))
    expected = {
        "T0SZ": 25, "TG0": 1, "IR0": 1, "OR0": 2, "SH0": 3, "ENDI": 1, "T1SZ": 16, "TG1": 2, "IR1": 1, "OR1": 1,
        "SH1": 2, "EPD1": 1, "V": 1, "IPS": 5, "AFFD": 1, "WXN": 1, "TBI0": 1, "PAN": 1, "AA64": 1, "HD": 1, "HA": 1,
        "R": 1, "A": 1, "ASET": 1, "ASID": 0x1234, "HAD0": 1, "E0PD0": 1, "TTB0": 0x7890123456780, "EPAN": 1,
        "TTB1": 0x4444444444440, "DS": 1, "MAIR0": 0xBBAA9988, "MAIR1": 0x4404FF00,
    }  # fmt: skip
    assert {name: value for name, value in cd.items() if value} == expected
    assert cd.reserved == 0


def test_l1cd_and_descriptors_by_hand() -> None:
    """Level 1 CD, table, stage 1 and stage 2 descriptors."""
    assert dict(L1CD(1 | 0x12_3456_7000).items()) == {"V": 1, "L2Ptr": 0x1234567000}  # V bit 0, L2Ptr 55:12
    table = TableDescriptor(
        3  # valid, table
        | 0x1234_5678_9000  # next table, 47:12
        | 1 << 59  # PXNTable
        | 2 << 61  # APTable
    )
    assert (table.Valid, table.Table, table.NextTable, table.PXNTable, table.APTable) == (1, 1, 0x123456789000, 1, 2)
    page = Stage1Leaf(
        3  # valid, page
        | 5 << 2  # AttrIndx, 4:2
        | 0b11 << 6  # AP[2:1], 7:6
        | 0b11 << 8  # SH, 9:8
        | 1 << 10  # AF
        | 1 << 11  # nG
        | 0x1234_5678_9000  # output address, 47:12
        | 1 << 51  # DBM
        | 1 << 52  # Contiguous
        | 1 << 53  # PXN
        | 1 << 54  # UXN
    )
    expected = {
        "Valid": 1, "Page": 1, "AttrIndx": 5, "AP": 3, "SH": 3, "AF": 1, "nG": 1, "OutputAddress": 0x123456789000,
        "DBM": 1, "Contiguous": 1, "PXN": 1, "UXN": 1,
    }  # fmt: skip
    assert {name: value for name, value in page.items() if value} == expected
    block = Stage2Leaf(
        1  # valid, block
        | 0xF << 2  # MemAttr, 5:2
        | 0b01 << 6  # S2AP, 7:6
        | 1 << 10  # AF
        | 0x4000_0000  # output address
        | 0b10 << 53  # XN, 54:53
    )
    expected = {"Valid": 1, "MemAttr": 15, "S2AP": 1, "AF": 1, "OutputAddress": 0x40000000, "XN": 2}
    assert {name: value for name, value in block.items() if value} == expected


EVENT_BYTES: dict[str, dict[str, object]] = {
    # F_UUT: number 0x01; SSV bit 11; SubstreamID 0x12345; StreamID 7; Reason 0xABCD; RnW 99; InputAddr 191:128
    "01583412 07000000 cdab0000 08000000 8877665544332211 0000000000000000": {
        "name": "F_UUT", "stream_id": 7, "substream_id": 0x12345, "write": False, "instruction": False,
        "privileged": False, "address": 0x1122334455667788,
    },
    # C_BAD_STREAMID: number, StreamID 0x10000
    "02000000 00000100 00000000 00000000 0000000000000000 0000000000000000": {
        "name": "C_BAD_STREAMID", "stream_id": 0x10000, "address": None, "write": None, "stage": None,
    },
    # F_STE_FETCH: FetchAddr 0x80000040 in word 3, bits 55:3
    "03000000 01000000 00000000 00000000 0000000000000000 4000008000000000": {
        "name": "F_STE_FETCH", "stream_id": 1, "fetch_address": 0x80000040,
    },
    # C_BAD_STE: the stream alone
    "04000000 02000000 00000000 00000000 0000000000000000 0000000000000000": {"name": "C_BAD_STE", "stream_id": 2},
    # F_BAD_ATS_TREQ has an InputAddr
    "05000000 02000000 00000000 00000000 0010000000000000 0000000000000000": {
        "name": "F_BAD_ATS_TREQ", "address": 0x1000,
    },
    # F_STREAM_DISABLED: the stream alone
    "06000000 02000000 00000000 00000000 0000000000000000 0000000000000000": {"name": "F_STREAM_DISABLED"},
    # F_TRANSL_FORBIDDEN: RnW 0, InputAddr
    "07000000 02000000 00000000 00000000 0020000000000000 0000000000000000": {
        "name": "F_TRANSL_FORBIDDEN", "address": 0x2000, "write": True,
    },
    # C_BAD_SUBSTREAMID: SubstreamID 0x00301 without SSV
    "08103000 02000000 00000000 00000000 0000000000000000 0000000000000000": {
        "name": "C_BAD_SUBSTREAMID", "substream_id": 0x301,
    },
    # F_CD_FETCH: GPCF bit 80, FetchAddr
    "09000000 02000000 00000100 00000000 0000000000000000 08efcdab89674500": {
        "name": "F_CD_FETCH", "fetch_address": 0x456789ABCDEF08,
    },
    # C_BAD_CD: the stream alone
    "0a000000 02000000 00000000 00000000 0000000000000000 0000000000000000": {"name": "C_BAD_CD"},
    # F_WALK_EABT: CLASS 105:104 = TT, S2 103 = 0, RnW 99, PnU 97; InputAddr; FetchAddr
    "0b000000 02000000 00000000 0a010000 0030000000000000 f80f000000000000": {
        "name": "F_WALK_EABT", "stage": 1, "during": "TT", "write": False, "privileged": True, "instruction": False,
        "address": 0x3000, "fetch_address": 0xFF8,
    },
    # F_TRANSLATION as seen on QEMU: words 0x1800000010, 0x28800000000 (RnW 99, S2 103, CLASS 105:104 = IN)
    "10000000 18000000 00000000 88020000 0090090000000000 0090090000000000": {
        "name": "F_TRANSLATION", "stream_id": 0x18, "stage": 2, "during": "IN", "write": False, "address": 0x99000,
        "ipa": 0x99000, "stag": None,
    },
    # F_ADDR_SIZE: Stall 95, STAG 0x0102 79:64, InD 98, RnW 99
    "11000000 02000000 02010080 0c020000 0100000000000000 0000000000000000": {
        "name": "F_ADDR_SIZE", "stag": 0x102, "instruction": True, "stage": 1, "address": 1, "ipa": None,
    },
    # F_ACCESS: S2, CLASS CD, IPA 0x77000
    "12000000 02000000 00000000 88000000 0000000000000000 0070070000000000": {
        "name": "F_ACCESS", "stage": 2, "during": "CD", "ipa": 0x77000,
    },
    # F_PERMISSION as seen on QEMU: words 0x1800000013, 0x28000000000: a write, S2, CLASS IN
    "13000000 18000000 00000000 80020000 0010010000000000 0010010000000000": {
        "name": "F_PERMISSION", "stream_id": 0x18, "stage": 2, "during": "IN", "write": True, "address": 0x11000,
        "ipa": 0x11000,
    },
    # F_TLB_CONFLICT: number 0x20; S2; Reason 5; IPA
    "20000000 02000000 05000000 80000000 0040000000000000 0050000000000000": {
        "name": "F_TLB_CONFLICT", "stage": 2, "address": 0x4000, "ipa": 0x5000,
    },
    # F_CFG_CONFLICT has a Reason
    "21000000 02000000 01000000 00000000 0000000000000000 0000000000000000": {"name": "F_CFG_CONFLICT"},
    # E_PAGE_REQUEST: Span 4 at 115:108, pR 103, uW 98; InputAddr 191:140
    "24000000 02000000 00000000 84400000 0060000000000000 0000000000000000": {
        "name": "E_PAGE_REQUEST", "address": 0x6000,
    },
    # F_VMS_FETCH has a FetchAddr
    "25000000 02000000 00000000 00000000 0000000000000000 0010000000000000": {
        "name": "F_VMS_FETCH", "fetch_address": 0x1000,
    },
    # implementation defined: only what all events have
    "e1000000 02000000 ffffffff 00000000 0000000000000000 0000000000000000": {
        "name": "0xe1", "stream_id": 2, "reserved": 0xFFFFFFFF << 64,
    },
}  # fmt: skip


@pytest.mark.parametrize("text", EVENT_BYTES)
def test_event_bytes_by_hand(text: str) -> None:
    """Each event decodes from 32 bytes written out by hand."""
    record = decode_event(bytes.fromhex(text))
    expected = {"reserved": 0} | EVENT_BYTES[text]
    assert {name: getattr(record, name) for name in expected} == expected
    assert record.raw == bytes.fromhex(text)
    assert record.meaning
    assert f"stream 0x{record.stream_id:x}" in str(record)


def test_page_hint_by_hand() -> None:
    """The permission bits of E_PAGE_REQUEST sit at 97-99 and 101-103, its span at 115:108."""
    text = next(text for text in EVENT_BYTES if text.startswith("24"))
    hint = queues.PageRequestEvent.from_bytes(bytes.fromhex(text))
    assert (hint.Span, hint.pR, hint.pW, hint.pX, hint.uR, hint.uW, hint.uX) == (4, 1, 0, 0, 0, 1, 0)


def test_queue_entries_by_hand() -> None:
    """Commands and a page request, from words written by hand."""
    cfgi = queues.CfgiCd(
        0x05  # opcode
        | 0x12345 << 12  # SubstreamID, 31:12
        | 0x1234 << 32  # StreamID, 63:32
        | 1 << 64  # Leaf
    )
    assert (cfgi.SubstreamID, cfgi.StreamID, cfgi.Leaf, cfgi.reserved) == (0x12345, 0x1234, 1, 0)
    tlbi = queues.TlbiAddress(
        0x12  # opcode TLBI_NH_VA
        | 7 << 12  # NUM, 16:12
        | 3 << 20  # SCALE, 25:20
        | 0x11 << 32  # VMID, 47:32
        | 0x22 << 48  # ASID, 63:48
        | 1 << 64  # Leaf
        | 2 << 72  # TTL, 73:72
        | 1 << 74  # TG, 75:74
        | 0xFFFF_F000 << 64  # address, 127:76
    )
    assert dict(tlbi.items()) == {
        "Opcode": 0x12, "NUM": 7, "SCALE": 3, "VMID": 0x11, "ASID": 0x22, "Leaf": 1, "TTL": 2, "TG": 1,
        "Addr": 0xFFFFF000,
    }  # fmt: skip
    sync = queues.Sync(
        0x46  # opcode
        | 1 << 12  # CS: interrupt
        | 3 << 22  # MSH
        | 0xF << 24  # MSIAttr
        | 0xCAFE << 32  # MSIData
        | 0x0800_0040 << 64  # MSIAddress, word 1 bits 55:2
    )
    assert (sync.CS, sync.MSH, sync.MSIAttr, sync.MSIData, sync.MSIAddress) == (1, 3, 15, 0xCAFE, 0x8000040)
    resume = queues.Resume(0x44 | 1 << 12 | 5 << 32 | 0x33 << 64)  # Ac bit 12, StreamID, STAG 79:64
    assert (resume.Ac, resume.Ab, resume.StreamID, resume.STAG) == (1, 0, 5, 0x33)
    respond = queues.PriResp(0x41 | 9 << 32 | 0x1AB << 64 | 2 << 76)  # PRGIndex 72:64, Resp 77:76
    assert (respond.StreamID, respond.PRGIndex, respond.Resp) == (9, 0x1AB, 2)
    invalidate = queues.AtcInv(0x40 | 1 << 9 | 9 << 32 | 52 << 64)  # G bit 9, Size 69:64
    assert (invalidate.G, invalidate.StreamID, invalidate.Size) == (1, 9, 52)
    request = queues.PageRequest(
        0x18  # StreamID, 31:0
        | 0x345 << 32  # SubstreamID, 51:32
        | 1 << 60  # R
        | 1 << 62  # Last
        | 1 << 63  # SSV
        | 0x1F0 << 64  # PRG index, 72:64
        | 0x7000 << 64  # address, 127:76
    )
    assert dict(request.items()) == {
        "StreamID": 0x18, "SubstreamID": 0x345, "Priv": 0, "X": 0, "R": 1, "W": 0, "Last": 1, "SSV": 1,
        "PRGIndex": 0x1F0, "Addr": 0x7000,
    }  # fmt: skip


def test_registers_seen_on_qemu() -> None:
    """QEMU 10.0's SMMUv3 with stage 2 reads as what its documentation says it is."""
    idr0 = regs.IDR0(0xD44101B)
    shown = {name: value for name, value in idr0.items() if value}
    assert shown == {
        "ST_LEVEL": 1, "TERM_MODEL": 1, "STALL_MODEL": 1, "TTENDIAN": 2, "VMID16": 1, "ASID16": 1, "COHACC": 1,
        "TTF": 2, "S1P": 1, "S2P": 1,
    }  # fmt: skip
    assert dict(regs.IDR1(0x2730010).items())["SIDSIZE"] == 16
    assert (regs.IDR1(0x2730010).CMDQS, regs.IDR1(0x2730010).EVENTQS) == (19, 19)
    idr5 = regs.IDR5(0x74)
    assert (idr5.GRAN4K, idr5.GRAN16K, idr5.GRAN64K, idr5.OAS) == (1, 1, 1, 4)


# Linux, drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3.h, torvalds/linux at 0401bbf56da5f15a6fdb1adaad6dc4ec624ce5f2:
# (field, 64-bit word, msb, lsb) of each constant. Linux ends addresses at bit 51.
LINUX = [
    (STE.V, 0, 0, 0), (STE.Config, 0, 3, 1), (STE.S1Fmt, 0, 5, 4), (STE.S1ContextPtr, 0, 51, 6),
    (STE.S1CDMax, 0, 63, 59), (STE.S1DSS, 1, 1, 0), (STE.S1CIR, 1, 3, 2), (STE.S1COR, 1, 5, 4), (STE.S1CSH, 1, 7, 6),
    (STE.S1STALLD, 1, 27, 27), (STE.EATS, 1, 29, 28), (STE.STRW, 1, 31, 30), (STE.SHCFG, 1, 45, 44),
    (STE.S2VMID, 2, 15, 0), (STE.S2T0SZ, 2, 37, 32), (STE.S2SL0, 2, 39, 38), (STE.S2IR0, 2, 41, 40),
    (STE.S2OR0, 2, 43, 42), (STE.S2SH0, 2, 45, 44), (STE.S2TG, 2, 47, 46), (STE.S2PS, 2, 50, 48),
    (STE.S2AA64, 2, 51, 51), (STE.S2ENDI, 2, 52, 52), (STE.S2PTW, 2, 54, 54), (STE.S2S, 2, 57, 57),
    (STE.S2R, 2, 58, 58), (STE.S2TTB, 3, 51, 4), (L1STD.Span, 0, 4, 0), (L1STD.L2Ptr, 0, 51, 6), (L1CD.V, 0, 0, 0),
    (L1CD.L2Ptr, 0, 51, 12), (CD.T0SZ, 0, 5, 0), (CD.TG0, 0, 7, 6), (CD.IR0, 0, 9, 8), (CD.OR0, 0, 11, 10),
    (CD.SH0, 0, 13, 12), (CD.EPD0, 0, 14, 14), (CD.ENDI, 0, 15, 15), (CD.EPD1, 0, 30, 30), (CD.V, 0, 31, 31),
    (CD.IPS, 0, 34, 32), (CD.TBI0, 0, 38, 38), (CD.AA64, 0, 41, 41), (CD.HD, 0, 42, 42), (CD.HA, 0, 43, 43),
    (CD.S, 0, 44, 44), (CD.R, 0, 45, 45), (CD.A, 0, 46, 46), (CD.ASET, 0, 47, 47), (CD.ASID, 0, 63, 48),
    (CD.TTB0, 1, 51, 4), (queues.PrefetchConfig.StreamID, 0, 63, 32), (queues.CfgiSte.Leaf, 1, 0, 0),
    (queues.CfgiSteRange.Range, 1, 4, 0), (queues.CfgiCd.SubstreamID, 0, 31, 12), (queues.TlbiAddress.NUM, 0, 16, 12),
    (queues.TlbiAsid.ASID, 0, 63, 48), (queues.TlbiVmid.VMID, 0, 47, 32), (queues.TlbiAddress.Leaf, 1, 0, 0),
    (queues.TlbiAddress.TTL, 1, 9, 8), (queues.TlbiAddress.TG, 1, 11, 10), (queues.TlbiAddress.Addr, 1, 63, 12),
    (queues.AtcInv.G, 0, 9, 9), (queues.AtcInv.Size, 1, 5, 0), (queues.PriResp.PRGIndex, 1, 8, 0),
    (queues.PriResp.Resp, 1, 13, 12), (queues.Resume.StreamID, 0, 63, 32), (queues.Resume.STAG, 1, 15, 0),
    (queues.Sync.CS, 0, 13, 12), (queues.Sync.MSH, 0, 23, 22), (queues.Sync.MSIAttr, 0, 27, 24),
    (queues.Sync.MSIData, 0, 63, 32), (queues.Sync.MSIAddress, 1, 51, 2), (queues.Event.Number, 0, 7, 0),
    (queues.Event.SSV, 0, 11, 11), (queues.Event.SubstreamID, 0, 31, 12), (queues.Event.StreamID, 0, 63, 32),
    (queues.TranslationEvent.STAG, 1, 15, 0), (queues.TranslationEvent.Stall, 1, 31, 31),
    (queues.TranslationEvent.PnU, 1, 33, 33), (queues.TranslationEvent.InD, 1, 34, 34),
    (queues.TranslationEvent.RnW, 1, 35, 35), (queues.TranslationEvent.S2, 1, 39, 39),
    (queues.TranslationEvent.CLASS, 1, 41, 40), (queues.TranslationEvent.TTRnW, 1, 44, 44),
    (queues.TranslationEvent.InputAddr, 2, 63, 0), (queues.TranslationEvent.IPA, 3, 51, 12),
    (queues.PageRequest.StreamID, 0, 31, 0), (queues.PageRequest.SubstreamID, 0, 51, 32),
    (queues.PageRequest.Priv, 0, 58, 58), (queues.PageRequest.X, 0, 59, 59), (queues.PageRequest.R, 0, 60, 60),
    (queues.PageRequest.W, 0, 61, 61), (queues.PageRequest.Last, 0, 62, 62), (queues.PageRequest.SSV, 0, 63, 63),
    (queues.PageRequest.PRGIndex, 1, 8, 0), (queues.PageRequest.Addr, 1, 63, 12), (regs.IDR0.ST_LEVEL, 0, 28, 27),
    (regs.IDR0.STALL_MODEL, 0, 25, 24), (regs.IDR0.TTENDIAN, 0, 22, 21), (regs.IDR0.CD2L, 0, 19, 19),
    (regs.IDR0.VMID16, 0, 18, 18), (regs.IDR0.PRI, 0, 16, 16), (regs.IDR0.MSI, 0, 13, 13),
    (regs.IDR0.ASID16, 0, 12, 12), (regs.IDR0.ATS, 0, 10, 10), (regs.IDR0.Hyp, 0, 9, 9), (regs.IDR0.HTTU, 0, 7, 6),
    (regs.IDR0.COHACC, 0, 4, 4), (regs.IDR1.CMDQS, 0, 25, 21), (regs.IDR1.EVENTQS, 0, 20, 16),
    (regs.IDR1.PRIQS, 0, 15, 11), (regs.IDR1.SSIDSIZE, 0, 10, 6), (regs.IDR1.SIDSIZE, 0, 5, 0),
    (regs.IDR3.RIL, 0, 10, 10), (regs.IDR5.STALL_MAX, 0, 31, 16), (regs.IDR5.OAS, 0, 2, 0), (regs.IDR5.VAX, 0, 11, 10),
    (regs.CR0.ATSCHK, 0, 4, 4), (regs.CR0.CMDQEN, 0, 3, 3), (regs.CR0.EVENTQEN, 0, 2, 2), (regs.CR0.PRIQEN, 0, 1, 1),
    (regs.CR0.SMMUEN, 0, 0, 0), (regs.CR2.PTM, 0, 2, 2), (regs.CR2.RECINVSID, 0, 1, 1), (regs.GBPA.Update, 0, 31, 31),
    (regs.GBPA.ABORT, 0, 20, 20), (regs.STRTAB_BASE_CFG.FMT, 0, 17, 16), (regs.STRTAB_BASE_CFG.SPLIT, 0, 10, 6),
    (regs.STRTAB_BASE_CFG.LOG2SIZE, 0, 5, 0), (regs.CMDQ_CONS.ERR, 0, 30, 24), (regs.GERROR.CMDQ_ERR, 0, 0, 0),
    (regs.GERROR.EVENTQ_ABT_ERR, 0, 2, 2), (regs.GERROR.SFM_ERR, 0, 8, 8),
]  # fmt: skip

# QEMU, hw/arm/smmuv3-internal.h, qemu/qemu at f22833602095b05733bceaddeb20f3edfced3c07:
# (field, 32-bit word, first bit, number of bits) of each extract32 or deposit32.
QEMU = [
    (STE.V, 0, 0, 1), (STE.Config, 0, 1, 3), (STE.S1Fmt, 0, 4, 2), (STE.S1CDMax, 1, 27, 5), (STE.S1STALLD, 2, 27, 1),
    (STE.EATS, 2, 28, 2), (STE.STRW, 2, 30, 2), (STE.S2VMID, 4, 0, 16), (STE.S2T0SZ, 5, 0, 6), (STE.S2SL0, 5, 6, 2),
    (STE.S2TG, 5, 14, 2), (STE.S2PS, 5, 16, 3), (STE.S2AA64, 5, 19, 1), (CD.V, 0, 31, 1), (CD.ASID, 1, 16, 16),
    (CD.HAD0, 2, 1, 1), (CD.HAD1, 4, 1, 1), (CD.T0SZ, 0, 0, 6), (CD.T1SZ, 0, 16, 6), (CD.TG0, 0, 6, 2),
    (CD.TG1, 0, 22, 2), (CD.EPD0, 0, 14, 1), (CD.EPD1, 0, 30, 1), (CD.ENDI, 0, 15, 1), (CD.IPS, 1, 0, 3),
    (CD.HD, 1, 10, 1), (CD.HA, 1, 11, 1), (CD.S, 1, 12, 1), (CD.R, 1, 13, 1), (CD.A, 1, 14, 1), (CD.AA64, 1, 9, 1),
    (queues.Command.Opcode, 0, 0, 8), (queues.TlbiAddress.NUM, 0, 12, 5), (queues.CfgiSte.SSec, 0, 10, 1),
    (queues.PrefetchConfig.SSV, 0, 11, 1), (queues.Resume.Ac, 0, 12, 1), (queues.Resume.Ab, 0, 13, 1),
    (queues.Sync.CS, 0, 12, 2), (queues.TlbiVmid.VMID, 1, 0, 16), (queues.TlbiAsid.ASID, 1, 16, 16),
    (queues.Resume.STAG, 2, 0, 16), (queues.TlbiAddress.Leaf, 2, 0, 1), (queues.TlbiAddress.TTL, 2, 8, 2),
    (queues.TlbiAddress.TG, 2, 10, 2), (queues.CfgiSteRange.Range, 2, 0, 5), (queues.Event.Number, 0, 0, 8),
    (queues.Event.SSV, 0, 11, 1), (queues.Event.SubstreamID, 0, 12, 20), (queues.Event.StreamID, 1, 0, 32),
    (queues.TranslationEvent.STAG, 2, 0, 16), (queues.TranslationEvent.Stall, 2, 31, 1),
    (queues.TranslationEvent.PnU, 3, 1, 1), (queues.TranslationEvent.InD, 3, 2, 1),
    (queues.TranslationEvent.RnW, 3, 3, 1), (queues.TranslationEvent.S2, 3, 7, 1),
    (queues.TranslationEvent.CLASS, 3, 8, 2), (queues.TranslationEvent.InputAddr, 4, 0, 64), (L1STD.Span, 0, 0, 5),
    (regs.IDR0.TERM_MODEL, 0, 26, 1), (regs.IDR3.HAD, 0, 2, 1), (regs.IDR3.BBML, 0, 11, 2),
]  # fmt: skip


@pytest.mark.parametrize(("field", "word", "msb", "lsb"), LINUX)
def test_fields_lie_where_linux_has_them(field: Field, word: int, msb: int, lsb: int) -> None:
    """Position and width of each field agree with the constant of Linux."""
    theirs = ((1 << msb + 1) - (1 << lsb)) << 64 * word
    top = 64 * word + 55 if msb == 51 else 64 * word + msb  # addresses have grown to 56 bits since
    assert field.mask & theirs == theirs
    assert field.mask >> top + 1 == 0
    assert field.shift == 64 * word + lsb


@pytest.mark.parametrize(("field", "word", "first", "count"), QEMU)
def test_fields_lie_where_qemu_has_them(field: Field, word: int, first: int, count: int) -> None:
    """Position and width of each field agree with the macro of QEMU."""
    assert field.mask == (1 << count) - 1 << 32 * word + first


OFFSETS = {
    "IDR0": 0x0, "IDR1": 0x4, "IDR3": 0xC, "IDR5": 0x14, "IIDR": 0x18, "AIDR": 0x1C, "CR0": 0x20, "CR0ACK": 0x24,
    "CR1": 0x28, "CR2": 0x2C, "STATUSR": 0x40, "GBPA": 0x44, "IRQ_CTRL": 0x50, "IRQ_CTRLACK": 0x54, "GERROR": 0x60,
    "GERRORN": 0x64, "GERROR_IRQ_CFG0": 0x68, "GERROR_IRQ_CFG1": 0x70, "GERROR_IRQ_CFG2": 0x74, "STRTAB_BASE": 0x80,
    "STRTAB_BASE_CFG": 0x88, "CMDQ_BASE": 0x90, "CMDQ_PROD": 0x98, "CMDQ_CONS": 0x9C, "EVENTQ_BASE": 0xA0,
    "EVENTQ_PROD": 0x100A8, "EVENTQ_CONS": 0x100AC, "EVENTQ_IRQ_CFG0": 0xB0, "EVENTQ_IRQ_CFG1": 0xB8,
    "EVENTQ_IRQ_CFG2": 0xBC, "PRIQ_BASE": 0xC0, "PRIQ_PROD": 0x100C8, "PRIQ_CONS": 0x100CC, "PRIQ_IRQ_CFG0": 0xD0,
    "PRIQ_IRQ_CFG1": 0xD8, "PRIQ_IRQ_CFG2": 0xDC,
}  # fmt: skip


@pytest.mark.parametrize("name", OFFSETS)
def test_register_offsets(name: str) -> None:
    """Registers lie where the manual, Linux and QEMU have them; the indexes of output queues on page 1."""
    layout: type[Bits] = getattr(regs, name)
    assert layout.offset == OFFSETS[name]


def test_records_of_any_bytes() -> None:
    """An event with a reserved CLASS or of another length is no surprise."""
    odd = bytes.fromhex("10000000 02000000 00000000 00030000".replace(" ", "")) + bytes(16)
    assert decode_event(odd).during is None
    with pytest.raises(ValueError, match="32 bytes"):
        decode_event(b"")
    assert decode_event(bytes(32)).name == "0x00"
    assert "not defined" in decode_event(bytes(32)).meaning
    fetching = decode_event(bytes.fromhex("1200000002000000000000008800000000000000000000000070070000000000"))
    assert str(fetching) == ("stream 0x2 read of 0x0: the access flag is clear while fetching a CD (F_ACCESS, stage 2)")
