"""Boots a captured board again, with Python and this package in the guest, and brings out what `dump live` said there.

The boot, the kernel and the copy of the guest's `/sys` are those of `fixtures/capturing.py`; the copy is made by
busybox, so that what Linux shows is known without this package.
"""

from __future__ import annotations

import gzip
import io
import shutil
import stat
import sys
import tarfile
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import files
from pathlib import Path
from types import ModuleType

from tests.conftest import ROOT

PYTHON = "python3.11"
SUITE = "bookworm"
PACKAGES = (
    "python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "libc6", "libexpat1", "zlib1g",
)  # fmt: skip
"""Debian packages that Python is taken from."""

LIBRARIES = ("construct", "loguru", "pyfdt")
LEFT_OUT = ("idlelib", "lib2to3", "ensurepip", "config-3.11", "gconv", "unittest", "pydoc_data", "tkinter", "doc")
"""Parts of these packages that are not needed, by a word in the path."""

RUN = r"""
mkdir -p /out/live
live() { # live NAME CODE ARGUMENT...: run the program, and keep what it said
    name=$1; code=$2; shift 2
    PYTHONPATH=/site PYTHONDONTWRITEBYTECODE=1 LC_ALL=C.UTF-8 /usr/bin/PYTHON -c "$code
import sys
from iommuman.cli.main import main
sys.exit(main(sys.argv[1:]))" "$@" > "/out/live/$name.out" 2> "/out/live/$name.err"
    echo $? > "/out/live/$name.status"
}
echo "live: as root"
live tree "" dump live
live json "" dump --format json live
echo "live: as nobody"
live nobody "import os; os.setgid(65534); os.setuid(65534)" dump live
live nobody-json "import os; os.setgid(65534); os.setuid(65534)" dump --format json live
ls -lR /sys/firmware/acpi/tables /sys/firmware/fdt > /out/live/modes 2>&1
""".replace("PYTHON ", f"{PYTHON} ").replace("/usr/bin/PYTHON", f"/usr/bin/{PYTHON}")
"""What the guest runs before it packs its copy of `/sys`."""


def capture_tool() -> ModuleType:
    """Return `fixtures/capturing.py`, which is no part of the package."""
    sys.path.insert(0, str(ROOT / "fixtures"))
    try:
        return import_module("capturing")
    finally:
        sys.path.remove(str(ROOT / "fixtures"))


def boot_live(board: str, work: Path) -> Path:
    """Boot a captured board with the package in it; return the folder with the guest's `sys` and what it said, `live`.

    Args:
        board: its name.
        work: where packages are kept and the guest's files go.
    """
    tool = capture_tool()
    init = tool.GUEST_INIT
    vars(tool)["GUEST_INIT"] = init.replace('echo "capture: packing"', RUN + 'echo "capture: packing"')
    recipe = tool.read_recipe(board)
    arch = tool.DEBIAN_ARCH[recipe.arch]
    kernel = tool.kernel_package(recipe, work)
    busybox = tool.fetch("busybox-static", arch, tool.BUSYBOX_SUITE[recipe.arch], work)
    folder = work / "live" / board
    folder.mkdir(parents=True, exist_ok=True)
    initramfs = folder / "initramfs"
    object.__setattr__(recipe, "faults", ())  # the recipe is this call's own
    try:
        tool.make_initramfs(recipe, next(busybox.root.glob("**/bin/busybox")), kernel, initramfs)
    finally:
        vars(tool)["GUEST_INIT"] = init
    roots = [tool.fetch(name, arch, SUITE, work).root for name in PACKAGES]
    with initramfs.open("ab") as file:
        file.write(_archive(tool, roots))
    values = {"kernel": str(kernel.image), "initramfs": str(initramfs), "cmdline": recipe.cmdline}
    data = tool.boot_until_done(recipe, tool.emulator(recipe, work), values, folder / "console")
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(out, filter="tar")
    return out


def _archive(tool: ModuleType, roots: list[Path]) -> bytes:
    """Return the part of the initramfs that Python and the package are in."""
    parts, folders = [], {""}
    for number, (name, path) in enumerate(_members(roots), 1000):
        for parent in reversed(Path(name).parents):
            if str(parent) not in (".", *folders):
                folders.add(str(parent))
                parts.append(tool.cpio_entry(str(parent), stat.S_IFDIR | 0o755, b"", number * 16 + len(parent.parts)))
        if path.is_symlink():
            parts.append(tool.cpio_entry(name, stat.S_IFLNK | 0o777, str(path.readlink()).encode(), number * 16))
        else:
            mode = stat.S_IFREG | (0o755 if path.stat().st_mode & 0o100 else 0o644)
            parts.append(tool.cpio_entry(name, mode, path.read_bytes(), number * 16))
    parts.append(tool.cpio_entry("TRAILER!!!", 0, b"", 0))
    return gzip.compress(b"".join(parts), compresslevel=1, mtime=0)


def _members(roots: list[Path]) -> Iterator[tuple[str, Path]]:
    """Yield the name in the guest and the file here of all that Python, the libraries and the package need."""
    for root in roots:
        for path in sorted(root.rglob("*")):
            name = str(path.relative_to(root))
            wanted = name.startswith(("usr/bin/python", "usr/lib/", "lib/", "lib64/"))
            if wanted and (path.is_symlink() or path.is_file()) and not any(word in name for word in LEFT_OUT):
                yield name, path
    for library in LIBRARIES:
        for one in files(library) or ():
            if one.suffix == ".py" and ".." not in one.parts:
                yield f"site/{one}", Path(str(one.locate()))
    for folder in ("base", "cli", "faults", "iommu", "logging_backend", "manager", "parsers", "topology"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield f"site/iommuman/{path.relative_to(ROOT)}", path
