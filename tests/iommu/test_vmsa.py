"""Shapes of VMSAv8 translation tables; what drivers write with them is tested with each kind of SMMU."""

from __future__ import annotations

from iommuman.iommu.vmsa import stage1_shape, stage2_shape


def test_shapes() -> None:
    """Tables start at the level of the architecture's tables, with concatenation at stage 2 only."""
    assert [stage1_shape(12, bits, 48).start for bits in (25, 30, 31, 39, 40, 48)] == [2, 2, 1, 1, 0, 0]
    assert [stage1_shape(16, bits, 48).start for bits in (25, 29, 30, 42, 43, 48)] == [3, 3, 2, 2, 1, 1]
    shapes = [stage2_shape(12, bits, 48) for bits in (34, 35, 39, 40, 43, 44, 48)]
    assert [(shape.start, max(shape.root_size >> 12, 1)) for shape in shapes] == [
        (2, 16), (1, 1), (1, 1), (1, 2), (1, 16), (0, 1), (0, 1),
    ]  # fmt: skip
    assert (stage2_shape(14, 48, 48).start, stage2_shape(14, 48, 48).root_size >> 14) == (1, 2)
    assert (stage2_shape(16, 46, 48).start, stage2_shape(16, 46, 48).root_size >> 16) == (2, 16)
