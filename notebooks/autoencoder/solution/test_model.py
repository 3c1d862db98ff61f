"""What must stay true of the autoencoder."""

import math

import jax
import numpy as np
import optax
import pytest
from card import in_words
from costs import count_flops, count_memory
from data import checked_images, digit_data, dummy_image_data
from losses import mse_loss
from model import autoencoder, decoder, encoder, nn_layer
from params import make_autoencoder_params, params_from_state_dict
from safetensors.numpy import save_file
from shapes import activation_shapes, param_shapes
from training import adam_steps, train
from uncertainty import (
    conformal_threshold,
    is_strange,
    paired_difference,
    second_strangeness,
    strangeness,
)


def test_layer_shape_and_relu():
    """A layer gives output_dims values a row, and ReLU none below zero."""
    input_dims, output_dims, batch_size = 7, 3, 5
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(input_dims, output_dims))
    data = rng.normal(size=(batch_size, input_dims))
    output = nn_layer(weights, data)
    assert output.shape == (batch_size, output_dims)
    output = nn_layer(weights, data, nonlinearity="relu")
    assert np.all(output >= 0)


def test_shapes():
    """Codes are (batch, code); what decoder and autoencoder draw is (batch, pixels)."""
    params = make_autoencoder_params(key=1, pixels=6, hidden=5, code=2)
    x = np.random.default_rng(2).uniform(size=(3, 6))
    assert encoder(params, x).shape == (3, 2)
    assert decoder(params, encoder(params, x)).shape == (3, 6)
    assert autoencoder(params, x).shape == (3, 6)


def test_code_range():
    """Codes use both signs and stay between -1 and 1, however large the input."""
    params = make_autoencoder_params(key=1)
    x = np.random.default_rng(2).uniform(size=(20, 64))
    z = encoder(params, 100 * x)
    assert np.all(np.abs(z) <= 1)
    assert np.min(z) < -0.5 and np.max(z) > 0.5


def test_pixel_range():
    """Pixels stay between 0 and 1, however large the code, and reach for both ends."""
    params = make_autoencoder_params(key=1)
    z = np.random.default_rng(2).normal(size=(20, 8))
    y = decoder(params, 100 * z)
    assert np.all((y >= 0) & (y <= 1))
    assert np.min(y) < 0.1 and np.max(y) > 0.9


def test_rows_do_not_mix():
    """Each image is computed alone: its neighbours in the batch change nothing."""
    params = make_autoencoder_params(key=1)
    x = np.random.default_rng(2).uniform(size=(4, 64))
    alone = np.concatenate([autoencoder(params, row[None]) for row in x])
    np.testing.assert_allclose(autoencoder(params, x), alone, rtol=1e-5, atol=1e-5)


def test_bias_shifts_the_output():
    """Without a nonlinearity, the bias is added to every row as it is."""
    rng = np.random.default_rng(1)
    weights, data, bias = rng.normal(size=(4, 3)), rng.normal(size=(5, 4)), rng.normal(size=3)
    shift = nn_layer(weights, data, bias) - nn_layer(weights, data)
    np.testing.assert_allclose(shift, np.tile(bias, (5, 1)), rtol=1e-4, atol=1e-5)


def test_by_hand():
    """An image of two pixels gets the code and the drawing that were worked out on paper."""
    params = {
        "enc_hidden": {
            "weight": np.array([[1, 2], [-1, 1], [0.5, -1]]),
            "bias": np.array([1, 0.5, 1]),
        },
        "enc_code": {"weight": np.array([[1, 3, -0.5]]), "bias": np.array([1.0])},
        "dec_hidden": {"weight": np.array([[1], [-2], [0.5]]), "bias": np.array([0.5, 0.5, 1])},
        "dec_pixels": {"weight": np.array([[2, 1, -1], [1, -1, 0.5]]), "bias": np.array([0.5, -2])},
    }
    x = np.array([[2.0, -1.0]])
    # hidden: 1 * 2 - 2 * 1 + 1 = 1, then -2 - 1 + 0.5 = -2.5 and so 0, then 1 + 1 + 1 = 3
    z = math.tanh(1 * 1 + 3 * 0 - 0.5 * 3 + 1)
    # on the way back: z + 0.5, then 0.5 - 2 * z < 0 and so 0, then 0.5 * z + 1
    first = 2 * (z + 0.5) - (0.5 * z + 1) + 0.5
    second = (z + 0.5) + 0.5 * (0.5 * z + 1) - 2
    y = [1 / (1 + math.exp(-first)), 1 / (1 + math.exp(-second))]
    np.testing.assert_allclose(encoder(params, x), [[z]], rtol=1e-5)
    np.testing.assert_allclose(decoder(params, np.array([[z]])), [y], rtol=1e-5)
    np.testing.assert_allclose(autoencoder(params, x), [y], rtol=1e-5)


def test_a_blank_image_has_a_code():
    """A blank image is an image like others: its code is made of the biases."""
    z = encoder(make_autoencoder_params(key=1), np.zeros((1, 64)))
    assert np.max(np.abs(z)) > 0.01


def test_initial_values_fill_their_bounds():
    """Initial values reach 1 / sqrt(in_features) on both sides of zero, and go no further."""
    drawn = [make_autoencoder_params(key, pixels=6, hidden=5, code=2) for key in range(50)]
    inputs = {"enc_hidden": 6, "enc_code": 5, "dec_hidden": 2, "dec_pixels": 5}
    for layer, in_features in inputs.items():
        for name in ("weight", "bias"):
            values = np.array([params[layer][name] for params in drawn]) * in_features**0.5
            assert 0.85 < np.max(values) < 1.00001
            assert -1.00001 < np.min(values) < -0.85


def test_every_initial_value_is_its_own_draw():
    """No two initial values are equal, even where every layer has the same bound."""
    params = make_autoencoder_params(key=1, pixels=5, hidden=5, code=5)
    arrays = [np.ravel(values) for layer in params.values() for values in layer.values()]
    assert len(np.unique(np.concatenate(arrays))) == 4 * (5 * 5 + 5)


def test_keys_matter():
    """A key draws the same values every time, and another key draws others."""
    first, again, other = (make_autoencoder_params(key) for key in (1, 1, 2))
    for layer in first:
        for name in first[layer]:
            np.testing.assert_array_equal(first[layer][name], again[layer][name])
            assert not np.allclose(first[layer][name], other[layer][name])


def test_state_dict_keeps_every_array():
    """Every array of a state_dict is found under its layer and its name, as it was."""
    state_dict = {
        "enc_hidden.weight": np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
        "enc_hidden.bias": np.array([7.0, 8.0, 9.0]),
        "enc_code.weight": np.array([[10.0, 11.0, 12.0]]),
        "enc_code.bias": np.array([13.0]),
    }
    params = params_from_state_dict(state_dict)
    for path, value in state_dict.items():
        layer, name = path.split(".")
        np.testing.assert_array_equal(params[layer][name], value)


def test_state_dict_keeps_every_digit():
    """Where JAX counts in float64, no digit of a float64 array is lost."""
    third = np.array([[1 / 3]])
    with jax.enable_x64(True):
        params = params_from_state_dict({"enc_code.weight": third, "enc_code.bias": third[0]})
    np.testing.assert_array_equal(params["enc_code"]["weight"], third)
    np.testing.assert_array_equal(params["enc_code"]["bias"], third[0])


def test_param_shapes_follow_the_sizes():
    """A weight is (out_features, in_features), a bias (out_features,), whatever the sizes."""
    shapes = param_shapes(pixels=7, hidden=5, code=3)
    weights = {layer: tuple(shapes[layer]["weight"]) for layer in shapes}
    biases = {layer: tuple(shapes[layer]["bias"]) for layer in shapes}
    assert weights == {
        "enc_hidden": (5, 7),
        "enc_code": (3, 5),
        "dec_hidden": (5, 3),
        "dec_pixels": (7, 5),
    }
    assert biases == {"enc_hidden": (5,), "enc_code": (3,), "dec_hidden": (5,), "dec_pixels": (7,)}


def test_activation_shapes_follow_the_sizes():
    """What leaves a layer is (batch, out_features), whatever the sizes."""
    shapes = activation_shapes(4, pixels=7, hidden=5, code=3)
    assert {layer: tuple(shape) for layer, shape in shapes.items()} == {
        "enc_hidden": (4, 5),
        "enc_code": (4, 3),
        "dec_hidden": (4, 5),
        "dec_pixels": (4, 7),
    }


def test_default_sizes():
    """Without sizes there are 64 pixels, 32 hidden and a code of 8, as in the original."""
    assert param_shapes() == param_shapes(pixels=64, hidden=32, code=8)
    assert activation_shapes(5) == activation_shapes(5, pixels=64, hidden=32, code=8)
    params = make_autoencoder_params()
    assert params["enc_hidden"]["weight"].shape == (32, 64)
    assert params["enc_code"]["weight"].shape == (8, 32)


def test_dummy_images_are_their_own_answers():
    """Made-up images are (batch, pixels), between 0 and 1 and not all alike, and y is x."""
    x, y = dummy_image_data(key=1, batch=5, pixels=7)
    assert x.shape == (5, 7)
    assert np.all((x >= 0) & (x <= 1))
    assert not np.allclose(x[0], x[1])
    np.testing.assert_array_equal(x, y)


def test_dummy_images_follow_their_key():
    """A key makes up the same 32 images of 64 pixels every time, and another key others."""
    (first, _), (again, _), (other, _) = (dummy_image_data(key) for key in (1, 1, 2))
    assert first.shape == (32, 64)
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_digits_keep_their_place(tmp_path):
    """Row r, column c of a square is pixel 8 * r + c of its image, and 16 would be full ink."""
    images = np.zeros((3, 8, 8), dtype=np.uint8)
    images[1, 2, 3], images[2, 7, 0] = 12, 4
    labels = np.array([0, 1, 2], dtype=np.uint8)
    save_file({"data/images": images, "data/labels": labels}, tmp_path / "digits.safetensors")
    x, y = digit_data(tmp_path / "digits.safetensors")
    assert x.shape == (3, 64)
    assert x[1, 19] == 0.75 and x[2, 56] == 0.25 and np.sum(x) == 1
    np.testing.assert_array_equal(x, y)


def test_loss_of_known_answers():
    """Errors of 1, -3, 0, 0, 2 and 2 are 18 when squared and added, and so 3 in the mean."""
    y = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    answers = y + np.array([[1.0, -3.0, 0.0], [0.0, 2.0, 2.0]])
    loss = mse_loss({"scale": 2.0}, lambda params, x: params["scale"] * x, answers / 2, y)
    np.testing.assert_allclose(loss, 3, rtol=1e-5)


def test_training_lowers_the_loss():
    """A few steps of training end on a lower loss than they start from."""
    params = make_autoencoder_params()
    x, y = dummy_image_data()
    start_loss = mse_loss(params, autoencoder, x, y)
    params, _ = train(params, autoencoder, mse_loss, x, y, steps=20)
    assert mse_loss(params, autoencoder, x, y) < start_loss


def test_every_parameter_receives_gradient():
    """No parameter is left out of training."""
    x, y = dummy_image_data()
    grads = jax.grad(mse_loss)(make_autoencoder_params(), autoencoder, x, y)
    for layer in grads:
        for name in grads[layer]:
            assert np.any(np.abs(grads[layer][name]) > 1e-8), f"{layer}.{name}"


def test_one_batch_can_be_overfitted():
    """Four images are few enough to be learned almost by heart."""
    params = make_autoencoder_params()
    x, y = dummy_image_data(batch=4)
    params, losses = train(params, autoencoder, mse_loss, x, y, steps=500, step_size=0.01)
    assert losses[-1] < 0.1 * losses[0]


def shifted(params, x):
    """Add one number to every pixel: a model whose training can be followed on paper."""
    return x + params["shift"]


def test_losses_are_those_before_each_step():
    """The loss before a step is that of the params which the steps before it have made."""
    x, start = np.array([[0.0, 2.0, 4.0]]), {"shift": np.array(0.0)}
    _, losses = train(start, shifted, mse_loss, x, x + 1, steps=3, step_size=0.1)
    assert len(losses) == 3
    for steps in range(3):
        params, _ = train(start, shifted, mse_loss, x, x + 1, steps=steps, step_size=0.1)
        np.testing.assert_allclose(losses[steps], mse_loss(params, shifted, x, x + 1), rtol=1e-5)


def test_state_is_handed_on():
    """Four steps and then two go where six go at once."""
    x, start = np.array([[0.0, 2.0, 4.0]]), {"shift": np.array(0.0)}
    params, state = start, optax.adam(0.1).init(start)
    for steps in (4, 2):
        params, state, _ = adam_steps(params, state, shifted, mse_loss, x, x + 1, steps, 0.1)
    at_once, _ = train(start, shifted, mse_loss, x, x + 1, steps=6, step_size=0.1)
    np.testing.assert_allclose(params["shift"], at_once["shift"], rtol=1e-5)


def test_steps_are_compiled_as_one_loop():
    """Thirty steps are as large a program as three."""
    x, start = np.array([[0.0, 2.0, 4.0]]), {"shift": np.array(0.0)}
    state, sizes = optax.adam(0.1).init(start), []
    for steps in (3, 30):
        program = jax.make_jaxpr(
            lambda p, n=steps: adam_steps(p, state, shifted, mse_loss, x, x, n)
        )
        sizes.append(len(str(program(start))))
    assert sizes[1] < 2 * sizes[0]


def test_adam_takes_the_known_steps():
    """A model of one parameter goes where Adam's formulas, written out, take it."""
    x, start = np.array([[0.0, 2.0, 4.0]]), {"shift": np.array(0.0)}
    params, _ = train(start, shifted, mse_loss, x, x + 1, steps=5, step_size=0.4)
    shift, mean, square = 0.0, 0.0, 0.0
    for step in range(1, 6):
        grad = 2 * (shift - 1)  # of the loss, (shift - 1) ** 2
        mean, square = 0.9 * mean + 0.1 * grad, 0.999 * square + 0.001 * grad**2
        root = np.sqrt(square / (1 - 0.999**step)) + 1e-8
        shift -= 0.4 * mean / (1 - 0.9**step) / root
    np.testing.assert_allclose(params["shift"], shift, rtol=1e-4)


def test_only_gradients_move_params():
    """A model that does not look at its params leaves them where they are."""
    x, start = np.array([[0.0, 2.0, 4.0]]), {"shift": np.array(1.0)}
    params, _ = train(start, lambda params, x: x, mse_loss, x, x + 1, steps=5, step_size=0.1)
    np.testing.assert_allclose(params["shift"], 1, rtol=1e-6)


def test_default_steps():
    """Training takes 100 steps of 0.001 unless it is told otherwise."""
    x, start = np.array([[0.0, 2.0, 4.0]]), {"shift": np.array(0.0)}
    state = optax.adam(0.1).init(start)
    _, _, losses = adam_steps(start, state, shifted, mse_loss, x, x + 1)
    assert len(losses) == 100
    params, _, _ = adam_steps(start, state, shifted, mse_loss, x, x + 1, steps=1)
    np.testing.assert_allclose(params["shift"], 0.001, rtol=1e-4)


def tanh_encoder(size):
    """Make params whose code is the tanh of an image, number by number, where none is negative."""
    layer = {"weight": np.eye(size), "bias": np.zeros(size)}
    return {"enc_hidden": layer, "enc_code": layer}


def test_strangeness_is_the_distance_to_the_nearest_code():
    """Codes that differ by 0.09 and 0.12 are 0.15 apart, and a known image is not strange."""
    x = np.arctanh([[0.3, 0.4], [0.0, 0.0]])
    known = np.arctanh([[0.0, 0.0], [0.6, 0.8], [0.39, 0.52]])
    np.testing.assert_allclose(strangeness(tanh_encoder(2), x, known), [0.15, 0], atol=1e-6)


def test_threshold_is_a_score_of_the_right_rank():
    """Of seven scores and a new one, 8 * 0.7 rounded up are 6; rank 8 no score has."""
    scores = np.array([5.0, 1.0, 7.0, 3.0, 2.0, 6.0, 4.0])
    assert conformal_threshold(scores, 0.3) == 6
    assert conformal_threshold(scores, 0.5) == 4
    assert conformal_threshold(scores, 0.1) == np.inf


def test_threshold_of_nine_scores():
    """One in ten is the default, and with nine scores that is the largest."""
    assert conformal_threshold(np.arange(9.0)) == 8


def test_strange_is_beyond_the_threshold():
    """With scores from 0.1 to 0.9, two in ten may be above 0.8, and one in ten above 0.9."""
    params, known = tanh_encoder(1), np.zeros((1, 1))
    calibration = np.arctanh(np.arange(1, 10)[:, None] / 10)
    x = np.arctanh([[0.85], [0.75], [0.05], [0.95]])
    is_above = {0.8: [True, False, False, True], 0.9: [False, False, False, True]}
    np.testing.assert_array_equal(is_strange(params, x, known, calibration, 0.2), is_above[0.8])
    np.testing.assert_array_equal(is_strange(params, x, known, calibration), is_above[0.9])


def test_an_image_alone_is_as_strange_as_in_company():
    """What comes with an image does not decide whether it is strange."""
    params, known = tanh_encoder(1), np.zeros((1, 1))
    calibration = np.arctanh(np.arange(1, 10)[:, None] / 10)
    assert is_strange(params, np.arctanh([[0.95]]), known, calibration)[0]


def test_where_all_scores_are_equal_nothing_is_strange():
    """A model whose parameters are zero has one code for everything."""
    layer = {"weight": np.zeros((2, 2)), "bias": np.zeros(2)}
    images = np.arange(24.0).reshape(12, 2)
    params = {"enc_hidden": layer, "enc_code": layer}
    assert not np.any(is_strange(params, images[:3], images[:2], images, 0.2))


def test_second_score_is_the_error_of_an_image():
    """A model whose parameters are zero draws every pixel as 0.5."""
    layer = {"weight": np.zeros((2, 2)), "bias": np.zeros(2)}
    params = dict.fromkeys(("enc_hidden", "enc_code", "dec_hidden", "dec_pixels"), layer)
    x = np.array([[0.5, 0.5], [0.5, 0.9], [0.0, 1.0]])
    np.testing.assert_allclose(second_strangeness(params, x, x), [0, 0.08, 0.25], atol=1e-6)


def test_operations_by_hand():
    """The weights are 15, 35, 35 and 15; the images need no gradient."""
    assert count_flops(2, pixels=3, hidden=5, code=7) == {"forward": 400, "train_step": 1140}
    assert count_flops(1) == count_flops(1, pixels=64, hidden=32, code=8)
    assert count_flops(1)["forward"] == 2 * 2 * (64 * 32 + 32 * 8)


def test_memory_by_hand():
    """There are 100 weights and 20 biases; 3 pixels go in, and 5, 7, 5 and 3 numbers leave."""
    held = {"params": 480, "gradients": 480, "adam": 960, "activations": 4 * 2 * 23}
    assert count_memory(2, pixels=3, hidden=5, code=7) == held
    assert count_memory(1) == count_memory(1, pixels=64, hidden=32, code=8)


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


def test_images_in_order_come_back():
    """Zeros and ones, none at all, and 64 pixels unless told otherwise."""
    x = np.array([[0, 1, 1], [1, 0, 0]])
    found = checked_images(x, pixels=3)
    assert found.dtype.kind == "f"
    np.testing.assert_array_equal(found, x)
    assert checked_images(x[:0], pixels=3).shape == (0, 3)
    assert checked_images(np.zeros((2, 64))).shape == (2, 64)


def test_a_wrong_pixel_is_refused():
    """In the last image as in the first."""
    for wrong in (np.nan, np.inf, -0.25, 1.5):
        x = np.full((4, 3), 0.5)
        x[-1, 1] = wrong
        with pytest.raises(ValueError):
            checked_images(x, pixels=3)


def test_another_shape_is_refused():
    """Two axes, and as many pixels as were asked for."""
    for shape in ((3,), (4, 2), (2, 3, 3), (0, 4)):
        with pytest.raises(ValueError):
            checked_images(np.zeros(shape), pixels=3)


def test_the_card_says_three_things():
    """Where the model may be used, where not, and what was not looked at, in five words or more."""
    said = in_words()
    assert sorted(said) == ["not_for", "not_looked_at", "use"]
    assert all(len(sentence.split()) >= 5 for sentence in said.values())
    assert len({*said.values()}) == 3
