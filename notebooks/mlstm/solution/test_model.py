"""What must stay true of the multiplicative LSTM."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from card import in_words
from costs import count_flops, count_memory
from data import checked_proteins, dummy_protein_data, encode_proteins, next_letters
from losses import next_letter_loss
from model import mlstm_layer, mlstm_model, mlstm_step, normalise, read, representation
from params import make_mlstm_params, params_from_state_dict, published_params
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
    """There is an h for each letter, and there are 25 scores; one representation a protein."""
    params = make_mlstm_params(key=1, embedding=4, units=3, layers=2)
    letters = np.array([[24, 1, 2, 3, 4], [24, 5, 6, 0, 0]])
    hidden, h, c = read(params, letters)
    assert hidden.shape == (2, 5, 3)
    assert h.shape == c.shape == (2, 3)
    assert mlstm_model(params, letters).shape == (2, 5, 25)
    assert [part.shape for part in representation(params, letters)] == [(2, 3)] * 3


def test_columns_have_the_length_of_their_gain():
    """Each column of a normalised weight is as long as its gain, and keeps its direction."""
    weight = np.random.default_rng(1).normal(size=(5, 3))
    gain = np.array([1.0, 2.0, 0.5])
    ours = normalise(weight, gain)
    np.testing.assert_allclose(np.sqrt(np.sum(ours**2, axis=0)), gain, rtol=1e-5)
    np.testing.assert_allclose(ours / ours[0], weight / weight[0], rtol=1e-4)


def test_padding_changes_nothing():
    """A protein that is padded has the representation of the bare one, in all three ways."""
    params = make_mlstm_params(key=1)
    bare = np.array([[24, 3, 1, 4]])
    padded = np.array([[24, 3, 1, 4, 0, 0, 0], [24, 7, 8, 9, 10, 11, 12]])
    for ours, theirs in zip(
        representation(params, padded), representation(params, bare), strict=True
    ):
        np.testing.assert_allclose(ours[:1], theirs, rtol=1e-4, atol=1e-6)


def test_proteins_do_not_mix():
    """Each protein is read alone: its neighbours in the batch change nothing."""
    params = make_mlstm_params(key=1)
    letters = np.array([[24, 3, 1, 4, 7], [24, 5, 9, 0, 0], [24, 2, 6, 11, 0]])
    for ours, *alone in zip(
        representation(params, letters),
        *(representation(params, row[None]) for row in letters),
        strict=True,
    ):
        np.testing.assert_allclose(ours, np.concatenate(alone), rtol=1e-4, atol=1e-6)


def test_the_past_alone_counts():
    """A letter changes what is said at its place and after it, and nothing before."""
    params = make_mlstm_params(key=1)
    letters = np.array([[24, 3, 1, 4, 7, 2]])
    changed = np.array([[24, 3, 1, 9, 7, 2]])
    ours, theirs = mlstm_model(params, letters), mlstm_model(params, changed)
    np.testing.assert_allclose(ours[:, :3], theirs[:, :3], rtol=1e-5, atol=1e-6)
    for place in (3, 4, 5):
        assert not np.allclose(ours[:, place], theirs[:, place], atol=1e-6)


def test_the_order_of_letters_counts():
    """Two letters that swap their places change what is said in the end."""
    params = make_mlstm_params(key=1)
    hidden, _, _ = read(params, np.array([[24, 3, 1, 4], [24, 1, 3, 4]]))
    assert not np.allclose(hidden[0, 3], hidden[1, 3], atol=1e-6)


def test_a_step_by_hand():
    """One unit, one number read: h and c are those worked out on paper."""
    weights = {
        "wmx": np.array([[2.0]]),
        "wmh": np.array([[0.5]]),
        "wx": np.array([[1.0, -1.0, 0.5, 2.0]]),
        "wh": np.array([[0.5, 1.0, -2.0, 1.0]]),
        "b": np.array([0.1, 0.2, 0.3, -0.4]),
    }
    x, h, c = np.array([[0.5]]), np.array([[-0.8]]), np.array([[2.0]])
    # m is 2 * 0.5 times 0.5 * -0.8, so -0.4
    i = 1 / (1 + math.exp(-(0.5 - 0.2 + 0.1)))
    f = 1 / (1 + math.exp(-(-0.5 - 0.4 + 0.2)))
    o = 1 / (1 + math.exp(-(0.25 + 0.8 + 0.3)))
    u = math.tanh(1.0 - 0.4 - 0.4)
    memory = f * 2.0 + i * u
    said, remembered = mlstm_step(weights, x, h, c)
    np.testing.assert_allclose(remembered, [[memory]], rtol=1e-5)
    np.testing.assert_allclose(said, [[o * math.tanh(memory)]], rtol=1e-5)


def test_a_column_of_zeros_stays():
    """Columns next to nothing are not blown up to length 1, and zeros stay zeros."""
    weight = np.array([[0.0, 3e-7, 3e-6], [0.0, 4e-7, 4e-6]])
    ours = normalise(weight, np.ones(3))
    np.testing.assert_allclose(ours, [[0, 0.3, 0.6], [0, 0.4, 0.8]], rtol=1e-4)


def test_a_layer_starts_from_nothing():
    """The first h of a layer is a step from zeros, with weights of the length of their gains."""
    layer = make_mlstm_params(key=1, embedding=4, units=3)["mlstm"]["0"]
    layer = {**layer, "wmx": 3 * layer["wmx"], "gx": 2 * layer["gx"], "b": layer["b"] + 0.5}
    x = np.random.default_rng(2).normal(size=(2, 1, 4))
    hidden, h, c = mlstm_layer(layer, x, np.ones((2, 1), dtype=bool))
    weights = {w: normalise(layer[w], layer[f"g{w[1:]}"]) for w in ("wmx", "wmh", "wx", "wh")}
    nothing = np.zeros((2, 3))
    said, remembered = mlstm_step({**weights, "b": layer["b"]}, x[:, 0], nothing, nothing)
    np.testing.assert_allclose(hidden[:, 0], said, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(h, said, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(c, remembered, rtol=1e-4, atol=1e-6)


def test_all_weights_count_in_the_second_step():
    """Every weight and gain of a layer changes what it says after two letters."""
    layer = make_mlstm_params(key=1, embedding=4, units=3)["mlstm"]["0"]
    x = np.random.default_rng(2).normal(size=(1, 2, 4))
    is_real = np.ones((1, 2), dtype=bool)
    before, _, _ = mlstm_layer(layer, x, is_real)
    for name, value in layer.items():
        change = np.random.default_rng(3).normal(size=value.shape)
        after, _, _ = mlstm_layer({**layer, name: value + change}, x, is_real)
        assert np.abs(after[0, 1] - before[0, 1]).max() > 1e-4, name


def test_letters_have_rows_of_their_own():
    """The model reads row k of the embedding for the letter k, whichever it is."""
    params = make_mlstm_params(key=1)
    weight = np.array(params["embedding"]["weight"])
    before = mlstm_model(params, np.arange(1, 26)[:, None])
    for letter in range(1, 26):
        other = weight.copy()
        other[letter] += 1
        after = mlstm_model({**params, "embedding": {"weight": other}}, np.arange(1, 26)[:, None])
        changed = np.abs(after - before).max(axis=(1, 2)) > 1e-6
        assert list(np.flatnonzero(changed) + 1) == [letter]


def test_scores_are_a_dense_layer_of_what_is_said():
    """Scores come from h, weight and bias of dense alone, without bounds."""
    params = make_mlstm_params(key=1, embedding=4, units=3)
    dense = {"weight": 10.0 * np.arange(75.0).reshape(25, 3), "bias": np.arange(25.0) - 12}
    params = {**params, "dense": dense}
    letters = np.array([[24, 3, 1], [24, 5, 0]])
    hidden, _, _ = read(params, letters)
    expected = hidden @ dense["weight"].T + dense["bias"]
    np.testing.assert_allclose(mlstm_model(params, letters), expected, rtol=1e-3, atol=1e-3)


def test_representation_is_a_mean_and_two_ends():
    """The first is the mean of h over the real letters, start included; then the last h and c."""
    params = make_mlstm_params(key=1)
    letters = np.array([[24, 3, 1, 4], [24, 5, 0, 0]])
    hidden, h, c = read(params, letters)
    mean, last_h, last_c = representation(params, letters)
    expected = [np.mean(hidden[0], axis=0), np.mean(hidden[1, :2], axis=0)]
    np.testing.assert_allclose(mean, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(last_h, h, rtol=1e-5)
    np.testing.assert_allclose(last_c, c, rtol=1e-5)
    np.testing.assert_allclose(last_h[1], hidden[1, 1], rtol=1e-4, atol=1e-6)


def test_layers_are_read_from_the_first_to_the_last():
    """Three layers read one after the other, the first the embedded letters."""
    params = make_mlstm_params(key=1, embedding=4, units=3, layers=3)
    letters = np.array([[24, 3, 1], [24, 5, 0]])
    hidden = np.asarray(params["embedding"]["weight"])[letters]
    for number in ("0", "1", "2"):
        hidden, h, c = mlstm_layer(params["mlstm"][number], hidden, letters > 0)
    ours = read(params, letters)
    for one, other in zip(ours, (hidden, h, c), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_initial_values_fill_their_bounds():
    """Weights reach the bound of their rule on both sides; gains are one, and b is zero."""
    drawn = [make_mlstm_params(key, embedding=7, units=5, layers=2) for key in range(80)]
    for path, _ in jax.tree.leaves_with_path(drawn[0]):
        values = []
        for tree in drawn:
            for part in path:
                tree = tree[part.key]
            values.append(np.asarray(tree))
        values, name = np.array(values), path[-1].key
        if path[0].key == "mlstm" and (name == "b" or name.startswith("g")):
            assert np.all(values == (0 if name == "b" else 1))
            continue
        shape = values.shape[1:]
        bound = 5**-0.5 if path[0].key == "dense" else (6 / sum(shape)) ** 0.5
        assert 0.9 * bound < np.max(values) < 1.00001 * bound
        assert 0.9 * bound < -np.min(values) < 1.00001 * bound
        assert 0.5 < np.std(values) / bound < 0.65


def test_every_initial_value_is_its_own_draw():
    """No two values that are drawn are equal, in no two layers."""
    params = make_mlstm_params(1, embedding=5, units=5, layers=3)
    drawn = [params["embedding"]["weight"], params["dense"]["weight"], params["dense"]["bias"]]
    drawn += [layer[w] for layer in params["mlstm"].values() for w in ("wmx", "wmh", "wx", "wh")]
    values = np.concatenate([np.ravel(array) / np.max(np.abs(array)) for array in drawn])
    signs = np.abs(values) < 1  # the largest of each is 1 by the division
    assert len(np.unique(np.round(values[signs], 7))) > 0.999 * np.sum(signs)


def test_keys_matter():
    """A key draws the same values every time, and another key draws others."""
    first, again, default, other = (
        np.asarray(params["mlstm"]["1"]["wx"])
        for params in (
            make_mlstm_params(0),
            make_mlstm_params(0),
            make_mlstm_params(),
            make_mlstm_params(2),
        )
    )
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, default)
    assert not np.allclose(first, other)


def test_state_dict_keeps_every_array():
    """Every array of a state_dict is found at the end of its path, as it was."""
    state_dict = {
        "embedding.weight": np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
        "mlstm.0.wmx": np.array([[7.0, 8.0, 9.0]]),
        "mlstm.0.b": np.array([10.0]),
        "mlstm.1.wmx": np.array([[11.0, 12.0, 13.0]]),
        "dense.bias": np.array([14.0]),
    }
    params = params_from_state_dict(state_dict)
    for path, value in state_dict.items():
        found = params
        for part in path.split("."):
            found = found[part]
        np.testing.assert_array_equal(found, value)


def test_published_arrays_find_their_places():
    """The published names lead to ours, and dense is turned round."""
    arrays = {
        "embedding": np.array([[1.0, 2.0]]),
        "mlstm.0.wmx": np.array([[3.0, 4.0, 5.0]]),
        "mlstm.0.b": np.array([6.0]),
        "mlstm.1.b": np.array([7.0]),
        "dense.w": np.array([[8.0, 9.0, 10.0]]),
        "dense.b": np.array([11.0]),
    }
    params = published_params(arrays)
    np.testing.assert_array_equal(params["embedding"]["weight"], arrays["embedding"])
    np.testing.assert_array_equal(params["mlstm"]["0"]["wmx"], arrays["mlstm.0.wmx"])
    np.testing.assert_array_equal(params["mlstm"]["0"]["b"], [6])
    np.testing.assert_array_equal(params["mlstm"]["1"]["b"], [7])
    np.testing.assert_array_equal(params["dense"]["weight"], [[8], [9], [10]])
    np.testing.assert_array_equal(params["dense"]["bias"], [11])


def test_param_shapes_follow_the_sizes():
    """Recurrent weights have their inputs first, dense has its outputs first."""
    shapes = param_shapes(embedding=4, units=3, layers=2)

    def layer(in_features):
        return {
            "wmx": (in_features, 3),
            "wmh": (3, 3),
            "wx": (in_features, 12),
            "wh": (3, 12),
            "gmx": (3,),
            "gmh": (3,),
            "gx": (12,),
            "gh": (12,),
            "b": (12,),
        }

    assert shapes == {
        "embedding": {"weight": (26, 4)},
        "mlstm": {"0": layer(4), "1": layer(3)},
        "dense": {"weight": (25, 3), "bias": (25,)},
    }


def test_activation_shapes_follow_the_sizes():
    """What is kept for each letter has a seq, what is handed on has none."""
    shapes = activation_shapes(3, 5, embedding=4, units=2)
    assert {name: tuple(shape) for name, shape in shapes.items()} == {
        "embedding": (3, 5, 4),
        "m": (3, 2),
        "z": (3, 8),
        "c": (3, 2),
        "hidden": (3, 5, 2),
        "representation": (3, 2),
        "dense": (3, 5, 25),
    }


def test_default_sizes():
    """Without sizes: an embedding of 10, 12 units and 2 layers, as in the original."""
    assert param_shapes() == param_shapes(10, 12, 2)
    assert activation_shapes(3, 5) == activation_shapes(3, 5, 10, 12)
    params = make_mlstm_params()
    assert params["embedding"]["weight"].shape == (26, 10)
    assert list(params["mlstm"]) == ["0", "1"]
    assert params["dense"]["weight"].shape == (25, 12)


def test_proteins_become_numbers():
    """A start, then a number for each letter of the table, then padding."""
    letters = encode_proteins(["MRW", "", "XZBJ"])
    expected = [[24, 1, 2, 20, 0], [24, 0, 0, 0, 0], [24, 23, 23, 23, 23]]
    np.testing.assert_array_equal(letters, expected)
    every = encode_proteins(["MRHKDESTNQCUGPAVIFYWLO"])
    np.testing.assert_array_equal(every[0], [24, *range(1, 23)])


def test_what_is_no_protein_is_refused():
    """A character that stands for no amino acid is named."""
    with pytest.raises(ValueError, match=r"\*"):
        encode_proteins(["MK*"])


def test_next_letters_end_with_a_stop():
    """At each letter stands the next one, at the last one a stop, on the padding nothing."""
    letters = np.array([[24, 3, 5, 0, 0], [24, 1, 2, 4, 6]])
    expected = [[3, 5, 25, 0, 0], [1, 2, 4, 6, 25]]
    np.testing.assert_array_equal(next_letters(letters), expected)


def test_made_up_proteins_look_like_proteins():
    """They start with 24, have letters from 1 to 23 and all lengths, and y comes next."""
    x, y = dummy_protein_data(key=1, batch=400, seq=5)
    assert x.shape == y.shape == (400, 5)
    assert np.all(x[:, 0] == 24)
    lengths = np.sum(x > 0, axis=1)
    assert set(map(int, lengths)) == {2, 3, 4, 5}
    is_real = np.arange(5) < lengths[:, None]
    np.testing.assert_array_equal(x > 0, is_real)
    assert set(map(int, np.ravel(x[:, 1:])[np.ravel(is_real[:, 1:])])) == set(range(1, 24))
    np.testing.assert_array_equal(y, next_letters(x))


def test_made_up_proteins_follow_their_key():
    """A key makes up the same 8 proteins of 12 letters every time, and another key others."""
    first, again, default, other = (dummy_protein_data(*key)[0] for key in ((0,), (0,), (), (2,)))
    assert first.shape == (8, 12)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, default)
    assert not np.array_equal(first, other)


def told(params, x):
    """Give the scores that the params hold: a model whose loss can be followed on paper."""
    return params["scores"]


def test_loss_of_known_scores():
    """A model that knows nothing is surprised by log 25, one that knows by nothing at all."""
    x, y = np.array([[24, 3, 0]]), np.array([[3, 25, 0]])
    nothing = next_letter_loss({"scores": np.zeros((1, 3, 25))}, told, x, y)
    np.testing.assert_allclose(nothing, math.log(25), rtol=1e-5)
    scores = np.zeros((1, 3, 25))
    scores[0, 0, 2] = scores[0, 1, 24] = 1000.0
    assert abs(next_letter_loss({"scores": scores}, told, x, y)) < 1e-6
    np.testing.assert_allclose(
        next_letter_loss({"scores": -scores}, told, x, y), 1000 + math.log(24), rtol=1e-4
    )
    scores[0, 1] = 0
    half = next_letter_loss({"scores": scores}, told, x, y)
    np.testing.assert_allclose(half, math.log(25) / 2, rtol=1e-5)


def test_a_loop_over_time_is_compiled_once():
    """Thirty letters are as large a program as three."""
    layer = make_mlstm_params(key=1, embedding=4, units=3)["mlstm"]["0"]
    sizes = [
        len(str(jax.make_jaxpr(mlstm_layer)(layer, np.ones((1, seq, 4)), np.ones((1, seq)) > 0)))
        for seq in (3, 30)
    ]
    assert sizes[1] < 2 * sizes[0]


def test_training_lowers_the_loss():
    """A few steps of training end on a lower loss than they start from."""
    params = make_mlstm_params()
    x, y = dummy_protein_data()
    start_loss = next_letter_loss(params, mlstm_model, x, y)
    params, _ = train(params, mlstm_model, next_letter_loss, x, y, steps=20)
    assert next_letter_loss(params, mlstm_model, x, y) < start_loss


def test_every_parameter_receives_gradient():
    """No parameter is left out of training."""
    x, y = dummy_protein_data()
    grads = jax.grad(next_letter_loss)(make_mlstm_params(), mlstm_model, x, y)
    for path, values in jax.tree.leaves_with_path(grads):
        assert np.any(np.abs(values) > 1e-8), path


def test_one_batch_can_be_overfitted():
    """Three proteins are few enough to be learned almost by heart."""
    params = make_mlstm_params()
    x, y = dummy_protein_data(batch=3, seq=6)
    params, losses = train(params, mlstm_model, next_letter_loss, x, y, steps=300, step_size=0.03)
    assert losses[-1] < 0.5 * losses[0]


def some_proteins(key, count):
    """Make up proteins of three letters each: no two sets share one."""
    letters = np.random.default_rng(key).integers(1, 24, size=(count, 4))
    letters[:, 0] = 24
    return letters


def mean_said(params, protein):
    """Work out the mean of what is said over the letters of one protein, without padding."""
    hidden, _, _ = read(params, protein[None])
    return np.mean(np.asarray(hidden)[0, : np.sum(protein > 0)], axis=0)


def test_strangeness_is_the_distance_to_the_nearest_mean():
    """Each protein's mean h is held against every known one's, and the nearest counts."""
    params = make_mlstm_params(key=1)
    x, known = np.array([[24, 3, 1, 4, 0], [24, 5, 0, 0, 0]]), some_proteins(2, 3)
    expected = [
        min(math.dist(mean_said(params, one), mean_said(params, other)) for other in known)
        for one in x
    ]
    np.testing.assert_allclose(strangeness(params, x, known), expected, rtol=1e-3)
    assert np.all(strangeness(params, known[:2], known) < 1e-6)


def test_threshold_is_a_score_of_the_right_rank():
    """Of four scores and a new one, 5 * 0.6 are 3; rank 5 no score has."""
    scores = np.array([5.0, 1.0, 7.0, 3.0])
    assert conformal_threshold(scores, 0.4) == 5
    assert conformal_threshold(scores, 0.5) == 5
    assert conformal_threshold(scores) == np.inf
    assert conformal_threshold(np.arange(9.0)) == 8


def test_strange_is_beyond_the_threshold():
    """Of nine scores, the largest alone lies above the threshold for two in ten."""
    params, known, calibration = make_mlstm_params(key=1), some_proteins(2, 5), some_proteins(3, 9)
    largest = np.argmax(strangeness(params, calibration, known))
    found = is_strange(params, calibration, known, calibration, 0.2)
    np.testing.assert_array_equal(found, np.arange(9) == largest)
    assert not np.any(is_strange(params, known, known, calibration, 0.2))
    assert not np.any(is_strange(params, calibration, known, calibration))


def test_a_protein_alone_is_as_strange_as_in_company():
    """What comes with a protein does not decide whether it is strange."""
    params, known, calibration = make_mlstm_params(key=1), some_proteins(2, 5), some_proteins(3, 9)
    largest = np.argmax(strangeness(params, calibration, known))
    assert is_strange(params, calibration[largest][None], known, calibration, 0.2)[0]


def test_where_all_scores_are_equal_nothing_is_strange():
    """A model whose parameters are zero says the same of everything."""
    params = jax.tree.map(np.zeros_like, make_mlstm_params(key=1))
    calibration = some_proteins(3, 12)
    assert not np.any(is_strange(params, calibration[:3], some_proteins(2, 2), calibration, 0.2))


def test_second_score_is_the_surprise_of_one_protein_alone():
    """A stop is 24 times as likely as each letter, so it surprises by log 2, a letter by log 48."""
    params = jax.tree.map(jnp.zeros_like, make_mlstm_params(key=1))
    params["dense"]["bias"] = np.append(np.zeros(24), np.log(24))
    x = np.array([[24, 3, 1, 4, 0], [24, 5, 0, 0, 0]])
    expected = [(letters * np.log(48) + np.log(2)) / (letters + 1) for letters in (3, 1)]
    found = second_strangeness(params, x, some_proteins(2, 3))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_operations_by_hand():
    """In one layer of three units that reads two numbers: 6, 9, 24 and 36 weights, then 75."""
    products = 2 * 4 * (6 + 9 + 24 + 36 + 75)
    for batch, seq in ((1, 4), (4, 1), (2, 2)):
        found = count_flops(batch, seq, embedding=2, units=3, layers=1)
        assert found == {"forward": products, "train_step": 3 * products}
    twice = count_flops(2, 2, embedding=2, units=3, layers=2)
    assert twice["forward"] == products + 2 * 4 * (9 + 9 + 36 + 36)
    assert count_flops(3, 5) == count_flops(3, 5, embedding=10, units=12, layers=2)


def test_memory_by_hand():
    """With one unit: 26 of the embedding, 10 weights, 10 gains, 4 of b, twice 25 of dense."""
    held = {"params": 400, "gradients": 400, "adam": 800, "activations": 4 * 6 * (1 + 7 + 25)}
    assert count_memory(2, 3, embedding=1, units=1, layers=1) == held
    grown = count_memory(2, 3, embedding=1, units=1, layers=2)["activations"]
    assert grown == held["activations"] + 4 * 6 * 7
    assert count_memory(3, 5) == count_memory(3, 5, embedding=10, units=12, layers=2)


def test_difference_of_two_pairs():
    """The differences 0 and 2 have the mean 1, a standard error of 1, and t is 12.706."""
    found = paired_difference(np.array([1.0, 4.0]), np.array([1.0, 2.0]))
    expected = {"mean": 1, "low": 1 - 12.706205, "high": 1 + 12.706205}
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-6)


def test_proteins_in_order_come_back():
    """The first letter and the last, none at all, and twelve numbers unless told otherwise."""
    x = np.array([[24, 1, 23, 0], [24, 5, 5, 5]])
    np.testing.assert_array_equal(checked_proteins(x, longest=4), x)
    assert checked_proteins(x[:0], longest=4).shape == (0, 4)
    assert checked_proteins(dummy_protein_data(seq=12)[0]).shape == (8, 12)
    with pytest.raises(ValueError):
        checked_proteins(dummy_protein_data(seq=13)[0])


def test_a_wrong_letter_is_refused():
    """In the last protein as in the first: at its start, between letters, and as a float."""
    x = np.array([[24, 1, 2, 0], [24, 3, 4, 5]])
    for place, wrong in ((0, 0), (0, 3), (0, 25), (2, 0), (2, -1), (2, 24), (2, 25), (2, 26)):
        proteins = x.copy()
        proteins[1, place] = wrong
        with pytest.raises(ValueError):
            checked_proteins(proteins, longest=4)
    with pytest.raises(ValueError):
        checked_proteins(x.astype(float), longest=4)


def test_proteins_of_another_shape_are_refused():
    """Two axes, and a start at least."""
    x = np.array([[24, 1, 2, 0], [24, 3, 4, 5]])
    for proteins, longest in ((x[0], 4), (x, 3), (x[:, :, None], 4), (x[:, :0], 4)):
        with pytest.raises(ValueError):
            checked_proteins(proteins, longest)


def test_the_card_says_three_things():
    """Where the model may be used, where not, and what was not looked at, in five words or more."""
    said = in_words()
    assert sorted(said) == ["not_for", "not_looked_at", "use"]
    assert all(len(sentence.split()) >= 5 for sentence in said.values())
    assert len({*said.values()}) == 3
