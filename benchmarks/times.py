"""Predict from the roofline how long the solutions take at sizes kept back, and say how far off.

One size of each track varies, on one core, in float32. A few sizes are fitted; those that are
predicted are timed in turn with them, so that a slow moment of the machine hits all alike.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import numpy as np
from timing import parser_for

from reimpl_helpers import knowing
from reimpl_helpers.base.growth import exponent
from reimpl_helpers.tracks.track import Track

FITTED, KEPT_BACK, NEAR = 8, 25, 0.25
SIZES = {  # what varies, from and to; the other sizes of the data; those of the model
    "autoencoder": ("batch", 1, 16384, {}, {}),
    "gnn": ("num_graphs", 1, 2048, {}, {"hidden": 64}),
    "mlstm": ("seq", 3, 256, {"batch": 32}, {"units": 64, "layers": 1}),
    "transformer": (
        "seq", 3, 256, {"batch": 8},
        {"positions": 256, "width": 96, "inner": 384, "layers": 1},
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Sized:
    """A model's forward pass at one size: the call, its operations, and the bytes it keeps."""

    call: Callable[[], object]
    operations: float
    kept: float


def sized(name: str) -> Callable[[int], Sized]:
    """Prepare a track's solution: what comes back makes its forward pass for a size."""
    axis, _, _, of_data, of_model = SIZES[name]
    track = Track(name, 6)
    pieces = {piece.name: piece for piece in track.listed}
    model = [piece for piece in track.pieces if piece.step == 1][-1].name
    data = next(piece for piece in pieces if piece.startswith("dummy_"))
    names = model, f"make_{name}_params", data, "count_flops", "count_memory"
    model, make, data, flops, memory = (track.given(pieces[piece]) for piece in names)
    model, params = jax.jit(model), in_float32(make(**of_model))

    def at(size: int) -> Sized:
        x = in_float32(data(**of_data, **{axis: size})[0])
        sizes = {axis: size, **of_data, **of_model}
        if name == "gnn":
            sizes |= {"num_nodes": len(x["nodes"]), "num_edges": len(x["edges"])}
        operations, kept = (count(**asked_for(count, sizes)) for count in (flops, memory))
        return Sized(partial(model, params, x), operations["forward"], kept["activations"])

    return at


def asked_for(function: Callable, sizes: dict[str, int]) -> dict[str, int]:
    """Pick the sizes that a function has a parameter for."""
    return {key: sizes[key] for key in inspect.signature(function).parameters if key in sizes}


def in_float32(tree):
    """Hand arrays to JAX: floats in float32, whole numbers and bools as they are."""

    def handed(array):
        array = np.asarray(array)
        return jax.device_put(array.astype(np.float32) if array.dtype.kind == "f" else array)

    return jax.tree.map(handed, tree)


def report(name: str, machine: knowing.Machine, short: bool) -> None:
    """Fit one track, predict what was kept back, and print how many predictions are near."""
    axis, low, high, *_ = SIZES[name]
    rng, at = np.random.default_rng(0), sized(name)
    between = np.unique(np.geomspace(low, high, FITTED).round().astype(int))
    others = np.setdiff1d(np.geomspace(low, high, 20 * KEPT_BACK).round().astype(int), between)
    fitted = between[::3] if short else between
    unseen = np.sort(rng.choice(others, 2 if short else KEPT_BACK, replace=False))
    models = {int(size): at(int(size)) for size in [*fitted, *unseen]}
    calls = {size: model.call for size, model in models.items()}
    seconds = knowing.time_each(calls, **({"rounds": 1, "least": 1e-6} if short else {}))
    roofs = {size: machine.roof(model.operations, model.kept) for size, model in models.items()}
    fit = knowing.fit_times([roofs[n] for n in fitted], [seconds[n] for n in fitted])
    share = {int(n): fit.seconds(roofs[n]) / seconds[n] for n in unseen}
    far = {size: part for size, part in share.items() if abs(part - 1) > NEAR}
    print(
        f"{name}, {axis} {low} to {high}: {len(share) - len(far)} of {len(share)} within "
        f"{NEAR:.0%}; {fit}; "
        f"grows with {axis} to the power of "
        f"{exponent(fitted, [seconds[n] for n in fitted]):.2f}, counted "
        f"{exponent(fitted, [models[n].operations for n in fitted]):.2f}"
    )
    for size, part in far.items():
        took = 1e6 * seconds[size]
        print(f"  {axis} {size}: predicted {part * took:.0f} µs, took {took:.0f}: {part:.2f}")


def main() -> None:
    short = parser_for(__doc__.splitlines()[0]).parse_args().short
    knowing.keep_to_one_core()
    machine = knowing.measure_machine()
    print(machine)
    for name in SIZES:
        report(name, machine, short)


if __name__ == "__main__":
    main()
