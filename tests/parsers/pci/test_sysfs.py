"""PCI functions from `/sys`: genuine trees, and trees that are odd."""

from __future__ import annotations

import json
import os
import struct
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iommuman.parsers.pci import PciFunction, PciTopology, Resource, build_pci, read_sysfs_pci, sysfs

from tests.conftest import BOARDS, FIXTURES

WHERE = "S: bus/pci/devices/0000:00:01.0: "


def unpack(name: str, folder: Path) -> Path:
    """Unpack a tree from a real machine, and return its `/sys`."""
    with tarfile.open(FIXTURES / "sys" / f"{name}.tar.gz") as archive:
        for member in archive.getmembers():
            target = os.path.normpath(Path(member.name).parent / member.linkname)
            assert not target.startswith(("..", "/")), member.name
            assert member.name == "sys" or os.path.normpath(member.name).startswith("sys/"), member.name
        # Before Python 3.11.4 there is no filter, and the checks above stand alone.
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
        archive.extractall(folder)  # noqa: S202 - every member was checked
    return folder / "sys"


@pytest.mark.parametrize("board", ["q35-vtd", "virt-smmuv3-acpi"])
def test_genuine_trees_give_what_the_boards_file_says(board: str, tmp_path: Path) -> None:
    """Every key of every function that we read from a machine's tree equals what another program read there."""
    topology = read_sysfs_pci(str(unpack(board, tmp_path)))
    assert topology.findings == ()
    built = json.loads(build_pci(topology.functions.values()))
    assert built == json.loads((BOARDS / board / "pci.json").read_text())
    assert len(built["functions"]) > 10


def space(size: int = 256, **at: bytes) -> bytes:
    """Return configuration space of Intel device 1901h, with bytes put in at offsets (`x34` is offset 34h)."""
    config = bytearray(size)
    config[:4] = struct.pack("<HH", 0x8086, 0x1901)
    config[9:12] = b"\x02\x08\x01"  # class 010802
    for place, data in at.items():
        offset = int(place[1:], 16)
        config[offset : offset + len(data)] = data
    return bytes(config)


def tree(root: Path, config: bytes | None = None, address: str = "0000:00:01.0", **files: str) -> Path:
    """Make a function's folder below a `/sys`, with text files, and return the `/sys`."""
    folder = root / "bus/pci/devices" / address
    folder.mkdir(parents=True)
    if config is not None:
        (folder / "config").write_bytes(config)
    for name, text in files.items():
        (folder / name).write_text(text)
    return root


def read(root: Path) -> tuple[PciFunction, list[str]]:
    """Return the one function of a tree, and the sentences of the findings."""
    topology = read_sysfs_pci(str(root), "S")
    (function,) = topology.functions.values()
    return function, [str(finding) for finding in topology.findings]


def sentences(topology: PciTopology) -> list[str]:
    """Return the sentences of the findings."""
    return [str(finding) for finding in topology.findings]


def test_the_header_is_read(tmp_path: Path) -> None:
    """IDs, class, header type and the bit for further functions come from configuration space."""
    function, found = read(tree(tmp_path, space(x0e=b"\x80")))
    assert found == []
    assert (function.vendor, function.device, function.class_code) == (0x8086, 0x1901, 0x010802)
    assert (function.header_type, function.multifunction, function.secondary, function.subordinate) == (
        0,
        True,
        None,
        None,
    )
    assert (function.pcie_type, function.pcie_known, function.acs) == (None, True, None)


def test_ids_of_virtual_functions_come_from_linux(tmp_path: Path) -> None:
    """A virtual function has FFFFh for IDs in configuration space; Linux's own files have the right ones."""
    root = tree(tmp_path, space(x00=b"\xff\xff\xff\xff"), vendor="0x8086\n", device="0x10ca\n", ari_enabled="1\n")
    (root / "bus/pci/devices/0000:00:01.0/class").write_text("0x020000\n")
    (root / "bus/pci/devices/0000:00:01.0/physfn").symlink_to("../0000:00:00.0")
    function, found = read(root)
    assert found == []
    assert (function.vendor, function.device, function.class_code) == (0x8086, 0x10CA, 0x020000)
    assert (function.physfn, function.ari) == ("0000:00:00.0", True)


@pytest.mark.parametrize(("kind", "secondary"), [(0, None), (1, 5), (2, 5), (3, None)])
def test_bridges_have_buses_behind_them(kind: int, secondary: int | None, tmp_path: Path) -> None:
    """Header types 1 and 2 have the secondary bus at 19h and the subordinate at 1Ah; others have none."""
    function, _ = read(tree(tmp_path, space(x0e=bytes([kind]), x19=b"\x05\x07")))
    assert (function.secondary, function.subordinate) == (secondary, None if secondary is None else 7)


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (0x0, "endpoint"), (0x1, "legacy-endpoint"), (0x4, "root-port"), (0x5, "upstream-port"),
        (0x6, "downstream-port"), (0x7, "pcie-to-pci-bridge"), (0x8, "pci-to-pcie-bridge"), (0x9, "rc-endpoint"),
        (0xA, "rc-event-collector"),
    ],
)  # fmt: skip
def test_the_pci_express_capability_tells_the_type(number: int, name: str, tmp_path: Path) -> None:
    """The capability is found by the list that begins at 34h, and bits 7:4 of its third byte are the type."""
    config = space(x06=b"\x10", x34=b"\x40", x40=b"\x01\x50", x50=b"\x10\0" + bytes([number << 4 | 2]))
    function, found = read(tree(tmp_path, config))
    assert (function.pcie_type, function.pcie_known, found) == (name, True, [])


@pytest.mark.parametrize("place", [0x40, 0xE0, 0xFC])
def test_a_short_capability_at_the_end_is_found(place: int, tmp_path: Path) -> None:
    """A capability of the first version is 20 bytes and may stand where a later one would not fit."""
    config = bytearray(space(x06=b"\x10", x34=bytes([place])))
    config[place : place + 3] = b"\x10\0\x41"
    assert read(tree(tmp_path, bytes(config)))[0].pcie_type == "root-port"


def test_a_cardbus_bridge_has_its_list_elsewhere(tmp_path: Path) -> None:
    """With header type 2 the list of capabilities begins at 14h."""
    config = space(x06=b"\x10", x0e=b"\x02", x14=b"\x80", x34=b"\x40", x40=b"\x10\0\x42", x80=b"\x10\0\x72")
    assert read(tree(tmp_path, config))[0].pcie_type == "pcie-to-pci-bridge"


NOTE = (
    "S: bus/pci/devices: the capabilities of some functions cannot be read, so bridges of PCI Express and of "
    "conventional PCI cannot be told apart; read or copy /sys as root: others see only the first 64 bytes of "
    "configuration space"
)


@pytest.mark.parametrize(
    ("config", "known"),
    [
        (space(64), False),
        (space(65), True),
        (space(256), True),
        (space(4096), True),
        (space(64, x06=b"\x10", x34=b"\x40"), False),
        (space(256, x06=b"\x10", x34=b"\x40", x40=b"\x10\0\xb2"), False),
    ],
)
def test_what_cannot_be_known_is_not_made_up(config: bytes, known: bool, tmp_path: Path) -> None:
    """With the header alone, or with a type that no specification has, nobody knows whether it is PCI Express."""
    function, found = read(tree(tmp_path, config))
    assert (function.pcie_type, function.pcie_known) == (None, known)
    assert found == ([] if known else [NOTE])


@pytest.mark.parametrize(
    "config",
    [
        space(x06=b"\x10", x34=b"\x40", x40=b"\x01\x40"),
        space(x06=b"\x10", x34=b"\x40", x40=b"\x01\x50", x50=b"\x02\x40"),
        space(x06=b"\x10", x34=b"\x40", x40=b"\x01\x10"),
        space(x06=b"\x10", x34=b"\x08"),
        space(x06=b"\x10", x34=b"\xfc", xfc=b"\x01\xfc"),
        space(x34=b"\x40", x40=b"\x10\0\x42"),
        b"\xff" * 256,
        space(4096, x100=b"\x01\0\x01\x10"),
        space(4096, x100=b"\x01\0\x01\x20", x200=b"\x01\0\x01\x10"),
        space(4096, x100=b"\x01\0\xc1\xff", xffc=b"\x0d\0\x01\0"),
        space(4096, x100=b"\x01\0\x01\x08"),
        b"\xff" * 4096,
        bytes(4096),
    ],
)
def test_lists_that_loop_or_lead_nowhere_end(config: bytes, tmp_path: Path) -> None:
    """Lists that come back to themselves, point into the header or to the end, or are not there hold nothing."""
    function, _ = read(tree(tmp_path, config))
    assert (function.pcie_type, function.acs) == (None, None)


def test_access_control_is_read_from_the_extended_list(tmp_path: Path) -> None:
    """The capability and control registers are at 4 and 6 of extended capability Dh, wherever it is in the list."""
    config = space(4096, x100=b"\x01\0\x01\x20", x200=b"\x0d\0\x01\0\x5f\0\x1d\0")
    assert read(tree(tmp_path, config))[0].acs == (0x5F, 0x1D)
    config = space(0x208, x100=b"\x01\0\x01\x20", x200=b"\x0d\0\x01\0\x5f\0\x1d\0")
    assert read(tree(tmp_path / "just", config))[0].acs == (0x5F, 0x1D)
    assert read(tree(tmp_path / "cut", config[:-1]))[0].acs is None


@settings(max_examples=60, deadline=None)
@given(head=st.binary(min_size=64, max_size=64), rest=st.binary(max_size=300), linked=st.booleans())
def test_any_configuration_space_is_answered(
    tmp_path_factory: pytest.TempPathFactory,
    head: bytes,
    rest: bytes,
    linked: bool,
) -> None:
    """Whatever the bytes, a function comes out, and it can be kept as a file."""
    config = head[:6] + (b"\x10" if linked else b"\0") + head[7:] + rest
    topology = read_sysfs_pci(str(tree(tmp_path_factory.mktemp("sys"), config)))
    assert len(topology.functions) == 1
    assert build_pci(topology.functions.values())


CONFIG_RULE = "the configuration space of the function cannot be read: config is"
CONFIG_REST = (
    "expected at least 64 bytes (PCI Local Bus Specification 3.0 §6.1); the function is left out; read or copy /sys as "
    "root"
)


@pytest.mark.parametrize(
    ("config", "found"),
    [
        (None, "not readable (No such file or directory)"),
        (b"", "0 bytes long"),
        (space(63), "63 bytes long"),
        (space(64), ""),
    ],
)
def test_a_function_without_its_header_is_left_out(config: bytes | None, found: str, tmp_path: Path) -> None:
    """Without 64 bytes of configuration space a function is left out, and the others are not."""
    root = tree(tree(tmp_path, config), space(), "0000:00:02.0")
    topology = read_sysfs_pci(str(root), "S")
    assert list(topology.functions) == ([(0, 16)] if found else [(0, 8), (0, 16)])
    assert sentences(topology) == ([f"{WHERE}{CONFIG_RULE} {found}, {CONFIG_REST}"] if found else [NOTE])


def test_pipes_folders_and_loops_in_place_of_files_do_no_harm(tmp_path: Path) -> None:
    """A named pipe does not hang the reader; it, a folder and a link to itself are told and passed by."""
    root = tree(tmp_path, None)
    os.mkfifo(root / "bus/pci/devices/0000:00:01.0/config")
    folder = tree(tree(tmp_path, None, "0000:00:02.0"), space(), "0000:00:03.0") / "bus/pci/devices"
    (folder / "0000:00:02.0/config").symlink_to("config")
    for name in ("vendor", "driver", "physfn", "resource"):
        os.mkfifo(folder / "0000:00:03.0" / name)
    (folder / "0000:00:03.0/numa_node").mkdir()
    (folder / "0000:00:04.0").symlink_to("0000:00:04.0")
    (folder / "0000:00:05.0").symlink_to("../../../nowhere")
    topology = read_sysfs_pci(str(root), "S")
    (function,) = topology.functions.values()
    assert (function.address, function.vendor, function.driver, function.physfn) == ("0000:00:03.0", 0x8086, None, None)
    text = "an attribute of the function cannot be read:"
    third = "S: bus/pci/devices/0000:00:03.0"
    assert sentences(topology) == [
        f"{WHERE}{CONFIG_RULE} not readable (it is no regular file), {CONFIG_REST}",
        (
            f"S: bus/pci/devices/0000:00:02.0: {CONFIG_RULE} not readable (Too many levels of symbolic links), "
            f"{CONFIG_REST}"
        ),
        (
            f"{third}: {text} vendor is not readable (it is no regular file), expected a hexadecimal number of "
            f"16 bits; the function is "
            "read without it"
        ),
        (
            f"{third}: {text} numa_node is not readable (Is a directory), expected a decimal number; the function "
            f"is read without it"
        ),
        (
            f"{third}: {text} resource is not readable (it is no regular file), expected lines of three "
            f"hexadecimal numbers; the function "
            "is read without it"
        ),
        (
            f"S: bus/pci/devices/0000:00:04.0: {CONFIG_RULE} not readable (Too many levels of symbolic links), "
            f"{CONFIG_REST}"
        ),
        f"S: bus/pci/devices/0000:00:05.0: {CONFIG_RULE} not readable (No such file or directory), {CONFIG_REST}",
    ]


@pytest.mark.parametrize(
    ("name", "text", "found", "expected"),
    [
        ("numa_node", "", "''", "a decimal number"),
        ("numa_node", "none\x1b" * 20, repr("none\x1b" * 8), "a decimal number"),
        ("numa_node", "9" * 5000, f"'{'9' * 40}'", "a decimal number"),
        ("vendor", "0x18086", "'0x18086'", "a hexadecimal number of 16 bits"),
        ("device", "-1", "'-1'", "a hexadecimal number of 16 bits"),
        ("class", "0x1000000", "'0x1000000'", "a hexadecimal number of 24 bits"),
        ("ari_enabled", "yes", "'yes'", "0 or 1"),
        ("resource", "0x0 0x0", "'0x0 0x0'", "lines of three hexadecimal numbers"),
        ("resource", "0x0 0x0 0x1 0x1", "'0x0 0x0 0x1 0x1'", "lines of three hexadecimal numbers"),
        ("resource", "a b g", "'a b g'", "lines of three hexadecimal numbers"),
        ("resource", f"0 0 1{'0' * 16}", "'0 0 10000000000000000'", "lines of three hexadecimal numbers"),
    ],
)  # fmt: skip
def test_an_odd_attribute_costs_only_itself(name: str, text: str, found: str, expected: str, tmp_path: Path) -> None:
    """A file beside the configuration space that cannot be read is told, and the function is read without it."""
    function, sentences_ = read(tree(tmp_path, space(), **{name: text}))
    assert sentences_ == [
        (
            f"{WHERE}an attribute of the function cannot be read: {name} is {found}, expected {expected}; the "
            f"function is "
            "read without it"
        )
    ]
    assert (function.vendor, function.numa_node, function.resources, function.ari) == (0x8086, None, (), False)


def test_attributes_are_read_as_linux_writes_them(tmp_path: Path) -> None:
    """The node is a number, with -1 for none; windows in use have flags; a copy may have text in place of links."""
    unused = "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
    window = "0x00000000fe000000 0x00000000fe0fffff 0x0000000000040200\n"
    root = tree(tmp_path, space(), numa_node="1\n", resource=unused + window + unused, driver="nvme\n", physfn="\n")
    function, found = read(root)
    assert found == []
    assert (function.numa_node, function.driver, function.physfn) == (1, "nvme", None)
    assert function.resources == (Resource(0xFE000000, 0xFE0FFFFF, 0x40200),)
    assert read(tree(tmp_path / "none", space(), numa_node="-1\n", ari_enabled="0\n"))[0].numa_node is None


def test_a_machine_without_pci_has_no_functions(tmp_path: Path) -> None:
    """No folder of devices means no functions, and nothing is wrong."""
    topology = read_sysfs_pci(str(tmp_path))
    assert (topology.functions, topology.findings, topology.source) == ({}, (), "/sys")


def test_names_that_are_no_addresses_are_passed_by(tmp_path: Path) -> None:
    """Only folders named after a function count."""
    root = tree(tree(tmp_path, space()), space(), "README")
    assert list(read_sysfs_pci(str(root)).functions) == [(0, 8)]


def test_what_is_no_folder_is_told(tmp_path: Path) -> None:
    """A file where the folder of devices should be gives a finding and no functions."""
    (tmp_path / "bus/pci").mkdir(parents=True)
    (tmp_path / "bus/pci/devices").write_text("text")
    topology = read_sysfs_pci(str(tmp_path), "S")
    assert topology.functions == {}
    assert sentences(topology) == [
        "S: bus/pci/devices: the functions cannot be listed: Not a directory; read or copy /sys as root"
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_what_is_forbidden_is_told(tmp_path: Path) -> None:
    """A folder or a file that may not be read gives a finding."""
    root = tree(tmp_path, space())
    config = root / "bus/pci/devices/0000:00:01.0/config"
    config.chmod(0)
    assert sentences(read_sysfs_pci(str(root), "S")) == [
        f"{WHERE}{CONFIG_RULE} not readable (Permission denied), {CONFIG_REST}"
    ]
    (root / "bus/pci/devices").chmod(0)
    try:
        assert sentences(read_sysfs_pci(str(root), "S")) == [
            "S: bus/pci/devices: the functions cannot be listed: Permission denied; read or copy /sys as root"
        ]
    finally:
        (root / "bus/pci/devices").chmod(0o755)


@pytest.mark.parametrize("most", [3, 2])
def test_the_number_of_functions_is_bounded(most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to the limit all functions are read, above it the first by name, with a finding."""
    monkeypatch.setattr(sysfs, "MAX_FUNCTIONS", most)
    for number in (3, 1, 2):
        tree(tmp_path, space(), f"0000:00:0{number}.0")
    topology = read_sysfs_pci(str(tmp_path), "S")
    assert list(topology.functions) == [(0, 8 * number) for number in (1, 2, 3)[:most]]
    sentence = (
        "S: bus/pci/devices: there are too many functions: found 3, expected at most 2; only the first by name are read"
    )
    assert sentences(topology) == [sentence] * (most == 2)
