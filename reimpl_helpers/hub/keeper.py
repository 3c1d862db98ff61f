"""Keep each pair's memory within bounds: what the hub runs beside the pairs' servers, as root.

The kernel's own limits are of one process; this one is of all that a pair runs, together.
"""

import time
from collections import defaultdict

import psutil

from reimpl_helpers.hub.service import serve
from reimpl_helpers.hub.users import pair_users

MOST = 4 * 2**30  # bytes that all processes of a pair may hold: a kernel, a check, and room
EVERY = 2  # seconds


def largest_of_greedy(most: int) -> list[tuple[str, psutil.Process]]:
    """Find the pairs that hold more than this, and the largest process of each.

    Units: bytes.
    """
    pairs, held = pair_users(), defaultdict(list)
    for process in psutil.process_iter(["uids", "memory_info"]):
        uids, memory = process.info["uids"], process.info["memory_info"]
        if uids and memory and uids.real in pairs:
            held[pairs[uids.real]].append((memory.rss, process.pid, process))
    return [
        (pair, max(processes)[2])
        for pair, processes in held.items()
        if sum(size for size, _, _ in processes) > most
    ]


def main() -> None:
    """Look again and again; end the largest process of a pair that holds too much."""
    while True:
        for pair, process in largest_of_greedy(MOST):
            print(f"{pair} holds more than {MOST / 2**30:.0f} GiB: ending {process}", flush=True)
            process.kill()
        time.sleep(EVERY)


if __name__ == "__main__":
    serve(main)
