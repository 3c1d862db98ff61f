"""Be a machine that serves pairs: a hub that was started as a facilitator does, and taken away."""

import contextlib
import html
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import requests
from browser import wait_for

from reimpl_helpers.base.places import ROOT
from reimpl_helpers.hub.start import why_not_readable
from reimpl_helpers.hub.state import end_what_is_left
from reimpl_helpers.hub.users import end_processes

IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
STOPS = 40  # seconds that a hub may take to stop all, where other tests keep the cores busy
STARTS = 60  # seconds


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """Make a folder that every system user may pass through: pytest's are closed.

    Take away first what a test run left that was killed: its users have the names of these.
    """
    for left in Path("/var/tmp").glob("reimpl-hub-*-*"):
        if not psutil.pid_exists(int(left.name.split("-")[2])):
            remove_users(left)
            shutil.rmtree(left)
    folder = Path(tempfile.mkdtemp(prefix=f"reimpl-hub-{os.getpid()}-", dir="/var/tmp"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        remove_users(folder)
        shutil.rmtree(folder)


def remove_users(folder: Path) -> None:
    """Take away the system users whose homes are in a folder, and all that is theirs."""
    for user in pwd.getpwall():
        if Path(user.pw_dir).is_relative_to(folder):
            end_processes(user.pw_uid)
            for left in Path(tempfile.gettempdir()).glob("reimpl-*"):  # of who was killed
                if left.stat().st_uid == user.pw_uid:
                    shutil.rmtree(left)
            subprocess.run(["userdel", user.pw_name], check=True, capture_output=True)


def readable_venv(folder: Path) -> Path:
    """Find a Python that every system user may run: this one, or one made here of what it has.

    Raises: FileNotFoundError when this one lies in a closed folder, and the system has none.
    """
    if not IS_ROOT or not why_not_readable():
        return Path(sys.executable)
    name = f"python3.{sys.version_info.minor}"
    if not (found := shutil.which(name, path="/usr/bin:/usr/local/bin")):
        raise FileNotFoundError(f"{sys.executable} is in a closed folder; there is no other {name}")
    venv = folder / "venv"
    subprocess.run([found, "-m", "venv", "--without-pip", venv], check=True)
    packages = Path("lib", name, "site-packages")
    paths = f"{ROOT}\n{Path(sys.prefix) / packages}\n"
    (venv / packages / "workbook.pth").write_text(paths)
    for part in "etc", "share", "proxy":
        (venv / part).symlink_to(Path(sys.prefix) / part)
    return venv / "bin/python"


def free_port() -> int:
    """Find a port that nobody listens on, with two more behind it, which some deployments take."""
    first = 18000 + os.getpid() % 1000 // 3 * 3  # two who look at once begin at two places
    for port in [*range(first, 19000, 3), *range(18000, first, 3)]:
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for offset in range(3):
                taken = stack.enter_context(socket.socket())
                taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                taken.bind(("127.0.0.1", port + offset))
            return port
    raise OSError("no three ports in a row are free")


class Hub:
    """A hub on a folder of its own, with the system users that it makes."""

    def __init__(self, folder: Path, python: Path):
        self.folder, self.python, self.process = folder, python, None
        self.state, self.roster = folder / "hub", folder / "roster.csv"

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def said(self) -> str:
        """Return what the hub printed since it was last started."""
        return self.log.read_text()

    def start(self, roster: str, port: int | None = None, user: int | None = None):
        """Start with a roster, as a table, and wait until the hub answers."""
        self.roster.write_text(roster)
        self.port = port or free_port()
        self.log = self.folder / f"log{time.monotonic_ns()}"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                self.command(trusted=bool(user) or not IS_ROOT), cwd=self.folder,
                env=os.environ | {"REIMPL_HUB": str(self.state)}, stdout=log,
                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
                **({"user": user, "group": user, "extra_groups": []} if user else {}),
            )  # fmt: skip
        wait_for(self.answers, STARTS, "the hub's answer")
        return self

    def command(self, trusted: bool) -> list:
        """Say how this hub is started."""
        command = [self.python, "-P", "-m", "reimpl_helpers.cli", "hub", self.roster]
        return [*command, f"--port={self.port}", *(["--trusted"] if trusted else [])]

    def answers(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the hub ended: {self.said}")
        try:
            with urllib.request.urlopen(f"{self.address}/hub/health", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    @property
    def codes(self) -> dict[str, str]:
        """Read everybody's code from the sheets that are to be printed."""
        cards = "".join(p.read_text("utf-8") for p in sorted(self.state.glob("sheet-*.html")))
        found = re.findall(r"<h2>(.*?)</h2>.*?class=\"code\">(.*?)</b>", cards, re.S)
        return {html.unescape(name): code for name, code in found}

    def work(self, pair: str) -> Path:
        """Return the folder of a pair's notebooks."""
        return self.state / "homes" / f"pair-{pair}" / "work"

    def stop(self, seconds: float = STOPS):
        """Stop as a facilitator does, by Ctrl-C; kill whatever is left, and say so."""
        if self.process is None or self.process.poll() is not None:
            return
        os.killpg(self.process.pid, signal.SIGINT)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise AssertionError(f"the hub did not stop within {seconds:g} seconds") from error

    def kill(self):
        """End the hub at once, and what started it."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Visitor(requests.Session):
    """Somebody at a browser without a screen: logs in at a hub, and goes where it leads."""

    def __init__(self, hub: Hub, name: str):
        super().__init__()
        self.hub, self.name = hub, name

    def log_in(self, code: str | None = None, then: str = "") -> requests.Response:
        """Fill in the form, with the code from the card if no other is given; go on to a page."""
        login = f"{self.hub.address}/hub/login?next={then}"
        self.get(login, timeout=STARTS)
        given = {"username": self.name, "password": code or self.hub.codes[self.name]}
        given["_xsrf"] = self.cookies.get("_xsrf", path="/hub/")
        return self.post(login, data=given, timeout=STARTS)

    def enter(self) -> str:
        """Log in and wait for the pair's server; return its address."""
        page = self.log_in()

        def inside():
            nonlocal page
            if "/user/" not in page.url:
                time.sleep(0.5)  # a browser is told; who asks without a pause keeps the hub busy
                page = self.get(self.hub.address, timeout=STARTS)
            return "/lab/" in page.url

        wait_for(inside, 2 * STARTS, f"the lab of {self.name}, but {page.url}")
        return page.url.partition("/lab/")[0]


@contextlib.contextmanager
def hub_machine() -> Iterator[Hub]:
    """Offer a hub that is not started yet; stop it, and leave nothing of it behind."""
    with open_folder() as folder:
        hub = Hub(folder, readable_venv(folder))
        try:
            yield hub
        finally:
            try:
                hub.stop()
            finally:
                end_what_is_left(hub.state)
