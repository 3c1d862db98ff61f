"""What must stay true of the transformer."""

import math

import jax
import numpy as np
import pytest
from card import in_words
from costs import count_flops, count_memory
from data import checked_sentences, dummy_sentence_data, tokenise, wordpieces
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
from params import make_transformer_params, params_from_state_dict, published_params
from shapes import activation_shapes, param_shapes
from training import train
from uncertainty import (
    conformal_threshold,
    is_strange,
    paired_difference,
    second_strangeness,
    strangeness,
)


def test_layers_are_as_they_were():
    """nn_layer does with many rows at once what it did with one row of the autoencoder's."""
    weights, data = np.array([[1.0, -2.0], [0.5, 1.0]]), np.array([[[2.0, 4.0]], [[-1.0, 1.0]]])
    bias = np.array([0.5, -1.0])
    sums = data @ weights + bias  # one of them is below zero
    np.testing.assert_allclose(nn_layer(weights, data), sums - bias, rtol=1e-5, atol=1e-6)
    for name, expected in (
        (None, sums),
        ("relu", np.maximum(sums, 0)),
        ("tanh", np.tanh(sums)),
        ("sigmoid", 1 / (1 + np.exp(-sums))),
    ):
        np.testing.assert_allclose(nn_layer(weights, data, bias, name), expected, rtol=1e-5)


def sentences(*lengths):
    """Make up sentences of some lengths, of words numbered from 1 to 29."""
    is_real = np.arange(max(lengths)) < np.array(lengths)[:, None]
    tokens = np.random.default_rng(5).integers(1, 30, size=is_real.shape)
    return {"tokens": tokens * is_real, "is_real": is_real}


def test_shapes_and_lengths():
    """A sentence becomes a vector of width numbers, and its length is 1."""
    params = make_transformer_params(key=1, words=30, positions=5, width=4, inner=7, layers=1)
    vectors = transformer_model(params, sentences(5, 2, 3), heads=2)
    assert vectors.shape == (3, 4)
    np.testing.assert_allclose(np.sqrt(np.sum(vectors**2, axis=1)), 1, rtol=1e-5)


def test_layer_norm_has_spread_one():
    """Rows have the mean 0 and the spread 1 whatever they are, and eps is added to the variance."""
    params = {"weight": np.ones(5), "bias": np.zeros(5)}
    x = np.random.default_rng(1).normal(size=(2, 3, 5))
    for scale in (100.0, 1.0, 0.001):
        rows = np.asarray(layer_norm(params, scale * x + scale))
        np.testing.assert_allclose(rows.mean(axis=-1), 0, atol=1e-5)
        np.testing.assert_allclose(rows.std(axis=-1), 1, rtol=1e-4)
    params = {"weight": np.array([2.0, 6.0]), "bias": np.array([0.0, 1.0])}
    row = layer_norm(params, np.array([[4.0, 6.0]]), eps=3.0)
    np.testing.assert_allclose(row, [[-1, 4]], rtol=1e-5)  # -1 and 1 are divided by 2


def test_gelu_at_known_values():
    """gelu(x) is x times the share of a bell curve below x, as tables have it."""
    shares = {-3.0: 0.0013499, -1.0: 0.1586553, 0.0: 0.5, 0.5: 0.6914625, 2.0: 0.9772499}
    x = np.array(list(shares))
    np.testing.assert_allclose(gelu(x), x * np.array(list(shares.values())), atol=1e-6)


def test_padding_changes_nothing():
    """A padded sentence has the same vector as the bare one, whatever the padding."""
    params = make_transformer_params(key=1)
    tokens = np.array([[5, 9, 2, 0, 0], [5, 9, 2, 7, 1]])
    padded = {"tokens": tokens, "is_real": np.array([[True, True, True, False, False]] * 2)}
    bare = {"tokens": tokens[:1, :3], "is_real": np.ones((1, 3), dtype=bool)}
    expected = np.repeat(transformer_model(params, bare), 2, axis=0)
    np.testing.assert_allclose(transformer_model(params, padded), expected, rtol=1e-3, atol=1e-4)
    x = np.random.default_rng(2).normal(size=(1, 4, 3))
    means = pool(x, np.array([[True, True, False, False]]))
    np.testing.assert_allclose(means, (x[:, 0] + x[:, 1]) / 2, rtol=1e-4, atol=1e-5)


def test_word_order_shows_through_positions():
    """Words in another order are another sentence; without positions they would be the same."""
    params = make_transformer_params(key=1)
    is_real = np.ones((1, 4), dtype=bool)
    first = {"tokens": np.array([[3, 8, 4, 6]]), "is_real": is_real}
    other = {"tokens": np.array([[4, 6, 8, 3]]), "is_real": is_real}
    apart = transformer_model(params, first) - transformer_model(params, other)
    assert np.max(np.abs(apart)) > 0.01
    params = {**params, "position": {"weight": 0 * params["position"]["weight"]}}
    apart = transformer_model(params, first) - transformer_model(params, other)
    np.testing.assert_allclose(apart, 0, atol=1e-4)


def test_rows_do_not_mix():
    """A sentence has the same vector alone and among others."""
    params, x = make_transformer_params(key=1), sentences(3, 5, 4, 5)
    rows = [{name: part[row : row + 1] for name, part in x.items()} for row in range(4)]
    alone = np.concatenate([transformer_model(params, row) for row in rows])
    np.testing.assert_allclose(transformer_model(params, x), alone, rtol=1e-3, atol=1e-4)


def test_attention_by_hand():
    """Two words and one of padding are mixed as was worked out on paper."""
    root, zeros = math.sqrt(2), np.zeros(2)
    params = {
        "query": {
            "weight": root * np.array([[math.log(3), math.log(7)], [0, 0]]),
            "bias": zeros,
        },
        "key": {"weight": np.eye(2), "bias": zeros},
        "value": {"weight": np.array([[4.0, 0], [0, 8]]), "bias": np.array([0.0, 1])},
        "out": {"weight": np.array([[1.0, 1], [0, 1]]), "bias": np.array([0.5, 0])},
    }
    x = np.array([[[1.0, 0], [0, 1], [9, 9]]])
    mixed = attention(params, x, np.array([[True, True, False]]), heads=1)
    # scores: log 3 and 0 for the first word, log 7 and 0 for the second; values: (4, 1), (0, 9)
    # so weights 3/4 and 1/4, then 7/8 and 1/8; mixed: (3, 3), then (3.5, 2)
    np.testing.assert_allclose(mixed[:, :2], [[[6.5, 3], [6, 2]]], rtol=1e-5)


def drawn(shapes, rng):
    """Draw params of some shapes, no number of them like another."""
    if isinstance(shapes, tuple | list):
        return rng.normal(size=shapes)
    return {name: drawn(inside, rng) for name, inside in shapes.items()}


def test_heads_work_apart():
    """Two heads that each see half of the width give what two attentions of one head give."""
    rng = np.random.default_rng(1)
    names = ("query", "key", "value", "out")
    shape = {name: {"weight": (2, 2), "bias": (2,)} for name in names}
    halves = [drawn(shape, rng) for _ in range(2)]
    zeros = np.zeros((2, 2))
    both = {
        name: {
            "weight": np.block(
                [[halves[0][name]["weight"], zeros], [zeros, halves[1][name]["weight"]]]
            ),
            "bias": np.concatenate([half[name]["bias"] for half in halves]),
        }
        for name in names
    }
    x, is_real = rng.normal(size=(2, 3, 4)), np.array([[True, True, False], [True, True, True]])
    alone = [
        attention(half, part, is_real, 1)
        for half, part in zip(halves, (x[..., :2], x[..., 2:]), strict=True)
    ]
    together = attention(both, x, is_real, 2)
    np.testing.assert_allclose(together, np.concatenate(alone, axis=-1), rtol=1e-3, atol=1e-4)


def test_large_scores_are_no_trouble():
    """Where one word outdoes all others by far, it is the only one that is looked at."""
    params = {name: {"weight": np.eye(2), "bias": np.zeros(2)} for name in ("value", "out")}
    params |= {name: {"weight": 90 * np.eye(2), "bias": np.zeros(2)} for name in ("query", "key")}
    x = np.array([[[1.0, 0.0], [3.0, 1.0]]])
    mixed = attention(params, x, np.ones((1, 2), dtype=bool), heads=1)
    np.testing.assert_allclose(mixed, [[[3, 1], [3, 1]]], rtol=1e-5)


def test_a_word_that_may_not_be_looked_at_still_looks():
    """A row of padding in the middle is mixed from the real words too, and disturbs none."""
    params = drawn(param_shapes(layers=1)["layers"]["0"]["attention"], np.random.default_rng(3))
    x = np.random.default_rng(4).normal(size=(1, 3, 6))
    mixed = attention(params, x, np.array([[True, False, True]]), heads=3)
    bare = attention(params, x[:, [0, 2]], np.array([[True, True]]), heads=3)
    np.testing.assert_allclose(mixed[:, [0, 2]], bare, rtol=1e-3, atol=1e-4)
    moved = np.concatenate([x[:, :1], 1 + x[:, 1:2], x[:, 2:]], axis=1)
    again = attention(params, moved, np.array([[True, False, True]]), heads=3)
    assert np.max(np.abs(again[:, 1] - mixed[:, 1])) > 1e-3


def normed(row):
    """Give a row the mean 0 and the spread 1."""
    return (row - np.mean(row)) / np.std(row)


def test_block_by_hand():
    """One word in a block: it takes up its own value, and all is added and normalised twice."""
    params = drawn(
        param_shapes(width=4, inner=3, layers=1)["layers"]["0"], np.random.default_rng(5)
    )
    word = np.array([0.5, -1.25, 2.0, 0.25])
    row, part = word, params["attention"]
    value = part["value"]["weight"] @ word + part["value"]["bias"]
    row = normed(row + part["out"]["weight"] @ value + part["out"]["bias"])
    row = row * params["attention_norm"]["weight"] + params["attention_norm"]["bias"]
    inner = params["expand"]["weight"] @ row + params["expand"]["bias"]
    inner = [a * (1 + math.erf(a / math.sqrt(2))) / 2 for a in inner]
    row = normed(row + params["contract"]["weight"] @ inner + params["contract"]["bias"])
    row = row * params["output_norm"]["weight"] + params["output_norm"]["bias"]
    ours = transformer_block(params, word[None, None], np.array([[True]]), 1)
    np.testing.assert_allclose(ours, [[row]], rtol=1e-3, atol=1e-5)


def test_embed_by_hand():
    """What a word is and where it stands are added, and then normalised."""
    params = drawn(param_shapes(words=4, positions=3, width=5, layers=1), np.random.default_rng(6))
    tokens = np.array([[3, 0], [1, 3]])
    rows = embed(params, tokens)
    norm = params["embedding_norm"]
    for sentence in range(2):
        for place in range(2):
            word = params["word"]["weight"][tokens[sentence, place]]
            row = normed(word + params["position"]["weight"][place])
            expected = row * norm["weight"] + norm["bias"]
            np.testing.assert_allclose(rows[sentence, place], expected, rtol=1e-3, atol=1e-5)


def test_mean_by_hand():
    """Each sentence is divided by the number of its own words."""
    x = np.array([[[1.0, 10.0], [3.0, 50.0]], [[5.0, -2.0], [100.0, 100.0]]])
    means = pool(x, np.array([[True, True], [True, False]]))
    np.testing.assert_allclose(means, [[2, 30], [5, -2]], rtol=1e-5)


def test_model_by_hand():
    """Blocks run in the order of their numbers, between embed and pool."""
    params = drawn(param_shapes(layers=3), np.random.default_rng(7))
    params["layers"] = {number: params["layers"][number] for number in ("2", "0", "1")}
    x = sentences(4, 2, 5)
    rows = embed(params, x["tokens"])
    for number in ("0", "1", "2"):
        rows = transformer_block(params["layers"][number], rows, x["is_real"], 2)
    means = np.asarray(pool(rows, x["is_real"]))
    expected = means / np.linalg.norm(means, axis=1, keepdims=True)
    ours = transformer_model(params, x, heads=2)
    np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-4)
    three = transformer_model(params, x, heads=3)
    np.testing.assert_allclose(transformer_model(params, x), three, rtol=1e-3, atol=1e-4)
    assert np.max(np.abs(three - ours)) > 1e-3


def test_single_words_have_vectors():
    """A sentence of one word is a sentence like others."""
    x = {"tokens": np.array([[4]]), "is_real": np.array([[True]])}
    vector = transformer_model(make_transformer_params(key=1), x)
    np.testing.assert_allclose(np.sum(vector**2), 1, rtol=1e-5)


def test_tiny_rows_keep_their_size():
    """Rows far smaller than the root of eps stay small: 1e-12 unless another eps is given."""
    params = {"weight": np.ones(2), "bias": np.zeros(2)}
    x = np.array([[-1e-6, 1e-6]])
    np.testing.assert_allclose(layer_norm(params, x), x * 1e6 / math.sqrt(2), rtol=1e-3)


def test_initial_values_fill_their_bounds():
    """Layers start within 1 / sqrt(in_features), tables with spread 1, norms as ones and zeros."""
    trees = [make_transformer_params(key, 9, 7, 6, 5, 1) for key in range(50)]
    block = param_shapes(9, 7, 6, 5, 1)["layers"]["0"]
    layers = {name: ("attention", name) for name in block["attention"]}
    layers |= {"expand": ("expand",), "contract": ("contract",)}
    for name, path in layers.items():
        for kind in ("weight", "bias"):
            values = []
            for tree in trees:
                inside = tree["layers"]["0"]
                for part in path:
                    inside = inside[part]
                values.append(inside[kind])
            values = np.array(values) * (5 if name == "contract" else 6) ** 0.5
            assert 0.85 < np.max(values) < 1.00001, (name, kind)
            assert -1.00001 < np.min(values) < -0.85, (name, kind)
            assert 0.5 < np.std(values) < 0.65, (name, kind)  # 1 / sqrt(3)
    for name in ("word", "position"):
        values = np.array([tree[name]["weight"] for tree in trees])
        assert 0.9 < np.std(values) < 1.1 and np.max(np.abs(values)) > 2.5
    for norm in (trees[0]["embedding_norm"], trees[0]["layers"]["0"]["output_norm"]):
        np.testing.assert_array_equal(norm["weight"], np.ones(6))
        np.testing.assert_array_equal(norm["bias"], np.zeros(6))


def leaves(tree):
    """List the arrays of nested params, constants left out."""
    if not isinstance(tree, dict):
        return [np.asarray(tree)]
    return [leaf for name, part in tree.items() if "norm" not in name for leaf in leaves(part)]


def test_every_initial_value_is_its_own_draw():
    """No two initial values are equal, but for those of the norms."""
    values = np.concatenate([leaf.ravel() for leaf in leaves(make_transformer_params(key=1))])
    assert len(np.unique(np.round(values, 12))) > 0.999 * len(values)


def test_keys_matter():
    """A key draws the same values every time, another key others; without one it is 0."""
    first, again, other = (leaves(make_transformer_params(key)) for key in (1, 1, 2))
    for one, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one, same)
        assert not np.allclose(one, different)
    zero, default = leaves(make_transformer_params(0)), leaves(make_transformer_params())
    for one, same in zip(zero, default, strict=True):
        np.testing.assert_array_equal(one, same)


def shapes_of(tree):
    """Give the shapes of nested arrays."""
    if isinstance(tree, dict):
        return {name: shapes_of(part) for name, part in tree.items()}
    return tuple(np.shape(tree))


def test_params_have_the_shapes_of_param_shapes():
    """What is drawn has the shapes that the sizes ask for, and by default those of the original."""
    params = make_transformer_params(2, 9, 7, 6, 5, 1)
    assert shapes_of(params) == param_shapes(words=9, positions=7, width=6, inner=5, layers=1)
    sizes = {"words": 30, "positions": 8, "width": 6, "inner": 10, "layers": 2}
    assert shapes_of(make_transformer_params()) == param_shapes() == param_shapes(**sizes)


def test_param_shapes_follow_the_sizes():
    """A weight is (out_features, in_features), a table (rows, width), a norm (width,)."""
    shapes = param_shapes(words=9, positions=7, width=6, inner=5, layers=3)
    assert shapes["word"]["weight"] == (9, 6) and shapes["position"]["weight"] == (7, 6)
    assert shapes["embedding_norm"] == {"weight": (6,), "bias": (6,)}
    assert list(shapes["layers"]) == ["0", "1", "2"]
    square = {"weight": (6, 6), "bias": (6,)}
    for block in shapes["layers"].values():
        assert block["attention"] == dict.fromkeys(("query", "key", "value", "out"), square)
        assert block["expand"] == {"weight": (5, 6), "bias": (5,)}
        assert block["contract"] == {"weight": (6, 5), "bias": (6,)}
        for norm in ("attention_norm", "output_norm"):
            assert block[norm] == {"weight": (6,), "bias": (6,)}


def test_activation_shapes_follow_the_sizes():
    """Heads split the width, scores are for each word and each word that it looks at."""
    shapes = activation_shapes(5, 7, width=12, inner=10, heads=3)
    assert shapes == {
        "embed": (5, 7, 12),
        "query": (5, 3, 7, 4),
        "scores": (5, 3, 7, 7),
        "mixed": (5, 3, 7, 4),
        "out": (5, 7, 12),
        "expand": (5, 7, 10),
        "contract": (5, 7, 12),
        "pool": (5, 12),
    }
    assert activation_shapes(5, 7) == activation_shapes(5, 7, width=6, inner=10, heads=3)


def test_state_dict_keeps_every_array():
    """Every array of a state_dict is found under the parts of its name, as it was."""
    state_dict = {
        "word.weight": np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
        "layers.0.attention.query.weight": np.array([[7.0, 8.0, 9.0]]),
        "layers.0.attention.query.bias": np.array([1 / 3]),
        "layers.1.output_norm.bias": np.array([11.0, 12.0]),
    }
    with jax.enable_x64(True):
        params = params_from_state_dict(state_dict)
    attention_0 = params["layers"]["0"]["attention"]
    assert set(params) == {"word", "layers"} and set(params["layers"]) == {"0", "1"}
    assert set(attention_0["query"]) == {"weight", "bias"}
    ours = (
        params["word"]["weight"],
        attention_0["query"]["weight"],
        attention_0["query"]["bias"],
        params["layers"]["1"]["output_norm"]["bias"],
    )
    for array, value in zip(ours, state_dict.values(), strict=True):
        np.testing.assert_array_equal(array, value)


BERT = {  # our name of a part of a block -> BERT's
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.out": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "expand": "intermediate.dense",
    "contract": "output.dense",
    "output_norm": "output.LayerNorm",
}


def test_published_params_find_their_places():
    """Every array of a BERT encoder is found under our names, token type 0 with the positions."""
    rng = np.random.default_rng(1)
    theirs = {
        f"encoder.layer.{number}.{name}.{kind}": rng.normal(size=shape)
        for number in range(3)
        for name in BERT.values()
        for kind, shape in (("weight", (2, 3)), ("bias", 2))
    }
    tables = {name: rng.normal(size=(4, 3)) for name in ("word", "position", "token_type")}
    theirs |= {f"embeddings.{name}_embeddings.weight": table for name, table in tables.items()}
    theirs |= {f"embeddings.LayerNorm.{kind}": rng.normal(size=3) for kind in ("weight", "bias")}
    ours = published_params({**theirs, "embeddings.position_ids": np.arange(4)[None]})
    assert set(ours) == {"word", "position", "embedding_norm", "layers"}
    np.testing.assert_array_equal(ours["word"]["weight"], tables["word"])
    added = tables["position"] + tables["token_type"][0]
    np.testing.assert_allclose(ours["position"]["weight"], added, rtol=1e-6)
    for kind in ("weight", "bias"):
        norm = theirs[f"embeddings.LayerNorm.{kind}"]
        np.testing.assert_array_equal(ours["embedding_norm"][kind], norm)
    assert set(ours["layers"]) == {"0", "1", "2"}
    for number, block in ours["layers"].items():
        for name, bert in BERT.items():
            first, _, second = name.partition(".")
            layer = block[first][second] if second else block[first]
            for kind in ("weight", "bias"):
                expected = theirs[f"encoder.layer.{number}.{bert}.{kind}"]
                np.testing.assert_array_equal(layer[kind], expected)


def test_sentences_come_in_pairs():
    """Made-up sentences are padded at their end, and the two of a pair all but the same."""
    x, y = dummy_sentence_data(key=1, batch=200, seq=5, words=9)
    tokens, is_real = x["tokens"], x["is_real"]
    assert tokens.shape == is_real.shape == (200, 5) and y.shape == (200,)
    np.testing.assert_array_equal(y[:4], [1, 0, 3, 2])
    np.testing.assert_array_equal(y[y], np.arange(200))
    lengths = np.sum(is_real, axis=1)
    np.testing.assert_array_equal(is_real, np.arange(5) < lengths[:, None])
    np.testing.assert_array_equal(lengths, lengths[y])
    assert set(lengths.tolist()) == {3, 4, 5}
    apart = tokens != tokens[y]
    assert set(tokens[is_real & ~apart].tolist()) == set(range(1, 9))
    assert np.all(tokens[~is_real] == 0)
    assert np.max(np.sum(apart, axis=1)) == 1 and np.mean(np.any(apart, axis=1)) > 0.7
    for length in (3, 4, 5):
        assert np.all(np.any(apart[lengths == length], axis=0)[:length])
    assert len(set(tokens[::2][apart[::2]].tolist())) == 8
    assert len(np.unique(tokens[::2], axis=0)) > 50


def test_sentences_follow_their_key():
    """A key makes up the same 8 sentences every time, another key others; without one it is 0."""
    drawn_twice = [dummy_sentence_data(key) for key in (1, 1, 2)]
    (first, y), (again, _), (other, _) = drawn_twice
    assert first["tokens"].shape == (8, 6) and len(y) == 8
    np.testing.assert_array_equal(first["tokens"], again["tokens"])
    assert not np.array_equal(first["tokens"], other["tokens"])
    zero, default = dummy_sentence_data(0, 8, 6, 30), dummy_sentence_data()
    np.testing.assert_array_equal(zero[0]["tokens"], default[0]["tokens"])


def test_longest_pieces_come_first():
    """Words are cut from the left, into pieces as long as there are."""
    vocabulary = {"[UNK]": 5, "a": 6, "ab": 7, "##b": 8, "##ba": 9, "b": 10, "##a": 11, "##c": 12}
    cut = {"a": [6], "ab": [7], "aba": [7, 11], "abba": [7, 9], "bb": [10, 8], "bc": [10, 12]}
    for word, numbers in {**cut, "abx": [5], "xa": [5], "ca": [5]}.items():
        assert list(wordpieces(word, vocabulary)) == numbers, word


def test_sentences_become_numbers():
    """Words and punctuation are cut apart, in lower case, without accents, and padded."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "cafe", "new", ".", "$", "s", "##s", "5", "\u4eac"]
    vocabulary = {word: 10 + number for number, word in enumerate(words)}
    vocabulary["[PAD]"] = 0
    texts = ["News.", "  Caf\u00e9s\tNEW\u0000 ", "$5 \u4eac\u4eacnew", "s" * 101, ""]
    x = tokenise(texts, vocabulary)
    rows = [[15, 19, 16], [14, 19, 15], [17, 20, 21, 21, 15], [11], []]
    assert x["tokens"].shape == x["is_real"].shape == (5, 7)
    for row, numbers in enumerate(rows):
        length = len(numbers) + 2
        assert x["tokens"][row].tolist() == [12, *numbers, 13] + [0] * (7 - length)
        assert x["is_real"][row].tolist() == [True] * length + [False] * (7 - length)
    assert tokenise(["s" * 100], vocabulary, longest=5)["tokens"].tolist() == [[12, 18, 19, 19, 13]]
    assert tokenise(["new " * 300], vocabulary)["tokens"].shape == (1, 256)
    assert tokenise(["new!~\ufffdnew\u2019"], vocabulary)["tokens"].shape == (1, 7)


def vectors_themselves(params, x):
    """Be a model whose params are the vectors of its sentences."""
    return params["vectors"] + x["shift"]


def test_loss_by_hand():
    """Four vectors have the loss that was worked out on paper, and no one is its own partner."""
    params = {"vectors": np.array([[1.0, 0], [0.05, 0], [0, 1], [0, 0]])}
    x = {"shift": np.array([0.0, 0.0])}
    # scores between them: 1 for the first two, 0 for all others
    e = math.e
    losses = [math.log(e + 2) - 1, math.log(e + 2) - 0, math.log(3), math.log(3)]
    loss = contrastive_loss(params, vectors_themselves, x, np.array([1, 2, 3, 0]))
    np.testing.assert_allclose(loss, np.mean(losses), rtol=1e-4)
    shifted = {"shift": np.array([0.0, 0.5])}
    other = contrastive_loss(params, vectors_themselves, shifted, np.array([1, 2, 3, 0]))
    assert abs(other - loss) > 0.1


def test_loss_of_far_vectors():
    """Where scores are in the thousands, the loss and its gradient are numbers still."""
    params = {"vectors": np.array([[30.0, 0], [0, 30], [30, 30]])}
    x, y = {"shift": np.zeros(2)}, np.array([2, 2, 0])
    loss, grads = jax.value_and_grad(contrastive_loss)(params, vectors_themselves, x, y)
    np.testing.assert_allclose(loss, math.log(2) / 3, rtol=1e-3)
    assert np.all(np.isfinite(grads["vectors"]))


def test_training_lowers_the_loss():
    """A few steps of training end on a lower loss than they start from."""
    params, (x, y) = make_transformer_params(), dummy_sentence_data()
    start_loss = contrastive_loss(params, transformer_model, x, y)
    params, losses = train(params, transformer_model, contrastive_loss, x, y, steps=20)
    assert len(losses) == 20
    assert contrastive_loss(params, transformer_model, x, y) < start_loss


def test_every_parameter_receives_gradient():
    """No parameter is left out of training, but the key's bias: it moves all scores alike."""
    x, y = dummy_sentence_data()
    grads = jax.grad(contrastive_loss)(make_transformer_params(), transformer_model, x, y)
    for path, values in jax.tree.leaves_with_path(grads):
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        if not name.endswith("key.bias"):
            assert np.max(np.abs(values)) > 1e-5, name


def test_one_batch_can_be_overfitted():
    """Eight sentences are few enough to be told apart almost for sure."""
    params, (x, y) = make_transformer_params(), dummy_sentence_data()
    _, losses = train(params, transformer_model, contrastive_loss, x, y, steps=200, step_size=0.01)
    assert losses[-1] < 0.1 * losses[0]


def lookup_model(positions=3):
    """Make a model without blocks, whose words 1 and 2, and 2 and 3, are the root of 8 apart."""
    signs = [[1, -1, -1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [-1, -1, 1, 1]]  # 1 and 3 are 4 apart
    return {
        "word": {"weight": np.array(signs, dtype=float)},
        "position": {"weight": np.zeros((positions, 4))},
        "embedding_norm": {"weight": np.ones(4), "bias": np.zeros(4)},
        "layers": {},
    }


def test_strangeness_is_a_mean_over_words():
    """Each word goes to its nearest known one, and padding is no word, here or there."""
    known = {"tokens": np.array([[1, 2, 3]]), "is_real": np.array([[True, True, False]])}
    is_real = np.array([[True, True, True], [True, False, False]])
    x = {"tokens": np.array([[1, 2, 3], [3, 1, 1]]), "is_real": is_real}
    expected = np.sqrt(8) * np.array([1 / 3, 1])
    np.testing.assert_allclose(strangeness(lookup_model(), x, known), expected, atol=1e-4)


def test_strangeness_is_that_of_the_last_block():
    """Rows that leave the last block twice as large are twice as far apart."""
    params, x, known = make_transformer_params(key=1), sentences(3, 5), sentences(2, 4, 1)
    last = params["layers"]["1"]
    norm = {**last["output_norm"], "weight": 2 * last["output_norm"]["weight"]}
    wider = {**params, "layers": {**params["layers"], "1": {**last, "output_norm": norm}}}
    expected = 2 * strangeness(params, x, known)
    np.testing.assert_allclose(strangeness(wider, x, known), expected, rtol=1e-3, atol=1e-3)


def test_heads_count_for_strangeness():
    """Three heads are the default, and another number gives other rows."""
    params, x, known = make_transformer_params(key=1), sentences(3, 5), sentences(2, 4, 1)
    usual = strangeness(params, x, known)
    np.testing.assert_allclose(strangeness(params, x, known, 3), usual, rtol=1e-4)
    assert np.max(np.abs(strangeness(params, x, known, 2) - usual)) > 1e-3


def tenths(*shares):
    """Make sentences of 20 words, of which such shares are word 2, and the others word 1."""
    tokens = np.where(np.arange(20) < 20 * np.array(shares)[:, None] - 0.5, 2, 1)
    return {"tokens": tokens, "is_real": np.ones_like(tokens, dtype=bool)}


def test_strange_is_beyond_the_threshold():
    """Of nine scores from 0.1 to 0.9, two in ten may be above 0.8, and one in ten above 0.9."""
    params, known = lookup_model(20), tenths(0)
    calibration, x = tenths(*np.arange(1, 10) / 10), tenths(0.85, 0.75, 0.05, 0.95)
    is_above = {0.8: [True, False, False, True], 0.9: [False, False, False, True]}
    np.testing.assert_array_equal(is_strange(params, x, known, calibration, 0.2), is_above[0.8])
    np.testing.assert_array_equal(is_strange(params, x, known, calibration), is_above[0.9])


def test_a_sentence_alone_is_as_strange_as_in_company():
    """What comes with a sentence does not decide whether it is strange."""
    params, calibration = lookup_model(20), tenths(*np.arange(1, 10) / 10)
    assert is_strange(params, tenths(0.95), tenths(0), calibration)[0]


def test_where_all_scores_are_equal_nothing_is_strange():
    """A model whose parameters are zero makes the same of every word."""
    params = jax.tree.map(np.zeros_like, make_transformer_params())
    x, known, calibration = sentences(3, 5), sentences(2, 4), sentences(4, 2, 3, 5, 1, 4)
    assert not np.any(is_strange(params, x, known, calibration, 0.3))


def test_heads_count_for_the_verdict():
    """Three heads are the default: with them the verdict is what the two scores say."""
    params = make_transformer_params(key=1)
    x, known, calibration = sentences(*[3, 5, 2, 4] * 5), sentences(2, 4), sentences(*[3, 4] * 9)
    for heads, said in (
        (3, is_strange(params, x, known, calibration, 0.5)),
        (2, is_strange(params, x, known, calibration, 0.5, 2)),
    ):
        limit = conformal_threshold(strangeness(params, calibration, known, heads), 0.5)
        np.testing.assert_array_equal(said, strangeness(params, x, known, heads) > limit)


def test_second_score_is_the_energy():
    """The word 1 has the product 1 with itself, 0 with the word 2 and -1 with the word 3."""
    one_word = np.array([[1], [1], [2], [3]])
    x = {"tokens": one_word, "is_real": np.ones_like(one_word, dtype=bool)}
    known = {name: part[:3] for name, part in x.items()}
    near = -20 - np.log([2, 2, 1])
    found = second_strangeness(lookup_model(), x, known)
    np.testing.assert_allclose(found, [*near, 0], atol=1e-4)


def test_heads_count_for_the_second_score():
    """The only known sentence has the energy -20, with any number of heads; 3 are the default."""
    params, x, known = make_transformer_params(key=1), sentences(3, 5), sentences(4)
    for heads in (3, 2):
        found = second_strangeness(params, known, known, heads)
        np.testing.assert_allclose(found, [-20], rtol=1e-4)
    usual = second_strangeness(params, x, known)
    np.testing.assert_allclose(second_strangeness(params, x, known, 3), usual, rtol=1e-4)
    assert np.max(np.abs(second_strangeness(params, x, known, 2) - usual)) > 1e-3


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
    """One block of one number a word: 6 weights, and 4 numbers in the products between them."""
    assert count_flops(1, 2, width=1, inner=1, layers=1) == {"forward": 40, "train_step": 126}
    by_hand = {"forward": 9600, "train_step": 3 * (9600 + 72)}
    assert count_flops(3, 5, width=4, inner=7, layers=2) == by_hand
    assert count_flops(3, 5) == count_flops(3, 5, width=6, inner=10, layers=2)


def test_memory_by_hand():
    """There are 56 parameters before the blocks and 154 in each; 32 numbers leave, and 216."""
    held = {"params": 1456, "gradients": 1456, "adam": 2912, "activations": 1856}
    assert count_memory(2, 3, words=5, positions=7, width=4, inner=6, heads=2, layers=2) == held
    usual = count_memory(2, 3, words=30, positions=8, width=6, inner=10, heads=3, layers=2)
    assert count_memory(2, 3) == usual


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


def test_sentences_in_order_come_back():
    """The first word of the table and the last, none at all, and usual sizes unless told."""
    x = {"tokens": np.array([[0, 4, 2]]), "is_real": np.array([[True, True, False]])}
    for part, value in checked_sentences(x, words=5, positions=3).items():
        np.testing.assert_array_equal(value, x[part])
    assert checked_sentences({name: part[:0] for name, part in x.items()})["tokens"].shape == (0, 3)
    for words, seq, is_fine in ((30, 8, True), (31, 8, False), (30, 9, False)):
        x = {"tokens": np.full((2, seq), words - 1), "is_real": np.ones((2, seq), dtype=bool)}
        if is_fine:
            assert checked_sentences(x)["is_real"].shape == (2, seq)
        else:
            with pytest.raises(ValueError):
                checked_sentences(x)


def test_a_wrong_number_is_refused():
    """In the last sentence as in the first, in padding as in a word, and as a float at all."""
    for place in (0, 2):
        for wrong in (-1, 5, 99):
            x = {"tokens": np.ones((2, 3), dtype=int), "is_real": np.arange(3) < [[3], [2]]}
            x["tokens"][1, place] = wrong
            with pytest.raises(ValueError):
                checked_sentences(x, words=5, positions=3)
    with pytest.raises(ValueError):
        checked_sentences({**x, "tokens": np.ones((2, 3))}, words=5, positions=3)


def test_another_mask_is_refused():
    """It is of the same shape, says True or False, and True once in every sentence."""
    tokens = np.ones((2, 3), dtype=int)
    one_empty = np.array([[True] * 3, [False] * 3])
    for is_real in (one_empty, one_empty[:1], one_empty[:1, :1], np.ones((2, 3), dtype=int)):
        with pytest.raises(ValueError):
            checked_sentences({"tokens": tokens, "is_real": is_real}, words=5, positions=3)


def test_another_shape_is_refused():
    """Two axes, of at most as many words as there are positions."""
    for shape in ((3,), (2, 4), (2, 3, 1), (2, 0)):
        x = {"tokens": np.ones(shape, dtype=int), "is_real": np.ones(shape, dtype=bool)}
        with pytest.raises(ValueError):
            checked_sentences(x, words=5, positions=3)


def test_the_card_says_three_things():
    """Where the model may be used, where not, and what was not looked at, in five words or more."""
    said = in_words()
    assert sorted(said) == ["not_for", "not_looked_at", "use"]
    assert all(len(sentence.split()) >= 5 for sentence in said.values())
    assert len({*said.values()}) == 3
