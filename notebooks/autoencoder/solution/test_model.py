"""What must stay true of the autoencoder."""

import jax
import numpy as np
from data import dummy_image_data
from losses import mse_loss
from model import autoencoder, decoder, encoder, nn_layer
from params import make_autoencoder_params
from training import train


def test_layer_shape_and_relu():
    """A layer gives output_dims values a row, and ReLU none below zero."""
    input_dims, output_dims, batch_size = 7, 3, 5
    weights = np.random.normal(size=(input_dims, output_dims))
    data = np.random.normal(size=(batch_size, input_dims))
    output = nn_layer(weights, data)
    assert output.shape[1] == output_dims
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


def test_training_lowers_the_loss():
    """A few steps of training end on a lower loss than they start from."""
    params = make_autoencoder_params()
    x, y = dummy_image_data()
    start_loss = mse_loss(params, autoencoder, x, y)
    params, _ = train(params, autoencoder, x, y, steps=20)
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
    params, losses = train(params, autoencoder, x, y, steps=500, step_size=0.01)
    assert losses[-1] < 0.1 * losses[0]
