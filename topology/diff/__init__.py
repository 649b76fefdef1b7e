"""What differs between two topologies, in meaning: a picture of each, the changes between them, what these mean."""

from __future__ import annotations

from .changes import Change, apply, diff, mirror
from .meaning import Meaning, explain
from .picture import Item, Picture, Subject, picture

__all__ = ["Change", "Item", "Meaning", "Picture", "Subject", "apply", "diff", "explain", "mirror", "picture"]
