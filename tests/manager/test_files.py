"""Files that decide what is granted: read only when nobody else can have written them."""

from __future__ import annotations

from pathlib import Path

import pytest
from iommuman.manager import ManagerError
from iommuman.manager.errors import Reason
from iommuman.manager.files import read_trusted

from tests.manager.serving import refused


def bad(message: str, reason: Reason) -> ManagerError:
    """Make an error."""
    return ManagerError(reason, "TEST", message)


def test_a_file_of_ones_own_is_read_up_to_its_bound(tmp_path: Path) -> None:
    """As long as allowed it is read; one byte more is refused; absence is the caller's to judge."""
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    path.chmod(0o644)
    assert read_trusted(str(path), 5, bad, links=False) == b"12345"
    assert refused(read_trusted, str(path), 4, bad, links=False).reason == "EINVAL"
    with pytest.raises(FileNotFoundError):
        read_trusted(str(tmp_path / "absent"), 5, bad, links=False)


def test_links_are_followed_only_where_they_may_be(tmp_path: Path) -> None:
    """A link may stand for an access list, as an administrator sets it, and never for a state file."""
    path, link = tmp_path / "file", tmp_path / "link"
    path.write_bytes(b"x")
    path.chmod(0o600)
    link.symlink_to(path)
    assert read_trusted(str(link), 5, bad, links=True) == b"x"
    assert refused(read_trusted, str(link), 5, bad, links=False).reason == "EIO"
