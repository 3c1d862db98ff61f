"""Run the pair's own tests, on its model and on models that are wrong."""

import contextlib
import io
import os
import re
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
    float64_in_jax,
    time_limit,
)


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
        first, last = package.find_definition(text, self.piece)
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

    outcomes: dict[str, str]  # test name -> passed, failed, not written, skipped
    failures: dict[str, str]  # test name -> the line that failed
    report: str

    @property
    def passed(self):
        return bool(self.outcomes) and set(self.outcomes.values()) == {"passed"}

    def __repr__(self):
        return self.report

    __test__ = False  # not a test itself, whatever pytest thinks of the name


class Collector:
    """Keep the outcome of each test of a run."""

    def __init__(self):
        self.outcomes, self.failures = {}, {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        report = yield
        if report.failed or report.when == "call" or report.skipped:
            not_written = call.excinfo is not None and call.excinfo.errisinstance(
                NotImplementedError
            )
            self.outcomes[item.name] = "not written" if not_written else report.outcome
            if report.failed:
                self.failures[item.name] = call.excinfo.exconly().splitlines()[0]
        return report


def run_tests(text: str, folder: Path, replaced: dict[str, str]) -> TestRun:
    """Run the text of a test module with real pytest, inside this process.

    The modules under test come fresh from `folder`, with the text of some of them replaced.

    Raises: TookTooLong after the time limit.
    """
    collector, output = Collector(), io.StringIO()
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "test_model.py"
        path.write_text(text, encoding="utf-8")
        arguments = [str(path), "-q", "--no-header", "--tb=short", "--color=no", "--capture=sys"]
        arguments += [f"--rootdir={scratch}", f"--confcutdir={scratch}", "-c", os.devnull]
        arguments += ["-p", "no:cacheprovider", "--import-mode=importlib", "-W", "default"]
        with (
            package.imported_from(folder, replaced),
            plugins_off(),
            contextlib.redirect_stdout(output),
            time_limit(TIME_LIMIT),
        ):
            pytest.main(arguments, plugins=[collector])
        report = re.sub(r" in \d+\.\d+s", "", output.getvalue().replace(str(path), path.name))
    return TestRun(collector.outcomes, collector.failures, report.strip())


@contextlib.contextmanager
def plugins_off():
    """Keep plugins that happen to be installed out of a run."""
    name = "PYTEST_DISABLE_PLUGIN_AUTOLOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def judge_test(piece: Piece, texts: dict[str, str], folder: Path, bugs, solution) -> Verdict:
    """Judge a test: it must pass on the pair's own model and fail on a wrong one.

    `texts` is the pair's package with the test in it, completed by the workbook's pieces;
    `solution` the texts in which the planted bugs are made.
    """
    try:
        text = only_test(texts["test_model"], piece.name)
        run = run_tests(text, folder, texts)
        outcome = run.outcomes.get(piece.name) or single(run.outcomes)
        if outcome == "not written":
            return Verdict(piece.label, NOT_WRITTEN)
        if not run.passed:
            return Verdict(piece.label, WRONG, why_not_passed(piece, run), run.report)
        caught = [bug for bug in bugs if not passes_on(bug, text, folder, texts, solution)]
    except TookTooLong:
        return Verdict(
            piece.label,
            WRONG,
            f"still running after {TIME_LIMIT:g} seconds, and stopped. "
            "Is there a loop that never ends?",
        )
    if not caught:
        return Verdict(
            piece.label,
            WRONG,
            f"passes on your model, and also on {plural(len(bugs), 'wrong model')} that it should "
            "refuse. What would have to go wrong for an assert of yours to fail?",
            "wrong models it passed on: " + "; ".join(bug.name for bug in bugs),
        )
    return Verdict(
        piece.label,
        RIGHT,
        f"passes on your model, refuses {len(caught)} of {plural(len(bugs), 'wrong model')}.",
        "refused: " + "; ".join(bug.name for bug in caught),
    )


def single(outcomes):
    """Return the one outcome that all cases of a parametrized test share, or "mixed"."""
    found = set(outcomes.values())
    return found.pop() if len(found) == 1 else "mixed"


def why_not_passed(piece, run):
    if not run.outcomes:
        return "pytest found no test to run. Does the name start with test_?"
    if run.failures:
        failure = next(iter(run.failures.values()))
        return f"fails on your own model: {failure} Is the test wrong, or the model?"
    return "was skipped: a test that does not run guards nothing."


def passes_on(bug, text, folder, texts, solution):
    module = next(name for name in solution if has_definition(solution[name], bug.piece))
    wrong = {**texts, module: bug.plant(solution[module])}
    with float64_in_jax():
        return run_tests(text, folder, wrong).passed


def has_definition(text, name):
    return package.find_definition(text, name) is not None


def only_test(text, name) -> str:
    """Keep one test of a module, with everything in it that is no test."""
    lines = text.splitlines(keepends=True)
    for node in reversed(package.parse(text, "test_model.py").body):
        is_other_test = getattr(node, "name", "").startswith("test") and node.name != name
        if is_other_test:
            first, last = package.find_definition(text, node.name)
            del lines[first - 1 : last]
    return "".join(lines)


def plural(count, noun):
    return f"{count} {noun}{'' if count == 1 else 's'}"
