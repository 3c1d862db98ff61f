"""Write and read recordings: what an original computed, kept so that no PyTorch is needed.

A recording is one safetensors file. Its arrays have readable names, such as
"params/enc_hidden.weight" or "probes/one row/inputs/x", so any program can read them; all the
rest (which operation made a value, on which line) is JSON under the metadata key "manifest".
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from reimpl_helpers.base.files import replace_file
from reimpl_helpers.base.trees import flat, nested

FORMAT = 1

REMEDY = (
    "What to do: replace the file with a whole one. In work/, delete it and run `reimpl work`, "
    "which copies it again; in notebooks/, run `git checkout -- {path}`, "
    "or `make record` where PyTorch is installed."
)


class RecordingError(ValueError):
    """A recording that cannot be used, and why."""


@dataclass(frozen=True)
class Operation:
    """One PyTorch operation that an original ran, and what came out of it."""

    index: int  # order in the trace
    op: str  # PyTorch's name: "linear", "Tensor.matmul"
    module: str  # path of the module that ran it: "enc_hidden", "" for the original itself
    function: str  # function of the original it stands in: "encoder"
    line: int  # line of the original's file
    expression: str  # exactly what stands there: "self.enc_hidden(x)"
    variable: str | None  # name the result is given there: "hidden"
    inputs: tuple[str, ...]  # arrays it read: "x", "enc_hidden.weight", "#0", "#3.1" (second of #3)
    values: tuple[np.ndarray, ...]  # its outputs

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Give the shape of each output."""
        return tuple(value.shape for value in self.values)


@dataclass(frozen=True)
class Probe:
    """One input, and everything the original computed from it."""

    name: str
    why: str  # which mistakes it shows
    sizes: dict[str, int]  # size of each named axis
    params: dict[str, np.ndarray]  # by state_dict name
    inputs: dict[str, np.ndarray]  # by the name of forward's argument
    target: np.ndarray  # what the loss compares the output with
    operations: tuple[Operation, ...]
    results: dict[str, np.ndarray]  # what each method gave: "encoder", "forward"
    loss: float
    gradients: dict[str, np.ndarray]  # of the loss, for every parameter

    def value(self, name: str) -> np.ndarray:
        """Look up what an operation read: an input, a parameter, or an earlier value ("#3.1")."""
        if name.startswith("#"):
            index, _, output = name[1:].partition(".")
            return self.operations[int(index)].values[int(output or 0)]
        return self.inputs[name] if name in self.inputs else self.params[name]


@dataclass(frozen=True)
class Training:
    """The original's first Adam steps, all on the same batch."""

    params: dict[str, np.ndarray]  # before the first step
    x: np.ndarray | dict[str, np.ndarray]  # a dict where forward takes several arrays
    y: np.ndarray
    learning_rate: float
    losses: np.ndarray  # the loss that each step starts from


@dataclass(frozen=True)
class Recording:
    """What one original computed, on every probe and in training."""

    track: str
    path: Path
    versions: dict[str, str]  # of the packages that computed it
    source_sha256: str  # of the original's file
    params: dict[str, np.ndarray]  # trained, by state_dict name
    probes: dict[str, Probe]
    training: Training
    initial: dict[str, np.ndarray]  # by state_dict name: evenly spaced quantiles of fresh values
    data: dict[str, np.ndarray]


def source_sha256(path: Path) -> str:
    """Sum up an original's text, the same whichever way its lines end."""
    return hashlib.sha256(Path(path).read_text(encoding="utf-8").encode()).hexdigest()


def write_recording(recording: Recording, path: Path) -> None:
    """Write a recording, whole or not at all; the same recording always gives the same bytes.

    Raises: RecordingError when an array holds NaN, Inf or floats other than float64; OSError when
        it cannot be written.
    """
    tree, probes = _as_tree(recording), []
    for probe in recording.probes.values():
        shared = _same_arrays(probe.params, recording.params)
        if not shared:
            tree["probes"][probe.name]["params"] = probe.params
        probes.append(_probe_facts(probe, shared))
    arrays = {name: np.array(array, order="C") for name, array in flat(tree, "/").items()}
    for name, array in arrays.items():
        if not _is_finite(array) or (array.dtype.kind == "f" and array.dtype != np.float64):
            seen = array.dtype if _is_finite(array) else "NaN or Inf"
            raise RecordingError(
                f"A recording of {recording.track} was not written: {name} holds {seen}, and "
                "only finite float64 numbers tell a mistake from rounding. What to do: build the "
                "original with .double(), and look at what computes this array."
            )
    manifest = {
        "format": FORMAT,
        "track": recording.track,
        "versions": recording.versions,
        "source_sha256": recording.source_sha256,
        "learning_rate": recording.training.learning_rate,
        "probes": probes,
        "arrays": [[name, str(a.dtype), list(a.shape)] for name, a in arrays.items()],
    }
    manifest["sha256"] = _fingerprint(manifest, arrays)
    text = json.dumps(manifest, sort_keys=True, allow_nan=False)
    replace_file(Path(path), save(arrays, {"manifest": text}))


def read_recording(path: Path) -> Recording:
    """Read a recording, after making sure that nothing in it is missing or damaged.

    Its arrays cannot be changed in place: take a copy() to change one.

    Raises: RecordingError when the file is missing, damaged, or of another format.
    """
    path = Path(path)
    manifest, arrays = _load(path)
    if not _is_whole(manifest, arrays):
        raise _refusal(path, "its content has changed since it was recorded", "the same content")
    arrays = {name: arrays[name] for name, *_ in manifest["arrays"]}  # in the order they had
    for array in arrays.values():
        array.setflags(write=False)
    try:
        return _as_recording(path, manifest, arrays)
    except (LookupError, TypeError, AttributeError) as error:
        raise _refusal(path, f"a part is missing: {error}", "a complete recording") from error


def _as_tree(recording: Recording) -> dict:
    """Arrange the arrays of a recording as nested dicts, but for the probes' own parameters."""
    training = recording.training
    probes = {
        probe.name: {
            "inputs": probe.inputs,
            "target": probe.target,
            "results": probe.results,
            "gradients": probe.gradients,
            "values": {
                name: value
                for operation in probe.operations
                for name, value in zip(_value_names(operation), operation.values, strict=True)
            },
        }
        for probe in recording.probes.values()
    }
    return {
        "params": recording.params,
        "data": recording.data,
        "initial": recording.initial,
        "training": {key: getattr(training, key) for key in ("params", "x", "y", "losses")},
        "probes": probes,
    }


def _probe_facts(probe: Probe, shared: bool) -> dict:
    """Describe a probe in JSON's terms: all of it but the arrays."""
    operations = [
        {
            **{key: value for key, value in vars(operation).items() if key != "values"},
            "values": _value_names(operation),
        }
        for operation in probe.operations
    ]
    facts = {key: getattr(probe, key) for key in ("name", "why", "sizes", "loss")}
    return {**facts, "shares_params": shared, "operations": operations}


def _value_names(operation: Operation) -> list[str]:
    """Name an operation's outputs: "3", or "3.0" and "3.1" where there are several."""
    if len(operation.values) == 1:
        return [str(operation.index)]
    return [f"{operation.index}.{k}" for k in range(len(operation.values))]


def _as_recording(path: Path, manifest: dict, arrays: dict[str, np.ndarray]) -> Recording:
    """Put a recording together from its manifest and its arrays."""
    tree = nested(arrays, "/")
    return Recording(
        track=manifest["track"],
        path=path,
        versions=manifest["versions"],
        source_sha256=manifest["source_sha256"],
        params=tree["params"],
        probes={
            facts["name"]: _as_probe(facts, tree["probes"][facts["name"]], tree["params"])
            for facts in manifest["probes"]
        },
        training=Training(**tree["training"], learning_rate=manifest["learning_rate"]),
        initial=tree["initial"],
        data=tree.get("data", {}),
    )


def _as_probe(facts: dict, arrays: dict, trained: dict[str, np.ndarray]) -> Probe:
    """Put a probe together; one that shares the trained parameters has none of its own."""
    operations = []
    for operation in facts["operations"]:
        values = tuple(arrays["values"][name] for name in operation["values"])
        inputs = tuple(operation["inputs"])
        operations.append(Operation(**{**operation, "inputs": inputs, "values": values}))
    return Probe(
        **{key: facts[key] for key in ("name", "why", "sizes", "loss")},
        **{key: arrays[key] for key in ("inputs", "target", "results", "gradients")},
        params=trained if facts["shares_params"] else arrays["params"],
        operations=tuple(operations),
    )


def _load(path: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """Load a manifest and the arrays; nothing in the file is ever run as code."""
    if not path.is_file():
        raise _refusal(path, "there is no such file", "a recording")
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get("manifest")
            arrays = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError, TypeError, ValueError, AttributeError) as error:
        raise _refusal(path, f"not whole: {error}", "a safetensors file") from error
    if text is None:
        raise _refusal(path, "no manifest in its metadata", "one, with the operations in it")
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refusal(path, f"a manifest that is not JSON: {error}", "JSON") from error
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != FORMAT:
        raise _refusal(path, f"recording format {found!r}", f"format {FORMAT}")
    return manifest, arrays


def _is_whole(manifest: dict, arrays: dict[str, np.ndarray]) -> bool:
    """Tell whether manifest and arrays are as they were written together."""
    try:
        named = ((name, arrays[name]) for name, *_ in manifest["arrays"])
        seen = [[name, str(array.dtype), list(array.shape)] for name, array in named]
    except (LookupError, TypeError, ValueError):
        return False
    return seen == manifest["arrays"] and manifest.get("sha256") == _fingerprint(manifest, arrays)


def _refusal(path: Path, seen: str, expected: str) -> RecordingError:
    """Say what is wrong with a recording, and what to do about it."""
    return RecordingError(
        f"{path} cannot be used as a recording. Seen: {seen}. Expected: {expected}.\n"
        + REMEDY.format(path=path)
    )


def _fingerprint(manifest: dict, arrays: dict[str, np.ndarray]) -> str:
    """Sum up a recording's content, so that no damage goes unseen."""
    stated = {key: value for key, value in manifest.items() if key != "sha256"}
    digest = hashlib.sha256(json.dumps(stated, sort_keys=True).encode())
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


def _same_arrays(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> bool:
    """Tell whether two sets of arrays are equal, number by number."""
    return left.keys() == right.keys() and all(
        np.array_equal(left[name], right[name]) for name in left
    )


def _is_finite(array: np.ndarray) -> bool:
    """Tell whether an array is free of NaN and Inf; integers and booleans always are."""
    return array.dtype.kind not in "fc" or bool(np.isfinite(array).all())
