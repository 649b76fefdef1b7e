"""What `dtc -I dtb -O dts` says of a device tree, and the IOMMU references in it, decoded by code of its own.

A tree is plain dictionaries: `{"name": str, "path": str, "properties": {name: bytes}, "children": [tree, ...]}`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from . import OracleMissing

Tree = dict[str, Any]
"""A node: name, path, properties, children."""
Entry = tuple[str | None, tuple[int, ...]]
"""Path of the node a phandle means (None when no node has it), and the cells that go with it."""
View = dict[str, list[Any]]
"""What a node says of IOMMUs: property name to its decoded entries."""

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|//[^\n]*|/\*.*?\*/)
  | (?P<string>"(?:\\.|[^"\\])*")
  | (?P<bytes>\[[0-9A-Fa-f\s]*\])
  | (?P<cells><[^>]*>)
  | (?P<directive>/[a-z0-9-]+/)
  | (?P<label>[A-Za-z_][A-Za-z0-9_]*:)
  | (?P<mark>[{};=,])
  | (?P<number>0x[0-9A-Fa-f]+)
  | (?P<name>[A-Za-z0-9,._+?\#@*/~-]+)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"0": 0, "a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13}
_ESCAPE = re.compile(rb"\\(x[0-9A-Fa-f]{2}|.)", re.DOTALL)
"""dtc writes a NUL as `\\0` whatever follows, even a digit, so a number of octal digits would be read wrongly here."""


def decompile(path: Path) -> str:
    """Return dtc's text of a blob.

    Raises:
        OracleMissing: dtc is not installed.
        ValueError: dtc refuses the blob.
    """
    dtc = shutil.which("dtc")
    if dtc is None:
        raise OracleMissing("dtc is not installed (Debian: device-tree-compiler)")
    ended = subprocess.run([dtc, "-q", "-f", "-I", "dtb", "-O", "dts", str(path)], capture_output=True, check=False)
    if ended.returncode:
        raise ValueError(ended.stderr.decode("latin-1").strip())
    return ended.stdout.decode("latin-1")


def read_tree(path: Path) -> Tree:
    """Return the tree of a blob, by way of dtc (see `decompile` for the errors)."""
    return parse_dts(decompile(path))


def parse_dts(text: str) -> Tree:
    """Return the tree of dtc's own output; hand-written sources may use more than is understood here.

    Raises:
        ValueError: something is not understood.
    """
    words = _tokens(text)
    root: Tree | None = None
    open_nodes: list[Tree] = []
    for kind, word in words:
        if kind == "label":
            continue
        if kind == "directive":
            _pass_directive(word, words)
        elif word == "}":
            open_nodes.pop()
            _expect(words, ";")
        elif kind in ("name", "number"):
            following = next(words)[1]
            if following == "{":
                node = _node(word, open_nodes[-1] if open_nodes else None)
                root = root or node
                open_nodes.append(node)
            elif following in ("=", ";"):
                open_nodes[-1]["properties"][word] = _value(words) if following == "=" else b""
            else:
                raise ValueError(f"{following!r} after {word!r}")
        else:
            raise ValueError(f"unexpected {word!r}")
    if root is None:
        raise ValueError("no root node")
    return root


def _pass_directive(directive: str, words: Iterator[tuple[str, str]]) -> None:
    """Pass by a version mark or a memory reservation, up to its semicolon."""
    if directive not in ("/dts-v1/", "/plugin/", "/memreserve/"):
        raise ValueError(f"directive {directive}")
    while next(words)[1] != ";":
        pass


def _node(name: str, parent: Tree | None) -> Tree:
    if parent is None:
        return {"name": "", "path": "/", "properties": {}, "children": []}
    path = f"{'' if parent['path'] == '/' else parent['path']}/{name}"
    node: Tree = {"name": name, "path": path, "properties": {}, "children": []}
    parent["children"].append(node)
    return node


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise ValueError(f"not understood: {text[at : at + 40]!r}")
        if match.lastgroup != "space":
            yield match.lastgroup, match[0]
        at = match.end()


def _expect(words: Iterator[tuple[str, str]], wanted: str) -> None:
    found = next(words)[1]
    if found != wanted:
        raise ValueError(f"{found!r} in place of {wanted!r}")


def _value(words: Iterator[tuple[str, str]]) -> bytes:
    """Return the bytes of a property's value, up to its semicolon."""
    found = b""
    for kind, word in words:
        if word == ";":
            return found
        if kind == "cells":
            found += b"".join(int(cell, 0).to_bytes(4, "big") for cell in word[1:-1].split())
        elif kind == "bytes":
            found += bytes.fromhex(word[1:-1])
        elif kind == "string":
            found += _ESCAPE.sub(_unescaped, word[1:-1].encode("latin-1")) + b"\0"
        elif kind != "label" and word != ",":
            raise ValueError(f"{word!r} in a value")
    raise ValueError("a value without an end")


def _unescaped(match: re.Match[bytes]) -> bytes:
    code = match[1].decode("latin-1")
    if code[0] == "x" and len(code) > 1:
        return bytes([int(code[1:], 16)])
    return bytes([_ESCAPES.get(code, ord(code))])


def every_node(tree: Tree) -> Iterator[Tree]:
    """Give all nodes, parents first, in the order of the tree."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(node["children"]))


def iommu_views(tree: Tree) -> dict[str, View]:
    """Return, by node path, what nodes say of IOMMUs and message targets.

    `iommus` and `msi-parent` become lists of `Entry`; `iommu-map` and `msi-map` lists of (base, target path, specifier
    cells, length); `iommu-map-mask` and `msi-map-mask` lists of numbers. A map's entries have as many specifier cells
    as the target asks for, or one where four words an entry fit the whole map and the target's own count does not. What
    cannot be decoded is there as `("undecoded", bytes)` after what could be.
    """
    nodes = {node["path"]: node["properties"] for node in every_node(tree)}
    return views_of(nodes)


def views_of(nodes: Mapping[str, Mapping[str, bytes]]) -> dict[str, View]:
    """Return the views of nodes given by path; see `iommu_views`."""
    targets: dict[int, str] = {}
    for path, properties in nodes.items():
        for name in ("phandle", "linux,phandle"):
            if len(properties.get(name, b"")) == 4:
                targets.setdefault(_words(properties[name])[0], path)
    found = {}
    for path, properties in nodes.items():
        view: View = {}
        for name, cells_name in (("iommus", "#iommu-cells"), ("msi-parent", "#msi-cells")):
            if name in properties:
                view[name] = _references(properties[name], targets, nodes, cells_name)
        for name, cells_name in (("iommu-map", "#iommu-cells"), ("msi-map", "#msi-cells")):
            if name in properties:
                view[name] = _map(properties[name], targets, nodes, cells_name)
            if f"{name}-mask" in properties:
                view[f"{name}-mask"] = list(_words(properties[f"{name}-mask"]))
        if view:
            found[path] = view
    return found


def _words(value: bytes) -> tuple[int, ...]:
    return tuple(int.from_bytes(value[at : at + 4], "big") for at in range(0, len(value) // 4 * 4, 4))


def _count(nodes: Mapping[str, Mapping[str, bytes]], target: str | None, name: str) -> int | None:
    """Return how many cells a target's specifiers have; an MSI controller may leave it out for none."""
    value = nodes[target].get(name) if target is not None else None
    if value is None:
        return 0 if name == "#msi-cells" and target is not None else None
    return _words(value)[0] if len(value) == 4 else None


def _references(
    value: bytes, targets: Mapping[int, str], nodes: Mapping[str, Mapping[str, bytes]], cells_name: str
) -> list[Any]:
    found: list[Any] = []
    words = _words(value)
    at = 0
    while at < len(words):
        target = targets.get(words[at])
        count = _count(nodes, target, cells_name)
        if count is None or at + 1 + count > len(words):
            break
        found.append((target, words[at + 1 : at + 1 + count]))
        at += 1 + count
    if 4 * at != len(value):
        found.append(("undecoded", value[4 * at :]))
    return found


def _map(
    value: bytes, targets: Mapping[int, str], nodes: Mapping[str, Mapping[str, bytes]], cells_name: str
) -> list[Any]:
    words = _words(value)
    own = _map_entries(words, targets, nodes, cells_name)
    if own is None and len(words) % 4 == 0:
        own = [
            (words[at], targets.get(words[at + 1]), words[at + 2 : at + 3], words[at + 3])
            for at in range(0, len(words), 4)
        ]
    if own is None or len(value) % 4:
        return [*(own or []), ("undecoded", value)]
    return own


def _map_entries(
    words: tuple[int, ...], targets: Mapping[int, str], nodes: Mapping[str, Mapping[str, bytes]], cells_name: str
) -> list[Any] | None:
    """Return the entries by the targets' own counts; None when they do not come out even."""
    found: list[Any] = []
    at = 0
    while at < len(words):
        target = targets.get(words[at + 1]) if at + 1 < len(words) else None
        count = _count(nodes, target, cells_name)
        if count is None or at + 3 + count > len(words):
            return None
        found.append((words[at], target, words[at + 2 : at + 2 + count], words[at + 2 + count]))
        at += 3 + count
    return found
