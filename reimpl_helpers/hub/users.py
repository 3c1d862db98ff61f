"""Make the system users that keep a hub's pairs apart: one a pair, and two of the hub's own."""

import os
import pwd
import subprocess
from pathlib import Path

from reimpl_helpers.hub.roles import ACCOUNT

MARK = "a pair of the re-implementation workbook"  # of the pairs' users
OURS = "the board of the re-implementation workbook"
BOARD_USER = "reimpl-board"  # reads copies of the logs, and nothing else
JUDGE_USER = "reimpl-judge"  # runs what a pair wrote, to confirm that it is right


def make_pair_user(name: str, home: Path) -> None:
    """Make a pair's system user, with a home that nobody else can open, where there is none.

    Raises: PermissionError when somebody else has that name.
    """
    if not name.startswith(ACCOUNT):
        raise PermissionError(f"{name} is no pair, and has no server")
    make_user(name, home, MARK, ["--create-home", "--shell", "/bin/bash"])
    os.chmod(home, 0o700)


def make_board_users() -> None:
    """Make the users of the board where there are none; they have no home, and no shell.

    Raises: PermissionError when somebody else has that name.
    """
    for name in (BOARD_USER, JUDGE_USER):
        make_user(name, Path("/nonexistent"), OURS, ["--system", "--shell", "/usr/sbin/nologin"])


def make_user(name: str, home: Path, mark: str, more: list[str]) -> None:
    try:
        known = pwd.getpwnam(name)
    except KeyError:
        subprocess.run(
            ["useradd", "--home-dir", home, "--user-group", "--comment", mark, *more, name],
            check=True,
            capture_output=True,
        )
    else:
        if known.pw_gecos != mark or known.pw_dir != str(home):
            raise PermissionError(
                f"this machine has a user {name} already, with the home {known.pw_dir}, that this "
                "workbook did not make. Remove that user, or, if it has the name of a pair, rename "
                "the pair in the roster."
            )


def pair_users() -> dict[int, str]:
    """Name the pairs' users on this machine, by their number."""
    return {user.pw_uid: user.pw_name for user in pwd.getpwall() if user.pw_gecos == MARK}
