"""What the pair writes in this track, and the questions that each piece is asked."""

import atexit
import math
import shutil
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from reimpl_helpers.base.words import shorten
from reimpl_helpers.checks.cases import Case, Piece, Refusal, tests_of
from reimpl_helpers.checks.compare import as_array
from reimpl_helpers.checks.porting import compiled
from reimpl_helpers.forward import call_counterpart, missing_counterparts
from reimpl_helpers.knowing import (
    distances_from,
    drawn_alpha,
    refused_case,
    threshold_of,
    whole,
    words_cases,
)
from reimpl_helpers.params import (
    draw_cases,
    linear_initial_at,
    nested,
    shapes_of,
    state_dict_cases,
    traced_key_case,
)

COMPILED = "ordinary", "other sizes"  # compiling for every probe would only take longer
AXES = "node_features", "edge_features", "hidden", "targets"
X = {  # what a batch of graphs holds, and how many axes each part has
    "nodes": 2,
    "edges": 2,
    "senders": 1,
    "receivers": 1,
    "nodes_per_graph": 1,
}


def sizes_of(probe):
    return tuple(probe.sizes[axis] for axis in AXES)


def operations(probe, op):
    return [operation for operation in probe.operations if operation.op == op]


# --- 1 forward pass -----------------------------------------------------------------------

COUNTERPARTS = "linear", "Tensor.__getitem__", "Tensor.add", "tanh", "repeat_interleave"


def counterpart_cases(recording):
    for probe in recording.probes.values():
        yield Case(probe.name, complaint=partial(missing_counterparts, COUNTERPARTS))
        for operation in probe.operations:
            if operation.op in COUNTERPARTS:
                yield Case(
                    f"{operation.op}, {probe.name}",
                    args=tuple(probe.value(name) for name in operation.inputs),
                    expected=operation.values[0],
                    call=partial(call_counterpart, operation.op),
                )
    x = np.array([[-1000.0, 0.0, 1000.0]])
    call = partial(call_counterpart, "tanh")
    yield Case("tanh, very large values", (x,), np.sign(x), call=call)


def message_cases(recording):
    for probe in recording.probes.values():
        params = nested(probe.params)["round_1"]
        edges, senders = probe.inputs["edges"], probe.inputs["senders"]
        args = params, probe.results["embed"], edges, senders
        yield Case(probe.name, args, probe.results["messages"])


def sum_cases(recording):
    for probe in recording.probes.values():
        for operation in operations(probe, "Tensor.index_add"):
            start, index, values = (probe.value(name) for name in operation.inputs)
            yield Case(probe.name, (values, index, len(start)), operation.values[0])
    values = np.array([[1e14, 1.0], [0.1, 2.0], [-3.3, 4.0]])
    expected = values[[1, 0, 2]]
    yield Case("values of very different size", (values, np.array([1, 0, 2]), 3), expected)


def sum_cases_in_jax(recording):
    cases = list(sum_cases(recording))
    yield from (case for case in cases if case.probe == "ordinary")
    yield from (compiled(case, static=2) for case in cases if case.probe == "other sizes")


def passing_cases(recording):
    for probe in recording.probes.values():
        params, inputs = nested(probe.params), probe.inputs
        more = inputs["edges"], inputs["senders"], inputs["receivers"]
        results = probe.results
        yield Case(probe.name, (params["round_1"], results["embed"], *more), results["round_1"])
        yield Case(probe.name, (params["round_2"], results["round_1"], *more), results["round_2"])


def readout_cases(recording):
    for probe in recording.probes.values():
        args = nested(probe.params), probe.results["round_2"], probe.inputs["nodes_per_graph"]
        yield Case(probe.name, args, probe.results["forward"])
    for name, probe, times, sizes in (
        ("nodes no round gives", recording.probes["wide edges"], 30, [1, 9]),
        ("two graphs of one size", recording.probes["ordinary"], 1, [4, 4, 3]),
        ("graphs without nodes", recording.probes["ordinary"], 1, [0, 11, 0]),
    ):
        params, nodes = nested(probe.params), times * probe.results["round_2"]
        sums = np.stack([part.sum(axis=0) for part in np.split(nodes, np.cumsum(sizes)[:-1])])
        layer = params["readout"]
        expected = sums @ layer["weight"].T + layer["bias"]
        yield Case(name, (params, nodes, np.array(sizes)), expected)


def readout_cases_in_jax(recording):
    cases = {case.probe: case for case in readout_cases(recording)}
    yield from map(cases.get, ("ordinary", "two graphs of one size", "graphs without nodes"))
    yield compiled(cases["other sizes"])


def model_cases(recording):
    for probe in recording.probes.values():
        yield Case(
            probe.name,
            (nested(probe.params), dict(probe.inputs)),
            probe.results["forward"],
        )


# --- 2 shapes -----------------------------------------------------------------------------


def param_shape_cases(recording):
    for probe in recording.probes.values():
        yield Case(probe.name, sizes_of(probe), shapes_of(probe.params))
    yield Case("no sizes given", (), shapes_of(recording.params))


def activation_shape_cases(recording):
    for probe in recording.probes.values():
        sizes = [probe.sizes[f"num_{what}"] for what in ("nodes", "edges", "graphs")]
        wide = probe.sizes["hidden"], probe.sizes["targets"]
        yield Case(probe.name, (*sizes, *wide), expected_activations(*sizes, *wide))
    yield Case("no widths given", (11, 19, 3), expected_activations(11, 19, 3, 16, 1))


def expected_activations(num_nodes, num_edges, num_graphs, hidden, targets):
    per_node = dict.fromkeys(("embed", "received", "update"), (num_nodes, hidden))
    return {
        **per_node,
        "messages": (num_edges, hidden),
        "sums": (num_graphs, hidden),
        "readout": (num_graphs, targets),
    }


# --- 3 params -----------------------------------------------------------------------------


def fresh_cases(recording):
    return draw_cases(recording, COMPILED, sizes_of, linear_initial_at)


def fresh_cases_in_jax(recording):
    yield from fresh_cases(recording)
    yield traced_key_case(recording)


# --- 5 training test ----------------------------------------------------------------------


def graphs_and_answers(answer):
    """Take apart what a function of data.py returns."""
    try:
        x, y = answer
    except (TypeError, ValueError):
        raise Refusal(
            "type",
            f"returns {shorten(answer)}, expected two things: the graphs, and their answers.",
        ) from None
    if not isinstance(x, dict) or set(x) != set(X):
        seen = ", ".join(map(str, x)) if isinstance(x, dict) else shorten(x)
        raise Refusal("type", f"x holds {seen}; expected a dict with {', '.join(X)}.")
    return {**{name: as_array(x[name], f"for {name}") for name in X}, "y": as_array(y, "for y")}


def dummy_data_cases(recording):
    for sizes in ((8, 5, 2), (30, 3, 1), (4, 1, 6)):
        yield Case(
            "{} graphs, {} node and {} edge features".format(*sizes),
            args=sizes,
            complaint=partial(dummy_data_complaint, *sizes),
            call=lambda piece, *sizes: [piece(key, *sizes) for key in (1, 1, 2)],
        )
    yield Case(
        "no arguments",
        complaint=partial(dummy_data_complaint, 8, 5, 2),
        call=lambda piece: [piece(), piece(0), piece(1)],
    )
    yield Case("400 graphs", complaint=many_graphs_complaint, call=lambda piece: piece(3, 400))


def dummy_data_complaint(num_graphs, node_features, edge_features, answers):
    first, again, other = (graphs_and_answers(answer) for answer in answers)
    axes = {name: array.ndim for name, array in first.items()}
    wrong = [name for name in X if axes[name] != X[name]]
    if wrong:
        return (
            f"{wrong[0]} has {axes[wrong[0]]} axes, expected {X[wrong[0]]}.",
            "What does each count?",
        )
    counts = first["nodes_per_graph"]
    num_edges = len(first["senders"])
    if len(counts) != num_graphs:
        return f"{len(counts)} graphs come back where {num_graphs} are asked for.", "How many?"
    if first["nodes"].shape != (counts.sum(), node_features):
        return (
            f"nodes has the shape {first['nodes'].shape}; the graphs have {counts.sum()} nodes of "
            f"{node_features} features together.",
            "Which axis is which?",
        )
    if first["edges"].shape != (num_edges, edge_features):
        return (
            f"edges has the shape {first['edges'].shape} for {num_edges} senders and "
            f"{edge_features} features.",
            "Which axis is which?",
        )
    return (
        index_complaint(first, num_edges)
        or answer_complaint(first, num_graphs)
        or drawn_complaint(first, again, other)
    )


def index_complaint(data, num_edges):
    counts = data["nodes_per_graph"]
    for name in ("senders", "receivers"):
        if data[name].dtype.kind not in "iu" or len(data[name]) != num_edges:
            return (
                f"{name} is {data[name].dtype} of shape {data[name].shape}; expected one whole "
                f"number for each of {num_edges} edges.",
                "What does it point at?",
            )
        if num_edges and not 0 <= data[name].min() <= data[name].max() < counts.sum():
            return (
                f"{name} points at nodes {data[name].min()} to {data[name].max()}, and there are "
                f"{counts.sum()}.",
                "From where are nodes counted?",
            )
    graph_of_node = np.repeat(np.arange(len(counts)), counts)
    across = graph_of_node[data["senders"]] != graph_of_node[data["receivers"]]
    if across.any():
        return (
            f"{across.sum()} of {num_edges} edges lead from one graph to another.",
            "At which node does each graph begin?",
        )
    return None


def answer_complaint(data, num_graphs):
    counts, y = data["nodes_per_graph"], data["y"]
    graph_of_node = np.repeat(np.arange(len(counts)), counts)
    edges_of = np.bincount(graph_of_node[data["senders"]], minlength=num_graphs)
    if y.shape != (num_graphs, 1):
        return f"y has the shape {y.shape}; expected one answer for each of {num_graphs} graphs."
    if not np.array_equal(y[:, 0], edges_of):
        place = int(np.flatnonzero(y[:, 0] != edges_of)[0])
        return (
            f"y says {y[place, 0]:.4g} for graph {place}, and {edges_of[place]} edges lie in it.",
            "What is counted?",
        )
    if y.dtype.kind != "f":
        return f"y is {y.dtype}; a loss subtracts it from floats.", "Which kind of number is it?"
    if counts.min() < 2 or counts.max() > 6 or edges_of.min() < 1 or edges_of.max() > 9:
        return (
            f"graphs of {counts.min()} to {counts.max()} nodes and {edges_of.min()} to "
            f"{edges_of.max()} edges; expected 2 to 6 nodes and 1 to 9 edges.",
            "Which end is left out by the generator?",
        )
    return None


def drawn_complaint(first, again, other):
    for name in ("nodes", "edges"):
        if np.unique(first[name]).size < first[name].size:
            return f"some features in {name} are equal.", "Is each of them drawn on its own?"
        if first[name].min() >= 0:
            return f"no feature in {name} is below zero.", "Which distribution has both signs?"
    for name, value in first.items():
        if not np.array_equal(value, again[name]):
            return f"{name}: made twice with the same key, and different.", "Does it use the key?"
    if all(np.array_equal(value, other[name]) for name, value in first.items()):
        return "the same graphs for two different keys.", "Does it use the key?"
    return None


def many_graphs_complaint(answer):
    data = graphs_and_answers(answer)
    for name, least, greatest in (("nodes_per_graph", 2, 6), ("y", 1, 9)):
        seen = sorted(set(np.ravel(data[name]).astype(int).tolist()))
        if seen != list(range(least, greatest + 1)):
            what = "nodes" if name == "nodes_per_graph" else "edges"
            return (
                f"among 400 graphs there are such of {', '.join(map(str, seen))} {what}; expected "
                f"every number from {least} to {greatest}.",
                "Which end is left out?",
            )
    for name in ("senders", "receivers"):
        counts = data["nodes_per_graph"]
        first = np.repeat(np.cumsum(counts) - counts, counts)
        reached = len(np.unique(data[name])) / counts.sum()
        if not np.isin(np.cumsum(counts) - 1, data[name]).any():
            return f"{name} never points at the last node of a graph.", "Which end is left out?"
        if reached < 0.5:
            return (
                f"{name} points at {reached:.0%} of the nodes only, of {len(first)}.",
                "Can every node of a graph be drawn?",
            )
    for name in ("nodes", "edges"):
        spread = data[name].std()
        if abs(spread - 1) > 0.1 or abs(data[name].mean()) > 0.15:
            return (
                f"features in {name} with a mean of {data[name].mean():.2g} and a spread of "
                f"{spread:.2g}.",
                "Which distribution has 0 and 1?",
            )
    shared = np.corrcoef(data["nodes_per_graph"], data["y"][:, 0])[0, 1]
    if abs(shared) > 0.25:  # five times its spread
        return (
            f"among 400 graphs the numbers of nodes and of edges have a correlation of "
            f"{shared:.2g}.",
            "Do the two come from the same random numbers?",
        )
    if np.array_equal(data["senders"], data["receivers"]):
        return "every edge leads from a node to itself.", "Are the two ends drawn apart?"
    return None


def karate_cases(recording):
    names = "data/ties", "data/faction"
    club = {name: recording.data[name.partition("/")[2]] for name in names}
    for name, path, (ties, faction) in (
        ("karate club", recording.path, club.values()),
        ("another club", *other_club(np.random.default_rng(0))),
    ):
        yield Case(
            name,
            (path,),
            club_as_graph(ties, faction),
            part=as_club,
            unseen=lambda rng: other_club(rng)[:1],
        )


def as_club(answer):
    data = graphs_and_answers(answer)
    return {
        name: array.astype(np.int64) if array.dtype.kind in "iu" else array
        for name, array in data.items()
    }


def club_as_graph(ties, faction):
    ties = ties.astype(np.int64)
    return {
        "nodes": np.eye(len(faction)),
        "edges": np.zeros((2 * len(ties), 1)),
        "senders": np.concatenate([ties[:, 0], ties[:, 1]]),
        "receivers": np.concatenate([ties[:, 1], ties[:, 0]]),
        "nodes_per_graph": np.ones(len(faction), dtype=np.int64),
        "y": np.where(faction == 1, 1.0, -1.0)[:, None],
    }


def other_club(rng):
    """Write a file such as the recording with another club in it."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder) / "recording.safetensors"
    ties, faction = rng.integers(0, 9, size=(13, 2)), rng.integers(0, 2, size=10)  # one has none
    save_file({"data/ties": ties, "data/faction": faction}, path)
    return path, (ties, faction)


# --- 6 know your model --------------------------------------------------------------------


def strangeness_cases(recording):
    rng = np.random.default_rng(0)
    for name, count in (("ordinary", 6), ("other sizes", 3), ("wide edges", 4)):
        probe = recording.probes[name]
        args = nested(probe.params), dict(probe.inputs), drawn_graphs(rng, probe, count)
        yield Case(name, args, distances(*args), unseen=partial(other_graphs, probe))


def drawn_graphs(rng, probe, count):
    """Draw graphs of 1 to 5 nodes and 0 to 7 edges each."""
    counts, edges_of = rng.integers(1, 6, size=count), rng.integers(0, 8, size=count)
    first, size = (np.repeat(n, edges_of) for n in (np.cumsum(counts) - counts, counts))
    return {
        "nodes": rng.normal(size=(counts.sum(), probe.sizes["node_features"])),
        "edges": rng.normal(size=(edges_of.sum(), probe.sizes["edge_features"])),
        "senders": first + rng.integers(size),
        "receivers": first + rng.integers(size),
        "nodes_per_graph": counts,
    }


def other_graphs(probe, rng):
    return nested(probe.params), drawn_graphs(rng, probe, 5), drawn_graphs(rng, probe, 7)


def distances(params, x, known):
    """Measure from each graph's sum of states to the nearest of the known ones' sums."""
    gaps = sums_of(params, x)[:, None] - sums_of(params, known)
    return np.linalg.norm(gaps, axis=-1).min(axis=1)


def sums_of(params, x):
    states = x["nodes"] @ params["embed"]["weight"].T + params["embed"]["bias"]
    for one in (params["round_1"], params["round_2"]):
        heard = states.copy()
        messages = states[x["senders"]] + x["edges"] @ one["edge"]["weight"].T
        np.add.at(heard, x["receivers"], messages)
        states = np.tanh(heard @ one["update"]["weight"].T + one["update"]["bias"])
    ends = np.cumsum(x["nodes_per_graph"])[:-1]
    return np.stack([part.sum(axis=0) for part in np.split(states, ends)])


def verdict_cases(recording):
    rng = np.random.default_rng(0)
    for name, count, alpha in (("ordinary", 19, 0.3), ("other sizes", 12, 0.5)):
        probe = recording.probes[name]
        args = nested(probe.params), *graphs_to_judge(rng, probe, count), alpha
        yield Case(name, args, strange(*args), unseen=partial(others_to_judge, probe))
    params = nested({name: np.zeros_like(value) for name, value in probe.params.items()})
    yield Case("a model of zeros", (params, *args[1:]), np.zeros(16, dtype=bool))


def graphs_to_judge(rng, probe, count):
    """Draw graphs to be judged, known ones, and so many for the threshold."""
    x, known, calibration = (drawn_graphs(rng, probe, n) for n in (16, 2 + count // 4, count))
    return x, known, calibration


def others_to_judge(probe, rng):
    return nested(probe.params), *graphs_to_judge(rng, probe, 15), drawn_alpha(rng, 15)


def strange(params, x, known, calibration, alpha):
    threshold = threshold_of(distances(params, calibration, known), alpha)
    return distances(params, x, known) > threshold


def second_cases(recording):
    rng = np.random.default_rng(0)
    for name in ("ordinary", "other sizes", "wide edges"):
        other = partial(another_score, recording.probes[name])
        yield Case(name, other(rng), choices=second_scores, unseen=other)


def another_score(probe, rng):
    """Draw a model of one target, whose answers lie between many whole numbers, and its graphs."""
    params, hidden = nested(probe.params), probe.sizes["hidden"]
    params["readout"] = {"weight": rng.normal(size=(1, hidden)), "bias": rng.normal(size=1)}
    return params, drawn_graphs(rng, probe, 2 * hidden), drawn_graphs(rng, probe, 6 * hidden)


def second_scores(params, x, known):
    ours, layer = sums_of(params, x), params["readout"]
    answers = (ours @ layer["weight"].T + layer["bias"])[:, 0]
    return {
        "distance from a whole number": np.abs(answers - np.round(answers)),
        **distances_from(sums_of(params, known), ours),
    }


def sizes_and_counts(probe):
    counts = [probe.sizes[f"num_{what}"] for what in ("nodes", "edges", "graphs")]
    return *counts, *sizes_of(probe)


def flops_cases(recording):
    for probe in recording.probes.values():
        forward = of_features = 0
        for operation in operations(probe, "linear"):
            source, weight, *_ = operation.inputs
            product = 2 * len(operation.values[0]) * probe.value(weight).size
            forward += product
            of_features += product * (source in X)  # nobody asks for a gradient by them
        expected = {"forward": forward, "train_step": 3 * forward - of_features}
        yield Case(probe.name, sizes_and_counts(probe), expected, part=whole)


def memory_cases(recording):
    for probe in recording.probes.values():
        args = sizes_and_counts(probe)
        shapes = expected_activations(*args[:3], *args[-2:])
        in_both = ("messages", "received", "update")
        outputs = sum(math.prod(shape) * (1 + (key in in_both)) for key, shape in shapes.items())
        features = probe.inputs["nodes"].size + probe.inputs["edges"].size
        params = 4 * sum(value.size for value in probe.params.values())
        expected = {
            "params": params,
            "gradients": params,
            "adam": 2 * params,
            "activations": 4 * (features + outputs),
        }
        yield Case(probe.name, args, expected, part=whole)


def checked_cases(recording):
    rng = np.random.default_rng(0)
    for name, count in (("ordinary", 6), ("wide edges", 4), ("other sizes", 3)):
        probe = recording.probes[name]
        x, sizes = drawn_graphs(rng, probe, count), sizes_of(probe)[:2]
        yield Case(name, (x, *sizes), x, unseen=partial(other_checked_graphs, probe))
    x = dict(probe.inputs)
    yield Case("the recorded graphs", (x, *sizes), x)
    counts, last = x["nodes_per_graph"], len(x["nodes"]) - 1
    in_order = {
        "no graphs": {name: part[:0] for name, part in x.items()},
        "graphs without edges": {**x, **{k: x[k][:0] for k in ("edges", "senders", "receivers")}},
        "a last graph without nodes": {**x, "nodes_per_graph": np.append(counts, 0)},
        "all nodes in one graph": {**x, "nodes_per_graph": counts.sum(keepdims=True)},
        "edges from and to the last node": changed(x, senders=last, receivers=last),
    }
    for name, graphs in in_order.items():
        yield Case(name, (graphs, *sizes), graphs)
    refused = {f"NaN in {name}": changed(x, **{name: np.nan}) for name in ("nodes", "edges")}
    refused |= {f"infinity in {name}": changed(x, **{name: np.inf}) for name in ("nodes", "edges")}
    for name in ("senders", "receivers"):
        refused |= {f"{node} in {name}": changed(x, **{name: node}) for node in (-1, last + 1)}
        refused[f"{name} for all edges but one"] = {**x, name: x[name][1:]}
        refused[f"{name} for one edge"] = {**x, name: x[name][:1]}
        refused[f"{name} in a column"] = {**x, name: x[name][:, None]}
    for name in ("senders", "receivers", "nodes_per_graph"):
        refused[f"{name} as floats"] = {**x, name: x[name].astype(float)}
    for name in ("nodes", "edges"):
        refused[f"a feature too many in {name}"] = {
            **x,
            name: x[name][:, [0, *range(x[name].shape[1])]],
        }
    refused["a node too many in nodes_per_graph"] = changed(x, nodes_per_graph=counts[-1] + 1)
    refused["a node too few in nodes_per_graph"] = changed(x, nodes_per_graph=counts[-1] - 1)
    refused["a graph of -1 nodes"] = {**x, "nodes_per_graph": np.append(counts, [-1, 1])}
    for name, graphs in refused.items():
        yield refused_case(name, "What would the model make of it?", graphs, *sizes)


def other_checked_graphs(probe, rng):
    return drawn_graphs(rng, probe, 5), *sizes_of(probe)[:2]


def changed(x, **values):
    """Put a value into the last place of some parts."""
    x = {name: part.copy() for name, part in x.items()}
    for name, value in values.items():
        x[name][-1:] = value
    return x


PIECES = [
    Piece("numpy_counterparts", None, 1, counterpart_cases),
    Piece("nn_layer", "model", 1, from_track="autoencoder"),
    Piece("send_messages", "model", 1, message_cases),
    Piece("sum_by_index", "model", 1, sum_cases),
    Piece("message_passing", "model", 1, passing_cases),
    Piece("readout", "model", 1, readout_cases),
    Piece("gnn_model", "model", 1, model_cases),
    Piece("param_shapes", "shapes", 2, param_shape_cases),
    Piece("activation_shapes", "shapes", 2, activation_shape_cases),
    Piece("make_gnn_params", "params", 3, fresh_cases),
    Piece("params_from_state_dict", "params", 3, state_dict_cases),
    *tests_of(
        4,
        test_shapes=("one answer for the whole batch", "one message a node"),
        test_node_order_does_not_matter=("messages kept by the sender", "nodes in the order given"),
        test_edge_order_does_not_matter=("last message wins", "messages weighted by their place"),
        test_graphs_follow_their_order=("graphs of equal size", "answers sorted"),
        test_graphs_do_not_mix=("readout over the whole batch", "mean of the batch taken away"),
        test_messages_are_summed=("last message wins", "mean of the messages"),
        test_by_hand=("edge left out of the message", "own state forgotten"),
    ),
    Piece("dummy_graph_data", "data", 5, dummy_data_cases),
    Piece("karate_club_data", "data", 5, karate_cases),
    Piece("sum_by_index", "model", 5, sum_cases_in_jax, port=True),
    Piece("readout", "model", 5, readout_cases_in_jax, port=True),
    Piece("make_gnn_params", "params", 5, fresh_cases_in_jax, port=True),
    Piece("mse_loss", "losses", 5, from_track="autoencoder"),
    Piece("adam_steps", "training", 5, from_track="autoencoder"),
    Piece("train", "training", 5, from_track="autoencoder"),
    *tests_of(
        5,
        test_training_lowers_the_loss=("gradient climbed", "never updated"),
        test_every_parameter_receives_gradient=("first round only", "nodes rounded"),
        test_one_batch_can_be_overfitted=("never updated", "step far too small"),
    ),
    Piece("strangeness", "uncertainty", 6, strangeness_cases),
    Piece("conformal_threshold", "uncertainty", 6, from_track="autoencoder"),
    Piece("is_strange", "uncertainty", 6, verdict_cases),
    Piece("second_strangeness", "uncertainty", 6, second_cases),
    Piece("count_flops", "costs", 6, flops_cases),
    Piece("count_memory", "costs", 6, memory_cases),
    Piece("paired_difference", "uncertainty", 6, from_track="autoencoder"),
    Piece("checked_graphs", "data", 6, checked_cases),
    Piece("in_words", "card", 6, words_cases),
]
