"""How fast raw fault records become faults, and attributed packed records in the log, beside unpacking them alone.

Run with `python -m benchmarks faults_raw`. A queue of 32-byte SMMUv3 events and one of 16-byte VT-d records, each from
64 devices at addresses that all differ. Each row is the best of several rounds, which the rows take in turn, so that
what else the machine does hits all alike.
"""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from iommuman.base import Origin
from iommuman.faults.attribute import Attributor, attribute
from iommuman.faults.raw import decode_many, format_of
from iommuman.faults.raw.packed import CODES, NAMES, TEXT, Packer
from iommuman.logging_backend import BufferConfig, Placement, Schema, SetConfig, SetWriter, register
from iommuman.topology import Topology, load_topology

from .log import Work, best

if TYPE_CHECKING:
    from iommuman.faults import Fault

BOARDS = Path(__file__).resolve().parent.parent / "fixtures" / "boards"
DEVICES = 64
LAYOUTS = {"smmuv3": "<QQQQ", "vtd": "<QQ"}
TARGET_DECODED = 300_000
TARGET_PACKED = 1_000_000


def queue(architecture: str, count: int) -> bytes:
    """Return that many records: unmapped reads by devices in turn."""
    if architecture == "smmuv3":
        records = ((0x10 | (i % DEVICES) << 35, 0x208 << 32, 0x10000000 + 4 * i, 0) for i in range(count))
        return b"".join(struct.pack("<QQQQ", *record) for record in records)
    pairs = ((0x10000000 + 4096 * i, 0xC0000006 << 32 | (i % DEVICES) << 3) for i in range(count))
    return b"".join(struct.pack("<QQ", *pair) for pair in pairs)


def works(architecture: str, topology: Topology, data: bytes, writer: SetWriter) -> dict[str, Work]:
    """Return what is measured for one architecture."""
    form = format_of(architecture)
    count = len(data) // form.size
    schema = Schema(CODES, TEXT, NAMES)
    layout = struct.Struct(LAYOUTS[architecture])

    def who(fault: Fault) -> str:
        return " or ".join(attribute(fault, topology).devices)

    packer = Packer(architecture, who=who)
    packer.pack(data, 0)
    known = len(packer.sources)

    def unpack() -> int:
        for _ in layout.iter_unpack(data):
            pass
        return count

    def one_by_one() -> int:
        few = min(count, 2000)
        for at in range(0, few * form.size, form.size):
            form.decode(data[at : at + form.size], Origin("queue", "fault", at, form.size), "")
        return few

    def many() -> int:
        return len(decode_many(data, form.architecture, source="queue"))

    def attributed() -> int:
        faults = decode_many(data, form.architecture)
        attributor = Attributor(topology)
        for fault in faults:
            attributor(fault)
        return len(faults)

    def pack() -> int:
        packer.pack(data, time.time_ns())
        return count

    def log() -> int:
        if writer.burst(0, 1, 2, schema, packer.pack(data, time.time_ns())) or len(packer.sources) != known:
            raise RuntimeError("the log did not take the records, or a device was asked for anew")
        return count

    def anew() -> int:
        fresh = Packer(architecture, who=who)
        writer.burst(0, 1, 2, schema, fresh.pack(data, time.time_ns()))
        return count

    return {
        f"{architecture}: struct.iter_unpack alone": unpack,
        f"{architecture}: decode(), one by one": one_by_one,
        f"{architecture}: decode_many(), into Fault": many,
        f"{architecture}: the same, and attributed with its address": attributed,
        f"{architecture}: packed": pack,
        f"{architecture}: packed and attributed, into the log": log,
        f"{architecture}: the same, each device attributed anew": anew,
    }


def main(count: int = 50_000) -> None:
    """Measure with that many records, and print a table."""
    folder = Path(tempfile.mkdtemp(prefix="iommuman-faults-", dir=os.environ.get("IOMMUMAN_BENCH_DIR")))
    config = SetConfig("bench", (BufferConfig("faults", 2048),), verbosity_level=7)
    print(f"{'':56}{'a second':>12}")
    try:
        with register(config, placement=Placement(directory=folder)) as writer:
            for architecture, board in (("smmuv3", "virt-smmuv3-acpi"), ("vtd", "q35-vtd")):
                topology = load_topology([str(BOARDS / board)])
                for name, rate in best(works(architecture, topology, queue(architecture, count), writer)):
                    print(f"{name:56}{rate:12,.0f}")
    finally:
        shutil.rmtree(folder)
    print(f"wanted: {TARGET_DECODED:,} into Fault, {TARGET_PACKED:,} into the log")


if __name__ == "__main__":
    main()
