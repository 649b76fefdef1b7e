"""Flattened device trees (DTB): bytes to a tree, and a tree to bytes.

A blob is a header of ten 32-bit words, a memory reservation block, a *structure block* and a *strings block*. The
structure block is a run of tokens: BEGIN_NODE with the node's name, PROP with a length, the offset of the property's
name in the strings block and the value, END_NODE, NOP, and one END. Everything is big-endian, and everything in the
structure block begins at a multiple of four.

The reader takes each token once, so its time is proportional to the size of the blob. It believes no number before it
has held it against the size of the data: damage ends the structure where it stands, what was read until then is kept,
and a finding tells where. Only a blob without a single node is refused.

Sources: Devicetree Specification v0.4, chapter 5; `drivers/of/fdt.c` of Linux for the depth limit.
"""

from __future__ import annotations

import re
import struct
import sys
from array import array
from dataclasses import dataclass, replace
from typing import NoReturn

from ...base import Finding, Origin
from ..errors import ParseError
from .tree import CELL, ENCODING, FDT_PROP, DeviceTree, Node, Property, Reservation, padded

MAGIC = 0xD00DFEED
MAX_DEPTH = 64
"""Levels of nodes that are read, the root being the first: FDT_MAX_DEPTH of Linux."""
MAX_NAME = 255
"""Longest name, in bytes, that is taken for a name; the specification allows 31."""

_FDT_BEGIN_NODE = 1
_FDT_END_NODE = 2
_FDT_NOP = 4
_FDT_END = 9
_OLDEST_VERSION = 16
_NEWEST_VERSION = 17
_HEADER = struct.Struct(">9I")  # the tenth word, size_dt_struct, is there from version 17 on
_RESERVATION = struct.Struct(">QQ")
_NODE_NAME = re.compile(r"[0-9A-Za-z,._+@-]+")
_PROPERTY_NAME = re.compile(r"[0-9A-Za-z,._+?#*@-]+")
_CLAUSE_OF = "Devicetree Specification v0.4, {}"


@dataclass(frozen=True, slots=True)
class _Header:
    """The header's words, in its own spelling; `size_dt_struct` is None before version 17."""

    totalsize: int
    off_dt_struct: int
    off_dt_strings: int
    off_mem_rsvmap: int
    version: int
    last_comp_version: int
    boot_cpuid_phys: int
    size_dt_strings: int
    size_dt_struct: int | None


def is_devicetree(data: bytes) -> bool:
    """Tell whether the bytes begin as a flattened device tree does."""
    return data[:4] == MAGIC.to_bytes(4)


def read_devicetree(data: bytes, source: str = "") -> DeviceTree:
    """Read a flattened device tree of version 16 or 17.

    Args:
        data: the blob; bytes after its end do no harm.
        source: the name of the file, for findings and provenance.

    Returns:
        The tree, with what is wrong with the blob in `findings`.

    Raises:
        ParseError: the bytes are no device tree, are of a version that cannot be read, or hold no node.

    Source: Devicetree Specification v0.4, chapter 5.
    """
    findings: list[Finding] = []
    header = _read_header(data, source, findings)
    reservations = _read_reservations(data, header, source, findings)
    nodes = _StructureReader(data, header, source, findings).read()
    if not nodes:
        message = "there is no node in the structure block"
        if header.totalsize > len(data):
            message += f": the file is cut off after {len(data)} of {header.totalsize} bytes"
        _refuse(source, "DT-STRUCTURE", "structure block", 0, message, "5.4")
    tree = index_devicetree(source, nodes, findings, size=len(data))
    return replace(tree, reservations=reservations, boot_cpu=header.boot_cpuid_phys, version=header.version)


def index_devicetree(source: str, nodes: list[Node], findings: list[Finding], *, size: int = 0) -> DeviceTree:
    """Return the tree of these nodes, parents before their children; phandles and names are looked at."""
    phandles = _index_phandles(nodes, source, findings)
    _check_siblings(nodes, source, findings)
    return DeviceTree(source, nodes[0], tuple(nodes), phandles, size=size, findings=tuple(findings))


def build_devicetree(tree: DeviceTree) -> bytes:
    """Write a tree as a flattened device tree of version 17.

    Everything in `subdata` is written in its order, names and values byte for byte; NOP tokens and the order of the
    strings block are not kept. Names must be Latin-1 and without zero characters.

    Source: Devicetree Specification v0.4, chapter 5.
    """
    strings = bytearray()
    offsets: dict[str, int] = {}
    parts: list[bytes] = []
    todo: list[Node | Property | None] = [tree.root]  # None: the end of a node
    while todo:
        item = todo.pop()
        if item is None:
            parts.append(_FDT_END_NODE.to_bytes(4))
        elif isinstance(item, Node):
            name = "" if item is tree.root else item.name
            parts.append(_FDT_BEGIN_NODE.to_bytes(4) + padded(name.encode(ENCODING) + b"\0"))
            todo.append(None)
            todo.extend(reversed(item.subdata))
        else:
            if item.name not in offsets:
                offsets[item.name] = len(strings)
                strings += item.name.encode(ENCODING) + b"\0"
            parts.append(struct.pack(">III", FDT_PROP, len(item.raw), offsets[item.name]) + padded(item.raw))
    parts.append(_FDT_END.to_bytes(4))
    structure = b"".join(parts)
    reserved = b"".join(_RESERVATION.pack(entry.address, entry.size) for entry in tree.reservations)
    reserved += bytes(_RESERVATION.size)
    off_mem_rsvmap = _HEADER.size + 4
    off_dt_struct = off_mem_rsvmap + len(reserved)
    off_dt_strings = off_dt_struct + len(structure)
    header = _HEADER.pack(
        MAGIC,
        off_dt_strings + len(strings),
        off_dt_struct,
        off_dt_strings,
        off_mem_rsvmap,
        _NEWEST_VERSION,
        _OLDEST_VERSION,
        tree.boot_cpu,
        len(strings),
    )
    return header + len(structure).to_bytes(4) + reserved + structure + strings


def _refuse(source: str, rule: str, part: str, offset: int, message: str, clause: str) -> NoReturn:
    """Raise the error for a blob of which nothing can be read."""
    raise ParseError(Finding(rule, "error", Origin(source, part, offset), message, clause=_CLAUSE_OF.format(clause)))


def _read_header(data: bytes, source: str, findings: list[Finding]) -> _Header:
    """Read the header and hold each of its offsets against the size of the data."""
    if not is_devicetree(data):
        _refuse(source, "DT-MAGIC", "header", 0, "this does not begin as a device tree does", "5.2")
    if len(data) < _HEADER.size + 4:
        _refuse(source, "DT-SIZE", "header", 0, f"the header is cut off after {len(data)} of 40 bytes", "5.2")
    words = _HEADER.unpack_from(data)
    _, totalsize, off_struct, off_strings, off_rsvmap, version, last_comp, boot_cpu, size_strings = words
    size_struct = int.from_bytes(data[_HEADER.size : _HEADER.size + 4]) if version >= _NEWEST_VERSION else None
    if version < _OLDEST_VERSION or last_comp > _NEWEST_VERSION:
        message = f"version {version}, compatible with {last_comp}, cannot be read: versions from 16 to 17 can"
        _refuse(source, "DT-VERSION", "header", 20, message, "5.2")
    if off_struct >= len(data):
        _refuse(source, "DT-SIZE", "header", 8, f"the structure block at 0x{off_struct:x} is outside the file", "5.2")
    header = _Header(
        totalsize, off_struct, off_strings, off_rsvmap, version, last_comp, boot_cpu, size_strings, size_struct
    )

    def note(rule: str, offset: int, field: str, found: int, expected: str, message: str) -> None:
        origin = Origin(source, "header", offset, 4)
        clause = _CLAUSE_OF.format("5.2")
        value = f"0x{found:x}"
        advice = "read on with what is there"
        findings.append(Finding(rule, "error", origin, message, field, value, expected, clause, advice))

    inside = "inside the file"
    struct_end = off_struct + (size_struct or 0)
    if totalsize > len(data):
        note("DT-SIZE", 4, "totalsize", totalsize, f"at most 0x{len(data):x}", "the file is cut off")
    elif totalsize < max(struct_end, off_strings + size_strings):
        note("DT-SIZE", 4, "totalsize", totalsize, "all blocks inside", "a block reaches beyond the tree's end")
    if struct_end > len(data):
        note("DT-SIZE", 36, "size_dt_struct", struct_end - off_struct, inside, "the structure block is cut off")
    if off_strings + size_strings > len(data):
        note("DT-SIZE", 32, "size_dt_strings", size_strings, inside, "the strings block is cut off")
    if off_struct % 4:
        note("DT-ALIGN", 8, "off_dt_struct", off_struct, "a multiple of 4", "the structure block is not aligned")
    if off_rsvmap % 8:
        note("DT-ALIGN", 16, "off_mem_rsvmap", off_rsvmap, "a multiple of 8", "the reservations are not aligned")
    return header


def _read_reservations(data: bytes, header: _Header, source: str, findings: list[Finding]) -> tuple[Reservation, ...]:
    """Read the memory reservation block up to its entry of zeros, or to the end of the data."""
    found: list[Reservation] = []
    offset = header.off_mem_rsvmap
    while offset + _RESERVATION.size <= len(data):
        address, size = _RESERVATION.unpack_from(data, offset)
        if not address and not size:
            return tuple(found)
        found.append(Reservation(address, size))
        offset += _RESERVATION.size
    # Without its end nobody can tell entries from what follows them, so none is believed.
    message = "the memory reservation block has no end; its entries are left out"
    origin = Origin(source, "memory reservation block", 0)
    findings.append(Finding("DT-RESERVE", "error", origin, message, clause=_CLAUSE_OF.format("5.3")))
    return ()


class _StructureReader:
    """Reads the structure block, token by token; `read` is its one entry."""

    __slots__ = (
        "current",
        "data",
        "depth",
        "findings",
        "names",
        "nodes",
        "source",
        "start",
        "strings_end",
        "strings_start",
        "words",
    )

    def __init__(self, data: bytes, header: _Header, source: str, findings: list[Finding]) -> None:
        """Find the two blocks inside the data."""
        self.data = data
        self.source = source
        self.findings = findings
        self.start = header.off_dt_struct
        size = len(data) if header.size_dt_struct is None else header.size_dt_struct
        end = min(self.start + size, len(data))
        self.words = array("I", data[self.start : end - (end - self.start) % 4])
        if sys.byteorder == "little":
            self.words.byteswap()
        self.strings_start = header.off_dt_strings
        self.strings_end = min(header.off_dt_strings + header.size_dt_strings, len(data))
        self.names: dict[int, str | None] = {}
        self.nodes: list[Node] = []
        self.current: Node | None = None
        self.depth = 0  # of the token that is next; greater than MAX_DEPTH inside nodes that are left out

    def read(self) -> list[Node]:
        """Return the nodes that can be read, in order; empty when there is none."""
        words = self.words
        index = 0
        while index < len(words):
            token = words[index]
            if token == FDT_PROP:
                after = self._property(index)
            elif token == _FDT_BEGIN_NODE:
                after = self._begin_node(index)
            elif token == _FDT_END_NODE:
                after = self._end_node(index)
            elif token == _FDT_NOP:
                after = index + 1
            elif token == _FDT_END:
                if self.depth:
                    self._finding(index, "the tree ends inside a node")
                return self.nodes
            else:
                self._finding(index, f"there is no token 0x{token:x}; the rest of the tree is lost")
                return self.nodes
            if after is None:
                return self.nodes
            index = after
        self._finding(len(words), "the structure block ends without an END token; what stood after it is lost")
        return self.nodes

    def _begin_node(self, index: int) -> int | None:
        """Take a BEGIN_NODE token; return the index of the token after it, None when it cannot be known."""
        data = self.data
        position = self.start + 4 * (index + 1)
        limit = min(self.start + 4 * len(self.words), position + MAX_NAME + 1)
        end = data.find(b"\0", position, limit)
        if end < 0:
            self._finding(index, "a node's name has no end; the rest of the tree is lost")
            return None
        if not self.depth and self.nodes:
            self._finding(index, "there is a second root; it is left out")
            return None
        self.depth += 1
        if self.depth > MAX_DEPTH:
            if self.depth == MAX_DEPTH + 1:
                self._finding(index, f"nodes are nested deeper than {MAX_DEPTH}; those below are left out", "DT-DEPTH")
        else:
            name = data[position:end].decode(ENCODING) if self.nodes else "/"
            parent = self.current
            node = Node(name, parent, self.start + 4 * index)
            if parent is not None:
                parent.subdata.append(node)
                parent.children.append(node)
                if not _NODE_NAME.fullmatch(name):
                    self._name_finding(node, f"{name!r} is no name for a node")
            self.nodes.append(node)
            self.current = node
        return index + 1 + (end - position) // 4 + 1

    def _end_node(self, index: int) -> int | None:
        """Take an END_NODE token."""
        if not self.depth:
            self._finding(index, "a node ends that has not begun; the rest of the tree is lost")
            return None
        if self.depth <= MAX_DEPTH and self.current is not None:
            self.current = self.current.parent
        self.depth -= 1
        return index + 1

    def _property(self, index: int) -> int | None:
        """Take a PROP token with its value; return the index of the token after it, None when it cannot be known."""
        words = self.words
        if index + 2 >= len(words):
            self._finding(index, "a property is cut off")
            return None
        length = words[index + 1]
        after = index + 3 + (length + 3) // 4
        if after > len(words):
            self._finding(index, f"a property of {length} bytes reaches beyond the structure block; the rest is lost")
            return None
        if not self.depth:
            self._finding(index, "a property stands outside of any node; it is left out")
            return after
        node = self.current
        if self.depth > MAX_DEPTH or node is None:
            return after
        name_offset = words[index + 2]
        name = self.names[name_offset] if name_offset in self.names else self._name(name_offset)
        if name is None:
            message = f"a property has no name at 0x{name_offset:x} of the strings block; it is left out"
            self._name_finding(node, message)
            return after
        offset = self.start + 4 * (index + 3)
        found = Property(name, self.data[offset : offset + length], offset)
        node.subdata.append(found)
        if node.children:
            message = "a property stands after a child node, where Linux and libfdt do not see it"
            self.findings.append(self._at(node, name, "DT-ORDER", message, "5.4.2"))
        elif node.properties.setdefault(name, found) is not found:
            message = "the property is there twice; the first counts"
            self.findings.append(self._at(node, name, "DT-DUPLICATE", message, "2.2.4"))
        return after

    def _name(self, offset: int) -> str | None:
        """Return the string at that offset of the strings block, None when there is none; remember it."""
        position = self.strings_start + offset
        end = self.data.find(b"\0", position, min(self.strings_end, position + MAX_NAME + 1))
        name = None if end <= position else self.data[position:end].decode(ENCODING)
        if name is not None and not _PROPERTY_NAME.fullmatch(name):
            origin = Origin(self.source, "strings block", offset, len(name))
            message = f"{name!r} is no name for a property"
            clause = _CLAUSE_OF.format("2.2.4")
            self.findings.append(Finding("DT-NAME", "warning", origin, message, clause=clause))
        self.names[offset] = name
        return name

    def _finding(self, index: int, message: str, rule: str = "DT-STRUCTURE") -> None:
        """Report damage at a token."""
        origin = Origin(self.source, "structure block", 4 * index)
        self.findings.append(Finding(rule, "error", origin, message, clause=_CLAUSE_OF.format("5.4")))

    def _name_finding(self, node: Node, message: str) -> None:
        """Report a name that is none."""
        self.findings.append(self._at(node, "", "DT-NAME", message, "2.2.1"))

    def _at(self, node: Node, name: str, rule: str, message: str, clause: str) -> Finding:
        """Make a warning about a node or one of its properties."""
        part = f"{node.path} {name}" if name else node.path
        return Finding(rule, "warning", Origin(self.source, part), message, clause=_CLAUSE_OF.format(clause))


def _index_phandles(nodes: list[Node], source: str, findings: list[Finding]) -> dict[int, Node]:
    """Map phandles to nodes; the first of several wins, as it does in Linux and libfdt."""
    index: dict[int, Node] = {}
    for node in nodes:
        name = "phandle" if "phandle" in node.properties else "linux,phandle"
        found = node.properties.get(name)
        if found is None:
            continue
        phandle = found.u32
        if phandle is None or len(found.raw) != CELL:
            message = f"a phandle has {CELL} bytes, not {len(found.raw)}"
        elif phandle in (0, 0xFFFFFFFF):
            message = f"0x{phandle:x} is no phandle: nothing can refer to this node"
        elif phandle in index:
            message = f"phandle 0x{phandle:x} belongs to {index[phandle].path} already, to which all references go"
        else:
            index[phandle] = node
            continue
        origin = Origin(source, f"{node.path} {name}", 0, len(found.raw))
        findings.append(Finding("DT-PHANDLE", "error", origin, message, clause=_CLAUSE_OF.format("2.3.3")))
    return index


def _check_siblings(nodes: list[Node], source: str, findings: list[Finding]) -> None:
    """Report nodes of one name under one parent."""
    for node in nodes:
        if len({child.name for child in node.children}) == len(node.children):
            continue
        seen = set()
        for child in node.children:
            if child.name in seen:
                message = "a sibling has the same name; a path finds only the first"
                origin = Origin(source, child.path)
                findings.append(Finding("DT-DUPLICATE", "warning", origin, message, clause=_CLAUSE_OF.format("2.2.1")))
            seen.add(child.name)
