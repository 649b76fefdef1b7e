"""The records of a device tree: properties, nodes, and the tree that holds them.

A device tree is a tree of *nodes*; each node has *properties*, which are named strings of bytes. Nothing in the tree
says of what type a property is: the binding of the node (found by its `compatible` property) does. So a `Property`
keeps the raw bytes, and whoever reads it says what they are: `cells` (32-bit big-endian numbers), `strings`
(each ended by a zero byte), and so on.

Nodes refer to one another by *phandle*: a number that the node referred to has in its `phandle` property.

`Node` and `Property` are pyfdt's node and property classes with three differences: values are raw bytes, whose type
is never guessed; adding to a node costs the same however many siblings there are; and a node is equal only to itself,
so it can be the key of a dictionary. pyfdt's own methods (`walk`, `resolve_path`, `to_dts`) work on them. This is the
only file that knows pyfdt.

Entry points: `DeviceTree`, `Node`, `Property`. Names and strings are Latin-1, one character a byte, so that damaged
names can be kept, shown and written back.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from pyfdt.pyfdt import FdtNode, FdtProperty

from ...base import Finding, Origin

ENCODING = "latin-1"
"""How names and strings become text: every byte is one character, so nothing is lost and nothing can fail."""

CELL = 4
"""Bytes of a cell."""

OVERLAY = "__overlay__"
"""Name of the node of an overlay's fragment that holds what it adds."""

FDT_PROP = 3


class Property(FdtProperty):  # type: ignore[misc]
    """One property of a node.

    Attributes:
        name: such as `iommus`.
        raw: the value, as bytes.
        offset: where the value begins in the file, in bytes; 0 for a property that was not read from a file.
        source: name of the file, when it is another one than that of the tree: an overlay.
    """

    name: str
    raw: bytes
    offset: int
    source: str = ""

    def __init__(self, name: str, raw: bytes = b"", offset: int = 0) -> None:  # pyfdt's own would search each letter
        """Make a property of the given bytes."""
        self.name = name
        self.raw = raw
        self.offset = offset

    @property
    def cells(self) -> tuple[int, ...]:
        """The value as 32-bit numbers; a part of a cell at the end is left out."""
        count = len(self.raw) // CELL
        return struct.unpack_from(f">{count}I", self.raw)

    @property
    def u32(self) -> int | None:
        """The first cell; None when the value is shorter than a cell (a longer one is read as Linux reads it)."""
        return int.from_bytes(self.raw[:4]) if len(self.raw) >= CELL else None

    @property
    def u64(self) -> int | None:
        """The first two cells as one number, high cell first; None when the value is shorter."""
        return int.from_bytes(self.raw[:8]) if len(self.raw) >= 2 * CELL else None

    @property
    def strings(self) -> tuple[str, ...]:
        """The value as a list of strings; a last one without its zero byte counts as well."""
        pieces = self.raw.decode(ENCODING).split("\0")
        return tuple(pieces[:-1] if not pieces[-1] else pieces)

    def to_raw(self) -> bytes:
        """Return the bytes (pyfdt's name for `raw`)."""
        return self.raw

    def dts_represent(self, depth: int = 0) -> str:
        """Return a line of device tree source for pyfdt's `to_dts`: cells when the length allows it, else bytes."""
        if not self.raw:
            return f"{'    ' * depth}{self.name};"
        if len(self.raw) % CELL:
            return f"{'    ' * depth}{self.name} = [{self.raw.hex(' ')}];"
        return f"{'    ' * depth}{self.name} = <{' '.join(f'0x{cell:08x}' for cell in self.cells)}>;"

    def dtb_represent(self, string_store: str, pos: int = 0, version: int = 17) -> tuple[bytes, str, int]:  # noqa: ARG002
        """Return what pyfdt's `to_dtb` asks for: the bytes, the strings block so far, the position after it."""
        name_offset = string_store.find(self.name + "\0")
        if name_offset < 0:
            name_offset = len(string_store)
            string_store += self.name + "\0"
        blob = struct.pack(">III", FDT_PROP, len(self.raw), name_offset) + padded(self.raw)
        return blob, string_store, pos + len(blob)

    def __eq__(self, other: object) -> bool:
        """Two properties are equal when they have the same name and bytes, wherever they were read."""
        if not isinstance(other, Property):
            return NotImplemented
        return self.name == other.name and self.raw == other.raw

    __ne__ = object.__ne__  # pyfdt's turns NotImplemented into a truth value

    def __hash__(self) -> int:
        """Agree with equality."""
        return hash((self.name, self.raw))

    def __len__(self) -> int:
        """Return the number of bytes."""
        return len(self.raw)

    def __bool__(self) -> bool:
        """Tell that the property is there: an empty one is how a device tree says `true`."""
        return True

    def __repr__(self) -> str:
        """Show name and bytes."""
        return f"Property({self.name!r}, {self.raw!r})"


class Node(FdtNode):  # type: ignore[misc]
    """One node of a tree.

    Attributes:
        name: with the unit address, such as `usb@1000`; `/` for the root.
        parent: the node that holds this one; None for the root.
        properties: by name, in order; of several with one name the first, which is the one that systems read.
        children: in order.
        subdata: properties and children as they were read, with whatever is there twice.
        offset: where the node begins in the file, in bytes; 0 for a node that was not read from a file.
        source: name of the file, when it is another one than that of the tree: an overlay.
    """

    name: str
    parent: Node | None
    properties: dict[str, Property]
    children: list[Node]
    subdata: list[Property | Node]
    offset: int
    source: str = ""

    def __init__(self, name: str, parent: Node | None = None, offset: int = 0) -> None:
        """Make a node without anything in it; it is not added to the parent."""
        self.name = name
        self.parent = parent
        self.offset = offset
        self.properties = {}
        self.children = []
        self.subdata = []

    def append(self, subnode: Property | Node) -> None:
        """Add a property or a child at the end."""
        self.subdata.append(subnode)
        if isinstance(subnode, Node):
            subnode.parent = self
            self.children.append(subnode)
        elif not self.children:  # Linux and libfdt do not see a property that stands after a child
            self.properties.setdefault(subnode.name, subnode)

    @property
    def path(self) -> str:
        """The full path, such as `/soc/usb@1000`; `/` for the root."""
        names = []
        node = self
        while node.parent is not None:
            names.append(node.name)
            node = node.parent
        return "/" + "/".join(reversed(names))

    @property
    def compatible(self) -> tuple[str, ...]:
        """The strings of `compatible`, most specific first; empty when there is none."""
        return self.strings("compatible")

    @property
    def available(self) -> bool:
        """Whether this node and all above it are in use: no `status`, or `okay` (or the old `ok`).

        Source: Devicetree Specification v0.4, 2.3.4; `of_device_is_available` of Linux for the spelling `ok`.
        """
        node: Node | None = self
        while node is not None:
            status = node.properties.get("status")
            if status is not None and status.raw and status.strings[:1] not in (("okay",), ("ok",)):
                return False
            node = node.parent
        return True

    def u32(self, name: str) -> int | None:
        """Return the first cell of the property of that name; None when there is none, or it is too short."""
        found = self.properties.get(name)
        return None if found is None else found.u32

    def strings(self, name: str) -> tuple[str, ...]:
        """Return the strings of the property of that name; empty when there is none."""
        found = self.properties.get(name)
        return () if found is None else found.strings

    __eq__ = object.__eq__  # a node is a place in one tree; pyfdt's comparison walks everything below
    __ne__ = object.__ne__
    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        """Tell that the node is there, also when nothing is in it."""
        return True

    def __repr__(self) -> str:
        """Show the path."""
        return f"Node({self.path!r})"


@dataclass(frozen=True, slots=True)
class Reservation:
    """An entry of the memory reservation block: physical memory that must not be used for anything else."""

    address: int
    size: int


@dataclass(frozen=True, slots=True, eq=False)
class DeviceTree:
    """A device tree that was read.

    Attributes:
        source: name of the file.
        root: the root node.
        nodes: every node, in the order of the file, parents before their children.
        phandles: nodes by phandle; of several with one phandle the first, which is the one that systems find.
        reservations: the memory reservation block.
        boot_cpu: physical ID of the CPU that boots.
        version: version of the format.
        size: bytes of the file.
        findings: what is wrong with the file, in the order in which it was found.
        overlays: names and sizes of the overlays that were applied to it, in their order.
    """

    source: str
    root: Node
    nodes: tuple[Node, ...]
    phandles: Mapping[int, Node]
    reservations: tuple[Reservation, ...] = ()
    boot_cpu: int = 0
    version: int = 17
    size: int = 0
    findings: tuple[Finding, ...] = field(default=(), repr=False)
    overlays: tuple[tuple[str, int], ...] = ()

    @property
    def is_overlay(self) -> bool:
        """Whether the tree is an overlay, which changes another tree: it has a fragment."""
        return any(child.name == OVERLAY for fragment in self.root.children for child in fragment.children)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of all files that the tree came from."""
        return (self.source, *(name for name, _ in self.overlays))

    def node(self, path: str) -> Node | None:
        """Return the node of that full path (of several, the first), or None."""
        node = self.root
        for name in filter(None, path.split("/")):
            found = next((child for child in node.children if child.name == name), None)
            if found is None:
                return None
            node = found
        return node

    def origin(self, node: Node, name: str = "", offset: int | None = None, length: int | None = None) -> Origin:
        """Name a place: a node, one of its properties, or `length` bytes at `offset` of that property's value."""
        part = f"{node.path} {name}" if name else node.path
        source = (node.properties.get(name) or node).source or self.source
        return Origin(source, part, offset, length)


def padded(data: bytes) -> bytes:
    """Return the bytes with zeros added up to a multiple of four."""
    return data + bytes(-len(data) % 4)
