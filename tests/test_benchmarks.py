"""The bench of a workshop notices what is lost: a letter, a check in the log, a piece."""

import json
import os
import random
from importlib.util import find_spec

import pytest

if os.name == "nt" or find_spec("jupyterhub") is None:
    pytest.skip("`make hub` installs JupyterHub, on Linux and macOS", allow_module_level=True)
from bench_workshop import NOTEBOOK, Pair

from reimpl_helpers.log import Log


@pytest.mark.parametrize(
    "cell, piece, model, lost",
    [
        ("def encoder(): pass", "encoder", "def encoder(): pass", 0),
        ("def encoder: pass", "encoder", "def encoder(): pass", 2),
        ("", "encoder", "def encoder(): pass", len("def encoder(): pass")),
        ("def encoder(): pass", "decoder", "def encoder(): pass", 1),
        ("def encoder(): pass", "encoder", "def decoder(): pass", 1),
    ],
    ids=["nothing", "two letters", "a cell", "a check", "a piece"],
)
def test_what_is_not_on_the_disk_is_counted(cell, piece, model, lost, tmp_path):
    notebook = tmp_path / NOTEBOOK
    notebook.parent.mkdir()
    notebook.write_text(json.dumps({"cells": [{"id": "one", "source": [cell]}]}))
    (tmp_path / "autoencoder/model.py").write_text(model)
    here = {"track": "autoencoder", "step": 1, "source": ""}
    Log(tmp_path).append("check", **here, piece=piece, state="right")
    pair = Pair("p1", ("Ada", "Grace"), random.Random(0))
    pair.typed, pair.right = {"one": "def encoder(): pass"}, ["encoder"]
    assert pair.lost(tmp_path) == lost
