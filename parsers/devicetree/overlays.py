"""Overlays: trees that change another tree, the base, as a boot loader applies them.

An overlay has *fragments*: a target, named by phandle or by path, and what is to be added there, in `__overlay__`. It
is built without the base, so it does not know the phandles of the nodes that it refers to: `__fixups__` says where they
go, by labels that the base keeps in `__symbols__` (a base that was built with `dtc -@`). Its own phandles are counted
on from the highest of the base, and `__local_fixups__` says where they are referred to.

An overlay is applied whole or not at all. What comes of it knows for each node and property which file has it.

Source: dtc, Documentation/dt-object-internal.txt; libfdt, `fdt_overlay_apply`, which the tests hold this to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from ...base import Finding, Origin
from .blob import index_devicetree
from .tree import CELL, ENCODING, OVERLAY, DeviceTree, Node, Property

MAX_COPIED = 512 << 20
"""Bytes of bases that are copied for overlays: one that cannot be applied leaves its base as it was."""

_NODE = 16
"""Bytes that a node takes in a tree at least."""

_PHANDLES = ("phandle", "linux,phandle")
_NONE = 0xFFFFFFFF
_OFFSET = re.compile("[0-9]{1,9}")


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
    room = MAX_COPIED

    def applied(base: DeviceTree, overlay: DeviceTree) -> DeviceTree:
        nonlocal room
        room -= base.size + _NODE * len(base.nodes)
        if room >= 0:
            return _applied(base, overlay, findings)
        advice = "apply some of them first, and name what comes of it"
        findings.append(_finding(overlay, _NotAppliedError("there are too many for so large a base", advice)))
        return base

    only = sum(not tree.is_overlay for tree in trees) == 1
    waiting: list[DeviceTree] = []
    for tree in trees:
        if not tree.is_overlay:
            bases.append(tree)
        elif bases:
            bases[-1] = applied(bases[-1], tree)
        else:
            waiting.append(tree)
    for tree in waiting:
        if only:
            bases[0] = applied(bases[0], tree)
        else:
            text = f"there is no tree {'before it ' if bases else ''}that it could change"
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
    nodes = list(_walk(root))
    for node in nodes:
        node.subdata = [*node.properties.values(), *node.children]
    both = index_devicetree(base.source, nodes, [])
    known = list(dict.fromkeys((*base.findings, *overlay.findings, *both.findings)))
    overlays = (*base.overlays, (overlay.source, overlay.size))
    return replace(base, root=root, nodes=both.nodes, phandles=both.phandles, overlays=overlays, findings=tuple(known))


def _finding(overlay: DeviceTree, error: _NotAppliedError) -> Finding:
    text = f"this overlay is not applied: {error.message}"
    return Finding("DT-OVERLAY-LOST", "error", Origin(overlay.source), text, advice=error.advice)


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
        copy.properties = {name: _copied(found, source) for name, found in node.properties.items()}
    return copies[root]


def _copied(found: Property, source: str) -> Property:
    copy = Property(found.name, found.raw, found.offset)
    copy.source = found.source or source
    return copy


class _Tree:
    """Finds nodes of base and overlay: children by name, and nodes of the base by phandle, the first of several."""

    def __init__(self, root: Node) -> None:
        self.root = root
        self._names: dict[Node, dict[str, Node]] = {}
        self._phandles: dict[int, Node] = {}
        for node in _walk(root):
            self.note(node)

    def note(self, node: Node) -> None:
        """Take note of a node of the base."""
        for number in map(node.u32, _PHANDLES):
            if number not in (None, 0, _NONE):
                self._phandles.setdefault(number, node)

    def child(self, node: Node, name: str) -> Node | None:
        """Return the child of that name."""
        if node not in self._names:
            names = self._names[node] = {}
            for child in node.children:
                names.setdefault(child.name, child)
        return self._names[node].get(name)

    def add(self, node: Node, name: str, like: Node) -> Node:
        """Return the child of that name, made when it is not there, as that of the file of another node."""
        found = self.child(node, name)
        if found is None:
            found = Node(name, None, like.offset)
            found.source = like.source
            node.append(found)
            self._names[node][name] = found
        return found

    def by_phandle(self, phandle: int) -> Node | None:
        """Return the node of the base with that phandle."""
        return self._phandles.get(phandle)

    def at(self, root: Node, path: str) -> Node | None:
        """Return the node of that path, which begins at the root, or at an alias."""
        first, _, rest = path.partition("/")
        if first:
            aliases = self.child(root, "aliases")
            whole = next(iter(() if aliases is None else aliases.strings(first)), "")
            if not whole.startswith("/"):
                return None
            path = f"{whole}/{rest}"
        node: Node | None = root
        for name in filter(None, path.split("/")):
            node = None if node is None else self.child(node, name)
        return node


def _apply(root: Node, changes: Node, base: DeviceTree) -> None:
    """Apply an overlay to the root of a base; both are copies, and change."""
    tree = _Tree(root)
    start = max((number for number in base.phandles if number != _NONE), default=0)
    own = list(_local_references(tree, changes))
    for node in _walk(changes):
        for name in _PHANDLES:
            if (found := node.properties.get(name)) is not None and len(found.raw) == CELL:
                _rewrite(found, (0,), lambda number: _counted(number, start))
    for found, offsets in own:
        _rewrite(found, offsets, lambda number: _counted(number, start))
    _resolve_labels(tree, changes)
    fragments = [(one, content) for one in changes.children if (content := tree.child(one, OVERLAY)) is not None]
    kept: dict[int, int] = {}
    for fragment, content in fragments:
        target = _target(tree, fragment)[0]
        if target is not None:  # else it may be what another fragment adds
            kept.update(_keep_phandles(tree, target, content))
    for found, offsets in own if kept else ():
        _rewrite(found, offsets, lambda number: kept.get(number, number))
    targets: dict[str, Node] = {}
    for fragment, content in fragments:
        target, what = _target(tree, fragment)
        if target is None:
            missing = f"is for {what}, which the base has not" if what else "names no target"
            raise _NotAppliedError(f"{fragment.path} {missing}")
        targets[fragment.name] = target
        _merge(tree, target, content)
    _add_symbols(tree, changes, targets)


def _counted(number: int, start: int) -> int:
    if number + start >= _NONE:
        raise _NotAppliedError("there are no phandles left for its nodes")
    return number + start


def _rewrite(found: Property, offsets: Sequence[int], change: Callable[[int], int]) -> None:
    """Change the cells at these offsets of a value, which are inside it."""
    raw = bytearray(found.raw)
    for offset in offsets:
        place = slice(offset, offset + CELL)
        raw[place] = change(int.from_bytes(raw[place])).to_bytes(CELL)
    found.raw = bytes(raw)


def _local_references(tree: _Tree, changes: Node) -> Iterator[tuple[Property, tuple[int, ...]]]:
    """Iterate over the properties that refer to nodes of the overlay itself, and the offsets at which they do."""
    marks = tree.child(changes, "__local_fixups__")
    todo = [] if marks is None else [(marks, changes)]
    while todo:
        mark, node = todo.pop()
        for name, offsets in mark.properties.items():
            found = node.properties.get(name)
            if found is None or any(offset + CELL > len(found.raw) for offset in offsets.cells):
                raise _NotAppliedError(f"__local_fixups__ names {node.path} {name}, which is not there")
            yield found, offsets.cells
        for child in mark.children:
            if tree.child(mark, child.name) is not child:  # of several with one name the first counts
                continue
            below = tree.child(node, child.name)
            if below is None:
                raise _NotAppliedError(f"__local_fixups__ names {child.name} in {node.path}, which is not there")
            todo.append((child, below))


def _resolve_labels(tree: _Tree, changes: Node) -> None:
    """Write the phandles of nodes of the base where the overlay refers to them by label."""
    fixups = tree.child(changes, "__fixups__")
    if fixups is None or not fixups.properties:
        return
    symbols = tree.child(tree.root, "__symbols__")
    if symbols is None:
        text = "the base has no __symbols__, in which the labels stand that the overlay refers to"
        raise _NotAppliedError(text, "build the base with dtc -@")
    found: dict[int, tuple[Property, dict[int, int]]] = {}
    for label, places in fixups.properties.items():
        path = next(iter(symbols.strings(label)), "")
        node = tree.at(tree.root, path) if path else None
        phandle = None if node is None else next(filter(None, map(node.u32, _PHANDLES)), None)
        if phandle is None:
            raise _NotAppliedError(f"the base has no node with the label {label}, or it has no phandle")
        for place in places.strings:
            holder, offset = _place(tree, changes, place)
            found.setdefault(id(holder), (holder, {}))[1][offset] = phandle
    for holder, numbers in found.values():
        values = iter(numbers.values())
        _rewrite(holder, tuple(numbers), lambda _: next(values))  # noqa: B023 - it is called at once


def _place(tree: _Tree, changes: Node, place: str) -> tuple[Property, int]:
    """Return the property and the offset that `path:property:offset` of `__fixups__` names."""
    path, _, rest = place.partition(":")
    name, _, digits = rest.partition(":")
    node = tree.at(changes, path) if path.startswith("/") else None
    found = None if node is None else node.properties.get(name)
    if found is None or not _OFFSET.fullmatch(digits) or int(digits) + CELL > len(found.raw):
        raise _NotAppliedError(f"__fixups__ names {place}, which is not there")
    return found, int(digits)


def _target(tree: _Tree, fragment: Node) -> tuple[Node | None, str]:
    """Return the node that a fragment changes, None when it is not there, and what it is called; empty for no name."""
    phandle = fragment.u32("target")
    if phandle is not None:
        return tree.by_phandle(phandle), f"phandle 0x{phandle:x}"
    path = next(iter(fragment.strings("target-path")), "")
    return (tree.at(tree.root, path) if path else None), path


def _keep_phandles(tree: _Tree, target: Node, content: Node) -> Iterator[tuple[int, int]]:
    """Let nodes that the base has already keep their phandles, by which it refers to them; iterate over those changed.

    Each is what the overlay has, and what the base has.
    """
    todo = [(target, content)]
    while todo:
        node, change = todo.pop()
        for name in _PHANDLES:
            before, after = node.u32(name), change.u32(name)
            if before is not None and after is not None:
                yield after, before
                _rewrite(change.properties[name], (0,), {after: before}.__getitem__)
        todo.extend((below, child) for child in change.children if (below := tree.child(node, child.name)) is not None)


def _merge(tree: _Tree, target: Node, content: Node) -> None:
    """Add what is in a node of an overlay to a node of the base."""
    todo = [(target, content)]
    while todo:
        node, change = todo.pop()
        for found in change.properties.values():
            node.properties[found.name] = found
        tree.note(node)
        todo.extend([(tree.add(node, child.name, child), child) for child in change.children][::-1])


def _add_symbols(tree: _Tree, changes: Node, targets: dict[str, Node]) -> None:
    """Add the labels of the overlay to those of the base, so that the next overlay can refer to them."""
    symbols = tree.child(changes, "__symbols__")
    for found in () if symbols is None else symbols.properties.values():
        fragment, _, rest = found.raw.rstrip(b"\0").decode(ENCODING).removeprefix("/").partition("/")
        inside, _, below = rest.partition("/")
        if fragment in targets and inside == OVERLAY:
            path = "/".join(filter(None, (targets[fragment].path.rstrip("/"), below))) or "/"
            label = Property(found.name, path.encode(ENCODING) + b"\0")
            label.source = found.source
            tree.add(tree.root, "__symbols__", changes).properties[label.name] = label
