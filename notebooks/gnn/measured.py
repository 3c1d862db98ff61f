"""Measure what the card says of the graph network."""

import jax
import jax.numpy as jnp
import numpy as np
from costs import count_flops, count_memory
from data import dummy_graph_data
from losses import mse_loss
from model import gnn_model
from params import make_gnn_params
from training import train
from uncertainty import is_strange, strangeness

TRAINED = """\
On 400 made-up graphs of 2 to 6 nodes and 1 to 9 edges, to say how many edges a graph has, by 500
steps of Adam of size 0.01, all graphs in each. 400 more set the threshold of `is_strange`, and two
times 400 others are measured below."""


# given by the workbook
@jax.enable_x64(True)
def measured():
    """Train anew, and measure: numbers that are counted, values of graphs, scores of two kinds."""
    (known, known_y), (calibration, _), (trial, trial_y), (other, _) = (
        dummy_graph_data(key, 400) for key in range(4)
    )
    params, _ = train(
        make_gnn_params(), gnn_model, mse_loss, known, known_y, steps=500, step_size=0.01
    )
    ends = {name: np.tile(other[name], 2) for name in ("senders", "receivers")}
    denser = {**other, **ends, "edges": np.tile(other["edges"], (2, 1))}
    graph_of_node = np.repeat(np.arange(400), other["nodes_per_graph"])
    first_node = np.cumsum(other["nodes_per_graph"]) - other["nodes_per_graph"]
    one_listener = {**other, "receivers": first_node[graph_of_node[other["receivers"]]]}
    as_it_was = strangeness(params, trial, known)
    return {
        "weights and biases": sum(array.size for array in jax.tree.leaves(params)),
        "operations, one graph of 4 nodes and 5 edges": count_flops(4, 5, 1)["forward"],
        "operations, training step of 64 of them": count_flops(256, 320, 64)["train_step"],
        "bytes, training step of 64 of them": sum(count_memory(256, 320, 64).values()),
        "edges too many or too few": np.abs(gnn_model(params, trial) - trial_y)[:, 0],
        "graphs of its own kind called strange": is_strange(params, trial, known, calibration),
        "graphs with every edge twice told apart": (as_it_was, strangeness(params, denser, known)),
        "graphs with one listener told apart": (
            as_it_was,
            strangeness(params, one_listener, known),
        ),
    }


# given by the workbook
def timed():
    """Give what is timed: functions to call, each compiled at its first call."""
    params = jax.tree.map(jnp.float32, make_gnn_params())
    model = jax.jit(gnn_model)
    (one, _), (many, _) = dummy_graph_data(0, 1), dummy_graph_data(0, 64)
    return {
        "one graph": lambda: model(params, one).block_until_ready(),
        "64 graphs": lambda: model(params, many).block_until_ready(),
    }
