"""Overlays, against fdtoverlay and libfdt, and such as cannot be applied."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iommuman.parsers import ParseError
from iommuman.parsers.devicetree import DeviceTree, Node, Property, build_devicetree, read_devicetree
from iommuman.parsers.devicetree import overlays as module
from iommuman.parsers.devicetree.overlays import apply_overlays
from iommuman.parsers.sources import read_sources

from tests.damage import mutants
from tests.oracles import OracleMissing
from tests.oracles.libfdt import apply_overlay, properties
from tests.parsers.devicetree.build import blob, node

needs_dtc = pytest.mark.skipif(shutil.which("fdtoverlay") is None, reason="dtc and fdtoverlay are not installed")

BASE = """/dts-v1/;
/ {
    #address-cells = <2>; #size-cells = <2>;
    aliases { bus = "/soc"; };
    smmu: iommu@9050000 { compatible = "arm,smmu-v3"; reg = <0 0x9050000 0 0x20000>; #iommu-cells = <1>; };
    soc: soc {
        compatible = "simple-bus"; #address-cells = <2>; #size-cells = <2>; ranges;
        usb: usb@1000 { reg = <0 0x1000 0 0x1000>; status = "disabled"; };
        dma: dma@2000 { reg = <0 0x2000 0 0x1000>; dmas = <&usb>; };
    };
};
"""
FIRST = """/dts-v1/; /plugin/;
&usb { iommus = <&smmu 0x42>; status = "okay"; };
&soc {
    eth: eth@3000 { reg = <0 0x3000 0 0x100>; iommus = <&smmu 7>, <&other 9>; phy = <&phy>; phy: phy { }; };
    other: iommu@5000 { compatible = "arm,smmu-v3"; reg = <0 0x5000 0 0x1000>; #iommu-cells = <1>; };
};
"""
SECOND = """/dts-v1/; /plugin/;
&eth { status = "disabled"; extra = <&phy &other>; };
/ {
    fragment@8 { target-path = "/soc/dma@2000"; __overlay__ { iommus = <&smmu 3>; }; };
    fragment@9 { target-path = "bus/usb@1000"; __overlay__ { hub { }; }; };
};
"""
AGAIN = """/dts-v1/; /plugin/;
&soc { usb: usb@1000 { extra; }; user { needs = <&usb>, <&dma>; }; };
"""


def compiled(source: str, path: Path, *, symbols: bool = True) -> Path:
    """Compile a source with dtc, and return the blob's path."""
    text = path.with_suffix(".dts")
    text.write_text(source)
    options = ["-@"] if symbols else []
    subprocess.run(["dtc", "-q", *options, "-O", "dtb", "-o", path, text], check=True)
    return path


def values(tree: DeviceTree) -> dict[str, dict[str, bytes]]:
    """Return the raw properties of every node, by path."""
    return {one.path: {name: found.raw for name, found in one.properties.items()} for one in tree.nodes}


def made(*children: Node, source: str = "overlay") -> DeviceTree:
    """Return an overlay."""
    return read_devicetree(blob(*children), source)


def fragment(number: int, content: Node, **target: str | int) -> Node:
    """Return a fragment of an overlay."""
    return node(f"fragment@{number}", {name.replace("_", "-"): value for name, value in target.items()}, content)


def base(*children: Node) -> DeviceTree:
    """Return a base with a bus, and further nodes."""
    symbols = node("__symbols__", {"bus": "/bus", "ghost": "/ghost", "plain": "/plain"})
    return read_devicetree(blob(node("bus", {"phandle": 5}), node("plain"), symbols, *children), "base")


@needs_dtc
@pytest.mark.parametrize("overlays", [(FIRST,), (FIRST, SECOND), (AGAIN,), (FIRST, AGAIN)])
def test_the_result_is_that_of_fdtoverlay_and_libfdt(overlays: tuple[str, ...], tmp_path: Path) -> None:
    """Every property of every node is what the two independent programs make of the same files."""
    first = compiled(BASE, tmp_path / "base.dtb")
    others = [compiled(text, tmp_path / f"{index}.dtbo") for index, text in enumerate(overlays)]
    (ours,) = read_sources([str(first), *map(str, others)]).trees
    assert ours.findings == ()
    if AGAIN not in overlays:  # fdtoverlay before 1.7.1 gives the node of the base another phandle
        subprocess.run(["fdtoverlay", "-i", first, "-o", tmp_path / "all", *others], check=True)
        assert values(ours) == values(read_devicetree((tmp_path / "all").read_bytes()))
    try:
        merged = first.read_bytes()
        for path in others:
            merged = apply_overlay(merged, path.read_bytes())
    except OracleMissing as missing:
        pytest.skip(str(missing))
    assert values(ours) == properties(merged)
    assert values(ours) == properties(build_devicetree(ours))


@needs_dtc
def test_every_fact_names_the_file_that_says_it(tmp_path: Path) -> None:
    """A property of an overlay is known from the overlay, at its place there; the rest from the base."""
    paths = [compiled(BASE, tmp_path / "base.dtb"), compiled(FIRST, tmp_path / "first.dtbo")]
    (tree,) = read_sources([str(path) for path in paths]).trees
    usb, smmu, eth = (tree.node(path) for path in ("/soc/usb@1000", "/iommu@9050000", "/soc/eth@3000"))
    assert usb is not None
    assert smmu is not None
    assert eth is not None
    assert [str(tree.origin(*place)).removeprefix(f"{tmp_path}/") for place in (
        (usb, "iommus", 0, 8), (usb, "reg", 0, 16), (usb,), (smmu,), (eth,), (eth, "iommus", 8, 8),
    )] == [
        "first.dtbo: /soc/usb@1000 iommus+0x0 (8 bytes)",
        "base.dtb: /soc/usb@1000 reg+0x0 (16 bytes)",
        "base.dtb: /soc/usb@1000",
        "base.dtb: /iommu@9050000",
        "first.dtbo: /soc/eth@3000",
        "first.dtbo: /soc/eth@3000 iommus+0x8 (8 bytes)",
    ]  # fmt: skip
    found = usb.properties["reg"]
    assert paths[0].read_bytes()[found.offset :].startswith(found.raw)
    found = eth.properties["reg"]
    assert paths[1].read_bytes()[found.offset :].startswith(found.raw)
    assert tree.sources == (str(paths[0]), str(paths[1]))


@needs_dtc
def test_a_base_without_symbols_is_named(tmp_path: Path) -> None:
    """Without labels nothing can be resolved: the base stays as it is, and it says how to build it."""
    first = compiled(BASE, tmp_path / "base.dtb", symbols=False)
    inputs = read_sources([str(first), str(compiled(FIRST, tmp_path / "first.dtbo"))])
    assert values(inputs.trees[0]) == values(read_devicetree(first.read_bytes()))
    (finding,) = inputs.findings
    assert str(finding) == (
        f"{tmp_path}/first.dtbo: this overlay is not applied: the base has no __symbols__, "
        "in which the labels stand that the overlay refers to; build the base with dtc -@"
    )


@needs_dtc
def test_overlays_are_for_the_base_before_them(tmp_path: Path) -> None:
    """Of several bases the nearest before it is changed; of one it does not matter where it stands."""
    first = compiled(BASE, tmp_path / "base.dtb")
    second = tmp_path / "other.dtb"
    second.write_bytes(blob(node("only")))
    overlay = compiled(AGAIN, tmp_path / "a.dtbo")

    def changed(*paths: Path) -> tuple[list[int], list[str]]:
        inputs = read_sources([str(path) for path in paths])
        return [len(tree.overlays) for tree in inputs.trees], [finding.message for finding in inputs.findings]

    assert changed(first, overlay) == changed(overlay, first) == ([1], [])
    assert changed(second, first, overlay) == ([0, 1], [])
    lost = "this overlay is not applied: there is no tree before it that it could change"
    assert changed(overlay, first, second) == changed(tmp_path) == ([0, 0], [lost])
    with pytest.raises(ParseError, match="this overlay is not applied: there is no tree that it could change"):
        read_sources([str(overlay)])


CONTENT = node("__overlay__", {"status": "okay"})
BROKEN = {
    "is for phandle 0x9, which the base has not": (fragment(0, CONTENT, target=9),),
    "is for /nothing, which the base has not": (fragment(0, CONTENT, target_path="/nothing"),),
    "is for nothing/x, which the base has not": (fragment(0, CONTENT, target_path="nothing/x"),),
    "/fragment@0 names no target": (fragment(0, CONTENT),),
    "no node with the label absent": (fragment(0, CONTENT), node("__fixups__", {"absent": "/fragment@0:target:0"})),
    "no node with the label ghost": (fragment(0, CONTENT), node("__fixups__", {"ghost": "/fragment@0:target:0"})),
    "label plain, or it has no phandle": (fragment(0, CONTENT), node("__fixups__", {"plain": "/fragment@0:target:0"})),
    "names /fragment@0:none:0, which": (fragment(0, CONTENT), node("__fixups__", {"bus": "/fragment@0:none:0"})),
    "names /fragment@0:target:9, which": (
        fragment(0, CONTENT, target=0),
        node("__fixups__", {"bus": "/fragment@0:target:9"}),
    ),
    "names fragment@0:target:0, which": (
        fragment(0, CONTENT, target=0),
        node("__fixups__", {"bus": "fragment@0:target:0"}),
    ),
    "names nonsense, which": (fragment(0, CONTENT), node("__fixups__", {"bus": "nonsense"})),
    "__local_fixups__ names / none": (fragment(0, CONTENT), node("__local_fixups__", {"none": 0})),
    "__local_fixups__ names gone in /": (fragment(0, CONTENT), node("__local_fixups__", {}, node("gone", {"x": 0}))),
    "no phandles left": (fragment(0, node("__overlay__", {"phandle": 0xFFFFFFFA}), target=5),),
}


@pytest.mark.parametrize("reason", BROKEN)
def test_an_overlay_is_applied_whole_or_not_at_all(reason: str) -> None:
    """Whatever is wrong with one, the base stays as it was, and the finding says what it is."""
    sound = fragment(7, node("__overlay__", {"changed": None}), target_path="/bus")
    before = base()
    (after,), findings = apply_overlays([before, made(sound, *BROKEN[reason])])
    assert after is before
    assert "changed" not in before.root.children[0].properties
    assert [(finding.rule, finding.origin.source) for finding in findings] == [("DT-OVERLAY-LOST", "overlay")]
    assert reason in findings[0].message


def test_fragments_may_build_on_each_other() -> None:
    """A fragment may be for what another one adds; labels of the overlay are kept for the next."""
    overlay = made(
        fragment(0, node("__overlay__", {"new": "x"}, node("inner", {"phandle": 2})), target=5),
        fragment(1, node("__overlay__", {"deep": 1}), target_path="/bus/inner"),
        node("__symbols__", {"inner": "/fragment@0/__overlay__/inner", "top": "/fragment@0/__overlay__", "odd": "/x"}),
    )
    (tree,), findings = apply_overlays([base(), overlay])
    assert findings == []
    got = values(tree)
    assert got["/bus/inner"] == {"phandle": (7).to_bytes(4), "deep": (1).to_bytes(4)}
    assert got["/__symbols__"]["inner"] == b"/bus/inner\0"
    assert got["/__symbols__"]["top"] == b"/bus\0"
    assert "odd" not in got["/__symbols__"]
    assert tree.phandles[7].path == "/bus/inner"


def test_symbols_are_made_where_there_are_none() -> None:
    """A base without labels gets those of an overlay that needs none; an overlay for the root is one too."""
    overlay = made(
        fragment(0, node("__overlay__", {"new": 1}), target_path="/"),
        node("__symbols__", {"root": "/fragment@0/__overlay__"}),
    )
    plain = read_devicetree(blob(node("bus")), "base")
    (tree,), findings = apply_overlays([plain, overlay])
    assert findings == []
    assert values(tree)["/__symbols__"] == {"root": b"/\0"}


def test_damage_to_base_and_overlay_is_told_once() -> None:
    """What is wrong with either file stands among the findings of the result, and not twice."""
    twins = base(node("twin"), node("twin"))
    overlay = made(fragment(0, node("__overlay__", {}, node("two"), node("two")), target=5))
    (tree,), _ = apply_overlays([twins, overlay])
    assert [(finding.origin.source, finding.rule) for finding in tree.findings] == [
        ("base", "DT-DUPLICATE"),
        ("overlay", "DT-DUPLICATE"),
    ]


@needs_dtc
@pytest.mark.damage
def test_every_mutant_of_base_and_overlay_is_answered(tmp_path: Path) -> None:
    """With one byte changed in either, there is a result or a finding, and no other exception."""
    first = compiled(BASE, tmp_path / "base.dtb").read_bytes()
    second = compiled(FIRST, tmp_path / "first.dtbo").read_bytes()
    pairs = [(mutant, second) for mutant in mutants(first)] + [(first, mutant) for mutant in mutants(second)]
    for one, other in pairs:
        try:
            trees = [read_devicetree(one, "base"), read_devicetree(other, "overlay")]
        except ParseError:
            continue
        bases, findings = apply_overlays(trees)
        assert len(bases) + len(findings) >= 1


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["bus", "plain", "ghost"])), max_size=5))
@settings(max_examples=50)
def test_any_places_of_fixups_are_answered(places: list[tuple[int, str]]) -> None:
    """Whatever offsets are named, inside the value or not, aligned or not, the overlay is applied or not."""
    holder = fragment(0, node("__overlay__", {"refs": bytes(20)}), target=5)
    fixups = Node("__fixups__")
    for offset, label in places:
        fixups.append(Property(label, f"/fragment@0/__overlay__:refs:{offset}".encode() + b"\0"))
    (tree,), findings = apply_overlays([base(), made(holder, fixups)])
    if len({label for _, label in places}) == len(places):  # of two properties with one name the first counts
        assert bool(tree.overlays) == all(label == "bus" and offset <= 16 for offset, label in places)
    assert bool(tree.overlays) != bool(findings)


def test_large_overlays_take_time_in_proportion() -> None:
    """Tens of thousands of nodes, fragments, labels and references are applied in seconds."""
    count = 10_000
    wide = [node(f"n{number}", {"phandle": number + 10}) for number in range(count)]
    labels = node("__symbols__", {f"l{number}": f"/n{number}" for number in range(count)})
    big = read_devicetree(blob(*wide, labels), "base")
    fragments = [fragment(number, node("__overlay__", {"a": 0}), target=0) for number in range(count)]
    fixups = node("__fixups__", {f"l{number}": f"/fragment@{number}:target:0" for number in range(count)})
    references = node("__local_fixups__", {"many": tuple(range(0, 4 * count, 4))})
    overlay = read_devicetree(blob(*fragments, fixups, references, many=bytes(4 * count)), "overlay")
    started = time.process_time()
    (tree,), findings = apply_overlays([big, overlay])
    assert time.process_time() - started < 10
    assert findings == []
    assert sum("a" in one.properties for one in tree.nodes) == count


def test_references_are_counted_on_once() -> None:
    """Marks that stand there many times over, in nodes of one name, change a reference once, and take no time."""
    inner = node("__overlay__", {"needs": 1, "much": bytes(1 << 20)}, node("other", {"phandle": 1}))
    mark = node("fragment@0", {}, node("__overlay__", {"needs": 0, "much": 0}))
    overlay = made(fragment(0, inner, target_path="/bus"), node("__local_fixups__", {}, *[mark] * 3000))
    started = time.process_time()
    (tree,), findings = apply_overlays([base(), overlay])
    assert time.process_time() - started < 5
    assert [finding.rule for finding in findings] == []
    assert values(tree)["/bus"]["needs"] == (6).to_bytes(4)
    assert tree.phandles[6].path == "/bus/other"


def test_overlays_that_would_take_too_long_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes a copy of its base; when these come to too much, the base stays as it is."""
    many = [made(fragment(0, CONTENT, target_path="/bus"), source=f"o{number}") for number in range(3)]
    before = base()
    monkeypatch.setattr(module, "MAX_COPIED", 2 * (before.size + 16 * len(before.nodes)))
    (tree,), findings = apply_overlays([before, *many])
    assert [source for source, _ in tree.overlays] == ["o0", "o1"]
    assert [(finding.origin.source, finding.message) for finding in findings] == [
        ("o2", "this overlay is not applied: there are too many for so large a base")
    ]
