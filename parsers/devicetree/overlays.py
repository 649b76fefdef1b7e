"""Overlays: trees that change another tree, the base, as a boot loader applies them.

An overlay has *fragments*: a target, named by phandle or by path, and what is to be added there, in `__overlay__`. It is
built without the base, so it does not know the phandles of the nodes that it refers to: `__fixups__` says where they
go, by labels that the base keeps in `__symbols__` (a base that was built with `dtc -@`). Its own phandles are counted on
from the highest of the base, and `__local_fixups__` says where they are referred to.

An overlay is applied whole or not at all. What comes of it knows for each node and property which file has it.

Source: dtc, Documentation/dt-object-internal.txt; libfdt, `fdt_overlay_apply`, which the tests hold this to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ...base import Finding, Origin
from .blob import index_devicetree
from .tree import CELL, ENCODING, OVERLAY, DeviceTree, Node, Property

_PHANDLES = ("phandle", "linux,phandle")
_NONE = 0xFFFFFFFF


class _NotAppliedError(Exception):
    """Why an overlay is not applied: a message, and what to do."""

    def __init__(self, message: str, advice: str = "build it for this base") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice


def apply_overlays(trees: Sequence[DeviceTree]) -> tuple[list[DeviceTree], list[Finding]]:
    """Apply the overlays among the trees to the bases among them, in their order.

    An overlay is for the only base there is, else for the nearest before it.

    Returns:
        The bases, with what was applied to them, and a finding for each overlay that could not be.
    """
    bases: list[DeviceTree] = []
    findings: list[Finding] = []
    only = sum(not tree.is_overlay for tree in trees) == 1
    waiting: list[DeviceTree] = []
    for tree in trees:
        if not tree.is_overlay:
            bases.append(tree)
        elif bases:
            bases[-1] = _applied(bases[-1], tree, findings)
        else:
            waiting.append(tree)
    for tree in waiting:
        if only:
            bases[0] = _applied(bases[0], tree, findings)
        else:
            text = (
                "there is no tree before it that it could change" if bases else "there is no tree that it could change"
            )
            findings.append(_finding(tree, _NotAppliedError(text, "name the base before it")))
    return bases, findings


def _applied(base: DeviceTree, overlay: DeviceTree, findings: list[Finding]) -> DeviceTree:
    """Return the base with the overlay in it; as it is, and a finding, when it cannot be applied."""
    root = _copy(base.root, "")
    changes = _copy(overlay.root, overlay.source)
    try:
        _apply(root, changes, base)
    except _NotAppliedError as error:
        findings.append(_finding(overlay, error))
        return base
    both = index_devicetree(base.source, list(_walk(root)), [])
    known = list(dict.fromkeys((*base.findings, *overlay.findings, *both.findings)))
    overlays = (*base.overlays, (overlay.source, overlay.size))
    return replace(base, root=root, nodes=both.nodes, phandles=both.phandles, overlays=overlays, findings=tuple(known))


def _finding(overlay: DeviceTree, error: _NotAppliedError) -> Finding:
    text = f"this overlay is not applied: {error.message}"
    return Finding("DT-OVERLAY", "error", Origin(overlay.source), text, advice=error.advice)


def _walk(root: Node) -> Iterator[Node]:
    """Iterate over a node and all below it, parents before their children."""
    todo = [root]
    while todo:
        node = todo.pop()
        yield node
        todo.extend(reversed(node.children))


def _copy(root: Node, source: str) -> Node:
    """Return a copy of a tree, of which `source` is the file where nothing else is said."""
    copies: dict[Node, Node] = {}
    for node in _walk(root):
        copy = copies[node] = Node(node.name, None, node.offset)
        copy.source = node.source or source
        if node.parent in copies:
            copies[node.parent].append(copy)
        # As they were read: of two with one name the first counts, and none behind a child.
        copy.properties = {name: _copied(found, source) for name, found in node.properties.items()}
        copy.subdata[:0] = copy.properties.values()
    return copies[root]


def _copied(found: Property, source: str) -> Property:
    copy = Property(found.name, found.raw, found.offset)
    copy.source = found.source or source
    return copy


def _set(node: Node, found: Property) -> None:
    """Give a node a property, in the place of one with its name, or behind its last."""
    before = node.properties.get(found.name)
    if before is None:
        node.subdata.insert(len(node.properties), found)
    else:
        node.subdata[node.subdata.index(before)] = found
    node.properties[found.name] = found


def _child(node: Node, name: str) -> Node | None:
    return next((child for child in node.children if child.name == name), None)


def _at(root: Node, path: str) -> Node | None:
    """Return the node of that path, which begins at the root, or at an alias."""
    first, _, rest = path.partition("/")
    if first:
        aliases = _child(root, "aliases")
        whole = () if aliases is None else aliases.strings(first)
        path = f"{whole[0]}/{rest}" if whole and whole[0].startswith("/") else ""
        if not path:
            return None
    node: Node | None = root
    for name in filter(None, path.split("/")):
        node = node and _child(node, name)
    return node


def _apply(root: Node, changes: Node, base: DeviceTree) -> None:
    """Apply an overlay to the root of a base; both are copies, and change."""
    count_from = max((number for number in base.phandles if number != _NONE), default=0)
    places = dict(_local_references(changes))
    for node in _walk(changes):
        for name in _PHANDLES:
            if (found := node.properties.get(name)) is not None and len(found.raw) == CELL:
                _put(found, 0, _counted(int.from_bytes(found.raw), count_from))
    for found, offsets in places.items():
        for offset in offsets:
            _put(found, offset, _counted(int.from_bytes(found.raw[offset : offset + CELL]), count_from))
    _resolve_labels(root, changes)
    fragments = [(node, content) for node in changes.children if (content := _child(node, OVERLAY)) is not None]
    for fragment, content in fragments:
        target = _target(root, fragment)
        kept = dict(_kept_phandles(target, content))
        for found, offsets in places.items():
            for offset in offsets:
                number = int.from_bytes(found.raw[offset : offset + CELL])
                _put(found, offset, kept.get(number, number))
        _merge(target, content)
    _add_symbols(root, changes)


def _counted(number: int, start: int) -> int:
    if number + start >= _NONE:
        raise _NotAppliedError("there are no phandles left for its nodes")
    return number + start


def _put(found: Property, offset: int, number: int) -> None:
    found.raw = found.raw[:offset] + number.to_bytes(CELL) + found.raw[offset + CELL :]


def _local_references(changes: Node) -> Iterator[tuple[Property, tuple[int, ...]]]:
    """Iterate over the properties that refer to nodes of the overlay itself, and the offsets at which they do."""
    marks = _child(changes, "__local_fixups__")
    todo = [] if marks is None else [(marks, changes)]
    while todo:
        mark, node = todo.pop()
        for name, offsets in mark.properties.items():
            found = node.properties.get(name)
            if found is None or any(offset + CELL > len(found.raw) for offset in offsets.cells):
                raise _NotAppliedError(f"__local_fixups__ names {node.path} {name}, which is not there")
            yield found, offsets.cells
        for child in mark.children:
            below = _child(node, child.name)
            if below is None:
                raise _NotAppliedError(f"__local_fixups__ names {child.name} in {node.path}, which is not there")
            todo.append((child, below))


def _resolve_labels(root: Node, changes: Node) -> None:
    """Write the phandles of nodes of the base where the overlay refers to them by label."""
    fixups = _child(changes, "__fixups__")
    if fixups is None or not fixups.properties:
        return
    symbols = _child(root, "__symbols__")
    if symbols is None:
        text = "the base has no __symbols__, in which the labels stand that the overlay refers to"
        raise _NotAppliedError(text, "build the base with dtc -@")
    for label, places in fixups.properties.items():
        path = next(iter(symbols.strings(label)), "")
        node = _at(root, path) if path else None
        phandle = None if node is None else next(filter(None, map(node.u32, _PHANDLES)), None)
        if phandle is None:
            raise _NotAppliedError(f"the base has no node with the label {label}, or it has no phandle")
        for place in places.strings:
            words = place.rsplit(":", 2)
            holder = _at(changes, words[0]) if len(words) == 3 and words[0].startswith("/") else None  # noqa: PLR2004
            found = None if holder is None else holder.properties.get(words[1])
            offset = int(words[2]) if words[-1].isascii() and words[-1].isdigit() and len(words[-1]) < 10 else _NONE  # noqa: PLR2004
            if found is None or offset + CELL > len(found.raw):
                raise _NotAppliedError(f"__fixups__ names {place}, which is not there")
            _put(found, offset, phandle)


def _target(root: Node, fragment: Node) -> Node:
    """Return the node that a fragment changes."""
    phandle = fragment.u32("target")
    if phandle is not None:
        found = None if phandle in (0, _NONE) else _by_phandle(root, phandle)
        what = f"phandle 0x{phandle:x}"
    else:
        path = next(iter(fragment.strings("target-path")), "")
        found, what = _at(root, path) if path else None, path or "nothing"
    if found is None:
        raise _NotAppliedError(f"{fragment.path} is for {what}, which the base has not")
    return found


def _by_phandle(root: Node, phandle: int) -> Node | None:
    return next((node for node in _walk(root) if phandle in map(node.u32, _PHANDLES)), None)


def _kept_phandles(target: Node, content: Node) -> Iterator[tuple[int, int]]:
    """Iterate over the phandles of an overlay whose nodes the base has already, with the phandle there.

    The base refers to its node by that, so it stays.
    """
    todo = [(target, content)]
    while todo:
        node, change = todo.pop()
        for name in _PHANDLES:
            before, after = node.u32(name), change.u32(name)
            if before is not None and after is not None:
                yield after, before
                _put(change.properties[name], 0, before)
        todo.extend((below, child) for child in change.children if (below := _child(node, child.name)) is not None)


def _merge(target: Node, content: Node) -> None:
    """Add what is in a node of an overlay to a node of the base."""
    todo = [(target, content)]
    while todo:
        node, change = todo.pop(0)
        for found in change.properties.values():
            _set(node, found)
        for child in change.children:
            below = _child(node, child.name)
            if below is None:
                below = Node(child.name, None, child.offset)
                below.source = child.source
                node.append(below)
            todo.append((below, child))


def _add_symbols(root: Node, changes: Node) -> None:
    """Add the labels of the overlay to those of the base, so that the next overlay can refer to them."""
    symbols = _child(changes, "__symbols__")
    if symbols is None:
        return
    for found in symbols.properties.values():
        fragment, _, rest = found.raw.rstrip(b"\0").decode(ENCODING).removeprefix("/").partition("/")
        holder = _child(changes, fragment)
        inside, _, below = rest.partition("/")
        if holder is None or inside != OVERLAY:
            continue
        target = _target(root, holder)
        label = _copied(found, "")
        label.raw = "/".join(filter(None, (target.path.rstrip("/"), below))).encode(ENCODING) + b"\0"
        known = _child(root, "__symbols__")
        if known is None:
            known = Node("__symbols__")
            root.append(known)
        _set(known, label)
