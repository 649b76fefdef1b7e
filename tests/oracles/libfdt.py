"""The properties and IOMMU references of a device tree as libfdt reads them (package pylibfdt)."""

from __future__ import annotations

import importlib
from typing import Any

from . import OracleMissing
from .dts import View, views_of


def properties(dtb_bytes: bytes) -> dict[str, dict[str, bytes]]:
    """Return the raw properties of every node, by path.

    Raises:
        OracleMissing: pylibfdt is not installed.
        ValueError: libfdt refuses the blob.
    """
    try:
        fdt: Any = importlib.import_module("libfdt")
    except ImportError as error:
        raise OracleMissing("pylibfdt is not installed") from error
    try:
        tree = fdt.FdtRo(dtb_bytes)
        if fdt.fdt_check_full(bytearray(dtb_bytes), len(dtb_bytes)):
            raise ValueError("libfdt's full check refuses the blob")  # reading on could crash libfdt
        found: dict[str, dict[str, bytes]] = {}
        names: list[str] = []
        offset, depth = 0, 0
        while offset >= 0:
            del names[depth:]
            names.append(tree.get_name(offset))
            path = "/" + "/".join(names[1:])
            found[path] = dict(_properties(fdt, tree, offset))
            offset, depth = tree.next_node(offset, depth, (fdt.NOTFOUND, fdt.BADOFFSET))
            if depth < 0:
                break
    except fdt.FdtException as error:
        raise ValueError(str(error)) from error
    return found


def _properties(fdt: Any, tree: Any, node: int) -> list[tuple[str, bytes]]:
    found = []
    at = tree.first_property_offset(node, (fdt.NOTFOUND,))
    while at >= 0:
        one = tree.get_property_by_offset(at)
        found.append((one.name, bytes(one)))
        at = tree.next_property_offset(at, (fdt.NOTFOUND,))
    return found


def iommu_views(dtb_bytes: bytes) -> dict[str, View]:
    """Return the same as `dts.iommu_views`, by way of libfdt."""
    return views_of(properties(dtb_bytes))


def apply_overlay(base: bytes, overlay: bytes) -> bytes:
    """Return the base with the overlay applied.

    Raises:
        OracleMissing: pylibfdt is not installed.
        ValueError: libfdt refuses the two.
    """
    try:
        fdt: Any = importlib.import_module("libfdt")
    except ImportError as error:
        raise OracleMissing("pylibfdt is not installed") from error
    into = fdt.Fdt(base)
    into.resize(len(base) + 2 * len(overlay) + 4096)
    merged = into.as_bytearray()
    status = fdt.fdt_overlay_apply(merged, bytearray(overlay))
    if status:
        raise ValueError(f"libfdt refuses the overlay: {fdt.strerror(status)}")
    return bytes(merged)
