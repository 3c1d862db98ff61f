"""Verdicts on a pair's code, in the kernel or in a process of its own."""
