"""The graph neural network's forward pass."""

import jax
import jax.numpy as jnp


def nn_layer(weights, data, bias=0.0, nonlinearity=None):
    """Compute one dense layer and what follows it.

    Shapes: weights (in_features, out_features), data (batch, in_features), bias (out_features,)
        -> (batch, out_features)
    Source: original.py, any of its four layers; nn.Linear keeps its weight the other way round
    """
    output = jnp.matmul(data, weights) + bias
    if nonlinearity == "relu":
        return jnp.maximum(output, 0)
    if nonlinearity == "tanh":
        return jnp.tanh(output)
    if nonlinearity == "sigmoid":
        return 1 / (1 + jnp.exp(-output))
    return output


def send_messages(params, nodes, edges, senders):
    """Write one message for each edge: what its sender is, and what the edge adds to it.

    Shapes: nodes (num_nodes, hidden), edges (num_edges, edge_features), senders (num_edges,)
        -> (num_edges, hidden)
    Source: original.py, MessagePassing.messages
    """
    return nodes[senders] + nn_layer(params["edge"]["weight"].T, edges)


def sum_by_index(values, index, count):
    """Sum the rows of values that have the same index: row i of the sums is of all with index i.

    Shapes: values (rows, hidden), index (rows,) -> (count, hidden)
    Source: original.py, torch.Tensor.index_add on zeros
    """
    return jax.ops.segment_sum(values, index, count)


def message_passing(params, nodes, edges, senders, receivers):
    """Sum the messages that each node receives, and update it.

    Shapes: nodes (num_nodes, hidden), edges (num_edges, edge_features), senders (num_edges,),
        receivers (num_edges,) -> (num_nodes, hidden)
    Source: original.py, MessagePassing.forward
    """
    messages = send_messages(params, nodes, edges, senders)
    received = sum_by_index(messages, receivers, len(nodes))
    layer = params["update"]
    return nn_layer(layer["weight"].T, nodes + received, layer["bias"], "tanh")


def readout(params, nodes, nodes_per_graph):
    """Give one answer for each graph, from the sum over its nodes.

    Shapes: nodes (num_nodes, hidden), nodes_per_graph (num_graphs,) -> (num_graphs, targets)
    Source: original.py, the last three lines of GNN.forward
    """
    num_graphs = len(nodes_per_graph)
    graph_of_node = jnp.repeat(
        jnp.arange(num_graphs), nodes_per_graph, total_repeat_length=len(nodes)
    )
    sums = sum_by_index(nodes, graph_of_node, num_graphs)
    layer = params["readout"]
    return nn_layer(layer["weight"].T, sums, layer["bias"])


def gnn_model(params, x):
    """Embed the nodes, pass messages twice, and read an answer off each graph.

    Shapes: x["nodes"] (num_nodes, node_features), x["edges"] (num_edges, edge_features),
        x["senders"] (num_edges,), x["receivers"] (num_edges,), x["nodes_per_graph"] (num_graphs,)
        -> (num_graphs, targets)
    Source: original.py, GNN.forward
    """
    embed = params["embed"]
    nodes = nn_layer(embed["weight"].T, x["nodes"], embed["bias"])
    for name in ("round_1", "round_2"):
        nodes = message_passing(params[name], nodes, x["edges"], x["senders"], x["receivers"])
    return readout(params, nodes, x["nodes_per_graph"])
