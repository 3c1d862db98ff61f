"""Judge a pair's test blind: on right and on wrong models, in processes that cannot tell which.

Each model comes under the same plain names, in an order drawn at random, with more than one right
one among them, and finds the folder and the temporary files of nobody else.
"""

import ast
import contextlib
import gc
import json
import multiprocessing
import multiprocessing.connection
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import numpy as np
from _pytest.config import default_plugins

from reimpl_helpers.base.clocks import PATIENCE, TIME_LIMIT
from reimpl_helpers.base.files import remove_folder
from reimpl_helpers.base.limits import limit_this_process
from reimpl_helpers.base.words import plural
from reimpl_helpers.checks.cases import Piece
from reimpl_helpers.checks.verdict import NOT_WRITTEN, RIGHT, WRONG, Verdict
from reimpl_helpers.scoring.testing import (
    FEW,
    STOPPED,
    TestRun,
    in_float32,
    nonsense_models,
    run_tests,
    with_modules,
)
from reimpl_helpers.texts import package

# A fork starts in milliseconds, where a new Python imports JAX for a second. What has used JAX
# cannot be forked, so forks come of a process that has only imported. Windows knows none.
FORKING = "forkserver" in multiprocessing.get_all_start_methods()
AT_ONCE = min(4, os.cpu_count() or 1)  # processes
LIBRARIES = "jax", "numpy", "optax", "scipy"
HIDDEN = "reimpl_helpers.scoring.hidden"
# Loaded when they are first used, which is in each fork
LOADED_LATE = "numpy.random", *(f"_pytest.{name}" for name in default_plugins)
LONGEST = 2**20  # bytes of a reply
UNREADABLE = (
    EOFError, OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError,
)  # fmt: skip
OURS, OTHER, ROUNDED = "ours", "another", "in float32"  # all right


# --- a verdict ----------------------------------------------------------------------------


def judge_test(
    piece: Piece, texts: dict[str, str], folder: Path, right, wrong, in_numpy=False
) -> Verdict:
    """Judge a test: it must pass on the pair's own model and on a right one, and fail on a wrong.

    `texts` is the pair's package with the test in it, completed by the workbook's pieces; `right`
    holds modules of another right model, `wrong` those with a bug planted, by the bug. A test of
    a model in NumPy must pass in float32 too, in which the model computes after its port.
    """
    try:
        package.parse(texts["test_model"], "test_model.py")
    except package.PackageError as error:
        return Verdict(piece.label, WRONG, str(error))
    if is_stub(texts["test_model"], piece.name):
        return Verdict(piece.label, NOT_WRITTEN)
    ours = {name: texts[name] for name in right}  # all are made in the same way
    models = {OURS: with_modules(texts, ours), OTHER: with_modules(texts, rewritten(right))}
    if in_numpy:
        models[ROUNDED] = in_float32(texts)
    rights, seen = set(models), package.names_reached(models[OTHER] | texts, piece.name)
    models |= {
        bug.name: with_modules(texts, rewritten(modules))
        for bug, modules in wrong.items()
        if bug.piece in seen
    }
    runs = {}
    with contextlib.closing(in_any_order(models, rights, folder, piece.name)) as ended:
        for name, run in ended:
            runs[name] = run
            if name in rights and not run.passed:
                return failed_on(name, piece, {**models, OURS: texts}, folder)
    refused = [bug.name for bug in wrong if bug.name in runs and runs[bug.name].refusing]
    missed = [bug.name for bug in wrong if bug.name not in refused]
    if refused:
        return Verdict(
            piece.label,
            RIGHT,
            f"passes on your model, refuses {len(refused)} of {plural(len(wrong), 'wrong model')}.",
            f"refused: {'; '.join(refused)}{not_seen(missed)}",
        )
    nonsense = dict(enumerate(nonsense_models(texts)))
    if any(run.passed for _, run in in_any_order(nonsense, set(), folder, piece.name)):
        return Verdict(
            piece.label,
            WRONG,
            "passes on your model, and also on one that answers nonsense throughout. "
            "What would have to go wrong for an assert of yours to fail?",
        )
    return Verdict(
        piece.label,
        WRONG,
        f"passes on your model, and also on {plural(len(missed), 'wrong model')} that it "
        "should refuse. What do they do that yours does not?",
        "wrong models it passed on: " + "; ".join(missed),
    )


def rewritten(modules):
    """Write modules in another form: to know the text of a model is not to know what it does."""
    return {name: ast.unparse(package.parse(text)) for name, text in modules.items()}


def is_stub(text, name) -> bool:
    """Tell whether a test still ends as an exercise does before it is written."""
    definition = package.definition_of(text, name) or ""
    return definition.rstrip().endswith("raise NotImplementedError")


def failed_on(name, piece, models, folder) -> Verdict:
    """Say what is wrong with a test that does not pass on a right model, with pytest's report."""
    ours = Trial(models[OURS], folder, piece.name, reports=True).result()
    if not ours.passed:
        return Verdict(piece.label, WRONG, why_not_passed(ours), ours.report)
    run = Trial(models[name], folder, piece.name, reports=True).result()
    if run.passed or name == OURS:
        seen = "passes on your model once, and fails on it another time."
        question = "What differs between two runs: a file, the time, chance?"
    elif name == OTHER:
        seen = f"passes on your model, but fails on another that is right: {run.first_failure}"
        question = "What does it ask for that the original does not promise?"
    else:
        seen = (
            "passes on your model, but not in float32, in which it computes once it is in JAX: "
            f"{run.first_failure}"
        )
        question = "How far apart may two numbers be: is it 1e-5 or more?"
    return Verdict(piece.label, WRONG, seen, run.report, question=question)


def not_seen(missed):
    if len(missed) > FEW:
        return f"\nnot seen: {len(missed)} others, which the score lists"
    return f"\nnot seen: {'; '.join(missed)}" if missed else ""


def why_not_passed(run):
    outcomes = run.outcomes.values()
    if STOPPED in outcomes:
        return (
            f"still running after {TIME_LIMIT:g} seconds, and stopped. "
            "Is there a loop that never ends?"
        )
    if "exited" in outcomes:
        return "ends Python, or pytest, altogether. What should it assert instead?"
    if run.failures and not outcomes:
        return f"does not come as far as its first line: {run.first_failure} Mend that first."
    if run.failures:
        return f"fails on your own model: {run.first_failure} Is the test wrong, or the model?"
    if outcomes:
        return "was skipped: a test that does not run guards nothing."
    return "pytest found no test to run. Does the name start with test_?"


# --- processes ----------------------------------------------------------------------------


def in_any_order(models: dict, rights, folder: Path, test: str) -> Iterator[tuple[str, TestRun]]:
    """Run a test on each model in a process of its own; yield the name and the run as each ends.

    The first runs alone: the others see what it has written into a file, and find what JAX has
    compiled. Where one never ends, the right ones come next: as a rule, no other ends either.
    """
    left, running, at_once = drawn_order(models, rights), {}, 1
    try:
        while left or running:
            while left and len(running) < at_once:
                name = left.pop()
                running[name] = Trial(models[name], folder, test)
            multiprocessing.connection.wait([trial.reply for trial in running.values()], 1)
            for name in [name for name, trial in running.items() if trial.has_ended]:
                run, at_once = running.pop(name).result(), AT_ONCE
                if run.was_stopped:
                    left.sort(key=rights.__contains__)
                yield name, run
    finally:
        for trial in running.values():
            trial.end()


def drawn_order(models, rights) -> list:
    """Draw an order, last to first: not all right ones first, which a test can tell by counting."""
    order = list(models)
    while True:
        random.SystemRandom().shuffle(order)
        if not rights or set(order[-len(rights) :]) != rights or len(order) == len(rights):
            return order


class Trial:
    """Run one test on one model, the texts of a package, in a process of its own."""

    def __init__(self, texts: dict[str, str], folder: Path, test: str, reports=False):
        self.test = test
        self.reply, theirs = multiprocessing.Pipe(duplex=False)
        self.scratch = Path(tempfile.mkdtemp())
        self.give_up_at = time.monotonic() + 2 * PATIENCE * TIME_LIMIT
        self.process = starter(texts).Process(
            target=run_here,
            args=(theirs, texts, folder, self.scratch, test, TIME_LIMIT, reports),
            daemon=True,
        )
        with main_hidden():
            self.process.start()
        theirs.close()

    @property
    def has_ended(self) -> bool:
        return self.reply.poll() or time.monotonic() > self.give_up_at

    def result(self) -> TestRun:
        """Wait for the end of the run, and say how it ended. Nothing of the process is left."""
        try:
            if not self.reply.poll(max(0, self.give_up_at - time.monotonic())):
                return TestRun({self.test: STOPPED}, {self.test: "it does not end."})
            return read(self.reply.recv_bytes(LONGEST))
        except UNREADABLE:
            return TestRun({self.test: "exited"}, {self.test: "the process has ended."})
        finally:
            self.end()

    def end(self) -> None:
        """End the process with all that it started."""
        with contextlib.suppress(OSError, AttributeError):  # Windows has no groups
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.join()
        self.reply.close()
        remove_folder(self.scratch)


def starter(texts):
    """Choose how processes start; the libraries that a package imports are imported once."""
    if not FORKING:
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    imports = [name for name in package.imports_of(texts) if name.partition(".")[0] in LIBRARIES]
    context.set_forkserver_preload([HIDDEN, __name__, *LOADED_LATE, *imports])
    return context


@contextlib.contextmanager
def main_hidden():
    """Keep the processes that are started inside from running the program of this one again."""
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def run_here(reply, texts, folder, scratch, test, limit, reports) -> None:
    """Run a test in this process, and reply with what came of it."""
    gc.freeze()  # or each collection looks through, and so copies, all that was imported
    limit_this_process()
    with contextlib.suppress(AttributeError):  # Windows has no sessions
        os.setsid()  # what it starts is ended with it
    threading.Thread(target=end_with_parent, daemon=True).start()
    with open(os.devnull, "w") as nowhere:  # what is not printed by Python's own print
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    random.seed(0)  # a verdict must not depend on chance
    np.random.seed(0)
    tempfile.tempdir = str(scratch)
    here = shown_in(scratch, folder)
    run = run_tests(texts["test_model"], here, texts, test, limit, reports)
    reply.send_bytes(json.dumps(asdict(run)).encode())


def shown_in(scratch: Path, folder: Path) -> Path:
    """Make a folder that shows what is in another: what is written beside it, stays here."""
    (here := scratch / folder.name).mkdir()
    for path in folder.resolve().iterdir() if folder.is_dir() else ():
        try:
            (here / path.name).symlink_to(path)
        except OSError:  # Windows lets few people make links
            if path.is_file():
                shutil.copy(path, here)
    return here


def read(said: bytes) -> TestRun:
    """Read a reply: of what a pair's code may have written, nothing is run.

    Raises: one of UNREADABLE where it is none.
    """
    told = json.loads(said)
    return TestRun(
        {str(name): str(end) for name, end in told["outcomes"].items()},
        {str(name): str(why) for name, why in told["failures"].items()},
        str(told["report"]),
        stopped_at_import=bool(told["stopped_at_import"]),
    )


def end_with_parent():
    """End this process when the one that asked for it is there no more."""
    multiprocessing.parent_process().join()
    os._exit(1)
