"""Prepare a hub on this machine, and start it."""

import contextlib
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import BinaryIO, TextIO

from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.base.files import KEPT
from reimpl_helpers.base.network import HERE, address_here
from reimpl_helpers.base.places import ROOT
from reimpl_helpers.board import CONFIRMED
from reimpl_helpers.hub.codes import SHEETS, hand_out
from reimpl_helpers.hub.ports import HELD, hold_ports
from reimpl_helpers.hub.roles import PAIRS, account_of
from reimpl_helpers.hub.roster import Roster, RosterError, read_roster
from reimpl_helpers.hub.service import TO_SAVE
from reimpl_helpers.hub.state import (
    HOMES,
    LOGS,
    LONGEST,
    SAID,
    SOCKETS,
    close,
    end_what_is_left,
    hub_folder,
    only_hub,
)
from reimpl_helpers.hub.users import BOARD_USER, make_hub_users, make_pair_user, pair_users

CONFIG = Path(__file__).parent / "config.py"
GIB = 2**30
LITTLE = 2 * GIB  # of the disk
MOST_SAID, LONGEST_LINE = 10_000_000, 10_000  # bytes of the hub's log, and as much before it
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
    if len(os.fsencode(state)) > LONGEST:
        raise WorkbookError(
            f"the hub's folder {state} is too deep down for its sockets: {LONGEST} bytes at most. "
            "Give it a shorter one: REIMPL_HUB=/srv/hub"
        )
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise WorkbookError(
            f"the hub's folder {state} cannot be made: {error.strerror}. Name one that can: "
            "REIMPL_HUB=/srv/hub"
        ) from error
    with only_hub(state) as lock:
        try:
            serve_roster(state, roster_path, roster, address, lock)
        finally:
            close(state)


def serve_roster(
    state: Path, roster_path: Path, roster: Roster, address: str, lock: TextIO
) -> None:
    """Prepare the hub's folder, as nobody else uses it now, and run the hub until it is stopped.

    Raises: WorkbookError when what is on this machine is in the way.
    """
    is_root = os.geteuid() == 0
    try:
        prepare_folders(state, is_root, roster.pairs)
    except PermissionError as error:
        raise WorkbookError(str(error)) from error
    if left := end_what_is_left(state):
        print(f"An earlier hub was killed. Ended what it left: {', '.join(left)}.", flush=True)
    name_unsaved(state)
    with hold_ports(address) as held:
        known = {*state.glob(SHEETS)}
        if not hand_out(state, roster, address):
            print(
                "Everybody has a code. For who lost theirs: take their line out of the roster, "
                "save it, wait ten seconds, put it in again: that makes a new one."
            )
        if not is_root:
            print(TRUSTED)
        settings = {
            "REIMPL_HUB": str(state),
            "REIMPL_HUB_ROSTER": str(roster_path.resolve()),
            "REIMPL_HUB_URL": address,
            "REIMPL_HUB_PROXY": str(PROXY),
            HELD: " ".join(map(str, held)),
        }
        try:
            run_hub(state, address, os.environ | settings, known, [lock.fileno(), *held])
        finally:
            end_what_is_left(state)
            name_unsaved(state)


def name_unsaved(state: Path) -> None:
    for path in unsaved_of(pair_users(state / HOMES)):
        print(f"{str(path)!r} holds what could not be saved in its place.", flush=True)


def unsaved_of(users: dict[int, str]) -> list[Path]:
    """List the folders in which pairs' servers kept what they could not save."""
    places = {Path("/tmp"), Path(tempfile.gettempdir())}  # theirs, and that of who starts the hub
    found = [path for place in places for path in place.glob(f"{KEPT}*")]
    return sorted(path for path in found if path.lstat().st_uid in users)


def run_hub(
    state: Path, address: str, environment: dict[str, str], told: set[Path], handed: list[int]
) -> None:
    """Run the hub until it is stopped, and tell of sheets that are new; hand it open files.

    What it says, and what pairs make it say, is in a file: it may be anything.

    Raises: WorkbookError when it does not start.
    """
    command = [sys.executable, "-P", "-m", "reimpl_helpers.hub.jupyterhub", f"--config={CONFIG}"]
    # A shell's background jobs ignore it, and so would all that the hub starts, and stops with it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.umask(0o077)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)  # who waits at a socket is an open file
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    hub = subprocess.Popen(
        command, env=environment, cwd=state, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, pass_fds=handed,
    )  # fmt: skip
    log = state / SAID
    before = log.stat().st_size if log.exists() else 0
    writing = threading.Thread(target=write_log, args=(hub.stdout, log), daemon=True)
    writing.start()
    signal.signal(signal.SIGTERM, lambda *_: hub.terminate())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the hub as well
    is_up, disk = False, Disk(state)
    while hub.poll() is None:
        disk.look()
        sheets = {*state.glob(SHEETS)}
        for sheet in sorted(sheets - told):
            print(f"New codes: print {sheet}, hand out the cards, delete the file.", flush=True)
        told = sheets
        if not is_up and (is_up := answers(f"{address}/hub/health")):
            print(f"The hub is at {address}. Ctrl-C stops it; nothing is lost.", flush=True)
        time.sleep(0.5)
    if hub.returncode < 0 and is_up:
        time.sleep(TO_SAVE)
        raise WorkbookError(
            f"the hub was killed, by the signal {-hub.returncode}. All that pairs ran has been "
            "ended, and what they saved is kept: start it again."
        )
    if not is_up:
        writing.join(timeout=5)
        lines = log.read_bytes()[before:].decode("utf-8", "replace").splitlines()
        why = [line for line in lines if line.startswith(("[C", "[E"))] or lines or ["no reason"]
        raise WorkbookError(f"the hub did not start. {log} says more after: {why[0]}")


class Disk:
    """Say when little is left of the disk, and who has how much of it."""

    def __init__(self, state: Path):
        self.state, self.is_short = state, False

    def look(self) -> None:
        left = shutil.disk_usage(self.state).free
        if left < LITTLE and not self.is_short:
            held = [(size_of(home), home.name) for home in (self.state / HOMES).iterdir()]
            listed = ", ".join(f"{name} {size / GIB:.1f}" for size, name in sorted(held)[::-1])
            print(
                f"The disk of {self.state} is nearly full: {left / GIB:.1f} GiB are left. In GiB, "
                f"the pairs hold: {listed}. Make room, or nothing more can be saved.",
                flush=True,
            )
        self.is_short = left < (2 if self.is_short else 1) * LITTLE


def size_of(folder: Path) -> int:
    """Measure what a folder takes of the disk.

    Units: bytes.
    """
    with contextlib.suppress(subprocess.TimeoutExpired, ValueError, IndexError):
        measured = subprocess.run(
            ["du", "-skx", folder], capture_output=True, text=True, timeout=30
        )
        return 1024 * int(measured.stdout.split()[0])
    return 0


def write_log(said: BinaryIO, path: Path) -> None:
    """Write down what a hub says until it ends; of very much, the last."""
    logging.raiseExceptions = False  # or a full disk is a traceback in the terminal for each line
    log = RotatingFileHandler(path, maxBytes=MOST_SAID, backupCount=1, encoding="utf-8")
    with contextlib.closing(log):
        for line in iter(lambda: said.readline(LONGEST_LINE), b""):
            log.emit(logging.makeLogRecord({"msg": line.decode("utf-8", "replace").rstrip("\n")}))


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except OSError:
        return False


def prepare_folders(state: Path, is_root: bool, pairs: Iterable[str]) -> None:
    """Make the folder of the hub; pairs may pass through to their homes, and see nothing else.

    Raises: PermissionError when this machine has a user already that is to be made, or a home
        belongs to another.
    """
    logs = state / LOGS
    opened = {  # the others are closed
        state: 0o711, state / HOMES: 0o711, state / SOCKETS: 0o711, logs: 0o750,
        logs / CONFIRMED: 0o750,
    }  # fmt: skip
    for folder in *opened, state / SOCKETS / PAIRS:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(opened.get(folder, 0o700) if is_root else 0o700)
    if is_root:
        make_hub_users()
        for folder in logs, logs / CONFIRMED:
            shutil.chown(folder, group=BOARD_USER)
        give_back_homes(state / HOMES, pairs)


def give_back_homes(homes: Path, pairs: Iterable[str]) -> None:
    """Make the users of the homes that pairs have already, and say of all what is in the way.

    Raises: PermissionError when something is.
    """
    amiss = []
    for home in (homes / account_of(pair) for pair in sorted(pairs)):
        try:
            if os.path.lexists(home):
                make_pair_user(home.name, home)
        except PermissionError as error:
            amiss.append(str(error))
    if amiss:
        raise PermissionError("\n".join(amiss))


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
    python = Path(sys.executable).resolve()
    for needed in ROOT, Path(sys.prefix), python:
        for path in [*reversed(needed.parents), needed]:
            asked = 0o005 if path == needed else 0o001  # to read it; on the way there, to pass
            if path.stat().st_mode & asked != asked:
                cure = f"Move {needed} to a folder that everybody may read, such as /opt."
                if needed == python:
                    cure = (
                        "Remove .venv, and make it with a Python that everybody may run: "
                        "make hub PYTHON=/usr/bin/python3"
                    )
                return (
                    f"{path} is closed to the system users of the pairs, so their servers could "
                    f"not start. {cure}"
                )
    return f"A system user of a pair could not start the workbook: {said}"
