"""Lines of `drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3.c` of Linux, and of Xen's driver, which was made of it."""

from __future__ import annotations

import re

from ...base.quick import quick
from .joiner import Family, Kind, Part, joined
from .records import Facts, LogRecord, Smmuv3Event, Smmuv3PageRequest, UnitError

_NUMBERS = {
    "C_BAD_STREAMID": 0x02,
    "F_STE_FETCH": 0x03,
    "C_BAD_STE": 0x04,
    "F_STREAM_DISABLED": 0x06,
    "C_BAD_SUBSTREAMID": 0x08,
    "F_CD_FETCH": 0x09,
    "C_BAD_CD": 0x0A,
    "F_TRANSLATION": 0x10,
    "F_ADDR_SIZE": 0x11,
    "F_ACCESS": 0x12,
    "F_PERMISSION": 0x13,
    "F_VMS_FETCH": 0x25,
}
"""Events that the kernel has names for."""

_HEX = r"0x([0-9a-f]{1,16})"
_DECODED = re.compile(
    r"event: (\S{1,32}) client: (\(unassigned sid\)|\S{1,64}) sid: 0x([0-9a-f]{1,8}) ssid: 0x([0-9a-f]{1,8})"
    rf"(?: iova: {_HEX} ipa: {_HEX}| fetch_addr: {_HEX})?"
)
_ACCESS = re.compile(
    r"(priv|unpriv) (inst|data) (read|write) (s1|s2) \"([^\"]{1,48})\"( ttd_read| ttd_write)?( stall)? "
    r"stag: 0x([0-9a-f]{1,4})"
)
_REQUEST = re.compile(
    rf"\s*sid 0x([0-9a-f]{{1,8}})\.0x([0-9a-f]{{1,5}}): \[(\d{{1,5}})(L?)\] (un)?privileged (R?)(W?)(X?) "
    rf"access at iova {_HEX}"
)

_event = quick(Smmuv3Event)


def _build_event(driver: str, unit: str, parts: list[Part]) -> LogRecord:
    number: int | None = None
    words: list[int] = []
    name = client = ""
    facts: Facts = ()
    for kind, match, _ in parts:
        if kind == "word":
            words.append(int(match[1], 16))
        elif kind == "event":
            number = int(match[1], 16)
        elif kind == "decoded":
            name, client, stream, substream, iova, ipa, fetched = match.groups()
            client = "" if client.startswith("(") else client
            facts += (("sid", int(stream, 16)), ("ssid", int(substream, 16)))
            values = ("iova", iova), ("ipa", ipa), ("fetch_addr", fetched)
            facts += tuple((key, int(value, 16)) for key, value in values if value is not None)
        else:
            privilege, what, access, stage, during, _, stall, tag = match.groups()
            facts += (("privilege", privilege), ("kind", what), ("access", access), ("stage", int(stage[1])))
            facts += (("class", during), ("stall", int(stall is not None)), ("stag", int(tag, 16)))
    if number is None:
        number = _NUMBERS.get(name)
    return _event(parts[0].line, joined(parts), driver, unit, number, tuple(words), name, client, facts)


def _build_request(driver: str, unit: str, parts: list[Part]) -> LogRecord:
    if len(parts) == 1 and parts[0].kind == "request":
        return UnitError(parts[0].line, joined(parts), driver, unit, "unexpected PRI request received")
    match = parts[-1].match
    access = match[6] + match[7] + match[8]
    return Smmuv3PageRequest(
        parts[0].line, joined(parts), driver, unit, int(match[1], 16), int(match[2], 16), int(match[3]),
        bool(match[4]), not match[5], access, int(match[9], 16),
    )  # fmt: skip


def _build_error(driver: str, unit: str, parts: list[Part]) -> LogRecord:
    first = parts[0].match
    name, lost = first[1], "lost" in first[0]
    facts: Facts = ()
    for part in parts[1:]:
        facts += (("word", int(part.match[1], 16)),) if part.kind == "word" else (("then", part.match[0]),)
    value = None
    if parts[0].kind == "global":
        name, value = "unexpected global error", int(first[1], 16)
    elif parts[0].kind == "command":
        name, value = f"CMDQ error: {first[2]}", int(first[1], 16)
    elif parts[0].kind == "timeout" and first[2] is not None:
        facts = (("at", int(first[2], 16)), ("hwprod", int(first[3], 16)), ("hwcons", int(first[4], 16)))
    return UnitError(parts[0].line, joined(parts), driver, unit, name, value, lost, facts)


SMMUV3 = Family(
    (
        Kind("word", re.compile(r"\s*0x([0-9a-f]{16})\s*$"), after=frozenset({"event", "word", "skipping"}), limit=4),
        Kind("event", re.compile(r"event 0x([0-9a-f]{1,2}) received:"), _build_event, more=True),
        Kind("decoded", _DECODED, _build_event, frozenset({"event", "word"}), more=True),
        Kind("access", _ACCESS, _build_event, frozenset({"decoded"})),
        Kind("request", re.compile(r"unexpected PRI request received:"), _build_request, more=True),
        Kind("page", _REQUEST, _build_request, frozenset({"request"})),
        Kind(
            "global",
            re.compile(r"unexpected global error reported \(0x([0-9a-f]{1,8})\), this could be serious"),
            _build_error,
        ),
        Kind(
            "error",
            re.compile(
                r"((?:EVTQ|PRIQ) overflow detected|device has entered Service Failure Mode|"
                r"(?:GERROR|PRIQ|EVTQ|CMDQ) MSI write aborted|(?:PRIQ|EVTQ) write aborted|CMDQ timeout)\b.*"
            ),
            _build_error,
        ),
        Kind(
            "command",
            re.compile(r"CMDQ error \(cons 0x([0-9a-f]{1,8})\): (.{1,40})"),
            _build_error,
            more=True,
        ),
        Kind("retrying", re.compile("retrying command fetch"), after=frozenset({"command"})),
        Kind("skipping", re.compile("skipping command in error state"), after=frozenset({"command"})),
        Kind(
            "timeout",
            re.compile(
                r"(CMD_SYNC timeout)(?: at 0x([0-9a-f]{1,8}) \[hwprod 0x([0-9a-f]{1,8}), hwcons 0x([0-9a-f]{1,8})\])?"
            ),
            _build_error,
        ),
    )
)
"""Lines behind `arm-smmu-v3 <unit>: `."""
