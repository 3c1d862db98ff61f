"""The transformer's forward pass."""

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


def gelu(x):
    """Let through of each number the share of a bell curve that lies below it.

    Shapes: any, and kept
    Source: torch.nn.functional.gelu, whose documentation has the formula with the bell curve's
        share; the error function gives it: (1 + erf(x / sqrt(2))) / 2
    """
    return x * (1 + jax.scipy.special.erf(x / 2**0.5)) / 2


def layer_norm(params, x, eps=1e-12):
    """Give each row the mean 0 and the spread 1, then scale it and shift it as params say.

    Shapes: x (..., width), params["weight"] (width,), params["bias"] (width,) -> (..., width)
    Source: original.py, any nn.LayerNorm, whose documentation has the formula
    """
    mean = jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.mean((x - mean) ** 2, axis=-1, keepdims=True)
    return (x - mean) / jnp.sqrt(variance + eps) * params["weight"] + params["bias"]


def attention(params, x, is_real, heads):
    """Let every word look at all words of its sentence, with several heads at once.

    Shapes: x (batch, seq, width), is_real (batch, seq), True where there is a word and False for
        padding -> (batch, seq, width)
    Source: original.py, Attention.forward and Attention.split
    """
    batch, seq, width = x.shape

    def split(name):
        layer = params[name]
        rows = nn_layer(layer["weight"].T, x, layer["bias"])
        return rows.reshape(batch, seq, heads, width // heads).swapaxes(1, 2)

    query, key, value = split("query"), split("key"), split("value")
    scores = query @ key.swapaxes(2, 3) / (width // heads) ** 0.5
    weights = jax.nn.softmax(jnp.where(is_real[:, None, None, :], scores, -1e9))
    mixed = (weights @ value).swapaxes(1, 2).reshape(batch, seq, width)
    return nn_layer(params["out"]["weight"].T, mixed, params["out"]["bias"])


def transformer_block(params, x, is_real, heads):
    """Let words look at each other, then work on each alone; add and normalise both times.

    Shapes: x (batch, seq, width), is_real (batch, seq) -> (batch, seq, width)
    Source: original.py, Block.forward
    """
    x = layer_norm(params["attention_norm"], x + attention(params["attention"], x, is_real, heads))
    expand, contract = params["expand"], params["contract"]
    inner = gelu(nn_layer(expand["weight"].T, x, expand["bias"]))
    worked_on = nn_layer(contract["weight"].T, inner, contract["bias"])
    return layer_norm(params["output_norm"], x + worked_on)


def embed(params, tokens):
    """Look up what each word is and where it stands; params are those of the whole model.

    Shapes: tokens (batch, seq), whole numbers -> (batch, seq, width)
    Source: original.py, Transformer.embed
    """
    seq = tokens.shape[1]
    words, places = params["word"]["weight"][tokens], params["position"]["weight"][:seq]
    return layer_norm(params["embedding_norm"], words + places)


def pool(x, is_real):
    """Take the mean over the words of each sentence, padding left out.

    Shapes: x (batch, seq, width), is_real (batch, seq) -> (batch, width)
    Source: original.py, Transformer.pool
    """
    sums = jnp.sum(x * is_real[:, :, None], axis=1)
    return sums / jnp.sum(is_real, axis=1)[:, None]


def transformer_model(params, x, heads=3):
    """Read sentences, and give each a vector of length 1.

    The blocks run in the order of their numbers, "0" first, whatever order the dict has them in.

    Shapes: x["tokens"] (batch, seq), whole numbers, x["is_real"] (batch, seq) -> (batch, width)
    Source: original.py, Transformer.forward
    """
    is_real = x["is_real"]
    rows = embed(params, x["tokens"])
    for number in range(len(params["layers"])):
        rows = transformer_block(params["layers"][str(number)], rows, is_real, heads)
    pooled = pool(rows, is_real)
    return pooled / jnp.linalg.norm(pooled, axis=1, keepdims=True)
