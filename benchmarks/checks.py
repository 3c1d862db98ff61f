"""Time what must feel quick, each beside what it is measured against; `make bench` runs this.

Absolute times say little: read the ratios (docs/benchmarks.md).
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from reimpl_helpers import package
from reimpl_helpers.checks import judge
from reimpl_helpers.diagnosis import first_difference
from reimpl_helpers.notebooks import STABLE
from reimpl_helpers.workbook import Track

TRACK = "autoencoder"  # the checks are the same in every track


def seconds(function, times=1):
    """Return the median time of some calls."""
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        spent.append(time.perf_counter() - start)
    return statistics.median(spent)


def pair_at(name, step, folder):
    """Make a pair that has finished a step with the workbook's pieces."""
    track, texts = Track(name, folder / f"step_{step}" / name, step), {}
    for piece in track.pieces:
        if piece.module and piece.step <= step:
            texts = track.with_piece(texts, track.given(piece))
    package.write_texts(track.folder, texts, {})
    return track


def score_against_processes(track):
    """Score a suite, and run the same suite once in a process of plain pytest."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(track.folder)]
    process, whole = [], []
    for _ in range(3):
        process.append(seconds(lambda: subprocess.run(command, capture_output=True, check=True)))
        whole.append(seconds(track.score))
    count = len(track.score().findings)
    return statistics.median(process), statistics.median(whole) / count, count


def verdict_against_computing(track, piece):
    """Judge a right piece, and only put the same questions to it."""
    given, cases = track.given(piece), list(piece.cases(track.recording))

    def compute():
        for case in cases:
            case.part(case.call(given, *case.args))

    with np.errstate(all="ignore"):
        return seconds(compute, 9), seconds(lambda: judge(piece, given, track.recording), 9)


def first_difference_of(track, piece):
    """Find where a wrong version of a piece leaves the original."""
    probe = track.recording.probes["ordinary"]
    (case,) = (case for case in piece.cases(track.recording) if case.probe == "ordinary")

    def wrong(*args):
        return np.sin(track.given(piece)(*args))

    return seconds(lambda: first_difference(probe, case.expected, case.call, wrong, case.args), 5)


def main():
    os.environ.update(STABLE)
    with tempfile.TemporaryDirectory() as scratch:
        for step in (4, 5):
            track = pair_at(TRACK, step, Path(scratch))
            process, per_mistake, count = score_against_processes(track)
            print(
                f"{TRACK}, step {step}: {count} mistakes, {1e3 * per_mistake:.1f} ms each; a "
                f"process of pytest {1e3 * process:.0f} ms: {process / per_mistake:.0f} times"
            )
        track = pair_at(TRACK, 1, Path(scratch))
        for piece in track.pieces:
            if piece.step == 1 and piece.module == "model":
                computing, verdict = verdict_against_computing(track, piece)
                print(
                    f"{piece.name}: verdict {1e3 * verdict:.1f} ms, "
                    f"{verdict / computing:.1f} times its computing"
                )
                if piece.name != "nn_layer":
                    found = first_difference_of(track, piece)
                    print(f"{piece.name}: first difference found in {1e3 * found:.0f} ms")


if __name__ == "__main__":
    main()
