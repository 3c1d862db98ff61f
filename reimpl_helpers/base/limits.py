"""Limit what a process that runs a pair's code may take of the machine, and who looks into it."""

import ctypes
import os
import sys
from typing import TextIO

LIMITS = {  # the right answers come nowhere near
    "RLIMIT_CPU": 3600,  # seconds
    "RLIMIT_DATA": 2**33,
    "RLIMIT_FSIZE": 2**26,
    "RLIMIT_NPROC": 8192,  # threads count, and those of the user's other programs too
    "RLIMIT_CORE": 0,
}
PR_SET_DUMPABLE = 4


def limit_this_process() -> None:
    """Keep what a pair wrote from taking the whole machine, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for name, most in LIMITS.items():
        what = getattr(resource, name)
        _, hard = resource.getrlimit(what)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


def take_output(silenced: tuple[int, ...] = (1,)) -> TextIO:
    """Return standard output, and let these descriptors lead nowhere from here on.

    What this process runs could write a verdict of its own there otherwise, and so could what it
    starts.
    """
    ours = os.fdopen(os.dup(1), "w", encoding="utf-8")  # what is started does not inherit it
    nowhere = os.open(os.devnull, os.O_RDWR)
    for theirs in silenced:
        os.dup2(nowhere, theirs)
    os.close(nowhere)
    return ours


def hide_this_process() -> None:
    """Keep others of the same user, such as what a pair wrote, from looking into this process.

    What is forked of it is hidden as well.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
