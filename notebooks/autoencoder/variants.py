"""Other right ways to write each piece of this track: `nn_layer__loops` is one of `nn_layer`.

The checks must call every one of them right. Where a piece is ported to JAX, the ways that begin
with `jax` are the port's. The modules of the solution are there to import.
"""

import math
import random
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from data import dummy_image_data
from losses import mse_loss
from model import autoencoder, decoder, encoder, nn_layer
from params import make_autoencoder_params
from safetensors import safe_open
from safetensors.numpy import load_file
from scipy import stats
from scipy.spatial.distance import cdist
from shapes import activation_shapes, param_shapes
from training import train
from uncertainty import conformal_threshold, strangeness

# --- 1 forward pass -----------------------------------------------------------------------


def numpy_counterparts__einsum():
    return {
        "linear": lambda x, weight, bias: np.einsum("bi,oi->bo", x, weight) + bias[None, :],
        "relu": lambda x: x * (x > 0),
        "tanh": lambda x: 2 / (1 + np.exp(-2 * x)) - 1,
        "sigmoid": lambda x: 0.5 * (1 + np.tanh(x / 2)),
    }


def numpy_counterparts__functions():
    def linear(x, weight, bias):
        return np.array([[np.dot(row, unit) for unit in weight] for row in x]) + bias

    def sigmoid(x):
        return np.where(x >= 0, 1 / (1 + np.exp(-x)), np.exp(x) / (1 + np.exp(x)))

    def relu(x):
        return np.clip(x, np.float32(0), None)

    return dict(linear=linear, relu=relu, tanh=np.tanh, sigmoid=sigmoid, softmax=None)


def nn_layer__loops(weights, data, bias=None, nonlinearity=None):
    def squeeze(number):
        if nonlinearity == "relu":
            return max(number, 0.0)
        if nonlinearity == "tanh":
            return np.tanh(number)
        if nonlinearity == "sigmoid":
            return 1 / (1 + np.exp(-number))
        return number

    in_features, out_features = weights.shape
    output = np.empty((len(data), out_features))
    for row in range(len(data)):
        for column in range(out_features):
            total = 0.0 if bias is None else bias[column]
            for feature in range(in_features):
                total += data[row, feature] * weights[feature, column]
            output[row, column] = squeeze(total)
    return output


def nn_layer__transposed(weights, data, bias=0, nonlinearity=None):
    output = (weights.T @ data.T).T
    output += bias
    if nonlinearity == "relu":
        output[output < 0] = np.float32(0)
    elif nonlinearity == "tanh":
        np.tanh(output, out=output)
    elif nonlinearity == "sigmoid":
        output = 0.5 + 0.5 * np.tanh(0.5 * output)
    return output


def nn_layer__jax_table(weights, data, bias=0.0, nonlinearity=None):
    after = {"relu": jax.nn.relu, "tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid}
    output = jnp.einsum("bi,io->bo", data, weights) + bias
    return after.get(nonlinearity, lambda x: x)(output)


@partial(jax.jit, static_argnames="nonlinearity")
def nn_layer__jax_jitted(weights, data, bias=0.0, nonlinearity=None):
    output = jax.vmap(lambda row: row @ weights + bias)(data)
    match nonlinearity:
        case None:
            return output
        case "relu":
            return jnp.where(output > 0, output, 0)
        case name:
            return getattr(jax.nn, name)(output)


def encoder__inline(params, x):
    hidden = x @ params["enc_hidden"]["weight"].T + params["enc_hidden"]["bias"]
    hidden = np.where(hidden > 0, hidden, 0)
    return np.tanh(hidden @ params["enc_code"]["weight"].T + params["enc_code"]["bias"])


def encoder__einsum(params, x):
    def layer(name, x):
        return np.einsum("oi,bi->bo", params[name]["weight"], x) + params[name]["bias"]

    return np.tanh(layer("enc_code", np.maximum(layer("enc_hidden", x), np.float32(0.0))))


def encoder__rows(params, x):
    def code(row):
        hidden = params["enc_hidden"]["weight"].dot(row) + params["enc_hidden"]["bias"]
        hidden[hidden < 0] = 0
        return np.tanh(params["enc_code"]["weight"].dot(hidden) + params["enc_code"]["bias"])

    return np.stack([code(row) for row in x])


def decoder__inline(params, z):
    hidden = (params["dec_hidden"]["weight"] @ z.T).T + params["dec_hidden"]["bias"]
    hidden = (hidden + np.abs(hidden)) / 2
    pixels = hidden @ params["dec_pixels"]["weight"].T + params["dec_pixels"]["bias"]
    return np.exp(-np.logaddexp(0, -pixels))


def decoder__jax(params, z):
    for name, after in {"dec_hidden": jax.nn.relu, "dec_pixels": jax.nn.sigmoid}.items():
        z = after(jnp.dot(z, params[name]["weight"].T) + params[name]["bias"])
    return z


def autoencoder__two_lines(params, x):
    z = encoder(params=params, x=x)
    return decoder(params=params, z=z)


def autoencoder__one_loop(params, x):
    for name, after in zip(params, ("relu", "tanh", "relu", "sigmoid"), strict=True):
        x = nn_layer(params[name]["weight"].T, x, params[name]["bias"], after)
    return np.asarray(x)


@jax.jit
def autoencoder__jitted(params, x):
    return decoder(params, encoder(params, x))


# --- 2 shapes -----------------------------------------------------------------------------


def param_shapes__from_layers(pixels=64, hidden=32, code=8):
    widths = [pixels, hidden, code, hidden, pixels]
    names = ["enc_hidden", "enc_code", "dec_hidden", "dec_pixels"]
    return {
        name: {"bias": (after,), "weight": (after, before)}
        for name, before, after in zip(names, widths, widths[1:], strict=False)
    }


def param_shapes__lists(pixels=64, hidden=32, code=8):
    def linear(in_features, out_features):
        return dict(weight=[out_features, np.int64(in_features)], bias=[out_features])

    shapes = dict(enc_hidden=linear(pixels, hidden), enc_code=linear(hidden, code))
    return shapes | dict(dec_hidden=linear(code, hidden), dec_pixels=linear(hidden, pixels))


def activation_shapes__zipped(batch, pixels=64, hidden=32, code=8):
    names = ["dec_pixels", "dec_hidden", "enc_code", "enc_hidden"]
    return {
        name: (batch, size)
        for name, size in zip(names, (pixels, hidden, code, hidden), strict=True)
    }


def activation_shapes__measured(batch, pixels=64, hidden=32, code=8):
    x, shapes = np.empty((batch, pixels)), {}
    for name, shape in param_shapes(pixels, hidden, code).items():
        x = x @ np.empty(shape["weight"]).T
        shapes[name] = x.shape
    return shapes


# --- 3 params -----------------------------------------------------------------------------


def make_autoencoder_params__one_draw(key=0, pixels=64, hidden=32, code=8):
    shapes = param_shapes(pixels, hidden, code)
    rng, params = np.random.RandomState(key), {}
    for layer, shape in shapes.items():
        out_features, in_features = shape["weight"]
        numbers = (2 * rng.rand(out_features, in_features + 1) - 1) / np.sqrt(in_features)
        params[layer] = {"weight": numbers[:, :-1], "bias": numbers[:, -1]}
    return params


def make_autoencoder_params__float32(key=0, pixels=64, hidden=32, code=8):
    draw = random.Random(key)

    def uniform(bound, *shape):
        numbers = [draw.uniform(-bound, bound) for _ in range(int(np.prod(shape)))]
        return np.array(numbers, dtype=np.float32).reshape(shape)

    def linear(inputs, outputs):
        bound = 1 / inputs**0.5
        return {"weight": uniform(bound, outputs, inputs), "bias": uniform(bound, outputs)}

    return {
        "enc_hidden": linear(pixels, hidden),
        "enc_code": linear(hidden, code),
        "dec_hidden": linear(code, hidden),
        "dec_pixels": linear(hidden, pixels),
    }


def make_autoencoder_params__jax_fold_in(key=0, pixels=64, hidden=32, code=8):
    sizes, params = [pixels, hidden, code, hidden, pixels], {}
    names = ["enc_hidden", "enc_code", "dec_hidden", "dec_pixels"]
    for number, name in enumerate(names):
        layer_key = jax.random.fold_in(jax.random.PRNGKey(key), number)
        shape = sizes[number + 1], sizes[number] + 1
        numbers = jax.random.uniform(layer_key, shape, minval=-1) / jnp.sqrt(sizes[number])
        params[name] = {"weight": numbers[:, 1:], "bias": numbers[:, 0]}
    return params


def make_autoencoder_params__jax_tree(key=0, pixels=64, hidden=32, code=8):
    shapes = param_shapes(pixels, hidden, code)
    keys = iter(jax.random.split(jax.random.key(key), 2 * len(shapes)))
    params = {}
    for name, shape in shapes.items():
        bound = float(shape["weight"][1] ** -0.5)
        params[name] = {
            kind: jax.random.uniform(next(keys), size, jnp.float32, -bound, bound)
            for kind, size in shape.items()
        }
    return params


def params_from_state_dict__layer_by_layer(state_dict):
    layers = {path.split(".")[0] for path in state_dict}
    return {
        layer: {kind: state_dict[f"{layer}.{kind}"] for kind in ("weight", "bias")}
        for layer in sorted(layers)
    }


def params_from_state_dict__jax_arrays(state_dict):
    params = {}
    for path in reversed(list(state_dict)):
        layer, _, kind = path.rpartition(".")
        params[layer] = {**params.get(layer, {}), kind: jnp.array(state_dict[path])}
    return params


# --- 4 unit tests -------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 4])
def test_layer_shape_and_relu__parametrized(batch_size):
    data = np.linspace(-1, 1, batch_size * 6).reshape(batch_size, 6)
    output = nn_layer(np.ones((6, 2)), data, nonlinearity="relu")
    assert output.shape == (batch_size, 2) and output.min() >= 0


def test_layer_shape_and_relu__helper():
    def all_at_least_zero(weights):
        return bool((nn_layer(weights, np.eye(3), 0.0, "relu") >= 0).all())

    assert nn_layer(np.ones((3, 5)), np.eye(3)).shape[1] == 5
    assert all_at_least_zero(-np.ones((3, 5)))


def test_shapes__sizes():
    for batch, pixels, hidden, code in [(3, 6, 5, 2), (1, 4, 7, 3)]:
        params = make_autoencoder_params(0, pixels, hidden, code)
        z = encoder(params, np.zeros((batch, pixels)))
        assert z.shape == (batch, code), "codes"
        assert decoder(params, z).shape == (batch, pixels), "pixels"


def test_shapes__whole(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((9, 64)))
    assert np.shape(autoencoder(make_autoencoder_params(), np.load(tmp_path / "x.npy"))) == (9, 64)


def test_code_range__quantiles():
    x = np.random.default_rng(0).normal(size=(50, 64)) * 1000
    low, high = np.quantile(encoder(make_autoencoder_params(5), x), [0.1, 0.9])
    assert -1 <= low < 0 < high <= 1


def test_code_range__any():
    z = np.asarray(encoder(make_autoencoder_params(), 1e4 * np.eye(64)))
    assert (z < -0.9).any() and (z > 0.9).any()
    assert not (np.abs(z) > 1).any()


def test_pixel_range__zero_code():
    params = make_autoencoder_params(3)
    for scale in (0, 1, 50, -50):
        y = decoder(params, np.full((2, 8), float(scale)))
        assert (y >= 0).all()
        assert (y <= 1).all()


def test_pixel_range__ends():
    z = np.random.default_rng(0).uniform(-500, 500, size=(100, 8))
    y = decoder(make_autoencoder_params(), z)
    assert 0 <= np.min(y) < 0.01 and 0.99 < np.max(y) <= 1


def test_rows_do_not_mix__shuffled():
    rng = np.random.default_rng(8)
    params, x, order = make_autoencoder_params(), rng.uniform(size=(6, 64)), [3, 1, 5]
    some = autoencoder(params, x[order])
    assert np.allclose(some, np.asarray(autoencoder(params, x))[order], atol=1e-5)


def test_rows_do_not_mix__other_neighbour():
    params = make_autoencoder_params(2)
    x = np.random.default_rng(1).uniform(size=(2, 64))
    other = np.stack([x[0], 10 * x[1]])
    assert np.max(np.abs(encoder(params, x)[0] - encoder(params, other)[0])) < 1e-5


def test_bias_shifts_the_output__ones():
    data, weights = np.ones((2, 3)), np.ones((3, 4))
    assert np.allclose(nn_layer(weights, data, np.ones(4)), nn_layer(weights, data) + 1)


def test_bias_shifts_the_output__alone():
    bias = np.array([1.5, -2.0])
    assert np.array_equal(nn_layer(np.zeros((3, 2)), np.zeros((1, 3)), bias=bias), bias[None])


def test_by_hand__one_unit():
    def layer(weight, bias):
        return {"weight": np.array([[weight]]), "bias": np.array([bias])}

    names = ["enc_hidden", "enc_code", "dec_hidden", "dec_pixels"]
    params = dict(
        zip(names, map(layer, (2.0, 0.5, -3.0, 4.0), (1.0, -1.0, 1.0, -2.0)), strict=True)
    )
    z = math.tanh(0.5 * (2 * 0.25 + 1) - 1)
    assert float(encoder(params, np.array([[0.25]]))[0, 0]) == pytest.approx(z, abs=1e-5)
    pixel = 1 / (1 + math.exp(-(4 * (1 - 3 * z) - 2)))
    assert float(autoencoder(params, np.array([[0.25]]))[0, 0]) == pytest.approx(pixel, abs=1e-5)


def test_by_hand__a_dead_layer():
    params = make_autoencoder_params(0, 3, 2, 1)
    params = {name: {**layer, "bias": layer["bias"] * 0 - 100} for name, layer in params.items()}
    x = np.zeros((1, 3))
    assert np.allclose(encoder(params, x), np.tanh(-100))
    assert np.allclose(decoder(params, np.zeros((1, 1))), 1 / (1 + np.exp(100)))


# --- 5 training test ----------------------------------------------------------------------


def dummy_image_data__jax(key=0, batch=32, pixels=64):
    x = jax.random.uniform(jax.random.key(key), (batch, pixels))
    return x, x


def dummy_image_data__sixteenths(key=0, batch=32, pixels=64):
    draw = random.Random(key)
    levels = [[draw.randint(0, 16) for _ in range(pixels)] for _ in range(batch)]
    x = np.array(levels, dtype=np.float32) / 16
    return [x, x.copy()]


def digit_data__jax(recording):
    images = jnp.asarray(load_file(recording)["data/images"])
    x = jax.vmap(jnp.ravel)(images) / 16
    return x, x


def digit_data__one_by_one(recording):
    with safe_open(recording, framework="numpy") as arrays:
        images = arrays.get_tensor("data/images")
    x = np.array([image.flatten() * 0.0625 for image in images])
    return x, x.copy()


def mse_loss__sum(params, model, x, y):
    difference = jnp.ravel(y - model(params, x))
    return jnp.vdot(difference, difference) / difference.size


def mse_loss__optax(params, model, x, y):
    return optax.l2_loss(model(params, x), y).mean() * 2


@partial(jax.jit, static_argnames="model")
def mse_loss__row_by_row(params, model, x, y):
    def of_row(x, y):
        return jnp.mean(jnp.square(model(params, x[None])[0] - y))

    return jnp.mean(jax.vmap(of_row)(x, y))


def adam_steps__by_hand(params, state, model, loss_fn, x, y, steps=100, step_size=1e-3):
    def step(number, carry):
        params, (count, mean, square), losses = carry
        loss, grads = jax.value_and_grad(loss_fn)(params, model, x, y)
        count = count + 1
        mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, grads)
        square = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, square, grads)
        scale = step_size / (1 - 0.9**count)
        params = jax.tree.map(
            lambda p, m, v: p - scale * m / (jnp.sqrt(v / (1 - 0.999**count)) + 1e-8),
            params,
            mean,
            square,
        )
        return params, (count, mean, square), losses.at[number].set(loss)

    adam, rest = state
    carry = params, tuple(adam), jnp.zeros(steps)
    params, memory, losses = jax.lax.fori_loop(0, steps, step, carry)
    return params, (type(adam)(*memory), rest), losses


def adam_steps__chained(params, state, model, loss_fn, x, y, steps=100, step_size=1e-3):
    optimizer = optax.chain(optax.scale_by_adam(), optax.scale_by_learning_rate(step_size))

    @jax.jit
    def step(carry, number):
        params, state = carry
        loss, grads = jax.value_and_grad(lambda params: loss_fn(params, model, x, y))(params)
        updates, state = optimizer.update(grads, state, params)
        return (jax.tree.map(jnp.add, params, updates), state), loss

    carry, losses = jax.lax.scan(step, (params, state), jnp.arange(steps))
    return *carry, losses


def test_training_lowers_the_loss__losses():
    x, y = dummy_image_data(batch=8)
    _, losses = train(make_autoencoder_params(1), autoencoder, mse_loss, x, y, steps=30)
    assert len(losses) == 30 and losses[-1] < losses[0]


def test_training_lowers_the_loss__before_and_after():
    params, data = make_autoencoder_params(), dummy_image_data(2)
    after, _ = train(params, autoencoder, mse_loss, *data, 15, 1e-2)
    assert float(mse_loss(after, autoencoder, *data)) < float(mse_loss(params, autoencoder, *data))


def test_every_parameter_receives_gradient__leaves():
    grads = jax.grad(mse_loss)(make_autoencoder_params(4), autoencoder, *dummy_image_data(3))
    assert all(jnp.abs(leaf).max() > 0 for leaf in jax.tree.leaves(grads))


def test_every_parameter_receives_gradient__changes():
    params = make_autoencoder_params()
    trained, _ = train(params, autoencoder, mse_loss, *dummy_image_data(), steps=1)
    for layer, kinds in params.items():
        for kind, before in kinds.items():
            assert not np.array_equal(before, trained[layer][kind])


def test_one_batch_can_be_overfitted__half():
    x, y = dummy_image_data(batch=2)
    _, losses = train(
        make_autoencoder_params(), autoencoder, mse_loss, x, y, steps=200, step_size=0.01
    )
    assert losses[-1] < losses[0] / 2


def test_one_batch_can_be_overfitted__small():
    x, y = dummy_image_data(7, batch=3)
    params, _ = train(
        make_autoencoder_params(), autoencoder, mse_loss, x, y, steps=400, step_size=0.01
    )
    assert np.mean((autoencoder(params, x) - y) ** 2) < 0.02


# --- 6 know your model --------------------------------------------------------------------


def strangeness__one_by_one(params, x, known):
    known_codes = np.asarray(encoder(params, known))
    return np.array(
        [
            np.linalg.norm(known_codes - code, axis=1).min()
            for code in np.asarray(encoder(params, x))
        ]
    )


def strangeness__by_products(params, x, known):
    codes, known_codes = encoder(params, x), encoder(params, known)
    squares = (codes**2).sum(1)[:, None] + (known_codes**2).sum(1) - 2 * codes @ known_codes.T
    return jnp.sqrt(jnp.maximum(squares, 0).min(axis=1))


def strangeness__scipy(params, x, known):
    return np.min(cdist(encoder(params, x), encoder(params, known)), axis=1)


def conformal_threshold__from_above(scores, alpha=0.1):
    beyond = int((len(scores) + 1) * alpha + 1e-9)  # so many may lie above it
    falling = sorted(map(float, scores), reverse=True)
    return falling[beyond - 1] if beyond else float("inf")


def conformal_threshold__with_infinity(scores, alpha=0.1):
    scores = jnp.sort(jnp.append(jnp.asarray(scores), jnp.inf))
    return scores[math.ceil((1 - alpha) * len(scores)) - 1]


def conformal_threshold__partition(scores, alpha=0.1):
    rank = math.ceil((1 - alpha) * (len(scores) + 1))
    if rank > len(scores):
        return np.inf
    return np.partition(scores, rank - 1)[rank - 1]


def is_strange__counted(params, x, known, calibration, alpha=0.1):
    scores = np.asarray(strangeness(params, calibration, known))
    new = np.asarray(strangeness(params, x, known))
    at_least = (scores >= new[:, None]).sum(axis=1) + 1
    return at_least <= (len(scores) + 1) * alpha


def is_strange__one_by_one(params, x, known, calibration, alpha=0.1):
    limit = float(conformal_threshold(strangeness(params, calibration, known), alpha=alpha))
    return np.array([float(score) > limit for score in strangeness(params, x, known)])


def second_strangeness__fifth_nearest(params, x, known):
    return np.sort(cdist(encoder(params, x), encoder(params, known)), axis=1)[:, 4]


def second_strangeness__mahalanobis(params, x, known):
    codes = encoder(params, known)
    gaps = encoder(params, x) - codes.mean(axis=0)
    return jnp.sqrt(jnp.sum(gaps @ jnp.linalg.inv(jnp.cov(codes.T)) * gaps, axis=1))


def second_strangeness__one_by_one(params, x, known):
    pairs = zip(np.asarray(autoencoder(params, x)), x, strict=True)
    return np.array([np.square(drawn - row).mean() for drawn, row in pairs])


def paired_difference__interval(a, b):
    gaps = np.subtract(a, b)
    center, error = np.mean(gaps), stats.sem(gaps)
    low, high = center + error * np.array(stats.t.ppf([0.025, 0.975], df=gaps.size - 1))
    return dict(high=high, low=low, mean=center)


def paired_difference__by_hand(a, b):
    gaps = [float(first) - float(second) for first, second in zip(a, b, strict=True)]
    mean = math.fsum(gaps) / len(gaps)
    variance = math.fsum((gap - mean) ** 2 for gap in gaps) / (len(gaps) - 1)
    reach = float(stats.t.isf(0.025, len(gaps) - 1)) * math.sqrt(variance / len(gaps))
    return {"mean": mean, "low": mean - reach, "high": mean + reach}


def count_flops__layers(batch, pixels=64, hidden=32, code=8):
    def product(rows, inner, columns):
        return 2 * rows * inner * columns

    sizes = [pixels, hidden, code, hidden, pixels]
    forward = train_step = 0
    for number, (before, after) in enumerate(zip(sizes, sizes[1:], strict=False)):
        forward += product(batch, before, after)
        train_step += product(batch, before, after) + product(before, batch, after)
        train_step += product(batch, after, before) if number else 0
    return {"forward": forward, "train_step": train_step}


def count_flops__in_one_line(batch, pixels=64, hidden=32, code=8):
    weights = np.int64(hidden) * 2 * (pixels + code)
    return dict(
        forward=2 * batch * weights, train_step=6 * batch * weights - 2 * batch * hidden * pixels
    )


def count_memory__arrays(batch, pixels=64, hidden=32, code=8):
    def bytes_of(shape):
        return np.zeros(shape, dtype=np.float32).nbytes

    shapes = [
        shape for layer in param_shapes(pixels, hidden, code).values() for shape in layer.values()
    ]
    kept = [(batch, pixels), *activation_shapes(batch, pixels, hidden, code).values()]
    params = sum(map(bytes_of, shapes))
    return {
        "activations": sum(map(bytes_of, kept)),
        "params": params,
        "gradients": params,
        "adam": params + params,
    }


def count_memory__in_one_line(batch, pixels=64, hidden=32, code=8):
    params = 4 * (2 * hidden * (pixels + code) + 2 * hidden + code + pixels)
    activations = 4 * batch * (2 * pixels + 2 * hidden + code)
    return dict(params=params, gradients=params, adam=2 * params, activations=activations)


def checked_images__step_by_step(x, pixels=64):
    x = np.array(x, dtype=np.float64)
    if len(np.shape(x)) != 2:
        raise ValueError("a batch of images has two axes")
    if x.shape[-1] != pixels:
        raise ValueError(f"an image has {pixels} pixels")
    if not np.all(np.isfinite(x)):
        raise ValueError("every pixel needs a number")
    if np.any(x < 0) or np.any(x > 1):
        raise ValueError("pixels go from 0 to 1")
    return x


def checked_images__in_jax(x, pixels=64):
    x = jnp.asarray(x, dtype=float)
    if x.shape[1:] != (pixels,):
        raise ValueError(f"{x.shape} is no batch of {pixels} pixels")
    if not bool(jnp.all(jnp.clip(x, 0, 1) == x)):
        raise ValueError("some pixel is not between 0 and 1")
    return x


def checked_images__row_by_row(x, pixels=64):
    if np.ndim(x) != 2 or np.shape(x)[1] != pixels:
        raise ValueError("not images of this size")
    for image in x:
        for value in image:
            if not 0 <= value <= 1:
                raise ValueError(f"a pixel of {value}")
    return np.reshape(x, (-1, pixels)).astype(float)


def in_words__several_sentences():
    return dict(
        use="It may be used. Of all images, those that it has learned from are its own kind.",
        not_for="It is not for other kinds. Nor is it for anything that somebody lives by.",
        not_looked_at="""Nobody has looked at any images
        that somebody else has collected.""",
    )


def in_words__put_together():
    unknown = " and ".join(["whatever comes later", "whatever came before"])
    return {
        "not_looked_at": f"We do not know about {unknown}.",
        "not_for": "- images that nobody checked\n- images of another size",
        "use": "For whoever wants to try it on images like ours.",
    }
