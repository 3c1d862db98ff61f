"""What the model costs, from its sizes alone: operations, and memory."""

import jax
import numpy as np
from shapes import activation_shapes, param_shapes


def count_flops(
    num_nodes, num_edges, num_graphs, node_features=5, edge_features=2, hidden=16, targets=1
):
    """Count the operations of the matrix products, forward and in a training step.

    Shapes: -> forward and train_step, each ()
    Units: floating-point operations; a multiplication and the addition after it are two
    Source: original.py, every nn.Linear of GNN and of its two rounds; the chain rule for a
        layer's weight and for its input. A sum by index is no product
    """
    from_features = 2 * (num_nodes * node_features + 2 * num_edges * edge_features) * hidden
    from_states = 2 * (2 * num_nodes * hidden + num_graphs * targets) * hidden
    return {
        "forward": from_features + from_states,
        "train_step": 2 * from_features + 3 * from_states,
    }


def count_memory(
    num_nodes, num_edges, num_graphs, node_features=5, edge_features=2, hidden=16, targets=1
):
    """Count the bytes of what a training step with Adam keeps, in float32.

    Activations are the features of nodes and edges, and what activation_shapes lists: embed, sums
    and readout once, the others in both rounds. Whole numbers, such as senders, are left out.

    Shapes: -> params, gradients, adam and activations, each ()
    Units: bytes
    Source: original.py, MessagePassing.forward and GNN.forward; Kingma and Ba (2014), the two
        averages of every gradient
    """
    nested = param_shapes(node_features, edge_features, hidden, targets)
    shapes = jax.tree.leaves(nested, is_leaf=lambda part: isinstance(part, tuple))
    params = 4 * sum(map(np.prod, shapes))
    outputs = activation_shapes(num_nodes, num_edges, num_graphs, hidden, targets)
    sizes = {name: np.prod(shape) for name, shape in outputs.items()}
    features = num_nodes * node_features + num_edges * edge_features
    a_round = sizes["messages"] + sizes["received"] + sizes["update"]
    activations = 4 * (features + sum(sizes.values()) + a_round)
    return {"params": params, "gradients": params, "adam": 2 * params, "activations": activations}
