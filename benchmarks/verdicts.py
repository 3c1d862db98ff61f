"""Time verdicts on right and on wrong answers, each in a process with nothing compiled yet.

    python benchmarks/verdicts.py [track ...] [--short] [--step 5]

Every answer is judged by `track.check` in a process that has done what a notebook has by then, and
with an empty compilation cache. Read the processor's seconds where other work runs beside.
"""

import argparse
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
from pathlib import Path

import numpy as np

from reimpl_helpers import package
from reimpl_helpers.workbook import COMPILATION, LAST_STEP, Track, load_file, tracks

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


def answers_of(track: Track, step: int, short: bool) -> Iterator[Answer]:
    """List answers to every piece of a step: the solution, other right ways, each known mistake."""
    variants = variants_of(track)
    for piece in track.pieces:
        if piece.step != step or piece.is_test:
            continue
        yield Answer(track, piece, "right", "the solution", lambda p=piece: track.given(p))
        ways = {
            key.partition("__")[2]: value
            for key, value in variants.items()
            if key.startswith(f"{piece.name}__") and (not track.has_port(piece.name)
            or piece.port == key.partition("__")[2].startswith("jax"))
        }  # fmt: skip
        bugs = [bug for bug in track.bugs if bug.piece == piece.name]
        for name, way in list(ways.items())[: 0 if short else None]:
            yield Answer(track, piece, "another way", name, lambda way=way: way)
        for bug in bugs[-1:] if short else bugs:
            made = lambda bug=bug, piece=piece: track.as_made_by(bug, piece)  # noqa: E731
            yield Answer(track, piece, "wrong", bug.name, made)


def variants_of(track):
    with package.imported_from(track.solution):
        return vars(load_file(track.home / "variants.py"))


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


def measured(answer: Answer) -> dict:
    """Check an answer here, in this process; return what that took, and of what."""
    spent = Counter()

    def note(event, seconds, **_):
        if event in EVENTS:
            spent[EVENTS[event]] += seconds
            spent["programs"] += EVENTS[event] == "compiling"

    jax.monitoring.register_event_duration_secs_listener(note)
    function = as_typed(answer.load(), answer.piece.name)
    wall, cpu = time.perf_counter(), time.process_time()
    verdict = answer.track.check(function)
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
                object.__setattr__(answer.track, "folder", Path(scratch) / "work" / "track")
                sys.stdout = open(os.devnull, "w")
                result.write_text(json.dumps(measured(answer)))
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
    parts = {part: sum(result.get(part, 0) for result in results) for part in EVENTS.values()}
    programs = sum(result.get("programs", 0) for result in results) / len(results)
    total = sum(result["wall"] for result in results)
    shares = ", ".join(f"{part} {seconds / total:.0%}" for part, seconds in parts.items())
    print(f"  {programs:.0f} programs compiled for a verdict; of the time {shares}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tracks", nargs="*", default=tracks())
    parser.add_argument("--short", action="store_true", help="the solution and one mistake each")
    parser.add_argument("--step", type=int, action="append", help="this step alone")
    parser.add_argument("--every", type=int, default=1, help="only each n-th answer")
    parser.add_argument("--json", type=Path, help="write every verdict's measures here")
    asked = parser.parse_args()
    warnings.filterwarnings("ignore", "os.fork")
    found = defaultdict(list)
    for name in asked.tracks:
        for step in asked.step or range(1, LAST_STEP + 1):
            track = Track(name, Path(os.devnull), step)
            track.recording  # noqa: B018  read when a notebook opens
            for answer in list(answers_of(track, step, asked.short))[:: asked.every]:
                found[step].append((str(answer), answer.kind, in_a_process(answer)))
    for step, results in found.items():
        kinds = dict.fromkeys(kind for _, kind, _ in results)
        report(f"step {step}", [result for _, _, result in results])
        for kind in kinds if step == LAST_STEP else ():
            report(f"step {step}, {kind}", [r for _, its, r in results if its == kind])
    every = [(name, kind, result) for results in found.values() for name, kind, result in results]
    every.sort(key=lambda one: -one[2]["cpu"])
    for name, kind, result in every[:WORST]:
        print(f"  {result['cpu']:.2f}s cpu, {result['wall']:.2f}s wall, "
              f"{result.get('programs', 0)} programs: {name}")  # fmt: skip
    for name, kind, result in every:
        if (kind == "wrong") == (result["state"] == "right"):
            print(f"MISJUDGED {name}: {result['state']}: {result['headline']}")
    if asked.json:
        asked.json.write_text(json.dumps(every, indent=1))


if __name__ == "__main__":
    main()
