"""The canonical layout: exact texts, and that words and comments stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.parsers import ParseError
from iommuman.parsers.smmu_config import Configuration, format_configuration, parse_configuration, write_configuration
from iommuman.parsers.smmu_config.lexer import Text, tokens

from tests.parsers.smmu_config.helpers import no_files, without_origins
from tests.parsers.smmu_config.strategies import configurations, laid_out


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("\n\n  \n", ""),
        ("debug 1", "debug 1\n"),
        ("\n\ndebug   1\n\n\n\nforeground\n\n", "debug 1\n\nforeground\n"),
        ("debug 1\r\n\r\nforeground\r\n", "debug 1\n\nforeground\n"),
        ("debug 1 foreground", "debug 1\nforeground\n"),
        ("device mem:1 use\nu 1 reserved 1,1", "device mem:1\n    use u 1\n    reserved 1,1\n"),
        ("  # a\n#b\t \ndebug 1#\n".replace("1#", "1 #"), "# a\n#b\ndebug 1  #\n"),
        ("# a\n\n\n# b\n\ndebug 1", "# a\n\n# b\n\ndebug 1\n"),
        ("debug 1 # a\n# b\nforeground # c\n # d", "debug 1  # a\n# b\nforeground  # c\n# d\n"),
        ("device mem:1 # a\n# b\n\nuse u # c", "device mem:1  # a\n    # b\n\n    use u  # c\n"),
        ("device mem:1 use u # a\n\n\n# b\ndevice mem:2", "device mem:1\n    use u  # a\n\n# b\ndevice mem:2\n"),
        ("# a\n\nallow # b\nx # c\n\n 1,1 # d", "# a\n\n# b\n# c\nallow x 1,1  # d\n"),
        ("#only", "#only\n"),
        ("debug 1\n\n# end", "debug 1\n\n# end\n"),
        ("@a.smmu @b.smmu # b\ndebug 1", "@a.smmu\n@b.smmu  # b\ndebug 1\n"),
        ("smmu @type debug @level use @c @d", "smmu @type\ndebug @level\n    use @c\n@d\n"),
        ("unit u 1z use v 5 6 device mem:1 set".replace("1z", "1").replace(" 6", ""),
         "unit u 1\n    use v 5\ndevice mem:1 set\n"),
        ("device dt:/a#b use u 0x10", "device dt:/a#b\n    use u 0x10\n"),
        ("allow a 4000, 4k ,st", "allow a 4000, 4k ,st\n"),
    ],
)  # fmt: skip
def test_layouts(text: str, expected: str) -> None:
    """Each text is laid out so, and that layout is not changed any more."""
    assert format_configuration(text) == expected
    assert format_configuration(expected) == expected


def test_a_text_with_errors_is_refused() -> None:
    """The first error is raised, and nothing is laid out."""
    with pytest.raises(ParseError) as caught:
        format_configuration("debug 1\ndebug 5\ndebug 6", "a.smmu")
    assert str(caught.value) == "a.smmu:2:7: there is no such debug level: found 5, expected 1 or 2"


@given(configurations(), st.data())
def test_words_and_comments_stay(configuration: Configuration, data: st.DataObject) -> None:
    """The layout keeps every word and every comment in their order, and is not changed any more."""
    words = write_configuration(configuration).split()
    text = data.draw(laid_out(words))
    formatted = format_configuration(text)
    before, after = list(tokens(Text("", text))), list(tokens(Text("", formatted)))
    assert [word.text for word in after if not word.is_comment] == words
    comments = [word.text.rstrip() for word in before if word.is_comment]
    assert [word.text for word in after if word.is_comment] == comments
    assert format_configuration(formatted) == formatted
    assert without_origins(parse_configuration(formatted, "", no_files)) == configuration
