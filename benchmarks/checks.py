"""Time the checks, each beside what it is measured against; `make bench` runs this.

Absolute times say little: read the ratios (docs/benchmarks.md).
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from timing import compared, parser_for

from reimpl_helpers.authoring.solved import STABLE, write_finished
from reimpl_helpers.checks.diagnosis import first_difference
from reimpl_helpers.checks.verdict import judge
from reimpl_helpers.pair.store import Store
from reimpl_helpers.scoring.score import Scorer, mistakes_of
from reimpl_helpers.scoring.testing import in_one_session
from reimpl_helpers.tracks.track import Track

TRACK = "autoencoder"  # the checks are the same in every track


def score_beside_a_process(store, rounds, share):
    """Time a score, and one run of the same suite in a process of plain pytest.

    Of the mistakes one in so many is made: the `share`.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(store.folder)]
    texts, found = store.texts(), []

    def score():
        mistakes = mistakes_of(store, texts)[::share]
        scorer = Scorer(store, store.completed(texts), mistakes)
        found[:] = in_one_session(texts["test_model"], store.folder, scorer.score).findings

    def process():
        subprocess.run(command, capture_output=True, check=True)

    seconds = compared({"process": process}, rounds) | compared({"score": score}, 1)
    each = seconds["score"] / len(found)
    print(
        f"{TRACK}, step {store.track.step}: {len(found)} mistakes, {1e3 * each:.1f} ms each; "
        f"a process of pytest {1e3 * seconds['process']:.0f} ms: "
        f"{seconds['process'] / each:.0f} times"
    )


def verdict_beside_computing(track, piece, rounds):
    """Time the verdict on a right piece, and the same questions put to it and no more."""
    given, cases = track.given(piece), track.cases(piece)

    def compute():
        for case in cases:
            case.part(case.call(given, *case.args))

    def verdict():
        assert judge(piece, given, cases).right

    with np.errstate(all="ignore"):
        seconds = compared({"verdict": verdict, "computing": compute}, rounds)
    print(
        f"{piece.name}: verdict {1e3 * seconds['verdict']:.1f} ms, "
        f"{seconds['verdict'] / seconds['computing']:.1f} times its computing"
    )


def first_difference_found(track, piece, rounds):
    """Time the search for the line where a wrong version of a piece leaves the original."""
    probe = track.recording.probes["ordinary"]
    (case,) = (case for case in track.cases(piece) if case.probe == "ordinary")
    given = track.given(piece)

    def search():
        assert first_difference(probe, case.expected, case.call, wrong, case.args)

    def wrong(*args):
        return np.sin(given(*args))

    seconds = compared({"search": search}, rounds)
    print(f"{piece.name}: first difference found in {1e3 * seconds['search']:.0f} ms")


def main():
    short = parser_for(__doc__).parse_args().short
    os.environ.update(STABLE)
    track = Track(TRACK, 1)
    for piece in track.pieces:
        if piece.step == 1 and piece.module == "model":
            rounds = 1 if short else 9
            verdict_beside_computing(track, piece, rounds)
            if piece.name != "nn_layer":  # the original has no line of its own for it
                first_difference_found(track, piece, rounds)
    for step in (4,) if short else (4, 5):
        with tempfile.TemporaryDirectory() as scratch:
            store = Store(Track(TRACK, step), Path(scratch) / TRACK)
            write_finished(store)
            rounds, share = (1, 20) if short else (3, 1)
            score_beside_a_process(store, rounds, share)
    sys.stdout.flush()
    os._exit(0)  # JAX may still compile a mistake that was given up: ending Python would crash


if __name__ == "__main__":
    main()
