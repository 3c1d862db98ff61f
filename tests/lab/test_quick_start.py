"""A server starts without what nothing here needs; a newer library that brings it back is seen."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from reimpl_helpers.base.places import ROOT


@pytest.mark.skipif(find_spec("jupyterhub") is None, reason="needs JupyterHub")
def test_a_hub_builds_no_grammar():
    seen = "import reimpl_helpers.hub.jupyterhub, sys; sys.exit('lark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", seen], cwd=ROOT, timeout=120).returncode == 0


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """Import what a server imports, where Node.js says when it is asked; return what was seen."""
    folder = tmp_path_factory.mktemp("bin")
    node = folder / "node"
    node.write_text(f"#!/bin/sh\necho asked >> {folder}/asked\n")
    node.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", "import reimpl_helpers.lab.serve, sys; print(*sys.modules)"],
        env=os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}, cwd=ROOT,
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout.split(), (folder / "asked").exists()


def test_no_grammar_is_built(started):
    modules, _ = started
    assert "jsonschema" in modules and "lark" not in modules


@pytest.mark.skipif(os.name == "nt", reason="the node of this test is a shell script")
def test_node_is_not_asked(started):
    modules, asked = started
    assert "jupyterlab.labapp" in modules and not asked
