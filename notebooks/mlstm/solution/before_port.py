"""The pieces as they stand in NumPy, before step 5 ports them to JAX."""

import numpy as np
from shapes import param_shapes


def numpy_counterparts():
    """Say how NumPy writes each operation of the original.

    Shapes: embedding takes letters (batch, seq) and weight (letters, embedding); chunk takes
        z (batch, 4 * units) and gives a list of four; where takes three of one shape
    Source: original.py, MLSTMLayer and MLSTM
    """
    return {
        "embedding": lambda letters, weight: weight[letters],
        "clamp": lambda squares: np.maximum(squares, 1e-12),
        "Tensor.matmul": lambda first, second: first @ second,
        "chunk": lambda z: np.split(z, 4, axis=1),
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "where": lambda is_real, new, old: np.where(is_real, new, old),
    }


def normalise(weight, gain):
    """Scale the columns of a weight to length 1, and then by the gain.

    Shapes: weight (in_features, units), gain (units,) -> (in_features, units)
    Source: original.py, MLSTMLayer.normalise
    """
    squares = (weight**2).sum(axis=0)
    return weight / np.sqrt(np.maximum(squares, 1e-12)) * gain


def mlstm_step(weights, x, h, c):
    """Read one letter: return what the layer says now, and what it remembers.

    Shapes: weights["wmx"] (in_features, units), ["wmh"] (units, units), ["wx"] (in_features,
        4 * units), ["wh"] (units, 4 * units), all of them normalised, ["b"] (4 * units,);
        x (batch, in_features), h and c (batch, units) -> h, c
    Source: original.py, MLSTMLayer.step
    """
    m = (x @ weights["wmx"]) * (h @ weights["wmh"])
    z = x @ weights["wx"] + m @ weights["wh"] + weights["b"]
    i, f, o, u = np.split(z, 4, axis=1)
    c = c / (1 + np.exp(-f)) + np.tanh(u) / (1 + np.exp(-i))
    return np.tanh(c) / (1 + np.exp(-o)), c


def mlstm_layer(params, x, is_real):
    """Read the sequences of a batch; where one has ended, h and c stay as they are.

    Shapes: x (batch, seq, in_features), is_real (batch, seq) -> hidden (batch, seq, units), and
        the last h and c (batch, units)
    Source: original.py, MLSTMLayer.forward
    """
    weights = {w: normalise(params[w], params[f"g{w[1:]}"]) for w in ("wmx", "wmh", "wx", "wh")}
    weights["b"] = params["b"]
    h = np.zeros((len(x), len(params["wmh"])))
    c = np.zeros((len(x), len(params["wmh"])))
    hidden = []
    for t in range(x.shape[1]):
        new_h, new_c = mlstm_step(weights, x[:, t], h, c)
        h = np.where(is_real[:, t, None], new_h, h)
        c = np.where(is_real[:, t, None], new_c, c)
        hidden.append(h)
    return np.stack(hidden, axis=1), h, c


def make_mlstm_params(key=0, embedding=10, units=12, layers=2):
    """Draw initial parameters from the distributions that the original draws from.

    Shapes: those of param_shapes(embedding, units, layers)
    Source: original.py, both __init__: embedding and weights of the layers are uniform within
        sqrt(6 / (rows + columns)) of zero (Xavier), gains one, b zero; and nn.Linear: uniform
        within 1 / sqrt(in_features) of zero
    """
    rng = np.random.default_rng(key)

    def xavier(shape):
        bound = (6 / (shape[0] + shape[1])) ** 0.5
        return rng.uniform(-bound, bound, size=shape)

    def draw(name, shape):
        if name == "b":
            return np.zeros(shape)
        return np.ones(shape) if name.startswith("g") else xavier(shape)

    shapes = param_shapes(embedding, units, layers)
    bound = units**-0.5
    return {
        "embedding": {"weight": xavier(shapes["embedding"]["weight"])},
        "mlstm": {
            number: {name: draw(name, shape) for name, shape in layer.items()}
            for number, layer in shapes["mlstm"].items()
        },
        "dense": {
            name: rng.uniform(-bound, bound, size=shape) for name, shape in shapes["dense"].items()
        },
    }
