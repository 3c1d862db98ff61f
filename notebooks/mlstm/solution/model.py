"""The multiplicative LSTM's forward pass."""

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


def normalise(weight, gain):
    """Scale the columns of a weight to length 1, and then by the gain.

    Shapes: weight (in_features, units), gain (units,) -> (in_features, units)
    Source: original.py, MLSTMLayer.normalise
    """
    squares = (weight**2).sum(axis=0)
    return weight / jnp.sqrt(jnp.maximum(squares, 1e-12)) * gain


def mlstm_step(weights, x, h, c):
    """Read one letter: return what the layer says now, and what it remembers.

    Shapes: weights["wmx"] (in_features, units), ["wmh"] (units, units), ["wx"] (in_features,
        4 * units), ["wh"] (units, 4 * units), all of them normalised, ["b"] (4 * units,);
        x (batch, in_features), h and c (batch, units) -> h, c
    Source: original.py, MLSTMLayer.step
    """
    m = (x @ weights["wmx"]) * (h @ weights["wmh"])
    z = x @ weights["wx"] + m @ weights["wh"] + weights["b"]
    i, f, o, u = jnp.split(z, 4, axis=1)
    c = c / (1 + jnp.exp(-f)) + jnp.tanh(u) / (1 + jnp.exp(-i))
    return jnp.tanh(c) / (1 + jnp.exp(-o)), c


def mlstm_layer(params, x, is_real):
    """Read the sequences of a batch; where one has ended, h and c stay as they are.

    Shapes: x (batch, seq, in_features), is_real (batch, seq) -> hidden (batch, seq, units), and
        the last h and c (batch, units)
    Source: original.py, MLSTMLayer.forward
    """
    weights = {w: normalise(params[w], params[f"g{w[1:]}"]) for w in ("wmx", "wmh", "wx", "wh")}
    weights["b"] = params["b"]

    def step(carry, now):
        h, c = carry
        x, is_real = now
        new_h, new_c = mlstm_step(weights, x, h, c)
        h = jnp.where(is_real[:, None], new_h, h)
        c = jnp.where(is_real[:, None], new_c, c)
        return (h, c), h

    start = jnp.zeros((len(x), len(params["wmh"])), x.dtype)
    (h, c), hidden = jax.lax.scan(step, (start, start), (x.swapaxes(0, 1), is_real.T))
    return hidden.swapaxes(0, 1), h, c


def read(params, letters):
    """Send the embedded letters through every layer, each reading what the one before said.

    Shapes: letters (batch, seq) -> hidden (batch, seq, units), the last h and c (batch, units)
    Source: original.py, MLSTM.read
    """
    hidden, is_real = params["embedding"]["weight"][letters], letters > 0
    for number in range(len(params["mlstm"])):
        hidden, h, c = mlstm_layer(params["mlstm"][str(number)], hidden, is_real)
    return hidden, h, c


def representation(params, letters):
    """Describe each protein in three ways: the mean of all h, the last h, the last c.

    Shapes: letters (batch, seq) -> three times (batch, units)
    Source: original.py, MLSTM.representation
    """
    hidden, h, c = read(params, letters)
    is_real = (letters > 0)[:, :, None]
    return (hidden * is_real).sum(axis=1) / is_real.sum(axis=1), h, c


def mlstm_model(params, letters):
    """Give a score to each of the 25 letters that may come next.

    Shapes: letters (batch, seq) -> (batch, seq, 25)
    Source: original.py, MLSTM.forward
    """
    hidden, _, _ = read(params, letters)
    return nn_layer(params["dense"]["weight"].T, hidden, params["dense"]["bias"])
