"""The pieces as they stand in NumPy, before step 5 ports them to JAX."""

import numpy as np
from model import nn_layer
from shapes import param_shapes


def numpy_counterparts():
    """Say how NumPy writes each operation of the original.

    Shapes: linear takes x (rows, in_features), weight (out_features, in_features) and, where
        there is one, bias (out_features,); an index is (rows,), counts are (num_graphs,)
    Source: original.py, MessagePassing and GNN
    """
    return {
        "linear": lambda x, weight, bias=0.0: x @ weight.T + bias,
        "Tensor.__getitem__": lambda x, index: x[index],
        "Tensor.add": lambda first, second: first + second,
        "tanh": lambda x: np.tanh(x),
        "repeat_interleave": lambda counts: np.repeat(np.arange(len(counts)), counts),
    }


def sum_by_index(values, index, count):
    """Sum the rows of values that have the same index: row i of the sums is of all with index i.

    Shapes: values (rows, hidden), index (rows,) -> (count, hidden)
    Source: original.py, torch.Tensor.index_add on zeros
    """
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, index, values)
    return sums


def readout(params, nodes, nodes_per_graph):
    """Give one answer for each graph, from the sum over its nodes.

    Shapes: nodes (num_nodes, hidden), nodes_per_graph (num_graphs,) -> (num_graphs, targets)
    Source: original.py, the last three lines of GNN.forward
    """
    num_graphs = len(nodes_per_graph)
    graph_of_node = np.repeat(np.arange(num_graphs), nodes_per_graph)
    sums = sum_by_index(nodes, graph_of_node, num_graphs)
    layer = params["readout"]
    return nn_layer(layer["weight"].T, sums, layer["bias"])


def make_gnn_params(key=0, node_features=5, edge_features=2, hidden=16, targets=1):
    """Draw initial parameters from the distribution that the original draws from.

    Shapes: those of param_shapes(node_features, edge_features, hidden, targets)
    Source: torch.nn.Linear.reset_parameters, which original.py leaves as it is: weight and bias
        are uniform within 1 / sqrt(in_features) of zero
    """
    rng = np.random.default_rng(key)

    def draw(shapes):
        if "weight" not in shapes:
            return {name: draw(inner) for name, inner in shapes.items()}
        bound = shapes["weight"][1] ** -0.5
        return {name: rng.uniform(-bound, bound, size=shape) for name, shape in shapes.items()}

    return draw(param_shapes(node_features, edge_features, hidden, targets))
