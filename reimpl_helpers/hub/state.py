"""Know what a hub keeps in its folder, and end what still runs of a hub that is gone."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import psutil

from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.base.places import ROOT
from reimpl_helpers.hub.users import (
    bounded_users,
    end_processes,
    processes_of,
    remove_shared_memory,
)

HOMES, LOGS = "homes", "logs"  # of the pairs; copies for the board
SAID, PROXY_IS = "hub.log", "proxy.pid"
SOCKETS = "sockets"  # the hub's and its proxy's, and in a closed folder those of pairs' servers
LONGEST = 80  # bytes of the folder's path: the system allows 100 or so to a socket's
STOPS = 30  # seconds that a hub may take to stop


def hub_folder() -> Path:
    """Return where the hub keeps its state and the pairs' homes: hub/, or where REIMPL_HUB says."""
    return Path(os.environ.get("REIMPL_HUB") or ROOT / "hub").resolve()


def lock_of(state: Path) -> Path:
    """Name the file that one hub alone locks: root's hubs share the system users of the machine."""
    return Path("/run/reimpl-hub.lock") if os.geteuid() == 0 else state / "hub.lock"


@contextlib.contextmanager
def only_hub(state: Path, patience: float = 5) -> Iterator[TextIO]:
    """Be the only hub here, as long as the file that this yields is open in any process.

    Units: seconds to wait for one that is stopping.

    Raises: WorkbookError when another one runs, and does not stop.
    """
    # closed to pairs: who may read a file may lock it
    with open(lock_of(state), "w", opener=lambda *a: os.open(*a, mode=0o600)) as lock:
        until = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > until:
                    raise WorkbookError(
                        f"another hub holds {lock.name}: it runs, or is still stopping. Stop it, "
                        "and wait until it has ended."
                    ) from error
                time.sleep(0.2)
            else:
                yield lock
                return


def end_what_is_left(state: Path) -> list[str]:
    """End what still runs of a hub that is gone; name it.

    Nothing of the pairs' may be left when its proxy ends: it would take the proxy's port.
    """
    users = bounded_users(state / HOMES) if os.geteuid() == 0 else {}
    ended = [name for user, name in sorted(users.items()) if end_processes(user)]
    ended += [
        f"{name} (and not all of it ended)" for user, name in users.items() if processes_of(user)
    ]
    for user in users:
        remove_shared_memory(user)
    ended += end_proxy(state / PROXY_IS)
    for path in (state / SOCKETS).glob("**/*"):
        if path.is_socket():
            path.unlink()
    return ended


def close(state: Path) -> None:
    """Close a hub's folder to others: one put aside is nobody's, whatever numbers users get."""
    with contextlib.suppress(FileNotFoundError):  # it was removed meanwhile
        state.chmod(0o700)


def end_proxy(known_by: Path) -> list[str]:
    """End the proxy whose number is in a file, if it is one, and take the file away."""
    ended = []
    with contextlib.suppress(FileNotFoundError, ValueError, psutil.NoSuchProcess):
        proxy = psutil.Process(int(known_by.read_text()))
        if "configurable-http-proxy" in " ".join(proxy.cmdline()):
            proxy.kill()
            proxy.wait(STOPS)
            ended = ["its proxy"]
    known_by.unlink(missing_ok=True)
    return ended
