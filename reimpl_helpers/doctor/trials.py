"""Try what a pair will do, one thing in one process: say in the last line what was seen.

Exit status 1 where it does not work. `reimpl doctor` starts these, and bounds their time.
"""

import contextlib
import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

PATIENCE = 60  # seconds that one answer may take


class TrialFailed(Exception):
    """Something that does not work, and what was seen instead."""


def saving(folder: Path) -> str:
    """Write a file whole, and keep a second writer waiting."""
    from filelock import FileLock, Timeout

    from reimpl_helpers.base.files import locked, replace_file

    replace_file(folder / "file", b"old")
    replace_file(folder / "file", b"new")
    with locked(folder):
        try:
            with FileLock(folder / ".lock", timeout=0):
                raise TrialFailed("two programs hold the lock of one folder at the same time")
        except Timeout:
            pass
    if (folder / "file").read_bytes() != b"new":
        raise TrialFailed("a file that was replaced still holds what it held before")
    return "a file is replaced whole, and a second writer waits"


def jax(folder: Path) -> str:
    """Compile and run one function, in both precisions."""
    import jax
    import numpy as np

    x = np.linspace(-1, 1, 12).reshape(3, 4)
    for bits in (32, 64):
        with jax.enable_x64(bits == 64):
            seen = jax.jit(lambda x: jax.numpy.tanh(x @ x.T))(x.astype(f"float{bits}"))
            if seen.dtype != f"float{bits}" or not np.allclose(seen, np.tanh(x @ x.T), atol=1e-5):
                raise TrialFailed(f"JAX computes {seen} of type {seen.dtype}, which is wrong")
    return f"computes in float32 and float64, compiled, on the {jax.devices()[0].platform.upper()}"


def picture(folder: Path) -> str:
    """Draw a curve with words on it."""
    import matplotlib
    import numpy as np

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(layout="constrained")
    axes.set_title("a title")
    drawn = []
    for _ in range(2):
        png = io.BytesIO()
        figure.savefig(png, format="png")
        drawn.append(pyplot.imread(io.BytesIO(png.getvalue())))
        axes.plot([0, 1], [1, 0])
    if not np.ptp(drawn[0]) or np.array_equal(*drawn):
        raise TrialFailed("Matplotlib draws an empty picture")
    return "Matplotlib draws a curve with words"


@contextlib.contextmanager
def running_kernel(folder: Path):
    """Start a kernel as the lab does; hand out what runs a cell and returns what it prints."""
    from jupyter_client import KernelManager

    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    manager, said = KernelManager(kernel_name="python3"), folder / "kernel.txt"
    with said.open("wb") as errors:
        manager.start_kernel(cwd=str(folder), stdout=errors, stderr=errors)
    client = manager.blocking_client()
    client.start_channels()
    try:
        wait_for_kernel(client, manager, said)
        yield lambda cell: result_of(client, cell)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def wait_for_kernel(client, manager, said: Path) -> None:
    """Wait until a kernel answers.

    Raises: TrialFailed with its last words when it does not.
    """
    try:
        client.wait_for_ready(timeout=PATIENCE)
    except RuntimeError as error:
        words = said.read_text("utf-8", "replace").strip().splitlines() or [str(error)]
        state = "gives no answer" if manager.is_alive() else "ends at once"
        raise TrialFailed(f"the kernel {state}: {words[-1]}") from error


def result_of(client, cell: str) -> str:
    """Run a cell, and return what it prints.

    Raises: TrialFailed when it fails, or takes too long.
    """
    printed = []

    def hear(message):
        if message["msg_type"] == "stream":
            printed.append(message["content"]["text"])

    try:
        reply = client.execute_interactive(
            cell, allow_stdin=False, store_history=False, timeout=PATIENCE, output_hook=hear
        )["content"]
    except TimeoutError as error:
        raise TrialFailed(f"a cell gives no answer within {PATIENCE} seconds") from error
    if reply["status"] != "ok":
        raise TrialFailed(f"a cell fails: {reply['ename']}: {reply['evalue']}")
    return "".join(printed).strip()


def kernel(folder: Path) -> str:
    """Start a kernel, and ask it what 1 + 1 is and where it lives."""
    start = time.monotonic()
    with running_kernel(folder) as result:
        answer, prefix = result("import sys; print(1 + 1, sys.prefix, sep='\\n')").splitlines()
    if answer != "2":
        raise TrialFailed(f"the kernel says that 1 + 1 is {answer}")
    if not os.path.samefile(prefix, sys.prefix):
        raise TrialFailed(f"the kernel is one of another Python, in {prefix}, not in {sys.prefix}")
    return f"starts and answers, in {time.monotonic() - start:.1f} seconds"


def check(folder: Path) -> str:
    """Check one piece of the first notebook as it is found, with a mistake in it, and solved."""
    from reimpl_helpers.checks.verdict import NOT_WRITTEN, RIGHT, WRONG
    from reimpl_helpers.texts import package
    from reimpl_helpers.tracks.notebooks import cells_of, notebooks_of
    from reimpl_helpers.tracks.track import Track, tracks

    track = Track(tracks()[0], 1)
    bug = next(bug for bug in track.bugs if bug.piece in track.modules)
    notebook, name = notebooks_of(track.name)[0], bug.piece
    found, solved = (
        [cell["source"] for cell in cells_of(path) if cell["cell_type"] == "code"]
        for path in (notebook, notebook.parent / "solved" / notebook.name)
    )
    stub, answer = (next(c for c in cells if f"def {name}(" in c) for cells in (found, solved))
    mistaken = package.definition_of(*track.planted(bug, in_jax=False).values(), name)
    with running_kernel(folder) as result:
        result(found[0])
        for expected, cell in {NOT_WRITTEN: stub, WRONG: mistaken, RIGHT: answer}.items():
            result(cell)
            if (seen := result(f"print(check({name}).state)")) != expected:
                raise TrialFailed(f"the check of {name} says “{seen}” where “{expected}” is true")
    return f"{name} of the {track.name}: “{NOT_WRITTEN}”, “{WRONG}” and “{RIGHT}” where it is so"


# --- two people in one notebook ---

NAMES = "Ada", "Grace"
NOTEBOOK = "00_start_here.ipynb"
TYPED = "Is anybody there?"


@contextlib.contextmanager
def running_lab():
    """Open a lab for two as a pair does, without a browser; hand out their links."""
    command = [sys.executable, "-m", "reimpl_helpers.cli", "lab", f"--pair={','.join(NAMES)}"]
    lab = subprocess.Popen(
        [*command, "--no-browser", "--port=0"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, encoding="utf-8", errors="replace",
    )  # fmt: skip
    watch = threading.Timer(PATIENCE, lab.kill)
    watch.start()
    try:
        links = links_in(lab)
        wait_until_it_listens(lab, links[0])
        yield links
    finally:
        watch.cancel()
        lab.kill()  # what it wrote goes with the trial's folder
        lab.wait()
        lab.stdout.close()


def links_in(lab) -> list[str]:
    """Read the links of a lab as soon as it prints them.

    Raises: TrialFailed with its last words when it ends before.
    """
    links, said = [], ["no word"]
    while len(links) < len(NAMES):
        if not (line := lab.stdout.readline()):
            raise TrialFailed(f"the lab ends at once, or prints no links: {said[-1].strip()}")
        links += re.findall(r"http://\S+token=\w+", line)
        said += [line] if line.strip() else []
    return links


def wait_until_it_listens(lab, link: str) -> None:
    """Wait for the lab to take calls, which it does a moment after it has printed its links."""
    address = urllib.parse.urlsplit(link)
    while lab.poll() is None:  # it is stopped when this takes too long
        with contextlib.suppress(ConnectionError):
            socket.create_connection((address.hostname, address.port), PATIENCE).close()
            return
        time.sleep(0.05)
    raise TrialFailed(f"the lab prints its links, and then ends with status {lab.returncode}")


class Seat:
    """One person of the two, with their copy of the shared notebook."""

    def __init__(self, link: str):
        from jupyter_ydoc import YNotebook

        self.address, _, rest = link.partition("lab/")
        self.token = rest.partition("token=")[2]
        self.notebook = YNotebook()

    def ask(self, path: str, data=None, method: str = "GET"):
        """Ask the server of the lab."""
        request = urllib.request.Request(self.address + path, method=method)
        request.add_header("Authorization", f"token {self.token}")
        request.data = None if data is None else json.dumps(data).encode()
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)

    @property
    def name(self) -> str:
        return self.ask("api/me")["identity"]["display_name"]

    def sit_down(self):
        """Open the notebook, shared.

        Raises: TrialFailed when the lab shares none.
        """
        import pycrdt
        import websocket

        asked = {"format": "json", "type": "notebook"}
        try:
            session = self.ask(f"api/collaboration/session/{NOTEBOOK}", asked, "PUT")
        except urllib.error.HTTPError as error:
            raise TrialFailed(f"the lab opens, and shares no notebook: {error}") from error
        room = f"api/collaboration/room/json:notebook:{session['fileId']}"
        address = self.address.replace("http", "ws", 1) + room
        keys = f"sessionId={session['sessionId']}&token={self.token}"
        self.socket = websocket.create_connection(f"{address}?{keys}", timeout=PATIENCE)
        self.socket.send_binary(pycrdt.create_sync_message(self.notebook.ydoc))

    @property
    def first_cell(self) -> str:
        return str(self.notebook.ycells[0]["source"]) if self.notebook.cell_number else ""

    def wait_for(self, text: str):
        """Take in what others do, until the first cell holds a text.

        Raises: TrialFailed when it never does.
        """
        import pycrdt
        import websocket

        end = time.monotonic() + PATIENCE
        while text not in self.first_cell or not self.first_cell:
            try:
                self.socket.settimeout(max(0.01, end - time.monotonic()))
                message = self.socket.recv()
            except websocket.WebSocketTimeoutException as error:
                raise TrialFailed("what one of the two types does not reach the other") from error
            if isinstance(message, bytes) and message[:1] == bytes([pycrdt.YMessageType.SYNC]):
                if reply := pycrdt.handle_sync_message(message[1:], self.notebook.ydoc):
                    self.socket.send_binary(reply)

    def write(self, text: str):
        """Type into the first cell."""
        import pycrdt

        before = self.notebook.ydoc.get_state()
        self.notebook.ycells[0]["source"].insert(0, text)
        update = self.notebook.ydoc.get_update(before)
        self.socket.send_binary(pycrdt.create_update_message(update))


def collaboration(folder: Path) -> str:
    """Let two people into one notebook; what one types, the other is to see."""
    os.environ["no_proxy"] = "*"  # a proxy elsewhere knows nothing of this machine
    with running_lab() as links, contextlib.ExitStack() as stack:
        ada, grace = seats = [Seat(link) for link in links]
        if (names := tuple(seat.name for seat in seats)) != NAMES:
            raise TrialFailed(
                f"the links of {' and '.join(NAMES)} are those of {' and '.join(names)}"
            )
        for seat in seats:
            seat.sit_down()
            stack.callback(seat.socket.close)
            seat.wait_for("")
        ada.write(TYPED)
        grace.wait_for(TYPED)
    return "the lab lets two in by name, and what one types, the other sees"


TRIALS = {trial.__name__: trial for trial in (saving, jax, picture, kernel, check, collaboration)}


def main(name: str, folder: str) -> int:
    """Make one trial in a folder of its own."""
    status, said = 1, ""
    try:
        status, said = 0, TRIALS[name](Path(folder))
    except TrialFailed as seen:
        said = str(seen)
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    print(" ".join(said.split()))
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
