"""Which files are configurations, by their first word."""

from __future__ import annotations

import pytest
from iommuman.parsers.smmu_config import is_configuration

from tests.conftest import tables


@pytest.mark.parametrize(
    "data",
    [
        b"smmu vtd",
        b"\xef\xbb\xbfsmmu vtd",
        b"# a comment\n\n\t# another\nunit x 1",
        b"@/etc/myx86.smmu",
        b"foreground",
        b"#\r\rdebug 1",
        b"device \xff\xfe",
        b"#" * 60_000 + b"\nuse x",
    ],
)
def test_configurations(data: bytes) -> None:
    """A first word that is an option or an include makes a configuration, even with bytes behind it that do not."""
    assert is_configuration(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"# only a comment",
        b"@",
        b"smmuvtd",
        b"SMMU vtd",
        b"devices: none",
        b'{"format": "iommuman-pci"}',
        b"smmu vtd\0",
        b"\xd0\x0d\xfe\xed",
        b"DMAR @ 0x0000000000000000\n",
        b"\xff\xfes\x00m\x00m\x00u\x00",
        b" " * 70_000 + b"smmu vtd",
    ],
)
def test_other_files(data: bytes) -> None:
    """Other text, other formats and binary data are none, and no more than the beginning is looked at."""
    assert not is_configuration(data)


def test_tables_are_none() -> None:
    """No firmware table of the fixtures is taken for a configuration."""
    assert [path for path in tables("DMAR", "IORT", "MCFG") if is_configuration(path.read_bytes())] == []
