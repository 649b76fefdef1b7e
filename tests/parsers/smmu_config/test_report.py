"""What a misspelled word was likely meant to be."""

from __future__ import annotations

import pytest
from iommuman.parsers.smmu_config.options import FEWEST_WORDS
from iommuman.parsers.smmu_config.report import Report


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("smu", "smmu"),
        ("smmmu", "smmu"),
        ("msmu", "smmu"),
        ("smmuv3", "smmu"),
        ("SMMU", "smmu"),
        ("--device", "device"),
        ("devcie", "device"),
        ("dev", "device"),
        ("devise", "device"),
        ("foregruond", "foreground"),
        ("reserve", "reserved"),
        ("alow", "allow"),
        ("uint", "unit"),
        ("us", "use"),
        ("iommu", ""),
        ("u", ""),
        ("-", ""),
        ("", ""),
        ("xlist", ""),
        ("background", ""),
        ("smmu" * 20, ""),
    ],
)
def test_near_matches(word: str, name: str) -> None:
    """One slip in a short word, or one in three letters of a long one, still tells what was meant; more does not."""
    assert Report().near(word, FEWEST_WORDS) == name


def test_the_nearest_name_is_meant() -> None:
    """Of several names that are near, the nearest is told; of equal ones, the first."""
    assert Report().near("dmar11", ["dmar0", "dmar1", "dmar12"]) == "dmar1"
    assert Report().near("dmar11", ["dmar0", "dmar12", "dmar1"]) == "dmar12"


def test_comparing_ends() -> None:
    """After 20,000 comparisons no more are made, however many words are misspelled."""
    report = Report()
    names = [*(f"unit{number}" for number in range(1000)), "zebra"]
    assert report.near("unlt7", names) == "unit7"
    assert report.near("zebrra", names) == ""
    assert report.near("zebrra", ["zebra"]) == "zebra"
    for _ in range(100):
        report.near("nothing", names)
    assert report.near("unlt7", names) == ""
