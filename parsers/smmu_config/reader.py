"""Reads a configuration in a single pass: words to options, options to records."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from ...base import Finding, Origin
from ..errors import ParseError
from .devices import device_spec
from .files import INCLUDE, MAX_FILE, Opener, Stream, open_file, read_text, too_large
from .hardware import ELSEWHERE, FIRMWARE, TYPES, count_fields, read_firmware, read_ids, read_main, split_fields
from .lexer import Text, Word, command_line, tokens
from .numbers import region
from .options import FEWEST_WORDS, USAGE, begins_option, is_complete
from .records import Allow, Configuration, DeviceEntry, Reserved, SmmuType, SocRevision, Unit, Use
from .report import Report

UNKNOWN = ""
"""The type of units when an error, or a file that is not read, keeps it from being known."""

_OF_A_BOARD = re.compile(r"[a-z][a-z0-9-]*@[0-9a-f]+(#[0-9]+)?")
"""Names that units of a board have, such as `smmuv3@9050000`."""

_NAMING = ("allow", "unit", "use")
"""Options that a name follows."""

_FOREIGN_COMMENTS = ("//", "/*", ";")

_PERMISSIONS = "s (source: devices read it), t (target: devices write it), or both"


def read_configuration(path: str, *, more_units: bool = False) -> Configuration:
    """Read a configuration file and all that it includes.

    Args:
        path: of the file.
        more_units: units are defined before it, by a board module or another configuration. A `use` of a unit that
            this one does not define is then no error.

    Raises:
        ParseError: the file cannot be opened, is too large, or is no text; what is wrong inside it is a finding.
    """
    return parse_configuration(read_text(path), path, more_units=more_units)


def parse_configuration(
    text: str, source: str = "", opener: Opener = open_file, *, more_units: bool = False
) -> Configuration:
    """Read the text of a configuration; files that it includes are looked for in the folder of `source`.

    For `more_units` see `read_configuration`.

    Raises:
        ParseError: the text is too large.
    """
    return _read(text, source, opener, more_units=more_units)


def parse_words(words: Sequence[str], source: str = "command line", opener: Opener = open_file) -> Configuration:
    """Read the option words of a command line; files that they include are looked for in the current folder.

    Columns are those of the words with one space between them.
    """
    report = Report()
    return _Reader(Stream("", command_line(words, source), report, opener), report).read(source)


def syntax_errors(text: str, source: str = "") -> tuple[Finding, ...]:
    """Return what is wrong with a text by itself, whatever the files that it includes, or that include it, say.

    Raises:
        ParseError: the text is too large.
    """
    return _read(text, source, None).findings


def _read(text: str, source: str, opener: Opener | None, *, more_units: bool = False) -> Configuration:
    if len(text) > MAX_FILE:
        raise ParseError(too_large(source))
    report = Report()
    words = (token for token in tokens(Text(source, text)) if not token.is_comment)
    stream = Stream(source, words, report, opener)
    return _Reader(stream, report, partial=opener is None, more_units=more_units).read(source)


@dataclass(slots=True)
class _Device:
    """The current device, and what has followed it."""

    entry: DeviceEntry
    uses: list[Use] = field(default_factory=list)
    reserved: list[Reserved] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Known:
    """A unit whose name is taken: its type (`UNKNOWN`: it cannot be told), where it stands, and whether it is read."""

    type: str
    origin: Origin
    is_read: bool = False


class _Reader:
    """What has been read so far.

    After an error, what the option would have told is taken as told but unknown, so that one mistake is one finding.
    `partial` says that words are missing; what cannot be found may be among them, and is not reported. `more_units`
    says that something else defines units as well.
    """

    def __init__(self, stream: Stream, report: Report, *, partial: bool = False, more_units: bool = False) -> None:
        self._stream = stream
        self._report = report
        self._partial = partial
        self._types: dict[tuple[str, tuple[SocRevision, ...]], SmmuType] = {}
        self._type: str | None = UNKNOWN if partial else None
        self._units: list[Unit] = []
        self._unit_names: dict[str, _Known] = {}
        self._devices: list[_Device] = []
        self._device: _Device | None = None
        self._has_device = partial
        self._allows: list[Allow] = []
        self._sets: dict[str, None] = {}
        self._wanted_units: list[tuple[int, Word]] = []
        self._more_units = more_units
        self._open_uses: list[tuple[int, Word, Use]] = []
        self._early: set[Use] = set()
        self._wanted_sets: list[tuple[int, Word, _Device]] = []
        self._before = 0
        self._debug = 0
        self._foreground = False
        self._options: dict[str, Callable[[Word, list[Word]], None]] = {
            "allow": self._read_allow,
            "debug": self._read_debug,
            "device": self._read_device,
            "foreground": self._read_foreground,
            "reserved": self._read_reserved,
            "smmu": self._read_smmu,
            "unit": self._read_unit,
            "use": self._read_use,
        }

    def read(self, source: str) -> Configuration:
        """Read all words."""
        statement: list[Word] = []
        for word in self._stream:
            if _is_bad_name(word, statement):
                statement.append(word)
            elif begins_option(word, statement) or self._is_misspelled(word, statement):
                self._read_statement(statement)
                statement = [word]
            elif self._is_no_name(statement):
                self._read_statement(statement[:-1])
                statement = [statement[-1], word]
            else:
                statement.append(word)
        self._read_statement(statement)
        self._look_up()
        return Configuration(
            source,
            tuple(self._types.values()),
            tuple(self._units),
            tuple(
                replace(device.entry, uses=self._uses(device), reserved=tuple(device.reserved))
                for device in self._devices
            ),
            tuple(self._allows),
            self._debug,
            self._foreground,
            self._report.findings(source),
        )

    def _is_misspelled(self, word: Word, statement: list[Word]) -> bool:
        """Tell whether a word that begins a line, behind a complete option, is an option word gone wrong."""
        if not word.first or not is_complete(statement) or _is_before_name(statement):
            return False
        return bool(self._report.near(word.text, FEWEST_WORDS))

    def _is_no_name(self, statement: list[Word]) -> bool:
        """Tell whether the last word of a `device` is an option word gone wrong: a name ends the option."""
        if len(statement) != 3 or not _is_before_name(statement[:-1]) or not statement[-1].first:  # noqa: PLR2004
            return False
        return bool(self._report.near(statement[-1].text, FEWEST_WORDS))

    def _read_statement(self, statement: list[Word]) -> None:
        """Read one option: its word, and those up to the next option."""
        if not statement:
            return
        self._report.order += 1
        self._before = self._report.count
        head, words = statement[0], statement[1:]
        if head.text.startswith(INCLUDE):
            self._skip_unread("smmu", [])
            self._skip_unread("device", [])
        elif head.text not in self._options:
            self._report_unknown(head)
            self._fall_back(self._report.near(head.text, FEWEST_WORDS), words)
            self._report_rest(words, head)
        elif any(word.text.startswith(INCLUDE) for word in words):
            self._skip_unread(head.text, words)
        elif not is_complete(statement):
            usage = USAGE[head.text]
            self._report.error(statement[-1].end, "CONFIG-MISSING", f"'{head.text}' is not complete", expected=usage)
            self._fall_back(head.text, words)
        else:
            self._options[head.text](head, words)
            if not self._is_sound:
                self._fall_back(head.text, statement[1:])
            self._report_rest(words, head)

    def _skip_unread(self, option: str, words: list[Word]) -> None:
        """Pass over an option of which words are in a file that is not read."""
        self._partial = True
        self._fall_back(option, words)

    def _report_rest(self, words: list[Word], head: Word) -> None:
        """Report the words that are left after an option: the next one, and all that begin a line."""
        if words and not words[0].first and self._is_sound:
            message = f"there is a word too many after '{head.text}'"
            self._report.error(words[0], "CONFIG-EXTRA", message, expected=USAGE[head.text])
        for word in words:
            if word.first:
                self._report_unknown(word)

    @property
    def _is_sound(self) -> bool:
        """Whether the option that is being read has no error so far."""
        return self._report.count == self._before

    def _report_unknown(self, word: Word) -> None:
        """Report a word that is no option, where one is expected."""
        meant = self._report.meant(word.text, FEWEST_WORDS)
        self._report.error(
            word,
            "CONFIG-OPTION",
            "this is no option",
            expected=f"one of {', '.join(FEWEST_WORDS)}, @FILE",
            advice="a comment begins with #" if word.text.startswith(_FOREIGN_COMMENTS) else meant,
        )

    def _fall_back(self, option: str, words: list[Word]) -> None:
        """Take as told, but unknown, what an option would have told if it had no error."""
        name = words[0].text if words else ""
        if option == "smmu":
            self._type = name if name in TYPES else UNKNOWN
        elif option == "device":
            self._device = None
            self._has_device = True
        elif option == "unit" and words:
            self._unit_names.setdefault(name, _Known(UNKNOWN, words[0].origin))
        elif option == "allow" and words:
            self._sets.setdefault(name)

    def _take_name(self, words: list[Word], what: str) -> Word:
        """Take a name off the front of the words."""
        name = words.pop(0)
        text = name.text
        if text in FEWEST_WORDS:
            message = f"an option word cannot be the name of {what}"
            self._report.error(name, "CONFIG-NAME", message, expected="another name")
        elif not text or not text.isprintable() or text.startswith("-") or any(char in text for char in ", "):
            message = f"this is no name of {what}"
            self._report.error(name, "CONFIG-NAME", message, expected="a word without commas, and no dash before it")
        return name

    def _read_smmu(self, head: Word, words: list[Word]) -> None:
        kind = words.pop(0)
        hardware = TYPES.get(kind.text)
        if hardware is None:
            advice = self._report.meant(kind.text, TYPES)
            expected = f"one of {', '.join(TYPES)}"
            self._report.error(kind, "CONFIG-TYPE", "there is no such type of unit", expected=expected, advice=advice)
            return
        record = SmmuType(kind.text, head.origin)
        if hardware.main:
            if not words:
                message = f"'{kind.text}' needs its main unit"
                self._report.error(kind.end, "CONFIG-MISSING", message, expected=hardware.main)
                return
            record = replace(record, main=read_main(split_fields(words), self._report))
        elif words and hardware.firmware and (not words[0].first or words[0].text in FIRMWARE):
            record = replace(record, firmware=read_firmware(words.pop(0), kind.text, self._report))
        elif words and not words[0].first:
            self._report.error(words.pop(0), "CONFIG-EXTRA", f"'{kind.text}' takes no parameter")
        self._type = kind.text
        if self._is_sound:
            self._types[kind.text, record.main.revisions if record.main else ()] = record

    def _read_unit(self, head: Word, words: list[Word]) -> None:
        name = self._take_name(words, "a unit")
        fields = split_fields(words)
        known = self._unit_names.get(name.text)
        if known is not None:
            advice = f"the first is at {known.origin}"
            self._report.error(name, "CONFIG-TWICE", "there is a unit of this name already", advice=advice)
        elif self._type is None:
            advice = f"write 'smmu TYPE' before it, one of {', '.join(TYPES)}"
            message = "'unit' comes before any 'smmu', which tells its type"
            self._report.error(head, "CONFIG-ORDER", message, found="", advice=advice)
        hardware = TYPES.get(self._type or UNKNOWN)
        if hardware is not None and count_fields(fields, hardware.fewest, hardware.most, hardware.unit, self._report):
            unit = hardware.read_unit(name.text, head.origin, fields, self._report)
            if self._is_sound:
                self._units.append(unit)
                self._more_units |= bool(unit.board_module)
        if known is None:
            self._unit_names[name.text] = _Known(self._type or UNKNOWN, head.origin, self._is_sound)

    def _read_device(self, head: Word, words: list[Word]) -> None:
        spec = device_spec(words.pop(0), self._report)
        name = self._take_name(words, "an 'allow'") if words else None
        if spec is None or not self._is_sound:
            return
        self._device = _Device(DeviceEntry(spec, head.origin, name.text if name else ""))
        self._has_device = True
        self._devices.append(self._device)
        if name:
            self._wanted_sets.append((self._report.order, name, self._device))

    def _read_use(self, head: Word, words: list[Word]) -> None:
        self._need_device(head)
        name = self._take_name(words, "a unit")
        known = self._unit_names.get(name.text)
        if known is None and self._is_sound and (self._more_units or _OF_A_BOARD.fullmatch(name.text)):
            self._read_open_use(head, name, words)
            return
        if known is None and self._is_sound:
            self._wanted_units.append((self._report.order, name))
        if known is None or known.type == UNKNOWN:  # what it takes is not known
            del words[:1]
            return
        hardware = TYPES[known.type]
        ids: tuple[int | None, int] = (None, 1)
        if hardware.id and words:
            ids = read_ids(words.pop(0), hardware, self._report)
        elif hardware.id:
            message = f"the unit '{name.text}' needs an ID"
            self._report.error(name.end, "CONFIG-MISSING", message, expected=f"use NAME {hardware.id}")
        elif words and not words[0].first:
            message = f"a unit of type {known.type} is used without a parameter"
            self._report.error(words.pop(0), "CONFIG-EXTRA", message, expected="use NAME")
        if self._device and known.is_read and self._is_sound:
            self._device.uses.append(Use(name.text, head.origin, *ids))

    def _read_open_use(self, head: Word, name: Word, words: list[Word]) -> None:
        """Read the use of a unit that a board, its module or another configuration may have."""
        ids: tuple[int | None, int] = (None, 1)
        if words and (not words[0].first or words[0].text[:1].isdigit()):
            ids = read_ids(words.pop(0), ELSEWHERE, self._report)
        if self._device and self._is_sound:
            use = Use(name.text, head.origin, *ids)
            self._open_uses.append((self._report.order, name, use))
            self._device.uses.append(use)

    def _uses(self, device: _Device) -> tuple[Use, ...]:
        """Return the uses of a device without those of units that are only defined after them."""
        return tuple(use for use in device.uses if use not in self._early)

    def _read_reserved(self, head: Word, words: list[Word]) -> None:
        self._need_device(head)
        fields = split_fields(words)
        if count_fields(fields, 2, 2, USAGE["reserved"], self._report):
            start, length = region(fields[0], fields[1], self._report)
            if self._device and self._is_sound:
                self._device.reserved.append(Reserved(start, length, head.origin))

    def _need_device(self, head: Word) -> None:
        """Report an option that belongs to a device and comes before any."""
        if not self._has_device:
            message = f"'{head.text}' comes before any 'device'"
            self._report.error(head, "CONFIG-ORDER", message, found="", advice="write 'device SPEC' before it")

    def _read_allow(self, head: Word, words: list[Word]) -> None:
        name = self._take_name(words, "an 'allow'")
        fields = split_fields(words)
        if not count_fields(fields, 2, 3, USAGE["allow"], self._report):
            return
        start, length = region(fields[0], fields[1], self._report)
        read, write = _permissions(fields[2], self._report) if len(fields) > 2 else (True, True)  # noqa: PLR2004
        if self._is_sound:
            self._allows.append(Allow(name.text, start, length, read, write, head.origin))
            self._sets.setdefault(name.text)

    def _read_debug(self, _head: Word, words: list[Word]) -> None:
        level = words.pop(0)
        if level.text in ("1", "2"):
            self._debug = int(level.text)
        else:
            self._report.error(level, "CONFIG-VALUE", "there is no such debug level", expected="1 or 2")

    def _read_foreground(self, _head: Word, _words: list[Word]) -> None:
        self._foreground = True

    def _look_up(self) -> None:
        """Report units and sets that are named and not there; a device keeps no name of a set without regions."""
        for order, name, use in self._open_uses:
            if name.text in self._unit_names:
                self._early.add(use)
                self._wanted_units.append((order, name))
        for order, name in [] if self._partial else self._wanted_units:
            known = self._unit_names.get(name.text)
            message = "the unit is used before it is defined" if known else "there is no unit of this name"
            advice = f"move it below the 'unit' at {known.origin}" if known else ""
            advice = advice or self._report.meant(name.text, self._unit_names)
            self._report.error(name, "CONFIG-UNIT", message, advice=advice, order=order)
        there = {allow.name for allow in self._allows}
        for order, name, device in self._wanted_sets:
            if name.text not in self._sets and not self._partial:
                advice = self._report.meant(name.text, (*FEWEST_WORDS, *self._sets))
                self._report.error(name, "CONFIG-SET", "there is no 'allow' of this name", advice=advice, order=order)
            if name.text not in there:
                device.entry = replace(device.entry, allow="")


def _is_bad_name(word: Word, statement: list[Word]) -> bool:
    """Tell whether an option word stands where only a name can."""
    return word.text in FEWEST_WORDS and not word.first and len(statement) == 1 and statement[0].text in _NAMING


def _is_before_name(statement: list[Word]) -> bool:
    """Tell whether a `device` may go on with a name."""
    return len(statement) == 2 and statement[0].text == "device"  # noqa: PLR2004 - the word and its SPEC


def _permissions(field: Word, report: Report) -> tuple[bool, bool]:
    """Return whether devices may read and write a region."""
    for index, letter in enumerate(field.text):
        if letter not in "st":
            report.error(
                field.part(index, index + 1), "CONFIG-VALUE", "there is no such permission", expected=_PERMISSIONS
            )
    if not field.text:
        report.error(field, "CONFIG-VALUE", "the permissions are empty", expected=_PERMISSIONS)
    return "s" in field.text, "t" in field.text
