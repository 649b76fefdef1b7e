"""Runs the benchmarks that are named on the command line, or all of them."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def main() -> int:
    """Run benchmarks by name; each is a module here with a `main()`."""
    known = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))
    wanted = sys.argv[1:] or known
    unknown = [name for name in wanted if name not in known]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(known)}")
        return 2
    for name in wanted:
        print(f"== {name}")
        importlib.import_module(f"benchmarks.{name}").main()
    return 0


sys.exit(main())
