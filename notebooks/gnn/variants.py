"""Other right ways to write each piece: none of them may be refused.

`send_messages__by_hand` is another `send_messages`; where a piece is ported, `jax` says that a way
is one of the port.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from data import dummy_graph_data
from losses import mse_loss
from model import gnn_model, message_passing, nn_layer, send_messages, sum_by_index
from params import make_gnn_params
from safetensors import safe_open
from scipy.spatial.distance import cdist
from shapes import activation_shapes, param_shapes
from training import train
from uncertainty import conformal_threshold, strangeness

# --- 1 forward pass -----------------------------------------------------------------------


def numpy_counterparts__named():
    def linear(x, weight, bias=None):
        product = np.einsum("ri,oi->ro", x, weight)
        return product if bias is None else product + bias

    def repeated(counts):
        return np.concatenate([np.full(count, graph) for graph, count in enumerate(counts)])

    return {
        "linear": linear,
        "Tensor.__getitem__": lambda x, index: np.take(x, index, axis=0),
        "Tensor.add": np.add,
        "tanh": np.tanh,
        "repeat_interleave": lambda counts: repeated(counts).astype(int),
    }


def numpy_counterparts__more_than_asked():
    return {
        "linear": lambda x, weight, *bias: np.dot(x, np.transpose(weight)) + sum(bias),
        "Tensor.__getitem__": lambda x, index: np.array([x[i] for i in index]).reshape(
            -1, x.shape[1]
        ),
        "Tensor.add": lambda first, second: second + first,
        "tanh": lambda x: 2 / (1 + np.exp(-2 * x)) - 1,
        "repeat_interleave": lambda counts: np.searchsorted(
            np.cumsum(counts), np.arange(counts.sum()), side="right"
        ),
        "relu": lambda x: np.maximum(x, 0),
    }


def send_messages__by_hand(params, nodes, edges, senders):
    return edges @ params["edge"]["weight"].T + nodes[senders]


def send_messages__edge_by_edge(params, nodes, edges, senders):
    messages = np.zeros((len(edges), nodes.shape[1]))
    for number, sender in enumerate(senders):
        messages[number] = nodes[sender] + params["edge"]["weight"] @ edges[number]
    return messages


def sum_by_index__row_by_row(values, index, count):
    sums = np.zeros((count, values.shape[1]))
    for value, place in zip(values, index, strict=True):
        sums[place] += value
    return sums


def sum_by_index__one_hot(values, index, count):
    return (index == np.arange(count)[:, None]).astype(float) @ values


def sum_by_index__jax_at_add(values, index, count):
    return jnp.zeros((count, values.shape[1])).at[index].add(values)


def sum_by_index__jax_one_hot(values, index, count):
    return jax.nn.one_hot(index, count, dtype=values.dtype).T @ values


def message_passing__by_hand(params, nodes, edges, senders, receivers):
    known = nodes.copy()
    np.add.at(known, receivers, nodes[senders] + edges @ params["edge"]["weight"].T)
    return np.tanh(known @ params["update"]["weight"].T + params["update"]["bias"])


def message_passing__other_order(params, nodes, edges, senders, receivers):
    sent = send_messages(params, nodes, edges, senders)
    update = params["update"]
    own = nn_layer(update["weight"].T, nodes, update["bias"])
    received = nn_layer(update["weight"].T, sum_by_index(sent, receivers, nodes.shape[0]))
    return np.tanh(own + received)


def readout__split(params, nodes, nodes_per_graph):
    sums = [part.sum(axis=0) for part in np.split(nodes, np.cumsum(nodes_per_graph)[:-1])]
    return np.stack(sums) @ params["readout"]["weight"].T + params["readout"]["bias"]


def readout__loop(params, nodes, nodes_per_graph):
    answers, start = [], 0
    for count in nodes_per_graph:
        total = nodes[start : start + count].sum(axis=0)
        answers.append(params["readout"]["weight"] @ total + params["readout"]["bias"])
        start += count
    return np.array(answers)


def readout__jax_searchsorted(params, nodes, nodes_per_graph):
    ends = jnp.cumsum(nodes_per_graph)
    graph_of_node = jnp.searchsorted(ends, jnp.arange(nodes.shape[0]), side="right")
    sums = jax.ops.segment_sum(nodes, graph_of_node, nodes_per_graph.shape[0])
    return sums @ params["readout"]["weight"].T + params["readout"]["bias"]


def readout__jax_differences(params, nodes, nodes_per_graph):
    ends = jnp.cumsum(nodes_per_graph)
    running = jnp.concatenate([jnp.zeros((1, nodes.shape[1])), jnp.cumsum(nodes, axis=0)])
    sums = running[ends] - running[ends - nodes_per_graph]
    return sums @ params["readout"]["weight"].T + params["readout"]["bias"]


def gnn_model__written_out(params, x):
    nodes = x["nodes"] @ params["embed"]["weight"].T + params["embed"]["bias"]
    for one in (params["round_1"], params["round_2"]):
        received = np.zeros_like(nodes)
        np.add.at(
            received, x["receivers"], nodes[x["senders"]] + x["edges"] @ one["edge"]["weight"].T
        )
        nodes = np.tanh((nodes + received) @ one["update"]["weight"].T + one["update"]["bias"])
    sums = [part.sum(axis=0) for part in np.split(nodes, np.cumsum(x["nodes_per_graph"])[:-1])]
    return np.stack(sums) @ params["readout"]["weight"].T + params["readout"]["bias"]


def gnn_model__unpacked(params, x):
    nodes, edges, senders, receivers, counts = (
        x[name] for name in ("nodes", "edges", "senders", "receivers", "nodes_per_graph")
    )
    nodes = nn_layer(params["embed"]["weight"].T, nodes, params["embed"]["bias"])
    nodes = message_passing(params["round_1"], nodes, edges, senders, receivers)
    nodes = message_passing(params["round_2"], nodes, edges, senders, receivers)
    return readout__split(params, np.asarray(nodes), counts)


# --- 2 shapes -----------------------------------------------------------------------------


def param_shapes__lists(node_features=5, edge_features=2, hidden=16, targets=1):
    shapes = {"embed": {"weight": [hidden, node_features], "bias": [hidden]}}
    for name in ("round_1", "round_2"):
        shapes[name] = {
            "edge": {"weight": [hidden, edge_features]},
            "update": {"weight": [hidden, hidden], "bias": [hidden]},
        }
    return {**shapes, "readout": {"weight": [targets, hidden], "bias": [targets]}}


def param_shapes__by_helper(node_features=5, edge_features=2, hidden=16, targets=1):
    def layer(inputs, outputs):
        return {"weight": (outputs, inputs), "bias": (outputs,)}

    def one_round():
        return {"edge": {"weight": (hidden, edge_features)}, "update": layer(hidden, hidden)}

    return {
        "readout": layer(hidden, targets),
        "embed": layer(node_features, hidden),
        "round_2": one_round(),
        "round_1": one_round(),
    }


def activation_shapes__lists(num_nodes, num_edges, num_graphs, hidden=16, targets=1):
    shapes = {name: [num_nodes, hidden] for name in ("embed", "received", "update")}
    shapes["messages"] = [num_edges, hidden]
    shapes["sums"], shapes["readout"] = [num_graphs, hidden], [num_graphs, targets]
    return shapes


def activation_shapes__numpy_numbers(num_nodes, num_edges, num_graphs, hidden=16, targets=1):
    rows = {"messages": num_edges, "sums": num_graphs}
    rows |= dict.fromkeys(("embed", "received", "update"), num_nodes)
    shapes = {name: np.empty((count, hidden)).shape for name, count in rows.items()}
    return {**shapes, "readout": (np.int64(num_graphs), np.int64(targets))}


# --- 3 params -----------------------------------------------------------------------------


def make_gnn_params__scaled(key=0, node_features=5, edge_features=2, hidden=16, targets=1):
    rng = np.random.default_rng(key)

    def layer(inputs, outputs, bias=True):
        drawn = {"weight": (2 * rng.random((outputs, inputs)) - 1) / np.sqrt(inputs)}
        if bias:
            drawn["bias"] = (2 * rng.random(outputs) - 1) / np.sqrt(inputs)
        return drawn

    def one_round():
        return {"update": layer(hidden, hidden), "edge": layer(edge_features, hidden, bias=False)}

    return {
        "round_1": one_round(),
        "round_2": one_round(),
        "embed": layer(node_features, hidden),
        "readout": layer(hidden, targets),
    }


def make_gnn_params__seeds(key=0, node_features=5, edge_features=2, hidden=16, targets=1):
    seeds = iter(np.random.SeedSequence(key).spawn(12))

    def uniform(shape, inputs):
        return np.random.default_rng(next(seeds)).uniform(-1, 1, shape) * inputs**-0.5

    def layer(inputs, outputs):
        return {"weight": uniform((outputs, inputs), inputs), "bias": uniform(outputs, inputs)}

    def one_round():
        edge = {"weight": uniform((hidden, edge_features), edge_features)}
        return {"edge": edge, "update": layer(hidden, hidden)}

    return {
        "embed": layer(node_features, hidden),
        "round_1": one_round(),
        "round_2": one_round(),
        "readout": layer(hidden, targets),
    }


def make_gnn_params__jax_folded(key=0, node_features=5, edge_features=2, hidden=16, targets=1):
    def uniform(number, shape, inputs):
        place = jax.random.fold_in(jax.random.key(key), number)
        return jax.random.uniform(place, shape, minval=-1, maxval=1) / inputs**0.5

    def layer(number, inputs, outputs):
        return {
            "weight": uniform(number, (outputs, inputs), inputs),
            "bias": uniform(number + 1, (outputs,), inputs),
        }

    def one_round(number):
        edge = {"weight": uniform(number, (hidden, edge_features), edge_features)}
        return {"edge": edge, "update": layer(number + 1, hidden, hidden)}

    return {
        "embed": layer(0, node_features, hidden),
        "round_1": one_round(10),
        "round_2": one_round(20),
        "readout": layer(30, hidden, targets),
    }


def make_gnn_params__jax_tree(key=0, node_features=5, edge_features=2, hidden=16, targets=1):
    inputs = {"embed": node_features, "edge": edge_features, "update": hidden, "readout": hidden}
    shapes = param_shapes__by_helper(node_features, edge_features, hidden, targets)
    leaves, tree = jax.tree.flatten_with_path(shapes, is_leaf=lambda s: isinstance(s, tuple))
    keys = jax.random.split(jax.random.key(key), len(leaves))
    drawn = [
        jax.random.uniform(place, shape, minval=-1, maxval=1) * inputs[path[-2].key] ** -0.5
        for place, (path, shape) in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(tree, drawn)


def params_from_state_dict__recursive(state_dict):
    def put(tree, parts, value):
        head, *rest = parts
        below = put(tree.get(head, {}), rest, value) if rest else value
        return {**tree, head: below}

    params = {}
    for path, value in state_dict.items():
        params = put(params, path.split("."), value)
    return params


def params_from_state_dict__by_length(state_dict):
    params = {}
    for path, value in state_dict.items():
        match path.split("."):
            case [layer, name]:
                params.setdefault(layer, {})[name] = np.array(value)
            case [one_round, layer, name]:
                params.setdefault(one_round, {}).setdefault(layer, {})[name] = np.array(value)
    return params


# --- 4 unit tests -------------------------------------------------------------------------


def small():
    params = make_gnn_params(3, 3, 2, 4, 2)
    return params, dummy_graph_data(2, 4, 3, 2)[0]


def renumbered(x, order):
    place = np.argsort(order)
    return {
        **x,
        "nodes": x["nodes"][order],
        "senders": place[x["senders"]],
        "receivers": place[x["receivers"]],
    }


def as_one_graph(x):
    return {**x, "nodes_per_graph": np.array([len(x["nodes"])])}


def test_shapes__asserts():
    params, x = small()
    num_nodes, num_edges, num_graphs = len(x["nodes"]), len(x["edges"]), len(x["nodes_per_graph"])
    nodes = np.ones((num_nodes, 4))
    sent = send_messages(params["round_1"], nodes, x["edges"], x["senders"])
    assert sent.shape == (num_edges, 4)
    assert gnn_model(params, x).shape == (num_graphs, 2)


def test_shapes__one_graph():
    params, x = small()
    assert gnn_model(params, as_one_graph(x)).shape == (1, 2)
    sent = send_messages(params["round_2"], np.ones((len(x["nodes"]), 4)), x["edges"], x["senders"])
    assert len(sent) == len(x["edges"]) and gnn_model(params, x).shape == (4, 2)


def test_node_order_does_not_matter__reversed():
    params, x = small()
    x = as_one_graph(x)
    order = np.arange(len(x["nodes"]))[::-1]
    np.testing.assert_allclose(
        gnn_model(params, x), gnn_model(params, renumbered(x, order)), rtol=1e-4, atol=1e-5
    )
    nodes = np.random.default_rng(1).normal(size=(len(x["nodes"]), 4))
    more = x["edges"], x["senders"], x["receivers"]
    heard = message_passing(params["round_1"], nodes, *more)
    alone = message_passing(params["round_1"], nodes, x["edges"], x["senders"], 0 * x["receivers"])
    silent = np.setdiff1d(np.arange(1, len(nodes)), x["receivers"])
    np.testing.assert_allclose(heard[silent], alone[silent], rtol=1e-4, atol=1e-5)


def test_node_order_does_not_matter__shuffled():
    params, x = small()
    x = as_one_graph(x)
    order = np.random.default_rng(5).permutation(len(x["nodes"]))
    same = gnn_model(params, renumbered(x, order))
    assert np.allclose(gnn_model(params, x), same, rtol=1e-4, atol=1e-5)


def test_edge_order_does_not_matter__reversed():
    params, x = small()
    turned = {**x, **{name: x[name][::-1] for name in ("edges", "senders", "receivers")}}
    assert np.allclose(gnn_model(params, x), gnn_model(params, turned), rtol=1e-4, atol=1e-5)


def test_edge_order_does_not_matter__rolled():
    params, x = small()
    rolled = {name: np.roll(x[name], 3, axis=0) for name in ("edges", "senders", "receivers")}
    ours, theirs = gnn_model(params, x), gnn_model(params, {**x, **rolled})
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def swapped(x):
    """Put the last graph of two first."""
    first = x["nodes_per_graph"][0]
    order = np.r_[first : len(x["nodes"]), 0:first]
    return {**renumbered(x, order), "nodes_per_graph": x["nodes_per_graph"][::-1]}


def test_graphs_follow_their_order__two():
    params = make_gnn_params(3)
    for key in range(4):
        x, _ = dummy_graph_data(key, 2)
        ours, turned = gnn_model(params, x), gnn_model(params, swapped(x))
        np.testing.assert_allclose(ours, turned[::-1], rtol=1e-4, atol=1e-5)


def test_graphs_follow_their_order__one_by_one():
    params = make_gnn_params(3)
    x, _ = dummy_graph_data(1, 2)
    ours, turned = gnn_model(params, x), gnn_model(params, swapped(x))
    assert np.allclose(ours[0], turned[1], rtol=1e-4, atol=1e-5)
    assert np.allclose(ours[1], turned[0], rtol=1e-4, atol=1e-5)


def test_graphs_do_not_mix__one_changes():
    params = make_gnn_params(3)
    x, _ = dummy_graph_data(1, 3)
    nodes = x["nodes"].copy()
    nodes[0] += 1
    ours, changed = gnn_model(params, x), gnn_model(params, {**x, "nodes": nodes})
    np.testing.assert_allclose(ours[1:], changed[1:], rtol=1e-4, atol=1e-5)


def test_graphs_do_not_mix__first_alone():
    params = make_gnn_params(3)
    x, _ = dummy_graph_data(1, 3)
    count = x["nodes_per_graph"][0]
    inside = x["senders"] < count
    alone = {name: x[name][inside] for name in ("edges", "senders", "receivers")}
    alone |= {"nodes": x["nodes"][:count], "nodes_per_graph": x["nodes_per_graph"][:1]}
    assert np.allclose(gnn_model(params, x)[:1], gnn_model(params, alone), rtol=1e-4, atol=1e-5)


def test_messages_are_summed__two_rows():
    values = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    sums = sum_by_index(values, np.array([1, 1, 0]), 3)
    np.testing.assert_allclose(sums, [[5, 6], [4, 6], [0, 0]])


def test_messages_are_summed__many():
    sums = sum_by_index(np.ones((10, 2)), np.zeros(10, dtype=int), 1)
    assert np.allclose(sums, 10)


def test_by_hand__two_nodes():
    params = {
        "edge": {"weight": np.array([[0.5]])},
        "update": {"weight": np.array([[0.25]]), "bias": np.array([0.1])},
    }
    nodes, edges = np.array([[2.0], [-1.0]]), np.array([[3.0]])
    ours = message_passing(params, nodes, edges, np.array([0]), np.array([1]))
    # node 1 receives 2 + 0.5 * 3 = 3.5 and holds -1; node 0 receives nothing
    expected = [[np.tanh(0.25 * 2 + 0.1)], [np.tanh(0.25 * 2.5 + 0.1)]]
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_by_hand__alone():
    params = {
        "edge": {"weight": np.array([[2.0], [1.0]])},
        "update": {"weight": np.array([[0.2, 0.1], [0.0, 0.3]]), "bias": np.array([0.0, -0.1])},
    }
    nodes, edges = np.array([[1.0, 2.0]]), np.array([[0.5]])
    ours = message_passing(params, nodes, edges, np.array([0]), np.array([0]))
    # it holds (1, 2) and hears itself: (1 + 1, 2 + 0.5)
    assert np.allclose(ours, np.tanh([[0.2 * 3 + 0.1 * 4.5, 0.3 * 4.5 - 0.1]]), rtol=1e-5)


# --- 5 training test ----------------------------------------------------------------------


def dummy_graph_data__graph_by_graph(key=0, num_graphs=8, node_features=5, edge_features=2):
    rng = np.random.default_rng((key, 7))
    sizes, y, senders, receivers, start = [], [], [], [], 0
    for _ in range(num_graphs):
        size, num_edges = int(rng.integers(2, 7)), int(rng.integers(1, 10))
        senders += [start + int(rng.integers(size)) for _ in range(num_edges)]
        receivers += [start + int(rng.integers(size)) for _ in range(num_edges)]
        sizes.append(size)
        y.append([float(num_edges)])
        start += size
    x = {
        "nodes": rng.standard_normal((start, node_features)),
        "edges": rng.standard_normal((len(senders), edge_features)),
        "senders": np.array(senders),
        "receivers": np.array(receivers),
        "nodes_per_graph": np.array(sizes),
    }
    return x, np.array(y)


def dummy_graph_data__legacy(key=0, num_graphs=8, node_features=5, edge_features=2):
    rng = np.random.RandomState(key)
    sizes, counts = rng.choice([2, 3, 4, 5, 6], num_graphs), 1 + rng.choice(9, num_graphs)
    first = np.repeat(np.append(0, np.cumsum(sizes))[:-1], counts)
    ends = np.floor(rng.rand(2, len(first)) * np.repeat(sizes, counts)).astype(int)
    x = {
        "nodes": rng.randn(sizes.sum(), node_features),
        "edges": rng.randn(len(first), edge_features),
        "senders": first + ends[0],
        "receivers": first + ends[1],
        "nodes_per_graph": sizes,
    }
    return x, counts.reshape(-1, 1) * 1.0


def karate_club_data__lists(recording):
    with safe_open(recording, framework="numpy") as file:
        ties, faction = file.get_tensor("data/ties").T, file.get_tensor("data/faction")
    count = len(faction)
    nodes = np.zeros((count, count))
    nodes[np.arange(count), np.arange(count)] = 1
    x = {
        "nodes": nodes,
        "edges": np.zeros((2 * ties.shape[1], 1)),
        "senders": ties.ravel(),
        "receivers": ties[::-1].ravel(),
        "nodes_per_graph": np.full(count, 1),
    }
    return x, np.array([[1.0] if side else [-1.0] for side in faction])


def karate_club_data__int32(recording):
    with safe_open(recording, framework="numpy") as file:
        ties, faction = file.get_tensor("data/ties"), file.get_tensor("data/faction")
    both = np.concatenate([ties, ties[:, ::-1]]).astype(np.int32)
    x = {
        "nodes": np.identity(faction.size),
        "edges": np.zeros((len(both), 1)),
        "senders": both[:, 0],
        "receivers": both[:, 1],
        "nodes_per_graph": np.ones_like(faction),
    }
    return x, np.where(faction[:, None] == 0, -1.0, 1.0)


def test_training_lowers_the_loss__losses():
    x, y = dummy_graph_data(num_graphs=4)
    _, losses = train(make_gnn_params(1), gnn_model, mse_loss, x, y, steps=30)
    assert len(losses) == 30 and losses[-1] < losses[0]


def test_training_lowers_the_loss__before_and_after():
    params, data = make_gnn_params(), dummy_graph_data(2)
    after, _ = train(params, gnn_model, mse_loss, *data, 15, 1e-2)
    assert float(mse_loss(after, gnn_model, *data)) < float(mse_loss(params, gnn_model, *data))


def test_every_parameter_receives_gradient__leaves():
    grads = jax.grad(mse_loss)(make_gnn_params(4), gnn_model, *dummy_graph_data(3))
    assert all(float(np.abs(grad).max()) > 1e-8 for grad in jax.tree.leaves(grads))


def test_every_parameter_receives_gradient__moves():
    params = make_gnn_params(4)
    trained, _ = train(params, gnn_model, mse_loss, *dummy_graph_data(), steps=1)
    pairs = zip(jax.tree.leaves(params), jax.tree.leaves(trained), strict=True)
    assert all(not np.array_equal(before, after) for before, after in pairs)


def test_one_batch_can_be_overfitted__tenth():
    x, y = dummy_graph_data(num_graphs=3)
    _, losses = train(make_gnn_params(), gnn_model, mse_loss, x, y, steps=300, step_size=0.01)
    assert losses[-1] < losses[0] / 10


def test_one_batch_can_be_overfitted__answers():
    x, y = dummy_graph_data(num_graphs=3)
    params, _ = train(make_gnn_params(), gnn_model, mse_loss, x, y, steps=500, step_size=0.01)
    assert np.abs(gnn_model(params, x) - y).max() < 1


# --- 6 know your model --------------------------------------------------------------------


def strangeness__round_by_round(params, x, known):
    def sums_of(graphs):
        states = nn_layer(params["embed"]["weight"].T, graphs["nodes"], params["embed"]["bias"])
        along = graphs["edges"], graphs["senders"], graphs["receivers"]
        for name in ("round_1", "round_2"):
            states = message_passing(params[name], states, *along)
        counts = np.asarray(graphs["nodes_per_graph"])
        return np.asarray(
            sum_by_index(states, np.repeat(np.arange(len(counts)), counts), len(counts))
        )

    return cdist(sums_of(x), sums_of(known)).min(axis=1)


def strangeness__by_products(params, x, known):
    identity = np.eye(params["readout"]["weight"].shape[1])
    through = dict(params, readout={"weight": identity, "bias": 0.0})
    ours, theirs = gnn_model(through, x), gnn_model(through, known)
    squares = (ours**2).sum(1)[:, None] + (theirs**2).sum(1) - 2 * ours @ theirs.T
    return jnp.sqrt(jnp.maximum(squares, 0).min(axis=1))


def is_strange__counted(params, x, known, calibration, alpha=0.1):
    scores = np.asarray(strangeness(params, calibration, known))
    new = np.asarray(strangeness(params, x, known))
    at_least = (scores >= new[:, None]).sum(axis=1) + 1
    return at_least <= (len(scores) + 1) * alpha


def is_strange__one_by_one(params, x, known, calibration, alpha=0.1):
    limit = float(conformal_threshold(strangeness(params, calibration, known), alpha=alpha))
    return np.array([float(score) > limit for score in strangeness(params, x, known)])


def summed_states(params, graphs):
    identity = np.eye(params["readout"]["weight"].shape[1])
    return gnn_model(dict(params, readout={"weight": identity, "bias": 0.0}), graphs)


def second_strangeness__to_the_nearer_side(params, x, known):
    above = np.asarray(gnn_model(params, x)).ravel() % 1
    return np.minimum(above, 1 - above)


def second_strangeness__fifth_nearest(params, x, known):
    gaps = cdist(summed_states(params, x), summed_states(params, known))
    return np.partition(gaps, 4, axis=1)[:, 4]


def second_strangeness__mahalanobis(params, x, known):
    sums = np.asarray(summed_states(params, known))
    gaps = np.asarray(summed_states(params, x)) - sums.mean(axis=0)
    return np.sqrt((gaps * np.linalg.solve(np.cov(sums.T), gaps.T).T).sum(axis=1))


def count_flops__layer_by_layer(
    num_nodes, num_edges, num_graphs, node_features=5, edge_features=2, hidden=16, targets=1
):
    layers = [(num_nodes, node_features, hidden, False), (num_graphs, hidden, targets, True)]
    layers += 2 * [(num_edges, edge_features, hidden, False), (num_nodes, hidden, hidden, True)]
    forward = train_step = 0
    for rows, inputs, outputs, is_learned in layers:
        forward += 2 * rows * inputs * outputs
        train_step += (3 if is_learned else 2) * 2 * rows * inputs * outputs
    return {"forward": forward, "train_step": train_step}


def count_flops__from_shapes(
    num_nodes, num_edges, num_graphs, node_features=5, edge_features=2, hidden=16, targets=1
):
    shapes = param_shapes(node_features, edge_features, hidden, targets)
    one_round = shapes["round_2"]
    embed = 2.0 * num_nodes * np.prod(shapes["embed"]["weight"])
    edge = 4.0 * num_edges * np.prod(one_round["edge"]["weight"])
    update = 4.0 * num_nodes * np.prod(one_round["update"]["weight"])
    forward = embed + edge + update + 2.0 * num_graphs * np.prod(shapes["readout"]["weight"])
    return dict(train_step=3 * forward - embed - edge, forward=forward)


def count_memory__arrays(
    num_nodes, num_edges, num_graphs, node_features=5, edge_features=2, hidden=16, targets=1
):
    def bytes_of(shapes):
        if isinstance(shapes, dict):
            return sum(map(bytes_of, shapes.values()))
        return np.zeros(shapes, dtype=np.float32).nbytes

    params = bytes_of(param_shapes(node_features, edge_features, hidden, targets))
    kept = activation_shapes(num_nodes, num_edges, num_graphs, hidden, targets)
    again = {name: kept[name] for name in ("messages", "received", "update")}
    given = {"nodes": (num_nodes, node_features), "edges": (num_edges, edge_features)}
    activations = sum(map(bytes_of, (kept, again, given)))
    return dict(activations=activations, adam=params + params, gradients=params, params=params)


def count_memory__on_paper(
    num_nodes, num_edges, num_graphs, node_features=5, edge_features=2, hidden=16, targets=1
):
    one_round = hidden * (edge_features + hidden + 1)
    params = 4 * (hidden * (node_features + 1) + 2 * one_round + targets * (hidden + 1))
    a_node, an_edge = node_features + 5 * hidden, edge_features + 2 * hidden
    activations = 4 * (num_nodes * a_node + num_edges * an_edge + num_graphs * (hidden + targets))
    return {"params": params, "gradients": params, "adam": 2 * params, "activations": activations}


def checked_graphs__step_by_step(x, node_features=5, edge_features=2):
    nodes, edges = np.asarray(x["nodes"]), np.asarray(x["edges"])
    if nodes.ndim != 2 or nodes.shape[1] != node_features:
        raise ValueError(f"a node has {node_features} features")
    if edges.ndim != 2 or edges.shape[1] != edge_features:
        raise ValueError(f"an edge has {edge_features} features")
    values = np.concatenate([nodes.ravel(), edges.ravel()])
    if np.isnan(values).any() or np.isinf(values).any():
        raise ValueError("every feature needs a number")
    ends, counts = np.stack([x["senders"], x["receivers"]]), np.asarray(x["nodes_per_graph"])
    if not (np.issubdtype(ends.dtype, np.integer) and np.issubdtype(counts.dtype, np.integer)):
        raise ValueError("nodes are counted in whole numbers")
    if ends.shape != (2, len(edges)):
        raise ValueError("an edge has a sender and a receiver")
    if ends.size and not 0 <= ends.min() <= ends.max() < len(nodes):
        raise ValueError("an edge leads to a node that is not there")
    if counts.min(initial=0) < 0 or counts.sum() != len(nodes):
        raise ValueError("the graphs have other nodes than there are")
    return {**x, "nodes": nodes, "edges": edges}


def checked_graphs__in_jax(x, node_features=5, edge_features=2):
    shapes = [(len(x["nodes"]), node_features), (len(x["edges"]), edge_features)]
    if [x["nodes"].shape, x["edges"].shape] != shapes:
        raise ValueError("features of another shape")
    if not all(bool(jnp.isfinite(x[name]).all()) for name in ("nodes", "edges")):
        raise ValueError("features that are no numbers")
    for name, count in (("senders", len(x["edges"])), ("receivers", len(x["edges"]))):
        if x[name].shape != (count,) or not jnp.issubdtype(x[name].dtype, jnp.integer):
            raise ValueError(f"other {name} than edges")
        if not bool(jnp.all(jnp.clip(x[name], 0, len(x["nodes"]) - 1) == x[name])):
            raise ValueError(f"{name} that are no nodes")
    counts = jnp.asarray(x["nodes_per_graph"])
    if not jnp.issubdtype(counts.dtype, jnp.integer) or bool((counts < 0).any()):
        raise ValueError("a graph has so many nodes")
    if int(counts.sum()) != len(x["nodes"]):
        raise ValueError("too many nodes, or too few")
    return jax.tree.map(jnp.asarray, x)


def checked_graphs__edge_by_edge(x, node_features=5, edge_features=2):
    whole = int, np.integer
    for features, wanted in ((x["nodes"], node_features), (x["edges"], edge_features)):
        for row in features:
            if len(row) != wanted or not all(math.isfinite(value) for value in row):
                raise ValueError(f"{row} is not {wanted} features")
    for edge in zip(x["edges"], x["senders"], x["receivers"], strict=True):
        for node in edge[1:]:
            if not isinstance(node, whole) or node not in range(len(x["nodes"])):
                raise ValueError(f"{node} is no node")
    if any(not isinstance(count, whole) or count < 0 for count in x["nodes_per_graph"]):
        raise ValueError("a graph without a number of nodes")
    if sum(x["nodes_per_graph"]) != len(x["nodes"]):
        raise ValueError("nodes without a graph, or a graph without nodes")
    return x


def in_words__several_sentences():
    return dict(
        use="It may be used. Of all graphs, those that it has learned from are its own kind.",
        not_for="It is not for other kinds. Nor is it for anything that somebody lives by.",
        not_looked_at="""Nobody has looked at any graphs
        that somebody else has collected.""",
    )


def in_words__put_together():
    unknown = " and ".join(["whatever comes later", "whatever came before"])
    return {
        "not_looked_at": f"We do not know about {unknown}.",
        "not_for": "- graphs that nobody checked\n- graphs of another size",
        "use": "For whoever wants to try it on graphs like ours.",
    }
