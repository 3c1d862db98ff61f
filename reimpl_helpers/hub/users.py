"""Make the system users that keep a hub's pairs apart: one a pair, and two of the hub's own."""

import contextlib
import itertools
import os
import pwd
import re
import shlex
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil

from reimpl_helpers.base.files import remove_folder
from reimpl_helpers.hub.roster import ACCOUNT

MARK = "a pair of the re-implementation workbook"  # of the pairs' users
OURS = "the board of the re-implementation workbook"
BOARD_USER = "reimpl-board"  # reads copies of the logs, and nothing else
JUDGE_USER = "reimpl-judge"  # runs what a pair wrote, to confirm that it is right
ENDS_USER = "reimpl-ends"  # ends the processes of others; nothing else runs as it
# nobody comes in as these by ssh or su, and cron starts nothing of theirs after the hub
EXPIRED = "--expiredate", "1970-01-02"
FIRST = 1000  # number of a user that is not the system's own
PATIENCE = 30  # seconds for the end of a process: one that waits for a disk hears no signal


def make_pair_user(name: str, home: Path) -> None:
    """Make a pair's system user, with a home that nobody else can open, where there is none.

    A home that outlived its user, or came from another machine, gets a user of its owner's number,
    and a new user none that a home beside belongs to.

    Raises: PermissionError when somebody else has that name, or the home.
    """
    if not name.startswith(ACCOUNT):
        raise PermissionError(f"{name} is no pair, and has no server")
    if os.path.lexists(home) and (home.is_symlink() or not home.is_dir()):
        raise PermissionError(
            f"{home} is no folder. Put a folder in its place, or mount one there."
        )
    owner = home.lstat().st_uid if home.exists() else None
    number = owner if owner and name_of(owner) is None else free_number(home.parent)
    more = ["--uid", str(number), "--no-create-home", "--shell", "/bin/bash", *EXPIRED]
    # no numbers of other users, under which what it runs would not be known as its own
    more += ["--key", "SUB_UID_COUNT=0", "--key", "SUB_GID_COUNT=0"]
    make_user(name, home, MARK, more)
    user = pwd.getpwnam(name)
    if owner is None:
        home.mkdir(mode=0o700)
        os.chown(home, user.pw_uid, user.pw_gid)
    elif owner != user.pw_uid:
        raise PermissionError(
            f"{home} belongs to {name_of(owner)}, and not to {name}. If what is in there is the "
            f"pair's, give it back: chown -R {name}: {shlex.quote(str(home))}"
        )
    if stat.S_IMODE(home.stat().st_mode) != 0o700:  # a home may be on a disk that is not writable
        os.chmod(home, 0o700)


def free_number(homes: Path) -> int:
    """Find a number that is no user's, and of none who left a home here."""
    owners = {home.lstat().st_uid for home in homes.iterdir()}
    return next(n for n in itertools.count(FIRST) if n not in owners and name_of(n) is None)


def name_of(user: int) -> str | None:
    """Name the user of a number, if there is one."""
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(user).pw_name


def make_hub_users() -> None:
    """Make the hub's own users where there are none; they have no home, and no shell.

    Raises: PermissionError when somebody else has that name.
    """
    more = ["--system", "--shell", "/usr/sbin/nologin", *EXPIRED]
    for name in (BOARD_USER, JUDGE_USER, ENDS_USER):
        make_user(name, Path("/nonexistent"), OURS, more)


def make_user(name: str, home: Path, mark: str, more: list[str]) -> None:
    try:
        known = pwd.getpwnam(name)
    except KeyError:
        made = subprocess.run(
            ["useradd", "--home-dir", home, "--user-group", "--comment", mark, *more, name],
            capture_output=True, text=True,
        )  # fmt: skip
        if made.returncode:
            raise PermissionError(
                f"the system user {name} cannot be made: {made.stderr.strip()} Take away what is "
                "in its way, then start again."
            ) from None
    else:
        if known.pw_gecos == mark and known.pw_dir != str(home):
            raise PermissionError(
                f"the system user {name} is of another hub here, with the home {known.pw_dir}. "
                f"Stop that hub; if it is not to run again: userdel {name} (its home stays)."
            )
        if known.pw_gecos != mark:
            raise PermissionError(
                f"this machine has a user {name} already, with the home {known.pw_dir}, that this "
                "workbook did not make. Remove that user, or, if it has the name of a pair, rename "
                "the pair in the roster."
            )


def become(name: str) -> None:
    """Be a user from here on, as root may."""
    user = pwd.getpwnam(name)
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)


def bounded_users(homes: Path) -> dict[int, str]:
    """Name the users whose code is a pair's, by their number: the pairs', and the judge's."""
    return pair_users(homes) | {pwd.getpwnam(JUDGE_USER).pw_uid: JUDGE_USER}


def pair_users(homes: Path) -> dict[int, str]:
    """Name the users of a hub's pairs, by their number."""
    return {
        user.pw_uid: user.pw_name
        for user in pwd.getpwall()
        if user.pw_gecos == MARK and Path(user.pw_dir).parent == homes
    }


END_ALL = """
import contextlib, os, signal, sys
other, group, user = map(int, sys.argv[1:])
os.setgroups([])
os.setresgid(group, group, group)
os.setresuid(other, user, other)
with contextlib.suppress(ProcessLookupError):  # there is none
    os.kill(-1, signal.SIGKILL)
"""


def end_processes(user: int) -> bool:
    """End all that runs as a user, and wait until it has; return whether there was anything.

    One call of the system's ends them all: one at a time, some may start others meanwhile. It is
    made by a process that may signal theirs, and that none of them may signal, stop or look into,
    as only its effective user is theirs. So nothing may be started in between.
    """
    other = pwd.getpwnam(ENDS_USER)
    command = [sys.executable, "-I", "-S", "-c", END_ALL]
    command += map(str, (other.pw_uid, other.pw_gid, user))
    found, until = bool(processes_of(user)), time.monotonic() + PATIENCE
    while True:  # once at least: of those that fork without a pause, a list may hold none
        subprocess.run(command, stdin=subprocess.DEVNULL, start_new_session=True, cwd="/", env={})
        if not processes_of(user) or time.monotonic() > until:
            return found
        found = True
        time.sleep(0.05)


def remove_shared_memory(user: int) -> None:
    """Remove what a user's processes shared through the system, which outlives them."""
    for kind, option in ("shm", "-m"), ("sem", "-s"), ("msg", "-q"):
        names, *rows = Path(f"/proc/sysvipc/{kind}").read_text().splitlines()
        for row in rows:
            values = row.split()
            if values[names.split().index("cuid")] == str(user):  # who made it, whosever it is
                subprocess.run(["ipcrm", option, values[1]], capture_output=True)
    for folder in Path("/dev/shm"), Path("/dev/mqueue"):
        for path in folder.iterdir() if folder.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):  # another user's, who took it away
                if path.lstat().st_uid == user:
                    remove_folder(path)


def processes_of(user: int) -> list[psutil.Process]:
    """List what runs as a user, and is more than a name in a table."""
    return [process for process in psutil.process_iter() if user_of(process) == user]


def user_of(process: psutil.Process) -> int | None:
    """Read who runs a process, None where it has ended, with all its threads.

    psutil believes one that calls itself "Uid:\t0", and takes one for ended whose first thread is.
    """
    try:
        status = Path(f"/proc/{process.pid}/status").read_bytes()
    except OSError:
        return None
    state, user, threads = (
        re.search(rb"^%s:\t(\w+)" % name, status, re.MULTILINE)[1]
        for name in (b"State", b"Uid", b"Threads")
    )
    return None if state in (b"Z", b"X") and int(threads) <= 1 else int(user)
