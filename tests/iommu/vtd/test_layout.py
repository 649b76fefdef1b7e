"""Bytes written by hand from the specification, field by field, and constants of a second public source."""

from __future__ import annotations

import struct

import pytest
from iommuman.iommu.bits import Bits, Field
from iommuman.iommu.vtd import layout, names
from iommuman.iommu.vtd.model import Hardware
from iommuman.iommu.vtd.records import decode_fault

# Each vector: class, doublewords lowest first with a comment a field, and what the fields must read as.
GOLDEN: list[tuple[type[Bits], tuple[int, ...], dict[str, int]]] = [
    (layout.VER, (0x60,), {"MAJ": 6, "MIN": 0}),
    (
        layout.CAP,
        (
            6  # ND 2:0
            | 1 << 4  # RWBF
            | 1 << 5  # PLMR
            | 1 << 6  # PHMR
            | 1 << 7  # CM
            | 0b01110 << 8  # SAGAW 12:8
            | 47 << 16  # MGAW 21:16
            | 1 << 22  # ZLR
            | 0x22 << 24  # FRO 33:24
            | 0b0011 << 34  # SSLPS 37:34
            | 1 << 39  # PSI
            | 7 << 40  # NFR 47:40
            | 18 << 48  # MAMV 53:48
            | 1 << 54  # DWD
            | 1 << 55  # DRD
            | 1 << 56  # FS1GP
            | 1 << 59  # PI
            | 1 << 60  # FS5LP
            | 1 << 61  # ECMDS
            | 1 << 62  # ESIRTPS
            | 1 << 63,  # ESRTPS
        ),
        {
            "ND": 6, "AFL": 0, "RWBF": 1, "PLMR": 1, "PHMR": 1, "CM": 1, "SAGAW": 14, "MGAW": 47, "ZLR": 1, "FRO": 0x22,
            "SSLPS": 3, "PSI": 1, "NFR": 7, "MAMV": 18, "DWD": 1, "DRD": 1, "FS1GP": 1, "PI": 1, "FS5LP": 1, "ECMDS": 1,
            "ESIRTPS": 1, "ESRTPS": 1,
        },
    ),
    (
        layout.ECAP,
        (
            1  # C 0
            | 1 << 1  # QI
            | 1 << 3  # IR
            | 1 << 4  # EIM
            | 1 << 6  # PT
            | 1 << 7  # SC
            | 0xF0 << 8  # IRO 17:8
            | 15 << 20  # MHMV 23:20
            | 1 << 26  # NEST
            | 1 << 29  # PRS
            | 1 << 30  # ERS
            | 1 << 31  # SRS
            | 1 << 34  # EAFS
            | 19 << 35  # PSS 39:35
            | 1 << 40  # PASID
            | 1 << 43  # SMTS
            | 1 << 45  # SSADS
            | 1 << 46  # SSTS
            | 1 << 47  # FSTS
            | 1 << 48  # SMPWCS
            | 1 << 49  # RPS
            | 1 << 52  # ADMS
            | 1 << 53,  # RPRIVS
        ),
        {
            "C": 1, "QI": 1, "DT": 0, "IR": 1, "EIM": 1, "PT": 1, "SC": 1, "IRO": 0xF0, "MHMV": 15, "MTS": 0, "NEST": 1,
            "PRS": 1, "ERS": 1, "SRS": 1, "NWFS": 0, "EAFS": 1, "PSS": 19, "PASID": 1, "DIT": 0, "PDS": 0, "SMTS": 1,
            "VCS": 0, "SSADS": 1, "SSTS": 1, "FSTS": 1, "SMPWCS": 1, "RPS": 1, "PMS": 0, "ADMS": 1, "RPRIVS": 1,
        },
    ),
    (
        layout.GCMD,
        (0xC6800000,),  # TE 31, SRTP 30, QIE 26, IRE 25, CFI 23
        {"TE": 1, "SRTP": 1, "SFL": 0, "EAFL": 0, "WBF": 0, "QIE": 1, "IRE": 1, "SIRTP": 0, "CFI": 1},
    ),
    (
        layout.GSTS,
        (0x7B000000,),  # RTPS 30, FLS 29, AFLS 28, WBFS 27, IRES 25, IRTPS 24
        {"TES": 0, "RTPS": 1, "FLS": 1, "AFLS": 1, "WBFS": 1, "QIES": 0, "IRES": 1, "IRTPS": 1, "CFIS": 0},
    ),
    (layout.RTADDR, (0x12345000 | 1 << 10,), {"RTA": 0x12345000, "TTM": 1}),
    (
        layout.CCMD,
        (
            1 << 63  # ICC
            | 3 << 61  # CIRG 62:61, device
            | 2 << 59  # CAIG 60:59
            | 1 << 32  # FM 33:32
            | 0x0018 << 16  # SID 31:16
            | 0x77,  # DID 15:0
        ),
        {"ICC": 1, "CIRG": 3, "CAIG": 2, "FM": 1, "SID": 0x18, "DID": 0x77},
    ),
    # FRI 15:8, ITE 6, IQE 4, PPF 1, PFO 0.
    (layout.FSTS, (0x0353,), {"PFO": 1, "PPF": 1, "AFO": 0, "APF": 0, "IQE": 1, "ICE": 0, "ITE": 1, "FRI": 3}),
    (layout.FECTL, (0xC0000000,), {"IM": 1, "IP": 1}),
    (layout.FEDATA, (0x4021,), {"IMD": 0x4021}),
    (layout.FEADDR, (0xFEE01004,), {"MA": 0xFEE01004}),
    (layout.FEUADDR, (0x7,), {"MUA": 7}),
    (layout.PMEN, (0x80000001,), {"EPM": 1, "PRS": 1}),
    (layout.PLMBASE, (0x00100000,), {"PLMB": 0x100000}),
    (layout.PLMLIMIT, (0x00200000,), {"PLML": 0x200000}),
    (layout.PHMBASE, (0x100000000,), {"PHMB": 0x100000000}),
    (layout.PHMLIMIT, (0x180000000,), {"PHML": 0x180000000}),
    (layout.IQH, (0x7FFF0,), {"QH": 0x7FFF0}),
    (layout.IQT, (0x10,), {"QT": 0x10}),
    (layout.IQA, (0xABCD000 | 1 << 11 | 7,), {"IQA": 0xABCD000, "DW": 1, "QS": 7}),
    (layout.ICS, (1,), {"IWC": 1}),
    (layout.IECTL, (0x40000000,), {"IM": 0, "IP": 1}),
    (layout.IQERCD, (0x0018 << 48 | 0x0020 << 32 | 4,), {"ICESID": 0x18, "ITESID": 0x20, "IQEI": 4}),
    (layout.IRTA, (0x7000 | 1 << 11 | 0xF,), {"IRTA": 0x7000, "EIME": 1, "S": 15}),
    (layout.PQH, (0x20,), {"PQH": 0x20}),
    (layout.PQT, (0x40,), {"PQT": 0x40}),
    (layout.PQA, (0x5000 | 2,), {"PQA": 0x5000, "PQS": 2}),
    (layout.PRS, (3,), {"PPR": 1, "PRO": 1}),
    (layout.PECTL, (0x80000000,), {"IM": 1, "IP": 0}),
    (layout.IVA, (0x7F000 | 1 << 6 | 9,), {"ADDR": 0x7F000, "IH": 1, "AM": 9}),
    (
        layout.IOTLB,
        (
            1 << 63  # IVT
            | 3 << 60  # IIRG 61:60, page
            | 1 << 57  # IAIG 58:57
            | 1 << 49  # DR
            | 1 << 48  # DW
            | 0x77 << 32,  # DID 47:32
        ),
        {"IVT": 1, "IIRG": 3, "IAIG": 1, "DR": 1, "DW": 1, "DID": 0x77},
    ),
    (
        layout.FRCD,
        (
            0xFFFF8000_12345000,  # FI 63:12
            0x18  # SID 79:64
            | 1 << 28  # T2 92
            | 1 << 29  # PRIV 93
            | 1 << 30  # EXE 94
            | 1 << 31  # PP 95
            | 0x71 << 32  # FR 103:96
            | 0xABCDE << 40  # PV 123:104
            | 2 << 60  # AT 125:124
            | 1 << 62  # T1 126
            | 1 << 63,  # F 127
        ),
        {
            "FI": 0xFFFF8000_12345000, "SID": 0x18, "T2": 1, "PRIV": 1, "EXE": 1, "PP": 1, "FR": 0x71, "PV": 0xABCDE,
            "AT": 2, "T1": 1, "F": 1,
        },
    ),
    (layout.RootEntry, (0x1234_5000 | 1, 0), {"P": 1, "CTP": 0x12345000}),
    (
        layout.ScalableRootEntry,
        (0x1000 | 1, 0x2000 | 1),  # LP, lower table; UP, upper table
        {"LP": 1, "LCTP": 0x1000, "UP": 1, "UCTP": 0x2000},
    ),
    (
        layout.ContextEntry,
        (
            0x9000  # SSPTPTR 63:12
            | 2 << 2  # TT 3:2, pass-through
            | 1 << 1  # FPD
            | 1,  # P
            0x1234 << 8  # DID 87:72
            | 5 << 3  # software's 70:67
            | 2,  # AW 66:64, 4 levels
        ),
        {"P": 1, "FPD": 1, "TT": 2, "SSPTPTR": 0x9000, "AW": 2, "AVAIL": 5, "DID": 0x1234},
    ),
    (
        layout.ScalableContextEntry,
        (
            0x8000  # PASIDDIRPTR 63:12
            | 7 << 9  # PDTS 11:9
            | 1 << 4  # PRE
            | 1 << 3  # PASIDE
            | 1 << 2  # DTE
            | 1 << 1  # FPD
            | 1,  # P
            1 << 20  # RID_PRIV 84
            | 0xFEDCB,  # RID_PASID 83:64
            0,
            0,
        ),
        {
            "P": 1, "FPD": 1, "DTE": 1, "PASIDE": 1, "PRE": 1, "PDTS": 7, "PASIDDIRPTR": 0x8000, "RID_PASID": 0xFEDCB,
            "RID_PRIV": 1,
        },
    ),
    (layout.PasidDirectoryEntry, (0x7000 | 3,), {"P": 1, "FPD": 1, "SMPTBLPTR": 0x7000}),
    (
        layout.PasidEntry,
        (
            0x6000  # SSPTPTR
            | 1 << 9  # SSADE
            | 3 << 6  # PGTT 8:6, nested
            | 1 << 5  # SSEE
            | 2 << 2  # AW 4:2
            | 3,  # FPD, P
            0x0123_4567 << 32  # PAT 127:96
            | 1 << 31  # PCD
            | 1 << 30  # PWT
            | 6 << 27  # EMT 93:91
            | 1 << 26  # EMTE
            | 1 << 25  # CD
            | 1 << 24  # PGSNP
            | 1 << 23  # PWSNP
            | 0x55,  # DID 79:64
            0x5000  # FSPTPTR 191:140
            | 1 << 7  # EAFE
            | 1 << 6  # SMEP
            | 1 << 5  # NXE
            | 1 << 4  # WPE
            | 1 << 2  # FSPM 131:130, 5 levels
            | 1 << 1  # ERE
            | 1,  # SRE
            0, 0, 0, 0, 0,
        ),
        {
            "P": 1, "FPD": 1, "AW": 2, "SSEE": 1, "PGTT": 3, "SSADE": 1, "SSPTPTR": 0x6000, "DID": 0x55, "PWSNP": 1,
            "PGSNP": 1, "CD": 1, "EMTE": 1, "EMT": 6, "PWT": 1, "PCD": 1, "PAT": 0x01234567, "SRE": 1, "ERE": 1,
            "FSPM": 1, "WPE": 1, "NXE": 1, "SMEP": 1, "EAFE": 1, "FSPTPTR": 0x5000,
        },
    ),
    (
        layout.FirstStageTable,
        (1 << 63 | 0x4000 | 1 << 10 | 1 << 5 | 0x7,),  # XD, address, EA, A, U/S, R/W, P
        {"P": 1, "RW": 1, "US": 1, "PWT": 0, "PCD": 0, "A": 1, "PS": 0, "EA": 1, "ADDR": 0x4000, "XD": 1},
    ),
    (
        layout.FirstStagePage,
        (0x200000 | 1 << 8 | 1 << 7 | 1 << 6 | 1 << 5 | 1 << 4 | 1 << 3 | 1,),  # G, PS, D, A, PCD, PWT, P
        {
            "P": 1, "RW": 0, "US": 0, "PWT": 1, "PCD": 1, "A": 1, "D": 1, "PS": 1, "G": 1, "EA": 0,
            "ADDR": 0x200000, "XD": 0,
        },
    ),
    (
        layout.SecondStageTable,
        (0x3000 | 1 << 8 | 7,),  # A, X, W, R
        {"R": 1, "W": 1, "X": 1, "PS": 0, "A": 1, "ADDR": 0x3000},
    ),
    (
        layout.SecondStagePage,
        (1 << 62 | 0x40000000 | 1 << 11 | 1 << 9 | 1 << 8 | 1 << 7 | 1 << 6 | 6 << 3 | 2,),
        # TM, address, SNP, D, A, PS, IPAT, EMT, W
        {"R": 0, "W": 1, "X": 0, "EMT": 6, "IPAT": 1, "PS": 1, "A": 1, "D": 1, "SNP": 1, "ADDR": 0x40000000, "TM": 1},
    ),
    (
        layout.Irte,
        (
            0x0000_0300 << 32  # DST 63:32
            | 0x31 << 16  # V 23:16
            | 1 << 5  # DLM 7:5
            | 1 << 4  # TM
            | 1 << 3  # RH
            | 1 << 2  # DM
            | 3,  # FPD, P
            1 << 18  # SVT 83:82
            | 2 << 16  # SQ 81:80
            | 0x18,  # SID 79:64
        ),
        {
            "P": 1, "FPD": 1, "DM": 1, "RH": 1, "TM": 1, "DLM": 1, "IM": 0, "V": 0x31, "DST": 0x300,
            "SID": 0x18, "SQ": 2, "SVT": 1,
        },
    ),
    (
        layout.PostedIrte,
        (
            (0x12345678_9C0 >> 6 & 0x3FFFFFF) << 38  # PDA 31:6 in 63:38
            | 0x41 << 16  # V
            | 1 << 15  # IM
            | 1 << 14  # URG
            | 1,  # P
            0x123 << 32  # PDA 63:32 in 127:96
            | 2 << 18  # SVT, by bus
            | 0x0105,  # SID: buses 1 to 5
        ),
        {"P": 1, "FPD": 0, "URG": 1, "IM": 1, "V": 0x41, "PDA": 0x123_45678_9C0, "SID": 0x105, "SQ": 0, "SVT": 2},
    ),
    (
        layout.PostedDescriptor,
        (1 << 5, 0, 0, 1 << 63, 0x300 << 32 | 0xF2 << 16 | 3, 0, 0, 0),  # PIR 5 and 255; NDST, NV, SN, ON
        {"PIR": 1 << 255 | 1 << 5, "ON": 1, "SN": 1, "NV": 0xF2, "NDST": 0x300},
    ),
    (
        layout.ContextInvalidate,
        (1 << 48 | 0x18 << 32 | 0x77 << 16 | 3 << 4 | 1, 0),  # FM 49:48, SID 47:32, DID 31:16, G 5:4, type
        {"TYPE": 1, "G": 3, "DID": 0x77, "SID": 0x18, "FM": 1},
    ),
    (
        layout.IotlbInvalidate,
        # DID 31:16, DR 7, DW 6, G 5:4, type; address, IH 6, AM 5:0
        (0x77 << 16 | 1 << 7 | 1 << 6 | 3 << 4 | 2, 0x7F000 | 1 << 6 | 9),
        {"TYPE": 2, "G": 3, "DW": 1, "DR": 1, "DID": 0x77, "AM": 9, "IH": 1, "ADDR": 0x7F000},
    ),
    (
        layout.DeviceTlbInvalidate,
        # PFSID 15:4 in 63:52, SID 47:32, MIP 20:16, PFSID 3:0 in 15:12, type; address, S 0
        (0xABC << 52 | 0x18 << 32 | 5 << 16 | 0xD << 12 | 3, 0x7F000 | 1),
        {"TYPE": 3, "PFSID": 0xABCD, "SID": 0x18, "MIP": 5, "S": 1, "ADDR": 0x7F000},
    ),
    (
        layout.InterruptEntryInvalidate,
        (0x1234 << 32 | 4 << 27 | 1 << 4 | 4, 0),  # IIDX 47:32, IM 31:27, G 4, type
        {"TYPE": 4, "G": 1, "IM": 4, "IIDX": 0x1234},
    ),
    (
        layout.Wait,
        # data 63:32, PD 7, FN 6, SW 5, IF 4, type; address 63:2
        (0xCAFE << 32 | 1 << 7 | 1 << 6 | 1 << 5 | 1 << 4 | 5, 0x1004),
        {"TYPE": 5, "IF": 1, "SW": 1, "FN": 1, "PD": 1, "DATA": 0xCAFE, "ADDR": 0x1004},
    ),
    (
        layout.PasidIotlbInvalidate,
        # PASID 51:32, DID 31:16, G 5:4, type; address, IH 6, AM 5:0
        (0xABCDE << 32 | 0x55 << 16 | 3 << 4 | 6, 0x7F000 | 1 << 6 | 2),
        {"TYPE": 6, "G": 3, "DID": 0x55, "PASID": 0xABCDE, "AM": 2, "IH": 1, "ADDR": 0x7F000},
    ),
    (
        layout.PasidCacheInvalidate,
        (0xABCDE << 32 | 0x55 << 16 | 1 << 4 | 7, 0),  # PASID 51:32, DID 31:16, G 5:4, type
        {"TYPE": 7, "G": 1, "DID": 0x55, "PASID": 0xABCDE},
    ),
    (
        layout.PasidDeviceTlbInvalidate,
        # PFSID 15:4, PASID 51:32, SID 31:16, PFSID 3:0, MIP 8:4, type; address, S 11, G 0
        (0xABC << 52 | 0xABCDE << 32 | 0x18 << 16 | 0xD << 12 | 5 << 4 | 8, 0x7F000 | 1 << 11 | 1),
        {"TYPE": 8, "PFSID": 0xABCD, "PASID": 0xABCDE, "SID": 0x18, "MIP": 5, "G": 1, "S": 1, "ADDR": 0x7F000},
    ),
    (
        layout.PageRequest,
        (
            1 << 53 | 1 << 52 | 0xABCDE << 32 | 0x18 << 16 | 1 << 9 | 1 << 8 | 1,  # PRIV, EXE, PASID, RID, PDP, PP
            0x7F000 | 0x1AB << 3 | 7,  # address, PRGI, LPIG, W, R
            0xDEAD,
            0xBEEF,
        ),
        {
            "TYPE": 1, "PP": 1, "PDP": 1, "RID": 0x18, "PASID": 0xABCDE, "EXE": 1, "PRIV": 1, "R": 1, "W": 1, "LPIG": 1,
            "PRGI": 0x1AB, "ADDR": 0x7F000, "DATA": 0xBEEF << 64 | 0xDEAD,
        },
    ),
    # Address: 0xFEE in 31:20, handle 14:0 in 19:5, format 4, SHV 3, handle 15 in 2.
    (
        layout.MsiAddress,
        (0xFEE00000 | 0x1234 << 5 | 1 << 4 | 1 << 3 | 1 << 2,),
        {"RANGE": 0xFEE, "HANDLE": 0x9234, "FORMAT": 1, "SHV": 1},
    ),
    (layout.MsiData, (0x00000005,), {"SUBHANDLE": 5}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "words", "fields"), GOLDEN, ids=[kind.__name__ for kind, _, _ in GOLDEN])
def test_bytes_written_by_hand_read_as_the_specification_says(
    kind: type[Bits], words: tuple[int, ...], fields: dict[str, int]
) -> None:
    """Every field of every structure is where the specification has it, both ways, and no bit is left over."""
    raw = b"".join(struct.pack("<I" if kind.size == 4 else "<Q", word) for word in words)
    value = kind.from_bytes(raw)
    for name, expected in fields.items():
        assert getattr(value, name) == expected, name
    assert value.reserved == 0
    assert bytes(kind(**fields)) == raw
    named = {field.name for field in kind.fields if not field.name.startswith(("AVAIL", "DONT"))}
    assert named - set(fields) == set(), "every field is in the vector"


def test_every_structure_has_a_vector() -> None:
    """No class of the layout goes without one."""
    classes = {
        item
        for item in vars(layout).values()
        if isinstance(item, type) and issubclass(item, Bits) and item.__module__ == layout.__name__
    }
    assert classes == {kind for kind, _, _ in GOLDEN}


# QEMU hw/i386/intel_iommu_internal.h (0192d6677c38): offsets and single bits, as that file spells them.
QEMU_OFFSETS = {
    "VER": 0x0, "CAP": 0x8, "ECAP": 0x10, "GCMD": 0x18, "GSTS": 0x1C, "RTADDR": 0x20, "CCMD": 0x28, "FSTS": 0x34,
    "FECTL": 0x38, "FEDATA": 0x3C, "FEADDR": 0x40, "FEUADDR": 0x44, "PMEN": 0x64, "PLMBASE": 0x68, "PLMLIMIT": 0x6C,
    "PHMBASE": 0x70, "PHMLIMIT": 0x78, "IQH": 0x80, "IQT": 0x88, "IQA": 0x90, "ICS": 0x9C, "IRTA": 0xB8, "IECTL": 0xA0,
    "PQH": 0xC0, "PQT": 0xC8, "PQA": 0xD0, "PRS": 0xDC, "PECTL": 0xE0,
}  # fmt: skip
QEMU_MASKS = [
    (layout.GCMD.TE, 1 << 31), (layout.GCMD.SRTP, 1 << 30), (layout.GCMD.SFL, 1 << 29), (layout.GCMD.EAFL, 1 << 28),
    (layout.GCMD.WBF, 1 << 27), (layout.GCMD.QIE, 1 << 26), (layout.GCMD.IRE, 1 << 25), (layout.GCMD.SIRTP, 1 << 24),
    (layout.GCMD.CFI, 1 << 23), (layout.GSTS.TES, 1 << 31), (layout.GSTS.RTPS, 1 << 30), (layout.GSTS.QIES, 1 << 26),
    (layout.GSTS.IRES, 1 << 25), (layout.GSTS.IRTPS, 1 << 24), (layout.GSTS.CFIS, 1 << 23),
    (layout.CCMD.ICC, 1 << 63), (layout.CCMD.CIRG, 3 << 61), (layout.CCMD.CAIG, 3 << 59),
    (layout.IOTLB.IVT, 1 << 63), (layout.IOTLB.IIRG, 3 << 60), (layout.IOTLB.IAIG, 3 << 57), (layout.IVA.AM, 0x3F),
    (layout.ECAP.QI, 1 << 1), (layout.ECAP.DT, 1 << 2), (layout.ECAP.IR, 1 << 3), (layout.ECAP.EIM, 1 << 4),
    (layout.ECAP.PT, 1 << 6), (layout.ECAP.MHMV, 15 << 20), (layout.ECAP.SRS, 1 << 31), (layout.ECAP.SMTS, 1 << 43),
    (layout.ECAP.SSTS, 1 << 46), (layout.CAP.PSI, 1 << 39), (layout.CAP.CM, 1 << 7), (layout.CAP.DWD, 1 << 54),
    (layout.CAP.DRD, 1 << 55), (layout.CAP.SAGAW, 0x1F << 8), (layout.CAP.MGAW, 0x3F << 16),
    (layout.CAP.MAMV, 0x3F << 48),
    (layout.RTADDR.TTM, 3 << 10), (layout.IRTA.EIME, 1 << 11), (layout.IRTA.S, 0xF), (layout.IQA.QS, 7),
    (layout.IQA.DW, 0x800), (layout.IQH.QH, 0x7FFF0), (layout.ICS.IWC, 1), (layout.FSTS.FRI, 0xFF00),
    (layout.FSTS.IQE, 1 << 4), (layout.FSTS.PPF, 1 << 1), (layout.FSTS.PFO, 1), (layout.FECTL.IM, 1 << 31),
    (layout.FECTL.IP, 1 << 30), (layout.FRCD.F, 1 << 127), (layout.FRCD.T1, 1 << 126), (layout.FRCD.FR, 0xFF << 96),
    (layout.FRCD.SID, 0xFFFF << 64), (layout.Wait.SW, 1 << 5), (layout.Wait.IF, 1 << 4), (layout.Wait.FN, 1 << 6),
    (layout.ContextInvalidate.G, 3 << 4),
]  # fmt: skip
# QEMU's VTDFaultReason, the same file; Linux drivers/iommu/intel/dmar.c has the texts in this order.
QEMU_REASONS = {
    1: "LRT_2", 2: "LCT_2", 3: "LCT_4", 4: "LGN_1", 5: "LGN_2", 6: "LGN_3", 7: "LSL_1", 8: "LRT_1", 9: "LCT_1",
    10: "LRT_3", 11: "LCT_3", 12: "LSL_2", 13: "LCT_5", 0x20: "IR_REQUEST_RSVD", 0x21: "IR_INDEX",
    0x22: "IR_NOT_PRESENT",
    0x23: "IR_READ", 0x24: "IR_RSVD", 0x25: "IR_COMPATIBILITY", 0x26: "IR_SOURCE",
}  # fmt: skip
# VirtualBox include/VBox/iommu-intel.h (14c3bdc9ef2d), enumeration VTDADDRFAULT.
VBOX_REASONS = {
    "LRT_1": 0x8, "LRT_2": 0x1, "LRT_3": 0xA, "LCT_1": 0x9, "LCT_2": 0x2, "LCT_3": 0xB, "LCT_5": 0xD, "LSL_1": 0x7,
    "LSL_2": 0xC, "LGN_2": 0x5, "LGN_3": 0x6, "LGN_4": 0xE, "RTA_2": 0x31, "RTA_3": 0x32, "RTA_4": 0x33, "SRT_1": 0x38,
    "SRT_2": 0x39, "SRT_3": 0x3A, "SCT_1": 0x40, "SCT_2": 0x41, "SCT_3": 0x42, "SCT_5": 0x44, "SCT_6": 0x45,
    "SCT_7": 0x46, "SCT_8": 0x47, "SCT_9": 0x48, "SPD_1": 0x50, "SPD_2": 0x51, "SPD_3": 0x52, "SPT_1": 0x58,
    "SPT_2": 0x59, "SPT_3": 0x5A, "SPT_5": 0x5C, "SPT_6": 0x5D, "SFL_1": 0x70, "SFL_2": 0x71, "SFL_3": 0x72,
    "SFL_4": 0x73, "SFL_5": 0x74, "SFL_6": 0x75, "SFL_7": 0x76, "SFL_8": 0x77, "SFL_9": 0x90, "SFL_10": 0x91,
    "SSL_1": 0x78, "SSL_2": 0x79, "SSL_3": 0x7A, "SSL_4": 0x7B, "SSL_5": 0x7C, "SSL_6": 0x7D, "SGN_1": 0x80,
    "SGN_2": 0x81, "SGN_3": 0x82, "SGN_5": 0x84, "SGN_6": 0x85, "SGN_7": 0x86, "SGN_8": 0x87, "SGN_9": 0x88,
    "SGN_10": 0x89,
}  # fmt: skip
# Linux drivers/iommu/intel/pasid.h (56ecaf6c5834), iommu.h (3af56d9611cf) and iommu.c (7e3c3883c381): the macro or
# setter that touches a field, word and bits as it has them.
LINUX_SCALABLE = [
    # iommu.h and iommu.c: the context entry.
    ("context_present", layout.ScalableContextEntry.P, 0, 1),
    ("context_set_fault_enable", layout.ScalableContextEntry.FPD, 0, 1 << 1),
    ("context_set_sm_dte", layout.ScalableContextEntry.DTE, 0, 1 << 2),
    ("CONTEXT_PASIDE", layout.ScalableContextEntry.PASIDE, 0, 1 << 3),
    ("context_set_sm_pre", layout.ScalableContextEntry.PRE, 0, 1 << 4),
    ("context_pdts", layout.ScalableContextEntry.PDTS, 0, 7 << 9),
    ("context_set_sm_rid2pasid", layout.ScalableContextEntry.RID_PASID, 1, (1 << 20) - 1),
    # pasid.h: the directory entry, then the entry of a PASID.
    ("pasid_pde_is_present", layout.PasidDirectoryEntry.P, 0, 1),
    ("PDE_PFN_MASK", layout.PasidDirectoryEntry.SMPTBLPTR, 0, (1 << 64) - 0x1000),
    ("PASID_PTE_PRESENT", layout.PasidEntry.P, 0, 1),
    ("PASID_PTE_FPD", layout.PasidEntry.FPD, 0, 2),
    ("pasid_set_address_width", layout.PasidEntry.AW, 0, 7 << 2),
    ("pasid_set_translation_type", layout.PasidEntry.PGTT, 0, 7 << 6),
    ("pasid_set_ssade", layout.PasidEntry.SSADE, 0, 1 << 9),
    ("pasid_set_slptr", layout.PasidEntry.SSPTPTR, 0, (1 << 64) - 0x1000),
    ("pasid_set_domain_id", layout.PasidEntry.DID, 1, 0xFFFF),
    ("pasid_set_page_snoop", layout.PasidEntry.PWSNP, 1, 1 << 23),
    ("pasid_set_pgsnp", layout.PasidEntry.PGSNP, 1, 1 << 24),
    ("pasid_set_sre", layout.PasidEntry.SRE, 2, 1),
    ("pasid_set_flpm", layout.PasidEntry.FSPM, 2, 3 << 2),
    ("pasid_set_wpe", layout.PasidEntry.WPE, 2, 1 << 4),
    ("pasid_set_nxe", layout.PasidEntry.NXE, 2, 1 << 5),
    ("pasid_set_eafe", layout.PasidEntry.EAFE, 2, 1 << 7),
    ("pasid_set_flptr", layout.PasidEntry.FSPTPTR, 2, (1 << 64) - 0x1000),
]
# Linux drivers/iommu/intel/iommu.h (3af56d9611cf), include/linux/dmar.h (02d715b4a818) and
# arch/x86/include/asm/posted_intr.h (2254808b53d9): descriptors of the queue, interrupt entries, as there.
LINUX_OTHERS = [
    ("QI_CC_GRAN", layout.ContextInvalidate.G, 0, 3 << 4),
    ("QI_CC_DID", layout.ContextInvalidate.DID, 0, 0xFFFF << 16),
    ("QI_CC_SID", layout.ContextInvalidate.SID, 0, 0xFFFF << 32),
    ("QI_CC_FM", layout.ContextInvalidate.FM, 0, 3 << 48),
    ("QI_IOTLB_GRAN", layout.IotlbInvalidate.G, 0, 3 << 4),
    ("QI_IOTLB_DW", layout.IotlbInvalidate.DW, 0, 1 << 6),
    ("QI_IOTLB_DR", layout.IotlbInvalidate.DR, 0, 1 << 7),
    ("QI_IOTLB_DID", layout.IotlbInvalidate.DID, 0, 0xFFFF << 16),
    ("QI_IOTLB_AM", layout.IotlbInvalidate.AM, 1, 0x3F),
    ("QI_IOTLB_IH", layout.IotlbInvalidate.IH, 1, 1 << 6),
    ("QI_IOTLB_ADDR", layout.IotlbInvalidate.ADDR, 1, (1 << 64) - 0x1000),
    ("QI_DEV_IOTLB_QDEP", layout.DeviceTlbInvalidate.MIP, 0, 0x1F << 16),
    ("QI_DEV_IOTLB_SID", layout.DeviceTlbInvalidate.SID, 0, 0xFFFF << 32),
    ("QI_DEV_IOTLB_PFSID", layout.DeviceTlbInvalidate.PFSID, 0, 0xF << 12 | 0xFFF << 52),
    ("QI_DEV_IOTLB_SIZE", layout.DeviceTlbInvalidate.S, 1, 1),
    ("QI_DEV_IOTLB_ADDR", layout.DeviceTlbInvalidate.ADDR, 1, (1 << 64) - 0x1000),
    ("QI_IEC_SELECTIVE", layout.InterruptEntryInvalidate.G, 0, 1 << 4),
    ("QI_IEC_IM", layout.InterruptEntryInvalidate.IM, 0, 0x1F << 27),
    ("QI_IEC_IIDEX", layout.InterruptEntryInvalidate.IIDX, 0, 0xFFFF << 32),
    ("QI_IWD_STATUS_WRITE", layout.Wait.SW, 0, 1 << 5),
    ("QI_IWD_FENCE", layout.Wait.FN, 0, 1 << 6),
    ("QI_IWD_PRQ_DRAIN", layout.Wait.PD, 0, 1 << 7),
    ("QI_IWD_STATUS_DATA", layout.Wait.DATA, 0, 0xFFFFFFFF << 32),
    ("QI_EIOTLB_GRAN", layout.PasidIotlbInvalidate.G, 0, 3 << 4),
    ("QI_EIOTLB_DID", layout.PasidIotlbInvalidate.DID, 0, 0xFFFF << 16),
    ("QI_EIOTLB_PASID", layout.PasidIotlbInvalidate.PASID, 0, 0xFFFFF << 32),
    ("QI_EIOTLB_AM", layout.PasidIotlbInvalidate.AM, 1, 0x3F),
    ("QI_EIOTLB_IH", layout.PasidIotlbInvalidate.IH, 1, 1 << 6),
    ("QI_EIOTLB_ADDR", layout.PasidIotlbInvalidate.ADDR, 1, (1 << 64) - 0x1000),
    ("QI_PC_GRAN", layout.PasidCacheInvalidate.G, 0, 3 << 4),
    ("QI_PC_DID", layout.PasidCacheInvalidate.DID, 0, 0xFFFF << 16),
    ("QI_PC_PASID", layout.PasidCacheInvalidate.PASID, 0, 0xFFFFF << 32),
    ("QI_DEV_EIOTLB_QDEP", layout.PasidDeviceTlbInvalidate.MIP, 0, 0x1F << 4),
    ("QI_DEV_EIOTLB_PFSID", layout.PasidDeviceTlbInvalidate.PFSID, 0, 0xF << 12 | 0xFFF << 52),
    ("QI_DEV_EIOTLB_SID", layout.PasidDeviceTlbInvalidate.SID, 0, 0xFFFF << 16),
    ("QI_DEV_EIOTLB_PASID", layout.PasidDeviceTlbInvalidate.PASID, 0, 0xFFFFF << 32),
    ("QI_DEV_EIOTLB_SIZE", layout.PasidDeviceTlbInvalidate.S, 1, 1 << 11),
    ("QI_DEV_EIOTLB_ADDR", layout.PasidDeviceTlbInvalidate.ADDR, 1, (1 << 64) - 0x1000),
    ("dst_mode", layout.Irte.DM, 0, 1 << 2),
    ("redir_hint", layout.Irte.RH, 0, 1 << 3),
    ("trigger_mode", layout.Irte.TM, 0, 1 << 4),
    ("dlvry_mode", layout.Irte.DLM, 0, 7 << 5),
    ("r_avail", layout.Irte.AVAIL, 0, 0xF << 8),
    ("pst", layout.Irte.IM, 0, 1 << 15),
    ("r_vector", layout.Irte.V, 0, 0xFF << 16),
    ("dest_id", layout.Irte.DST, 0, 0xFFFFFFFF << 32),
    ("sid", layout.Irte.SID, 1, 0xFFFF),
    ("sq", layout.Irte.SQ, 1, 3 << 16),
    ("svt", layout.Irte.SVT, 1, 3 << 18),
    ("p_urgent", layout.PostedIrte.URG, 0, 1 << 14),
    ("p_pst", layout.PostedIrte.IM, 0, 1 << 15),
    ("p_vector", layout.PostedIrte.V, 0, 0xFF << 16),
    ("pda_l, pda_h", layout.PostedIrte.PDA, 0, 0x3FFFFFF << 38 | 0xFFFFFFFF << 96),
    ("p_sid", layout.PostedIrte.SID, 1, 0xFFFF),
    ("p_svt", layout.PostedIrte.SVT, 1, 3 << 18),
    ("pir", layout.PostedDescriptor.PIR, 0, (1 << 256) - 1),
    ("POSTED_INTR_ON", layout.PostedDescriptor.ON, 4, 1),
    ("POSTED_INTR_SN", layout.PostedDescriptor.SN, 4, 1 << 1),
    ("nv", layout.PostedDescriptor.NV, 4, 0xFF << 16),
    ("ndst", layout.PostedDescriptor.NDST, 4, 0xFFFFFFFF << 32),
]
# QEMU hw/i386/intel_iommu_internal.h (qemu/qemu 8ffa52c20d56, pbo-linaro/qemu-ci 06ef3849ee96), VTD_ left out.
QEMU_SCALABLE = [
    ("ROOT_ENTRY_P", layout.ScalableRootEntry.LP, 0, 1),
    ("ROOT_ENTRY_CTP", layout.ScalableRootEntry.LCTP, 0, (1 << 64) - 0x1000),
    ("ROOT_ENTRY_P", layout.ScalableRootEntry.UP, 1, 1),
    ("ROOT_ENTRY_CTP", layout.ScalableRootEntry.UCTP, 1, (1 << 64) - 0x1000),
    ("CONTEXT_ENTRY_P", layout.ScalableContextEntry.P, 0, 1),
    ("CONTEXT_ENTRY_FPD", layout.ScalableContextEntry.FPD, 0, 1 << 1),
    ("PASID_DIR_BASE_ADDR_MASK", layout.ScalableContextEntry.PASIDDIRPTR, 0, (1 << 64) - 0x1000),
    ("SM_CONTEXT_ENTRY_RID2PASID_MASK", layout.ScalableContextEntry.RID_PASID, 1, 0xFFFFF),
    ("PASID_DIR_FPD", layout.PasidDirectoryEntry.FPD, 0, 1 << 1),
    ("PASID_TABLE_BASE_ADDR_MASK", layout.PasidDirectoryEntry.SMPTBLPTR, 0, (1 << 64) - 0x1000),
    ("PASID_ENTRY_P", layout.PasidEntry.P, 0, 1),
    ("PASID_ENTRY_FPD", layout.PasidEntry.FPD, 0, 1 << 1),
    ("SM_PASID_ENTRY_AW", layout.PasidEntry.AW, 0, 7 << 2),
    ("SM_PASID_ENTRY_PGTT", layout.PasidEntry.PGTT, 0, 7 << 6),
    ("SM_PASID_ENTRY_SLPTPTR", layout.PasidEntry.SSPTPTR, 0, (1 << 64) - 0x1000),
    ("SM_PASID_ENTRY_DID", layout.PasidEntry.DID, 1, 0xFFFF),
    ("SM_PASID_ENTRY_FLPM", layout.PasidEntry.FSPM, 2, 3 << 2),
    ("SM_PASID_ENTRY_FLPTPTR", layout.PasidEntry.FSPTPTR, 2, (1 << 64) - 0x1000),
]
# The same file at 06ef3849ee96: what it calls reserved in each word, but for address bits above the host's width, and
# the bits that it counts in although they are a field.
PFSID = layout.DeviceTlbInvalidate.PFSID.mask
QEMU_RESERVED: list[tuple[type[Bits], tuple[int, ...], int]] = [
    (layout.RootEntry, (0xFFE, (1 << 64) - 1), 0),  # ROOT_ENTRY_RSVD; the upper half is tested against 0
    (layout.ScalableRootEntry, (0xFFE, 0xFFE), 0),  # ROOT_ENTRY_RSVD
    (layout.ContextEntry, (0xFF0, 0xFFFFFFFFFF000080), 0),  # CONTEXT_ENTRY_RSVD_LO and _HI
    # SM_CONTEXT_ENTRY_RSVD_VAL0 and _VAL1; the other words are tested against 0.
    (layout.ScalableContextEntry, (0x1E0, 0xFFFFFFFFFFE00000, (1 << 64) - 1, (1 << 64) - 1), 0),
    (layout.ContextInvalidate, (0xFFFC00000000F1C0, (1 << 64) - 1), 0),  # INV_DESC_CC_RSVD, INV_DESC_ALL_ONE
    (layout.IotlbInvalidate, (0xFFFFFFFF0000F100, 0xF80), 0),  # INV_DESC_IOTLB_RSVD_LO and _HI
    (layout.DeviceTlbInvalidate, (0xFFFF0000FFE0F1F0, 0xFFE), PFSID),  # INV_DESC_DEVICE_IOTLB_RSVD_LO and _HI
    (layout.InterruptEntryInvalidate, (0xFFFF000007FFF1E0, (1 << 64) - 1), 0),  # INV_DESC_IEC_RSVD
    (layout.Wait, (0xFFFFF180, 3), layout.Wait.PD.mask),  # INV_DESC_WAIT_RSVD_LO and _HI
    (layout.PasidIotlbInvalidate, (0xFFF000000000F1C0, 0xF80), 0),  # INV_DESC_PIOTLB_RSVD_VAL0 and _VAL1
    # INV_DESC_PASID_DEVICE_IOTLB_RSVD_VAL0 and _VAL1.
    (layout.PasidDeviceTlbInvalidate, (0xFFF000000000F000, 0x7FE), PFSID),
]


def test_offsets_and_masks_agree_with_qemu() -> None:
    """A second coding of the same specification puts registers and bits at the same places."""
    for name, offset in QEMU_OFFSETS.items():
        assert getattr(layout, name).offset == offset, name
    for field, mask in QEMU_MASKS:
        assert field.mask == mask, field.name


@pytest.mark.parametrize(
    ("name", "field", "word", "mask"),
    LINUX_SCALABLE + LINUX_OTHERS + QEMU_SCALABLE,
    ids=[f"{name} {field.name}" for name, field, _, _ in LINUX_SCALABLE + LINUX_OTHERS + QEMU_SCALABLE],
)
def test_structures_agree_with_linux_and_qemu(name: str, field: Field, word: int, mask: int) -> None:
    """Scalable-mode entries, descriptors and interrupt entries have each field in the bits of two other codings."""
    assert field.mask == mask << 64 * word, name


def test_sizes_and_translation_types_agree_with_linux_and_qemu() -> None:
    """Entries are as large, and a PASID entry means the same, as in two other codings."""
    assert layout.ContextEntry.size == 16  # CTX_ENTRY_LEGACY_SIZE
    assert layout.ScalableContextEntry.size == 32  # CTX_ENTRY_SCALABLE_SIZE
    assert layout.PasidDirectoryEntry.size == 8  # PASID_DIR_ENTRY_SIZE
    assert layout.PasidEntry.size == 64  # PASID_ENTRY_SIZE; eight words in Linux' struct pasid_entry
    # PASID_ENTRY_PGTT_FL_ONLY, _SL_ONLY, _NESTED and _PT.
    assert [int(kind) for kind in names.PGTT] == [1, 2, 3, 4]


@pytest.mark.parametrize(("kind", "words", "named"), QEMU_RESERVED, ids=[item[0].__name__ for item in QEMU_RESERVED])
def test_reserved_bits_agree_with_qemu(kind: type[Bits], words: tuple[int, ...], named: int) -> None:
    """A second coding refuses the same bits of a structure."""
    mask = sum(word << 64 * number for number, word in enumerate(words))
    assert named & mask == named
    assert kind.reserved_mask == mask & ~named


def test_reserved_bits_of_page_tables_agree_with_qemu() -> None:
    """VTD_SPTE_ and VTD_FPTE_ masks of 06ef3849ee96, for a unit without snoop control and device-TLBs."""
    cap = layout.CAP(SAGAW=0b1110, SSLPS=3, FS1GP=1, FS5LP=1)
    hardware = Hardware(cap, layout.ECAP(), 46)
    width, everything = (1 << 46) - 1, (1 << 64) - 1
    second = everything & ~(width | 0xBFF0000000000000)  # SL_IGN_COM
    assert hardware.second_table[2:5] == (0x800 | second, 0x800 | second, 0x880 | second)
    assert hardware.second_page[1:4] == (0x800 | second, 0x1FF800 | second, 0x3FFFF800 | second)
    first = everything & ~(width | 0xFFF0000000000000)  # FS_UPPER_IGNORED
    assert hardware.first_table[2:5] == (first, first, 0x80 | first)
    assert hardware.first_page[1:4] == (first, 0x1FE000 | first, 0x3FFFE000 | first)


def test_fault_reasons_agree_with_qemu_and_virtualbox() -> None:
    """Two other codings name the same numbers."""
    for number, name in QEMU_REASONS.items():
        assert names.Reason(number).name == name
    for name, number in VBOX_REASONS.items():
        assert names.Reason[name] == number
    assert set(names.MEANINGS) == set(names.Reason)


# Records that QEMU 10.0.2 left behind for DMA by 00:03.0: low word, high word, what was tried, reason.
@pytest.mark.parametrize(
    ("low", "high", "kind", "reason"),
    [(0x99000, 0xC0FFFF06_00000018, "read", 6), (0x99000, 0x80FFFF05_00000018, "write", 5)],
)
def test_fault_records_seen_on_qemu_decode(low: int, high: int, kind: str, reason: int) -> None:
    """Genuine records come out as what the device did."""
    record = decode_fault(struct.pack("<QQ", low, high))
    assert (record.source, record.reason, record.address, record.type) == (0x18, reason, 0x99000, kind)
    assert (record.pasid, record.index, record.privileged, record.execute) == (None, None, False, False)


def test_a_record_with_pasid_decodes_every_field() -> None:
    """The golden record of scalable mode, from its bytes."""
    record = decode_fault(
        struct.pack("<QQ", 0x12345000, 0x18 | 0xF << 28 | 0x71 << 32 | 0xABCDE << 40 | 2 << 60 | 3 << 62)
    )
    assert (record.type, record.pasid, record.privileged, record.execute, record.address_type) == (
        "atomic", 0xABCDE, True, True, 2,
    )  # fmt: skip
    assert record.name == "SFL.2"
    assert str(record) == (
        "00:03.0 atomic of 0x12345000 with PASID 0xabcde: a first-stage entry is not present (SFL.2, reason 0x71)"
    )


def test_an_interrupt_record_has_an_index_and_no_address() -> None:
    """Bits 63:48 of the fault information are the index."""
    record = decode_fault(struct.pack("<QQ", 0x1234 << 48, 1 << 63 | 0x22 << 32 | 0xFF00))
    assert (record.index, record.address, record.source) == (0x1234, 0, 0xFF00)
    assert str(record).startswith("ff:00.0 interrupt 4660: ")


def test_a_reason_that_the_specification_does_not_have_stays_a_number() -> None:
    """Records of newer hardware can still be shown."""
    record = decode_fault(struct.pack("<QQ", 0x1000, 1 << 63 | 0xEE << 32))
    assert (record.name, record.meaning) == ("0xee", "reason not defined by VT-d 4.1")
    with pytest.raises(ValueError, match="16 bytes"):
        decode_fault(bytes(15))
