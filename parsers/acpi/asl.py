"""What a disassembly in ASL declares: devices, by path, with the names that identify them and the memory they use.

This reads what `iasl -d` writes and no more of the language than that takes: scopes nest by braces, `Name` gives an
object a value, and everything inside methods, packages and fields is passed by. Each word is taken once, so the time
is proportional to the text.

Source: ACPI 6.5 §19.6 (ASL operators), §5.3 (namespace paths), §6.1 (identification), §6.4.3 (memory resources).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

ROOT = "\\"

MAX_PATH = 1024
"""Characters of the longest path in which is looked for more: 200 scopes inside each other."""


class AcpiMemory(NamedTuple):
    """`length` bytes of memory at `start`, as the CPU sees it; `window`: passed on to devices below a bridge."""

    start: int
    length: int
    window: bool


@dataclass(slots=True)
class Declared:
    """What is declared of one object: `device` whether it is one, and the values that were plainly given."""

    device: bool = False
    hid: str | None = None
    cids: tuple[str, ...] = ()
    uid: int | str | None = None
    adr: int | None = None
    seg: int | None = None
    bbn: int | None = None
    memory: tuple[AcpiMemory, ...] = ()
    named: set[str] = field(default_factory=set)


def canonical(path: str) -> str:
    r"""Return a path as it is written here: no `_` at the end of a segment, so `\_SB_.PCI0` becomes `\_SB.PCI0`."""
    prefix = path[: len(path) - len(path.lstrip("\\^"))]
    segments = path[len(prefix) :]
    return prefix + ".".join(segment.rstrip("_") or "_" for segment in segments.split(".")) if segments else prefix


def read_asl(text: str, objects: dict[str, Declared]) -> bool:
    """Add what a disassembly declares to `objects`, by path; what is there already stays.

    Returns:
        Whether all that was opened was closed: a disassembly that was cut off is read up to there.
    """
    return _Reader(text, objects).read()


_TOKEN = re.compile(
    r'"(?:[^"\\\n]|\\.)*"?'
    r"|/\*.*?(?:\*/|\Z)|//[^\n]*"
    r"|\\?\^*[A-Za-z_][A-Za-z0-9_.]*|\\|\^+"
    r"|0[xX][0-9A-Fa-f]+|[0-9]+|[(){},]",
    re.DOTALL,
)
_OBJECTS = {"Device", "Processor", "ThermalZone", "PowerResource"}
_CONDITIONS = {"DefinitionBlock", "If", "Else", "ElseIf"}
"""What has braces and no scope of its own; which branch a system takes is not asked."""

_CONSTANTS = {"Zero": 0, "One": 1, "Ones": (1 << 64) - 1}
_PREDEFINED = (ROOT, "\\_GPE", "\\_PR", "\\_SB", "\\_SI", "\\_TZ")
_FIXED = {"Memory32Fixed": (1, 2)}
_SPACES = {"DWordMemory": (7, 9, 10), "QWordMemory": (7, 9, 10), "ExtendedMemory": (7, 9, 10)}
"""Memory resources and the places of their arguments: base and length; minimum, translation and length."""

_RANGES = {"Memory24": (1, 2, 4), "Memory32": (1, 2, 4)}
"""Memory that may lie anywhere between minimum and maximum: it is known when the two are the same."""

_INTEGERS = {"_ADR": "adr", "_SEG": "seg", "_BBN": "bbn"}


class _Reader:
    """The state of reading: the tokens to come, and the scopes that are open, None for those that are passed by."""

    def __init__(self, text: str, objects: dict[str, Declared]) -> None:
        self._tokens = _tokens(text)
        self._objects = objects
        self._scopes: list[str | None] = []
        self._opens: str | None = None

    def read(self) -> bool:
        for word in self._tokens:
            scope = self._scopes[-1] if self._scopes else ROOT
            if word == "{":
                self._scopes.append(self._opens)
                self._opens = None
            elif word == "}":
                if self._scopes:
                    self._scopes.pop()
            elif scope is None:
                continue
            elif word == "Scope":
                self._opens = self._found(scope, self._argument())
            elif word in _OBJECTS:
                self._opens = _join(scope, self._argument())
                self._object(self._opens).device |= word == "Device"
            elif word in _CONDITIONS:
                self._opens = scope
            elif word == "Name":
                self._name(scope)
            if self._opens is not None and len(self._opens) > MAX_PATH:
                self._opens = None
        return not self._scopes

    def _object(self, path: str) -> Declared:
        return self._objects.setdefault(path, Declared())

    def _argument(self) -> str:
        """Return the first argument after an operator: the word that follows its bracket."""
        return next(self._tokens, "") if next(self._tokens, "") == "(" else ""

    def _found(self, scope: str, name: str) -> str:
        """Return the path that a name means: one segment is looked for in the scopes above as well (ACPI 6.5 §5.3)."""
        path = _join(scope, name)
        if "." in name or name[:1] in ("\\", "^"):
            return path
        above = scope
        while (one := _join(above, name)) not in self._objects and one not in _PREDEFINED:
            if above == ROOT:
                return path
            above = _parent(above)
        return one

    def _name(self, scope: str) -> None:
        """Read a `Name`: its value, if it is one of those that matter."""
        path = _join(scope, self._argument())
        owner, _, name = path.rpartition(".") if "." in path else (ROOT, "", path[1:])
        if name not in {"_HID", "_CID", "_UID", "_CRS", *_INTEGERS} or next(self._tokens, "") != ",":
            return
        declared = self._object(owner)
        word = next(self._tokens, "")
        if name == "_CRS" and word == "ResourceTemplate":
            values: list[int | str] = []
            memory = self._resources()
        else:
            values, memory = self._values(word), ()
        if name in declared.named:
            return
        declared.named.add(name)
        first = values[0] if values else None
        texts = tuple(value for value in values if isinstance(value, str))
        if name == "_HID":
            declared.hid = texts[0] if texts else None
        elif name == "_CID":
            declared.cids = texts
        elif name == "_UID":
            declared.uid = first
        elif name == "_CRS":
            declared.memory = memory
        elif isinstance(first, int):
            setattr(declared, _INTEGERS[name], first)

    def _values(self, word: str) -> list[int | str]:
        """Return the plain values that begin with this word: one, or the elements of a package."""
        if word != "Package":
            value = self._value(word)
            return [] if value is None else [value]
        values = []
        while (word := next(self._tokens, "}")) != "{":
            if word == "}":
                return []
        while (word := next(self._tokens, "}")) != "}":
            if (value := self._value(word)) is not None:
                values.append(value)
        return values

    def _value(self, word: str) -> int | str | None:
        """Return a number or text, or None for what has to be evaluated."""
        if word == "EisaId":
            word = self._argument()
        if word[:1] == '"':
            return _text(word)
        return _CONSTANTS.get(word, _number(word))

    def _resources(self) -> tuple[AcpiMemory, ...]:
        """Read the body of a resource template, up to its closing brace."""
        memory: list[AcpiMemory] = []
        depth = 0
        for word in self._tokens:
            if word == "{":
                depth += 1
            elif word == "}":
                depth -= 1
                if depth <= 0:
                    break
            elif depth == 1 and (word in _FIXED or word in _SPACES or word in _RANGES):
                memory.extend(_memory(word, self._arguments()))
        return tuple(memory)

    def _arguments(self) -> list[str]:
        """Return the first word of each argument of a resource, empty where there is none."""
        arguments = [""]
        depth = 0
        for word in self._tokens:
            if word == "(":
                depth += 1
            elif word == ")":
                depth -= 1
            elif word == "," and depth == 1:
                arguments.append("")
            elif depth == 1 and not arguments[-1]:
                arguments[-1] = word
            if depth <= 0:
                break
        return arguments


def _tokens(text: str) -> Iterator[str]:
    """Iterate over the tokens of a text, without comments."""
    for match in _TOKEN.finditer(text):
        word = match[0]
        if word[:2] not in ("/*", "//"):
            yield word


def _join(scope: str, name: str) -> str:
    """Return the path of a name that is declared in a scope."""
    name = canonical(name)
    if name.startswith(ROOT):
        return name
    while name.startswith("^"):
        scope, name = _parent(scope), name[1:]
    return f"{ROOT}{name}" if scope == ROOT else f"{scope}.{name}" if name else scope


def _parent(path: str) -> str:
    return path.rpartition(".")[0] or ROOT


def _text(word: str) -> str:
    """Return the text of a string word, with its escapes undone."""
    body = word[1:-1] if len(word) > 1 and word.endswith('"') else word[1:]
    return re.sub(r"\\(x[0-9A-Fa-f]{2}|.)", _unescaped, body, flags=re.DOTALL)


def _unescaped(match: re.Match[str]) -> str:
    escape = match[1]
    return chr(int(escape[1:], 16)) if len(escape) > 1 else {"n": "\n", "t": "\t", "r": "\r"}.get(escape, escape)


def _number(word: str) -> int | None:
    """Return the number of a word; None when it is none, or more than 64 bits."""
    if not word[:1].isdigit() or len(word) > 20:  # noqa: PLR2004
        return None
    number = int(word, 16 if word[:2] in ("0x", "0X") else 10)
    return number if number < 1 << 64 else None


def _memory(kind: str, arguments: list[str]) -> Iterator[AcpiMemory]:
    """Yield the memory of one resource descriptor, if it says where it is."""

    def argument(place: int) -> int | None:
        word = arguments[place] if place < len(arguments) else ""
        return _CONSTANTS.get(word, _number(word))

    if kind in _SPACES:
        low, translation, length = (argument(place) for place in _SPACES[kind])
        start = None if low is None else (low + (translation or 0)) % (1 << 64)
    elif kind in _RANGES:
        low, high, length = (argument(place) for place in _RANGES[kind])
        start = low if low == high else None
    else:
        start, length = (argument(place) for place in _FIXED[kind])
    if start is not None and length:
        yield AcpiMemory(start, length, arguments[0] == "ResourceProducer")
