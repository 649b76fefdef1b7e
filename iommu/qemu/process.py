"""A QEMU that does not outlive this process, listens nowhere and leaves nothing behind.

Its memory is an anonymous file and its test protocol runs over a pair of connected sockets; it inherits both. So there
is no path, no port and no folder that others could reach, or that would stay if both processes were killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import signal
import socket
import subprocess
from pathlib import Path

from ..errors import failure

PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class Process:
    """A running QEMU.

    It is killed when this is closed, when the thread that made it ends, and when this process ends in any way, be it by
    SIGKILL (prctl(2), PR_SET_PDEATHSIG).

    Attributes:
        link: our end of the test protocol.
        memory: guest RAM.
        file: a path by which this process can map guest RAM once more, as long as it is not closed.
        pid: of QEMU.
    """

    def __init__(self, path: str, arguments: list[str], ram: int) -> None:
        """Start the QEMU at `path` with these arguments and `ram` bytes of guest memory, in whole MiB.

        The machine takes memory `ram` (`-M …,memory-backend=ram`). Raises IommuError (`QEMU-START`).
        """
        with contextlib.ExitStack() as undo:
            file = os.memfd_create("guest-ram")
            undo.callback(os.close, file)
            try:
                os.ftruncate(file, ram)
                self.memory = mmap.mmap(file, ram)
            except (OSError, ValueError, OverflowError) as error:
                raise failure(
                    "QEMU-START", f"there are no {ram} bytes of address space for guest memory: {error}"
                ) from None
            errors = os.memfd_create("stderr")  # a pipe that nobody reads would stop QEMU when it is full
            undo.callback(os.close, errors)
            self.link, theirs = socket.socketpair()
            undo.callback(theirs.close)
            command = [
                path, *arguments, "-m", f"{ram >> 20}M", "-nodefaults", "-no-user-config", "-display", "none",
                "-accel", "tcg", "-S",
                "-object", f"memory-backend-file,id=ram,size={ram},mem-path=/proc/self/fd/{file},share=on",
                "-chardev", f"socket,id=qtest,fd={theirs.fileno()}", "-qtest", "chardev:qtest", "-qtest-log", "none",
            ]  # fmt: skip
            parent = os.getpid()

            def die_with_parent() -> None:
                _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                if os.getppid() != parent:  # it ended before the line above
                    os._exit(1)

            try:
                self._process = subprocess.Popen(  # noqa: S603 - the user's own QEMU
                    command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
                    pass_fds=(file, theirs.fileno()), preexec_fn=die_with_parent, start_new_session=True,  # noqa: PLW1509
                )  # fmt: skip
            except (OSError, subprocess.SubprocessError) as error:
                self.link.close()
                self.memory.close()
                raise failure("QEMU-START", f"{path} cannot be started: {error}") from None
            self.pid = self._process.pid
            theirs.close()
            undo.pop_all()
            self._file, self._errors = file, errors
        self.file = Path(f"/proc/self/fd/{file}")

    def close(self) -> str:
        """Kill QEMU, wait for its end, and return what it said on stderr (the last 4096 bytes)."""
        self._process.kill()
        self._process.wait()
        size = os.fstat(self._errors).st_size
        said = os.pread(self._errors, 4096, max(size - 4096, 0))
        os.close(self._errors)
        os.close(self._file)
        self.link.close()
        with contextlib.suppress(BufferError):  # a view of it is in use; it goes with the last one
            self.memory.close()
        return said.decode(errors="replace").strip()
