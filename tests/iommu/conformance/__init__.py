"""Our models held to QEMU: the same bytes, the same accesses, the same verdicts, bytes and records."""
