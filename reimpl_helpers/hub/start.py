"""Prepare a hub on this machine, and start it."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlparse

from reimpl_helpers.board import CONFIRMED
from reimpl_helpers.hub.codes import SHEETS, hand_out
from reimpl_helpers.hub.roster import RosterError, read_roster
from reimpl_helpers.hub.users import BOARD_USER, make_board_users
from reimpl_helpers.network import HERE, address_here
from reimpl_helpers.workbook import ROOT, WorkbookError

HOMES, LOGS = "homes", "logs"  # in the folder of the hub: of the pairs; copies for the board
SAID, PROXY_IS = "hub.log", "proxy.pid"  # in that folder as well
CONFIG = Path(__file__).parent / "config.py"
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
    """Prepare everything, then run the hub until it is stopped.

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
    if not (state / PROXY_IS).exists():  # else a hub was killed, and the next one ends its proxy
        refuse_taken(address, port)
    try:
        prepare_folders(state, is_root)
    except PermissionError as error:
        raise WorkbookError(str(error)) from error
    known = {*state.glob(SHEETS)}
    if not hand_out(state, roster, address):
        print(
            "Everybody has a code. For who lost theirs: take their line out of the roster, save "
            "it, put it in again: that makes a new one."
        )
    if not is_root:
        print(TRUSTED)
    settings = {
        "REIMPL_HUB": str(state),
        "REIMPL_HUB_ROSTER": str(roster_path.resolve()),
        "REIMPL_HUB_URL": address,
        "REIMPL_HUB_PROXY": str(PROXY),
    }
    run_hub(state, address, os.environ | settings, known)


def refuse_taken(address: str, port: int) -> None:
    """Refuse to start where one of the hub's ports is in use.

    Raises: WorkbookError then.
    """
    for host, taken in (urlparse(address).hostname, port), *((HERE, port + n) for n in (1, 2, 3)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, taken))
            except (OSError, OverflowError) as error:
                raise WorkbookError(
                    f"the hub needs the ports {port} to {port + 3}, and {taken} cannot be had: "
                    f"{getattr(error, 'strerror', None) or error}. Stop what uses it, which may "
                    "be a hub of an earlier start, or take others, such as --port=8100."
                ) from error


def run_hub(state: Path, address: str, environment: dict[str, str], told: set[Path]) -> None:
    """Run the hub until it is stopped, and tell of sheets that are new.

    What it says, and what pairs make it say, is in a file: it may be anything.

    Raises: WorkbookError when it does not start.
    """
    command = [sys.executable, "-P", "-m", "jupyterhub", f"--config={CONFIG}"]
    # A shell's background jobs ignore it, and so would all that the hub starts, and stops with it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with open(state / SAID, "ab", opener=lambda *a: os.open(*a, mode=0o600)) as log:
        hub = subprocess.Popen(
            command, env=environment, cwd=state, umask=0o077, stdin=subprocess.DEVNULL,
            stdout=log, stderr=log,
        )  # fmt: skip
    signal.signal(signal.SIGTERM, lambda *_: hub.terminate())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the hub as well
    is_up = False
    while hub.poll() is None:
        sheets = {*state.glob(SHEETS)}
        for sheet in sorted(sheets - told):
            print(f"New codes: print {sheet}, hand out the cards, delete the file.", flush=True)
        told = sheets
        if not is_up and (is_up := answers(f"{address}/hub/health")):
            print(f"The hub is at {address}. Ctrl-C stops it; nothing is lost.", flush=True)
        time.sleep(0.5)
    if not is_up:
        lines = (state / SAID).read_text("utf-8", errors="replace").splitlines()
        why = [line for line in lines if line.startswith(("[C", "[E"))] or lines or ["no reason"]
        raise WorkbookError(f"the hub did not start. {state / SAID} says more after: {why[-1]}")


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except OSError:
        return False


def prepare_folders(state: Path, is_root: bool) -> None:
    """Make the folder of the hub; pairs may pass through to their homes, and see nothing else.

    Raises: PermissionError when this machine has a user already that is to be made.
    """
    logs = state / LOGS
    for folder in state, state / HOMES, logs, logs / CONFIRMED:
        folder.mkdir(parents=True, exist_ok=True)
        is_for_the_board = folder.is_relative_to(logs)
        folder.chmod((0o750 if is_for_the_board else 0o711) if is_root else 0o700)
    if is_root:
        make_board_users()
        for folder in logs, logs / CONFIRMED:
            shutil.chown(folder, group=BOARD_USER)


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
            asked = 0o005 if path == needed else 0o001  # to read it; on the way there, to pass
            if path.stat().st_mode & asked != asked:
                return (
                    f"{path} is closed to the system users of the pairs, so their servers could "
                    f"not start. Move {needed} to a folder that everybody may read, such as /opt, "
                    f"or open it: chmod o+rx {path}"
                )
    return f"A system user of a pair could not start the workbook: {said}"
