"""Make `pytest --nbval notebooks/` strict and repeatable."""

import os
import tempfile
from pathlib import Path

import pytest

from reimpl_helpers.notebooks import CELL_TIMEOUT, STABLE, prepare_work

HERE = Path(__file__).parent
WORK = pytest.StashKey[tempfile.TemporaryDirectory]()


def pytest_configure(config):
    if config.pluginmanager.hasplugin("nbval"):
        config.option.nbval_sanitize_with = str(HERE / "sanitize.cfg")
        config.option.nbval_cell_timeout = CELL_TIMEOUT
    config.stash[WORK] = tempfile.TemporaryDirectory()


def pytest_unconfigure(config):
    config.stash[WORK].cleanup()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Give each notebook a pair's folder of its own, before nbval starts its kernel."""
    if item.path.suffix == ".ipynb":
        name = item.path.relative_to(HERE).with_suffix("")
        work = Path(item.config.stash[WORK].name) / name / "work"
        if not work.exists():
            work.mkdir(parents=True)
            prepare_work(item.path, work)
            os.environ.update(STABLE, REIMPL_WORK=str(work))
