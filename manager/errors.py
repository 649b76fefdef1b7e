"""The one exception class of the manager."""

from __future__ import annotations

import errno
from typing import Literal

from ..base import Finding, IommumanError, Origin

Reason = Literal["EACCES", "EBUSY", "EDQUOT", "EINVAL", "EIO", "ENOENT", "ENOSPC", "ENOTCONN", "EPERM", "EPROTO"]
"""Names of errno values, as libsmmu's calls set them.

`ENOENT`: no unit is known to control the device, or the caller does not own it. `EBUSY`: another client owns it, or
devices that share its ID are not granted with it. `EPERM`: the memory is the manager's own. `EACCES`: the client lacks
the ability. `ENOSPC`: the hardware has no more domains, stream IDs or table memory. `EIO`: a unit did not do what it
was told; its devices are denied everything then. `EINVAL`: the request makes no sense. `EDQUOT`: the client has as much
as one client may have. `EPROTO`: a message that is not one of the protocol. `ENOTCONN`: the service is not there.
"""


class ManagerError(IommumanError):
    """A request that was refused, with nothing changed; or a start that is not safe.

    Attributes:
        reason: see `Reason`.
        errno: its number on this system.
    """

    def __init__(self, reason: Reason, rule: str, message: str, part: str = "", **details: str) -> None:
        """Refuse: `rule`, `message` and `details` are those of the `Finding`, `part` the device, object or unit."""
        super().__init__(Finding(rule, "error", Origin("", part), message, **details))
        self.reason: Reason = reason
        self.errno: int = getattr(errno, reason)


def senseless(found: str) -> ManagerError:
    """Return the error for a request that makes no sense."""
    return ManagerError("EINVAL", "MANAGER-REQUEST", "the request makes no sense", found=found)


def owned(name: str, other: str, client: str) -> ManagerError:
    """Return the error for a device that another client has, or has the `other` of the same isolation group."""
    advice = "that client has to remove it first"
    if name == other:
        return ManagerError("EBUSY", "MANAGER-OWNED", f"the device belongs to client {client}", name, advice=advice)
    return ManagerError(
        "EBUSY", "MANAGER-GROUP", f"{other} of the same isolation group belongs to client {client}", name, advice=advice
    )


def shared(name: str, others: list[str], advice: str) -> ManagerError:
    """Return the error for a device that shares an ID with others which are left out, or stay."""
    return ManagerError(
        "EBUSY", "MANAGER-SHARED", "devices that share an ID can be granted together only", name,
        found=f"it shares one with {', '.join(others)}", advice=advice,
    )  # fmt: skip


def unsafe(part: str, message: str) -> ManagerError:
    """Return the error for a start that is not safe."""
    return ManagerError(
        "EINVAL", "MANAGER-UNSAFE", f"it is not safe to start: {message}", part,
        advice="mend the sources or say it in the configuration; --degraded starts all the same, and protects less",
    )  # fmt: skip
