"""Words of a configuration and where they stand; comments are kept apart from them.

Words are split at white space, lines mean nothing. A `#` that begins a word begins a comment, which goes to the end of
the line; inside a word (`dt:/soc/i2c#1`) it is a character like others. A line ends with LF, CR LF or CR.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ...base import Origin

_TOKEN = re.compile(r"#[^\r\n]*|\S+")
_LINE_END = re.compile(r"\r\n?|\n")


@dataclass(frozen=True, slots=True)
class Text:
    """One text that words stand in.

    Attributes:
        source: name of the file, or `command line`.
        content: the text itself.
        starts: offset of the first character of each line.
    """

    source: str
    content: str
    starts: list[int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Find the lines."""
        object.__setattr__(self, "starts", [0, *(match.end() for match in _LINE_END.finditer(self.content))])

    def position(self, offset: int) -> tuple[int, int]:
        """Return line and column of a character, both counted from 1."""
        line = bisect_right(self.starts, offset)
        return line, offset - self.starts[line - 1] + 1

    def line_bounds(self, line: int) -> tuple[int, int]:
        """Return the offsets of the first character of a line and of the one behind its last, without its line end."""
        begin = self.starts[line - 1]
        end = self.starts[line] if line < len(self.starts) else len(self.content)
        while end > begin and self.content[end - 1] in "\r\n":
            end -= 1
        return begin, end


@dataclass(frozen=True, slots=True)
class Word:
    """A word, a part of one, or a comment.

    Attributes:
        text: its characters.
        within: the text that it stands in.
        start: offset of its first character there.
        first: whether it is the first on its line.
    """

    text: str
    within: Text
    start: int
    first: bool = False

    @property
    def is_comment(self) -> bool:
        """Whether it is a comment; no part of a word is."""
        return self.text.startswith("#")

    @property
    def origin(self) -> Origin:
        """Where it stands."""
        line, column = self.within.position(self.start)
        return Origin(self.within.source, line=line, column=column)

    @property
    def end(self) -> Word:
        """The empty word behind it: the place where more was expected."""
        return Word("", self.within, self.start + len(self.text))

    def part(self, begin: int, end: int | None = None) -> Word:
        """Return the part from one index to another."""
        return Word(self.text[begin:end], self.within, self.start + begin)

    def split(self, separator: str, most: int = -1) -> list[Word]:
        """Split it as `str.split` does."""
        parts = []
        start = self.start
        for piece in self.text.split(separator, most):
            parts.append(Word(piece, self.within, start))
            start += len(piece) + len(separator)
        return parts


def tokens(text: Text) -> Iterator[Word]:
    """Iterate over the words and comments of a text."""
    end = 0
    for match in _TOKEN.finditer(text.content):
        start = match.start()
        gap = text.content[end:start]
        yield Word(match[0], text, start, first=not end or "\n" in gap or "\r" in gap)
        end = match.end()


def command_line(words: Sequence[str], source: str) -> list[Word]:
    """Return the words of a command line, which stand in one line with one space between them.

    They are taken as they are: the shell has split them, and has taken the comments away.
    """
    text = Text(source, " ".join(words))
    found = []
    start = 0
    for word in words:
        found.append(Word(word, text, start))
        start += len(word) + 1
    return found
