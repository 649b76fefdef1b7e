"""Which things of two boards are the same under another name: only what cannot be another."""

from __future__ import annotations

from iommuman.topology import Device, Grant, IdMap, MsiController, PciRoot
from iommuman.topology.diff.pairing import pair

from tests.topology.diff.boards import HERE, Record, function, picture_of, root, takes, unit


def paired(a: list[Record], b: list[Record]) -> dict[str, str]:
    """Return the pairs; those of the other way round are the same, turned."""
    one, other = picture_of(*a), picture_of(*b)
    names = pair(one, other)
    assert pair(other, one) == {new: old for old, new in names.items()}
    return names


def master(name: str, stream: int | None, target: str = "vtd@1000") -> list[Record]:
    """Return a device of the namespace or the device tree that has one ID."""
    kind = "dt" if name.startswith("dt") else "acpi"
    return [Device(name, kind, HERE), IdMap(name, target, 0, 1, stream, HERE, "iommus", single=True)]  # type: ignore[arg-type]


def test_namesakes_are_no_pairs() -> None:
    """Things of one name need no pair, even when what they do suggests another."""
    a = [root(), unit(), unit(0x2000), takes(0, 8)]
    b = [root(), unit(), unit(0x2000), takes(0, 8, target="vtd@2000")]
    assert paired(a, b) == {}


def test_units_are_known_by_what_they_control() -> None:
    """Two units that are both elsewhere are told apart by the requester IDs that they have."""
    a = [root(), unit(0x1000), unit(0x2000), takes(0, 8), takes(8, 8, target="vtd@2000")]
    b = [root(), unit(0x7000), unit(0x8000), takes(0, 8, target="vtd@8000"), takes(8, 8, target="vtd@7000")]
    assert paired(a, b) == {"vtd@1000": "vtd@8000", "vtd@2000": "vtd@7000"}


def test_units_are_known_by_their_devices() -> None:
    """When the requester IDs differ, the named devices tell."""
    a = [root(), unit(0x1000), unit(0x2000), function(1), function(9), takes(1), takes(9, target="vtd@2000")]
    b = [root(), unit(0x7000), unit(0x8000), function(1), function(9), takes(0, 3, target="vtd@7000"),
         takes(9, 2, target="vtd@8000")]  # fmt: skip
    assert paired(a, b) == {"vtd@1000": "vtd@7000", "vtd@2000": "vtd@8000"}


def test_the_unit_that_takes_the_rest_is_known_by_that() -> None:
    """Of several units that are left, the one with INCLUDE_PCI_ALL is the one with INCLUDE_PCI_ALL."""
    rest = (("INCLUDE_PCI_ALL", True),)
    a = [root(), unit(0x1000), unit(0x2000, properties=rest), takes(0, 8)]
    b = [root(), unit(0x7000, properties=rest), unit(0x8000), unit(0x9000)]
    assert paired(a, b) == {"vtd@2000": "vtd@7000"}


def test_a_lone_unit_is_the_lone_unit() -> None:
    """The only unit of a kind that is left on both sides is the same; of two that could be, neither is."""
    assert paired([unit()], [unit(0x7000)]) == {"vtd@1000": "vtd@7000"}
    assert paired([unit()], [unit(0x7000, "smmuv3")]) == {}
    assert paired([unit()], [unit(0x7000), unit(0x8000)]) == {}


def test_functions_are_known_by_what_they_are() -> None:
    """A function elsewhere is the only one with its vendor and device that is left; of two, neither is paired."""
    assert paired([root(), function(8, "8086:1")], [root(), function(16, "8086:1")]) == {"0000:00:01.0": "0000:00:02.0"}
    two: list[Record] = [root(), function(16, "8086:1"), function(24, "8086:1")]
    assert paired([root(), function(8, "8086:1")], two) == {}
    assert paired([root(), function(8)], [root(), function(16)]) == {}


def test_devices_are_known_by_the_end_of_their_path() -> None:
    """A node below another bus, or an object below another parent, is known by its own name."""
    assert paired(master("dt:/soc/usb@1", 1), master("dt:/soc@0/usb@1", 2)) == {"dt:/soc/usb@1": "dt:/soc@0/usb@1"}
    assert paired(master(r"acpi:\_SB.A.USB0", 1), master(r"acpi:\_SB.B.USB0", 2)) == {
        r"acpi:\_SB.A.USB0": r"acpi:\_SB.B.USB0"
    }


def test_devices_are_known_by_their_ids() -> None:
    """A device that ACPI and a device tree call otherwise is known by its ID at the unit, wherever that is."""
    a = [unit(), *master(r"acpi:\_SB.ACC0", 5)]
    assert paired(a, [unit(), *master("dt:/accelerator@0", 5)]) == {r"acpi:\_SB.ACC0": "dt:/accelerator@0"}
    assert paired(a, [unit(0x7000), *master("dt:/accelerator@0", 5, "vtd@7000")]) == {
        "vtd@1000": "vtd@7000",
        r"acpi:\_SB.ACC0": "dt:/accelerator@0",
    }
    assert paired(a, [unit(), *master("dt:/accelerator@0", 6)]) == {}
    ioapics = [[unit(), Device(f"ioapic:{n}", "ioapic", HERE),
                IdMap(f"ioapic:{n}", "vtd@1000", 0, 1, 0xF0F8, HERE, "IOAPIC scope", "both", single=True)]
               for n in (2, 8)]  # fmt: skip
    assert paired(*ioapics) == {"ioapic:2": "ioapic:8"}


def test_monitors_are_known_by_their_unit() -> None:
    """A performance monitor elsewhere is that of the same unit, whatever that is called now."""
    a = [unit(), Device("pmcg@1", "pmcg", HERE, properties=(("monitors", "vtd@1000"),))]
    b = [unit(0x7000), Device("pmcg@2", "pmcg", HERE, properties=(("monitors", "vtd@7000"),))]
    assert paired(a, b) == {"vtd@1000": "vtd@7000", "pmcg@1": "pmcg@2"}


def test_msi_controllers_are_known_by_place_and_role() -> None:
    """An MSI controller is known by its registers, else by whom it serves, else by being the only one."""
    a = [MsiController("its:0", "its", HERE, 0x100), MsiController("its:1", "its", HERE, 0x200)]
    b = [MsiController("dt:/its@2", "gic-its", HERE, 0x200), MsiController("dt:/its@1", "gic-its", HERE, 0x100)]
    assert paired(list(a), list(b)) == {"its:0": "dt:/its@1", "its:1": "dt:/its@2"}
    nameless: list[Record] = [MsiController("its:0", "its", HERE), MsiController("its:1", "its", HERE), root(),
                              takes(0, 8, target="its:1", carries="msi")]  # fmt: skip
    there: list[Record] = [*b, root(), takes(0, 8, target="dt:/its@1", carries="msi")]
    assert paired(nameless, there) == {"its:1": "dt:/its@1", "its:0": "dt:/its@2"}
    assert paired([MsiController("its:0", "its", HERE)], [MsiController("v2m", "gic-v2m", HERE)]) == {}


def test_host_bridges_without_a_segment() -> None:
    """A host bridge that has no segment is known by its node's name, else by being the only one."""
    a, b = PciRoot("dt:/soc/pcie@1", HERE, None), PciRoot("dt:/soc@0/pcie@1", HERE, None)
    assert paired([a], [b, PciRoot("dt:/pcie@2", HERE, None)]) == {"dt:/soc/pcie@1": "dt:/soc@0/pcie@1"}
    assert paired([a], [PciRoot("dt:/pcie@2", HERE, None)]) == {"dt:/soc/pcie@1": "dt:/pcie@2"}
    assert paired([root(1, "pci:0001")], [root(2, "pci:0002")]) == {}
    targets = takes(0, 8, source=a.name), takes(0, 8, source=b.name, target="vtd@7000")
    assert paired([a, unit(), targets[0]], [b, unit(0x7000), targets[1]]) == {
        "dt:/soc/pcie@1": "dt:/soc@0/pcie@1",
        "vtd@1000": "vtd@7000",
    }


def test_a_name_that_is_in_use_is_not_given_to_another() -> None:
    """Nothing is paired with a name that means something on the other side already."""
    grant = Grant("set", 0, 16, read=True, write=True, devices=("dt:/soc@0/usb@1",), origin=HERE)
    assert paired([*master("dt:/soc/usb@1", 1), grant], master("dt:/soc@0/usb@1", 2)) == {}
