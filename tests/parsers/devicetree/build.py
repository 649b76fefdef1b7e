"""Small device trees, written as nested calls: `node("soc", {"ranges": b""}, node(...))`."""

from __future__ import annotations

from collections.abc import Mapping

from iommuman.parsers.devicetree import DeviceTree, Node, Property, build_devicetree, read_devicetree

Value = bytes | str | int | tuple[int, ...] | None


def encode(value: Value) -> bytes:
    """Return a value as bytes: a number is a cell, a tuple cells, text a string with its zero, None nothing."""
    if value is None:
        return b""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("latin-1") + b"\0"
    numbers = (value,) if isinstance(value, int) else value
    return b"".join(number.to_bytes(4) for number in numbers)


def node(name: str, properties: Mapping[str, Value] | None = None, *children: Node) -> Node:
    """Return a node with these properties and children."""
    made = Node(name)
    for key, value in (properties or {}).items():
        made.append(Property(key, encode(value)))
    for child in children:
        made.append(child)
    return made


def blob(*children: Node, **properties: Value) -> bytes:
    """Return a blob whose root has these children, and 64-bit addresses and sizes."""
    root = node("/", {"#address-cells": 2, "#size-cells": 2, **properties}, *children)
    return build_devicetree(DeviceTree("", root, (), {}))


def tree(*children: Node) -> DeviceTree:
    """Return the tree that is read from the blob of these children of the root."""
    return read_devicetree(blob(*children), "board.dtb")


def at(where: DeviceTree, path: str) -> Node:
    """Return the node of that path, which must be there."""
    found = where.node(path)
    assert found is not None
    return found
