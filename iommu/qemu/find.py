"""Which QEMU is installed, and whether it has what a machine needs."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cached_property

from ..errors import IommuError, failure

PATIENCE = 30.0
"""Seconds that a question to QEMU may take."""


@dataclass(frozen=True)
class Installed:
    """A QEMU that was found.

    Attributes:
        path: of the program.
        version: its major and minor number.
        text: the first line that it says of its version.
    """

    path: str
    version: tuple[int, int]
    text: str

    @cached_property
    def devices(self) -> frozenset[str]:
        """Names of all devices that it has. Raises IommuError (`QEMU-BROKEN`)."""
        return frozenset(re.findall(r'^name "([^"]+)"', _ask(self.path, "-device", "help"), re.MULTILINE))


def find_qemu(program: str, package: str, least: tuple[int, int] = (0, 0)) -> Installed:
    """Return the QEMU of this name that is first on PATH.

    Args:
        program: such as `qemu-system-x86_64`.
        package: the Debian package that has it.
        least: the oldest version that will do.

    Raises:
        IommuError: it is missing (`QEMU-MISSING`), too old (`QEMU-OLD`), or does not say what it is (`QEMU-BROKEN`).
    """
    path = shutil.which(program)
    if path is None:
        raise failure("QEMU-MISSING", f"{program} is not installed", advice=f"install it (Debian: {package})")
    text = _ask(path, "--version").partition("\n")[0]
    found = re.search(r"version (\d+)\.(\d+)", text)
    if found is None:
        raise failure("QEMU-BROKEN", f"{path} does not say which version it is", found=repr(text[:80]))
    version = int(found[1]), int(found[2])
    if version < least:
        raise failure(
            "QEMU-OLD", f"{path} is too old for this machine", found=f"{version[0]}.{version[1]}",
            expected=f"{least[0]}.{least[1]} or later", advice=f"install a newer one (Debian: {package} of backports)",
        )  # fmt: skip
    return Installed(path, version, text)


def _ask(path: str, *arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - the user's own QEMU
            [path, *arguments], capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL,
            timeout=PATIENCE, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _broken(path, arguments, str(error)) from None
    if done.returncode:
        raise _broken(path, arguments, done.stderr.strip()[:200])
    return done.stdout


def _broken(path: str, arguments: tuple[str, ...], found: str) -> IommuError:
    return failure("QEMU-BROKEN", f"{path} {' '.join(arguments)} fails", found=found)
