"""Plausible mistakes in this track, each an edit of the solution's source.

They name the suspect in a verdict, name wrong models for the pair's own tests, and test the
checks.
"""

from reimpl_helpers.texts.mistakes import Bug

SUM = """\
    return jax.ops.segment_sum(values, index, count)
"""
SUM_IN_NUMPY = """\
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, index, values)
    return sums
"""
LAST_WINS = """\
    return jnp.zeros((count, values.shape[1])).at[index].set(values)
"""
LAST_WINS_IN_NUMPY = """\
    sums = np.zeros((count, values.shape[1]))
    sums[index] += values
    return sums
"""
MEAN = """\
    number = jax.ops.segment_sum(jnp.ones(len(index)), index, count)
    return jax.ops.segment_sum(values, index, count) / jnp.maximum(number, 1)[:, None]
"""
MEAN_IN_NUMPY = """\
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, index, values)
    return sums / np.maximum(np.bincount(index, minlength=count), 1)[:, None]
"""
LARGEST = """\
    largest = jax.ops.segment_max(values, index, count)
    return jnp.where(jnp.isfinite(largest), largest, 0)
"""
LARGEST_IN_NUMPY = """\
    sums = np.full((count, values.shape[1]), -np.inf)
    np.maximum.at(sums, index, values)
    return np.where(np.isfinite(sums), sums, 0)
"""
BY_PLACE = """\
    place = jnp.arange(1, len(values) + 1)[:, None] / len(values)
    return jax.ops.segment_sum(values * place, index, count)
"""
BY_PLACE_IN_NUMPY = """\
    sums = np.zeros((count, values.shape[1]))
    place = np.arange(1, len(values) + 1)[:, None] / max(len(values), 1)
    np.add.at(sums, index, values * place)
    return sums
"""
FIRST_ROW_LOST = """\
    return jax.ops.segment_sum(values, index - 1, count)
"""
FIRST_ROW_LOST_IN_NUMPY = """\
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, index[index > 0] - 1, values[index > 0])
    return sums
"""

NODES_PLUS = """nodes + received, layer["bias"], "tanh")"""

GRAPH_OF_NODE = """\
    graph_of_node = jnp.repeat(
        jnp.arange(num_graphs), nodes_per_graph, total_repeat_length=len(nodes)
    )
"""
GRAPH_OF_NODE_IN_NUMPY = """\
    graph_of_node = np.repeat(np.arange(num_graphs), nodes_per_graph)
"""
EQUAL_SIZE = """\
    graph_of_node = jnp.arange(len(nodes)) * num_graphs // len(nodes)
"""
TILED = """\
    graph_of_node = jnp.arange(len(nodes)) % num_graphs
"""
ONE_GRAPH = """\
    graph_of_node = jnp.zeros(len(nodes), dtype=int)
"""
SUMS = """\
    sums = sum_by_index(nodes, graph_of_node, num_graphs)
"""
SUMS_SORTED = """\
    sums = sum_by_index(nodes, graph_of_node, num_graphs)
    sums = sums[jnp.argsort(sums[:, 0])]
"""
MEANS = """\
    sums = sum_by_index(nodes, graph_of_node, num_graphs)
    sums = sums / jnp.maximum(nodes_per_graph, 1)[:, None]
"""
ONE_ANSWER = """\
    sums = nodes.sum(axis=0, keepdims=True)
"""
LAST_LAYER = """\
    return nn_layer(layer["weight"].T, sums, layer["bias"])
"""
ANSWERS_FIRST = """\
    return sum_by_index(
        nn_layer(layer["weight"].T, nodes, layer["bias"]), graph_of_node, num_graphs
    )
"""
LAST_TANH = """\
    return nn_layer(layer["weight"].T, sums, layer["bias"], "tanh")
"""

ROUNDS = """\
    for name in ("round_1", "round_2"):
        nodes = message_passing(params[name], nodes, x["edges"], x["senders"], x["receivers"])
"""
FIRST_NODES_TWICE = """\
    start = nodes
    for name in ("round_1", "round_2"):
        nodes = message_passing(params[name], start, x["edges"], x["senders"], x["receivers"])
"""
CENTRED = """\
    nodes = nodes - nodes.mean(axis=0)
    for name in ("round_1", "round_2"):
        nodes = message_passing(params[name], nodes, x["edges"], x["senders"], x["receivers"])
"""
PLACED = """\
    nodes = nodes.cumsum(axis=0)
    for name in ("round_1", "round_2"):
        nodes = message_passing(params[name], nodes, x["edges"], x["senders"], x["receivers"])
"""
RETURNED = """\
    return readout(params, nodes, x["nodes_per_graph"])
"""
ROUNDED = """\
    return readout(params, nodes.round(), x["nodes_per_graph"])
"""

MESSAGE_SHAPES = """\
    message_passing = {
        "edge": {"weight": (hidden, edge_features)},
        "update": {"weight": (hidden, hidden), "bias": (hidden,)},
    }
"""
BIAS_ON_EDGE = """\
    message_passing = {
        "edge": {"weight": (hidden, edge_features), "bias": (hidden,)},
        "update": {"weight": (hidden, hidden), "bias": (hidden,)},
    }
"""
JOINED = """\
    message_passing = {
        "edge": {"weight": (hidden, edge_features)},
        "update": {"weight": (hidden, 2 * hidden), "bias": (hidden,)},
    }
"""
INPUTS_FIRST = """\
    message_passing = {
        "edge": {"weight": (edge_features, hidden)},
        "update": {"weight": (hidden, hidden), "bias": (hidden,)},
    }
"""

NESTING = """\
        *above, name = path.split(".")
        inner = params
        for part in above:
            inner = inner.setdefault(part, {})
        inner[name] = value
"""
TWO_LEVELS = """\
        layer, _, name = path.partition(".")
        params.setdefault(layer, {})[name] = value
"""
LAST_TWO = """\
        layer, name = path.split(".")[-2:]
        params.setdefault(layer, {})[name] = value
"""
OVERWRITTEN = """\
        *above, name = path.split(".")
        inner = params
        for part in above:
            inner[part] = {}
            inner = inner[part]
        inner[name] = value
"""

BUGS = [
    # --- 1 forward pass ---
    Bug(
        "numpy_counterparts",
        "weight not transposed in linear",
        "x @ weight.T",
        "x @ weight",
        why="On paper a layer is x times weight; PyTorch keeps its weight with the outputs first.",
        question="Which axis of weight is as long as a row of x?",
        hint="Try a weight of shape (2, 3) on a row of three numbers.",
    ),
    Bug(
        "numpy_counterparts",
        "bias left out of linear",
        " + bias",
        "",
        why="One of the linear layers has none, so it seems to work without.",
        question="Does linear use all that it is given?",
        hint="Give linear a weight of zeros and a bias of ones.",
    ),
    Bug(
        "numpy_counterparts",
        "columns picked for rows",
        "x[index]",
        "x[:, index]",
        why="A feature is picked by its column, and the habit stays.",
        question="Which axis of x does the index point into?",
        hint="Pick one row of a table that is not square.",
    ),
    Bug(
        "numpy_counterparts",
        "tangent for tanh",
        "np.tanh(x)",
        "np.tan(x)",
        why="The two names differ by their last letter, and near zero their values agree.",
        question="What does tanh make of a very large number?",
        hint="Assert that tanh of 1000 is 1.",
    ),
    Bug(
        "numpy_counterparts",
        "counts repeated themselves",
        "np.repeat(np.arange(len(counts)), counts)",
        "np.repeat(counts, counts)",
        why="The original hands over one thing, so one thing is repeated.",
        question="What does repeat_interleave repeat when it is handed only counts?",
        hint="Look at what comes out for the counts 2 and 3.",
    ),
    Bug(
        "numpy_counterparts",
        "one count for all",
        "np.repeat(np.arange(len(counts)), counts)",
        "np.tile(np.arange(len(counts)), counts.sum() // max(len(counts), 1))",
        why="With graphs of equal size the two look alike on paper.",
        question="How often does each number come, and in which order?",
        hint="Look at what comes out for the counts 2 and 3.",
    ),
    Bug(
        "send_messages",
        "edge left out of the message",
        """nodes[senders] + nn_layer(params["edge"]["weight"].T, edges)""",
        "nodes[senders]",
        why="In many graphs an edge has no features, and nothing is missed.",
        question="Does a message depend on its edge?",
        hint="Change one number in edges, and see whether the answer changes.",
    ),
    Bug(
        "send_messages",
        "messages from every node",
        """nodes[senders] + nn_layer(params["edge"]["weight"].T, edges)""",
        """nn_layer(params["edge"]["weight"].T, edges)""",
        why="The layer is what looks like the computing, and the sum beside it is overlooked.",
        question="What does an edge carry away from its sender?",
        hint="Change one sender's features, and look at what its neighbour receives.",
    ),
    Bug(
        "send_messages",
        "edge subtracted",
        "nodes[senders] + nn_layer",
        "nodes[senders] - nn_layer",
        why="An edge reads like a distance, and a distance is taken away.",
        question="With which sign does the edge enter the message?",
        hint="Work out one message by hand.",
    ),
    Bug(
        "send_messages",
        "relu on the edge",
        """["weight"].T, edges)""",
        """["weight"].T, edges, nonlinearity="relu")""",
        why="A layer mostly comes with a nonlinearity, so one is added.",
        question="What follows the edge's layer in the original?",
        hint="Give an edge a feature that makes its layer negative.",
    ),
    Bug(
        "send_messages",
        "sender counted twice",
        "nodes[senders] + nn_layer",
        "2 * nodes[senders] + nn_layer",
        why="The sender's state is added here and again where messages arrive.",
        question="How often does the sender's state enter its message?",
        hint="Work out one message by hand, with an edge of zeros.",
    ),
    Bug(
        "send_messages",
        "one message a node",
        """    return nodes[senders] + nn_layer(params["edge"]["weight"].T, edges)
""",
        """    return nodes + nn_layer(params["edge"]["weight"].T, edges).sum(axis=0)
""",
        why="Nodes are what speaks, so it seems to be one message for each of them.",
        question="How many messages are there: one a node, or one an edge?",
        hint="Compare the number of messages with the number of edges.",
    ),
    Bug(
        "sum_by_index",
        "last message wins",
        SUM,
        LAST_WINS,
        before_port=(SUM_IN_NUMPY, LAST_WINS_IN_NUMPY),
        why="Writing to an index reads as if it added; where an index comes twice, NumPy writes "
        "twice and keeps one.",
        question="What becomes of the first row when two have the same index?",
        hint="Let two edges lead into one node, and add up by hand.",
    ),
    Bug(
        "sum_by_index",
        "mean of the messages",
        SUM,
        MEAN,
        before_port=(SUM_IN_NUMPY, MEAN_IN_NUMPY),
        why="A mean does not grow with the number of neighbours, which sounds like an advantage.",
        question="Do two equal rows count twice, or once?",
        hint="Let two equal messages arrive, and compare with one.",
    ),
    Bug(
        "sum_by_index",
        "largest of the messages",
        SUM,
        LARGEST,
        before_port=(SUM_IN_NUMPY, LARGEST_IN_NUMPY),
        why="Many graph networks take the largest message, and the name aggregate covers both.",
        question="Does a small row still count beside a large one?",
        hint="Let two messages arrive, and change the smaller.",
    ),
    Bug(
        "sum_by_index",
        "messages weighted by their place",
        SUM,
        BY_PLACE,
        before_port=(SUM_IN_NUMPY, BY_PLACE_IN_NUMPY),
        why="A list invites to give weight to what comes late, as in a sequence.",
        question="Does it matter in which order the rows come?",
        hint="Turn the edges round, and compare the answers.",
    ),
    Bug(
        "sum_by_index",
        "counted from one",
        SUM,
        FIRST_ROW_LOST,
        before_port=(SUM_IN_NUMPY, FIRST_ROW_LOST_IN_NUMPY),
        why="Members and nodes are numbered from 1 in most papers.",
        question="Which row of the sums has the index 0?",
        hint="Let one message arrive at node 0 alone.",
    ),
    Bug(
        "message_passing",
        "messages kept by the sender",
        """sum_by_index(messages, receivers, len(nodes))""",
        """sum_by_index(messages, senders, len(nodes))""",
        why="Senders were used a line above, and their name comes to the fingers again.",
        question="At whom do the messages arrive?",
        hint="Take one edge, and change its sender's features: whose state changes? Try it.",
    ),
    Bug(
        "message_passing",
        "own state forgotten",
        "nodes + received",
        "received",
        why="The name says that messages are what matters.",
        question="What does a node know that receives no message?",
        hint="Look at a node without edges: do its own features reach its state? Try it.",
    ),
    Bug(
        "message_passing",
        "nothing received",
        "nodes + received",
        "nodes",
        why="Every shape is right without it, and a model of single nodes trains as well.",
        question="Does what arrives change a node?",
        hint="Change one node's features, and look at its neighbour.",
    ),
    Bug(
        "message_passing",
        "relu instead of tanh",
        NODES_PLUS,
        NODES_PLUS.replace("tanh", "relu"),
        why="relu is what most layers end with.",
        question="Can a state of yours be below zero, or above one?",
        hint="Ask for the range of the states, with large features.",
    ),
    Bug(
        "message_passing",
        "tanh left out",
        NODES_PLUS,
        NODES_PLUS.replace(', "tanh"', ""),
        why="Without it the numbers are larger, and nothing breaks.",
        question="How large may a state become?",
        hint="Ask for the range of the states, with large features.",
    ),
    Bug(
        "message_passing",
        "bias of the update left out",
        """layer["weight"].T, nodes + received, layer["bias"], "tanh")""",
        """layer["weight"].T, nodes + received, nonlinearity="tanh")""",
        why="The edge's layer has no bias, so this one seems to have none either.",
        question="Does the update use all of its parameters?",
        hint="Look at the state of a node whose features are zero.",
    ),
    Bug(
        "message_passing",
        "state added once more",
        """    return nn_layer(layer["weight"].T, nodes + received, layer["bias"], "tanh")
""",
        """    return nodes + nn_layer(layer["weight"].T, nodes + received, layer["bias"], "tanh")
""",
        why="Deep networks carry their state past a layer, so it is done here too.",
        question="What is the last thing that happens to a state?",
        hint="Ask for the range of the states after a round.",
    ),
    Bug(
        "readout",
        "graphs of equal size",
        GRAPH_OF_NODE,
        EQUAL_SIZE,
        before_port=(GRAPH_OF_NODE_IN_NUMPY, EQUAL_SIZE.replace("jnp.", "np.")),
        why="Batches of images all have one size, and the division is quickly written.",
        question="Which node is the first of the second graph?",
        hint="Take graphs of 1 and 4 nodes, and compute each alone.",
    ),
    Bug(
        "readout",
        "nodes dealt out in turn",
        GRAPH_OF_NODE,
        TILED,
        before_port=(GRAPH_OF_NODE_IN_NUMPY, TILED.replace("jnp.", "np.")),
        why="repeat and tile are neighbours in the documentation.",
        question="Do the nodes of one graph lie side by side in your readout?",
        hint="Take graphs of 1 and 4 nodes, and compute each alone.",
    ),
    Bug(
        "readout",
        "readout over the whole batch",
        GRAPH_OF_NODE,
        ONE_GRAPH,
        before_port=(GRAPH_OF_NODE_IN_NUMPY, ONE_GRAPH.replace("jnp.", "np.")),
        why="With a batch of one graph it is right, and that is how it was tried.",
        question="To which graph do the last nodes belong?",
        hint="Compute two graphs together, and each alone.",
    ),
    Bug(
        "readout",
        "answers sorted",
        SUMS,
        SUMS_SORTED,
        before_port=(SUMS, SUMS_SORTED.replace("jnp.", "np.")),
        why="Grouping by index often comes with sorting, in tables at least.",
        question="In which order do your answers come?",
        hint="Swap two graphs of a batch, and look whether their answers swap.",
    ),
    Bug(
        "readout",
        "mean over each graph",
        SUMS,
        MEANS,
        before_port=(SUMS, MEANS.replace("jnp.", "np.")),
        why="A mean keeps answers alike for small and large graphs, and cannot count.",
        question="Does a graph with twice the nodes give the same answer?",
        hint="Put the same node into a graph twice, and compare.",
    ),
    Bug(
        "readout",
        "one answer for the whole batch",
        SUMS,
        ONE_ANSWER,
        why="Summing over the nodes is what the sentence says, and a batch is forgotten.",
        question="How many answers are there for three graphs?",
        hint="Compare the number of answers with the number of graphs.",
    ),
    Bug(
        "readout",
        "answers summed instead of states",
        LAST_LAYER,
        ANSWERS_FIRST,
        why="A layer and a sum can be swapped, were it not for the bias.",
        question="How often does the bias of the last layer count for a graph of four nodes?",
        hint="Compare the answers for one node and for the same node twice.",
    ),
    Bug(
        "readout",
        "tanh on the answer",
        LAST_LAYER,
        LAST_TANH,
        why="Every other step ends with tanh.",
        question="How large may an answer be?",
        hint="Give the readout large states, and look at the answer.",
    ),
    Bug(
        "gnn_model",
        "first round only",
        """("round_1", "round_2")""",
        """("round_1",)""",
        why="One round looks like all of them, and the shapes are right after it.",
        question="How many rounds of messages are there?",
        hint="Ask whether every parameter changes the answer.",
    ),
    Bug(
        "gnn_model",
        "same round twice",
        """("round_1", "round_2")""",
        """("round_1", "round_1")""",
        why="A line is copied, and one number in it is not changed.",
        question="Which parameters does each round use?",
        hint="Ask whether every parameter changes the answer.",
    ),
    Bug(
        "gnn_model",
        "rounds swapped",
        """("round_1", "round_2")""",
        """("round_2", "round_1")""",
        why="Names drawn from a set come in any order.",
        question="Which round comes first?",
        hint="Work out a graph by hand, with two rounds that differ.",
    ),
    Bug(
        "gnn_model",
        "senders and receivers swapped",
        """x["senders"], x["receivers"])""",
        """x["receivers"], x["senders"])""",
        why="Two arrays of one shape, side by side in a call: nothing complains.",
        question="Which way does an edge lead?",
        hint="Take one edge, and change its sender: whose state changes? Try it.",
    ),
    Bug(
        "gnn_model",
        "second round starts afresh",
        ROUNDS,
        FIRST_NODES_TWICE,
        why="The variable that holds the start has the better name.",
        question="What does the second round work on?",
        hint="Follow a message over two edges.",
    ),
    Bug(
        "gnn_model",
        "mean of the batch taken away",
        ROUNDS,
        CENTRED,
        why="Somebody thought of it as good practice, and it even helps in training.",
        question="What do the other graphs of the batch change?",
        hint="Compute two graphs together, and each alone.",
    ),
    Bug(
        "gnn_model",
        "nodes in the order given",
        ROUNDS,
        PLACED,
        why="In a sequence each step knows those before it, and a list of nodes looks like one.",
        question="Does your answer depend on how the nodes are numbered?",
        hint="Number the nodes in another order, and compare the answers.",
    ),
    Bug(
        "gnn_model",
        "nodes rounded",
        RETURNED,
        ROUNDED,
        why="Whole numbers compare well while one looks for another mistake, and stay.",
        question="Are your states whole numbers?",
        hint="Overfit one batch, and see how far the loss falls.",
    ),
    # --- 2 shapes ---
    Bug(
        "param_shapes",
        "bias on the edge's layer",
        MESSAGE_SHAPES,
        BIAS_ON_EDGE,
        why="Every other layer has one.",
        question="Which of the layers has no bias?",
        hint="Compare the names in the edge's layer with those in the original's state_dict.",
    ),
    Bug(
        "param_shapes",
        "update of two states",
        MESSAGE_SHAPES,
        JOINED,
        why="Many message-passing networks put the two states side by side; this one adds them.",
        question="How long is what goes into the update?",
        hint="Compare the shape of the update's weight with the numbers that go in and come out.",
    ),
    Bug(
        "param_shapes",
        "edge's weight with inputs first",
        MESSAGE_SHAPES,
        INPUTS_FIRST,
        why="On paper a matrix maps from its first axis to its second.",
        question="Which axis of a weight does nn.Linear put first?",
        hint="Ask with edge_features other than hidden.",
    ),
    Bug(
        "param_shapes",
        "embedding with inputs first",
        "(hidden, node_features)",
        "(node_features, hidden)",
        why="On paper a matrix maps from its first axis to its second.",
        question="Which axis of the embedding does nn.Linear put first?",
        hint="Ask with node_features other than hidden.",
    ),
    Bug(
        "param_shapes",
        "one answer typed in",
        """"readout": {"weight": (targets, hidden), "bias": (targets,)}""",
        """"readout": {"weight": (1, hidden), "bias": (1,)}""",
        why="The default model gives one answer.",
        question="How many answers does a model with three targets give?",
        hint="Ask with two targets.",
    ),
    Bug(
        "param_shapes",
        "hidden as wide as the nodes",
        """"bias": (hidden,)},
        "round_1\"""",
        """"bias": (node_features,)},
        "round_1\"""",
        why="An embedding keeps what a node is, so it seems as long.",
        question="How many numbers does the embedding give for a node?",
        hint="Ask with node_features other than hidden.",
    ),
    Bug(
        "activation_shapes",
        "one message a node in shapes",
        """"messages": (num_edges, hidden)""",
        """"messages": (num_nodes, hidden)""",
        why="Nodes are what speaks, so it seems to be one message for each of them.",
        question="How many messages are there?",
        hint="Ask with more edges than nodes.",
    ),
    Bug(
        "activation_shapes",
        "one sum an edge",
        """"received": (num_nodes, hidden)""",
        """"received": (num_edges, hidden)""",
        why="As many messages arrive as are sent.",
        question="What is left of the messages after they are summed?",
        hint="Ask with more edges than nodes.",
    ),
    Bug(
        "activation_shapes",
        "one answer a node",
        """"readout": (num_graphs, targets)""",
        """"readout": (num_nodes, targets)""",
        why="The layer is applied to states, and states belong to nodes.",
        question="Whose answers are they: the nodes', or the graphs'?",
        hint="Ask with fewer graphs than nodes.",
    ),
    Bug(
        "activation_shapes",
        "states not summed yet",
        """"sums": (num_graphs, hidden)""",
        """"sums": (num_nodes, hidden)""",
        why="The line that sums is the last but one, and is read past.",
        question="How many sums are there?",
        hint="Ask with fewer graphs than nodes.",
    ),
    Bug(
        "activation_shapes",
        "sums as short as the answer",
        """"sums": (num_graphs, hidden)""",
        """"sums": (num_graphs, targets)""",
        why="Sum and answer stand on one line of the original.",
        question="Does the last layer come before the sum, or after it?",
        hint="Ask with targets other than hidden.",
    ),
    # --- 3 params ---
    Bug(
        "make_gnn_params",
        "drawn from a normal distribution",
        "jax.random.uniform(part_key, shapes[name], minval=-bound, maxval=bound)",
        "bound * jax.random.normal(part_key, shapes[name])",
        before_port=(
            "rng.uniform(-bound, bound, size=shape)",
            "rng.normal(scale=bound, size=shape)",
        ),
        why="Normal is what most people think of when they hear random.",
        question="Does the original draw from a hill, or from a plateau?",
        hint="Draw many, and ask how far from zero they go.",
    ),
    Bug(
        "make_gnn_params",
        "only positive values",
        "minval=-bound, maxval=bound",
        "minval=0, maxval=bound",
        before_port=("rng.uniform(-bound, bound, size=shape)", "rng.uniform(0, bound, size=shape)"),
        why="A uniform draw starts at zero unless it is told otherwise.",
        question="Are any of your values below zero?",
        hint="Ask for the smallest value of many.",
    ),
    Bug(
        "make_gnn_params",
        "bound without the root",
        """["weight"][1] ** -0.5""",
        """["weight"][1] ** -1.0""",
        why="One over the number of inputs is what a mean would need.",
        question="Does the bound fall with the number of inputs, or with its root?",
        hint="Compare the largest value of layers with 4 and with 16 inputs.",
    ),
    Bug(
        "make_gnn_params",
        "bound from the outputs",
        """["weight"][1] ** -0.5""",
        """["weight"][0] ** -0.5""",
        why="The first axis of a weight is read as its inputs.",
        question="Which axis of the weight counts its inputs?",
        hint="Compare the bounds of two layers with other numbers of inputs.",
    ),
    Bug(
        "make_gnn_params",
        "key ignored",
        "jax.random.key(key)",
        "jax.random.key(0)",
        before_port=("default_rng(key)", "default_rng(0)"),
        why="The key was typed in for a first trial.",
        question="Do two keys give two draws?",
        hint="Draw with two keys, and compare.",
    ),
    Bug(
        "make_gnn_params",
        "rounds drawn alike",
        """            "edge": draw(edge_2, shapes["round_2"]["edge"]),
            "update": draw(update_2, shapes["round_2"]["update"]),
""",
        """            "edge": draw(edge_1, shapes["round_2"]["edge"]),
            "update": draw(update_1, shapes["round_2"]["update"]),
""",
        before_port=(
            "    return draw(param_shapes(node_features, edge_features, hidden, targets))",
            "    params = draw(param_shapes(node_features, edge_features, hidden, targets))\n"
            '    return {**params, "round_2": params["round_1"]}',
        ),
        why="The second round is a copy of the first, and not all of it is changed.",
        question="Do your two rounds begin with other numbers?",
        hint="Compare round_1 with round_2 after a draw.",
    ),
    Bug(
        "params_from_state_dict",
        "only one level",
        NESTING,
        TWO_LEVELS,
        why="In the models seen so far a layer and a name were all there was.",
        question="How many dots does a name have, and how many levels do you make?",
        hint="Look up round_1, then update, then weight.",
    ),
    Bug(
        "params_from_state_dict",
        "last two parts only",
        NESTING,
        LAST_TWO,
        why="A layer and a name are the end of each path.",
        question="Where do the parameters of the first round go when the second's arrive?",
        hint="Hand over two rounds with other numbers, and look both up.",
    ),
    Bug(
        "params_from_state_dict",
        "second name overwrites the first",
        NESTING,
        OVERWRITTEN,
        why="A new dict is made on the way, where there may be one already.",
        question="What becomes of a weight when the bias of its layer arrives?",
        hint="Hand over a weight and a bias, and look both up.",
    ),
    Bug(
        "params_from_state_dict",
        "weights transposed",
        "        inner[name] = value\n",
        "        inner[name] = value.T\n",
        why="nn_layer wants the inputs first, so it is turned round once and for all.",
        question="Does every array keep its shape?",
        hint="Hand over a weight that is not square.",
    ),
    Bug(
        "params_from_state_dict",
        "names not split",
        NESTING,
        "        params[path] = value\n",
        why="The names are unique as they are.",
        question="How does the model look up the weight of a layer in a round?",
        hint="Look up round_1, then update, then weight.",
    ),
    # --- 5 training test ---
    Bug(
        "dummy_graph_data",
        "nodes of the first graph only",
        'first + rng.integers(count),\n        "receivers"',
        'rng.integers(count),\n        "receivers"',
        why="Within a graph nodes are counted from 0, and the batch comes later.",
        question="Where in the batch does a graph's first node stand?",
        hint="Assert that both ends of every edge lie in one graph.",
    ),
    Bug(
        "dummy_graph_data",
        "edges across graphs",
        '"receivers": first + rng.integers(count)',
        '"receivers": rng.integers(nodes_per_graph.sum(), size=len(first))',
        why="Any node is a node, so any may be drawn.",
        question="Do the two ends of an edge lie in one graph?",
        hint="Assert that both ends of every edge lie in one graph.",
    ),
    Bug(
        "dummy_graph_data",
        "graphs of one size",
        "rng.integers(2, 7, size=num_graphs)",
        "np.full(num_graphs, 4)",
        why="One size is easier to think of, and batches of images have one.",
        question="Which sizes do your graphs have?",
        hint="Assert that not all graphs have as many nodes.",
    ),
    Bug(
        "dummy_graph_data",
        "nodes counted for the answer",
        "return x, edges_per_graph[:, None].astype(float)",
        "return x, nodes_per_graph[:, None].astype(float)",
        why="Nodes and edges are counted side by side, and the names are close.",
        question="What does the answer count?",
        hint="Count the edges of each graph again, and compare with y.",
    ),
    Bug(
        "dummy_graph_data",
        "answers without an axis",
        "edges_per_graph[:, None].astype(float)",
        "edges_per_graph.astype(float)",
        why="One number for each graph is a row of numbers; the model gives a column.",
        question="Which shape do the model's answers have, for one target?",
        hint="Assert that y has the shape of the model's answers.",
    ),
    Bug(
        "dummy_graph_data",
        "key of the data ignored",
        "default_rng(key)",
        "default_rng(0)",
        why="The key was typed in for a first trial.",
        question="Do two keys make two batches?",
        hint="Make data with two keys, and compare.",
    ),
    Bug(
        "karate_club_data",
        "ties one way",
        """        "senders": np.concatenate([ties[:, 0], ties[:, 1]]),
        "receivers": np.concatenate([ties[:, 1], ties[:, 0]]),
""",
        """        "senders": ties[:, 0],
        "receivers": ties[:, 1],
""",
        why="Each tie is listed once.",
        question="Do both members of a tie hear from each other?",
        hint="Assert that there are twice as many edges as ties.",
    ),
    Bug(
        "karate_club_data",
        "members tied to themselves",
        '"receivers": np.concatenate([ties[:, 1], ties[:, 0]])',
        '"receivers": np.concatenate([ties[:, 0], ties[:, 1]])',
        why="A line is copied, and its two columns are not swapped.",
        question="Who receives what the first member of a tie sends?",
        hint="Assert that no edge leads from a member to itself.",
    ),
    Bug(
        "karate_club_data",
        "each tie beside its way back",
        """        "senders": np.concatenate([ties[:, 0], ties[:, 1]]),
        "receivers": np.concatenate([ties[:, 1], ties[:, 0]]),
""",
        """        "senders": ties.ravel(),
        "receivers": ties[:, ::-1].ravel(),
""",
        why="Both ways are there, and to the model the order of edges does not matter.",
        question="In which order do the ties and their ways back come?",
        hint="Compare the first senders with the first column of the ties.",
    ),
    Bug(
        "karate_club_data",
        "one graph for the club",
        "np.ones(len(faction), dtype=int)",
        "np.array([len(faction)])",
        why="A club is one graph.",
        question="How many answers will your model give for the club?",
        hint="Assert that there are as many graphs as members.",
    ),
    Bug(
        "karate_club_data",
        "factions not centred",
        "2.0 * faction[:, None] - 1",
        "1.0 * faction[:, None]",
        why="Factions are kept as 0 and 1, and look ready.",
        question="Which two numbers stand for the two factions?",
        hint="Assert which values y has.",
    ),
    Bug(
        "karate_club_data",
        "factions the other way round",
        "2.0 * faction[:, None] - 1",
        "1 - 2.0 * faction[:, None]",
        why="The instructor comes first, so he seems to be the positive one.",
        question="Which faction is 1?",
        hint="Assert the answer of the instructor, member 0.",
    ),
    Bug(
        "karate_club_data",
        "members all alike",
        "np.eye(len(faction))",
        "np.ones((len(faction), len(faction)))",
        why="Nothing is known of the members, so all get the same.",
        question="How does the model tell one member from another?",
        hint="Assert that no two rows of nodes are equal.",
    ),
]
