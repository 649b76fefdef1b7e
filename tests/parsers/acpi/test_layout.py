"""The fast path of layouts against the construct declarations that it is derived from."""

from __future__ import annotations

import dataclasses
import struct
import types

import pytest
from construct import Byte, Bytes, GreedyBytes, Int16ub, Int16ul, Int24ul, Int32ul, Renamed, Struct
from hypothesis import given
from hypothesis import strategies as st
from iommuman.parsers.acpi import hpet, mcfg, sdt
from iommuman.parsers.acpi.dmar import layout as dmar_layout
from iommuman.parsers.acpi.dmar import records as dmar_records
from iommuman.parsers.acpi.iort import layout as iort_layout
from iommuman.parsers.acpi.iort import records as iort_records
from iommuman.parsers.acpi.ivrs import layout as ivrs_layout
from iommuman.parsers.acpi.ivrs import records as ivrs_records
from iommuman.parsers.acpi.layout import Layout, LayoutField
from iommuman.parsers.acpi.madt import layout as madt_layout
from iommuman.parsers.acpi.madt import records as madt_records
from iommuman.parsers.acpi.record import Record
from iommuman.parsers.acpi.rimt import layout as rimt_layout
from iommuman.parsers.acpi.rimt import records as rimt_records
from iommuman.parsers.acpi.srat import layout as srat_layout
from iommuman.parsers.acpi.srat import records as srat_records
from iommuman.parsers.acpi.viot import layout as viot_layout
from iommuman.parsers.acpi.viot import records as viot_records

MODULES = (sdt, mcfg, hpet, dmar_layout, iort_layout, ivrs_layout, madt_layout, rimt_layout, srat_layout, viot_layout)
RECORDS = (
    sdt,
    mcfg,
    hpet,
    dmar_records,
    iort_records,
    ivrs_records,
    madt_records,
    rimt_records,
    srat_records,
    viot_records,
)
DECLARATIONS = {
    f"{module.__name__}.{name}": value
    for module in MODULES
    for name, value in vars(module).items()
    if isinstance(value, Struct)
}


def record_classes(*modules: types.ModuleType) -> list[type[Record]]:
    """Return the record classes that the modules define and that have a layout of their own."""
    found = [value for module in modules for value in vars(module).values() if isinstance(value, type)]
    return [cls for cls in found if issubclass(cls, Record) and ("LAYOUT" in vars(cls) or "LAYOUTS" in vars(cls))]


@pytest.mark.parametrize("name", DECLARATIONS)
@given(data=st.data())
def test_the_fast_path_reads_and_writes_what_construct_does(name: str, data: st.DataObject) -> None:
    """For any bytes, a layout reads the values that its declaration parses, and writes the bytes that it builds."""
    declaration = DECLARATIONS[name]
    layout = Layout(declaration)
    assert layout.size == declaration.sizeof()
    image = data.draw(st.binary(min_size=layout.size, max_size=layout.size))
    parsed = declaration.parse(image)
    values = layout.read(b"??" + image, 2)
    assert values == tuple(parsed[field.name] for field in layout.fields)
    assert layout.write(values) == declaration.build(parsed) == image
    assert list(layout.read_array(b"?" + 3 * image, 1, 3)) == [values] * 3


ENTRIES = (
    mcfg.Allocation,
    iort_records.GlobalInterrupts,
    iort_records.IdMapping,
    iort_records.ItsIdentifier,
    iort_records.RmrDescriptor,
    iort_records.SmmuInterrupt,
    rimt_records.IdMapping,
    rimt_records.Wire,
)


@given(st.sampled_from(ENTRIES), st.binary(max_size=200))
def test_records_of_an_array_are_those_read_one_by_one(entry: type[Record], data: bytes) -> None:
    """For any bytes, each is of its class, equal to the one that is read alone, and at the same place."""
    count, start = divmod(len(data), entry.LAYOUT.size)
    found = entry.read_array(data, start, count)
    alone = tuple(entry.read(data, start + index * entry.LAYOUT.size) for index in range(count))
    assert found == alone
    assert [type(one) for one in found] == [entry] * count
    assert b"".join(one.fixed() for one in found) == data[start:]


def test_field_offsets_follow_the_declaration() -> None:
    """Offsets and sizes are those of packed fields in the declared order."""
    layout = Layout(Struct("one" / Byte, "two" / Int32ul, "three" / Bytes(3), "four" / Int16ul))
    expected = (("one", 0, 1), ("two", 1, 4), ("three", 5, 3), ("four", 8, 2))
    assert layout.fields == tuple(LayoutField(*field) for field in expected)
    assert layout.size == 10


@pytest.mark.parametrize("member", [GreedyBytes, Int24ul, Int16ub])
def test_a_layout_refuses_what_it_cannot_derive(member: object) -> None:
    """A declaration with anything but plain integers and fixed byte strings is refused when it is declared."""
    with pytest.raises(TypeError, match="a fixed layout is made of little-endian integers and Bytes"):
        Layout(Struct(Renamed(member, "odd")))


def test_values_that_do_not_fit_are_refused() -> None:
    """Writing a number that is too large for its field raises struct.error and writes nothing."""
    with pytest.raises(struct.error):
        Layout(Struct("one" / Byte)).write((256,))


@pytest.mark.parametrize("cls", record_classes(*RECORDS), ids=lambda cls: cls.__name__)
def test_records_have_the_fields_of_their_layout_in_order(cls: type[Record]) -> None:
    """A record's attributes after its offset are the fields of its newest layout: values are given by position."""
    layouts = [layout for _, layout in getattr(cls, "LAYOUTS", ())]
    layouts = layouts or [*reversed(getattr(cls, "EARLIER", ())), cls.LAYOUT]
    declared = [field.name for field in dataclasses.fields(cls) if not field.kw_only][1:]
    wanted = [field.name for field in layouts[-1].fields]
    assert declared[: len(wanted)] == wanted
    for layout in layouts:
        assert [field.name for field in layout.fields] == wanted[: len(layout.fields)]
