"""The graph neural network's parameters: drawn afresh, or the original's own."""

import jax
from shapes import param_shapes


def make_gnn_params(key=0, node_features=5, edge_features=2, hidden=16, targets=1):
    """Draw initial parameters from the distribution that the original draws from.

    Shapes: those of param_shapes(node_features, edge_features, hidden, targets)
    Source: torch.nn.Linear.reset_parameters, which original.py leaves as it is: weight and bias
        are uniform within 1 / sqrt(in_features) of zero
    """

    def draw(key, shapes):
        bound = shapes["weight"][1] ** -0.5
        keys = jax.random.split(key, len(shapes))
        return {
            name: jax.random.uniform(part_key, shapes[name], minval=-bound, maxval=bound)
            for name, part_key in zip(shapes, keys, strict=True)
        }

    shapes = param_shapes(node_features, edge_features, hidden, targets)
    embed, edge_1, update_1, edge_2, update_2, last = jax.random.split(jax.random.key(key), 6)
    return {
        "embed": draw(embed, shapes["embed"]),
        "round_1": {
            "edge": draw(edge_1, shapes["round_1"]["edge"]),
            "update": draw(update_1, shapes["round_1"]["update"]),
        },
        "round_2": {
            "edge": draw(edge_2, shapes["round_2"]["edge"]),
            "update": draw(update_2, shapes["round_2"]["update"]),
        },
        "readout": draw(last, shapes["readout"]),
    }


def params_from_state_dict(state_dict):
    """Turn PyTorch's flat names into the nested params that the model reads.

    Shapes: every array keeps its own
    Source: the names that GNN().state_dict() gives, such as "round_1.update.weight"
    """
    params = {}
    for path, value in state_dict.items():
        *above, name = path.split(".")
        inner = params
        for part in above:
            inner = inner.setdefault(part, {})
        inner[name] = value
    return params
