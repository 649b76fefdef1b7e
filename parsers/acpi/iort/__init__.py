"""IORT: Arm's IO remapping table."""

from __future__ import annotations

from .reader import read_iort
from .records import (
    GlobalInterrupts,
    IdMapping,
    Iort,
    ItsGroup,
    ItsIdentifier,
    Iwb,
    NamedComponent,
    Node,
    Pmcg,
    Rmr,
    RmrDescriptor,
    RootComplex,
    SmmuInterrupt,
    SmmuV2,
    SmmuV3,
    UnknownNode,
)

__all__ = [
    "GlobalInterrupts",
    "IdMapping",
    "Iort",
    "ItsGroup",
    "ItsIdentifier",
    "Iwb",
    "NamedComponent",
    "Node",
    "Pmcg",
    "Rmr",
    "RmrDescriptor",
    "RootComplex",
    "SmmuInterrupt",
    "SmmuV2",
    "SmmuV3",
    "UnknownNode",
    "read_iort",
]
