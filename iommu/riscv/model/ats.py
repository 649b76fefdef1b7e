"""Answers to PCIe ATS translation requests (2.6)."""

from __future__ import annotations

from ..names import Cause
from .directory import Context
from .stage import G, R, W, X
from .translation import Translator
from .values import ACCESS, Completion, Fault, Outcome, Transaction

_NOTHING = frozenset(
    (
        Cause.INSTRUCTION_PAGE_FAULT, Cause.READ_PAGE_FAULT, Cause.WRITE_PAGE_FAULT, Cause.INSTRUCTION_GUEST_PAGE_FAULT,
        Cause.READ_GUEST_PAGE_FAULT, Cause.WRITE_GUEST_PAGE_FAULT, Cause.PDT_INVALID, Cause.MSI_INVALID,
    )
)  # fmt: skip
"""Causes of a success without permissions, which is not reported."""
_UNSUPPORTED = range(Cause.ALL_DISALLOWED, Cause.TYPE_DISALLOWED + 1)


def completion(cause: int) -> Completion:
    """Return the answer to a request that ended in a fault; what the specification does not list is an abort."""
    if cause in _NOTHING:
        return Completion("success")
    return Completion("unsupported request" if cause in _UNSUPPORTED else "completer abort")


def answer(translator: Translator, context: Context, transaction: Transaction, limit: int) -> Outcome:
    """Translate for a request: permissions that are not there are no fault. Raises Fault.

    Write permission is granted only when it is asked for, since the dirty bit is set then.
    """
    write, supervisor = transaction.write, transaction.supervisor
    gpa, granted, shared = transaction.address, R | W | X, False
    if context.stage1 is not None:
        gpa, entry = translator.first(context, gpa, 0, write=write, supervisor=supervisor)
        granted &= entry
        shared = bool(entry & G) and transaction.process_id is not None
    output: int | None = gpa
    only_untranslated = False
    if context.msi is not None and context.is_message(gpa):
        output, mrif = translator.message(context, gpa)
        granted, shared = granted & (R | W), False
        if mrif is not None:
            output, granted, only_untranslated = None, R | W, True
    elif context.stage2 is not None:
        output, entry = translator.second(context, gpa, 0, write=write)
        granted &= entry
    if output is not None and output >> limit:
        raise Fault(ACCESS, "output, capabilities.PAS")
    if output is not None and context.dc.T2GPA:
        output = gpa
    reads = bool(granted & R)
    found = Completion(
        "success",
        reads,
        bool(granted & W) and write,
        reads and bool(granted & X) and transaction.instruction,
        supervisor,
        shared,
        only_untranslated,
    )
    return Outcome("done", output, completion=found)
