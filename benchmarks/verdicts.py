"""Time verdicts on right and on wrong answers, each in a process with nothing compiled yet.

    python benchmarks/verdicts.py [track ...] [--step 5] [--every 7] [--short]

Every answer is judged by `track.check` in a process that has done what a notebook has by then, and
with an empty compilation cache. Read the processor's seconds where other work runs beside.
"""

import inspect
import json
import linecache
import os
import sys
import tempfile
import textwrap
import time
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from timing import parser_for

from reimpl_helpers.authoring import check_track
from reimpl_helpers.base.compiling import COMPILATION
from reimpl_helpers.checks.verdict import RIGHT
from reimpl_helpers.pair.store import Store
from reimpl_helpers.tracks.track import Track, tracks
from reimpl_helpers.workbook import Workbook

os.environ.update(COMPILATION)  # as a kernel of `reimpl lab` has it

import jax  # noqa: E402
import optax  # noqa: E402, F401  the notebook of step 5 has imported it by its first check

EVENTS = {  # what JAX reports the seconds of
    "/jax/core/compile/jaxpr_trace_duration": "tracing",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lowering",
    "/jax/core/compile/backend_compile_duration": "compiling",
}
WORST = 8  # verdicts that are listed one by one


@dataclass(frozen=True)
class Answer:
    """One function that a pair may hand to a check."""

    track: Track
    piece: object
    kind: str  # right, another way, wrong
    name: str
    load: Callable[[], Callable]

    def __str__(self):
        return f"{self.track.name}, {self.piece.label}, {self.kind}: {self.name}"


def answers_of(track: Track) -> Iterator[Answer]:
    """List answers to every piece of a step: the solution, other right ways, each known mistake."""
    variants = check_track.variants_of(track)
    for piece in track.pieces:
        if piece.step != track.step or piece.is_test:
            continue
        yield Answer(track, piece, "right", "the solution", partial(track.given, piece))
        for way, variant in check_track.ways_to_write(track, piece, variants).items():
            yield Answer(track, piece, "another way", way, partial(identity, variant))
        for bug in track.bugs:
            if bug.piece == piece.name:
                made = partial(track.as_made_by, bug, piece)
                yield Answer(track, piece, "wrong", bug.name, made)


def identity(value):
    return value


def as_typed(function, name):
    """Define a function anew as a cell of a notebook would, so that its check saves it."""
    plain = inspect.unwrap(function)
    source = textwrap.dedent(inspect.getsource(plain))
    source = source.replace(f"def {plain.__name__}(", f"def {name}(", 1)
    filename = "<ipython-input-1>"
    linecache.cache[filename] = len(source), None, source.splitlines(keepends=True), filename
    namespace = plain.__globals__
    exec(compile(source, filename, "exec"), namespace)
    return namespace[name]


def measured(answer: Answer, folder: Path) -> dict:
    """Check an answer here, for a pair with this folder; return what that took, and of what."""
    spent = Counter()

    def note(event, seconds, **_):
        if event in EVENTS:
            spent[EVENTS[event]] += seconds
            spent["programs"] += EVENTS[event] == "compiling"

    jax.monitoring.register_event_duration_secs_listener(note)
    function = as_typed(answer.load(), answer.piece.name)
    workbook = Workbook(Store(answer.track, folder))
    wall, cpu = time.perf_counter(), time.process_time()
    verdict = workbook.check(function)
    took = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    return {**took, **spent, "state": verdict.state, "headline": verdict.headline}


def in_a_process(answer: Answer) -> dict:
    """Measure an answer in a copy of this process, with a cache and a folder of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        result = Path(scratch) / "result.json"
        pid = os.fork()
        if pid == 0:
            try:
                jax.config.update("jax_compilation_cache_dir", f"{scratch}/cache")
                sys.stdout = open(os.devnull, "w")
                result.write_text(json.dumps(measured(answer, Path(scratch) / "work" / "track")))
                os._exit(0)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        if os.waitpid(pid, 0)[1]:
            raise SystemExit(f"no verdict: {answer}")
        return json.loads(result.read_text())


def report(what: str, results: list[dict]) -> None:
    for measure in ("cpu", "wall"):
        seconds = [result[measure] for result in results]
        half, most = np.quantile(seconds, (0.5, 0.95))
        print(
            f"VERDICTS {what}: n={len(results)} {measure}_p50={half:.2f}s "
            f"{measure}_p95={most:.2f}s {measure}_max={max(seconds):.2f}s"
        )
    total, programs = (sum(result.get(of, 0) for result in results) for of in ("wall", "programs"))
    shares = ", ".join(
        f"{part} {sum(result.get(part, 0) for result in results) / total:.0%}"
        for part in EVENTS.values()
    )
    print(f"  {programs / len(results):.0f} programs compiled for a verdict; of the time {shares}")


def main():
    parser = parser_for(__doc__)
    parser.add_argument("tracks", nargs="*", default=tracks())
    parser.add_argument("--step", type=int, action="append", help="this step alone")
    parser.add_argument("--every", type=int, default=1, help="only each n-th answer")
    asked = parser.parse_args()
    warnings.filterwarnings("ignore", "os.fork")
    found = defaultdict(list)
    last = max(Track.at_end(name).step for name in asked.tracks)
    for step in asked.step or range(1, last + 1):
        answers = []
        for name in asked.tracks:
            track = Track(name, step)
            track.recording  # noqa: B018  read when a notebook opens
            if any(piece.step == step and not piece.is_test for piece in track.pieces):
                answers += answers_of(track)
        for answer in answers[:: 40 if asked.short else asked.every]:
            found[step].append((answer, in_a_process(answer)))
    for step, results in found.items():
        report(f"step {step}", [result for _, result in results])
        for kind in ("right", "another way", "wrong"):
            if of_kind := [result for answer, result in results if answer.kind == kind]:
                report(f"step {step}, {kind}", of_kind)
    every = [found_one for results in found.values() for found_one in results]
    for answer, result in sorted(every, key=lambda one: -one[1]["cpu"])[:WORST]:
        seconds = f"{result['cpu']:.2f}s cpu, {result['wall']:.2f}s wall"
        print(f"  {seconds}, {result.get('programs', 0)} programs: {answer}")
    for answer, result in every:
        if (answer.kind == "wrong") == (result["state"] == RIGHT):
            print(f"MISJUDGED {answer}: {result['headline']}")


if __name__ == "__main__":
    main()
