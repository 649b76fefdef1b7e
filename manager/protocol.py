"""The wire format: messages of JSON behind their length, and what each may hold. See `docs/manager-protocol.md`.

A message is four bytes, its length in bytes with the highest first, and that many bytes of UTF-8: one JSON object.
Lengths are checked before anything is read, JSON that is not the protocol's is refused with one error, and every field
is checked before it is used (`checks`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from struct import Struct

from .calls import CALLS, NAMES, Call, Failure, Result
from .checks import build, integer, malformed, plain, record
from .errors import ManagerError

HEADER = Struct(">I")
"""Length of a message, before it."""

MOST_REQUEST = 1 << 16
"""Bytes of a message to the service."""

MOST_REPLY = 1 << 23
"""Bytes of a message from the service."""

_SERIAL = integer(0, (1 << 32) - 1)


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to the call of a serial number: a result, or the error that it raised; None: a notice."""

    serial: int
    fields: dict[str, object] | None
    failure: Failure | None


def frame(message: dict[str, object], most: int) -> bytes:
    """Return a message as it goes over the socket. Raises ManagerError (`EPROTO`): it is longer than `most` bytes."""
    body = json.dumps(message, separators=(",", ":")).encode()
    if len(body) > most:
        raise malformed("length", len(body), f"at most {most}")
    return HEADER.pack(len(body)) + body


def body_length(header: bytes, most: int) -> int:
    """Return the length of a message from the four bytes before it. Raises ManagerError (`EPROTO`)."""
    (length,) = HEADER.unpack(header)
    found: int = integer(2, most)(length, "length")
    return found


def parse(body: bytes) -> dict[str, object]:
    """Return the object that a message is. Raises ManagerError (`EPROTO`): it is no JSON, or no object."""
    try:
        found = json.loads(body.decode(), object_pairs_hook=_once, parse_constant=_refuse, parse_float=_refuse)
    except (ValueError, RecursionError):
        raise _unreadable("no JSON object") from None
    if not isinstance(found, dict):
        raise _unreadable("JSON, but no object")
    return found


def request(serial: int, call: Call) -> bytes:
    """Return a call as it goes over the socket."""
    return frame({"call": NAMES[type(call)], "serial": serial} | plain(call), MOST_REQUEST)


def read_request(body: bytes) -> tuple[int, Call | ManagerError]:
    """Return a call and its serial number; instead of a call with a wrong field, the error to answer.

    Raises ManagerError (`EPROTO`): it is so little of a call that there is nothing to answer to.
    """
    fields = parse(body)
    serial: int = _SERIAL(fields.pop("serial", None), "serial")
    name = fields.pop("call", None)
    try:
        if not isinstance(name, str) or name not in CALLS:
            raise malformed("call", name, f"one of {', '.join(CALLS)}")
        call: Call = build(CALLS[name][0], fields)
    except ManagerError as error:
        return serial, error
    return serial, call


def checked(call: Call) -> Call:
    """Return a call of which every field is as the protocol wants it. Raises ManagerError (`EINVAL`)."""
    try:
        found: Call = build(type(call), json.loads(json.dumps(plain(call))))
    except ManagerError as error:
        finding = error.finding
        raise ManagerError(
            "EINVAL", "MANAGER-ARGUMENT", "an argument cannot be", field=finding.field, found=finding.found,
            expected=finding.expected,
        ) from None  # fmt: skip
    except (TypeError, ValueError, RecursionError):
        raise ManagerError("EINVAL", "MANAGER-ARGUMENT", "an argument is of a type that cannot be") from None
    return found


def reply(serial: int, answer: Result | ManagerError) -> bytes:
    """Return an answer as it goes over the socket; of a result that is too long, an error that says so."""
    if not isinstance(answer, ManagerError):
        try:
            return frame({"serial": serial, "result": plain(answer)}, MOST_REPLY)
        except ManagerError as error:
            answer = error
    return frame({"serial": serial, "error": plain(Failure.of(answer))}, MOST_REPLY)


NOTICE = frame({"notice": "incident"}, MOST_REPLY)
"""Tells a client that asked for it that there is a record to read."""


def read_reply(body: bytes) -> Reply | None:
    """Return the answer that a message is; None when it is a notice. Raises ManagerError (`EPROTO`)."""
    fields = parse(body)
    if fields == {"notice": "incident"}:
        return None
    serial: int = _SERIAL(fields.pop("serial", None), "serial")
    if set(fields) == {"error"}:
        return Reply(serial, None, record(Failure)(fields["error"], "error"))
    result = fields.get("result")
    if set(fields) != {"result"} or not isinstance(result, dict):
        raise malformed("result", result, "an object, and nothing beside it")
    return Reply(serial, result, None)


def result_of(call: Call, answer: Reply) -> Result:
    """Return the result of a call. Raises ManagerError: the error that the service answered, or `EPROTO`."""
    if answer.failure is not None:
        raise answer.failure.error()
    result: Result = build(CALLS[NAMES[type(call)]][1], answer.fields or {}, "result")
    return result


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Make an object, and refuse one that has a name twice: readers differ in which of them they believe."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _refuse(word: str) -> object:
    raise ValueError(f"{word[:40]} is no whole number")


def _unreadable(found: str) -> ManagerError:
    return ManagerError("EPROTO", "PROTOCOL-MESSAGE", "a message is not one of the protocol", found=found)
