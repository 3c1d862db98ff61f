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
    """Run one command; return its exit status: 0 all right, 1 something is not, 2 a bad call."""
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
    add(solved, "run the notebooks and build the solved ones (for authors)")
    track = add(record, "record what an original computes (for authors; needs PyTorch)")
    track.add_argument("tracks", metavar="TRACK", nargs="*", help="all of them if none is named")
    return parser


def work(options) -> int:
    """Copy the notebooks to the pair's folder; what is there stays as it is."""
    from reimpl_helpers.workbook import copy_work, work_folder

    copied = copy_work()
    what = f"{len(copied)} files copied; what was there is untouched" if copied else "nothing new"
    print(f"{work_folder()}: {what}.")
    return 0


def lab(options) -> int:
    """Copy the notebooks, then serve the pair's folder, and nothing else, on this machine."""
    from jupyterlab.labapp import LabApp

    from reimpl_helpers.workbook import COMPILATION_CACHE, work_folder

    work(options)
    os.environ.update(COMPILATION_CACHE)
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
    from reimpl_helpers.workbook import WorkbookError, track_of

    if not options.folder.is_dir():
        raise WorkbookError(
            f"{options.folder} is no folder. Name the one that holds your model.py, such as "
            "work/autoencoder."
        )
    track_of(options.folder)
    verdicts = []
    for verdict in verdicts_on(options.folder):
        verdicts.append(verdict)
        print(verdict["text"], flush=True)
    right = sum(verdict["state"] == "right" for verdict in verdicts)
    print(f"{right} of {len(verdicts)} pieces right.")
    return 0 if verdicts and right == len(verdicts) else 1


def verdicts_on(folder):
    """Yield the verdicts that a fresh process gives, one piece after the other."""
    with tempfile.TemporaryDirectory() as scratch:
        results = Path(scratch) / "verdicts.jsonl"
        results.touch()
        judge = [sys.executable, "-m", "reimpl_helpers.judge", str(folder), str(results)]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        with (
            subprocess.Popen(judge, **quiet, stderr=subprocess.PIPE, text=True) as process,
            results.open(encoding="utf-8") as lines,
        ):
            try:
                yield from follow(process, lines)
            finally:
                process.kill()


def follow(process, lines):
    """Yield each verdict as it is written, until the judge says that it is done."""
    last = time.monotonic()
    while True:
        ended = process.poll() is not None
        line = lines.readline()
        if line == "done\n":
            return
        if line.endswith("\n"):
            last = time.monotonic()
            yield json.loads(line)
        elif ended or time.monotonic() - last > SILENCE:
            why = "ended before it was done" if ended else f"said nothing for {SILENCE} seconds"
            text = f"the check {why}. Does a module of yours exit, or never return?"
            yield {"state": "wrong", "text": text}
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
    from reimpl_helpers.workbook import NOTEBOOKS, load_file, tracks

    for name in options.tracks or tracks():
        path = NOTEBOOKS / name / "recording.safetensors"
        write_recording(load_file(NOTEBOOKS / name / "record.py").record(), path)
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
