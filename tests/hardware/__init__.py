"""Tests on emulated hardware that boot an operating system: minutes each, and run when asked for."""
