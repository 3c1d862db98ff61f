"""Recordings: kept whole, and refused when they are not."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from reimpl_helpers.base.places import NOTEBOOKS
from reimpl_helpers.originals import recording as recording_module
from reimpl_helpers.originals.recording import (
    Operation,
    Probe,
    Recording,
    RecordingError,
    Training,
    read_recording,
    source_sha256,
    write_recording,
)

AUTOENCODER = NOTEBOOKS / "autoencoder"


def small_recording() -> Recording:
    """Make a recording with everything a track may need: masks, integers, several outputs."""
    rng = np.random.default_rng(0)
    params = {"b.weight": rng.normal(size=(3, 2)), "a.bias": rng.normal(size=3)}

    def probe(name, params):
        nodes, mask = rng.normal(size=(4, 2)), np.array([True, False, True, True])
        halves = (rng.normal(size=(4, 1)), rng.normal(size=(4, 1)))
        total = np.array(1.5)
        return Probe(
            name=name,
            why="It is here to be written.",
            sizes={"nodes": 4, "features": 2},
            params=params,
            inputs={"nodes": nodes, "mask": mask, "senders": np.array([0, 2])},
            target=rng.normal(size=(4, 3)),
            operations=(
                Operation(0, "chunk", "", "forward", 3, "x.chunk(2)", "a, b", ("nodes",), halves),
                Operation(1, "Tensor.sum", "m", "forward", 4, "a.sum()", None, ("#0.1",), (total,)),
            ),
            results={"forward": total},
            loss=1 / 3,
            gradients={name: np.ones_like(value) for name, value in params.items()},
        )

    own = {"b.weight": rng.normal(size=(2, 5)), "a.bias": rng.normal(size=2)}
    return Recording(
        track="small",
        path=Path("unused"),
        versions={"torch": "2.13.0"},
        source_sha256="0" * 64,
        params=params,
        probes={p.name: p for p in (probe("ordinary", params), probe("other sizes", own))},
        training=Training(params, {"nodes": np.ones((4, 2))}, np.zeros(4), 1e-3, np.arange(3.0)),
        initial={name: np.linspace(-1, 1, 257) for name in params},
        data={"images": np.arange(6, dtype=np.uint8).reshape(2, 3)},
    )


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "recording.safetensors"
    write_recording(small_recording(), path)
    return path


def assert_same(left, right):
    """Require two parts of recordings to be equal in type, order and every number."""
    assert type(left) is type(right)
    if hasattr(left, "__dataclass_fields__"):
        left, right = vars(left), vars(right)
    if isinstance(left, dict):
        assert list(left) == list(right)
        left, right = list(left.values()), list(right.values())
    if isinstance(left, list | tuple):
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    elif isinstance(left, np.ndarray):
        assert (left.shape, left.dtype) == (right.shape, right.dtype)
        np.testing.assert_array_equal(left, right)
    else:
        assert left == right


def test_what_is_written_is_read(path):
    written = replace(small_recording(), path=path)
    sizes = {name: dict(sorted(probe.sizes.items())) for name, probe in written.probes.items()}
    probes = {name: replace(probe, sizes=sizes[name]) for name, probe in written.probes.items()}
    assert_same(read_recording(path), replace(written, probes=probes))


def test_comparison_of_recordings_sees_one_changed_number(path):
    changed = small_recording()
    changed.probes["ordinary"].gradients["a.bias"][1] += 1e-15
    with pytest.raises(AssertionError):
        assert_same(
            read_recording(path).probes["ordinary"].gradients,
            changed.probes["ordinary"].gradients,
        )


def test_same_recording_gives_same_bytes(path, tmp_path):
    again = tmp_path / "again.safetensors"
    write_recording(small_recording(), again)
    assert again.read_bytes() == path.read_bytes()
    write_recording(read_recording(path), again)
    assert again.read_bytes() == path.read_bytes()


def test_shared_parameters_are_stored_once_under_readable_names(path):
    with safe_open(path, framework="numpy") as file:
        names = set(file.keys())
    assert {"params/b.weight", "data/images", "training/x/nodes", "initial/a.bias"} <= names
    assert {"probes/other sizes/params/a.bias", "probes/ordinary/values/0.1"} <= names
    assert "probes/ordinary/values/1" in names
    assert not [name for name in names if name.startswith("probes/ordinary/params")]


def test_arrays_cannot_be_changed_by_accident(path):
    with pytest.raises(ValueError, match="read-only"):
        read_recording(path).params["a.bias"][0] = 0


def test_memory_layout_does_not_matter(path, tmp_path):
    recording = small_recording()
    weight = np.asfortranarray(recording.params["b.weight"])
    turned = replace(recording, params={**recording.params, "b.weight": weight})
    write_recording(turned, tmp_path / "turned")
    assert (tmp_path / "turned").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nothing_is_written_when_a_number_is_not_finite(path, value):
    whole = path.read_bytes()
    recording = small_recording()
    recording.probes["ordinary"].gradients["a.bias"][1] = value
    with pytest.raises(RecordingError, match="probes/ordinary/gradients/a.bias holds NaN or Inf"):
        write_recording(recording, path)
    assert path.read_bytes() == whole


def test_nothing_is_written_in_less_than_float64(path):
    data = {"faint": np.ones(3, dtype=np.float32)}
    with pytest.raises(RecordingError, match="data/faint holds float32"):
        write_recording(replace(small_recording(), data=data), path)


def test_a_failed_write_leaves_the_old_file(path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    whole = path.read_bytes()
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_recording(replace(small_recording(), track="other"), path)
    assert path.read_bytes() == whole
    assert list(path.parent.iterdir()) == [path]


# --- damage


def refused(path: Path, seen: str) -> str:
    """Require a recording to be refused, in words that say what was seen and what to do."""
    with pytest.raises(RecordingError, match=seen) as caught:
        read_recording(path)
    message = str(caught.value)
    assert str(path) in message and "Expected: " in message
    assert "reimpl work" in message and "git checkout" in message and "make record" in message
    return message


def contents(path: Path) -> tuple[dict, dict]:
    """Read a recording's manifest and copies of its arrays, past every check."""
    with safe_open(path, framework="numpy") as file:
        return (
            json.loads(file.metadata()["manifest"]),
            {name: np.array(file.get_tensor(name)) for name in file.keys()},
        )


def test_missing_file_is_refused(tmp_path):
    refused(tmp_path / "recording.safetensors", "no such file")
    refused(tmp_path, "no such file")


@pytest.mark.parametrize("content", [b"", b"{}", b"PK\x03\x04" * 40, b"\xff" * 100, b"# text\n"])
def test_other_files_are_refused(path, content):
    path.write_bytes(content)
    refused(path, "not whole")


def test_truncated_file_is_refused_wherever_it_ends(path):
    whole = path.read_bytes()
    for length in {*range(0, len(whole), 97), *range(16), len(whole) - 1}:
        path.write_bytes(whole[:length])
        refused(path, "not whole")


def test_longer_file_is_refused(path):
    path.write_bytes(path.read_bytes() + b"\0")
    refused(path, "not whole")


def test_one_flipped_bit_is_refused_wherever_it_is(path):
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.choice(len(whole), size=400, replace=False):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        refused(path, "cannot be used as a recording")


def test_flipped_bit_in_the_real_recording_is_refused(tmp_path):
    path = tmp_path / "recording.safetensors"
    damaged = bytearray((AUTOENCODER / "recording.safetensors").read_bytes())
    damaged[-1000] ^= 1  # the last digit of some number: finite, plausible, wrong
    path.write_bytes(damaged)
    refused(path, "changed since it was recorded")


def test_manifest_has_to_be_there_and_be_json(path):
    manifest, arrays = contents(path)
    save_file(arrays, path)
    refused(path, "no manifest")
    save_file(arrays, path, {"manifest": "{'single': 'quotes'}"})
    refused(path, "not JSON")
    save_file(arrays, path, {"manifest": "[" * 100_000})
    refused(path, "not JSON")
    for text in ("[]", "null", "3"):
        save_file(arrays, path, {"manifest": text})
        refused(path, "format None")


def test_another_format_is_refused(path):
    manifest, arrays = contents(path)
    save_file(arrays, path, {"manifest": json.dumps({**manifest, "format": 99})})
    refused(path, "format 99.* Expected: format 1")


@pytest.mark.parametrize("arrays_entry", [None, 3, ["params"], [["params/a.bias", "float64", 3]]])
def test_manifest_without_a_list_of_arrays_is_refused(path, arrays_entry):
    manifest, arrays = contents(path)
    save_file(arrays, path, {"manifest": json.dumps({**manifest, "arrays": arrays_entry})})
    refused(path, "changed since it was recorded")


def test_array_that_is_missing_or_too_many_is_refused(path):
    manifest, arrays = contents(path)
    metadata = {"manifest": json.dumps(manifest)}
    save_file({**arrays, "params/extra": np.ones(2)}, path, metadata)
    refused(path, "changed since it was recorded")
    del arrays["training/losses"]
    save_file(arrays, path, metadata)
    refused(path, "changed since it was recorded")


@pytest.mark.parametrize(
    "change",
    [
        lambda bias: bias[:2],
        lambda bias: bias[:, None],
        lambda bias: bias.view(np.int64),
        lambda bias: np.where(bias == bias[0], np.nan, bias),
        lambda bias: -bias,
    ],
    ids=["shorter", "axis", "dtype", "NaN", "sign"],
)
def test_array_other_than_stated_is_refused(path, change):
    manifest, arrays = contents(path)
    arrays["params/a.bias"] = change(arrays["params/a.bias"])
    save_file(arrays, path, {"manifest": json.dumps(manifest)})
    refused(path, "changed since it was recorded")


@pytest.mark.parametrize("key", ["track", "versions", "source_sha256", "learning_rate", "probes"])
def test_part_missing_from_the_manifest_is_refused(path, key):
    manifest, arrays = contents(path)
    del manifest[key]
    save_file(arrays, path, {"manifest": json.dumps(manifest)})
    refused(path, "changed since it was recorded")
    resign(path, manifest, arrays)
    assert key in refused(path, "a part is missing")


@pytest.mark.parametrize("name", ["params", "training", "initial", "probes"])
def test_part_missing_from_the_arrays_is_refused(path, name):
    manifest, arrays = contents(path)
    arrays = {key: value for key, value in arrays.items() if key.split("/")[0] != name}
    manifest["arrays"] = [row for row in manifest["arrays"] if row[0] in arrays]
    resign(path, manifest, arrays)
    refused(path, "a part is missing")


def resign(path: Path, manifest: dict, arrays: dict) -> None:
    """Write a recording whose fingerprint fits, as another program might."""
    manifest["sha256"] = recording_module._fingerprint(manifest, arrays)
    save_file(arrays, path, {"manifest": json.dumps(manifest)})


# --- the recording of the autoencoder


@pytest.fixture(scope="module")
def autoencoder():
    return read_recording(AUTOENCODER / "recording.safetensors")


def test_recording_is_small():
    assert (AUTOENCODER / "recording.safetensors").stat().st_size < 1_000_000


def test_recording_is_of_this_original(autoencoder):
    assert autoencoder.source_sha256 == source_sha256(AUTOENCODER / "original.py")


def test_source_sum_sees_a_change_but_not_line_ends(tmp_path):
    sums = []
    for text in (b"a = 1\n", b"a = 1\r\n", b"a = 2\n"):
        (tmp_path / "original.py").write_bytes(text)
        sums.append(source_sha256(tmp_path / "original.py"))
    assert sums[0] == sums[1] != sums[2]


def test_probes_are_the_agreed_ones(autoencoder):
    assert list(autoencoder.probes) == [
        "ordinary",
        "one row",
        "zeros",
        "tiny values",
        "large values",
        "other sizes",
        "wide hidden",
    ]
    for name, probe in autoencoder.probes.items():
        assert probe.name == name and probe.why
        assert list(probe.results) == ["encoder", "decoder", "forward"]
        assert list(probe.params) == list(probe.gradients) == list(autoencoder.params)
        assert len(set(probe.sizes.values())) == len(probe.sizes), name


def test_probes_fit_their_sizes(autoencoder):
    for probe in autoencoder.probes.values():
        batch, pixels, hidden, code = (
            probe.sizes[axis] for axis in ("batch", "pixels", "hidden", "code")
        )
        assert probe.inputs["x"].shape == probe.target.shape == (batch, pixels)
        assert probe.results["encoder"].shape == (batch, code)
        assert probe.results["forward"].shape == (batch, pixels)
        assert probe.params["enc_hidden.weight"].shape == (hidden, pixels)


def test_probes_show_what_they_are_for(autoencoder):
    probes = autoencoder.probes
    assert np.array_equal(probes["ordinary"].target, probes["ordinary"].inputs["x"])
    assert not probes["zeros"].inputs["x"].any()
    assert 0 < probes["tiny values"].inputs["x"].max() <= 0.01
    large = probes["large values"]
    assert large.inputs["x"].min() < -30 and large.inputs["x"].max() > 30
    assert np.mean(np.abs(large.results["encoder"]) > 0.999) > 0.5
    for name in ("other sizes", "wide hidden"):
        assert np.abs(probes[name].target - probes[name].inputs["x"]).min() > 1e-3
        biases = [value for key, value in probes[name].params.items() if key.endswith("bias")]
        assert min(np.abs(bias).max() for bias in biases) > 0.3
    for probe in probes.values():
        cut = probe.operations[1].values[0] == 0
        assert cut.any() and not cut.all(), f"relu shows nothing on {probe.name}"


def test_losses_follow_from_the_recorded_results(autoencoder):
    for probe in autoencoder.probes.values():
        error = probe.results["forward"] - probe.target
        assert probe.loss == pytest.approx(np.mean(error**2), rel=1e-12)


def test_inputs_of_operations_can_be_found(autoencoder):
    for probe in autoencoder.probes.values():
        known = {*probe.params, *probe.inputs}
        for operation in probe.operations:
            assert known.issuperset(operation.inputs), (probe.name, operation)
            known.add(f"#{operation.index}")


def test_trained_parameters_draw_digits(autoencoder):
    params, images = autoencoder.params, autoencoder.data["images"].reshape(-1, 64) / 16

    def dense(name, x):
        return x @ params[f"{name}.weight"].T + params[f"{name}.bias"]

    codes = np.tanh(dense("enc_code", np.maximum(dense("enc_hidden", images), 0)))
    drawn = 1 / (1 + np.exp(-dense("dec_pixels", np.maximum(dense("dec_hidden", codes), 0))))
    assert np.mean((drawn - images) ** 2) < 0.015  # an image of mean grey everywhere: 0.073


def test_data_are_the_digits(autoencoder):
    images, labels = autoencoder.data["images"], autoencoder.data["labels"]
    assert images.shape == (1797, 8, 8) and images.dtype == labels.dtype == np.uint8
    assert images.max() == 16 and set(labels) == set(range(10))


def test_training_starts_fresh_and_goes_down(autoencoder):
    training = autoencoder.training
    assert training.losses.shape == (20,) and (np.diff(training.losses) < 0).all()
    assert training.learning_rate == 1e-3
    assert len(training.x) not in autoencoder.probes["ordinary"].sizes.values()
    for name, value in training.params.items():
        quantiles = autoencoder.initial[name]
        assert quantiles.shape == (257,) and (np.diff(quantiles) > 0).all()
        assert quantiles[0] <= value.min() and value.max() <= quantiles[-1]


def test_initial_values_fill_the_documented_range(autoencoder):
    for name, quantiles in autoencoder.initial.items():
        weight = autoencoder.params[name.split(".")[0] + ".weight"]
        bound = 1 / np.sqrt(weight.shape[1])  # nn.Linear: uniform, by the width of its input
        even = np.linspace(-bound, bound, 257)
        assert np.abs(quantiles - even).max() < 0.02 * bound
        assert np.abs(quantiles).max() <= bound
