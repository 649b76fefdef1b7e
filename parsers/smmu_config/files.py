"""Files of a configuration: their bytes as text, and the words of all of them as one stream."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ...base import Finding, Origin
from ..errors import ParseError
from ..files import read_file
from .excerpt import excerpt
from .lexer import Text, Word, tokens
from .report import Report

MAX_FILE = 1 << 20
"""Bytes of the largest file that is read."""
MAX_TOTAL = 16 << 20
"""Bytes of all included files together."""
MAX_WORDS = 300_000
"""Words of all files together."""
MAX_INCLUDES = 1000
"""Most files that are included, one that is included twice counted twice."""
MAX_DEPTH = 16
"""Files that include one another."""

Opener = Callable[[str], bytes]
"""Returns what a file holds, or its first bytes when it is larger than `MAX_FILE`; raises OSError when it cannot."""

INCLUDE = "@"
"""What a word that names a file to include begins with."""

_BOM = b"\xef\xbb\xbf"


def open_file(path: str) -> bytes:
    """Return the content of a regular file, or one byte more of it than is allowed.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    return read_file(path, MAX_FILE + 1)


def read_text(path: str, opener: Opener = open_file) -> str:
    """Return the text of a file.

    Raises:
        ParseError: it cannot be opened, is too large, or is no UTF-8 text.
    """
    try:
        data = opener(path)
    except (OSError, ValueError) as error:  # ValueError: the name has a NUL
        advice = "name a file that is there and that may be read"
        finding = Finding(
            "CONFIG-OPEN", "error", Origin(path), f"this cannot be opened: {reason(error)}", advice=advice
        )
        raise ParseError(finding) from error
    return decode(data, path)


def reason(error: Exception) -> str:
    """Return why a file cannot be opened."""
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def decode(data: bytes, source: str) -> str:
    """Return the text of a file's bytes.

    Raises:
        ParseError: there are too many, or they are no UTF-8 text.
    """
    if len(data) > MAX_FILE:
        raise ParseError(too_large(source))
    data = data.removeprefix(_BOM)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ParseError(_no_text(data, error.start, source, "no UTF-8")) from error
    if "\0" in text:
        raise ParseError(_no_text(data, data.index(0), source, "NUL"))
    return text


def too_large(source: str) -> Finding:
    """Return the finding for a text that is too large."""
    text = f"the configuration is larger than {MAX_FILE >> 20} MiB"
    return Finding("CONFIG-LARGE", "error", Origin(source), text, advice="split it, and include the parts by @FILE")


def _no_text(data: bytes, offset: int, source: str, what: str) -> Finding:
    """Return the finding for a byte that no text has."""
    before = data[:offset].decode()
    word = Word("\N{REPLACEMENT CHARACTER}", Text(source, data.decode(errors="replace")), len(before))
    message = f"the file is no text: the byte {data[offset]:#04x} at offset {offset:#x} is {what}"
    return Finding("CONFIG-TEXT", "error", word.origin, message, advice="save it as UTF-8 text", excerpt=excerpt(word))


@dataclass(slots=True)
class _Open:
    """A text whose words are being read: what it is called, what of it is left, and the folder of its includes."""

    name: str
    words: Iterator[Word]
    folder: str


class Stream:
    """The words of a text and of all files that it includes, in one stream.

    Files are looked for in the folder of the file that includes them; a text without a path, in the current folder.
    A word that names a file which is not read (it cannot be, which is reported, or there is no opener) comes as it
    is, and stands for words that nobody knows; so does a lone `@` for what follows when there is too much.
    """

    def __init__(self, path: str, words: Iterable[Word], report: Report, opener: Opener | None) -> None:
        self._open = [_Open(os.path.normpath(path) if path else "", iter(words), os.path.dirname(path))]
        self._report = report
        self._opener = opener
        self._words = 0
        self._includes = 0
        self._bytes = 0

    def __iter__(self) -> Iterator[Word]:
        """Iterate over the words; comments are left out."""
        while self._open:
            word = next(self._open[-1].words, None)
            if word is None:
                self._open.pop()
                continue
            self._words += 1
            if self._words > MAX_WORDS:
                self._too_much(word, f"there are more than {MAX_WORDS} words")
                word = Word(INCLUDE, word.within, word.start)
            if not word.text.startswith(INCLUDE) or not self._open or not self._include(word):
                yield word

    def _include(self, word: Word) -> bool:
        """Go on with the words of an included file; tell whether its place is taken by them."""
        if self._opener is None:
            return False
        path = word.text[1:]
        if not path:
            self._error(word, "no file is named", expected="@FILE")
            return False
        path = os.path.join(self._open[-1].folder, path)
        names = [text.name for text in self._open]
        if os.path.normpath(path) in names:
            chain = " → ".join([*names[names.index(os.path.normpath(path)) :], os.path.normpath(path)])
            self._error(word, f"the file includes itself: {chain}", advice="take one of these includes out")
            return False
        if len(self._open) > MAX_DEPTH or self._includes >= MAX_INCLUDES:
            limit = f"{MAX_DEPTH} files deep" if len(self._open) > MAX_DEPTH else f"{MAX_INCLUDES} files in all"
            self._error(word, "too many files are included", expected=f"at most {limit}")
            return False
        return self._enter(word, path, self._opener)

    def _enter(self, word: Word, path: str, opener: Opener) -> bool:
        """Open an included file."""
        self._includes += 1
        try:
            data = opener(path)
        except (OSError, ValueError) as error:
            self._error(word, f"the file cannot be included: {path}: {reason(error)}", advice="it is passed over")
            return False
        self._bytes += len(data)
        if self._bytes > MAX_TOTAL:
            self._too_much(word, f"the included files are larger than {MAX_TOTAL >> 20} MiB in all")
            return False
        try:
            text = Text(path, decode(data, path))
        except ParseError as error:
            self._report.add(error.finding)
            return False
        words = (token for token in tokens(text) if not token.is_comment)
        self._open.append(_Open(os.path.normpath(path), words, os.path.dirname(path)))
        return True

    def _too_much(self, word: Word, message: str) -> None:
        """Report that there is more than is read, and end the stream."""
        self._report.error(word, "CONFIG-LARGE", message, found="", advice="what follows is not read")
        self._open.clear()

    def _error(self, word: Word, message: str, expected: str = "", advice: str = "") -> None:
        self._report.error(word, "CONFIG-INCLUDE", message, found="", expected=expected, advice=advice)
