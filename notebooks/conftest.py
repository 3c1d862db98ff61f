"""Make `pytest --nbval notebooks/` strict and repeatable, and look at what a notebook leaves."""

import functools
import itertools
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from jupyter_client.manager import KernelManager

from reimpl_helpers.authoring.solved import CELL_TIMEOUT, HALF_WRITTEN, STABLE, prepare_work
from reimpl_helpers.tracks.notebooks import is_solved, notebooks_of
from reimpl_helpers.tracks.track import Track

HERE = Path(__file__).parent
STRICT = "-W", "error", "-W", f"ignore:{HALF_WRITTEN}"
CHECK = "check"  # the tag of a cell that asks for a verdict
RIGHT = " · (right|passes on your model, refuses) "
WORK = pytest.StashKey[tempfile.TemporaryDirectory]()


def pytest_configure(config):
    if config.pluginmanager.hasplugin("nbval"):
        from nbval import kernel

        config.option.nbval_sanitize_with = str(HERE / "sanitize.cfg")
        config.option.nbval_cell_timeout = CELL_TIMEOUT
        if os.name != "nt":  # at a port that something else took meanwhile, a kernel dies
            kernel.KernelManager = functools.partial(manager_at_socket, config, itertools.count())
    config.stash[WORK] = tempfile.TemporaryDirectory()


def manager_at_socket(config, number, **more):
    """Make what starts a kernel that is heard at sockets in a folder, and at no port."""
    beside = Path(config.stash[WORK].name) / f"{next(number)}.json"
    return KernelManager(transport="ipc", connection_file=str(beside), **more)


def pytest_unconfigure(config):
    config.stash[WORK].cleanup()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Give each notebook a pair's folder of its own, before nbval starts its kernel."""
    if item.path.suffix == ".ipynb":
        work = work_of(item)
        if not work.exists():
            work.mkdir(parents=True)
            prepare_work(item.path, work)
            os.environ.update(STABLE, REIMPL_WORK=str(work))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Note for the line of the checks whether they call a solved notebook's answer right."""
    report = yield
    if call.when == "call" and is_solved(item.path) and CHECK in item.cell.metadata.get("tags", ()):
        said = str(item.cell.outputs)
        is_right = report.passed and bool(re.search(RIGHT, said))
        report.user_properties.append(("CHECKS", ["solved", is_right]))
        if report.passed and not is_right:
            report.outcome, report.longrepr = "failed", f"the stored output is not right: {said}"
    return report


def work_of(item):
    """Name the pair's folder of a notebook."""
    name = item.path.relative_to(HERE).with_suffix("")
    return Path(item.config.stash[WORK].name) / name / "work"


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item, nextitem):
    """After the last cell of a notebook, look at what it saved."""
    if item.path.suffix != ".ipynb" or (nextitem and nextitem.path == item.path):
        return
    work = work_of(item)
    if not is_solved(item.path):
        assert not list(work.rglob("*.py")), "nothing was written, and something is saved"
    elif is_last(item.path):
        assert_runs_without_helpers(work / item.path.parent.parent.name, work.parent)


def is_last(path):
    """Tell whether a solved notebook is the last of its track."""
    return path.name == notebooks_of(path.parent.parent.name)[-1].name


def assert_runs_without_helpers(finished, folder):
    """Require that pytest passes every test of a package where the helpers cannot be imported."""
    (folder / "reimpl_helpers.py").write_text("raise ImportError('the helpers are not here')")
    alone = {**os.environ, "PYTHONPATH": str(folder)}
    probe = subprocess.run([sys.executable, "-c", "import reimpl_helpers"], env=alone, cwd=folder)
    assert probe.returncode != 0, "the helpers are still there"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *STRICT, str(finished / "test_model.py")],
        env=alone, cwd=folder, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    count = sum(piece.is_test for piece in Track(finished.name).pieces)
    assert count > 8 and re.search(rf"^{count} passed", run.stdout, re.M), run.stdout + run.stderr
