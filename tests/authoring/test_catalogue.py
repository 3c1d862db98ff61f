"""A track is a folder: adding one is all that it takes, and every list of models says so."""

import os
import re
import shutil
import subprocess
import sys

import nbformat
import pytest

from reimpl_helpers.authoring.catalogue import README, START, about_track, catalogue
from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.base.places import ROOT
from reimpl_helpers.texts.package import definition_of
from reimpl_helpers.tracks.track import Track, tracks


def test_the_lists_of_models_are_up_to_date():
    readme, start = README.read_text("utf-8"), nbformat.read(START, as_version=4)
    built, page = catalogue(readme, nbformat.read(START, as_version=4))
    assert (built, page) == (readme, start), "run `reimpl guide`"
    assert all(f"| `{name}` |" in built for name in tracks())


@pytest.mark.parametrize("text", [None, "title = 'a'\ndoes = 'b'\n", "title ="])
def test_a_track_that_does_not_say_what_it_is_is_named(text, tmp_path, monkeypatch):
    monkeypatch.setattr("reimpl_helpers.authoring.catalogue.NOTEBOOKS", tmp_path)
    (tmp_path / "toy").mkdir()
    if text:
        (tmp_path / "toy/about.toml").write_text(text)
    with pytest.raises(WorkbookError, match="toy/about.toml does not say what the model is"):
        about_track("toy")


@pytest.fixture(scope="module")
def with_toy(tmp_path_factory):
    """Copy the project, and add a fifth track; return what runs a command there."""
    root = tmp_path_factory.mktemp("with_toy")
    for name in "reimpl_helpers", "notebooks", "docs":
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in "README.md", "pyproject.toml", "requirements.lock", "Makefile":
        shutil.copy(ROOT / name, root)
    shutil.copytree(root / "notebooks/autoencoder", root / "notebooks/toy")
    about = (root / "notebooks/toy/about.toml").read_text()
    about = about.replace("autoencoder", "toy model").replace("squeezes", "squeezes toy")
    (root / "notebooks/toy/about.toml").write_text(about)
    page = (root / "docs/facilitating/autoencoder.md").read_text()
    (root / "docs/facilitating/toy.md").write_text(re.sub(r"\*\d+ minutes", "*1 minutes", page))

    def run(*command, program=("-m", "reimpl_helpers.cli")):
        done = subprocess.run(
            [sys.executable, *program, *command], cwd=root, text=True, capture_output=True,
            env=os.environ | {"REIMPL_WORK": str(root / "work")}, timeout=300,
        )  # fmt: skip
        assert not done.returncode, done.stderr
        return done.stdout

    return root, run


SOLVE_ONE = """import numpy as np
from reimpl_helpers.workbook import start
track = start("toy", step=1)
{}
print(track.check(nn_layer))
"""


@pytest.mark.slow
def test_a_track_that_was_added_shows_up_everywhere(with_toy):
    root, run = with_toy
    run("guide")
    assert "| `toy` | squeezes toy images" in (root / "README.md").read_text("utf-8")
    start = (root / "notebooks/00_start_here.ipynb").read_text("utf-8")
    assert "[45 min](toy/01_forward_pass.ipynb)" in start
    assert "*1 minutes" not in (root / "docs/facilitating/toy.md").read_text("utf-8")
    assert "1.3  One dense layer: nn_layer" in run("plan", "toy")
    run("work")
    model = Track("autoencoder", 1).given_texts(False)["model"]
    (root / "solve.py").write_text(SOLVE_ONE.format(definition_of(model, "nn_layer")))
    assert "nn_layer · right" in run(program=["solve.py"])
    assert "def nn_layer(" in (root / "work/toy/model.py").read_text("utf-8")
    assert "toy 01 The forward pass, 45 minutes" in run("board", "work", "--text")
