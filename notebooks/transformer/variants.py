"""Other right ways to write each piece: none of them may be refused.

`gelu__erfc` is another `gelu`; where a piece is ported, `jax` says that a way is one of the port.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy
from data import dummy_sentence_data
from losses import contrastive_loss
from model import (
    attention,
    embed,
    gelu,
    layer_norm,
    nn_layer,
    pool,
    transformer_block,
    transformer_model,
)
from params import make_transformer_params
from scipy.spatial.distance import cdist
from scipy.special import erfc, log_softmax, ndtr
from shapes import activation_shapes, param_shapes
from training import train
from uncertainty import conformal_threshold, strangeness

# --- 1 forward pass -----------------------------------------------------------------------


def numpy_counterparts__einsum():
    def softmax(x):
        shares = np.exp(x - np.max(x, axis=-1, keepdims=True))
        return shares / np.sum(shares, axis=-1, keepdims=True)

    def masked_fill(scores, mask):
        filled = scores.copy()
        filled[np.broadcast_to(mask, scores.shape)] = -1e9
        return filled

    return {
        "embedding": lambda tokens, weight: np.take(weight, tokens, axis=0),
        "linear": lambda x, weight, bias: np.einsum("...i,oi->...o", x, weight) + bias,
        "Tensor.matmul": np.matmul,
        "Tensor.masked_fill": masked_fill,
        "softmax": softmax,
    }


def numpy_counterparts__more_than_asked():
    def one_hot(tokens, rows):
        return (tokens[..., None] == np.arange(rows)).astype(float)

    return {
        "embedding": lambda tokens, weight: one_hot(tokens, len(weight)) @ weight,
        "linear": lambda x, weight, bias: np.dot(x, weight.T) + bias,
        "Tensor.matmul": lambda a, b: np.einsum("...ij,...jk->...ik", a, b),
        "Tensor.masked_fill": lambda scores, mask: scores * ~mask + -1e9 * mask,
        "softmax": lambda x: np.exp(log_softmax(x, axis=-1)),
        "gelu": None,
    }


def gelu__normal_distribution(x):
    return x * ndtr(x)


def gelu__erfc(x):
    return np.multiply(0.5 * x, erfc(-x / np.sqrt(2)))


def gelu__number_by_number(x):
    shares = [0.5 * (1 + math.erf(number / math.sqrt(2))) for number in x.ravel()]
    return x * np.reshape(shares, x.shape)


def gelu__jax_nn(x):
    return jax.nn.gelu(x, approximate=False)


def gelu__jax_normal_distribution(x):
    return x * jax.scipy.stats.norm.cdf(x)


def layer_norm__var(params, x, eps=1e-12):
    centred = x - x.mean(-1)[..., None]
    spread = (centred.var(axis=-1) + eps) ** 0.5
    return params["bias"] + params["weight"] * centred / spread[..., None]


def layer_norm__row_by_row(params, x, eps=1e-12):
    def one(row):
        squares = np.sum((row - np.mean(row)) ** 2) / len(row)
        return (row - np.mean(row)) / math.sqrt(squares + eps) * params["weight"] + params["bias"]

    rows = [one(row) for row in x.reshape(-1, x.shape[-1])]
    return np.array(rows).reshape(x.shape)


def layer_norm__jax_standardize(params, x, eps=1e-12):
    return jax.nn.standardize(x, axis=-1, epsilon=eps) * params["weight"] + params["bias"]


def layer_norm__jax_rsqrt(params, x, eps=1e-12):
    x = x - x.mean(axis=-1, keepdims=True)
    scale = jax.lax.rsqrt(jnp.var(x, axis=-1, keepdims=True) + eps)
    return x * scale * params["weight"] + params["bias"]


def attention__head_by_head(params, x, is_real, heads):
    def rows(name):
        return x @ params[name]["weight"].T + params[name]["bias"]

    query, key, value = rows("query"), rows("key"), rows("value")
    size, mixed = x.shape[2] // heads, []
    for head in range(heads):
        own = slice(head * size, (head + 1) * size)
        scores = np.einsum("bqd,bkd->bqk", query[..., own], key[..., own]) / np.sqrt(size)
        scores = np.where(is_real[:, None, :], scores, -np.inf)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed.append(shares / shares.sum(axis=-1, keepdims=True) @ value[..., own])
    out = params["out"]
    return np.concatenate(mixed, axis=-1) @ out["weight"].T + out["bias"]


def attention__added_mask(params, x, is_real, heads):
    batch, seq, width = x.shape
    names = ("query", "key", "value")
    layers = [nn_layer(params[name]["weight"].T, x, params[name]["bias"]) for name in names]
    q, k, v = (np.asarray(rows).reshape(batch, seq, heads, -1) for rows in layers)
    scores = np.einsum("bqhd,bkhd->bhqk", q, k) * (width / heads) ** -0.5
    scores = scores + np.where(is_real, 0.0, -1e9)[:, None, None]
    weights = scipy.special.softmax(scores, axis=3)
    mixed = np.einsum("bhqk,bkhd->bqhd", weights, v).reshape(batch, seq, width)
    return nn_layer(params["out"]["weight"].T, mixed, bias=params["out"]["bias"])


def attention__jax_einsum(params, x, is_real, heads):
    def rows(name):
        layer = params[name]
        return (x @ layer["weight"].T + layer["bias"]).reshape(*x.shape[:2], heads, -1)

    scores = jnp.einsum(
        "bqhd,bkhd->bhqk", rows("query") / (x.shape[2] // heads) ** 0.5, rows("key")
    )
    largest = jnp.finfo(scores.dtype).max
    shares = jnp.exp(jax.nn.log_softmax(scores + jnp.where(is_real, 0, -largest)[:, None, None]))
    mixed = jnp.einsum("bhqk,bkhd->bqhd", shares, rows("value")).reshape(x.shape)
    return mixed @ params["out"]["weight"].T + params["out"]["bias"]


def attention__jax_by_sentence(params, x, is_real, heads):
    def of_sentence(x, is_real):
        def rows(name):
            rows = nn_layer(params[name]["weight"].T, x, params[name]["bias"])
            return jnp.stack(jnp.split(rows, heads, axis=-1))

        query = rows("query")
        scores = jnp.einsum("hqd,hkd->hqk", query, rows("key")) / query.shape[-1] ** 0.5
        weights = jax.nn.softmax(scores, axis=-1, where=is_real)
        mixed = jnp.concatenate(list(weights @ rows("value")), axis=-1)
        return nn_layer(params["out"]["weight"].T, mixed, params["out"]["bias"])

    return jax.vmap(of_sentence)(x, is_real)


def transformer_block__step_by_step(params, x, is_real, heads):
    found = attention(params["attention"], x, is_real, heads)
    middle = layer_norm(params["attention_norm"], found + x)
    inner = middle @ params["expand"]["weight"].T + params["expand"]["bias"]
    worked_on = gelu(inner) @ params["contract"]["weight"].T + params["contract"]["bias"]
    return layer_norm(params["output_norm"], worked_on + middle, eps=1e-12)


def transformer_block__layers(params, x, is_real, heads):
    def layer(name, x):
        return nn_layer(params[name]["weight"].T, x, params[name]["bias"])

    residual = x
    x = attention(params=params["attention"], x=x, is_real=is_real, heads=heads)
    x = residual = layer_norm(params["attention_norm"], x + residual)
    x = layer("contract", gelu(layer("expand", x)))
    return np.asarray(layer_norm(params["output_norm"], x + residual))


def embed__take(params, tokens):
    words = np.take(params["word"]["weight"], tokens, axis=0)
    places = np.take(params["position"]["weight"], np.arange(tokens.shape[1]), axis=0)
    return layer_norm(params["embedding_norm"], words + places[None])


def embed__one_by_one(params, tokens):
    rows = np.array(
        [
            [
                params["word"]["weight"][word] + params["position"]["weight"][place]
                for place, word in enumerate(sentence)
            ]
            for sentence in tokens
        ]
    )
    return layer_norm(params["embedding_norm"], rows)


def pool__average(x, is_real):
    return np.array(
        [np.average(rows, axis=0, weights=own) for rows, own in zip(x, is_real, strict=True)]
    )


def pool__einsum(x, is_real):
    return np.einsum("bsw,bs->bw", x, is_real / is_real.sum(axis=1, keepdims=True))


def pool__jax_mean_where(x, is_real):
    return jnp.mean(x, axis=1, where=is_real[:, :, None])


def pool__jax_einsum(x, is_real):
    shares = is_real / jnp.count_nonzero(is_real, axis=1, keepdims=True)
    return jnp.einsum("bsw,bs->bw", x, shares)


def transformer_model__written_out(params, x, heads=3):
    rows = embed(params, x["tokens"])
    for _, layer in sorted(params["layers"].items(), key=lambda item: int(item[0])):
        rows = transformer_block(layer, rows, x["is_real"], heads)
    means = np.asarray(pool(rows, x["is_real"]))
    return means * np.sum(means * means, axis=1)[:, None] ** -0.5


def transformer_model__sums(params, x, heads=3):
    tokens, is_real = x["tokens"], x["is_real"]
    rows, number = embed(params, tokens), 0
    while str(number) in params["layers"]:
        rows = transformer_block(params["layers"][str(number)], rows, is_real, heads=heads)
        number += 1
    vectors = np.asarray(pool(rows, is_real))
    return np.stack([vector / math.sqrt(vector @ vector) for vector in vectors])


def transformer_model__jax_sums(params, x, heads=3):
    rows = embed(params, x["tokens"])
    for number in sorted(params["layers"], key=int):
        rows = transformer_block(params["layers"][number], rows, x["is_real"], heads)
    # a mean that is scaled to length 1 is a sum that is scaled to length 1
    sums = jnp.einsum("bsw,bs->bw", rows, x["is_real"].astype(rows.dtype))
    return sums / jnp.sqrt(jnp.sum(sums**2, axis=1, keepdims=True))


@partial(jax.jit, static_argnames="heads")
def transformer_model__jax_jitted(params, x, heads=3):
    rows = embed(params, x["tokens"])
    for number in range(len(params["layers"])):
        rows = transformer_block(params["layers"][f"{number}"], rows, x["is_real"], heads)
    means = pool(rows, x["is_real"])
    return means * jax.lax.rsqrt(jnp.vecdot(means, means))[:, None]


# --- 2 shapes -----------------------------------------------------------------------------


def param_shapes__lists(words=30, positions=8, width=6, inner=10, layers=2):
    def square():
        return {"weight": [width, width], "bias": [width]}

    def norm():
        return {"weight": [width], "bias": [width]}

    shapes = {"layers": {}, "embedding_norm": norm()}
    shapes["word"], shapes["position"] = {"weight": [words, width]}, {"weight": [positions, width]}
    for number in range(layers):
        shapes["layers"][f"{number}"] = {
            "attention": {"query": square(), "key": square(), "value": square(), "out": square()},
            "attention_norm": norm(),
            "output_norm": norm(),
            "expand": {"weight": [inner, width], "bias": [inner]},
            "contract": {"weight": [width, inner], "bias": [width]},
        }
    return shapes


def param_shapes__numpy_numbers(words=30, positions=8, width=6, inner=10, layers=2):
    def layer(*shape):
        return {"weight": np.empty(shape).shape, "bias": (np.int64(shape[0]),)}

    blocks = [
        {
            "attention": {name: layer(width, width) for name in ("out", "value", "key", "query")},
            **{name: layer(width) for name in ("attention_norm", "output_norm")},
            "expand": layer(inner, width),
            "contract": layer(width, inner),
        }
        for _ in range(layers)
    ]
    return {
        "word": {"weight": (words, width)},
        "position": {"weight": (positions, width)},
        "embedding_norm": layer(width),
        "layers": dict(zip(map(str, range(layers)), blocks, strict=True)),
    }


def activation_shapes__lists(batch, seq, width=6, inner=10, heads=3):
    shapes = {name: [batch, seq, width] for name in ("embed", "out", "contract")}
    shapes |= {name: [batch, heads, seq, int(width / heads)] for name in ("query", "mixed")}
    shapes["scores"], shapes["pool"] = [batch, heads, seq, seq], [batch, width]
    return {**shapes, "expand": [batch, seq, inner]}


def activation_shapes__measured(batch, seq, width=6, inner=10, heads=3):
    x = np.empty((batch, seq, width))
    query = x.reshape(batch, seq, heads, -1).swapaxes(1, 2)
    scores = query @ query.swapaxes(2, 3)
    return {
        "embed": x.shape,
        "query": query.shape,
        "scores": scores.shape,
        "mixed": (scores @ query).shape,
        "out": x.shape,
        "expand": (x @ np.empty((width, inner))).shape,
        "contract": x.shape,
        "pool": x.mean(axis=1).shape,
    }


# --- 3 params -----------------------------------------------------------------------------


def make_transformer_params__layer_by_layer(
    key=0, words=30, positions=8, width=6, inner=10, layers=2
):
    rng = np.random.RandomState(key)

    def linear(inputs, outputs):
        numbers = (2 * rng.rand(outputs, inputs + 1) - 1) / np.sqrt(inputs)
        return {"weight": numbers[:, :-1], "bias": numbers[:, -1]}

    def norm():
        return {"weight": np.ones(width), "bias": np.zeros(width)}

    def block():
        return {
            "attention": {name: linear(width, width) for name in ("query", "key", "value", "out")},
            "attention_norm": norm(),
            "expand": linear(width, inner),
            "contract": linear(inner, width),
            "output_norm": norm(),
        }

    return {
        "layers": {str(number): block() for number in range(layers)},
        "word": {"weight": rng.randn(words, width)},
        "position": {"weight": rng.randn(positions, width)},
        "embedding_norm": norm(),
    }


def make_transformer_params__float32(key=0, words=30, positions=8, width=6, inner=10, layers=2):
    seeds = iter(np.random.SeedSequence(key).spawn(100))

    def draw(shapes):
        first, *_ = shapes.values()
        if isinstance(first, dict):
            return {name: draw(inside) for name, inside in shapes.items()}
        rng, weight = np.random.default_rng(next(seeds)), shapes["weight"]
        if len(weight) == 1:
            return {"weight": np.ones(weight, np.float32), "bias": np.zeros(weight, np.float32)}
        if "bias" not in shapes:
            return {"weight": rng.standard_normal(weight, np.float32)}
        bound = 1 / math.sqrt(weight[1])
        return {
            name: rng.uniform(-bound, bound, shape).astype(np.float32)
            for name, shape in shapes.items()
        }

    return draw(param_shapes__lists(words, positions, width, inner, layers))


def make_transformer_params__jax_leaves(key=0, words=30, positions=8, width=6, inner=10, layers=2):
    shapes = param_shapes__numpy_numbers(words, positions, width, inner, layers)
    leaves, tree = jax.tree.flatten_with_path(shapes, is_leaf=lambda leaf: isinstance(leaf, tuple))
    keys = jax.random.split(jax.random.key(key), len(leaves))
    drawn, sizes = [], {"contract": inner}
    for place, (path, shape) in zip(keys, leaves, strict=True):
        layer, kind = path[-2].key, path[-1].key
        shape = tuple(map(int, shape))
        if "norm" in layer:
            drawn.append(jnp.full(shape, 1.0 if kind == "weight" else 0.0))
        elif layer in ("word", "position"):
            drawn.append(jax.random.normal(place, shape))
        else:
            scale = sizes.get(layer, width) ** -0.5
            drawn.append(scale * jax.random.uniform(place, shape, minval=-1, maxval=1))
    return jax.tree.unflatten(tree, drawn)


def make_transformer_params__jax_folded(key=0, words=30, positions=8, width=6, inner=10, layers=2):
    count = iter(range(1000))

    def fresh():
        return jax.random.fold_in(jax.random.PRNGKey(key), next(count))

    def linear(inputs, outputs):
        numbers = jax.random.uniform(fresh(), (outputs, inputs + 1), minval=-1) / jnp.sqrt(inputs)
        return {"weight": numbers[:, 1:], "bias": numbers[:, 0]}

    def norm():
        return {"weight": jnp.ones(width), "bias": jnp.zeros(width)}

    blocks = {}
    for number in range(layers):
        names = ("query", "key", "value", "out")
        blocks[str(number)] = {
            "attention": {name: linear(width, width) for name in names},
            "attention_norm": norm(),
            "expand": linear(width, inner),
            "contract": linear(inner, width),
            "output_norm": norm(),
        }
    tables = jax.random.normal(fresh(), (words + positions, width))
    return {
        "word": {"weight": tables[:words]},
        "position": {"weight": tables[words:]},
        "embedding_norm": norm(),
        "layers": blocks,
    }


def params_from_state_dict__recursive(state_dict):
    def put(tree, parts, value):
        head, *rest = parts
        below = put(tree.get(head, {}), rest, value) if rest else value
        return {**tree, head: below}

    params = {}
    for path, value in state_dict.items():
        params = put(params, path.split("."), value)
    return params


def params_from_state_dict__by_prefix(state_dict):
    params = {}
    for head in dict.fromkeys(path.partition(".")[0] for path in state_dict):
        if head in state_dict:
            params[head] = np.array(state_dict[head])
        else:
            inside = {
                path[len(head) + 1 :]: value
                for path, value in state_dict.items()
                if path.startswith(f"{head}.")
            }
            params[head] = params_from_state_dict__recursive(inside)
    return params


# --- 4 unit tests -------------------------------------------------------------------------


def sentences(*lengths):
    """Make up sentences of some lengths, of words numbered from 1 to 29."""
    is_real = np.arange(max(lengths)) < np.array(lengths)[:, None]
    tokens = np.random.default_rng(5).integers(1, 30, size=is_real.shape)
    return {"tokens": tokens * is_real, "is_real": is_real}


def test_shapes_and_lengths__default():
    vectors = transformer_model(make_transformer_params(2), sentences(3, 4, 2, 4))
    assert vectors.shape == (4, 6)
    for vector in vectors:
        assert abs(float(vector @ vector) - 1) < 1e-4


def test_shapes_and_lengths__norm():
    params = make_transformer_params(3, 30, 8, 8, 5, 1)
    vectors = np.asarray(transformer_model(params, sentences(5, 2), 4))
    assert vectors.ndim == 2 and vectors.shape[1] == 8
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)


def test_layer_norm_has_spread_one__standard():
    params = {"weight": np.ones(7), "bias": np.zeros(7)}
    x = np.random.default_rng(3).normal(3, 50, size=(4, 7))
    rows = np.asarray(layer_norm(params, x))
    assert np.allclose(rows.mean(axis=1), 0, atol=1e-5) and np.allclose(rows.std(axis=1), 1)


def test_layer_norm_has_spread_one__eps():
    params = {"weight": np.ones(2), "bias": np.zeros(2)}
    row = layer_norm(params, np.array([[10.0, 30.0]]), 300.0)
    assert abs(float(row[0, 1]) - 0.5) < 1e-5 and abs(float(row[0, 0]) + 0.5) < 1e-5


def test_gelu_at_known_values__one():
    assert abs(float(gelu(np.array([1.0]))[0]) - 0.8413447) < 1e-6


def test_gelu_at_known_values__difference():
    x = np.linspace(-3, 3, 25)
    shares = [(1 + math.erf(number / math.sqrt(2))) / 2 for number in x]
    assert np.abs(gelu(x) / x - shares)[x != 0].max() < 2e-6
    assert np.allclose(gelu(x) - gelu(-x), x, atol=1e-5)


def test_padding_changes_nothing__vectors():
    params, x = make_transformer_params(4), sentences(4, 2)
    bare = {name: part[1:, :2] for name, part in x.items()}
    assert np.allclose(
        transformer_model(params, x)[1], transformer_model(params, bare)[0], atol=1e-4
    )


def test_padding_changes_nothing__other_padding():
    params, x = make_transformer_params(4), sentences(4, 2)
    other = {**x, "tokens": np.where(x["is_real"], x["tokens"], 17)}
    ours, theirs = transformer_model(params, x), transformer_model(params, other)
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)


def test_word_order_shows_through_positions__embed():
    rows = np.asarray(embed(make_transformer_params(5), np.array([[4, 4, 4]])))
    assert np.abs(rows[0, 0] - rows[0, 1]).max() > 0.01
    assert np.abs(rows[0, 1] - rows[0, 2]).max() > 0.01


def test_word_order_shows_through_positions__reversed():
    params, x = make_transformer_params(5), sentences(4)
    turned = {**x, "tokens": x["tokens"][:, ::-1]}
    ours, theirs = transformer_model(params, x), transformer_model(params, turned)
    assert not np.allclose(ours, theirs, atol=1e-3)


def test_rows_do_not_mix__first_and_last():
    params, x = make_transformer_params(6), sentences(4, 4, 3, 4)
    ends = {name: part[[0, 3]] for name, part in x.items()}
    whole = np.asarray(transformer_model(params, x))
    np.testing.assert_allclose(whole[[0, 3]], transformer_model(params, ends), rtol=1e-3, atol=1e-4)


def test_rows_do_not_mix__a_row_changes():
    rng = np.random.default_rng(7)
    params = make_transformer_params(6)["layers"]["0"]
    x, is_real = rng.normal(size=(3, 4, 6)), np.ones((3, 4), dtype=bool)
    other = np.concatenate([x[:2], 5 * x[2:] + 1])
    ours, theirs = (transformer_block(params, rows, is_real, 3) for rows in (x, other))
    assert np.allclose(ours[:2], theirs[:2], rtol=1e-3, atol=1e-4)


def square(weight):
    """Make a layer without bias."""
    return {"weight": np.array(weight), "bias": np.zeros(len(weight))}


def test_attention_by_hand__two_words():
    params = {name: square(np.eye(2)) for name in ("value", "out")}
    params |= {"query": square([[0.0, 1.0], [0.0, 0.0]]), "key": square([[2.0, 0.0], [0.0, 2.0]])}
    mixed = attention(params, np.array([[[1.0, 0], [0, 1]]]), np.array([[True, True]]), 1)
    # the first word asks with (0, 0): both alike; the second with (1, 0), which the first answers
    share = 1 / (1 + math.exp(-2 / math.sqrt(2)))
    np.testing.assert_allclose(mixed, [[[0.5, 0.5], [share, 1 - share]]], rtol=1e-4)


def test_attention_by_hand__four_numbers():
    params = {name: square(np.eye(4)) for name in ("query", "key", "value", "out")}
    x = np.zeros((1, 2, 4))
    x[0, 0, 0] = 2.0
    mixed = attention(params, x, np.array([[True, True]]), 1)
    assert abs(float(mixed[0, 0, 0]) - 2 * math.e**2 / (math.e**2 + 1)) < 1e-4
    assert abs(float(mixed[0, 1, 0]) - 1) < 1e-5


# --- 5 training test ----------------------------------------------------------------------


def dummy_sentence_data__sentence_by_sentence(key=0, batch=8, seq=6, words=30):
    rng = np.random.default_rng((key, 7))
    tokens, is_real = np.zeros((batch, seq), dtype=np.int32), np.zeros((batch, seq), dtype=bool)
    for first in range(0, batch, 2):
        length = rng.integers(3, seq, endpoint=True)
        tokens[first, :length] = tokens[first + 1, :length] = rng.integers(1, words, size=length)
        tokens[first + 1, rng.integers(length)] = rng.integers(1, words)
        is_real[first : first + 2, :length] = True
    y = [row + 1 if row % 2 == 0 else row - 1 for row in range(batch)]
    return {"is_real": is_real, "tokens": tokens}, np.array(y)


def dummy_sentence_data__always_another_word(key=0, batch=8, seq=6, words=30):
    rng = np.random.RandomState(key)
    lengths = rng.choice(np.arange(3, seq + 1), batch // 2)
    rows, partners = [], []
    for number, length in enumerate(lengths.tolist()):
        sentence = (1 + rng.choice(words - 1, length)).tolist()
        other, place = list(sentence), rng.choice(length)
        other[place] = 1 + (sentence[place] - 1 + rng.randint(1, words - 1)) % (words - 1)
        rows += [row + [0] * (seq - length) for row in (sentence, other)]
        partners += [2 * number + 1, 2 * number]
    tokens = np.array(rows)
    return {"tokens": tokens, "is_real": tokens > 0}, np.array(partners)


def contrastive_loss__optax(params, model, x, y):
    vectors = model(params, x)
    scores = 20 * jnp.einsum("iw,jw->ij", vectors, vectors)
    scores = scores - jnp.diag(jnp.full(len(vectors), 1e9))
    return optax.softmax_cross_entropy_with_integer_labels(scores, y).mean()


def contrastive_loss__log_softmax(params, model, x, y):
    vectors = model(params, x)
    batch = vectors.shape[0]
    scores = (vectors @ vectors.T / 0.05).at[jnp.diag_indices(batch)].set(-jnp.inf)
    logs = jax.nn.log_softmax(scores, axis=-1)
    return -jnp.take_along_axis(logs, jnp.asarray(y)[:, None], axis=1).sum() / batch


def wordpieces__from_the_end(word, vocabulary):
    numbers, before = [], ""
    while word:
        end = len(word)
        while end and before + word[:end] not in vocabulary:
            end -= 1
        if end == 0:
            return [vocabulary["[UNK]"]]
        numbers.append(vocabulary[before + word[:end]])
        word, before = word[end:], "##"
    return numbers


def wordpieces__recursive(word, vocabulary):
    def cut(rest, before):
        if not rest:
            return ()
        for end in reversed(range(1, len(rest) + 1)):
            number = vocabulary.get(before + rest[:end])
            if number is not None:
                more = cut(rest[end:], "##")
                return None if more is None else (number, *more)
        return None

    return np.array(cut(word, "") or [vocabulary["[UNK]"]])


OURS = {
    "attention.self.query": "attention.query",
    "attention.self.key": "attention.key",
    "attention.self.value": "attention.value",
    "attention.output.dense": "attention.out",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "expand",
    "output.dense": "contract",
    "output.LayerNorm": "output_norm",
}


def published_params__renamed(tensors):
    named = {}
    for name, value in tensors.items():
        where, _, kind = name.rpartition(".")
        if where.startswith("encoder.layer."):
            _, _, number, inside = where.split(".", 3)
            named[f"layers.{number}.{OURS[inside]}.{kind}"] = value
    tables = {
        name: tensors[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position")
    }
    named["word.weight"] = tables["word"]
    kind = tensors["embeddings.token_type_embeddings.weight"]
    named["position.weight"] = tables["position"] + kind[:1]
    for kind in ("weight", "bias"):
        named[f"embedding_norm.{kind}"] = tensors[f"embeddings.LayerNorm.{kind}"]
    return params_from_state_dict__recursive(named)


def published_params__while_there_are_blocks(tensors):
    def pair(name):
        return {kind: jnp.array(tensors[f"{name}.{kind}"]) for kind in ("bias", "weight")}

    layers, number = {}, 0
    while f"encoder.layer.{number}.output.dense.weight" in tensors:
        block = {"attention": {}}
        for theirs, ours in OURS.items():
            part, _, inside = ours.partition(".")
            layer = pair(f"encoder.layer.{number}.{theirs}")
            if inside:
                block[part][inside] = layer
            else:
                block[part] = layer
        layers[str(number)] = block
        number += 1
    word, position, kind = (
        np.array(tensors[f"embeddings.{name}_embeddings.weight"])
        for name in ("word", "position", "token_type")
    )
    word += kind[0]  # the same for every word, so it may stand in either table
    tables = {"word": {"weight": word}, "position": {"weight": position}}
    return {**tables, "embedding_norm": pair("embeddings.LayerNorm"), "layers": layers}


def test_training_lowers_the_loss__losses():
    x, y = dummy_sentence_data(4)
    params = make_transformer_params(1)
    _, losses = train(params, transformer_model, contrastive_loss, x, y, steps=30)
    assert len(losses) == 30 and losses[-1] < losses[0]


def test_training_lowers_the_loss__before_and_after():
    params, data = make_transformer_params(), dummy_sentence_data(2)
    after, _ = train(params, transformer_model, contrastive_loss, *data, 15, 1e-2)
    before = contrastive_loss(params, transformer_model, *data)
    assert float(contrastive_loss(after, transformer_model, *data)) < float(before)


def test_every_parameter_receives_gradient__leaves():
    data = dummy_sentence_data(3)
    grads = jax.grad(contrastive_loss)(make_transformer_params(4), transformer_model, *data)
    for layer in grads["layers"].values():
        del layer["attention"]["key"]["bias"]
    assert all(float(np.abs(grad).max()) > 1e-6 for grad in jax.tree.leaves(grads))


def test_every_parameter_receives_gradient__weights():
    data = dummy_sentence_data()
    grads = jax.grad(contrastive_loss)(make_transformer_params(4), transformer_model, *data)
    for name in ("word", "position", "embedding_norm"):
        assert np.any(np.abs(grads[name]["weight"]) > 1e-6), name
    for number in ("0", "1"):
        layer = grads["layers"][number]
        for name in ("expand", "contract", "output_norm"):
            assert np.abs(layer[name]["weight"]).sum() > 0 < np.abs(layer[name]["bias"]).sum()
        for name in ("query", "key", "value", "out"):
            assert np.abs(layer["attention"][name]["weight"]).max() > 1e-6


def test_one_batch_can_be_overfitted__tenth():
    x, y = dummy_sentence_data(1)
    params = make_transformer_params(1)
    _, losses = train(params, transformer_model, contrastive_loss, x, y, steps=200, step_size=0.01)
    assert losses[-1] < losses[0] / 10


def test_one_batch_can_be_overfitted__nearest():
    params, (x, y) = make_transformer_params(), dummy_sentence_data()
    params, losses = train(params, transformer_model, contrastive_loss, x, y, 150, 0.01)
    vectors = np.asarray(transformer_model(params, x))
    nearest = np.argmax(vectors @ vectors.T - 9 * np.eye(8), axis=1)
    assert np.array_equal(nearest, y) and losses[-1] < 0.1


# --- 6 know your model --------------------------------------------------------------------


def strangeness__one_by_one(params, x, known, heads=3):
    def words_of(sentences):
        bare = []
        for tokens, is_real in zip(sentences["tokens"], sentences["is_real"], strict=True):
            rows, is_real = embed(params, tokens[None]), np.asarray(is_real)
            for number, _ in enumerate(params["layers"]):
                block = params["layers"][f"{number}"]
                rows = transformer_block(block, rows, is_real[None], heads)
            bare.append(np.asarray(rows)[0, is_real])
        return bare

    all_known = np.concatenate(words_of(known))
    return np.array([cdist(words, all_known).min(axis=1).mean() for words in words_of(x)])


def strangeness__padding_far_away(params, x, known, heads=3):
    def run(sentences):
        rows = embed(params, sentences["tokens"])
        for number in sorted(params["layers"], key=int):
            rows = transformer_block(params["layers"][number], rows, sentences["is_real"], heads)
        return rows

    ours, theirs = run(x), run(known)
    apart = jnp.linalg.norm(ours[:, :, None, None] - theirs[None, None], axis=-1)
    apart = jnp.where(known["is_real"], apart, jnp.inf).min(axis=(2, 3))
    return jnp.mean(apart, axis=1, where=jnp.asarray(x["is_real"]))


def is_strange__counted(params, x, known, calibration, alpha=0.1, heads=3):
    scores = np.asarray(strangeness(params, calibration, known, heads))
    new = np.asarray(strangeness(params, x, known, heads))
    at_least = (scores >= new[:, None]).sum(axis=1) + 1
    return at_least <= (len(scores) + 1) * alpha


def is_strange__one_by_one(params, x, known, calibration, alpha=0.1, heads=3):
    score = partial(strangeness, params, known=known, heads=heads)
    limit = float(conformal_threshold(score(calibration), alpha=alpha))
    return np.array([float(one) > limit for one in score(x)])


def second_strangeness__fifth_nearest(params, x, known, heads=3):
    ours, theirs = (transformer_model(params, part, heads) for part in (x, known))
    return np.sort(cdist(ours, theirs), axis=1)[:, 4]


def second_strangeness__mahalanobis(params, x, known, heads=3):
    vectors = transformer_model(params, known, heads)
    gaps = transformer_model(params, x, heads) - vectors.mean(axis=0)
    return jnp.sqrt(jnp.sum(gaps @ jnp.linalg.inv(jnp.cov(vectors.T)) * gaps, axis=1))


def second_strangeness__one_by_one(params, x, known, heads=3):
    theirs = np.asarray(transformer_model(params, known, heads=heads))
    ours = np.asarray(transformer_model(params, x, heads=heads))
    return np.array([-np.log(sum(np.exp(20 * np.sum(theirs * row, axis=1)))) for row in ours])


def count_flops__product_by_product(batch, seq, width=6, inner=10, layers=2):
    def product(rows, added_up, columns):
        return 2 * rows * added_up * columns

    words = batch * seq
    block = 4 * product(words, width, width) + 2 * product(words, width, inner)
    block += batch * product(seq, width, seq) + batch * product(seq, seq, width)
    compared = product(batch, width, batch)
    return dict(train_step=3 * layers * block + 3 * compared, forward=layers * block)


def count_flops__from_shapes(batch, seq, width=6, inner=10, layers=2):
    block = param_shapes(1, 1, width, inner, 1)["layers"]["0"]
    linear = [*block["attention"].values(), block["expand"], block["contract"]]
    a_word = sum(math.prod(layer["weight"]) for layer in linear)
    heads = activation_shapes(batch, seq, width, inner, 1)
    attention = 2 * math.prod(heads["scores"]) * width
    forward = 2.0 * layers * (a_word * batch * seq + attention)
    return {"forward": forward, "train_step": 3 * forward + 6 * batch * batch * width}


def count_memory__arrays(batch, seq, words=30, positions=8, width=6, inner=10, heads=3, layers=2):
    def bytes_of(shapes):
        if isinstance(shapes, dict):
            return sum(map(bytes_of, shapes.values()))
        return np.zeros(shapes, dtype=np.float32).nbytes

    params = bytes_of(param_shapes(words, positions, width, inner, layers))
    kept = activation_shapes(batch, seq, width, inner, heads)
    counts = {name: 1 if name in ("embed", "pool") else layers for name in kept}
    counts["query"] = 3 * layers
    activations = sum(count * bytes_of(kept[name]) for name, count in counts.items())
    return dict(activations=activations, adam=params + params, gradients=params, params=params)


def count_memory__on_paper(batch, seq, words=30, positions=8, width=6, inner=10, heads=3, layers=2):
    block = 4 * width * (width + 1) + 2 * inner * width + inner + width + 4 * width
    params = 4 * ((words + positions + 2) * width + layers * block)
    a_word = 6 * width + inner + heads * seq
    activations = 4 * batch * (seq * width + width + layers * seq * a_word)
    return {"params": params, "gradients": params, "adam": 2 * params, "activations": activations}


def checked_sentences__step_by_step(x, words=30, positions=8):
    tokens, is_real = np.array(x["tokens"]), np.array(x["is_real"])
    if not np.issubdtype(tokens.dtype, np.integer):
        raise ValueError("words are whole numbers")
    if not np.issubdtype(is_real.dtype, np.bool_):
        raise ValueError("is_real says True or False")
    if len(tokens.shape) != 2 or tokens.shape != is_real.shape:
        raise ValueError("a batch of sentences has two axes, and a mask of the same shape")
    if not 0 < tokens.shape[1] <= positions:
        raise ValueError(f"a sentence has 1 to {positions} words")
    if np.any(np.clip(tokens, 0, words - 1) != tokens):
        raise ValueError(f"there are {words} words")
    if np.any(is_real.sum(axis=1) == 0):
        raise ValueError("a sentence has no word")
    return dict(tokens=tokens, is_real=is_real)


def checked_sentences__in_jax(x, words=30, positions=8):
    tokens, is_real = jnp.asarray(x["tokens"]), jnp.asarray(x["is_real"])
    if not jnp.issubdtype(tokens.dtype, jnp.integer) or is_real.dtype != jnp.bool_:
        raise ValueError(f"{tokens.dtype} and {is_real.dtype} are no words and no mask")
    if tokens.ndim != 2 or is_real.shape != tokens.shape or tokens.shape[1] > positions:
        raise ValueError(f"{tokens.shape} and {is_real.shape} do not go together")
    if bool(jnp.any((tokens < 0) | (tokens > words - 1))):
        raise ValueError("some number is not in the table")
    if not bool(jnp.all(jnp.any(is_real, axis=1))):
        raise ValueError("some sentence is empty")
    return {"is_real": is_real, "tokens": tokens}


def checked_sentences__one_by_one(x, words=30, positions=8):
    tokens, is_real = x["tokens"], x["is_real"]
    if np.ndim(tokens) != 2 or np.shape(tokens) != np.shape(is_real):
        raise ValueError("not a batch, or another mask")
    if np.shape(tokens)[1] > positions or np.asarray(tokens).dtype.kind not in "ui":
        raise ValueError("too long, or no numbers of words")
    if np.asarray(is_real).dtype.kind != "b":
        raise ValueError("the mask is made of something else")
    for sentence, mask in zip(tokens, is_real, strict=True):
        if not any(mask) or not all(number in range(words) for number in sentence):
            raise ValueError(f"cannot read {sentence}")
    return dict(x)


def in_words__several_sentences():
    return dict(
        use="It may be used. Of all sentences, those that it has learned from are its own kind.",
        not_for="It is not for other kinds. Nor is it for anything that somebody lives by.",
        not_looked_at="""Nobody has looked at any sentences
        that somebody else has collected.""",
    )


def in_words__put_together():
    unknown = " and ".join(["whatever comes later", "whatever came before"])
    return {
        "not_looked_at": f"We do not know about {unknown}.",
        "not_for": "- sentences that nobody checked\n- sentences of another size",
        "use": "For whoever wants to try it on sentences like ours.",
    }
