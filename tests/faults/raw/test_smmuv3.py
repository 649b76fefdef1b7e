"""SMMUv3 events and page requests, by words written out from the manual's tables and from kernel logs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.faults import FaultError
from iommuman.faults.raw import smmuv3
from iommuman.iommu.smmuv3.layout.queues import EVENTS, PageRequest

from . import HERE, fields_of, quads, told, values_told

IN = ("during", "the transaction itself")

# Words of the record (IHI 0070 7.3); stream 0x18 unless said.
EVENT_WORDS: list[tuple[tuple[int, int, int, int], dict[str, Any]]] = [
    ((0x0000_0018_0000_0001, 0x0000_0008_0000_0007, 0x1000, 0),
     {"name": "F_UUT", "access": "read", "privileged": False, "address": 0x1000, "facts": (("Reason", 7),)}),
    ((0x0000_4242_0000_0002, 0, 0, 0), {"name": "C_BAD_STREAMID", "identifier": 0x4242, "address": None, "access": ""}),
    ((0x0000_0018_0000_0003, 0, 0, 0x8000_0040),
     {"name": "F_STE_FETCH", "address": None, "facts": (("FetchAddr", 0x8000_0040),)}),
    ((0x0000_0018_0000_0004, 0, 0, 0), {"name": "C_BAD_STE", "reason": "the stream table entry is invalid"}),
    ((0x0000_0018_0000_0005, 0, 0x2000, 0), {"name": "F_BAD_ATS_TREQ", "access": "translation", "address": 0x2000}),
    ((0x0000_0018_0000_0006, 0, 0, 0), {"name": "F_STREAM_DISABLED", "address": None}),
    ((0x0000_0018_0000_0007, 0x0000_0008_0000_0000, 0xFEE0_0000, 0),
     {"name": "F_TRANSL_FORBIDDEN", "code": 7, "access": "read", "address": 0xFEE0_0000, "privileged": None}),
    ((0x0000_0018_0012_3008, 0, 0, 0), {"name": "C_BAD_SUBSTREAMID", "substream": 0x123, "facts": ()}),
    ((0x0000_0018_0000_5809, 0x0001_0000, 0, 0x9000_0008),
     {"name": "F_CD_FETCH", "substream": 5, "facts": (("GPCF", 1), ("FetchAddr", 0x9000_0008))}),
    ((0x0000_0018_0000_000A, 0, 0, 0), {"name": "C_BAD_CD", "reason": "the context descriptor is invalid"}),
    ((0x0000_0018_0000_000B, 0x0000_0108_0000_0000, 0x3000, 0xA000_0000),
     {"name": "F_WALK_EABT", "stage": 1, "address": 0x3000,
      "facts": (("during", "stage 1 table walk"), ("FetchAddr", 0xA000_0000))}),
    ((0x0000_0018_0000_0010, 0x0000_0208_0000_0000, 0x1111_0004, 0),
     {"name": "F_TRANSLATION", "code": 0x10, "stage": 1, "access": "read", "address": 0x1111_0004, "ipa": None,
      "facts": (IN,)}),
    ((0x0000_0018_0000_0011, 0x0000_0280_0000_0000, 0x1111_0000, 0x4000_1000),
     {"name": "F_ADDR_SIZE", "stage": 2, "access": "write", "ipa": 0x4000_1000, "facts": (IN,)}),
    ((0x0000_0018_0000_0012, 0x0000_020E_0000_0000, 0x1111_0000, 0),
     {"name": "F_ACCESS", "access": "execute", "privileged": True}),
    ((0x0000_0018_0000_0013, 0x0000_1182_8000_0055, 0x1111_0000, 0x5000_0000),
     {"name": "F_PERMISSION", "stage": 2, "privileged": True, "access": "write", "ipa": 0x5000_0000,
      "facts": (("during", "stage 1 table walk"), ("STAG", 0x55), ("Stall", 1), ("TTRnW", 1))}),
    ((0x0000_0018_0000_0020, 0x0000_0008_0000_0003, 0x6000, 0),
     {"name": "F_TLB_CONFLICT", "stage": 1, "facts": (("Reason", 3),)}),
    ((0x0000_0018_0000_0021, 0x0000_0000_0000_0009, 0, 0), {"name": "F_CFG_CONFLICT", "facts": (("Reason", 9),)}),
    ((0x0000_0018_0000_0024, 0x0000_2088_0000_0000, 0x7000, 0),
     {"name": "E_PAGE_REQUEST", "access": "translation", "address": 0x7000, "address_bits": 12,
      "facts": (("uR", 1), ("pR", 1), ("Span", 2))}),
    ((0x0000_0018_0000_0025, 0, 0, 0xB000_0000), {"name": "F_VMS_FETCH", "facts": (("FetchAddr", 0xB000_0000),)}),
    ((0x0000_0018_0000_00E3, 0, 0, 0),
     {"name": "", "code": 0xE3, "reason": "event that the implementation defines"}),
    ((0x0000_0018_0000_0099, 0, 0, 0), {"name": "", "code": 0x99, "reason": "event not defined by IHI 0070 G.b"}),
]  # fmt: skip


@pytest.mark.parametrize(("words", "expected"), EVENT_WORDS)
def test_every_event(words: tuple[int, int, int, int], expected: dict[str, Any]) -> None:
    """Each event number with the fields that it has."""
    fault = smmuv3.decode(quads(*words), HERE, "smmuv3@9050000")
    told(fault, architecture="smmuv3", iommu="smmuv3@9050000", **{"identifier": 0x18, "lost": False, **expected})


def test_an_event_from_a_public_log() -> None:
    """Linux printed it, and in words: sid 0x11, iova 0x9b0cc000, privileged data read, stage 1."""
    fault = smmuv3.decode(quads(0x0000001100000010, 0x0000020A00000000, 0x000000009B0CC000, 0), HERE)
    told(fault, name="F_TRANSLATION", identifier=0x11, substream=None, address=0x9B0CC000, privileged=True)
    told(fault, access="read", stage=1, facts=(IN,))


def test_a_page_request() -> None:
    """8.1: stream 0x100, substream 7, a write, last of group 0x1ff, unprivileged."""
    fault = smmuv3.decode_request(quads(0xE000_0007_0000_0100, 0x0000_0000_1234_51FF), HERE)
    told(fault, name="page request", identifier=0x100, substream=7, address=0x12345000, privileged=False)
    assert fault.facts == (("W", 1), ("Last", 1), ("PRGIndex", 0x1FF))


def test_what_has_no_meaning_is_kept() -> None:
    """A substream without SSV, an IPA in a stage 1 fault and reserved bits are told."""
    fault = smmuv3.decode(quads(0x0000_0018_0000_1110, 0x0000_0208_0000_0000, 0x1000, 0x2000), HERE)
    told(fault, substream=None, ipa=None)
    assert fault.facts == (IN, ("SubstreamID", 1), ("IPA", 0x2000), ("reserved bits", 0x100))


def test_flags_that_contradict_each_other_are_told() -> None:
    """InD is 0 in a write; a record with both says both, and a class that is reserved is named so."""
    fault = smmuv3.decode(quads(0x0000_0018_0000_0010, 0x0000_0304_0000_0000, 0, 0), HERE)
    told(fault, access="write", facts=(("during", "reserved class 3"), ("InD", 1)))


@pytest.mark.parametrize("number", EVENTS)
@given(st.data())
def test_encode_and_decode_are_inverse(number: int, data: st.DataObject) -> None:
    """Every defined field of every event comes back from the bytes, and every number that has a meaning is told."""
    fields = data.draw(fields_of(EVENTS[number], {"Number": number}))
    raw = smmuv3.encode(**fields)
    fault = smmuv3.decode(raw, HERE)
    read = dict(EVENTS[number].from_bytes(fault.raw).items())
    assert {name: read[name] for name in fields} == fields
    skipped = {"SSV", "PnU", "InD", "RnW", "S2", "CLASS"}
    assert {value for name, value in fields.items() if name not in skipped} <= values_told(fault) | {0}
    if "RnW" in fields and number not in (0x05, 0x24):
        assert (fault.access == "write") == (not fields["RnW"])


@given(fields_of(PageRequest))
def test_encode_and_decode_of_requests_are_inverse(fields: dict[str, int]) -> None:
    """The same for page requests."""
    fault = smmuv3.decode_request(smmuv3.encode_request(**fields), HERE)
    assert dict(PageRequest.from_bytes(fault.raw).items()) == fields
    assert {fields[name] for name in ("StreamID", "SubstreamID", "Addr", "PRGIndex")} <= values_told(fault) | {0}


@given(st.binary(min_size=32, max_size=32))
def test_any_bytes_decode(raw: bytes) -> None:
    """Noise is a fault, whatever event number it has."""
    assert smmuv3.decode(raw, HERE).raw == raw


@pytest.mark.parametrize("decode", [smmuv3.decode, smmuv3.decode_request])
def test_another_length_is_refused(decode: object) -> None:
    """A record that is cut short is one error."""
    with pytest.raises(FaultError, match="SMMUv3"):
        decode(bytes(31), HERE)  # type: ignore[operator]
