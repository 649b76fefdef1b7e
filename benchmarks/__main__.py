"""Runs the benchmarks that are named on the command line, or all of them."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

OF_FOLDERS = "corpus"
"""The benchmark that takes folders."""


def main() -> int:
    """Run benchmarks by name; each is a module here with a `main()`."""
    known = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))
    wanted = [word for word in sys.argv[1:] if word in known]
    folders = [word for word in sys.argv[1:] if word not in known]
    unknown = [word for word in folders if not Path(word).is_dir()]
    if unknown or (folders and wanted != [OF_FOLDERS]):
        print(f"no benchmark {', '.join(unknown or folders)}; there are {', '.join(known)}, and {OF_FOLDERS} FOLDER …")
        return 2
    for name in wanted or known:
        print(f"== {name}")
        importlib.import_module(f"benchmarks.{name}").main(*folders)
    return 0


sys.exit(main())
