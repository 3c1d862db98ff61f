"""The graph neural network's shapes, from its sizes alone."""


def param_shapes(node_features=5, edge_features=2, hidden=16, targets=1):
    """Give the shape of every parameter.

    Shapes: as nn.Linear keeps them, weight (out_features, in_features), bias (out_features,)
    Source: original.py, GNN.__init__ and MessagePassing.__init__
    """
    message_passing = {
        "edge": {"weight": (hidden, edge_features)},
        "update": {"weight": (hidden, hidden), "bias": (hidden,)},
    }
    return {
        "embed": {"weight": (hidden, node_features), "bias": (hidden,)},
        "round_1": message_passing,
        "round_2": message_passing,
        "readout": {"weight": (targets, hidden), "bias": (targets,)},
    }


def activation_shapes(num_nodes, num_edges, num_graphs, hidden=16, targets=1):
    """Give the shape of what leaves each step of one round of messages, and of the readout.

    Shapes: the nodes are (num_nodes, node_features), the edges (num_edges, edge_features)
    Source: original.py, MessagePassing.forward and GNN.forward
    """
    return {
        "embed": (num_nodes, hidden),
        "messages": (num_edges, hidden),
        "received": (num_nodes, hidden),
        "update": (num_nodes, hidden),
        "sums": (num_graphs, hidden),
        "readout": (num_graphs, targets),
    }
