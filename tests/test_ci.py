"""What continuous integration asks of a machine that has nothing yet, by commands that only note what they are told."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOLD = {
    "id": "echo 1000",
    "sudo": 'exec env -i PATH="$PATH" LOG="$LOG" "$@"',  # as sudo does, no variable of the caller's is passed on
    "apt-get": """echo "${DEBIAN_FRONTEND:-dialog} $*" >>"$LOG"
if [ "$1" = indextargets ]; then
    case "$3" in
    '$(SITE) $(CODENAME)') printf '%s\\n' 'http://mirror/security @-security' 'http://mirror/debian @' ;;
    *) echo 'http://mirror/debian stable' ;;
    esac
fi""",
    "apt-cache": "echo '  Candidate: 1:7.2+dfsg-7'",
    "dpkg": '[ "$1" != -s ] && exec /usr/bin/dpkg "$@"',
    "dpkg-query": "exit 1",
    "tee": 'cat >>"$LOG"',
}
"""Commands in the place of those of a Debian of which every source says `stable`, for a user who has sudo."""


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="dpkg compares versions on Debian alone")
def test_a_bare_machine_is_given_what_the_tests_use(tmp_path: Path) -> None:
    """Lists are fetched before packages, nothing is asked, and an old QEMU is replaced by that of the backports."""
    (name,) = re.findall("^VERSION_CODENAME=(.*)$", Path("/etc/os-release").read_text(), re.MULTILINE)
    for path, text in (("bootstrap", "echo $1"), *((f"bin/{command}", text) for command, text in TOLD.items())):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(f"#!/bin/sh\n{text.replace('debian @', f'debian {name}')}\n")
        (tmp_path / path).chmod(0o755)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    shutil.copy("/bin/true", tmp_path / ".venv" / "bin" / "tox")
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
    log = tmp_path / "log"
    environment = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "LOG": str(log)}
    subprocess.run([tmp_path / ".ci" / "run"], env=environment, check=True, capture_output=True)
    said = log.read_text().splitlines()
    assert [line.split()[0] for line in said if " install " in line] == ["noninteractive"] * 2
    assert [re.sub(r".* install ", "install ", line) for line in said if "--no-install-recommends -t" in line] == [
        f"install -y --no-install-recommends -t {name}-backports qemu-system-arm qemu-system-riscv qemu-system-x86"
    ]
    (source,) = (line for line in said if line.startswith("deb "))
    assert source.endswith(f" http://mirror/debian {name}-backports main")
    assert [word for line in said for word in ("update", "install", "deb") if re.search(rf"\b{word}\b", line)] == [
        "update", "install", "update", "deb", "update", "install"
    ]  # fmt: skip
