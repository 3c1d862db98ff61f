"""What the pair writes in this track, and the questions that each piece is asked."""

import atexit
import shutil
import tempfile
from functools import cache, partial
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from reimpl_helpers.base.words import shorten
from reimpl_helpers.checks.cases import Case, Piece, Refusal, tests_of
from reimpl_helpers.checks.compare import as_array
from reimpl_helpers.checks.porting import call_compiled_gradient, compiled
from reimpl_helpers.forward import call_counterpart, missing_counterparts
from reimpl_helpers.knowing import (
    distances_from,
    drawn_alpha,
    estimate,
    refused_case,
    threshold_of,
    whole,
    words_cases,
)
from reimpl_helpers.params import (
    draw_cases,
    linear_initial_at,
    nested,
    state_dict_cases,
    traced_key_case,
)
from reimpl_helpers.texts.package import load_pieces
from reimpl_helpers.training import growth_complaint, operations_in

SOLUTION = Path(__file__).parent / "solution"
A_PIXEL = "Which values may a pixel have?"
COMPILED = "ordinary", "other sizes"  # compiling for every probe would only take longer
# of -1000, 0 and 1000, where the exponential overflows
FAR_OUT = {"relu": [0.0, 0.0, 1000.0], "tanh": [-1.0, 0.0, 1.0], "sigmoid": [0.0, 0.5, 1.0]}


def sizes_of(probe):
    return tuple(probe.sizes[axis] for axis in ("pixels", "hidden", "code"))


def counterpart_cases(recording):
    for probe in recording.probes.values():
        names = {operation.op for operation in probe.operations}
        yield Case(probe.name, complaint=partial(missing_counterparts, names))
        for operation in probe.operations:
            yield Case(
                f"{operation.op}, {probe.name}",
                args=tuple(probe.value(name) for name in operation.inputs),
                expected=operation.values[0],
                call=partial(call_counterpart, operation.op),
            )
    for op, expected in FAR_OUT.items():
        args = (np.array([[-1000.0, 0.0, 1000.0]]),)
        call = partial(call_counterpart, op)
        yield Case(f"{op}, very large values", args, np.array([expected]), call=call)


def layers_of(probe):
    """Give name, x, weight, bias, their linear step, and the nonlinear operation after it."""
    for linear, after in zip(probe.operations[::2], probe.operations[1::2], strict=True):
        x, weight, bias = (probe.value(name) for name in linear.inputs)
        yield linear.module, x, weight, bias, linear.values[0], after


def layer_cases(recording):
    for probe in recording.probes.values():
        ask = partial(Case, probe.name)
        for _, x, weight, bias, linear, after in layers_of(probe):
            yield ask((weight.T, x, bias), linear)
            yield ask((weight.T, x), linear - bias)
            yield ask((weight.T, x, bias, after.op), after.values[0])
            yield ask(
                (weight.T, x),
                np.maximum(linear - bias, 0),
                call=lambda piece, *args: piece(*args, nonlinearity="relu"),
            )
    for nonlinearity, expected in FAR_OUT.items():
        args = np.eye(3), np.array([[-1000.0, 0.0, 1000.0]]), np.zeros(3), nonlinearity
        yield Case("very large values", args, np.array([expected]))


def layer_cases_in_jax(recording):
    few = "other sizes", "very large values"
    yield from (case for case in layer_cases(recording) if case.probe in few)
    for probe in recording.probes.values():
        layers = {
            name: {"weights": weight.T, "data": x, "bias": bias}
            for name, x, weight, bias, *_ in layers_of(probe)
        }
        after = {name: after for name, *_, after in layers_of(probe)}
        expected = {name: after[name].values[0] for name in layers}
        each = partial(of_each_layer, {name: after[name].op for name in layers})
        yield compiled(Case(probe.name, (layers,), expected), around=each)
    x = np.array([[-300.0, 0.5, 1000.0]])
    layer = {"weights": np.eye(3), "data": x, "bias": np.zeros(3)}
    expected = {"relu": np.maximum(x, 0), "tanh": np.tanh(x), "sigmoid": 1 / (1 + np.exp(-x))}
    each = partial(of_each_layer, {**{name: name for name in expected}, "none": None})
    layers = dict.fromkeys([*expected, "none"], layer)
    yield compiled(Case("values far out", (layers,), {**expected, "none": x}), around=each)


def of_each_layer(nonlinearities, piece, layers):
    return {
        name: piece(layer["weights"], layer["data"], layer["bias"], nonlinearities[name])
        for name, layer in layers.items()
    }


def encoder_cases(recording):
    for probe in recording.probes.values():
        args = nested(probe.params), probe.inputs["x"]
        yield Case(probe.name, args, probe.results["encoder"])


def decoder_cases(recording):
    for probe in recording.probes.values():
        args = nested(probe.params), probe.results["encoder"]
        yield Case(probe.name, args, probe.results["decoder"])
    probe = recording.probes["other sizes"]
    params, z = nested(probe.params), 3 * probe.results["encoder"]  # codes that no encoder gives
    yield Case("large codes", (params, z), decoded(params, z))


def encoded(params, x):
    hidden = np.maximum(x @ params["enc_hidden"]["weight"].T + params["enc_hidden"]["bias"], 0)
    return np.tanh(hidden @ params["enc_code"]["weight"].T + params["enc_code"]["bias"])


def decoded(params, z):
    hidden = np.maximum(z @ params["dec_hidden"]["weight"].T + params["dec_hidden"]["bias"], 0)
    pixels = hidden @ params["dec_pixels"]["weight"].T + params["dec_pixels"]["bias"]
    return 1 / (1 + np.exp(-pixels))


def autoencoder_cases(recording):
    for probe in recording.probes.values():
        args = nested(probe.params), probe.inputs["x"]
        yield Case(probe.name, args, probe.results["forward"])
    probe = recording.probes["ordinary"]
    x, expected = (np.repeat(v, 240, axis=0) for v in (probe.inputs["x"], probe.results["forward"]))
    yield Case("more than a thousand images", (nested(probe.params), x), expected)


def param_shape_cases(recording):
    for probe in recording.probes.values():
        shapes = {name: value.shape for name, value in probe.params.items()}
        yield Case(probe.name, sizes_of(probe), nested(shapes))


def activation_shape_cases(recording):
    for probe in recording.probes.values():
        shapes = {op.module: op.shapes[0] for op in probe.operations if op.op == "linear"}
        yield Case(probe.name, (probe.sizes["batch"], *sizes_of(probe)), shapes)


def fresh_cases(recording):
    return draw_cases(recording, COMPILED, sizes_of, linear_initial_at)


def fresh_cases_in_jax(recording):
    yield from fresh_cases(recording)
    yield traced_key_case(recording)


def two_arrays(answer):
    """Take apart what a function of data.py returns."""
    try:
        x, y = answer
    except (TypeError, ValueError):
        raise Refusal(
            "type",
            f"returns {shorten(answer)}, expected two arrays: what goes in, and what should "
            "come out.",
        ) from None
    return {"x": as_array(x, "for x"), "y": as_array(y, "for y")}


def dummy_data_cases(recording):
    for batch, pixels in ((32, 64), (5, 7), (1, 9)):
        yield Case(
            f"{batch} by {pixels}",
            args=(batch, pixels),
            complaint=partial(dummy_data_complaint, batch, pixels),
            call=lambda piece, *sizes: [piece(key, *sizes) for key in (1, 1, 2)],
        )
    yield Case(
        "no arguments",
        complaint=partial(dummy_data_complaint, 32, 64),
        call=lambda piece: [piece(), piece(), piece(1)],
    )


def dummy_data_complaint(batch, pixels, answers):
    first, again, other = (two_arrays(answer) for answer in answers)
    x, y = first["x"], first["y"]
    for name, value in first.items():
        if value.shape != (batch, pixels):
            return (
                f"{name} has the shape {value.shape} for a batch of {batch} images of {pixels} "
                "pixels.",
                "Which axis of it is which?",
            )
    if not (np.min(x) >= 0 and np.max(x) <= 1):
        return f"x reaches from {np.min(x):.3g} to {np.max(x):.3g}; grey levels are 0 to 1."
    if np.ptp(x) <= (0.5 if x.size > 1000 else 0) or len(np.unique(x, axis=0)) < batch:
        return "the images are all but alike.", "What should a batch of images hold?"
    if not np.array_equal(x, y):
        return "x and y differ.", "What should an autoencoder draw from an image?"
    if not np.array_equal(x, again["x"]):
        return "drawn twice with the same key, and different.", "Does it use the key?"
    if np.array_equal(x, other["x"]):
        return "the same images for two different keys.", "Does it use the key?"
    return None


def digit_data_cases(recording):
    for name, path in (
        ("digits", recording.path),
        ("other digits", *other_digits(np.random.default_rng(0))),
    ):
        x = load_file(path)["data/images"].reshape(-1, 64) / 16
        yield Case(name, (path,), {"x": x, "y": x}, part=digits, unseen=other_digits)


def other_digits(rng):
    """Write a file such as the recording with other images in it."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder) / "recording.safetensors"
    images = rng.integers(0, rng.integers(5, 17), size=(20, 8, 8), dtype=np.uint8)  # 16 in none
    labels = rng.integers(0, 10, size=20, dtype=np.uint8)
    save_file({"data/images": images, "data/labels": labels}, path)
    return (path,)


def digits(answer):
    """Take digits in float32 as well: every sixteenth is exact in it."""
    arrays = two_arrays(answer)
    return {
        name: array.astype(np.float64) if array.dtype == np.float32 else array
        for name, array in arrays.items()
    }


@cache
def compiled_autoencoder():
    import jax

    compiled = jax.jit(load_pieces(SOLUTION, "model").autoencoder)
    return lambda params, x: compiled(params, x)


def other_model(params, x):
    """Compute something else than the autoencoder: losses and loops must take any model."""
    return 0.5 * x + params["dec_pixels"]["bias"]


def loss_cases(recording):
    for probe in recording.probes.values():
        args = nested(probe.params), compiled_autoencoder(), probe.inputs["x"], probe.target
        case = Case(probe.name, args, np.float64(probe.loss))
        yield case if probe.name == "ordinary" else compiled(case, static=1)
        if probe.name in COMPILED:
            yield Case(
                f"gradients, {probe.name}",
                args,
                nested(probe.gradients),
                call=partial(call_compiled_gradient, 1),
            )
    probe = recording.probes["other sizes"]
    params, x, y = nested(probe.params), probe.inputs["x"], probe.target
    expected = np.mean((other_model(params, x) - y) ** 2)
    yield Case("another model", (params, other_model, x, y), expected)
    hit = params, other_model, x, other_model(params, x)
    expected = nested({name: np.zeros_like(value) for name, value in probe.params.items()})
    call = partial(call_compiled_gradient, 1)
    yield Case("gradients where every pixel is hit", hit, expected, call=call)


def adam_cases(recording):
    yield from adam_cases_on_a_bias(recording)
    training, autoencoder = recording.training, compiled_autoencoder()
    x, y, losses = training.x, training.y, training.losses

    def trained(answer):
        params, _, losses = answer
        end = np.mean((autoencoder(params, x) - y) ** 2)
        return {"the losses": array_of(losses), "the params returned": end}

    steps = len(losses) - 1
    yield Case(
        f"{steps} steps of Adam",
        (nested(training.params), autoencoder, mean_square, x, y),
        {"the losses": losses[:steps], "the params returned": losses[steps]},
        call=partial(call_adam, steps=steps, step_size=training.learning_rate),
        part=trained,
    )


def adam_cases_on_a_bias(recording):
    """Ask for steps with a model so small that compiling takes no time: it has one bias."""
    x, bias = recording.training.x, recording.training.params["dec_pixels.bias"]
    params, steps, step_size = {"dec_pixels": {"bias": bias}}, 6, 20.0
    more = np.concatenate([x, x[::-1] / 2])
    y = 100 * (1 - more)
    yield Case(
        "six steps with one bias",
        (params, other_model, other_loss, more, y),
        adam_on_bias(bias, more, y, steps, step_size, 3),
        call=partial(call_adam, steps=steps, step_size=step_size),
        part=bias_and_losses,
    )
    yield Case(
        "no steps given",
        (params, other_model, mean_square, x, x),
        adam_on_bias(bias, x, x, steps=100, step_size=1e-3),
        call=call_adam,
        part=bias_and_losses,
    )
    yield Case(
        "four steps, then two",
        (params, other_model, mean_square, more, y),
        adam_on_bias(bias, more, y, steps, step_size),
        call=partial(call_adam_twice, step_size=step_size),
        part=bias_and_losses,
    )
    yield Case(
        "compiled",
        (params, other_model, mean_square, x, x),
        complaint=partial(growth_complaint, (3, 30), "steps", "long trainings"),
        call=lambda piece, *args: [program_size(piece, *args, steps=steps) for steps in (3, 30)],
    )


def mean_square(params, model, x, y):
    return ((model(params, x) - y) ** 2).mean()


def other_loss(params, model, x, y):
    return 3 * mean_square(params, model, x, y)


def call_adam(piece, params, *args, **more):
    import optax

    return piece(params, optax.adam(1e-3).init(params), *args, **more)


def call_adam_twice(piece, params, *args, step_size):
    params, state, first = call_adam(piece, params, *args, steps=4, step_size=step_size)
    params, state, then = piece(params, state, *args, steps=2, step_size=step_size)
    return params, state, np.concatenate([first, then])


def program_size(piece, params, model, loss_fn, x, y, steps):
    """Count the operations that JAX compiles for so many steps."""
    import jax

    program = jax.make_jaxpr(lambda params: call_adam(piece, params, model, loss_fn, x, y, steps))
    return operations_in(program(params).jaxpr)


def bias_and_losses(answer):
    params, _, losses = answer
    bias = np.asarray(params["dec_pixels"]["bias"])
    return {"the losses": array_of(losses), "the params returned": bias}


def array_of(losses):
    """Take an array of losses alone: train reads it as one."""
    return as_array(losses, "for the losses").astype(float)


def adam_on_bias(bias, x, y, steps, step_size, scale=1):
    """Train other_model in NumPy: of its params, only one bias has a gradient."""
    mean, square, losses = 0.0, 0.0, []
    for step in range(1, steps + 1):
        error = 0.5 * x + bias - y
        losses.append(scale * np.mean(error**2))
        grad = scale * 2 * error.sum(axis=0) / error.size
        mean, square = 0.9 * mean + 0.1 * grad, 0.999 * square + 0.001 * grad**2
        root = np.sqrt(square / (1 - 0.999**step)) + 1e-8
        bias = bias - step_size * mean / (1 - 0.9**step) / root
    return {"the losses": np.array(losses), "the params returned": bias}


def strangeness_cases(recording):
    rng = np.random.default_rng(0)
    for name, count in (("ordinary", 6), ("other sizes", 3)):
        probe = recording.probes[name]
        params, x = nested(probe.params), probe.inputs["x"]
        known = rng.uniform(size=(count, x.shape[1]))
        expected = distances(params, x, known)
        yield Case(probe.name, (params, x, known), expected, unseen=other_images)


def other_images(rng):
    """Draw a model and images, none of them known: a distance of zero would be all rounding."""
    params = {
        "enc_hidden": {"weight": rng.normal(size=(7, 9)), "bias": rng.normal(size=7)},
        "enc_code": {"weight": rng.normal(size=(3, 7)), "bias": rng.normal(size=3)},
    }
    return params, rng.uniform(size=(6, 9)), rng.uniform(size=(4, 9))


def distances(params, x, known):
    """Measure from each image's code to the nearest of the known ones' codes."""
    gaps = encoded(params, x)[:, None] - encoded(params, known)
    return np.linalg.norm(gaps, axis=-1).min(axis=1)


def threshold_cases(recording):
    rng = np.random.default_rng(0)
    for count, alpha in ((100, 0.05), (7, 0.3), (30, 0.1), (9, 0.1), (1, 0.5)):
        scores = rng.exponential(size=count)
        expected = threshold_of(scores, alpha)
        name = f"{count} scores, one in {round(1 / alpha)}"
        part = partial(refuse_infinity, count, alpha)
        yield Case(name, (scores, alpha), expected, part=part, unseen=other_scores)
    for count, alpha in ((5, 0.1), (30, 0.01)):
        yield Case(
            f"{count} scores, one in {round(1 / alpha)}",
            args=(rng.exponential(size=count), alpha),
            complaint=partial(promise_complaint, count, alpha),
        )


def refuse_infinity(count, alpha, answer):
    if np.isposinf(as_array(answer, "for the threshold")):
        raise Refusal(
            "values",
            f"infinite for {count} scores and an alpha of {alpha:.3g}: they are enough to promise "
            "that.",
            "How many of the scores may lie above the threshold?",
        )
    return answer


def other_scores(rng):
    count = int(rng.integers(12, 60))
    return rng.normal(size=count), drawn_alpha(rng, count)


def promise_complaint(count, alpha, answer):
    if np.isposinf(as_array(answer, "for the threshold")):
        return None
    return (
        f"{count} scores are too few to promise that a new one exceeds {answer:.4g} at most one "
        f"time in {round(1 / alpha)}: it may be the largest of them all more often than that.",
        "Which threshold is never exceeded?",
    )


def verdict_cases(recording):
    rng = np.random.default_rng(0)
    for name, count, alpha in (("ordinary", 19, 0.3), ("other sizes", 12, 0.5)):
        probe = recording.probes[name]
        params, pixels = nested(probe.params), probe.sizes["pixels"]
        args = params, *images_to_judge(rng, pixels, count), alpha
        yield Case(probe.name, args, strange(*args), unseen=other_images_to_judge)
    params = nested({name: np.zeros_like(value) for name, value in probe.params.items()})
    args = params, *images_to_judge(rng, pixels, count), 0.2
    yield Case("a model of zeros", args, np.zeros(8, dtype=bool), unseen=other_images_to_judge)


def images_to_judge(rng, pixels, count):
    """Draw images to be judged, known ones, and so many for the threshold."""
    x, known, calibration = (rng.uniform(size=(n, pixels)) for n in (8, 2 + count // 4, count))
    x[::2] = 3 * x[::2] - 1  # as no image is
    return x, known, calibration


def other_images_to_judge(rng):
    params, *_ = other_images(rng)
    return params, *images_to_judge(rng, 9, 15), drawn_alpha(rng, 15)


def strange(params, x, known, calibration, alpha):
    threshold = threshold_of(distances(params, calibration, known), alpha)
    return distances(params, x, known) > threshold


def second_cases(recording):
    rng = np.random.default_rng(0)
    for name in ("ordinary", "other sizes"):
        probe = recording.probes[name]
        known = rng.uniform(size=(8 * probe.sizes["code"], probe.sizes["pixels"]))
        args = nested(probe.params), probe.inputs["x"], known
        yield Case(probe.name, args, choices=second_scores, unseen=other_images_in_full)


def second_scores(params, x, known):
    codes, known_codes = encoded(params, x), encoded(params, known)
    error = ((decoded(params, codes) - x) ** 2).mean(axis=1)
    return {"error": error, **distances_from(known_codes, codes)}


def other_images_in_full(rng):
    """Draw a whole model, images, and more known ones than a code has numbers."""
    params, x, _ = other_images(rng)
    decoder = {
        "dec_hidden": {"weight": rng.normal(size=(7, 3)), "bias": rng.normal(size=7)},
        "dec_pixels": {"weight": rng.normal(size=(9, 7)), "bias": rng.normal(size=9)},
    }
    return params | decoder, x, rng.uniform(size=(24, 9))


def difference_cases(recording):
    rng = np.random.default_rng(0)
    for count in (10, 4, 25):
        a = rng.normal(size=count)
        b = a + rng.normal(0.2, 0.4, size=count)
        found, _ = estimate(a - b)
        expected = {"mean": found.value, "low": found.low, "high": found.high}
        yield Case(f"{count} seeds", (a, b), expected)


def flops_cases(recording):
    for probe in recording.probes.values():
        products = [2 * len(x) * weight.size for _, x, weight, *_ in layers_of(probe)]
        # of the images, which go into the first layer, nobody asks for a gradient
        step = 3 * sum(products) - products[0]
        expected = {"forward": sum(products), "train_step": step}
        args = probe.sizes["batch"], *sizes_of(probe)
        yield Case(probe.name, args, expected, part=whole)


def memory_cases(recording):
    for probe in recording.probes.values():
        params = 4 * sum(value.size for value in probe.params.values())
        outputs = sum(len(x) * len(weight) for _, x, weight, *_ in layers_of(probe))
        expected = {
            "params": params,
            "gradients": params,
            "adam": 2 * params,
            "activations": 4 * (probe.inputs["x"].size + outputs),
        }
        args = probe.sizes["batch"], *sizes_of(probe)
        yield Case(probe.name, args, expected, part=whole)


def checked_cases(recording):
    rng = np.random.default_rng(0)
    for batch, pixels in ((5, 64), (3, 9), (1, 4), (0, 9)):
        x = rng.uniform(size=(batch, pixels))
        name = f"{batch} images of {pixels} pixels" if batch else "no images"
        yield Case(name, (x, pixels), x, unseen=other_checked_images if batch else None)
    x = rng.integers(2, size=(3, 9))
    yield Case("zeros and ones, as whole numbers", (x, 9), x.astype(float))
    x = rng.uniform(size=(4, 9))
    wrong_values = {"NaN": np.nan, "infinity": np.inf, "-0.25": -0.25, "1.5": 1.5}
    for name, wrong in wrong_values.items():
        one = x.copy()
        one[-1, 3] = wrong
        yield refused_case(f"{name} in one pixel", A_PIXEL, one, 9)
    yield refused_case("grey levels from 0 to 16", A_PIXEL, 16 * x, 9)
    yield refused_case("a pixel too many", A_PIXEL, x, 8)
    yield refused_case("one image that is no batch", A_PIXEL, x[0], 9)
    yield refused_case("images of 3 by 3", A_PIXEL, x.reshape(4, 3, 3), 9)
    yield refused_case("no images, of a pixel too few", A_PIXEL, x[:0, 1:], 9)


def other_checked_images(rng):
    return rng.uniform(size=(6, 7)), 7


PIECES = [
    Piece("numpy_counterparts", None, 1, counterpart_cases),
    Piece("nn_layer", "model", 1, layer_cases),
    Piece("encoder", "model", 1, encoder_cases),
    Piece("decoder", "model", 1, decoder_cases),
    Piece("autoencoder", "model", 1, autoencoder_cases),
    Piece("param_shapes", "shapes", 2, param_shape_cases),
    Piece("activation_shapes", "shapes", 2, activation_shape_cases),
    Piece("make_autoencoder_params", "params", 3, fresh_cases),
    Piece("params_from_state_dict", "params", 3, state_dict_cases),
    *tests_of(
        4,
        test_layer_shape_and_relu=("relu left out", "output the other way round"),
        test_shapes=("mean taken over the batch", "decoder left out"),
        test_code_range=("tanh left out", "relu instead of tanh"),
        test_pixel_range=("sigmoid left out", "tanh instead of sigmoid"),
        test_rows_do_not_mix=("batch normalised", "mean taken over the batch"),
        test_bias_shifts_the_output=("bias left out", "bias subtracted"),
        test_by_hand=(
            "sign lost in the sigmoid",
            "no relu in the encoder",
            "no bias before the code",
            "no relu in the decoder",
            "no bias before the pixels",
        ),
    ),
    Piece("dummy_image_data", "data", 5, dummy_data_cases),
    Piece("digit_data", "data", 5, digit_data_cases),
    Piece("nn_layer", "model", 5, layer_cases_in_jax, port=True),
    Piece("make_autoencoder_params", "params", 5, fresh_cases_in_jax, port=True),
    Piece("mse_loss", "losses", 5, loss_cases),
    Piece("adam_steps", "training", 5, adam_cases),
    Piece("train", "training", 5, from_track="autoencoder"),
    *tests_of(
        5,
        test_training_lowers_the_loss=("gradient climbed", "never updated"),
        test_every_parameter_receives_gradient=("bias left out", "code rounded"),
        test_one_batch_can_be_overfitted=("never updated", "step far too small"),
    ),
    Piece("strangeness", "uncertainty", 6, strangeness_cases),
    Piece("conformal_threshold", "uncertainty", 6, threshold_cases),
    Piece("is_strange", "uncertainty", 6, verdict_cases),
    Piece("second_strangeness", "uncertainty", 6, second_cases),
    Piece("count_flops", "costs", 6, flops_cases),
    Piece("count_memory", "costs", 6, memory_cases),
    Piece("paired_difference", "uncertainty", 6, difference_cases),
    Piece("checked_images", "data", 6, checked_cases),
    Piece("in_words", "card", 6, words_cases),
]
