"""What a pair made outlives kills, full disks, damaged files, and whoever writes beside them."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from test_log import HOSTILE
from test_workbook import ENCODER, NN_LAYER, Pair

from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.checks.verdict import RIGHT, Verdict
from reimpl_helpers.judge import pieces
from reimpl_helpers.lab.copies import copy_work, restore_work
from reimpl_helpers.pair.log import Log
from reimpl_helpers.texts import package
from reimpl_helpers.workbook import start

TESTS = Path(__file__).parents[1]
needs_limits = pytest.mark.skipif(os.name == "nt", reason="Windows has no fork and no such limits")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Check two pieces once for all tests; return the folder that they are saved to."""
    with pytest.MonkeyPatch.context() as patch:
        work = tmp_path_factory.mktemp("saved") / "work"
        patch.setenv("REIMPL_WORK", str(work))
        patch.delenv("REIMPL_PAIR", raising=False)
        pair = Pair(work)
        assert pair.check(NN_LAYER).right and pair.check(ENCODER).right
    return work


@pytest.fixture
def pair(saved, tmp_path, monkeypatch):
    monkeypatch.setenv("REIMPL_WORK", str(tmp_path / "work"))
    monkeypatch.delenv("REIMPL_PAIR", raising=False)
    shutil.copytree(saved, tmp_path / "work")
    pair = Pair(tmp_path / "work")
    pair.notebook.run(NN_LAYER)
    pair.notebook.run(ENCODER)
    return pair


@pytest.fixture
def called_right(monkeypatch):
    """Let every piece be right without being judged, where it is tried how it is saved."""
    monkeypatch.setattr(
        pieces, "judge_piece", lambda track, piece, function: Verdict(piece.label, RIGHT)
    )


def lost(pair, before, events):
    """Count the files that are not as they were, and the events that are gone."""
    now = pair.files()
    kept = Log(pair.work).read()
    return sum(now.get(name) != before[name] for name in before), sum(e not in kept for e in events)


# --- kills ---

# Saves a piece for each number read, and is killed when that many lines of files.py and log.py
# have run that write: between any two of them. It is called right, and not judged each time.
SAVE_UNTIL_KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_workbook import ENCODER, NN_LAYER, Pair
from reimpl_helpers.checks.verdict import RIGHT, Verdict
from reimpl_helpers.judge import pieces
pieces.judge_piece = lambda track, piece, function: Verdict(piece.label, RIGHT)

def kill_at(count):
    left = [count]
    def trace(frame, event, argument):
        home, name = Path(frame.f_code.co_filename), frame.f_code.co_name
        ours = home.parts[-3:-1] in (("reimpl_helpers", "base"), ("reimpl_helpers", "pair"))
        ours = ours and home.name in ("files.py", "log.py")
        reads = name in ("read", "event_of", "fits") or name.endswith(("comp>", "expr>"))
        if ours and not reads:
            left[0] -= event == "line"
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return trace
    sys.settrace(trace)

pair = Pair(Path(sys.argv[1]))
pair.notebook.run(NN_LAYER)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        kill_at(int(line))
        verdict = pair.check(ENCODER.replace("Ours", f"Version {line.strip()}"))
        os._exit(not verdict.right)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.slow
@needs_limits
def test_killed_between_any_two_lines_that_save(pair, fault):
    command = [sys.executable, "-c", SAVE_UNTIL_KILLED, str(pair.work), str(TESTS)]
    whole, status = re.sub("Ours", "", pair.text()), -9
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        for count in range(1, 1000):
            events = Log(pair.work).read()
            process.stdin.write(f"{count}\n")
            process.stdin.flush()
            status = int(process.stdout.readline())
            is_whole = re.sub(r"Version \d+|Ours", "", pair.text()) == whole
            fault(int(not is_whole), lost(pair, {}, events)[1])
            if status != -9:
                break
        process.stdin.close()
    assert status == 0 and count > 50, "it was saved in the end"
    assert pair.check(ENCODER).right, "and it goes on"


# --- the log ---


def test_a_log_cut_anywhere_keeps_what_is_before(pair, fault):
    log, before = Log(pair.work), pair.files()
    log.path.unlink()
    for step in range(3):
        log.append("start", track="autoencoder", step=step)
    whole, events = log.path.read_bytes(), log.read()
    for cut in range(len(whole) + 1):
        log.path.write_bytes(whole[:cut])
        Log(pair.work).append("start", track="gnn", step=9)
        kept = [e for e in events if json.dumps(e).encode() in whole[:cut]]
        fault(*lost(pair, before, kept))


@pytest.mark.slow(but=4)
@pytest.mark.parametrize("line", HOSTILE, ids=lambda line: repr(line[:30]))
def test_a_hostile_line_in_the_log_costs_nothing(pair, called_right, fault, line):
    log, before = Log(pair.work), pair.files()
    events = log.read()
    with log.path.open("ab") as file:
        file.write(line + b"\n")
    assert pair.check(NN_LAYER).right
    assert restore_work() is not None
    fault(*lost(pair, before, events))


def test_writers_at_once_lose_no_event_and_no_piece(pair, fault):
    before, writers = pair.files(), 6

    def write(number):
        for step in range(20):
            assert Log(pair.work).append("start", track=f"{number}", step=step)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = [(e["track"], e["step"]) for e in Log(pair.work).read() if e["event"] == "start"]
    wanted = {(f"{number}", step) for number in range(writers) for step in range(20)}
    fault(lost(pair, before, [])[0], len(wanted - set(events)))


SAVE_ONE = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import test_workbook
from reimpl_helpers.texts import package

def slow(files, replace=package.replace_files):  # so that the other one comes in between
    time.sleep(0.02)
    replace(files)

package.replace_files = slow
pair = test_workbook.Pair(Path(sys.argv[1]))
pair.notebook.run(test_workbook.NN_LAYER)
cell = test_workbook.ENCODER
if sys.argv[3] == "decoder":
    for ours, theirs in (
        ("encoder", "decoder"), ("enc_", "dec_"), ("dec_code", "dec_pixels"),
        ("x,", "z,"), ("x)", "z)"), ("tanh", "sigmoid"),
    ):
        cell = cell.replace(ours, theirs)
print("ready", flush=True)
sys.stdin.readline()
for number in range(10):
    version = f"Ours, {sys.argv[3]}, {number}"
    verdict = pair.check(cell.replace("Ours", version))
    assert verdict.right or "was changed while" in str(verdict), verdict
    time.sleep(0.04)
    assert version in pair.text() or not verdict.right, "saved, and then written over"
while not pair.check(cell).right:
    pass
"""


@pytest.mark.slow
def test_two_kernels_that_save_at_once_keep_both_pieces(pair, fault):
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", SAVE_ONE, str(pair.work), str(TESTS), name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for name in ("encoder", "decoder")
    ]  # fmt: skip
    for writer in writers:
        writer.stdout.readline()
    for writer in writers:
        writer.stdin.write(b"go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=90)
        assert writer.returncode == 0
    texts = pair.store.texts()
    names = ("nn_layer", "encoder", "decoder")
    fault(sum(not pair.store.is_own(name, texts) for name in names), 0)


# --- no room, no right ---

FULL = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_workbook import ENCODER, NN_LAYER, Pair
pair = Pair(Path(sys.argv[1]))
pair.notebook.run(NN_LAYER)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
verdict = pair.check(ENCODER.replace("Ours", "Ours, " + "longer " * 2000))
print(verdict)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log = pair.workbook.log
print(len(log.waiting), log.append("start", track="autoencoder", step=1))
"""


@pytest.mark.slow(but=1)
@needs_limits
@pytest.mark.parametrize("room", [0, 1, 100, 1000, 4000, 9000])
def test_a_full_disk_costs_nothing(pair, fault, room):
    before, events = pair.files(), Log(pair.work).read()
    command = [sys.executable, "-c", FULL, str(pair.work), str(TESTS), str(room)]
    said = subprocess.check_output(command, text=True, timeout=90).splitlines()
    assert "cannot be written" in said[0] and "File too large" in said[0]
    assert said[1].endswith("True"), "once there is room, what waited is written"
    checks = [e for e in Log(pair.work).read() if e["event"] == "check"]
    assert len(checks) == 3, "the attempt that found no room is in the log as well"
    fault(*lost(pair, before, events))


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_fails_costs_nothing(pair, fault, monkeypatch, call):
    before, events = pair.files(), Log(pair.work).read()

    def fail(*args):
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        assert "Read-only file system" in str(pair.check(ENCODER.replace("Ours", "Newer")))
    fault(*lost(pair, before, events))


# --- notebooks ---

DAMAGES = {
    "emptied": lambda text: "",
    "cut": lambda text: text[: len(text) // 2],
    "marked": lambda text: text.replace('"cells"', '<<<<<<< ours\n"cells"', 1),
    "without cells": lambda text: json.dumps({**json.loads(text), "cells": []}),
    "doubled": lambda text: json.dumps(
        {**json.loads(text), "cells": json.loads(text)["cells"] * 2}
    ),
    "nulls": lambda text: "\0" * len(text),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_notebook_gets_every_solved_piece_back(pair, fault, damage):
    copy_work()
    path = pair.folder / "01_forward_pass.ipynb"
    path.write_text(DAMAGES[damage](path.read_text("utf-8")), "utf-8")
    events = Log(pair.work).read()
    modules = {name: content for name, content in pair.files().items() if name.endswith(".py")}
    restore_work()
    cells = json.loads(path.read_text("utf-8"))["cells"]
    held = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    missing = sum(held.count(text.rstrip()) != 1 for text in (NN_LAYER, ENCODER))
    files_lost, events_lost = lost(pair, modules, events)
    fault(files_lost + missing, events_lost)


# --- another place ---


def test_work_that_is_moved_goes_on(pair, fault, monkeypatch, tmp_path):
    copy_work()
    before, events = pair.files(), Log(pair.work).read()
    shutil.move(pair.work, tmp_path / "another machine")
    monkeypatch.setenv("REIMPL_WORK", str(tmp_path / "another machine"))
    moved = Pair(tmp_path / "another machine")
    fault(*lost(moved, before, events))
    assert moved.store.is_own("encoder", moved.store.texts())
    moved.notebook.run(NN_LAYER)
    assert moved.check(ENCODER.replace("Ours", "Here")).right
    assert restore_work()


# --- out of bounds ---

HOSTILE_PATHS = [
    "../model", "../../model", "../../../../etc/passwd", "/etc/passwd", "//etc/passwd", "~/model",
    "~root/x", "model.py/../../x", "./model", "..", ".", "...", "..\\..\\model", "C:\\model",
    "C:/model", "\\\\host\\share", "file:///etc/passwd", "%2e%2e/model", "..%2fmodel", "..%5cmodel",
    "%00", "model\0.py", "model\n", "model\r\n", " ../model", "../model ", "－/model", "․․/model",
    "$HOME/model", "${HOME}", "`id`", "$(id)", ";id", "|id", "&& id", "con", "nul", "aux.py",
    "model.py:stream", "a" * 5000, "🙂/../x", "model/../../x", ".git/config", ".lab/open.lock",
]  # fmt: skip


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if "work" not in path.relative_to(folder).parts[:1]
    }


@pytest.mark.slow(but=4)
@pytest.mark.parametrize("path", HOSTILE_PATHS, ids=lambda path: repr(path[:30]))
def test_saving_never_leaves_the_pairs_folder(pair, tmp_path, path):
    (tmp_path / "model.py").write_text("outside")
    outside, inside = tree(tmp_path), set(pair.files())
    for name in (path, f"test_{path}", f"encoder__{path}"):
        function = pair.notebook["encoder"]
        renamed = type(function)(function.__code__, function.__globals__, name)
        for save in (pair.workbook.check, pair.workbook.add_mistake):
            try:
                assert not getattr(save(renamed), "right", False)
            except (WorkbookError, package.PackageError) as error:
                assert str(error)
    with pytest.raises(WorkbookError):
        start(path, 1)
    (pair.folder / ".track").write_text(path, "utf-8", errors="surrogatepass")
    assert tree(tmp_path) == outside
    assert set(pair.files()) - inside <= {".track"}


@pytest.mark.parametrize("which", ["the folder", "the module"])
def test_nothing_is_saved_through_a_link(tmp_path, which):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "model.py").write_text("theirs = 1\n")
    pair = Pair(tmp_path / "work")
    pair.work.mkdir()
    if which == "the folder":
        pair.folder.symlink_to(elsewhere, target_is_directory=True)
    else:
        pair.folder.mkdir()
        (pair.folder / "model.py").symlink_to(elsewhere / "model.py")
    assert "nothing is saved through links" in str(pair.check(NN_LAYER))
    assert (elsewhere / "model.py").read_text() == "theirs = 1\n"
