"""The recording of the autoencoder against live PyTorch."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from reimpl_helpers.base.places import NOTEBOOKS
from reimpl_helpers.originals.recording import read_recording, source_sha256, write_recording
from reimpl_helpers.originals.tracing import adam_losses, load_original, load_params, record_probe

torch = pytest.importorskip("torch", reason="needs PyTorch: the extra `torch`")
mse_loss = torch.nn.functional.mse_loss

AUTOENCODER = NOTEBOOKS / "autoencoder"
ORIGINAL = AUTOENCODER / "original.py"
RECORDING = read_recording(AUTOENCODER / "recording.safetensors")


def build(source: Path, sizes: dict[str, int], params: dict[str, np.ndarray]):
    """Build an original with the parameters of a recording."""
    widths = {axis: sizes[axis] for axis in ("pixels", "hidden", "code")}
    model = load_original(source).Autoencoder(**widths).double()
    load_params(model, params)
    return model


def parts(model, x):
    z = model.encoder(x)
    return {"encoder": z, "decoder": model.decoder(z)}


def assert_same_numbers(name, live, recorded):
    assert live.shape == recorded.shape and live.dtype == recorded.dtype, name
    np.testing.assert_allclose(live, recorded, rtol=1e-9, atol=1e-14, err_msg=name)


def assert_probe_holds(probe, source=ORIGINAL):
    """Require live PyTorch to compute on a probe what was recorded, by the same operations."""
    torch.set_num_threads(1)
    live = record_probe(
        build(source, probe.sizes, probe.params),
        name=probe.name,
        why=probe.why,
        sizes=probe.sizes,
        inputs=probe.inputs,
        target=probe.target,
        loss=mse_loss,
        parts=parts,
        source=source,
    )
    assert len(live.operations) == len(probe.operations) == 8
    for ours, theirs in zip(live.operations, probe.operations, strict=True):
        for key, value in vars(theirs).items():
            if key != "values":
                assert getattr(ours, key) == value, (key, theirs.index)
        for one, other in zip(ours.values, theirs.values, strict=True):
            assert_same_numbers(f"operation {theirs.index}", one, other)
    for kind in ("params", "gradients", "results"):
        ours, theirs = getattr(live, kind), getattr(probe, kind)
        assert list(ours) == list(theirs)
        for name in ours:
            assert_same_numbers(f"{kind} {name}", ours[name], theirs[name])
    assert live.loss == pytest.approx(probe.loss, rel=1e-9)


def assert_training_holds(training, source=ORIGINAL):
    """Require live PyTorch to train as was recorded."""
    torch.set_num_threads(1)
    losses = adam_losses(
        build(source, RECORDING.probes["ordinary"].sizes, training.params),
        training.x,
        training.y,
        loss=mse_loss,
        learning_rate=training.learning_rate,
        steps=len(training.losses),
    )
    assert_same_numbers("losses", losses, training.losses)


@pytest.mark.parametrize("name", list(RECORDING.probes))
def test_live_original_computes_what_was_recorded(name):
    assert_probe_holds(RECORDING.probes[name])


def test_live_original_trains_as_was_recorded():
    assert_training_holds(RECORDING.training)


def test_original_is_short_and_builds_at_its_default_sizes():
    assert len(ORIGINAL.read_text().splitlines()) < 60
    model = load_original(ORIGINAL).Autoencoder()
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert shapes == {name: value.shape for name, value in RECORDING.params.items()}
    assert model(torch.zeros(2, 64)).shape == (2, 64)


CHANGES = {
    "no relu": ("torch.relu(self.enc_hidden(x))", "self.enc_hidden(x)"),
    "another activation": ("torch.tanh(", "torch.sigmoid("),
    "one digit": ("self.enc_code(hidden)", "self.enc_code(hidden * (1 + 1e-7))"),
    "an operation more": ("self.decoder(z)", "self.decoder(z * 1.0)"),
    "a line more": ("import torch\n", "import math\nimport torch\n"),
    "another variable": ("hidden = torch.relu(self.enc", "_ = hidden = torch.relu(self.enc"),
    "method for function": ("torch.relu(self.enc_hidden(x))", "self.enc_hidden(x).relu()"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_parity_refuses_a_changed_original(name, tmp_path):
    old, new = CHANGES[name]
    text = ORIGINAL.read_text(encoding="utf-8")
    assert old in text
    changed = tmp_path / "original.py"
    changed.write_text(text.replace(old, new, 1), encoding="utf-8")
    assert source_sha256(changed) != RECORDING.source_sha256
    with pytest.raises(AssertionError):
        assert_probe_holds(RECORDING.probes["ordinary"], changed)


@pytest.mark.parametrize("kind", ["gradients", "results", "params"])
def test_parity_refuses_a_changed_number(kind, tmp_path):
    write_recording(RECORDING, tmp_path / "copy")
    probe = read_recording(tmp_path / "copy").probes["wide hidden"]
    assert_probe_holds(probe)
    name, array = list(getattr(probe, kind).items())[-1]
    getattr(probe, kind)[name] = array * (1 + 1e-8)
    with pytest.raises(AssertionError):
        assert_probe_holds(probe)


def test_parity_refuses_another_learning_rate():
    training = RECORDING.training
    changed = type(training)(**{**vars(training), "learning_rate": 1.001e-3})
    with pytest.raises(AssertionError, match="losses"):
        assert_training_holds(changed)


# --- recording again

QUICK = """
import sys
from functools import partial
from pathlib import Path
from reimpl_helpers.originals.tracing import load_original
from reimpl_helpers.originals.recording import write_recording

recorder = load_original(Path(sys.argv[1]))
recorder.trained_params = partial(recorder.trained_params, epochs=2)
recorder.initial_quantiles = partial(recorder.initial_quantiles, values=500)
write_recording(recorder.record(), Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_recording_again_gives_the_same_file(tmp_path):
    """Record twice, each time in a fresh process, with a training cut short."""
    pytest.importorskip("sklearn", reason="needs scikit-learn: the extra `torch`")
    copies = [tmp_path / "one", tmp_path / "other"]
    for seed, path in enumerate(copies):
        environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
        subprocess.run(
            [sys.executable, "-c", QUICK, AUTOENCODER / "record.py", path],
            env=environment,
            cwd=ORIGINAL.parents[2],
            check=True,
        )
    assert copies[0].read_bytes() == copies[1].read_bytes()
    again = read_recording(copies[0])
    assert list(again.probes) == list(RECORDING.probes)
    assert again.source_sha256 == source_sha256(ORIGINAL)


def test_recorder_gives_the_probes_that_do_not_depend_on_training():
    """Hold record.py to the recording, so that one does not change without the other."""
    pytest.importorskip("sklearn", reason="needs scikit-learn: the extra `torch`")
    torch.set_num_threads(1)
    recorder = load_original(AUTOENCODER / "record.py")
    images = RECORDING.data["images"].reshape(-1, 64) / 16
    for probe in recorder.probes(RECORDING.params, images):
        recorded = RECORDING.probes[probe.name]
        assert (probe.why, probe.sizes) == (recorded.why, recorded.sizes)
        for kind in ("inputs", "params", "results"):
            for name, value in getattr(probe, kind).items():
                assert_same_numbers(f"{probe.name} {name}", value, getattr(recorded, kind)[name])
