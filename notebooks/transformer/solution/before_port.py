"""The pieces as they stand in NumPy, before step 5 ports them to JAX."""

import numpy as np
import scipy.special
from model import embed, nn_layer, transformer_block
from shapes import param_shapes


def numpy_counterparts():
    """Say how NumPy writes each operation of the original.

    Shapes: linear takes x (..., in_features), weight (out_features, in_features) and bias
        (out_features,); embedding takes whole numbers of any shape and weight (rows, width);
        masked_fill takes two arrays of which one broadcasts; softmax is over the last axis
    Source: original.py, Attention and Transformer
    """
    return {
        "embedding": lambda tokens, weight: weight[tokens],
        "linear": lambda x, weight, bias: x @ weight.T + bias,
        "Tensor.matmul": lambda first, second: first @ second,
        "Tensor.masked_fill": lambda scores, mask: np.where(mask, -1e9, scores),
        "softmax": lambda x: scipy.special.softmax(x, axis=-1),
    }


def gelu(x):
    """Let through of each number the share of a bell curve that lies below it.

    Shapes: any, and kept
    Source: torch.nn.functional.gelu, whose documentation has the formula with the bell curve's
        share; the error function gives it: (1 + erf(x / sqrt(2))) / 2
    """
    return x * (1 + scipy.special.erf(x / 2**0.5)) / 2


def layer_norm(params, x, eps=1e-12):
    """Give each row the mean 0 and the spread 1, then scale it and shift it as params say.

    Shapes: x (..., width), params["weight"] (width,), params["bias"] (width,) -> (..., width)
    Source: original.py, any nn.LayerNorm, whose documentation has the formula
    """
    mean = np.mean(x, axis=-1, keepdims=True)
    variance = np.mean((x - mean) ** 2, axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + eps) * params["weight"] + params["bias"]


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
    weights = scipy.special.softmax(np.where(is_real[:, None, None, :], scores, -1e9), axis=-1)
    mixed = (weights @ value).swapaxes(1, 2).reshape(batch, seq, width)
    return nn_layer(params["out"]["weight"].T, mixed, params["out"]["bias"])


def pool(x, is_real):
    """Take the mean over the words of each sentence, padding left out.

    Shapes: x (batch, seq, width), is_real (batch, seq) -> (batch, width)
    Source: original.py, Transformer.pool
    """
    sums = np.sum(x * is_real[:, :, None], axis=1)
    return sums / np.sum(is_real, axis=1)[:, None]


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
    return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)


def make_transformer_params(key=0, words=30, positions=8, width=6, inner=10, layers=2):
    """Draw initial parameters from the distribution that the original draws from.

    Shapes: those of param_shapes(words, positions, width, inner, layers)
    Source: reset_parameters of torch.nn.Linear, within 1 / sqrt(in_features) of zero and uniform,
        of torch.nn.Embedding, normal with a spread of 1, and of torch.nn.LayerNorm, ones and zeros
    """
    rng = np.random.default_rng(key)

    def draw(name, shapes):
        if "weight" not in shapes:
            return {part: draw(part, inside) for part, inside in shapes.items()}
        if name.endswith("norm"):
            return {"weight": np.ones(shapes["weight"]), "bias": np.zeros(shapes["bias"])}
        if name in ("word", "position"):
            return {"weight": rng.normal(size=shapes["weight"])}
        bound = shapes["weight"][1] ** -0.5
        return {part: rng.uniform(-bound, bound, size=shape) for part, shape in shapes.items()}

    return draw("", param_shapes(words, positions, width, inner, layers))
