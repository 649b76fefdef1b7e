"""The order in which a stream table entry or a context descriptor is rewritten while hardware may read it.

Hardware reads 64-bit words whole, but the eight words of an entry in any order and at any time. A configuration uses
some bits and ignores the others. If a change touches bits in use of one word only, then the ignored bits of the other
words are set first, that one word next, and what the new configuration ignores is cleared last: the entry means the
old or the new configuration at every moment. Otherwise it is made to abort in between. After each of these groups
the caches are invalidated and synchronized, so that no reading begun before a group mixes with words written after it.
"""

from __future__ import annotations

from collections.abc import Callable

from ..layout import CD, STE
from ..names import StreamConfig

Words = tuple[int, ...]
Group = list[tuple[int, int]]
"""Stores that need no order among themselves: (index of the word, value)."""

_ATTRIBUTES = sum(
    field.mask
    for field in (
        STE.DRE,
        STE.CONT,
        STE.DCP,
        STE.PPAR,
        STE.MEV,
        STE.EATS,
        STE.MemAttr,
        STE.MTCFG,
        STE.ALLOCCFG,
        STE.SHCFG,
        STE.NSCFG,
        STE.PRIVCFG,
        STE.INSTCFG,
    )
)
_STAGE1 = sum(
    field.mask
    for field in (
        STE.S1Fmt,
        STE.S1ContextPtr,
        STE.S1CDMax,
        STE.S1DSS,
        STE.S1CIR,
        STE.S1COR,
        STE.S1CSH,
        STE.S1STALLD,
        STE.STRW,
        STE.S2VMID,
    )
)
"""S2VMID tags the translations of stage 1 too."""
_STAGE2 = sum(
    field.mask
    for field in (
        STE.S2FWB,
        STE.S2VMID,
        STE.S2T0SZ,
        STE.S2SL0,
        STE.S2IR0,
        STE.S2OR0,
        STE.S2SH0,
        STE.S2TG,
        STE.S2PS,
        STE.S2AA64,
        STE.S2ENDI,
        STE.S2AFFD,
        STE.S2PTW,
        STE.S2HD,
        STE.S2HA,
        STE.S2S,
        STE.S2R,
        STE.S2TTB,
    )
)
_RANGE0 = sum(field.mask for field in (CD.T0SZ, CD.TG0, CD.IR0, CD.OR0, CD.SH0, CD.NSCFG0, CD.HAD0, CD.TTB0))
_RANGE1 = sum(field.mask for field in (CD.T1SZ, CD.TG1, CD.IR1, CD.OR1, CD.SH1, CD.NSCFG1, CD.HAD1, CD.TTB1))
_ALL = (1 << CD.width) - 1


def ste_used(ste: STE) -> int:
    """Return the bits that the configuration of an STE uses."""
    used = STE.V.mask
    if not ste.V:
        return used
    used |= STE.Config.mask
    if ste.Config & StreamConfig.BYPASS:
        used |= _ATTRIBUTES | (_STAGE1 if ste.Config & 1 else 0) | (_STAGE2 if ste.Config & 2 else 0)
    return used


def cd_used(cd: CD) -> int:
    """Return the bits that a CD uses."""
    if not cd.V:
        return CD.V.mask
    return _ALL & ~(_RANGE0 if cd.EPD0 else 0) & ~(_RANGE1 if cd.EPD1 else 0)


def ste_update(old: STE, new: STE) -> list[Group]:
    """Return the groups of stores that change an STE, each to be followed by an invalidation and a CMD_SYNC."""
    # A valid STE that aborts makes no events while devices are refused.
    return _update(old.words, new.words, _split(ste_used(old)), _split(ste_used(new)), STE(V=1).words[0])


def cd_update(old: CD, new: CD) -> list[Group]:
    """Return the groups of stores that change a CD, as `ste_update`."""
    return _update(old.words, new.words, _split(cd_used(old)), _split(cd_used(new)), 0)


def _split(mask: int) -> Words:
    return STE(mask).words


def _update(old: Words, new: Words, old_used: Words, new_used: Words, broken: int) -> list[Group]:
    prepared = tuple(was & used | target & ~used for was, target, used in zip(old, new, old_used, strict=True))
    critical = [index for index in range(len(new)) if (prepared[index] ^ new[index]) & new_used[index]]
    stores: Callable[[Words, Words], Group] = lambda before, after: [  # noqa: E731
        (index, value) for index, value in enumerate(after) if before[index] != value
    ]
    if len(critical) > 1:
        first = (broken, *new[1:])
        groups = [[(0, broken)], stores((broken, *old[1:]), first), stores(first, new)]
        return [group for group in groups if group]
    switched = list(prepared)
    for index in critical:
        switched[index] = new[index]
    before = tuple(old[index] if index in critical else value for index, value in enumerate(prepared))
    groups = [stores(old, before), stores(before, tuple(switched)), stores(tuple(switched), new)]
    return [group for group in groups if group]
