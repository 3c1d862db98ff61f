"""Run the pair's own tests, on its model and on models that are wrong."""

import ast
import contextlib
import io
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from reimpl_helpers import package
from reimpl_helpers.checks import (
    NOT_WRITTEN,
    RIGHT,
    TIME_LIMIT,
    WRONG,
    Piece,
    TookTooLong,
    Verdict,
    first_line,
    time_limit,
)

REPORT = 8_000  # characters of pytest's report that are shown; what is between the ends is cut
PYTEST = (
    "-q -rN --no-header --tb=short --color=no --capture=sys --import-mode=importlib -W default "
    "-p no:cacheprovider -p no:faulthandler -p no:unraisableexception -p no:threadexception"
).split()  # the last two would collect garbage for most of a run's time


@dataclass(frozen=True)
class Bug:
    """A plausible mistake in a piece: an edit of the solution's source."""

    piece: str
    name: str
    old: str
    new: str

    def plant(self, text: str) -> str:
        """Make the mistake in the text of the solution's module.

        Raises: ValueError when the edit no longer applies.
        """
        first, last = package.find_definition(text, self.piece) or (1, 0)
        lines = text.splitlines(keepends=True)
        definition = "".join(lines[first - 1 : last])
        if self.old not in definition:
            raise ValueError(
                f"planted bug “{self.name}”: {self.old!r} no longer stands in {self.piece}. "
                "Mend the edit in planted_bugs.py."
            )
        wrong = definition.replace(self.old, self.new, 1)
        return "".join(lines[: first - 1]) + wrong + "".join(lines[last:])


@dataclass(frozen=True, repr=False)
class TestRun:
    """What pytest said of one run: how each test ended, and its report."""

    outcomes: dict[str, str]  # test name -> passed, failed, not written, stopped, skipped
    failures: dict[str, str]  # name of a test, or of the module -> what it failed with
    report: str

    @property
    def passed(self):
        return set(self.outcomes.values()) == {"passed"} and not self.failures

    def __repr__(self):
        return self.report

    __test__ = False  # not a test itself, whatever pytest thinks of the name


class Collector:
    """Keep the outcome of each test of a run, and stop those that do not end."""

    def __init__(self):
        self.outcomes, self.failures, self.interrupted = {}, {}, False

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item):
        with time_limit(TIME_LIMIT):
            return (yield)

    pytest_runtest_call = pytest_runtest_setup

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self):
        try:
            with time_limit(TIME_LIMIT):
                return (yield)
        except (TookTooLong, SystemExit) as error:
            self.failures["import"] = first_line(f"{type(error).__name__}: {error}")
            pytest.exit(f"while test_model.py is imported: {error}")

    def pytest_collectreport(self, report):
        if report.failed:
            said = [line[1:] for line in report.longreprtext.splitlines() if line[:2] == "E "]
            self.failures["import"] = first_line(said[-1] if said else report.longreprtext)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        report = yield
        if report.failed or report.when == "call" or report.skipped:
            self.outcomes[item.name] = ending(report, call)
            if report.failed:
                self.failures[item.name] = first_line(call.excinfo.exconly())
        return report

    def pytest_keyboard_interrupt(self, excinfo):
        self.interrupted = excinfo.errisinstance(KeyboardInterrupt)


def ending(report, call):
    if call.excinfo is not None and call.excinfo.errisinstance(NotImplementedError):
        return "not written"
    if call.excinfo is not None and call.excinfo.errisinstance(TookTooLong):
        return "stopped"
    return report.outcome


def run_tests(text: str, folder: Path, replaced: dict[str, str], only: str = "") -> TestRun:
    """Run the text of a test module with real pytest, inside this process.

    The modules under test come fresh from `folder`, with the text of some of them replaced.
    `only` names the one test to run. A test that does not end is stopped, and the next begins.

    Raises: KeyboardInterrupt when the user stops the run.
    """
    collector, output = Collector(), io.StringIO()
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "test_model.py"
        path.write_text(text, encoding="utf-8")
        where = [f"--rootdir={scratch}", f"--confcutdir={scratch}", f"--basetemp={scratch}/tmp"]
        arguments = [f"{path}::{only}" if only else str(path), "-c", os.devnull, *where, *PYTEST]
        with (
            package.imported_from(folder, replaced),
            all_as_before(folder),
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(output),
        ):
            pytest.main(arguments, plugins=[collector])
    if collector.interrupted:
        raise KeyboardInterrupt
    report = tidy(output.getvalue(), path, folder)
    return TestRun(collector.outcomes, collector.failures, report)


@contextlib.contextmanager
def all_as_before(folder):
    """Run tests as a process of their own would in that folder, and undo what they leave behind."""
    jax = sys.modules.get("jax")
    float64 = jax and jax.config.jax_enable_x64
    environ, paths, here = dict(os.environ), list(sys.path), Path.cwd()
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        os.environ.pop(name, None)
    if jax:
        jax.config.update("jax_enable_x64", False)
    if folder.is_dir():
        os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)
        if jax:
            jax.config.update("jax_enable_x64", float64)
        os.environ.clear()
        os.environ.update(environ)
        sys.path[:] = paths


def tidy(report, path, folder):
    """Make a report the same on every run, and no longer than is useful."""
    if len(report) > REPORT:
        left_out = f"\n… {len(report) - REPORT} characters left out …\n"
        report = report[: REPORT // 2] + left_out + report[-REPORT // 2 :]
    report = re.sub(rf"\S{{0,200}}{re.escape(path.parent.name)}[/\\]{path.name}", path.name, report)
    report = report.replace(f"{folder}{os.sep}", "")
    report = re.sub(r"\.py #[0-9a-f]+", ".py", report)
    return re.sub(r" in \d+\.\d+s( \(.*\))?", "", report).strip()


def judge_test(piece: Piece, texts: dict[str, str], folder: Path, bugs, solution) -> Verdict:
    """Judge a test: it must pass on the pair's own model and on a right one, and fail on a wrong.

    `texts` is the pair's package with the test in it, completed by the workbook's pieces;
    `solution` the texts in which the planted bugs are made.
    """

    def run(texts):
        return run_tests(texts["test_model"], folder, texts, only=piece.name)

    ours = run(texts)
    if set(ours.outcomes.values()) == {"not written"}:
        return Verdict(piece.label, NOT_WRITTEN)
    if not ours.passed:
        return Verdict(piece.label, WRONG, why_not_passed(ours), ours.report)
    homes = {bug: home_of(bug, solution) for bug in bugs}
    right = run(with_modules(texts, {home: solution[home] for home in homes.values()}))
    if not right.passed:
        return Verdict(
            piece.label,
            WRONG,
            f"passes on your model, but fails on another that is right: {first_failure(right)} "
            "What does it ask for that the original does not promise?",
            right.report,
        )
    wrong = {
        bug: with_modules(texts, {homes[bug]: bug.plant(solution[homes[bug]])}) for bug in bugs
    }
    missed = [bug.name for bug in bugs if run(wrong[bug]).passed]
    refused = [bug.name for bug in bugs if bug.name not in missed]
    if not refused:
        return Verdict(
            piece.label,
            WRONG,
            f"passes on your model, and also on {plural(len(missed), 'wrong model')} that it "
            "should refuse. What would have to go wrong for an assert of yours to fail?",
            "wrong models it passed on: " + "; ".join(missed),
        )
    return Verdict(
        piece.label,
        RIGHT,
        f"passes on your model, refuses {len(refused)} of {plural(len(bugs), 'wrong model')}.",
        f"refused: {'; '.join(refused)}" + (f"\nnot seen: {'; '.join(missed)}" if missed else ""),
    )


def why_not_passed(run):
    if "stopped" in run.outcomes.values():
        return (
            f"still running after {TIME_LIMIT:g} seconds, and stopped. "
            "Is there a loop that never ends?"
        )
    if run.failures and not run.outcomes:
        return f"does not come as far as its first line: {first_failure(run)} Mend that first."
    if run.failures:
        return f"fails on your own model: {first_failure(run)} Is the test wrong, or the model?"
    if run.outcomes:
        return "was skipped: a test that does not run guards nothing."
    return "pytest found no test to run, or was told to exit. Does the name start with test_?"


def first_failure(run):
    return next(iter(run.failures.values()), "it does not run.")


def home_of(bug, solution):
    """Name the module of the solution that a bug is made in."""
    return next(
        module for module in solution if package.find_definition(solution[module], bug.piece)
    )


def with_modules(texts, modules):
    """Put the pieces of other modules in the place of the pair's, whose helpers stay."""
    texts = dict(texts)
    for name, text in modules.items():
        pieces = [node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
        texts[f"other_{name}"] = text
        texts[name] += f"\n\nfrom other_{name} import {', '.join(pieces)}\n"
    return texts


def plural(count, noun):
    return f"{count} {noun}{'' if count == 1 else 's'}"
