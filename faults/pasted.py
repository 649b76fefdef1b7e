"""What people paste that is no whole line: lines that were wrapped, cut, or typed from a photograph, and memory dumps.

Nothing here reads a log: a log has its lines whole, and a guess at one of them would be wrong more often than right.
"""

from __future__ import annotations

import re
from dataclasses import replace

from ..base import Origin, parse_pci_address
from .fault import Access, Fault

LONGEST = 1 << 16
"""Characters that are looked at."""

_LETTERS = str.maketrans("OoIl", "0011")
"""Letters that stand for digits in what was typed from a photograph, or read by a machine."""

_DIGIT = "[0-9a-fA-FOoIl]"
_REASON = re.compile(rf"\breason\s{{0,4}}[:=]?\s{{0,4}}(?:[0O]x)?({_DIGIT}{{1,2}})\b", re.IGNORECASE)
_DEVICE = re.compile(
    rf"\bdevice\s{{0,4}}\[?\s{{0,4}}((?:{_DIGIT}{{4}}:)?{_DIGIT}{{1,2}}:{_DIGIT}{{1,2}}\.[0-7OoIl])(?![\w.])",
    re.IGNORECASE,
)
_ADDRESS = re.compile(rf"\baddr(?:ess)?\s{{0,4}}[:=]?\s{{0,4}}(?:[0O]x)?({_DIGIT}{{1,16}})(?![\w.])", re.IGNORECASE)
_ACCESS = re.compile(r"\b(?:DMA|PTE)\s{0,4}(read|write)\b", re.IGNORECASE)
_AMD = re.compile(r"\b([A-Z]{2,16}(?:_[A-Z]{2,16}){1,5})\s{1,4}(device=[^\]]{1,160})")
_DUMPED = re.compile(
    r"[ \t]{0,40}(?:0x)?([0-9a-f]{4,16})(:?)[ \t]{1,8}((?:[0-9a-f]{2}|[0-9a-f]{4}|[0-9a-f]{8}|[0-9a-f]{16})"
    r"(?:[ \t]{1,2}(?:[0-9a-f]{2}|[0-9a-f]{4}|[0-9a-f]{8}|[0-9a-f]{16})(?![0-9a-z])){0,31})(?:[ \t]{2,40}.*|[ \t]*)",
    re.IGNORECASE,
)
_FIRST_INTERRUPT_REASON = 0x20


def joined(text: str) -> str:
    """Return text in which lines are joined that were wrapped within brackets, as mail and terminals do."""
    lines: list[str] = []
    for line in text.splitlines():
        opens = bool(lines) and lines[-1].count("[") > lines[-1].count("]")
        if opens and line.count("]") > line.count("[") and len(lines[-1]) < LONGEST:
            lines[-1] = f"{lines[-1].rstrip()} {line.lstrip('> ')}"
        else:
            lines.append(line)
    return "\n".join(lines)


def half_line(text: str, origin: Origin) -> Fault | None:
    """Return the fault of what is left of a VT-d line: a reason, and a device or an address; None: it has not that.

    What is not there is not known of the fault: a device, an address, whether it was a read or a write.
    """
    from .raw import vtd

    text = text[:LONGEST]
    reason, device, address = _REASON.search(text), _DEVICE.search(text), _ADDRESS.search(text)
    if reason is None or (device is None and address is None):
        return None
    code = int(reason[1].translate(_LETTERS), 16)
    if code >= _FIRST_INTERRUPT_REASON:
        return None  # those have an index instead of an address
    sender = parse_pci_address(device[1].translate(_LETTERS)) if device else None
    page = int(address[1].translate(_LETTERS), 16) >> 12 << 12 if address else 0
    raw = vtd.encode(F=1, FR=code, SID=sender[1] if sender else 0, FI=page)
    found = replace(vtd.decode(raw, origin), raw=b"", facts=(), access=_access(text), text=text)
    return replace(
        found,
        identifier=sender[1] if sender else None,
        segment=sender[0] if sender and device and device[1].count(":") > 1 else None,
        address=found.address if address else None,
    )


def _access(text: str) -> Access:
    match = _ACCESS.search(text)
    return "" if match is None else "read" if match[1].lower() == "read" else "write"


def half_event(text: str) -> str | None:
    """Return the line of an AMD-Vi event of which the driver's words are missing before it; None: it is none."""
    match = _AMD.search(text[:LONGEST])
    return None if match is None else f"AMD-Vi: Event logged [{match[1]} {' '.join(match[2].split())}]"


def dumped(text: str) -> str | None:
    """Return the words of a memory dump, as hexadecimal text; None: it is none.

    Lines are an offset or an address, then bytes (`hexdump -C`), pairs of bytes in their order (`xxd`: a colon after
    the offset) or as 16-bit numbers (`hexdump`, `od -x`), or numbers of 32 or 64 bits (`md` of U-Boot, `devmem`).
    """
    data, place = b"", None
    for line in text[:LONGEST].splitlines():
        if not line.strip():
            continue
        match = _DUMPED.fullmatch(line.rstrip())
        if match is None:
            if re.fullmatch(r"\s*[0-9a-f]{4,16}:?\s*", line, re.IGNORECASE):
                continue  # the end that hexdump and od write
            return None
        groups = match[3].split()
        start = int(match[1], 16)
        if len({len(group) for group in groups}) > 1 or (place is not None and start != place):
            return None
        in_order = len(groups[0]) == len("00") or (len(groups[0]) == len("0000") and match[2])
        pieces = [bytes.fromhex(group) for group in groups]
        piece = b"".join(pieces if in_order else [one[::-1] for one in pieces])
        data += piece
        place = start + len(piece)
    if not data or len(data) % 4:
        return None
    return " ".join(f"0x{int.from_bytes(data[at : at + 4], 'little'):08x}" for at in range(0, len(data), 4))
