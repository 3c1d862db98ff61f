"""Have what pairs claim confirmed, one pair at a time: what the hub runs beside their servers.

What a pair wrote runs as a user who may do nothing else, and all that it starts ends with it.
"""

import contextlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from reimpl_helpers.base.files import scratch_folder
from reimpl_helpers.board.confirm import confirmed_in, keep, parse_judgements
from reimpl_helpers.board.logs import Files, package_in
from reimpl_helpers.hub.launch import bound
from reimpl_helpers.hub.roles import account_of
from reimpl_helpers.hub.service import serve
from reimpl_helpers.hub.users import JUDGE_USER, end_processes
from reimpl_helpers.tracks.track import tracks

EVERY = 3  # seconds
PATIENCE = 600  # seconds for all that is new of one pair, as the others wait
LESS = 120  # for a pair that took longer than this, until it does not
LONGEST = 1_000_000  # bytes of what is judged of one pair


class Confirmer:
    """Judge the logs in a folder as they change; what is judged is kept beside them."""

    def __init__(self, homes: Path, logs: Path):
        self.homes, self.logs, self.looked_at = homes, logs, {}
        self.patience = defaultdict(lambda: PATIENCE)  # by pair

    def confirm(self) -> None:
        """Look at every log that changed since the last look; who took long comes last."""
        logs = self.logs.glob("*.jsonl")
        for path in sorted(logs, key=lambda path: (-self.patience[path.stem], path)):
            with contextlib.suppress(FileNotFoundError):  # its pair left the roster
                mark = path.stat().st_ino, path.stat().st_mtime_ns
                if self.looked_at.get(path.stem) != mark:
                    self.looked_at[path.stem] = mark
                    self.judge(path)

    def judge(self, path: Path) -> None:
        """Judge what is new in a log, and keep what comes of it."""
        pair, known = path.stem, confirmed_in(self.logs).get(path.stem, {})
        packages, log, began = self.packages_of(pair), path.read_bytes(), time.monotonic()
        found = judged_apart(log, packages, known, self.patience[pair])
        self.patience[pair] = PATIENCE if time.monotonic() - began < LESS else LESS
        if found:
            keep(self.logs, pair, known | found)

    def packages_of(self, pair: str) -> dict[str, Files]:
        """Read what a pair saved, of each track."""
        home = Path(account_of(pair))
        owner = os.stat(self.homes / home, follow_symlinks=False).st_uid
        return {track: package_in(self.homes, home / "work" / track, owner) for track in tracks()}


def judged_apart(
    log: bytes, packages: dict[str, Files], known: dict, patience: float
) -> dict[str, dict]:
    """Judge a log's new claims in a process of another user; return what it said in time.

    Units: patience in seconds
    """
    asked = {
        "log": log.decode("utf-8", errors="replace"),
        "packages": {
            track: {name: content.decode("latin-1") for name, content in files.items()}
            for track, files in packages.items()
        },
        "judged": known,
    }
    is_root = os.geteuid() == 0
    other = {"user": JUDGE_USER, "group": JUDGE_USER, "extra_groups": []} if is_root else {}
    with tempfile.TemporaryFile() as said, scratch_folder() as scratch:
        if is_root:
            shutil.chown(scratch, JUDGE_USER)
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "reimpl_helpers.hub.judge"],
            stdin=subprocess.PIPE, stdout=said, stderr=subprocess.DEVNULL, cwd="/",
            # no token of the hub's
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TMPDIR": str(scratch)},
            start_new_session=True, preexec_fn=lambda: bound(is_root, yields=19), **other,
        )  # fmt: skip
        with process:
            try:
                process.communicate(json.dumps(asked).encode(), timeout=patience)
            except (subprocess.TimeoutExpired, BrokenPipeError):
                pass
            finally:
                end_all(process)
        said.seek(0)
        return judgements_in(said.read(LONGEST))


def judgements_in(said: bytes) -> dict[str, dict]:
    """Read what the judge said line by line, up to where it was ended."""
    found = {}
    for line in said.splitlines():
        found |= parse_judgements(line)
    return found


def end_all(process: subprocess.Popen) -> None:
    """End a process and what it started, also what left its session where the user is its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    if os.geteuid() == 0:
        end_processes(pwd.getpwnam(JUDGE_USER).pw_uid)


def main(homes: str, logs: str) -> None:
    """Confirm again and again."""
    confirmer = Confirmer(Path(homes), Path(logs))
    while True:
        confirmer.confirm()
        time.sleep(EVERY)


if __name__ == "__main__":
    serve(lambda: main(*sys.argv[1:]))
