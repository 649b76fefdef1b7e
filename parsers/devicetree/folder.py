"""Device trees as Linux shows them: a folder is a node, a file is a property (`/sys/firmware/devicetree/base`).

`/proc/device-tree` leads there. The memory reservation block is not part of it.
"""

from __future__ import annotations

import os

from ...base import Finding, Origin
from ..errors import ParseError
from ..files import DISK, MAX_FILE, Files, is_link
from .blob import MAX_DEPTH, index_devicetree
from .tree import ENCODING, DeviceTree, Node, Property

MAX_ENTRIES = 200_000
"""Most nodes and properties that are read; the largest trees have some 30,000."""

_LEFT_OUT = "the rest is left out; give a folder that holds one device tree and nothing else"


def read_tree_folder(folder: str, files: Files = DISK) -> DeviceTree:
    """Read a device tree from the folders and files of its nodes and properties.

    Names come in the order of the alphabet, since folders have no other. The property `name`, which Linux makes up, is
    left out. What cannot be read is a finding. Links are not followed.

    Raises:
        ParseError: the folder cannot be listed.
    """
    return _Reader(folder, files).read()


class _Reader:
    """Reads one tree."""

    def __init__(self, folder: str, files: Files) -> None:
        self._folder = folder
        self._files = files
        self._source = files.show(folder)
        self._findings: list[Finding] = []
        self._nodes: list[Node] = []
        self._entries = 0
        self._size = 0
        self._full = False

    def read(self) -> DeviceTree:
        """See `read_tree_folder`."""
        self._read_node(Node("/"), self._folder, 1)
        return index_devicetree(self._source, self._nodes, self._findings, size=self._size)

    def _read_node(self, node: Node, folder: str, depth: int) -> None:
        self._nodes.append(node)
        try:
            names = self._files.names(folder)
        except OSError as error:
            finding = self._finding("DT-FOLDER", node.path, f"the node cannot be read: {error.strerror or error}")
            if depth == 1:
                raise ParseError(finding) from error
            self._findings.append(finding)
            return
        inner = []
        for name in names:
            path = os.path.join(folder, name)
            self._entries += 1
            if self._entries > MAX_ENTRIES or is_link(path, self._files):
                continue
            if self._files.is_folder(path):
                inner.append((name, path))
            elif name != "name" and (found := self._property(node, name, path)) is not None:
                node.append(found)
        if inner and depth >= MAX_DEPTH:
            text = f"nodes are nested deeper than {MAX_DEPTH}"
            self._findings.append(self._finding("DT-DEPTH", node.path, text, _LEFT_OUT))
            return
        for name, path in inner:
            child = Node(_text(name), None)
            node.append(child)
            self._read_node(child, path, depth + 1)
        if depth == 1 and self._entries > MAX_ENTRIES:
            text = f"there are more than {MAX_ENTRIES} nodes and properties"
            self._findings.append(self._finding("DT-FOLDER", "/", text, _LEFT_OUT))

    def _property(self, node: Node, name: str, path: str) -> Property | None:
        """Return the property of a file; None when it cannot be read, or there is no room for it."""
        room = MAX_FILE - self._size
        try:
            raw = self._files.read(path, room + 1)
        except OSError as error:
            text = f"the property cannot be read: {error.strerror or error}"
            self._findings.append(self._finding("DT-FOLDER", f"{node.path} {_text(name)}", text))
            return None
        if len(raw) > room:
            if not self._full:
                text = f"from here on, the properties have more than {MAX_FILE} bytes together"
                self._findings.append(self._finding("DT-FOLDER", f"{node.path} {_text(name)}", text, _LEFT_OUT))
            self._full = True
            return None
        self._size += len(raw)
        return Property(_text(name), raw)

    def _finding(self, rule: str, part: str, text: str, advice: str = "read or copy the tree as root") -> Finding:
        return Finding(rule, "error", Origin(self._source, part), text, advice=advice)


def _text(name: str) -> str:
    return os.fsencode(name).decode(ENCODING)
