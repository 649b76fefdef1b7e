"""The house: who may import whom, and that what is on disk is what is installed."""

from __future__ import annotations

import ast
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

ALLOWED = {
    "base": set(),
    "parsers": {"base"},
    "topology": {"base", "parsers"},
    "iommu": {"base"},
    "manager": {"base", "parsers", "topology", "iommu"},
    "faults": {"base", "parsers", "iommu", "topology"},
    "logging_backend": {"base"},
    "cli": {"base", "parsers", "topology", "iommu", "manager", "faults", "logging_backend"},
}
FOLDERS = [folder for folder in ALLOWED if (ROOT / folder).is_dir()]


def imported_modules(path: Path) -> set[str]:
    """Return the dotted names (relative to the package) that a module imports from the package, wherever it does so."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            target = ".".join((*base, *(node.module or "").split("."))).strip(".")
            found.add(target)
            found |= {f"{target}.{name.name}" for name in node.names}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [name.name for name in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            assert not any(name.split(".")[0] in {"iommuman", *ALLOWED} for name in names), (path, names)
    return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_imports_only_the_folders_it_may(folder: str) -> None:
    """No module imports from a folder that the table of the architecture does not allow to its own."""
    for path in (ROOT / folder).rglob("*.py"):
        others = {name.split(".")[0] for name in imported_modules(path)} - {folder, ""}
        assert others <= ALLOWED[folder], path


def test_no_module_imports_itself_by_way_of_others() -> None:
    """The imports that run when a module is imported have no circle."""
    modules = {}
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    graph = {}
    for name, path in modules.items():
        tree = ast.parse(path.read_text())
        package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
        targets = set()
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and node.level:
                base = package[: len(package) - node.level + 1]
                target = ".".join((*base, *(node.module.split(".") if node.module else ())))
                inner = {f"{target}.{alias.name}" for alias in node.names} & modules.keys()
                targets |= inner or ({target} & modules.keys())
        graph[name] = targets - {name}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"modules import each other in a circle: {error.args[1]}")


def test_every_code_folder_is_installed_and_typed() -> None:
    """The packages that are installed are exactly the folders of code on disk, and each top folder carries py.typed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = set(project["tool"]["setuptools"]["packages"])
    on_disk = {
        "iommuman." + ".".join(path.parent.relative_to(ROOT).parts)
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert packages == on_disk
    assert all((ROOT / folder / "py.typed").is_file() for folder in FOLDERS)


def test_the_base_stays_small() -> None:
    """What every layer stands on has less than 400 lines."""
    assert sum(len(path.read_text().splitlines()) for path in (ROOT / "base").rglob("*.py")) < 400
