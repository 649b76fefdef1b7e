"""QEMU as hardware."""
