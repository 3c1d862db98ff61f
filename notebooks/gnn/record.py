"""Make the recording of the graph neural network: its data, its training, its probes.

Needs PyTorch; `reimpl record gnn` calls record() and writes the result.
"""

from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import mse_loss

from reimpl_helpers.originals.recording import Probe, Recording, Training, source_sha256
from reimpl_helpers.originals.tracing import (
    adam_losses,
    initial_quantiles,
    load_original,
    load_params,
    params_of,
    record_probe,
)

SOURCE = Path(__file__).with_name("original.py")
GNN = load_original(SOURCE).GNN

SIZES = {"node_features": 5, "edge_features": 2, "hidden": 16, "targets": 1}
LEARNING_RATE = 5e-3

# Zachary's karate club (1977): for each member, of 34, the ones of a higher number that he met
# outside the club, and the members who left with the instructor, member 1, when it split.
TIES = {
    1: (2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 18, 20, 22, 32),
    2: (3, 4, 8, 14, 18, 20, 22, 31),
    3: (4, 8, 9, 10, 14, 28, 29, 33),
    4: (8, 13, 14),
    5: (7, 11),
    6: (7, 11, 17),
    7: (17,),
    9: (31, 33, 34),
    10: (34,),
    14: (34,),
    15: (33, 34),
    16: (33, 34),
    19: (33, 34),
    20: (34,),
    21: (33, 34),
    23: (33, 34),
    24: (26, 28, 30, 33, 34),
    25: (26, 28, 32),
    26: (32,),
    27: (30, 34),
    28: (34,),
    29: (32, 34),
    30: (33, 34),
    31: (33, 34),
    32: (33, 34),
    33: (34,),
}
WITH_THE_INSTRUCTOR = (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 17, 18, 20, 22)


def record() -> Recording:
    """Train a graph neural network to count edges, and record what it computes."""
    torch.set_num_threads(1)  # more threads add in another order: other last digits
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    params = trained_params(rng)
    return Recording(
        track="gnn",
        path=SOURCE.with_name("recording.safetensors"),
        versions={name: version(name) for name in ("torch", "numpy")},
        source_sha256=source_sha256(SOURCE),
        params=params,
        probes={probe.name: probe for probe in probes(params, rng)},
        training=training(rng),
        initial=initial_quantiles(build),
        data=karate_club(),
    )


def build(**sizes) -> GNN:
    """Build a graph neural network that computes in float64."""
    return GNN(**sizes).double()


def graphs(rng, nodes_per_graph, edges_per_graph, node_features=5, edge_features=2):
    """Make up a batch of graphs.

    Shapes: nodes_per_graph (num_graphs,), edges_per_graph (num_graphs,)
    """
    nodes_per_graph = np.array(nodes_per_graph)
    first = np.repeat(np.cumsum(nodes_per_graph) - nodes_per_graph, edges_per_graph)
    size = np.repeat(nodes_per_graph, edges_per_graph)
    return {
        "nodes": rng.normal(size=(nodes_per_graph.sum(), node_features)),
        "edges": rng.normal(size=(len(first), edge_features)),
        "senders": first + rng.integers(size),
        "receivers": first + rng.integers(size),
        "nodes_per_graph": nodes_per_graph,
    }


def batch(rng, num_graphs):
    """Make up graphs, and the number of edges of each."""
    edges_per_graph = rng.integers(1, 10, size=num_graphs)
    x = graphs(rng, rng.integers(2, 7, size=num_graphs), edges_per_graph)
    return x, edges_per_graph[:, None].astype(float)


def trained_params(rng, steps: int = 2000) -> dict[str, np.ndarray]:
    """Train a graph neural network until it counts the edges of a graph, nearly."""
    model = build(**SIZES)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    for _ in range(steps):
        x, y = batch(rng, num_graphs=32)
        optimizer.zero_grad()
        mse_loss(model(*map(torch.tensor, x.values())), torch.tensor(y)).backward()
        optimizer.step()
    return params_of(model)


def training(rng) -> Training:
    """Record the first steps of training, from fresh parameters."""
    model = build(**SIZES)
    params = params_of(model)
    x, y = batch(rng, num_graphs=7)
    losses = adam_losses(model, x, y, loss=mse_loss, learning_rate=LEARNING_RATE)
    return Training(params, x, y, LEARNING_RATE, losses)


def probes(trained: dict[str, np.ndarray], rng) -> list[Probe]:
    """Record the probes: inputs chosen so that mistakes show."""

    def made(name, why, params, x, target, **sizes):
        counts = {"num_nodes": len(x["nodes"]), "num_edges": len(x["edges"])}
        counts["num_graphs"] = len(x["nodes_per_graph"])
        return probe(name, why, {**counts, **sizes}, params, x, target)

    def default(name, why, x):
        return made(name, why, trained, x, rng.normal(size=(len(x["nodes_per_graph"]), 1)), **SIZES)

    def random(name, why, nodes_per_graph, edges_per_graph, scale=1.0, **sizes):
        shapes = {key: value.shape for key, value in params_of(build(**sizes)).items()}
        params = {key: rng.normal(scale=0.7, size=shape) for key, shape in shapes.items()}
        features = sizes["node_features"], sizes["edge_features"]
        x = graphs(rng, nodes_per_graph, edges_per_graph, *features)
        x = {key: scale * value if value.dtype == float else value for key, value in x.items()}
        target = rng.normal(size=(len(nodes_per_graph), sizes["targets"]))
        return made(name, why, params, x, target, **sizes)

    other = {"node_features": 4, "edge_features": 3, "hidden": 6, "targets": 2}
    zeros = graphs(rng, (4, 2, 5), (7, 4, 9))
    zeros = {k: np.zeros_like(v) if v.dtype == float else v for k, v in zeros.items()}
    return [
        default("ordinary", "Three graphs of made-up features.", graphs(rng, (4, 2, 5), (7, 3, 9))),
        random(
            "one node",
            "One node without edges: it hears nothing, and has an answer all the same.",
            (1,),
            (0,),
            **other,
        ),
        default("zeros", "No features at all: only biases and ties speak.", zeros),
        random(
            "tiny values",
            "Faint features: shows what large values hide.",
            (3, 5),
            (9, 4),
            scale=0.01,
            **other,
        ),
        random(
            "large values",
            "Features far from zero, of both signs: shows a missing or wrong activation.",
            (4, 5),
            (8, 5),
            scale=20.0,
            **other,
        ),
        random(
            "other sizes",
            "Other widths, and a graph without nodes between the others.",
            (3, 0, 6, 1, 4),
            (8, 0, 9, 0, 2),
            **{**other, "hidden": 7},
        ),
        random(
            "wide edges",
            "More features to an edge than to a node: shows two axes taken for each other.",
            (5, 3, 2),
            (6, 6, 1),
            node_features=2,
            edge_features=8,
            hidden=5,
            targets=4,
        ),
    ]


def probe(name, why, sizes, params, x, target) -> Probe:
    """Record one probe, of a model with the given sizes and parameters."""
    model = build(**{axis: sizes[axis] for axis in SIZES})
    load_params(model, params)
    return record_probe(
        model,
        name=name,
        why=why,
        sizes=sizes,
        inputs=x,
        target=target,
        loss=mse_loss,
        parts=parts,
        source=SOURCE,
    )


def parts(model: GNN, nodes, edges, senders, receivers, nodes_per_graph):
    """Give what the parts of the model return on the way."""
    embedded = model.embed(nodes)
    once = model.round_1(embedded, edges, senders, receivers)
    return {
        "embed": embedded,
        "messages": model.round_1.messages(embedded, edges, senders),
        "round_1": once,
        "round_2": model.round_2(once, edges, senders, receivers),
    }


def karate_club() -> dict[str, np.ndarray]:
    """List the club's ties, who went where, and a place for each member on a picture.

    Shapes: ties (78, 2), members counted from 0; faction (34,), 0 with the instructor, 1 with the
        president; positions (34, 2)
    """
    ties = np.array([(one - 1, other - 1) for one, others in TIES.items() for other in others])
    faction = np.ones(34, dtype=np.int64)
    faction[np.array(WITH_THE_INSTRUCTOR) - 1] = 0
    return {"ties": ties, "faction": faction, "positions": spring_layout(ties, 34)}


def spring_layout(ties: np.ndarray, num_nodes: int, steps: int = 500) -> np.ndarray:
    """Find places for nodes: all push each other away, ties pull (Fruchterman and Reingold).

    Shapes: ties (num_ties, 2) -> (num_nodes, 2), within 0 to 1
    """
    places = np.random.default_rng(4).uniform(size=(num_nodes, 2))
    tied = np.zeros((num_nodes, num_nodes))
    tied[ties[:, 0], ties[:, 1]] = tied[ties[:, 1], ties[:, 0]] = 1
    natural = num_nodes**-0.5
    for step in range(steps):
        away = places[:, None] - places
        distance = np.maximum(np.linalg.norm(away, axis=2), 0.01)
        force = natural**2 / distance**2 - tied * distance / natural
        move = (away * force[..., None]).sum(axis=1)
        length = np.maximum(np.linalg.norm(move, axis=1, keepdims=True), 1e-9)
        places = places + move / length * np.minimum(length, 0.1 * (1 - step / steps))
    places = places - places.min(axis=0)
    return places / places.max(axis=0)
