"""Words of kernels' drivers, where they are not those of the specification.

Sources: the drivers of Linux.
"""

from __future__ import annotations

AMD_NAMES = {"RMP_HW_ERROR": "RMP_HARDWARE_ERROR"}
"""The specification's names of events that are printed under another one."""

AMD_VALUES = {"flags_rmp": "FlagsRMP", "vmg_tag": "VMGTag", "tag": "Tag"}
"""The specification's names of values that are printed with an event."""

AMD_REQUESTS = {
    "Request ignored due to GN=0": "a page request without a PASID was ignored",
    "Invalid request format": "the page request is invalid",
}
"""What is said of entries of the page request log."""

VIRTIO_CODES = {"unknown": 0, "domain": 1, "page": 2}
"""Reasons by the words for them."""

SOC_NAMES = {
    "Page fault": "the address is not mapped, or not for such an access",
    "BUS_ERROR": "an error on the bus",
    "fault": "a fault of the kind that the code tells",
    "translation fault": "the address is not mapped",
    "Multiple TLB hits": "overlapping translations are cached",
    "Page Table Walk Abort": "a page table could not be read",
    "PTW FAULT": "a page table could not be read",
    "PAGE FAULT": "the address is not mapped",
    "MULTI-HIT FAULT": "overlapping translations are cached",
    "BUS ERROR FAULT": "an error on the bus",
    "ACCESS PROTECTION FAULT": "no permission",
    "SECURITY PROTECTION FAULT": "no permission for the security state of the access",
    "RESERVED FAULT": "a fault that is not defined",
    "READ FAULT": "no permission to read",
    "WRITE FAULT": "no permission to write",
    "NO PTE FOR IOVA": "the address is not mapped: its page table entry is empty",
    "NO PMD FOR IOVA": "the address is not mapped: its second-level entry is empty",
    "NO PGD FOR IOVA": "the address is not mapped: its top-level entry is empty",
    "NO TTBR FOR IOVA": "the stream has no page table",
}
"""What the words of the drivers for one maker's chips mean; Samsung's may have `AR ` or `AW ` before them."""
