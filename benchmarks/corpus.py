"""Every file of a folder read, written back, checked, and held against `iasl -d` and `dtc`: `… corpus FOLDER`.

What a file is, is told by its content. Each is read in a process of a pool, for itself; times are those of the
processor, so that what else a machine does counts little. Files come from the folder that is named, else from the
corpus beside the checkout, else from the fixtures.

A table or tree is *damaged* when its length or checksum is wrong by a count of our own here, which asks no parser.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from iommuman.base import IommumanError
from iommuman.parsers.acpi import Raw, build_table, is_table, parse_table, read_body
from iommuman.parsers.devicetree import DeviceTree, build_devicetree, is_devicetree, read_devicetree
from iommuman.parsers.files import MAX_FILE
from iommuman.parsers.sources import Inputs, read_sources
from iommuman.topology import assemble
from iommuman.topology.check import Board, check

from tests.oracles import OracleMissing
from tests.oracles.iasl import listings
from tests.parsers.acpi.agreement import Score, compare

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT.parent / "shared" / "corpus"
CHUNK = 64
"""Tables that one run of iasl is given."""
WIDTH = 40
"""Characters of the progress bar."""
CUT_ALIKE = {"ACPI-CHECKSUM", "ACPI-TRAILING"}
"""Findings that do not keep iasl and us from cutting a table into the same fields."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(slots=True)
class Outcome:
    """What became of one file.

    Attributes:
        path: of the file.
        kind: what it holds, by its content: a signature, `DTB`, another kind of source, or `nothing of use`.
        size: in bytes.
        parsed: whether it was read.
        same: whether what was read is written as it was, byte for byte; None for what is not written.
        alike: for trees: whether what is written is read as the same.
        damaged: see above.
        named: whether there is a finding about the file as such.
        seconds: from the file to a topology, the shorter of two times.
        checking: to look for what breaks a rule.
        rules: findings by rule and severity.
        unexpected: an exception that should not be.
        memory: most kilobytes that the process has taken so far.
    """

    path: str
    kind: str
    size: int
    parsed: bool = False
    same: bool | None = None
    alike: bool | None = None
    damaged: bool = False
    named: bool = False
    seconds: float = 0.0
    checking: float = 0.0
    rules: Counter[tuple[str, str]] = field(default_factory=Counter)
    unexpected: str = ""
    memory: int = 0


@dataclass(slots=True)
class Judged:
    """What iasl said of some tables of a kind, or dtc of trees: how many it read, and processor time."""

    kind: str
    given: int = 0
    read: int = 0
    score: Score = field(default_factory=Score)
    unknown: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def examine(path: str) -> Outcome:
    """Read a file in every way there is; nothing that it holds stops the others."""
    outcome = Outcome(path, "nothing of use", Path(path).stat().st_size)
    try:
        _examine(path, outcome)
    except IommumanError as error:
        outcome.rules[error.finding.rule, error.finding.severity] += 1
        outcome.named = True
    except Exception as error:  # noqa: BLE001 - that there is none is what this counts
        outcome.unexpected = f"{type(error).__name__}: {error}"
    outcome.memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return outcome


def _examine(path: str, outcome: Outcome) -> None:
    if outcome.size > MAX_FILE:
        outcome.kind = "too large"
        return
    data = Path(path).read_bytes()
    outcome.damaged = _is_damaged(data)
    outcome.kind = _kind_by_magic(data)
    times = []
    for _ in range(2):
        started = time.process_time()
        inputs = read_sources([path])
        inputs.tables = [
            read_body(table) for table in inputs.tables
        ]  # as iasl does, also where no topology asks for it
        topology = assemble(inputs)
        times.append(time.process_time() - started)
    outcome.seconds = min(times)
    outcome.kind = _kind(inputs)
    outcome.parsed = True
    outcome.same, outcome.alike = _written(inputs, data)
    board = Board.of(inputs)
    started = time.process_time()
    findings = check(board)
    outcome.checking = time.process_time() - started
    outcome.rules.update((one.rule, one.severity) for one in findings)
    outcome.named = any(one.severity != "note" for one in (*findings, *topology.findings))


def _kind_by_magic(data: bytes) -> str:
    """Return what a file that cannot be read would be."""
    return "DTB" if is_devicetree(data) else "nothing of use"


def _kind(inputs: Inputs) -> str:
    """Return what a file holds; of several tables, where they come from."""
    if inputs.trees:
        return "DTB"
    if len(inputs.tables) == 1:
        return inputs.tables[0].signature
    if inputs.tables:
        return "acpidump"
    return "PCI topology" if inputs.pci else "configuration"


def _is_damaged(data: bytes) -> bool:
    """Tell damage without a parser: tables add up to 0 and have their length, trees have theirs."""
    if is_devicetree(data):
        return int.from_bytes(data[4:8], "big") > len(data)
    if len(data) < 36 or not data[:4].isalnum() or not data[:4].isupper() or data[8] >= 32:
        return False  # no table, but a text, say
    return int.from_bytes(data[4:8], "little") != len(data) or sum(data) % 256 != 0


def _written(inputs: Inputs, data: bytes) -> tuple[bool | None, bool | None]:
    """Return whether what was read is written as it was, and read again as the same."""
    if inputs.trees:
        tree = inputs.trees[0]
        image = build_devicetree(tree)
        again = read_devicetree(image)
        return image == data, _content(again) == _content(tree) and build_devicetree(again) == image
    if len(inputs.tables) == 1 and is_table(data):
        return build_table(inputs.tables[0]) == data, None
    return None, None


def _content(tree: DeviceTree) -> list[object]:
    return [(node.name, [(one.name, one.raw) for one in node.properties.values()]) for node in tree.nodes]


def judge(paths: tuple[str, ...]) -> dict[str, Judged]:
    """Hold tables against one run of `iasl -d`, field by field."""
    found: dict[str, Judged] = {}
    with tempfile.TemporaryDirectory() as folder:
        before = _children()
        try:
            listed = listings([Path(path) for path in paths], Path(folder))
        except OracleMissing:
            return {}
        share = (_children() - before) / len(paths)
    for path, listing in listed.items():
        table = parse_table(path.read_bytes(), str(path))
        judged = found.setdefault(table.signature, Judged(table.signature))
        judged.given += 1
        judged.seconds += share
        judged.read += bool(listing.fields)
        if not listing.fields:
            judged.unknown["tables that it gives up"] += 1
        judged.unknown.update(one for one in dict.fromkeys(listing.remarks) if one.startswith(("Unknown", "Invalid")))
        if not isinstance(table.body, Raw):
            alike = all(finding.rule in CUT_ALIKE for finding in table.findings)
            _add(judged.score, compare(table, listing.fields, names=alike))
    return found


def _add(total: Score, one: Score) -> None:
    total.equal += one.equal
    total.bits += one.bits
    total.unknown_to_iasl += one.unknown_to_iasl
    total.differences += one.differences


def decompile(path: str) -> float:
    """Return the processor time that dtc takes for a tree, start of the process included."""
    before = _children()
    command = ["dtc", "-q", "-I", "dtb", "-O", "dts", "-o", os.devnull, path]
    subprocess.run(command, stderr=subprocess.DEVNULL, check=False)
    return _children() - before


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def files(folder: Path) -> list[str]:
    """Return every file below a folder, in the order of their names."""
    return sorted(str(path) for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def in_parallel(
    pool: ProcessPoolExecutor, work: Callable[[_Item], _Result], items: Sequence[_Item], what: str
) -> list[_Result]:
    """Return what the work gives for each item, while a bar shows how far it is."""
    found = []
    for done, result in enumerate(pool.map(work, items, chunksize=max(1, min(16, len(items) // 64))), 1):
        found.append(result)
        _progress(what, done, len(items))
    return found


def _progress(what: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        filled = WIDTH * done // total
        bar = "#" * filled + "." * (WIDTH - filled)
        sys.stderr.write(f"\r{what:10} [{bar}] {done}/{total}" + ("\n" if done == total else ""))
        sys.stderr.flush()


def tell_kinds(outcomes: list[Outcome]) -> None:
    """Print what became of each kind of file."""
    row = "{:16}{:>6}{:>8}{:>8}{:>9}{:>7}{:>9}{:>7}{:>9}{:>10}{:>10}".format
    print(
        row("kind", "files", "KB", "parsed", "written", "alike", "damaged", "named", "us each", "a second", "check us")
    )
    for kind, those in _by_kind(outcomes):
        timed = [one for one in those if one.parsed]
        seconds, checking = sum(one.seconds for one in timed), sum(one.checking for one in timed)
        damaged = [one for one in those if one.damaged]
        speed = (
            (f"{seconds / len(timed) * 1e6:.0f}", f"{len(timed) / seconds:.0f}", f"{checking / len(timed) * 1e6:.0f}")
            if seconds
            else ("", "", "")
        )
        print(
            row(
                kind, len(those), sum(one.size for one in those) // 1024, len(timed),
                _of([one.same for one in those]), _of([one.alike for one in those]), len(damaged),
                sum(one.named for one in damaged), *speed,
            )
        )  # fmt: skip


def _of(answers: list[bool | None]) -> str:
    """Return how many answers are yes; a dash when nobody was asked."""
    asked = [one for one in answers if one is not None]
    return str(sum(asked)) if asked else "-"


def _by_kind(outcomes: Iterable[Outcome]) -> Iterator[tuple[str, list[Outcome]]]:
    kinds: dict[str, list[Outcome]] = {}
    for one in outcomes:
        kinds.setdefault(one.kind, []).append(one)
    yield from sorted(kinds.items())


def tell_findings(outcomes: list[Outcome]) -> None:
    """Print how often each rule is broken, in how many files."""
    count: Counter[tuple[str, str]] = Counter()
    having: Counter[tuple[str, str]] = Counter()
    for one in outcomes:
        count += one.rules
        having.update(one.rules.keys())
    print(f"\n{'findings':>8} {'files':>6}  severity rule")
    for (rule, severity), number in sorted(count.items()):
        print(f"{number:8} {having[rule, severity]:6}  {severity:8} {rule}")


def tell_iasl(judged: Iterable[dict[str, Judged]], outcomes: list[Outcome]) -> None:
    """Print how far iasl and we agree, and what it takes for the same tables."""
    kinds: dict[str, Judged] = {}
    for part in judged:
        for kind, one in part.items():
            total = kinds.setdefault(kind, Judged(kind))
            total.given += one.given
            total.read += one.read
            total.seconds += one.seconds
            total.unknown += one.unknown
            _add(total.score, one.score)
    ours = {kind: sum(one.seconds for one in those) / len(those) for kind, those in _by_kind(outcomes)}
    row = "{:16}{:>6}{:>6}{:>10}{:>8}{:>8}{:>9}{:>9}{:>10}".format
    print("\n" + row("iasl -d", "tables", "read", "fields =", "bits =", "differ", "unknown", "us each", "ours/its"))
    mine = sum(ours[kind] * one.given for kind, one in kinds.items())
    theirs = sum(one.seconds for one in kinds.values())
    for kind, one in sorted(kinds.items()):
        each, score = one.seconds / one.given, one.score
        counts = score.equal, score.bits, len(score.differences), score.unknown_to_iasl
        print(row(kind, one.given, one.read, *counts, f"{each * 1e6:.0f}", f"{ours[kind] / each:.2f}"))
        for text in score.differences[:8]:
            print(f"  differs: {text}")
        for text, number in one.unknown.most_common():
            print(f"  not by this iasl: {text} ({number})")
    print(f"over all of them, ours takes {mine / theirs:.2f} of its time")


def main(*folders: str) -> None:
    """Print the score of the folders."""
    named = [Path(folder) for folder in folders] or [CORPUS if CORPUS.is_dir() else ROOT / "fixtures"]
    paths = [path for folder in named for path in files(folder)]
    if not paths:
        print("there is no file")
        return
    started = time.perf_counter()
    with ProcessPoolExecutor(max_workers=min(os.cpu_count() or 1, len(paths))) as pool:
        outcomes = in_parallel(pool, examine, paths, "reading")
        wall = time.perf_counter() - started
        tables = [one for one in outcomes if one.same is not None and one.alike is None]
        chunks = [
            tuple(one.path for one in those[at : at + CHUNK])
            for _, those in _by_kind(tables)
            for at in range(0, len(those), CHUNK)
        ]
        judged = in_parallel(pool, judge, chunks, "iasl") if shutil.which("iasl") else []
        trees = [one for one in outcomes if one.alike is not None]
        dtc = in_parallel(pool, decompile, [one.path for one in trees], "dtc") if shutil.which("dtc") else []
    tell_kinds(outcomes)
    if judged:
        tell_iasl(judged, outcomes)
    if dtc:
        ours = sum(one.seconds for one in trees)
        print(f"\ndtc -O dts: {sum(dtc) / len(dtc) * 1e6:.0f} us a tree; ours takes {ours / sum(dtc):.2f} of its time")
    tell_findings(outcomes)
    tell_trouble(outcomes)
    seconds = sum(one.seconds for one in tables)
    print(f"{len(tables)} tables, {len(tables) / (seconds or 1):.0f} a second and core from file to topology")
    print(f"{len(paths)} files in {wall:.1f} s, at most {max(one.memory for one in outcomes) / 1024:.0f} MB a process")


def tell_trouble(outcomes: list[Outcome]) -> None:
    """Print what should not be."""
    unexpected = [one for one in outcomes if one.unexpected]
    print(f"\n{len(unexpected)} unexpected exceptions")
    for one in unexpected:
        print(f"  {one.path}: {one.unexpected}")
    for one in outcomes:
        if one.damaged and not one.named:
            print(f"  damaged, and nothing is said: {one.path}")
        if False in (one.alike, one.same if one.alike is None else None):
            print(f"  not written as it was: {one.path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
