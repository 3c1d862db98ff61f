"""Run the pair's own tests with real pytest, on its model and on models that are wrong."""

import contextlib
import functools
import io
import os
import random
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from _pytest.runner import runtestprotocol

from reimpl_helpers.base.clocks import TIME_LIMIT, TookTooLong, time_limit
from reimpl_helpers.base.compiling import compiled_quickly
from reimpl_helpers.base.words import first_line
from reimpl_helpers.texts import package

REPORT = 8_000  # characters of pytest's report that are shown; what is between the ends is cut
PYTEST = (
    "--capture=sys --import-mode=importlib -W default "
    "-p no:cacheprovider -p no:faulthandler -p no:unraisableexception -p no:threadexception"
).split()  # the last two would collect garbage for most of a run's time
WITH_REPORT = "-q -rN --no-header --tb=short --color=no".split()
WITHOUT_REPORT = "-p no:terminal --assert=plain".split()
CODE = [module for module in package.MODULES if module not in ("test_model", "mistakes")]
NOT_PLAIN = "[]"  # the text of a module that may keep anything from one call to the next
FEW = 10  # mistakes that are named one by one
PASSED, STOPPED = "passed", "stopped"
NO_MODULE = "import"  # the name of what fails before there is a test


@dataclass(frozen=True, repr=False)
class TestRun:
    """What pytest said of one run: how each test ended, and its report."""

    outcomes: dict[str, str]  # test name -> see ending()
    failures: dict[str, str]  # name of a test, or NO_MODULE -> what it failed with
    report: str = ""
    called: dict[str, set[str]] = field(default_factory=dict)  # by test, functions of the package
    seconds: dict[str, float] = field(default_factory=dict)  # by test
    stopped_at_import: bool = False

    @property
    def passed(self):
        return set(self.outcomes.values()) == {PASSED} and not self.failures

    @property
    def refusing(self) -> str | None:
        """Name what does not pass: a test, or the import. What was stopped says nothing."""
        if self.stopped_at_import:
            return None
        return next((name for name in self.failures if self.outcomes.get(name) != STOPPED), None)

    @property
    def was_stopped(self) -> bool:
        return self.stopped_at_import or STOPPED in self.outcomes.values()

    @property
    def first_failure(self):
        return next(iter(self.failures.values()), "it does not run.")

    def __repr__(self):
        return self.report

    __test__ = False  # not a test itself, whatever pytest thinks of the name


class Collector:
    """Keep the outcome of each test of a run, and stop those that do not end."""

    def __init__(self, limit: float | None = None):
        self.outcomes, self.failures, self.interrupted = {}, {}, False
        self.running, self.stopped_at_import = None, False
        self.limit = self.import_limit = limit or TIME_LIMIT  # seconds

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item):
        self.running = item
        with time_limit(self.limit):
            return (yield)

    pytest_runtest_call = pytest_runtest_setup

    @contextlib.contextmanager
    def importing(self):
        """Note what ends the import of the test module, and let pytest end."""
        try:
            with time_limit(self.import_limit):
                yield
        except (TookTooLong, SystemExit) as error:
            self.failures[NO_MODULE] = first_line(f"{type(error).__name__}: {error}")
            self.stopped_at_import = isinstance(error, TookTooLong)
            pytest.exit(f"while test_model.py is imported: {error}")

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self):
        with self.importing():
            return (yield)

    def pytest_collectreport(self, report):
        if report.failed:
            said = [line[1:] for line in report.longreprtext.splitlines() if line[:2] == "E "]
            self.failures[NO_MODULE] = first_line(said[-1] if said else report.longreprtext)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        report = yield
        if report.failed or report.when == "call" or report.skipped:
            self.outcomes[name_of(item)] = ending(report, call)
            if report.failed:
                self.failures[name_of(item)] = words_of(call.excinfo)
        return report

    def pytest_keyboard_interrupt(self, excinfo):
        if self.running and excinfo.errisinstance(pytest.exit.Exception):
            self.outcomes[name_of(self.running)] = "exited"
        by_pytest = excinfo.errisinstance(pytest.Session.Interrupted)  # a module does not import
        self.interrupted = excinfo.errisinstance(KeyboardInterrupt) and not by_pytest


def name_of(item):
    return item.nodeid.partition("::")[2]


def words_of(excinfo):
    """Say what was raised, and where it has no words of its own, in which line."""
    said = re.sub(r"\A(\w+:)\s+", r"\1 ", excinfo.exconly().strip())  # NumPy begins a new line
    if not re.fullmatch(r"\w+:?", said):
        return first_line(said)
    return first_line(
        f"{said.rstrip(':')} in the line `{str(excinfo.traceback[-1].statement).strip()}`"
    )


def ending(report, call):
    """Say how a test ended: passed, failed, skipped, not written, stopped, exited."""
    kinds = {NotImplementedError: "not written", TookTooLong: STOPPED, SystemExit: "exited"}
    for kind, ended in kinds.items():
        if call.excinfo is not None and call.excinfo.errisinstance(kind):
            return ended
    return report.outcome


def run_tests(
    text: str,
    folder: Path,
    replaced: dict[str, str],
    only: str = "",
    limit: float | None = None,
    reports: bool = True,
) -> TestRun:
    """Run the text of a test module with real pytest, inside this process.

    The modules under test come fresh from `folder`, with the text of some of them replaced.
    `only` names the one test to run. A test that takes longer than `limit` is stopped, and the
    next begins. To report takes longer than most tests do.

    Units: limit in seconds, for each test
    Raises: KeyboardInterrupt when the user stops the run.
    """
    collector, output = Collector(limit), io.StringIO()
    with test_file(text) as path, contextlib.redirect_stderr(output):
        with package.imported_from(folder, replaced), contextlib.redirect_stdout(output):
            run_pytest(path, folder, collector, WITH_REPORT if reports else WITHOUT_REPORT, only)
    return TestRun(
        collector.outcomes,
        collector.failures,
        tidy(output.getvalue(), path, folder),
        stopped_at_import=collector.stopped_at_import,
    )


@contextlib.contextmanager
def test_file(text):
    """Keep a test module in a file of its own, for as long as pytest needs it."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "test_model.py"
        path.write_text(text, encoding="utf-8")
        yield path


def run_pytest(path, folder, plugin, options, only=""):
    where = [f"--rootdir={path.parent}", f"--confcutdir={path.parent}"]
    where += [f"--basetemp={path.parent / 'tmp'}", "-c", os.devnull]
    with all_as_before(folder):
        tests = f"{path}::{only}" if only else str(path)
        pytest.main([tests, *where, *PYTEST, *options], plugins=[plugin])
    if plugin.interrupted:
        raise KeyboardInterrupt


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
        with compiled_quickly():
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


# --- the same tests on many models, in one session ----------------------------------------


class Suite(Collector):
    """Run one test module again and again in one pytest session, each time fresh."""

    def __init__(self, path: Path, folder: Path, work: Callable):
        super().__init__()
        self.path, self.folder, self.work, self.runs = path, folder, work, 0
        self.result, self.error = None, None
        self.sources, self.first = {}, {}  # by module; of the first run, the modules too
        self.before_each = lambda test: None  # called with the name of a test before it runs

    def pytest_collection(self, session):
        session.items, self.session = [], session
        session.config.option.tbstyle = "no"  # pytest would parse the module at every failure
        return True

    def pytest_runtestloop(self):
        try:
            self.result = self.work(self)
        except Exception as error:  # pytest would report it as its own
            self.error = error
        return True

    def names(self, texts: dict[str, str]) -> TestRun:
        """List the tests that there are, without running them."""
        self.outcomes, self.failures = {}, {}
        with self.model(texts):
            self.outcomes = {name_of(item): "not run" for item in self.collected()}
        return TestRun(self.outcomes, self.failures)

    def run(
        self,
        texts: dict[str, str],
        only: Iterable[str],
        limit: float | None = None,
        first_failure: bool = False,
        note_calls: bool = False,
    ) -> TestRun:
        """Run some tests, in the order given, on a model of their own: the texts of a package.

        `limit` is in seconds, for each test. With `first_failure` the run ends where one does not
        pass. With `note_calls` it also says which functions of the package each test calls.
        """
        self.outcomes, self.failures, self.limit = {}, {}, limit or TIME_LIMIT
        self.stopped_at_import = False
        called, seconds = {}, {}
        # what JAX has compiled of a module that is kept, it does not call again
        with self.model(texts, fresh=note_calls):
            found = self.collected()
            items = [  # a name may stand for all that a test is parametrized with
                item
                for name in only
                for item in found
                if name in (name_of(item), item.originalname)
            ]
            for item, following in zip(items, [*items[1:], None], strict=False):
                name, start = name_of(item), time.perf_counter()
                self.before_each(name)
                noted = calls_noted(self.folder) if note_calls else contextlib.nullcontext()
                with noted as called[name]:
                    self.run_one(item, following)
                seconds[name] = time.perf_counter() - start
                if first_failure and self.outcomes.get(name) not in (PASSED, STOPPED):
                    self.session._setupstate.teardown_exact(None)
                    break
        return TestRun(self.outcomes, self.failures, "", called, seconds, self.stopped_at_import)

    @contextlib.contextmanager
    def model(self, texts, fresh=False):
        """Import a model inside: anew, but for modules that are as they were in the first run.

        JAX compiles a function once: what a mistake has no part in is so compiled once for all.
        """
        self.sources = {name: self.sources_of(name, texts) for name in CODE if name in texts}
        kept = {}
        for name, (sources, module, names) in self.first.items():
            if self.sources.get(name) == sources and not fresh:
                kept[name] = module
                vars(module).update(names)  # in case a test has put something in their place
        with (
            package.imported_from(self.folder, texts, kept),
            all_as_before(self.folder),
            warnings.catch_warnings(action="ignore"),
        ):
            yield

    def keep_first(self):
        """Keep the modules of the first run for others, as they are before a test begins."""
        if not self.first:
            self.first = {
                name: (sources, sys.modules[name], dict(vars(sys.modules[name])))
                for name, sources in self.sources.items()
                if sources and name in sys.modules
            }

    def sources_of(self, module, texts):
        """Give all that a module is made of, where it may be kept for another run."""
        others = dict.fromkeys((path.stem for path in self.folder.glob("*.py")), NOT_PLAIN)
        return package.plain_sources(module, others | texts)

    def collected(self):
        """Import the test module anew, under a new name for pytest, and list its tests."""
        self.runs += 1
        name = f"{self.runs}/{self.path.name}"
        module = pytest.Module.from_parent(self.session, path=self.path, nodeid=name)
        try:
            with self.importing():
                items = list(self.session.genitems(module))
            self.keep_first()
            return items
        except pytest.exit.Exception as error:
            self.failures.setdefault(NO_MODULE, first_line(str(error)))
            return []

    def run_one(self, item, following):
        random.seed(0)  # a score must not depend on chance
        np.random.seed(0)
        try:
            runtestprotocol(item, log=False, nextitem=following)
        except pytest.exit.Exception as error:
            self.session._setupstate.teardown_exact(None)
            self.outcomes[name_of(item)] = "exited"
            self.failures[name_of(item)] = first_line(str(error))


@contextlib.contextmanager
def calls_noted(folder):
    """Note which functions of a folder's modules are called inside."""
    noted, before = set(), sys.getprofile()

    def note(frame, event, _):
        if event == "call" and frame.f_code.co_filename.startswith(f"{folder}{os.sep}"):
            noted.add(frame.f_code.co_qualname.partition(".")[0])

    sys.setprofile(note)
    try:
        yield noted
    finally:
        sys.setprofile(before)


def in_one_session(text: str, folder: Path, work: Callable[[Suite], object]):
    """Call `work` with a Suite of the text of a test module; return what it returns.

    Raises: KeyboardInterrupt when the user stops it.
    """
    ignored = io.StringIO()
    with test_file(text) as path:
        suite = Suite(path, folder, work)
        with contextlib.redirect_stdout(ignored), contextlib.redirect_stderr(ignored):
            run_pytest(path, folder, suite, WITHOUT_REPORT)
    if suite.error:
        raise suite.error
    return suite.result


# --- a model that computes nonsense -------------------------------------------------------


def vacuous_tests(suite, texts: dict[str, str], tests, limit=None) -> set[str]:
    """Name the tests that pass though every function of the package answers nonsense."""
    passing = set()
    for model in nonsense_models(texts):
        outcomes = suite.run(model, tests, limit).outcomes
        passing |= {name for name, end in outcomes.items() if end == PASSED}
    return passing


def nonsense_models(texts: dict[str, str]) -> list[dict[str, str]]:
    """Have every function of a package answer nonsense.

    Where the true function would raise, that is a number, or else an array: a test may be able to
    go on with one of them alone.
    """
    return [wrapped(texts, garbage_output, fallback) for fallback in ("-7.0", "[7.0, -5.0]")]


def wrapped(texts: dict[str, str], wrapper: Callable, *more: str) -> dict[str, str]:
    """Put a wrapper of this module around every function of a package.

    `more` are what it takes beside the function, as they are written.
    """
    texts, name = dict(texts), wrapper.__name__
    for module in filter(texts.__contains__, CODE):
        functions = package.functions_of(texts[module])
        lines = [f"{each} = _{name}({', '.join([each, *more])})" for each in functions]
        opening = f"from {__name__} import {name} as _{name}"
        texts[module] += "\n".join(["", "", opening, *lines, ""])
    return texts


def garbage_output(function, fallback):
    """Make a function answer with other values, other shapes, and never with an exception."""

    @functools.wraps(function)
    def answer(*args, **kwargs):
        try:
            return nonsense(function(*args, **kwargs))
        except Exception:
            return np.asarray(fallback)[()]

    return answer


def nonsense(value):
    if isinstance(value, dict):
        return {key: nonsense(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(nonsense(inner) for inner in value)
    if not hasattr(value, "ndim"):
        value = np.asarray(value)
    if value.dtype.kind not in "fiu":
        return value
    if value.ndim == 0:
        return -5 * value - 2
    shape = (2,) + (1,) * value.ndim  # computed with operators alone, as JAX may be tracing
    return value[None] * np.reshape([7, -5], shape) + np.reshape([3, -2], shape)


def with_modules(texts, modules):
    """Put the pieces of other modules in the place of the pair's, whose helpers stay."""
    texts = dict(texts)
    for name, text in modules.items():
        pieces = ", ".join(package.functions_of(text))
        texts[f"other_{name}"] = text
        texts[name] += f"\n\nfrom other_{name} import {pieces}\n"
    return texts


# --- a model that computes in float32 -----------------------------------------------------


def in_float32(texts: dict[str, str]) -> dict[str, str]:
    """Have every function of a package take and give float32, as its port to JAX will."""
    return wrapped(texts, rounding)


def rounding(function):
    """Make a function take float32, and round what it gives to that."""

    @functools.wraps(function)
    def answer(*args, **kwargs):
        return as_float32(function(*as_float32(args), **as_float32(kwargs)))

    return answer


def as_float32(value):
    if isinstance(value, dict):
        return {key: as_float32(inner) for key, inner in value.items()}
    if type(value) in (list, tuple):  # and not of a named tuple
        return type(value)(map(as_float32, value))
    if isinstance(value, np.ndarray | np.generic) and value.dtype == np.float64:
        return value.astype(np.float32)
    return value
