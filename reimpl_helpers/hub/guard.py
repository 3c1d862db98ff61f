"""Keep each pair within its bounds: what the hub runs beside the pairs' servers, as root.

The system's own limits are of one process; these are of all that a pair runs, together. Where the
hub was killed, what pairs run ends here, and until then the hub's ports are held.
"""

import contextlib
import os
import re
import sys
import time
from collections import defaultdict
from pathlib import Path

import psutil

from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.hub.ports import everywhere
from reimpl_helpers.hub.service import TO_SAVE, serve
from reimpl_helpers.hub.state import HOMES, close, end_what_is_left, only_hub
from reimpl_helpers.hub.users import bounded_users, user_of

MOST_MEMORY = 4 * 2**30  # bytes that all processes of a pair may hold: a kernel, a check, and room
MOST_FILES = 3000  # that they may have open, sockets and terminals among them
MOST_TERMINALS = 100  # that they may have open: a machine has some 4,000 for all
TERMINAL = os.makedev(5, 2)  # what gives one to who opens it
EVERY = 2  # seconds


def thread_of(process: psutil.Process) -> Path:
    """Find where the system tells of a process: its first thread may have ended before others.

    Raises: OSError when all have.
    """
    for thread in Path(f"/proc/{process.pid}/task").iterdir():
        if not re.search(rb"^State:\t[ZX]", (thread / "status").read_bytes(), re.MULTILINE):
            return thread
    raise ProcessLookupError


def memory_of(process: psutil.Process) -> int:
    """Measure what a process holds: its memory, and the tables of where that is.

    Units: bytes.
    """
    status = (thread_of(process) / "status").read_bytes()
    return 1024 * sum(map(int, re.findall(rb"^Vm(?:RSS|PTE|Swap):\s+(\d+)", status, re.MULTILINE)))


def files_of(process: psutil.Process) -> list[Path]:
    """List the files that a process has open."""
    return list((thread_of(process) / "fd").iterdir())


def count_files(process: psutil.Process) -> int:
    return len(files_of(process))


def terminals_of(process: psutil.Process) -> int:
    """Count the terminals that a process holds open, under whatever name it opened them."""
    held = 0
    for descriptor in files_of(process):
        with contextlib.suppress(OSError):  # it was closed
            held += descriptor.stat().st_rdev == TERMINAL
    return held


def pairs_over_limit(homes: Path, size_of, most: int) -> list[tuple[str, psutil.Process]]:
    """Find whose processes together are larger than this; name the largest, until the rest fit."""
    users, held = bounded_users(homes), defaultdict(list)
    for process in psutil.process_iter():
        with contextlib.suppress(OSError):  # it has ended
            if (user := user_of(process)) in users:
                held[users[user]].append((size_of(process), process.pid, process))
    found = []
    for name, processes in held.items():
        total = sum(size for size, _, _ in processes)
        for size, _, process in sorted(processes, reverse=True):
            if total > most:
                found.append((name, process))
                total -= size
    return found


BOUNDS = {
    f"more than {MOST_MEMORY / 2**30:.0f} GiB": (memory_of, MOST_MEMORY),
    f"more than {MOST_FILES} files open": (count_files, MOST_FILES),
    f"more than {MOST_TERMINALS} terminals open": (terminals_of, MOST_TERMINALS),
}


def main(homes: Path) -> None:
    """Look again and again; end the largest processes of a pair that holds too much."""
    while True:
        for what, (size_of, most) in BOUNDS.items():
            for name, process in pairs_over_limit(homes, size_of, most):
                print(f"{name} holds {what}: ending {process}", flush=True)
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        time.sleep(EVERY)


def hub_is_gone(state: Path) -> None:
    """End all that pairs run, once their servers had the time to save; a new hub has done so."""
    time.sleep(TO_SAVE)
    with contextlib.suppress(WorkbookError), only_hub(state, patience=0):
        end_what_is_left(state)
        close(state)
    os._exit(1)


if __name__ == "__main__":
    state = Path(sys.argv[1])
    held = [each for port in sys.argv[2:] for each in everywhere(int(port))]
    serve(lambda: main(state / HOMES), is_gone=lambda: hub_is_gone(state))
