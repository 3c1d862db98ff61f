"""What must stay true of the graph neural network."""

import math

import jax
import numpy as np
import pytest
from card import in_words
from costs import count_flops, count_memory
from data import checked_graphs, dummy_graph_data, karate_club_data
from losses import mse_loss
from model import gnn_model, message_passing, readout, send_messages, sum_by_index
from params import make_gnn_params, params_from_state_dict
from safetensors.numpy import save_file
from shapes import activation_shapes, param_shapes
from training import train
from uncertainty import (
    conformal_threshold,
    is_strange,
    paired_difference,
    second_strangeness,
    strangeness,
)


def test_shapes():
    """There is a message for each edge, and an answer of targets numbers for each graph."""
    params = make_gnn_params(key=1, node_features=3, edge_features=2, hidden=4, targets=2)
    x, _ = dummy_graph_data(key=2, num_graphs=5, node_features=3, edge_features=2)
    nodes = np.ones((len(x["nodes"]), 4))
    messages = send_messages(params["round_1"], nodes, x["edges"], x["senders"])
    assert messages.shape == (len(x["edges"]), 4)
    assert gnn_model(params, x).shape == (5, 2)


def renumbered(x, order):
    """Give the nodes other numbers: the new first node is the old order[0]."""
    place = np.argsort(order)
    ends = {name: place[x[name]] for name in ("senders", "receivers")}
    return {**x, **ends, "nodes": x["nodes"][order]}


def one_graph(key):
    """Make up graphs, and take them for one graph."""
    x, _ = dummy_graph_data(key)
    return {**x, "nodes_per_graph": np.array([len(x["nodes"])])}


def test_node_order_does_not_matter():
    """Nodes that get other numbers have the same states, and the graph the same answer."""
    params, x = make_gnn_params(key=1), one_graph(key=2)
    order = np.random.default_rng(3).permutation(len(x["nodes"]))
    turned = renumbered(x, order)
    np.testing.assert_allclose(gnn_model(params, turned), gnn_model(params, x), rtol=1e-3)
    states = np.random.default_rng(4).normal(size=(len(order), 16))
    ours = message_passing(params["round_1"], states, x["edges"], x["senders"], x["receivers"])
    theirs = message_passing(
        params["round_1"], states[order], x["edges"], turned["senders"], turned["receivers"]
    )
    np.testing.assert_allclose(theirs, ours[order], rtol=1e-3, atol=1e-5)
    silent = np.setdiff1d(np.arange(len(order)), x["receivers"])
    assert silent.size, "there is a node without incoming edges"
    alone = message_passing(
        params["round_1"], states[silent], x["edges"][:0], x["senders"][:0], x["receivers"][:0]
    )
    np.testing.assert_allclose(ours[silent], alone, rtol=1e-3, atol=1e-5)


def test_edge_order_does_not_matter():
    """Edges listed in another order give the same answers."""
    params, (x, _) = make_gnn_params(key=1), dummy_graph_data(key=2)
    order = np.random.default_rng(3).permutation(len(x["edges"]))
    turned = {**x, **{name: x[name][order] for name in ("edges", "senders", "receivers")}}
    np.testing.assert_allclose(gnn_model(params, turned), gnn_model(params, x), rtol=1e-3)


def test_graphs_follow_their_order():
    """Graphs that swap their places swap their answers."""
    params = make_gnn_params(key=1)
    for key in range(4):
        x, _ = dummy_graph_data(key, num_graphs=2)
        count = x["nodes_per_graph"][0]
        order = np.concatenate([np.arange(count, len(x["nodes"])), np.arange(count)])
        turned = {**renumbered(x, order), "nodes_per_graph": x["nodes_per_graph"][::-1]}
        ours, theirs = gnn_model(params, x), gnn_model(params, turned)
        np.testing.assert_allclose(theirs, ours[::-1], rtol=1e-3, atol=1e-5)


def graph_at(x, place):
    """Take one graph out of a batch."""
    ends = np.cumsum(x["nodes_per_graph"])
    first, end = ends[place] - x["nodes_per_graph"][place], ends[place]
    inside = (x["senders"] >= first) & (x["senders"] < end)
    return {
        "nodes": x["nodes"][first:end],
        "edges": x["edges"][inside],
        "senders": x["senders"][inside] - first,
        "receivers": x["receivers"][inside] - first,
        "nodes_per_graph": x["nodes_per_graph"][place : place + 1],
    }


def test_graphs_do_not_mix():
    """Each graph is computed alone: its neighbours in the batch change nothing."""
    params, (x, _) = make_gnn_params(key=1), dummy_graph_data(key=2)
    alone = np.concatenate([gnn_model(params, graph_at(x, place)) for place in range(8)])
    np.testing.assert_allclose(gnn_model(params, x), alone, rtol=1e-3, atol=1e-5)


def test_messages_are_summed():
    """Rows of one index are added up, rows of none are zero, and equal rows count twice."""
    values = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0], [2.0, 20.0]])
    sums = sum_by_index(values, np.array([2, 0, 2, 0]), 4)
    np.testing.assert_allclose(sums, [[4, 40], [0, 0], [4, 40], [0, 0]], rtol=1e-5)


def test_by_hand():
    """Three nodes with one number each get the states that were worked out on paper."""
    params = {
        "edge": {"weight": np.array([[0.5]])},
        "update": {"weight": np.array([[0.5]]), "bias": np.array([0.25])},
    }
    nodes, edges = np.array([[1.0], [-2.0], [0.5]]), np.array([[-1.0], [2.0]])
    senders, receivers = np.array([0, 2]), np.array([1, 1])
    states = message_passing(params, nodes, edges, senders, receivers)
    # node 1 holds -2 and receives 1 + 0.5 * -1 = 0.5, and 0.5 + 0.5 * 2 = 1.5
    expected = [[math.tanh(0.75)], [math.tanh(0.25)], [math.tanh(0.5)]]
    np.testing.assert_allclose(states, expected, rtol=1e-5)
    messages = send_messages(params, nodes, edges, senders)
    np.testing.assert_allclose(messages, [[0.5], [1.5]], rtol=1e-5)


def test_whole_model_by_hand():
    """Two nodes and one edge, in two rounds that differ, get the answer worked out on paper."""
    params = {
        "embed": {"weight": np.array([[2.0]]), "bias": np.array([-0.5])},
        "round_1": {
            "edge": {"weight": np.array([[0.5]])},
            "update": {"weight": np.array([[0.4]]), "bias": np.array([0.1])},
        },
        "round_2": {
            "edge": {"weight": np.array([[-1.0]])},
            "update": {"weight": np.array([[0.6]]), "bias": np.array([-0.2])},
        },
        "readout": {"weight": np.array([[3.0]]), "bias": np.array([0.7])},
    }
    x = {
        "nodes": np.array([[1.0], [0.25]]),
        "edges": np.array([[0.6]]),
        "senders": np.array([0]),
        "receivers": np.array([1]),
        "nodes_per_graph": np.array([2]),
    }
    # embedded: 1.5 and 0; the message of the first round is 1.5 + 0.3
    first, second = math.tanh(0.4 * 1.5 + 0.1), math.tanh(0.4 * 1.8 + 0.1)
    # that of the second round is the first node's state - 0.6
    second = math.tanh(0.6 * (second + first - 0.6) - 0.2)
    first = math.tanh(0.6 * first - 0.2)
    answer = 3 * (first + second) + 0.7
    np.testing.assert_allclose(gnn_model(params, x), [[answer]], rtol=1e-5)


def test_update_reads_both_numbers_of_a_state():
    """A node of two numbers without edges gets the state worked out on paper."""
    params = {
        "edge": {"weight": np.zeros((2, 1))},
        "update": {"weight": np.array([[0.2, 0.5], [-0.1, 0.3]]), "bias": np.array([0.1, 0.0])},
    }
    none = np.zeros(0, dtype=int)
    states = message_passing(params, np.array([[1.0, -2.0]]), np.zeros((0, 1)), none, none)
    np.testing.assert_allclose(states, [[math.tanh(-0.7), math.tanh(-0.7)]], rtol=1e-5)


def test_a_graph_without_edges_has_an_answer():
    """A node that hears nothing still answers from its own features."""
    x = {
        "nodes": np.ones((1, 5)),
        "edges": np.zeros((0, 2)),
        "senders": np.zeros(0, dtype=int),
        "receivers": np.zeros(0, dtype=int),
        "nodes_per_graph": np.array([1]),
    }
    assert abs(gnn_model(make_gnn_params(key=1), x)[0, 0]) > 1e-3


def test_answers_have_no_bounds():
    """An answer is a sum: it grows with the states, and with the number of nodes."""
    params = {"readout": {"weight": np.array([[2.0]]), "bias": np.array([1.0])}}
    answers = readout(params, np.array([[3.0], [4.0], [4.0], [-9.0]]), np.array([1, 2, 0, 1]))
    np.testing.assert_allclose(answers, [[7], [17], [1], [-17]], rtol=1e-5)


def test_states_have_bounds():
    """States lie between -1 and 1 and use both signs, however large the features."""
    params, x = make_gnn_params(key=1), one_graph(key=2)
    nodes = 100 * np.random.default_rng(3).normal(size=(len(x["nodes"]), 16))
    more = x["edges"], x["senders"], x["receivers"]
    states = message_passing(params["round_1"], nodes, *more)
    assert np.max(np.abs(states)) <= 1 and np.min(states) < -0.9 and np.max(states) > 0.9


def test_initial_values_fill_their_bounds():
    """Initial values reach 1 / sqrt(in_features) on both sides of zero, and go no further."""
    drawn = [make_gnn_params(key, 9, 4, 16, 3) for key in range(60)]
    for name, values in arrays_of(drawn).items():
        in_features = {"embed": 9, "edge": 4, "update": 16, "readout": 16}[name.split(".")[-2]]
        values = values * in_features**0.5
        assert 0.85 < np.max(values) < 1.00001
        assert -1.00001 < np.min(values) < -0.85
        assert 0.5 < np.std(values) < 0.65


def arrays_of(trees):
    """Pool the values of each array over some params."""
    pooled = {}
    for tree in trees:
        for path, value in jax.tree.leaves_with_path(tree):
            name = ".".join(key.key for key in path)
            pooled.setdefault(name, []).append(np.ravel(value))
    return {name: np.concatenate(values) for name, values in pooled.items()}


def test_every_initial_value_is_its_own_draw():
    """No two initial values are equal, even where every layer has the same bound."""
    values = np.concatenate(list(arrays_of([make_gnn_params(1, 5, 5, 5, 5)]).values()))
    assert len(np.unique(values)) == len(values) == 4 * (5 * 5 + 5) + 2 * 5 * 5


def test_keys_matter():
    """A key draws the same values every time, and another key draws others."""
    first, again, other, default = (
        arrays_of([params])
        for params in (
            make_gnn_params(0),
            make_gnn_params(0),
            make_gnn_params(2),
            make_gnn_params(),
        )
    )
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
        np.testing.assert_array_equal(first[name], default[name])
        assert not np.allclose(first[name], other[name])


def test_state_dict_keeps_every_array():
    """Every array of a state_dict is found at the end of its path, as it was."""
    state_dict = {
        "embed.weight": np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
        "embed.bias": np.array([7.0, 8.0, 9.0]),
        "round_1.edge.weight": np.array([[10.0], [11.0]]),
        "round_1.update.weight": np.array([[12.0, 13.0, 14.0]]),
        "round_1.update.bias": np.array([15.0]),
        "round_2.update.weight": np.array([[16.0, 17.0, 18.0]]),
    }
    params = params_from_state_dict(state_dict)
    for path, value in state_dict.items():
        found = params
        for part in path.split("."):
            found = found[part]
        np.testing.assert_array_equal(found, value)


def test_param_shapes_follow_the_sizes():
    """A weight is (out_features, in_features), a bias (out_features,), and edges have none."""
    shapes = param_shapes(node_features=7, edge_features=4, hidden=5, targets=3)
    one_round = {
        "edge": {"weight": (5, 4)},
        "update": {"weight": (5, 5), "bias": (5,)},
    }
    assert shapes == {
        "embed": {"weight": (5, 7), "bias": (5,)},
        "round_1": one_round,
        "round_2": one_round,
        "readout": {"weight": (3, 5), "bias": (3,)},
    }


def test_activation_shapes_follow_the_sizes():
    """States are the nodes', messages the edges', sums and answers the graphs'."""
    shapes = activation_shapes(11, 19, 3, hidden=6, targets=2)
    assert {name: tuple(shape) for name, shape in shapes.items()} == {
        "embed": (11, 6),
        "messages": (19, 6),
        "received": (11, 6),
        "update": (11, 6),
        "sums": (3, 6),
        "readout": (3, 2),
    }


def test_default_sizes():
    """Without sizes there are 5 and 2 features, 16 hidden and 1 target, as in the original."""
    assert param_shapes() == param_shapes(5, 2, 16, 1)
    assert activation_shapes(11, 19, 3) == activation_shapes(11, 19, 3, 16, 1)
    params = make_gnn_params()
    assert params["embed"]["weight"].shape == (16, 5)
    assert params["round_1"]["edge"]["weight"].shape == (16, 2)
    assert params["readout"]["weight"].shape == (1, 16)


def test_dummy_graphs_fit_together():
    """Both ends of every edge lie in one graph, graphs differ in size, y counts their edges."""
    x, y = dummy_graph_data(key=1, num_graphs=50, node_features=3, edge_features=4)
    sizes = x["nodes_per_graph"]
    assert x["nodes"].shape == (np.sum(sizes), 3)
    assert x["edges"].shape == (len(x["senders"]), 4)
    assert set(map(int, sizes)) == {2, 3, 4, 5, 6}
    graph_of_node = np.repeat(np.arange(50), sizes)
    graph_of_edge = graph_of_node[x["senders"]]
    np.testing.assert_array_equal(graph_of_edge, graph_of_node[x["receivers"]])
    np.testing.assert_array_equal(y, np.bincount(graph_of_edge, minlength=50)[:, None])
    assert set(map(int, y[:, 0])) == set(range(1, 10))


def test_dummy_graphs_follow_their_key():
    """A key makes up the same 8 graphs every time, and another key others."""
    (first, _), (again, _), (other, _) = (dummy_graph_data(key) for key in (1, 1, 2))
    assert len(first["nodes_per_graph"]) == 8
    assert first["nodes"].shape[1] == 5 and first["edges"].shape[1] == 2
    np.testing.assert_array_equal(first["nodes"], again["nodes"])
    assert first["nodes"].shape != other["nodes"].shape or not np.allclose(
        first["nodes"], other["nodes"]
    )
    np.testing.assert_array_equal(dummy_graph_data()[0]["edges"], dummy_graph_data(0)[0]["edges"])
    assert abs(np.mean(first["nodes"])) < 0.5 and 0.7 < np.std(first["nodes"]) < 1.3


def test_karate_club_is_read_both_ways(tmp_path):
    """Each tie is two edges, each member a graph, and the factions are -1 and 1."""
    ties, faction = np.array([[0, 1], [1, 2]]), np.array([0, 1, 1])
    save_file({"data/ties": ties, "data/faction": faction}, tmp_path / "club.safetensors")
    x, y = karate_club_data(tmp_path / "club.safetensors")
    np.testing.assert_array_equal(x["nodes"], np.eye(3))
    np.testing.assert_array_equal(x["edges"], np.zeros((4, 1)))
    np.testing.assert_array_equal(x["senders"], [0, 1, 1, 2])
    np.testing.assert_array_equal(x["receivers"], [1, 2, 0, 1])
    np.testing.assert_array_equal(x["nodes_per_graph"], [1, 1, 1])
    np.testing.assert_array_equal(y, [[-1], [1], [1]])


def test_training_lowers_the_loss():
    """A few steps of training end on a lower loss than they start from."""
    params = make_gnn_params()
    x, y = dummy_graph_data()
    start_loss = mse_loss(params, gnn_model, x, y)
    params, _ = train(params, gnn_model, mse_loss, x, y, steps=20)
    assert mse_loss(params, gnn_model, x, y) < start_loss


def test_every_parameter_receives_gradient():
    """No parameter is left out of training."""
    x, y = dummy_graph_data()
    grads = jax.grad(mse_loss)(make_gnn_params(), gnn_model, x, y)
    for path, values in jax.tree.leaves_with_path(grads):
        assert np.any(np.abs(values) > 1e-8), path


def test_one_batch_can_be_overfitted():
    """Four graphs are few enough to be learned almost by heart."""
    params = make_gnn_params()
    x, y = dummy_graph_data(num_graphs=4)
    params, losses = train(params, gnn_model, mse_loss, x, y, steps=500, step_size=0.01)
    assert losses[-1] < 0.01 * losses[0]


def lonely_graphs(*values):
    """Make a graph of one node, without edges, of each row of values."""
    none = np.zeros(0, dtype=int)
    nodes = np.array(values, dtype=float)
    alone = {"senders": none, "receivers": none, "nodes_per_graph": np.ones(len(nodes), dtype=int)}
    return {"nodes": nodes, "edges": np.zeros((0, 1)), **alone}


def plain_model(hidden):
    """Make params with which a lonely node ends as the tanh of the tanh of its features."""
    identity = {"weight": np.eye(hidden), "bias": np.zeros(hidden)}
    one_round = {"edge": {"weight": np.zeros((hidden, 1))}, "update": identity}
    readout = {"weight": np.ones((1, hidden)), "bias": np.zeros(1)}
    return {"embed": identity, "round_1": one_round, "round_2": one_round, "readout": readout}


def ending_as(*states):
    """Make lonely graphs whose nodes end in these states."""
    return lonely_graphs(*np.arctanh(np.arctanh(states)))


def test_strangeness_is_the_distance_to_the_nearest_sum():
    """Sums that differ by 0.09 and 0.12 are 0.15 apart, and a known graph is not strange."""
    x, known = ending_as([0.3, 0.4], [0.0, 0.0]), ending_as([0, 0], [0.6, 0.6], [0.39, 0.52])
    np.testing.assert_allclose(strangeness(plain_model(2), x, known), [0.15, 0], atol=1e-5)


def test_strangeness_grows_with_the_number_of_nodes():
    """A graph of three equal nodes is three times as far from an empty one as a graph of one."""
    single, nothing = ending_as([0.2, -0.1]), ending_as([0.0, 0.0])
    nodes = np.repeat(single["nodes"], 3, axis=0)
    three = {**single, "nodes": nodes, "nodes_per_graph": np.array([3])}
    params = plain_model(2)
    expected = 3 * strangeness(params, single, nothing)
    np.testing.assert_allclose(strangeness(params, three, nothing), expected, rtol=1e-4)


def test_strange_is_beyond_the_threshold():
    """With scores from 0.05 to 0.45, two in ten may be above 0.4, and one in ten above 0.45."""
    params, known = plain_model(1), ending_as([0.0])
    calibration = ending_as(*np.arange(1, 10)[:, None] / 20)
    x = ending_as([0.43], [0.37], [0.02], [0.48])
    is_above = {0.8: [True, False, False, True], 0.9: [False, False, False, True]}
    np.testing.assert_array_equal(is_strange(params, x, known, calibration, 0.2), is_above[0.8])
    np.testing.assert_array_equal(is_strange(params, x, known, calibration), is_above[0.9])


def test_a_graph_alone_is_as_strange_as_in_company():
    """What comes with a graph does not decide whether it is strange."""
    calibration = ending_as(*np.arange(1, 10)[:, None] / 20)
    assert is_strange(plain_model(1), ending_as([0.48]), ending_as([0.0]), calibration)[0]


def test_where_all_scores_are_equal_nothing_is_strange():
    """A model whose parameters are zero has one sum for everything."""
    params = jax.tree.map(np.zeros_like, make_gnn_params())
    x, known, calibration = (dummy_graph_data(key)[0] for key in (1, 2, 3))
    assert not np.any(is_strange(params, x, known, calibration, 0.3))


def test_second_strangeness_is_one_of_three():
    """Eight sums around 0, with a variance of 0.48 / 7 along both axes: all three by hand."""
    axes = [0.4, 0], [-0.4, 0], [0, 0.4], [0, -0.4]
    known = ending_as(*axes, [0.2, 0.2], [0.2, -0.2], [-0.2, 0.2], [-0.2, -0.2])
    scores = second_strangeness(plain_model(2), ending_as([0.7, 0], [0, 0], [0, 0.6]), known)
    choices = [
        [0.3, 0, 0.4],
        [math.hypot(0.7, 0.4), 0.4, math.hypot(0.6, 0.4)],
        [0.7 / math.sqrt(0.48 / 7), 0, 0.6 / math.sqrt(0.48 / 7)],
    ]
    assert any(np.allclose(scores, choice, atol=1e-4) for choice in choices), scores


def test_threshold_is_a_score_of_the_right_rank():
    """Of seven scores and a new one, 8 * 0.7 rounded up are 6; rank 8 no score has."""
    scores = np.array([5.0, 1.0, 7.0, 3.0, 2.0, 6.0, 4.0])
    assert conformal_threshold(scores, 0.3) == 6
    assert conformal_threshold(scores, 0.5) == 4
    assert conformal_threshold(scores, 0.1) == np.inf


def test_threshold_of_nine_scores():
    """One in ten is the default, and with nine scores that is the largest."""
    assert conformal_threshold(np.arange(9.0)) == 8


def test_operations_by_hand():
    """Features are multiplied 144 times, states 232 times, and states need a gradient too."""
    sizes = {"node_features": 3, "edge_features": 5, "hidden": 4, "targets": 7}
    found = count_flops(2, 3, 6, **sizes)
    assert found == {"forward": 288 + 464, "train_step": 2 * 288 + 3 * 464}
    usual = count_flops(2, 3, 6, node_features=5, edge_features=2, hidden=16, targets=1)
    assert count_flops(2, 3, 6) == usual


def test_memory_by_hand():
    """There are 131 parameters; 21 features go in, 56 numbers leave the rounds, 19 the rest."""
    held = {"params": 524, "gradients": 524, "adam": 1048, "activations": 4 * (21 + 56 + 19)}
    sizes = {"node_features": 3, "edge_features": 5, "hidden": 4, "targets": 7}
    assert count_memory(2, 3, 1, **sizes) == held
    usual = count_memory(2, 3, 1, node_features=5, edge_features=2, hidden=16, targets=1)
    assert count_memory(2, 3, 1) == usual


def test_difference_of_two_pairs():
    """The differences 0 and 2 have the mean 1, a standard error of 1, and t is 12.706."""
    found = paired_difference(np.array([1.0, 4.0]), np.array([1.0, 2.0]))
    expected = {"mean": 1, "low": 1 - 12.706205, "high": 1 + 12.706205}
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-6)


def test_a_lead_that_never_changes_is_certain():
    """One that leads by 1 with every seed leads by 1, however much both vary."""
    b = np.array([3.0, -2.0, 5.0])
    for value in paired_difference(b + 1, b).values():
        np.testing.assert_allclose(value, 1)


def test_graphs_in_order_come_back():
    """Any number of them, or none; with 5 and 2 features unless told otherwise."""
    x, _ = dummy_graph_data(key=1)
    with_empty = {**x, "nodes_per_graph": np.append(x["nodes_per_graph"], 0)}
    to_last = {**x, "receivers": np.full_like(x["receivers"], len(x["nodes"]) - 1)}
    for graphs in (x, {name: part[:0] for name, part in x.items()}, with_empty, to_last):
        found = checked_graphs(graphs)
        for name, part in graphs.items():
            np.testing.assert_array_equal(found[name], part)
    x, _ = dummy_graph_data(key=1, num_graphs=3, node_features=4, edge_features=6)
    assert len(checked_graphs(x, node_features=4, edge_features=6)["nodes_per_graph"]) == 3


def test_graphs_that_do_not_fit_are_refused():
    """In the last place as in the first, and also where the model would go on."""
    x, _ = dummy_graph_data(key=1)
    counts = x["nodes_per_graph"]
    bad = [{"nodes_per_graph": np.append(counts[:-1], counts[-1] + more)} for more in (-1, 1)]
    bad.append({"nodes_per_graph": np.append(counts, [-1, 1])})
    for name in ("nodes", "edges"):
        bad += [{name: np.append(x[name][:-1], 0 * x[name][:1] + v, 0)} for v in (np.nan, np.inf)]
        bad.append({name: x[name][:, :1]})
    for name in ("senders", "receivers"):
        bad += [{name: np.append(x[name][:-1], node)} for node in (-1, len(x["nodes"]))]
        bad += [{name: x[name][:1]}, {name: x[name][:, None]}]
    for name in ("senders", "receivers", "nodes_per_graph"):
        bad.append({name: x[name] + 0.0})
    for parts in bad:
        with pytest.raises(ValueError, match="."):
            checked_graphs({**x, **parts})


def test_the_card_says_three_things():
    """Where the model may be used, where not, and what was not looked at, in five words or more."""
    said = in_words()
    assert sorted(said) == ["not_for", "not_looked_at", "use"]
    assert all(len(sentence.split()) >= 5 for sentence in said.values())
    assert len({*said.values()}) == 3
