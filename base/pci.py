"""PCI function addresses: `ssss:bb:dd.f` to segment and requester ID, and back."""

from __future__ import annotations

import re

_ADDRESS = re.compile(
    r"(?:(?P<segment>[0-9a-fA-F]{1,8}):)?(?P<bus>[0-9a-fA-F]{1,2}):(?P<device>[01]?[0-9a-fA-F])\.(?P<function>[0-7])"
)


def parse_pci_address(text: str) -> tuple[int, int] | None:
    """Return (segment, requester ID) of `0000:02:01.0` or `02:01.0` (segment 0); None when the text is neither.

    The requester ID has the bus in bits 15:8, the device in 7:3 and the function in 2:0.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None:
        return None
    bus, device, function = (int(match[part], 16) for part in ("bus", "device", "function"))
    return int(match["segment"] or "0", 16), bus << 8 | device << 3 | function


def format_pci_address(segment: int, rid: int) -> str:
    """Return `ssss:bb:dd.f` for a segment and a 16-bit requester ID."""
    return f"{segment:04x}:{rid >> 8:02x}:{rid >> 3 & 0x1F:02x}.{rid & 7:x}"


def format_rid(rid: int) -> str:
    """Return `bb:dd.f` for a 16-bit requester ID whose segment is not known."""
    return f"{rid >> 8:02x}:{rid >> 3 & 0x1F:02x}.{rid & 7:x}"
