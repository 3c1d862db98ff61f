"""A graph neural network: nodes send messages along edges, and change with what they receive."""

import torch
from torch import nn


class MessagePassing(nn.Module):
    """Let every node hear from its neighbours once.

    Each edge carries a message from its sender to its receiver. What a node receives is summed,
    so it does not matter in which order messages arrive, or how many there are.

    Args:
        edge_features: numbers that come with an edge.
        hidden: numbers that a node is described by, before and after.
    """

    def __init__(self, edge_features, hidden):
        super().__init__()
        self.edge = nn.Linear(edge_features, hidden, bias=False)
        self.update = nn.Linear(hidden, hidden)

    def messages(self, nodes, edges, senders):
        """Write one message for each edge: what its sender is, and what the edge adds to it.

        Shapes: nodes (num_nodes, hidden), edges (num_edges, edge_features), senders (num_edges,)
            -> (num_edges, hidden)
        """
        return nodes[senders] + self.edge(edges)

    def forward(self, nodes, edges, senders, receivers):
        """Sum the messages that each node receives, and update it.

        Shapes: nodes (num_nodes, hidden), edges (num_edges, edge_features), senders (num_edges,),
            receivers (num_edges,) -> (num_nodes, hidden)
        """
        messages = self.messages(nodes, edges, senders)
        received = torch.zeros_like(nodes).index_add(0, receivers, messages)
        return torch.tanh(self.update(nodes + received))


class GNN(nn.Module):
    """Give one answer for each graph of a batch.

    The graphs of a batch lie side by side as one large graph, whose edges never lead from one to
    another: nodes_per_graph says how many nodes belong to the first graph, the second, and so on.

    Args:
        node_features: numbers that come with a node.
        edge_features: numbers that come with an edge.
        hidden: numbers that a node is described by inside.
        targets: numbers in the answer for a graph.
    """

    def __init__(self, node_features=5, edge_features=2, hidden=16, targets=1):
        super().__init__()
        self.embed = nn.Linear(node_features, hidden)
        self.round_1 = MessagePassing(edge_features, hidden)
        self.round_2 = MessagePassing(edge_features, hidden)
        self.readout = nn.Linear(hidden, targets)

    def forward(self, nodes, edges, senders, receivers, nodes_per_graph):
        """Embed the nodes, pass messages twice, and read an answer off the sum over each graph.

        Shapes: nodes (num_nodes, node_features), edges (num_edges, edge_features),
            senders (num_edges,), receivers (num_edges,), nodes_per_graph (num_graphs,)
            -> (num_graphs, targets)
        """
        nodes = self.embed(nodes)
        nodes = self.round_1(nodes, edges, senders, receivers)
        nodes = self.round_2(nodes, edges, senders, receivers)
        graph_of_node = torch.repeat_interleave(nodes_per_graph)
        sums = nodes.new_zeros(len(nodes_per_graph), nodes.shape[1])
        return self.readout(sums.index_add(0, graph_of_node, nodes))
