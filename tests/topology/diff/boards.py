"""Small boards for the tests of `diff`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from iommuman.base import Origin
from iommuman.parsers import ParseError
from iommuman.topology import (
    Device,
    Fact,
    Grant,
    IdMap,
    Iommu,
    MsiController,
    PciRoot,
    ReservedRegion,
    Topology,
    UnresolvedScope,
    load_topology,
)
from iommuman.topology.builder import TopologyBuilder
from iommuman.topology.diff.changes import Change, diff
from iommuman.topology.diff.meaning import explain
from iommuman.topology.diff.picture import Picture, picture

from tests.conftest import BOARDS, HANDMADE

HERE = Origin("here", "TABLE", 16, 8)
THERE = Origin("folder/there", "TABLE", 32, 8)

Record = object
"""Any record of the model: devices, units, maps, …"""


def board(records: Iterable[Record], silence: str = "") -> Topology:
    """Return the topology of some records."""
    builder = TopologyBuilder()
    lists: dict[type, list] = {  # type: ignore[type-arg]
        Fact: builder.facts,
        Grant: builder.grants,
        IdMap: builder.maps,
        Iommu: builder.iommus,
        MsiController: builder.msi_controllers,
        PciRoot: builder.roots,
        ReservedRegion: builder.reserved,
        UnresolvedScope: builder.unresolved,
    }
    for one in records:
        if isinstance(one, Device):
            builder.device(one)
        else:
            lists[type(one)].append(one)
    builder.silence = silence
    return Topology(builder)


def picture_of(*records: Record) -> Picture:
    """Return the picture of a board of some records."""
    return picture(board(records))


def unit(base: int = 0x1000, kind: str = "vtd", **more: object) -> Iommu:
    """Return a unit of segment 0, called after its base."""
    return Iommu(f"{kind}@{base:x}", kind, HERE, base, 0x1000, 0, **more)  # type: ignore[arg-type]


def root(segment: int | None = 0, name: str = "pci:0000", **more: object) -> PciRoot:
    """Return a PCI root."""
    return PciRoot(name, HERE, segment, **more)  # type: ignore[arg-type]


def function(rid: int, identity: str = "", **more: object) -> Device:
    """Return a PCI function of segment 0."""
    known = (("id", identity), ("class", "010802")) if identity else ()
    name = f"0000:{rid >> 8:02x}:{rid >> 3 & 31:02x}.{rid & 7}"
    return Device(name, "pci", HERE, 0, rid, properties=known, **more)  # type: ignore[arg-type]


def takes(
    base: int, length: int = 1, output: int | None = -1, target: str | None = "vtd@1000", **more: object
) -> IdMap:
    """Return a map of the root `pci:0000`; the ID stays as it is unless another is given."""
    source = str(more.pop("source", "pci:0000"))
    shifted = base if output == -1 else output
    return IdMap(source, target, base, length, shifted, HERE, str(more.pop("rule", "test")), **more)  # type: ignore[arg-type]


def meanings(a: Picture, b: Picture) -> list[tuple[str, str]]:
    """Return what the changes from one picture to the other mean, as (effect, text)."""
    return [(one.effect, one.text) for some in explain(a, b, diff(a, b)) for one in some]


def by_thing(changes: Iterable[Change]) -> list[Change]:
    """Return changes in an order that does not depend on the side that they are told from."""
    return sorted(changes, key=lambda one: (str(one.after), str(one.before), one.field))


@cache
def fixture_topologies() -> dict[str, Topology]:
    """Return the topologies of all fixtures, the damaged ones included, by the name of their folder."""
    found = {}
    folders: list[Path] = [*BOARDS.iterdir(), *HANDMADE.iterdir(), *(HANDMADE / "damaged").iterdir()]
    for folder in sorted(folder for folder in folders if folder.is_dir()):
        try:
            found[folder.name] = load_topology([str(folder)])
        except ParseError:  # what cannot be read has no topology
            continue
    return found


@cache
def fixture_pictures() -> dict[str, Picture]:
    """Return the pictures of all fixtures."""
    return {name: picture(topology) for name, topology in fixture_topologies().items()}
