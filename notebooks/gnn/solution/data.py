"""The graph neural network's data: made up, and real."""

import numpy as np
from safetensors.numpy import load_file


def dummy_graph_data(key=0, num_graphs=8, node_features=5, edge_features=2):
    """Make up a batch of graphs of 2 to 6 nodes and 1 to 9 edges; the answer is the edges' number.

    Shapes: -> x, y (num_graphs, 1), with x["nodes"] (num_nodes, node_features), x["edges"]
        (num_edges, edge_features), x["senders"] and x["receivers"] (num_edges,),
        x["nodes_per_graph"] (num_graphs,)
    Source: record.py, whose graphs are made the same way
    """
    rng = np.random.default_rng(key)
    nodes_per_graph = rng.integers(2, 7, size=num_graphs)
    edges_per_graph = rng.integers(1, 10, size=num_graphs)
    first_node = np.cumsum(nodes_per_graph) - nodes_per_graph
    graph_of_edge = np.repeat(np.arange(num_graphs), edges_per_graph)
    first, count = first_node[graph_of_edge], nodes_per_graph[graph_of_edge]
    x = {
        "nodes": rng.normal(size=(nodes_per_graph.sum(), node_features)),
        "edges": rng.normal(size=(edges_per_graph.sum(), edge_features)),
        "senders": first + rng.integers(count),
        "receivers": first + rng.integers(count),
        "nodes_per_graph": nodes_per_graph,
    }
    return x, edges_per_graph[:, None].astype(float)


def karate_club_data(recording):
    """Read the karate club: 34 members, the ties between them, and how the club split.

    Every member is a graph of its own, tied to others all the same: so there is an answer for
    each. Nothing is known of a member but which one it is, and nothing of a tie.

    Shapes: -> x, y (34, 1), with x["nodes"] (34, 34), one number 1 for each member, x["edges"]
        (156, 1), all zeros, x["senders"] and x["receivers"] (156,), each tie both ways, all ties
        as they are listed and then all the other way round, x["nodes_per_graph"] (34,), all ones
    Units: y is -1 for who went with the instructor, faction 0, and 1 for who stayed, faction 1
    Source: record.py, which holds the same club
    """
    data = load_file(recording)
    ties, faction = data["data/ties"], data["data/faction"]
    x = {
        "nodes": np.eye(len(faction)),
        "edges": np.zeros((2 * len(ties), 1)),
        "senders": np.concatenate([ties[:, 0], ties[:, 1]]),
        "receivers": np.concatenate([ties[:, 1], ties[:, 0]]),
        "nodes_per_graph": np.ones(len(faction), dtype=int),
    }
    return x, 2.0 * faction[:, None] - 1


def checked_graphs(x, node_features=5, edge_features=2):
    """Return graphs that the model may be given, and refuse all others.

    Shapes: x as gnn_model takes it, with any number of nodes, edges and graphs, or none -> the same
    Raises: ValueError where a part has another shape, a feature is no finite number, or senders,
        receivers and nodes_per_graph are not whole or do not fit the nodes
    """
    num_nodes, num_edges, num_graphs = (len(x[k]) for k in ("nodes", "edges", "nodes_per_graph"))
    shapes = {
        "nodes": (num_nodes, node_features),
        "edges": (num_edges, edge_features),
        "senders": (num_edges,),
        "receivers": (num_edges,),
        "nodes_per_graph": (num_graphs,),
    }
    for name, shape in shapes.items():
        if np.shape(x[name]) != shape:
            raise ValueError(f"expected {name} of shape {shape}, got {np.shape(x[name])}")
    for name in ("nodes", "edges"):
        if not np.isfinite(x[name]).all():
            raise ValueError(f"a feature in {name} is NaN or infinite")
    last = num_nodes - 1
    for name, most in {"senders": last, "receivers": last, "nodes_per_graph": num_nodes}.items():
        part = np.asarray(x[name])
        if part.dtype.kind not in "iu":
            raise ValueError(f"expected whole numbers in {name}, got {part.dtype}")
        wrong = (part < 0) | (part > most)
        if wrong.any():
            raise ValueError(f"expected {name} from 0 to {most}, got {part[wrong][0]}")
    counted = np.sum(x["nodes_per_graph"])
    if counted != num_nodes:
        raise ValueError(f"nodes_per_graph counts {counted} nodes, and there are {num_nodes}")
    return x
