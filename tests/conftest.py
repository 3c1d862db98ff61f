"""Let JAX compute the same on every machine; sum up at the end what the checks were tried on."""

import itertools
import os
import sys
from collections import Counter
from pathlib import Path

import pytest

from reimpl_helpers.notebooks import STABLE
from reimpl_helpers.workbook import ROOT, tracks

worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
cache = Path(STABLE["JAX_COMPILATION_CACHE_DIR"]) / worker  # JAX warns where two write to one
os.environ.update(STABLE, JAX_COMPILATION_CACHE_DIR=str(cache))


@pytest.hookimpl(wrapper=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items):
    """Keep on one worker what shares its preparations: a file, or what it asks of one track."""
    names = tracks()
    for item in items:
        callspec = getattr(item, "callspec", None)
        name = callspec.params.get("name", "") if callspec else ""
        group = f"{item.path.relative_to(ROOT)} {name if name in names else ''}".strip()
        item.add_marker(pytest.mark.xdist_group(group))
    return (yield)


finished = itertools.count(1)


def pytest_runtest_logfinish(nodeid, location):
    """Let JAX forget what it compiled, now and then: thousands of programs exhaust a process."""
    if next(finished) % 40 == 0 and "jax" in sys.modules:
        sys.modules["jax"].clear_caches()


def pytest_terminal_summary(terminalreporter):
    """Print one line on the checks: of how many of each kind they said what they should."""
    noted = [
        found
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, found in report.user_properties
        if name == "CHECKS"
    ]
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
    "cheats refused",
)
