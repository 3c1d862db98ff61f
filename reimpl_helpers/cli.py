"""The command `reimpl`."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SILENCE = 120  # seconds without a verdict after which a check is ended


def main(arguments=None) -> int:
    """Run one command; return its exit status.

    0: all right; 1: something is not; 2: a bad call; 130: stopped with Ctrl-C.
    """
    from reimpl_helpers.recording import RecordingError
    from reimpl_helpers.workbook import WorkbookError

    parser = build_parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command is not lab:
        parser.error(f"unknown arguments: {' '.join(rest)}")
    options.rest = rest
    try:
        return options.command(options)
    except (WorkbookError, RecordingError) as error:
        print(f"reimpl: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def build_parser():
    parser = argparse.ArgumentParser(
        prog="reimpl", description="Re-implement a model from its PyTorch source, in pairs."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(function, help):
        command = commands.add_parser(function.__name__, help=help, description=help)
        command.set_defaults(command=function)
        return command

    add(lab, "copy the notebooks to work/ once, and open JupyterLab there")
    add(work, "copy the notebooks to work/ where they are not there yet")
    folder = add(check, "judge a pair's package, piece by piece, in a fresh process")
    folder.add_argument("folder", metavar="DIR", type=Path, help="such as work/autoencoder")
    folder.epilog = "Exit status: 0 if every piece is right, 1 if not, 2 for a bad call."
    add(solved, "run the notebooks and build the solved ones (for authors)")
    track = add(record, "record what an original computes (for authors; needs PyTorch)")
    track.add_argument("tracks", metavar="TRACK", nargs="*", help="all of them if none is named")
    return parser


def work(options) -> int:
    """Copy the notebooks to the pair's folder; what is there stays as it is."""
    from reimpl_helpers.workbook import copy_work, work_folder

    copied = copy_work()
    what = f"{len(copied)} copied; what was there is untouched" if copied else "nothing to copy"
    print(f"{work_folder()}: {what}.")
    return 0


def lab(options) -> int:
    """Copy the notebooks, then serve the pair's folder, and nothing else, on this machine."""
    from jupyterlab.labapp import LabApp

    from reimpl_helpers.workbook import COMPILATION_CACHE, work_folder

    work(options)
    os.environ.update(COMPILATION_CACHE, REIMPL_WORK=str(work_folder()))
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # the workbook's kernel before the user's own
    tools = str(Path(sys.executable).parent)  # so that a terminal of the lab finds reimpl
    os.environ["PATH"] = os.pathsep.join([tools, os.environ.get("PATH", "")])
    arguments = [str(work_folder()), "--ip=127.0.0.1"]
    arguments += ["--LabApp.default_url=/lab/tree/00_start_here.ipynb"]
    arguments += [f"--LabApp.app_settings_dir={Path(__file__).parent / 'lab_settings'}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        print("You are root, so JupyterLab runs as root too.")
        arguments += ["--allow-root"]
    LabApp.launch_instance(arguments + options.rest)
    return 0


def check(options) -> int:
    """Judge a pair's package in a process of its own, and print a line per piece."""
    from reimpl_helpers.workbook import Track, WorkbookError, track_of

    if not options.folder.is_dir():
        raise WorkbookError(
            f"{options.folder} is no folder. Name the one that holds your model.py, such as "
            "work/autoencoder."
        )
    track = Track(track_of(options.folder), options.folder)
    sys.stdout.reconfigure(errors="replace")  # not every terminal knows every character
    right = 0
    for verdict in verdicts_on(options.folder):
        right += verdict["state"] == "right"
        print(verdict["text"], flush=True)
    count = sum(piece.module is not None for piece in track.pieces)
    print(f"{right} of {count} pieces right.")
    return 0 if right == count else 1


def verdicts_on(folder):
    """Yield the verdicts that a fresh process gives, one piece after the other."""
    from reimpl_helpers.workbook import COMPILATION_CACHE

    with tempfile.TemporaryDirectory() as scratch:
        results, said = Path(scratch) / "verdicts.jsonl", Path(scratch) / "said.txt"
        results.touch()
        # -P: nothing in the folder that this was called from hides a module of Python's
        judge = [sys.executable, "-P", "-m", "reimpl_helpers.judge", str(folder), str(results)]
        with (
            said.open("wb") as errors,
            subprocess.Popen(
                judge,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env={**COMPILATION_CACHE, **os.environ},
            ) as process,
            results.open(encoding="utf-8") as lines,
        ):
            try:
                yield from follow(process, lines, said)
            finally:
                process.kill()


def follow(process, lines, said):
    """Yield each verdict as it is written, until the judge says that it is done."""
    last, line = time.monotonic(), ""
    while True:
        ended = process.poll() is not None
        line += lines.readline()
        if line == "done\n":
            return
        if line.endswith("\n"):
            yield json.loads(line)
            last, line = time.monotonic(), ""
        elif ended or time.monotonic() - last > SILENCE:
            why = "ended before it was done" if ended else f"said nothing for {SILENCE} seconds"
            text = f"the check {why}. Does a module of yours exit, or never return?"
            last_words = said.read_text("utf-8", errors="replace").strip().splitlines()[-1:]
            yield {"state": "wrong", "text": "\n    ".join([text, *last_words])}
            return
        else:
            time.sleep(0.05)


def solved(options) -> int:
    """Run the notebooks and build the solved ones."""
    from reimpl_helpers.notebooks import refresh

    for path in refresh():
        print(path)
    return 0


def record(options) -> int:
    """Record the originals."""
    from reimpl_helpers.recording import write_recording
    from reimpl_helpers.workbook import NOTEBOOKS, WorkbookError, load_file, tracks

    unknown = set(options.tracks) - set(tracks())
    if unknown:
        raise WorkbookError(
            f"there is no track `{', '.join(unknown)}`. The tracks are: {', '.join(tracks())}."
        )
    for name in options.tracks or tracks():
        path = NOTEBOOKS / name / "recording.safetensors"
        write_recording(load_file(NOTEBOOKS / name / "record.py").record(), path)
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
