"""Become a pair's system user, within its bounds, and then the pair's server: the hub starts this.

Between the two the pair's other processes may do anything to this one. So it is here, where only
this server waits for it, and not before the hub's own process has let go.
"""

import contextlib
import ctypes
import os
import resource
import stat
import sys
from pathlib import Path

from reimpl_helpers.hub.users import become

GIB = 2**30
YIELDS = 5  # of 19: the hub, the proxy and the board come first where processors are short
BOUNDS = {  # of each process; the number of processes is of all that the user runs
    resource.RLIMIT_DATA: 3 * GIB,
    resource.RLIMIT_NPROC: 400,  # threads count
    resource.RLIMIT_NOFILE: 1024,
    resource.RLIMIT_FSIZE: 2 * GIB,
    resource.RLIMIT_CORE: 0,
}
PR_SET_NO_NEW_PRIVS = 38
SERVER = [sys.executable, "-P", "-m", "reimpl_helpers.hub.server"]


def bound(is_root: bool, yields: int = YIELDS) -> None:
    """Bound what this process may use, and what it starts; as root, let it become nobody else.

    Or what is judged leaves a program behind that makes a pair the judge's user.
    """
    if is_root:
        ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for what, most in BOUNDS.items():
        if what != resource.RLIMIT_NPROC or is_root:  # else it is everybody's
            resource.setrlimit(what, (most, most))
    os.nice(yields)


def log_to(path: Path) -> None:
    """Write what is said to a file, if it is one: a pair may have put anything in its place."""
    how = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
    log = os.open(os.devnull, os.O_WRONLY)
    with contextlib.suppress(OSError):
        found = os.open(path, how, 0o600)
        log = found if stat.S_ISREG(os.fstat(found).st_mode) else log
    for said in 1, 2:
        os.dup2(log, said)


def main(name: str, *arguments: str) -> None:
    """Become a user, or stay who this is; serve from a home."""
    is_root = os.geteuid() == 0
    bound(is_root)
    if is_root:
        become(name)
    home = Path(os.environ["HOME"])
    home.mkdir(parents=True, exist_ok=True)
    os.chdir(home)
    log_to(home / "server.log")
    os.execv(SERVER[0], [*SERVER, *arguments])


if __name__ == "__main__":
    main(*sys.argv[1:])
