"""Let JAX compute the same on every machine; sum up at the end what was tried, and what it took."""

import contextlib
import itertools
import os
import re
import sys
from collections import Counter
from pathlib import Path

import psutil
import pytest
from browser import CHROMIUM, FLAGS
from xdist.scheduler import LoadScopeScheduling

from reimpl_helpers.authoring.solved import HALF_WRITTEN, STABLE
from reimpl_helpers.checks import diagnosis
from reimpl_helpers.tracks.track import tracks

os.environ.update(STABLE)
diagnosis.SECONDS = 20.0  # as other tests keep the cores busy


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    assert CHROMIUM, "install Debian's package chromium: these tests must run in CI"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


# Never side by side: they make system users of the same names, and wait for browsers and hubs,
# while another worker computes.
IN_TURN = {
    "test_benchmarks", "test_board_page", "test_browser", "test_confirmer", "test_deploy",
    "test_hub", "test_hub_start", "test_workshop",
}  # fmt: skip


class ByTrack(LoadScopeScheduling):
    """Give one worker a file, as always, or what a file asks of one track: [gnn, readout, ...]."""

    def _split_scope(self, nodeid):
        if Path(nodeid.partition("::")[0]).stem in IN_TURN:
            return "in turn"
        file, _, asked = nodeid.partition("[")
        track = re.match("|".join(tracks()), asked)
        return f"{super()._split_scope(file)} {track[0] if track else ''}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return ByTrack(config, log)


def pytest_addoption(parser):
    parser.addoption("--times", action="store_true", help="say at the end what took long")


class ProcessorTimes:
    """Note for every test, and for every cell of a notebook, the processor time that it took."""

    def pytest_collection_finish(self):
        self.before = processor_seconds()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        if call.when == "teardown":  # once a test: to go through all processes takes 2 ms
            now = processor_seconds()
            item.user_properties.append(("SECONDS", now - self.before))
            self.before = now
        return (yield)


def processor_seconds() -> float:
    """Say what this process, and all that come of it, have used."""
    seconds = 0.0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        with contextlib.suppress(psutil.Error):  # it has ended
            seconds += sum(process.cpu_times()[:4])
    return seconds


def pytest_configure(config):
    if config.option.times:
        config.pluginmanager.register(ProcessorTimes())  # a hook of this file sees no notebook


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Let fixtures know whether their test failed, so that they take a screenshot."""
    report = yield
    if report.when == "call":
        item.call_failed = report.failed
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Begin with browsers and hubs; let no test fail where JAX's cache is half written.

    Of a test with the mark `slow(but=1)`, the first example is not slow.
    """
    items.sort(key=lambda item: item.path.stem not in IN_TURN)
    examples = Counter()
    for item in items:
        item.add_marker(pytest.mark.filterwarnings(f"ignore:{HALF_WRITTEN}"))
        for mark in item.iter_markers("slow"):
            examples[item.obj] += 1
            if examples[item.obj] <= mark.kwargs.get("but", 0):
                item.own_markers.remove(mark)


@pytest.fixture
def fault(record_property):
    """Note a fault that was tried, and what it cost; the last line of the tests sums up."""

    def tried(files_lost: int, events_lost: int):
        record_property("FAULT", [files_lost, events_lost])
        assert (files_lost, events_lost) == (0, 0)

    return tried


@pytest.fixture
def keeps_out(record_property):
    """Note whether somebody who must not come in does, and require that they do not."""

    def note(is_out: bool, seen=""):
        record_property("INTRUSION", not is_out)
        assert is_out, seen

    return note


finished = itertools.count(1)


def pytest_runtest_logfinish(nodeid, location):
    """Let JAX forget what it compiled, now and then: thousands of programs exhaust a process."""
    if next(finished) % 400 == 0 and "jax" in sys.modules:
        sys.modules["jax"].clear_caches()


def noted_by(terminalreporter, kind) -> list:
    """List what the tests noted under a name."""
    return [
        found
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, found in report.user_properties
        if name == kind
    ]


def write_times(terminalreporter):
    """Print a table of the processor time of each file of tests, and of the notebooks."""
    spent, tests = Counter(), Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "teardown":
                file = report.nodeid.partition("::")[0]
                where = f"notebooks/*/{Path(file).name}" if file.endswith(".ipynb") else file
                where = where.replace("*/", "*/solved/") if "/solved/" in file else where
                tests[where] += 1
                spent[where] += dict(report.user_properties)["SECONDS"]
    terminalreporter.write_line(f"| {sum(spent.values()):.0f} s | tests | where |")
    terminalreporter.write_line("| ---: | ---: | --- |")
    for where, seconds in spent.most_common():
        terminalreporter.write_line(f"| {seconds:.0f} | {tests[where]} | {where} |")


def pytest_terminal_summary(terminalreporter):
    """Print a line on the checks, of how many they said what they should, and one on faults."""
    if terminalreporter.config.option.times:
        write_times(terminalreporter)
    if faults := noted_by(terminalreporter, "FAULT"):
        survived = sum(found == [0, 0] for found in faults)
        files, events = (sum(found[place] for found in faults) for place in (0, 1))
        terminalreporter.write_line(
            f"FAULTS tried={len(faults)} survived={survived} "
            f"files_lost={files} events_lost={events}"
        )
    if tried := noted_by(terminalreporter, "INTRUSION"):
        terminalreporter.write_line(f"INTRUSIONS tried={len(tried)} let_in={sum(tried)}")
    noted = noted_by(terminalreporter, "CHECKS")
    tried = Counter(kind for kind, _ in noted)
    so = Counter(kind for kind, is_so in noted if is_so)
    if noted:
        share = {kind: f"{so[kind]}/{tried[kind]}" for kind in (*KINDS, "named")}
        share["planted bugs refused"] += f" (named {share.pop('named')})"
        line = ", ".join(f"{kind} {share[kind]}" for kind in KINDS)
        terminalreporter.write_line(f"CHECKS {line}")


KINDS = (
    "unsolved",
    "solved",
    "variants",
    "planted bugs refused",
    "mutations refused",
    "defaults",
    "gradients",
    "tests judged blind",
    "cheats refused",
)
