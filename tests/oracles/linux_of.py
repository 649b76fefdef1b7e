"""How Linux translates IDs through `iommu-map` and `msi-map` (drivers/of/base.c, of_map_id), worked out anew.

The blob is read by the small reader below. `modern` asks for the rule of Linux 7.1 and later, which takes the cells of
an entry from the target; before, an entry always had four. For a `msi-map` whose target has no `#msi-cells` (GICv2m
frames often have none) both rules here read entries of four cells: what the new rule does was not settled when this was
written.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import NamedTuple

_CELLS_NAMES = {"iommu-map": "#iommu-cells", "msi-map": "#msi-cells"}
_BEGIN, _END_NODE, _PROP, _NOP, _END = 1, 2, 3, 4, 9


class MapError(ValueError):
    """Linux returns an error for the map: the device is left without this translation, or is not probed."""


class Target(NamedTuple):
    """Path of the node an ID is mapped to, and the cells of the specifier."""

    path: str
    cells: tuple[int, ...]


@dataclass(slots=True)
class FdtNode:
    """A node: its path, raw properties and children."""

    path: str
    properties: dict[str, bytes] = field(default_factory=dict)
    children: list[FdtNode] = field(default_factory=list)


def read_fdt(blob: bytes) -> FdtNode:
    """Return the root of a well-formed blob of version 16 or 17.

    Raises:
        ValueError: the blob is not well-formed.
    """
    try:
        return _read_fdt(blob)
    except (struct.error, IndexError) as error:
        raise ValueError(f"damaged blob: {error}") from error


def _read_fdt(blob: bytes) -> FdtNode:
    magic, _, at, strings = struct.unpack_from(">IIII", blob)
    if magic != 0xD00DFEED:
        raise ValueError(f"magic 0x{magic:x}")
    top = FdtNode("")
    open_nodes = [top]
    while True:
        (token,) = struct.unpack_from(">I", blob, at)
        at += 4
        if token == _BEGIN:
            end = blob.index(0, at)
            name = blob[at:end].decode("latin-1")
            above = open_nodes[-1].path
            node = FdtNode(("/" + name) if above in ("", "/") else f"{above}/{name}")
            open_nodes[-1].children.append(node)
            open_nodes.append(node)
            at = (end + 4) & ~3
        elif token == _END_NODE:
            open_nodes.pop()
        elif token == _PROP:
            length, name_at = struct.unpack_from(">II", blob, at)
            start = strings + name_at
            name = blob[start : blob.index(0, start)].decode("latin-1")
            open_nodes[-1].properties[name] = blob[at + 8 : at + 8 + length]
            at = (at + 8 + length + 3) & ~3
        elif token == _END:
            return top.children[0]
        elif token != _NOP:
            raise ValueError(f"token 0x{token:x}")


def nodes(root: FdtNode) -> list[FdtNode]:
    """Return all nodes, parents first, in the order of the blob."""
    found, waiting = [], [root]
    while waiting:
        node = waiting.pop()
        found.append(node)
        waiting.extend(reversed(node.children))
    return found


def map_id(
    dtb_bytes: bytes, host_path: str, rid: int, name: str = "iommu-map", *, modern: bool = True
) -> Target | None:
    """Return where the host's map sends an ID; None when it has no map, or none of its entries is for the ID.

    Raises:
        MapError: Linux refuses the map.
    """
    every = nodes(read_fdt(dtb_bytes))
    host = next(node for node in every if node.path == host_path)
    value = host.properties.get(name)
    if value is None:
        return None
    if not value or len(value) % 4 or (not modern and len(value) % 16):
        raise MapError(f"bad length {len(value)}")
    mask_value = host.properties.get(f"{name}-mask")
    mask = int.from_bytes(mask_value[:4], "big") if mask_value else 0xFFFFFFFF
    by_phandle = {}
    for node in reversed(every):
        for key in ("linux,phandle", "phandle"):
            if key in node.properties:
                by_phandle[int.from_bytes(node.properties[key], "big")] = node
    words = struct.unpack(f">{len(value) // 4}I", value)
    return (_modern if modern else _old)(words, rid & mask, mask, by_phandle, _CELLS_NAMES[name])


def _old(
    words: tuple[int, ...], masked: int, mask: int, by_phandle: dict[int, FdtNode], _cells_name: str
) -> Target | None:
    for base, phandle, output, length in zip(*[iter(words)] * 4, strict=True):
        if base & ~mask:
            raise MapError(f"the mask hides base 0x{base:x}")
        if base <= masked < (base + length) & 0xFFFFFFFF:
            if phandle not in by_phandle:
                raise MapError(f"no node has phandle 0x{phandle:x}")
            return Target(by_phandle[phandle].path, ((masked - base + output) & 0xFFFFFFFF,))
    return None


def _modern(
    words: tuple[int, ...], masked: int, mask: int, by_phandle: dict[int, FdtNode], cells_name: str
) -> Target | None:
    at = 0
    legacy = False
    while at < len(words):
        if len(words) - at < 2:
            raise MapError("the last entry is cut off")
        base, phandle = words[at : at + 2]
        if base & ~mask:
            raise MapError(f"the mask hides base 0x{base:x}")
        if phandle not in by_phandle:
            raise MapError(f"no node has phandle 0x{phandle:x}")
        target = by_phandle[phandle]
        count_value = target.properties.get(cells_name)
        if count_value is None and cells_name == "#iommu-cells" and not legacy:
            raise MapError(f"{target.path} has no {cells_name}")
        count = 1 if legacy or count_value is None else int.from_bytes(count_value[:4], "big")
        if len(words) - at < 3 + count:
            raise MapError("the last entry is cut off")
        if at == 0 and count == 2:
            legacy = len(words) % 4 == 0 and all(
                words[i + 1] == phandle and words[i + 3] == 1 for i in range(0, len(words), 4)
            )
            count = 1 if legacy else count
        output = words[at + 2 : at + 2 + count]
        length = words[at + 2 + count]
        at += 3 + count
        if length > 1 and count > 1:
            raise MapError(f"{length} IDs to a specifier of {count} cells")
        if base <= masked and masked - base < length:
            cells = tuple((masked - base + cell) & 0xFFFFFFFF for cell in output)
            return Target(target.path, (*cells, 0) if legacy else cells)
    return None
