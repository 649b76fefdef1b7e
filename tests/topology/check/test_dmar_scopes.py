"""Rules of the device scopes of a DMAR: for each a table that breaks it, and one that barely does not."""

from __future__ import annotations

from .boards import (
    ALL,
    CARD,
    ENDPOINT,
    HIERARCHY,
    HPET,
    IOAPIC,
    NAMED,
    NET,
    PORT,
    REST,
    Case,
    andd,
    atsr,
    board,
    bridge,
    dmar,
    drhd,
    function,
    rmrr,
    satc,
    scope,
    sidp,
    table,
)

CASES = (
    Case(
        "DMAR-SCOPE-NONE",
        lambda: board(dmar(drhd(0xFED90000), rmrr(0x7B800000, 0x7B800FFF), atsr(), satc(), sidp())),
        (
            ("warning", 48, "the DRHD names no device"),
            ("error", 64, "the RMRR names no device"),
            ("warning", 88, "the ATSR names no device"),
            ("warning", 96, "the SATC names no device"),
            ("warning", 104, "the SIDP names no device"),
        ),
        lambda: board(dmar(drhd(0xFED90000, flags=ALL), rmrr(0x7B800000, 0x7B800FFF, NET), atsr(flags=1), satc(NET))),
    ),
    Case(
        "DMAR-SCOPE-ALLOWED",
        lambda: board(
            dmar(
                rmrr(0x7B800000, 0x7B800FFF, scope(IOAPIC, (31, 0))),
                atsr(NET),
                satc(scope(HIERARCHY, (1, 0))),
                sidp(scope(HPET, (15, 0))),
            )
        ),
        (
            ("warning", 72, "a scope of a RMRR names the wrong kind of device"),
            ("warning", 88, "a scope of a ATSR names the wrong kind of device"),
            ("warning", 104, "a scope of a SATC names the wrong kind of device"),
            ("warning", 120, "a scope of a SIDP names the wrong kind of device"),
        ),
        lambda: board(
            dmar(
                drhd(0xFED90000, scope(IOAPIC, (31, 0)), scope(HPET, (15, 0))),
                rmrr(0x7B800000, 0x7B800FFF, NET, scope(HIERARCHY, (1, 0)), scope(NAMED, (21, 0)), scope(9, (1, 0))),
                atsr(scope(HIERARCHY, (1, 0))),
                satc(NET),
                sidp(NET),
            )
        ),
    ),
    Case(
        "DMAR-SCOPE-CLAIMED",
        lambda: board(dmar(drhd(0xFED90000, NET), drhd(0xFED92000, NET, scope(ENDPOINT)))),
        (("error", 88, "the units at 0xfed90000 and 0xfed92000 both claim 0000:00:02.0"),),
        lambda: board(
            dmar(
                drhd(0xFED90000, NET, NET),
                drhd(0xFED92000, scope(ENDPOINT, (2, 1))),
                drhd(0xFED93000, NET, segment=1),
                drhd(0xFED91000, NET, flags=ALL),
            )
        ),
    ),
    Case(
        "DMAR-SCOPE-CLAIMED",
        lambda: board(
            dmar(drhd(0xFED90000, scope(ENDPOINT, (1, 0), (0, 0))), drhd(0xFED92000, scope(ENDPOINT, (0, 0), bus=1))),
            functions=[PORT, CARD],
        ),
        (("error", 90, "the units at 0xfed90000 and 0xfed92000 both claim 0000:01:00.0"),),
        lambda: board(
            dmar(drhd(0xFED90000, scope(ENDPOINT, (1, 0), (0, 0))), drhd(0xFED92000, scope(ENDPOINT, (0, 0), bus=1)))
        ),
    ),
    Case(
        "DMAR-SCOPE-NESTED",
        lambda: board(
            dmar(
                drhd(0xFED90000, scope(HIERARCHY, (1, 0)), scope(HIERARCHY, (1, 0))),
                drhd(0xFED92000, scope(ENDPOINT, (1, 0), (0, 0))),
            ),
            functions=[PORT, CARD],
        ),
        (
            (
                "warning",
                96,
                "the unit at 0xfed92000 claims 0000:01:00.0, which is behind 0000:00:01.0 of the unit at 0xfed90000",
            ),
        ),
        lambda: board(
            dmar(
                drhd(0xFED90000, scope(HIERARCHY, (1, 0)), scope(ENDPOINT, (1, 0), (0, 0))),
                drhd(0xFED92000, scope(ENDPOINT, (3, 0)), scope(HIERARCHY, (4, 0))),
            ),
            functions=[PORT, CARD],
        ),
    ),
    Case(
        "DMAR-SCOPE-BUS",
        lambda: board(
            dmar(
                REST,
                rmrr(0x7B800000, 0x7B800FFF, scope(ENDPOINT, (0, 0), bus=1), scope(ENDPOINT, (0, 0), (1, 0), bus=1)),
            ),
            functions=[PORT, CARD],
        ),
        (
            ("warning", 101, "the path of a scope does not start at a host bridge"),
            ("error", 109, "the path of a scope does not start at a host bridge"),
        ),
        lambda: board(
            dmar(REST, rmrr(0x7B800000, 0x7B800FFF, scope(ENDPOINT, (0, 0), bus=3), scope(IOAPIC, (0, 0), bus=1))),
            functions=[PORT, CARD],
        ),
    ),
    Case(
        "DMAR-SCOPE-TWICE",
        lambda: board(
            dmar(
                drhd(0xFED90000, NET, scope(IOAPIC, (31, 0), number=2), NET, scope(IOAPIC, (31, 0), number=2)),
                rmrr(0x7B800000, 0x7B800FFF, scope(ENDPOINT, (1, 0), (0, 0)), scope(ENDPOINT, (1, 0), (0, 0))),
            )
        ),
        (
            ("warning", 80, "a DRHD names 0000:00:02.0 twice"),
            ("warning", 88, "a DRHD names I/O APIC 2 twice"),
            ("warning", 130, "a RMRR names 0000:00:01.0/00.0 twice"),
        ),
        lambda: board(
            dmar(drhd(0xFED90000, NET, scope(ENDPOINT, (2, 1)), scope(ENDPOINT, (2, 0), bus=1)), drhd(0xFED92000, NET))
        ),
    ),
    Case(
        "DMAR-SCOPE-NUMBER",
        lambda: board(
            dmar(
                drhd(0xFED90000, scope(IOAPIC, (31, 0), number=2), scope(HPET, (15, 0))),
                drhd(0xFED91000, scope(IOAPIC, (30, 0), number=2), scope(HPET, (15, 0)), flags=ALL),
            )
        ),
        (
            ("error", 100, "I/O APIC 2 has more than one scope: at the units at 0xfed90000 and 0xfed91000"),
            ("error", 108, "HPET 0 has more than one scope: at the units at 0xfed90000 and 0xfed91000"),
        ),
        lambda: board(
            dmar(
                drhd(
                    0xFED90000,
                    scope(IOAPIC, (31, 0), number=2),
                    scope(IOAPIC, (31, 0), number=3),
                    scope(HPET, (15, 0)),
                    scope(HPET, (15, 1)),
                )
            )
        ),
    ),
    Case(
        "DMAR-UNIT-ABSENT",
        lambda: board(dmar(drhd(0xFED90000, NET), REST), functions=[PORT]),
        (("warning", 64, "the unit at 0xfed90000 names 0000:00:02.0, which is absent"),),
        lambda: board(dmar(drhd(0xFED90000, NET), drhd(0xFED92000, NET, segment=1)), functions=[function("00:02.0")]),
    ),
    Case(
        "DMAR-IR-SCOPES",
        lambda: board(dmar(drhd(0xFED91000, flags=ALL))),
        (("error", 37, "INTR_REMAP is set and no scope names an I/O APIC"),),
        lambda: board(dmar(REST)),
    ),
    Case(
        "DMAR-IR-SCOPES",
        lambda: board(dmar(drhd(0xFED91000, scope(HPET, (15, 0)), flags=ALL))),
        (("error", 37, "INTR_REMAP is set and no scope names an I/O APIC"),),
        lambda: board(dmar(drhd(0xFED91000, flags=ALL)), table("APIC", bytes(8))),
    ),
    Case(
        "DMAR-IR-OFF",
        lambda: board(dmar(REST, flags=4)),
        (("note", 37, "the table does not announce interrupt remapping"),),
        lambda: board(dmar(drhd(0xFED91000, flags=ALL), flags=4)),
    ),
    Case(
        "DMAR-ATSR-SCOPES",
        lambda: board(dmar(REST, atsr(scope(HIERARCHY, (1, 0)), flags=1))),
        (("warning", 72, "an ATSR with ALL_PORTS names ports as well"),),
        lambda: board(dmar(REST, atsr(scope(HIERARCHY, (1, 0))), atsr(flags=1))),
    ),
    Case(
        "DMAR-ATSR-TWICE",
        lambda: board(dmar(REST, atsr(flags=1), atsr(flags=1))),
        (("warning", 80, "segment 0000 has ALL_PORTS twice"),),
        lambda: board(dmar(REST, atsr(flags=1), atsr(flags=1, segment=1), atsr(scope(HIERARCHY, (1, 0))))),
    ),
    Case(
        "DMAR-ATSR-PORT",
        lambda: board(
            dmar(REST, atsr(*(scope(HIERARCHY, (slot, 0)) for slot in (1, 3, 4)))),
            functions=[PORT, bridge("00:03.0", 3, 3, "downstream-port"), bridge("00:04.0", 4, 4, None)],
        ),
        (
            ("error", 88, "the ATSR names 0000:00:03.0, which is no root port"),
            ("error", 96, "the ATSR names 0000:00:04.0, which is no root port"),
        ),
        lambda: board(dmar(REST, atsr(scope(HIERARCHY, (1, 0)), scope(HIERARCHY, (5, 0)), NET)), functions=[PORT]),
    ),
    Case(
        "DMAR-ANDD-UNUSED",
        lambda: board(dmar(REST, andd(1, "\\_SB.I2C0"))),
        (("warning", 72, "no unit has a scope for ACPI device 1, '\\_SB.I2C0'"),),
        lambda: board(dmar(drhd(0xFED91000, scope(NAMED, (21, 0), number=1), flags=ALL), andd(1, "\\_SB.I2C0"))),
    ),
    Case(
        "DMAR-ANDD-TWICE",
        lambda: board(dmar(REST, andd(1, "\\A"), andd(1, "\\B"))),
        (("error", 90, "two ACPI devices have one device number"),),
        lambda: board(dmar(REST, andd(1, "\\A"), andd(2, "\\A"))),
    ),
    Case(
        "DMAR-ANDD-PATH",
        lambda: board(dmar(REST, andd(1, "_SB.I2C0"), andd(2, "\\_SB.I2C00"), andd(3, "\\_SB..A"), andd(4, "\\a"))),
        tuple(("error", offset, "an ACPI object name is no absolute path") for offset in (80, 97, 116, 132)),
        lambda: board(dmar(REST, andd(1, "\\_SB.I2C0"), andd(2, "\\_SB_.PC00.I2C_"), andd(3, "\\A"))),
    ),
    Case(
        "DMAR-SATC-DEVICE",
        lambda: board(dmar(REST, satc(NET), sidp(NET)), functions=[function("00:02.0", pcie_type="endpoint")]),
        (
            ("warning", 80, "the SATC names 0000:00:02.0, which is not integrated"),
            ("warning", 96, "the SIDP names 0000:00:02.0, which is not integrated"),
        ),
        lambda: board(
            dmar(REST, satc(NET, scope(ENDPOINT, (3, 0)))),
            functions=[function("00:02.0", pcie_type="rc-endpoint"), function("00:03.0")],
        ),
    ),
    Case(
        "DMAR-SATC-ABSENT",
        lambda: board(dmar(REST, satc(scope(IOAPIC, (9, 0)), NET)), functions=[PORT]),
        (("note", 88, "the SATC names 0000:00:02.0, which is absent"),),
        lambda: board(dmar(REST, satc(NET), satc(NET, segment=1)), functions=[function("00:02.0")]),
    ),
    Case(
        "DMAR-SATC-TWICE",
        lambda: board(dmar(REST, satc(NET, flags=1), satc(NET, flags=1))),
        (("warning", 88, "segment 0000 has two SATC with the same flags"),),
        lambda: board(dmar(REST, satc(NET, flags=1), satc(NET), satc(NET, segment=1))),
    ),
)
