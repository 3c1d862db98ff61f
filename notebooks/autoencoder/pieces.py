"""What the pair writes in this track, and the questions that each piece is asked."""

from functools import partial
from pathlib import Path

import numpy as np

from reimpl_helpers.checks import Case, Piece
from reimpl_helpers.package import load_pieces
from reimpl_helpers.params import flat, initial_complaint, nested, shared_draws

SOLUTION = Path(__file__).parent / "solution"
TRACED = "ordinary", "other sizes"  # compiling for every probe would only take longer


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
                call=lambda piece, *args, op=operation.op: piece()[op](*args),
            )


def missing_counterparts(names, answer):
    if not isinstance(answer, dict):
        return f"returns {type(answer).__name__}, expected a dict from PyTorch's names."
    missing = sorted(names - set(answer))
    return f"no counterpart yet for {', '.join(missing)}." if missing else None


def layer_cases(recording):
    for probe in recording.probes.values():
        for linear, after in zip(probe.operations[::2], probe.operations[1::2], strict=True):
            x, weight, bias = (probe.value(name) for name in linear.inputs)
            ask = partial(Case, probe.name)
            yield ask(args=(weight.T, x, bias), expected=linear.values[0])
            yield ask(args=(weight.T, x), expected=linear.values[0] - bias)
            yield ask(args=(weight.T, x, bias, after.op), expected=after.values[0])


def layer_cases_in_jax(recording):
    import jax

    yield from layer_cases(recording)
    for case in layer_cases(recording):
        if case.probe not in TRACED:
            continue
        weights, data, *rest = case.args
        yield Case(
            case.probe,
            args=(weights, data),
            expected=case.expected,
            call=lambda piece, weights, data, rest=tuple(rest): jax.jit(
                lambda weights, data: piece(weights, data, *rest)
            )(weights, data),
        )


def encoder_cases(recording):
    for probe in recording.probes.values():
        args = nested(probe.params), probe.inputs["x"]
        yield Case(probe.name, args, probe.results["encoder"])


def decoder_cases(recording):
    for probe in recording.probes.values():
        args = nested(probe.params), probe.results["encoder"]
        yield Case(probe.name, args, probe.results["decoder"])


def autoencoder_cases(recording):
    for probe in recording.probes.values():
        args = nested(probe.params), probe.inputs["x"]
        yield Case(probe.name, args, probe.results["forward"])


def param_shape_cases(recording):
    for probe in recording.probes.values():
        shapes = {name: value.shape for name, value in probe.params.items()}
        yield Case(probe.name, sizes_of(probe), nested(shapes))


def activation_shape_cases(recording):
    for probe in recording.probes.values():
        shapes = {op.module: op.shapes[0] for op in probe.operations if op.op == "linear"}
        yield Case(probe.name, (probe.sizes["batch"], *sizes_of(probe)), shapes)


def draw_cases(recording):
    for probe in recording.probes.values():
        shapes = {name: value.shape for name, value in probe.params.items()}
        yield Case(
            probe.name,
            sizes_of(probe),
            nested(shapes),
            call=lambda piece, *sizes: nested(
                {name: np.shape(value) for name, value in flat(piece(1, *sizes)).items()}
            ),
        )
    yield Case("keys", complaint=key_complaint, call=lambda piece: [piece(1), piece(1), piece(2)])
    yield Case(
        "fifty keys",
        complaint=lambda trees: initial_complaint(trees, recording.initial),
        call=lambda piece: [piece(key) for key in range(50)],
    )


def key_complaint(trees):
    first, again, other = (flat(tree) for tree in trees)
    for name in first:
        if not np.array_equal(first[name], again[name]):
            return f"{name}: drawn twice with the same key, and different. Does it use the key?"
        if np.size(first[name]) > 1 and not np.ptp(first[name]):
            return f"{name}: every value is {np.ravel(first[name])[0]}. What does nn.Linear draw?"
        if np.array_equal(first[name], other[name]):
            return f"{name}: the same values for two different keys. Does it use the key?"
    shared = shared_draws([trees[0], trees[2]])
    if shared:
        return f"{' and '.join(shared)} are the same random numbers. Are they drawn independently?"
    return None


def draw_cases_in_jax(recording):
    import jax

    yield from draw_cases(recording)
    yield Case(
        "a traced key",
        expected=nested({name: value.shape for name, value in recording.params.items()}),
        call=lambda piece: nested(
            {name: np.shape(value) for name, value in flat(jax.jit(piece)(1)).items()}
        ),
    )


def state_dict_cases(recording):
    for probe in recording.probes.values():
        yield Case(probe.name, (probe.params,), nested(probe.params))


def dummy_data_cases(recording):
    def pair(answer):
        return dict(zip("xy", answer, strict=True))

    def complaint(batch, pixels, answers):
        for name, value in pair(answers[0]).items():
            if np.shape(value) != (batch, pixels):
                return (
                    f"{name} has the shape {np.shape(value)} for a batch of {batch} images of "
                    f"{pixels} pixels. Which axis of it is which?"
                )
        x, y = answers[0]
        if np.min(x) < 0 or np.max(x) > 1:
            return f"x reaches from {np.min(x):.3g} to {np.max(x):.3g}; grey levels are 0 to 1."
        if np.ptp(x) < 0.5 or (batch > 1 and np.array_equal(x[0], x[1])):
            return "the images are all but alike. What should a batch of images hold?"
        if not np.array_equal(x, y):
            return "x and y differ. What should an autoencoder draw from an image?"
        if not np.array_equal(x, answers[1][0]):
            return "drawn twice with the same key, and different. Does it use the key?"
        if np.array_equal(x, answers[2][0]):
            return "the same images for two different keys. Does it use the key?"
        return None

    for batch, pixels in ((32, 64), (5, 7), (1, 9)):
        yield Case(
            f"{batch} by {pixels}",
            args=(batch, pixels),
            complaint=partial(complaint, batch, pixels),
            call=lambda piece, *sizes: [piece(key, *sizes) for key in (1, 1, 2)],
        )
    yield Case("no arguments", complaint=lambda x: None, call=lambda piece: piece()[1])


def digit_data_cases(recording):
    x = recording.data["images"].reshape(-1, 64) / 16
    yield Case(
        "digits",
        args=(recording.path,),
        expected={"x": x, "y": x},
        call=lambda piece, path: dict(zip("xy", piece(path), strict=True)),
    )


def loss_cases(recording):
    import jax

    autoencoder = load_pieces(SOLUTION, "model").autoencoder
    for probe in recording.probes.values():
        args = nested(probe.params), autoencoder, probe.inputs["x"], probe.target
        yield Case(probe.name, args, np.float64(probe.loss))
        if probe.name in TRACED:
            yield Case(
                f"gradients, {probe.name}",
                args=args,
                expected=nested(probe.gradients),
                call=lambda piece, params, *args: jax.grad(piece)(params, *args),
            )


def training_cases(recording):
    autoencoder = load_pieces(SOLUTION, "model").autoencoder
    mse_loss = load_pieces(SOLUTION, "losses").mse_loss
    training = recording.training
    start = nested(training.params)
    args = start, autoencoder, training.x, training.y

    def learn(piece, params, *data, steps=len(training.losses)):
        return piece(params, *data, steps=steps, step_size=training.learning_rate)

    def complaint(answer):
        if mse_loss(answer[0], *args[1:]) >= training.losses[-1]:
            return "the losses are right, but the params returned are not the trained ones."
        return None

    yield Case(
        "20 steps of Adam",
        args=args,
        expected=np.asarray(training.losses),
        call=lambda *args: np.asarray(learn(*args)[1], dtype=float),
    )
    yield Case("20 steps of Adam", args=args, complaint=complaint, call=learn)
    yield Case(
        "3 steps of Adam",
        args=args,
        expected=np.asarray(training.losses[:3]),
        call=lambda *args: np.asarray(learn(*args, steps=3)[1], dtype=float),
    )


def tests_of(step, **catches):
    return [Piece(name, "test_model", step, catches=bugs) for name, bugs in catches.items()]


PIECES = [
    Piece("numpy_counterparts", None, 1, counterpart_cases),
    Piece("nn_layer", "model", 1, layer_cases),
    Piece("encoder", "model", 1, encoder_cases),
    Piece("decoder", "model", 1, decoder_cases),
    Piece("autoencoder", "model", 1, autoencoder_cases),
    Piece("param_shapes", "shapes", 2, param_shape_cases),
    Piece("activation_shapes", "shapes", 2, activation_shape_cases),
    Piece("make_autoencoder_params", "params", 3, draw_cases),
    Piece("params_from_state_dict", "params", 3, state_dict_cases),
    *tests_of(
        4,
        test_layer_shape_and_relu=("relu left out", "weight transposed once more"),
        test_shapes=("mean taken over the batch", "decoder left out"),
        test_code_range=("tanh left out", "relu instead of tanh"),
        test_pixel_range=("sigmoid left out", "tanh instead of sigmoid"),
        test_rows_do_not_mix=("batch normalised", "mean taken over the batch"),
        test_bias_shifts_the_output=("bias left out", "bias subtracted"),
    ),
    Piece("dummy_image_data", "data", 5, dummy_data_cases),
    Piece("digit_data", "data", 5, digit_data_cases),
    Piece("nn_layer", "model", 5, layer_cases_in_jax, port=True),
    Piece("make_autoencoder_params", "params", 5, draw_cases_in_jax, port=True),
    Piece("mse_loss", "losses", 5, loss_cases),
    Piece("train", "training", 5, training_cases),
    *tests_of(
        5,
        test_training_lowers_the_loss=("gradient climbed", "never updated"),
        test_every_parameter_receives_gradient=("bias left out", "code rounded"),
        test_one_batch_can_be_overfitted=("never updated", "step far too small"),
    ),
]
