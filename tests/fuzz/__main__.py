"""Fuzz one or more targets: `python -m tests.fuzz [--seconds N] [TARGET …]`; needs atheris, which nothing else does.

Each target runs in a process of its own, since libFuzzer ends its process. What it found is kept below the folder of
`--corpus`, so that a later run goes on from there; an input that breaks a promise is written to that folder as well,
and the run of its target ends.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

LAYERS = ("base", "faults", "logging_backend", "manager", "parsers", "topology")
SECONDS = 60
MEMORY = 1024
"""Megabytes that a process may take."""
LONGEST = 20
"""Seconds that one input may take."""


def main() -> int:
    """Read the command line, and run each target."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="fuzz the readers of hostile input")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="default: all")
    parser.add_argument("--seconds", type=int, default=SECONDS, help=f"for each target; default: {SECONDS}")
    parser.add_argument("--corpus", type=Path, default=Path("/tmp/iommuman-fuzz"), help="where inputs are kept")  # noqa: S108
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        fuzz(arguments.targets[0], arguments.corpus, arguments.seconds)
        return 0
    from .targets import TARGETS

    unknown = [name for name in arguments.targets if name not in TARGETS]
    if unknown:
        parser.error(f"no target {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    status = 0
    for name in arguments.targets or TARGETS:
        options = ["--inside", "--seconds", str(arguments.seconds), "--corpus", str(arguments.corpus)]
        command = [sys.executable, "-m", "tests.fuzz", *options, name]
        ran = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
        _tell(name, ran)
        status = max(status, int(ran.returncode != 0))
    return status


def _tell(name: str, ran: subprocess.CompletedProcess[str]) -> None:
    """Print the last figures of libFuzzer, and all of what it says when a promise was broken."""
    lines = ran.stderr.splitlines()
    figures = next((line.strip() for line in reversed(lines) if " cov: " in line), "no figures")
    executed = next((line for line in lines if line.startswith("stat::number_of_executed_units")), "?")
    sys.stdout.write(f"{name}: {executed.rpartition(' ')[2]} executions; {figures}\n")
    if ran.returncode:
        story = [line for line in lines if not line.startswith(("#", "INFO", "\t", "0x")) and " cov: " not in line]
        sys.stdout.write("\n".join(story[-40:]) + "\n")
    sys.stdout.flush()


def fuzz(name: str, corpus: Path, seconds: int) -> None:
    """Fuzz one target in this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=["iommuman"]):
        for layer in LAYERS:
            package = importlib.import_module(f"iommuman.{layer}")
            for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
                importlib.import_module(module.name)  # those that are imported late would not be instrumented
        from .seeds import seeds
        from .targets import TARGETS
    folder = corpus / name
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds(name):
        (folder / hashlib.sha1(seed, usedforsecurity=False).hexdigest()).write_bytes(seed)
    options = [
        f"-max_total_time={seconds}", f"-rss_limit_mb={MEMORY}", f"-timeout={LONGEST}", "-print_final_stats=1",
        f"-artifact_prefix={corpus}/{name}-", "-max_len=16384",
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(folder)], TARGETS[name])
    atheris.Fuzz()


sys.exit(main())
