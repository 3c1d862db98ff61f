"""Prepare a hub on this machine, and start it."""

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from reimpl_helpers.hub.codes import hand_out
from reimpl_helpers.hub.roster import RosterError, read_roster
from reimpl_helpers.hub.users import BOARD_USER, make_board_users
from reimpl_helpers.lab import HERE, address_here
from reimpl_helpers.workbook import ROOT, WorkbookError

HOMES, LOGS = "homes", "logs"  # in the folder of the hub: of the pairs; copies for the board
NOBODY = 65534  # a user who may read what everybody may
PROXY = Path(sys.prefix) / "proxy/node_modules/.bin/configurable-http-proxy"
TRUSTED = """
Every pair's kernel runs as you, so each pair can read and change the work of every other, the
codes, and whatever else you can. Go on only among people who trust each other. To keep pairs apart,
run this as root: then each pair is a system user of its own.
"""
NOT_ROOT = """this is not root, so pairs could not be kept apart: every kernel would run as you, and
could read and change the work of every other pair, and all your files. Run it as root, or, among
people who trust each other, say TRUSTED=1."""


def hub_folder() -> Path:
    """Return where the hub keeps its state and the pairs' homes: hub/, or where REIMPL_HUB says."""
    return Path(os.environ.get("REIMPL_HUB") or ROOT / "hub").resolve()


def start_hub(roster_path: Path, shared: bool, trusted: bool, port: int) -> None:
    """Prepare everything, then become the hub.

    Raises: WorkbookError when the roster is not right, or this machine cannot keep pairs apart.
    """
    is_root = os.geteuid() == 0
    if not is_root and not trusted:
        raise WorkbookError(NOT_ROOT)
    try:
        roster = read_roster(roster_path)
    except RosterError as error:
        raise WorkbookError(str(error)) from error
    if not PROXY.exists():
        raise WorkbookError(f"{PROXY} is missing. `make hub ROSTER={roster_path}` installs it.")
    if is_root and (why := why_not_readable()):
        raise WorkbookError(why)
    address = f"http://{address_here() if shared else HERE}:{port}"
    state = hub_folder()
    try:
        prepare_folders(state, is_root)
    except PermissionError as error:
        raise WorkbookError(str(error)) from error
    print(
        hand_out(state, roster, address)
        or "Everybody has a code. For who lost theirs: take their line out of the roster, save it, "
        "put it in again: that makes a new one."
    )
    if not is_root:
        print(TRUSTED)
    print(f"The hub is at {address}. Ctrl-C stops it; nothing is lost.", flush=True)
    os.environ.update(
        REIMPL_HUB=str(state),
        REIMPL_HUB_ROSTER=str(roster_path.resolve()),
        REIMPL_HUB_URL=address,
        REIMPL_HUB_PROXY=str(PROXY),
    )
    os.chdir(state)
    os.umask(0o077)
    config = Path(__file__).parent / "config.py"
    os.execv(sys.executable, [sys.executable, "-P", "-m", "jupyterhub", f"--config={config}"])


def prepare_folders(state: Path, is_root: bool) -> None:
    """Make the folder of the hub; pairs may pass through to their homes, and see nothing else.

    Raises: PermissionError when this machine has a user already that is to be made.
    """
    for folder, mode in (state, 0o711), (state / HOMES, 0o711), (state / LOGS, 0o750):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(mode if is_root else 0o700)
    if is_root:
        make_board_users()
        shutil.chown(state / LOGS, group=BOARD_USER)


def why_not_readable() -> str:
    """Say what keeps a pair's system user from running the workbook; nothing if all is well."""
    said = "it said nothing"
    with contextlib.suppress(PermissionError):  # Python itself is out of reach
        tried = subprocess.run(
            [sys.executable, "-P", "-c", "import reimpl_helpers.hub.server"],
            user=NOBODY, group=NOBODY, extra_groups=[], cwd="/", capture_output=True, text=True,
            timeout=120, env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        )  # fmt: skip
        if not tried.returncode:
            return ""
        said = (tried.stderr.strip().splitlines() or [said])[-1]
    for needed in ROOT, Path(sys.prefix), Path(sys.executable).resolve():
        for path in [*reversed(needed.parents), needed]:
            if path.stat().st_mode & 0o005 != 0o005:
                return (
                    f"{path} is closed to the system users of the pairs, so their servers could "
                    f"not start. Move {needed} to a folder that everybody may read, such as /opt, "
                    f"or open it: chmod o+rx {path}"
                )
    return f"A system user of a pair could not start the workbook: {said}"
