"""SMMUv1 and SMMUv2 as hardware: reads what a driver left in registers and memory, translates, faults and reports."""

from __future__ import annotations

from .hardware import Model
from .reach import reach
from .values import FETCH, PRIVILEGED, READ, WRITE, Capabilities, Outcome, Transaction

__all__ = ["FETCH", "PRIVILEGED", "READ", "WRITE", "Capabilities", "Model", "Outcome", "Transaction", "reach"]
