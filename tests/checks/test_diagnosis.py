"""Where a pair's code leaves the original: the operation is named, whatever the code looks like."""

import functools
import operator
import re
import sys
import textwrap
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import Primitive

from reimpl_helpers.checks import diagnosis
from reimpl_helpers.checks.diagnosis import (
    Values,
    first_difference,
    first_place_of,
    value_at,
    walk_back,
    watch,
)
from reimpl_helpers.originals.recording import Operation, Probe
from reimpl_helpers.params import nested
from reimpl_helpers.texts import package
from reimpl_helpers.tracks.track import Track, load_file

TRACK = Track("autoencoder", 0)
SOLUTION = TRACK.solution
PROBES = TRACK.recording.probes
METHODS = {"encoder": "x", "decoder": "z", "autoencoder": "x"}


def ask(function, method="encoder", probe="ordinary"):
    probe = PROBES[probe]
    x = probe.results["encoder"] if METHODS[method] == "z" else probe.inputs["x"]
    expected = probe.results["forward" if method == "autoencoder" else method]
    return first_difference(probe, expected, operator.call, function, (nested(probe.params), x))


def expression(operation):
    return operation and operation.expression


# --- every way to write an encoder, with a mistake at each of its operations ---

HEAD = """
def encoder(params, x):
    W, b, V, c = (params[name][kind] for name in LAYERS for kind in ("weight", "bias"))
"""
STYLES = {
    "one expression": "return TANH(RELU(x @ W.T + B) @ V.T + C)",
    "variables": """
        before = np.matmul(x, W.T)
        before = before + B
        hidden = RELU(before)
        code = hidden.dot(V.T) + C
        return TANH(code)""",
    "in place": """
        hidden = x @ W.T
        hidden += B
        hidden[:] = RELU(hidden)
        hidden = hidden @ V.T
        hidden += C
        return TANH(hidden, out=hidden)""",
    "transposed": "return TANH(V @ RELU(W @ x.T + (B)[:, None]) + (C)[:, None]).T",
    "asarray": """
        x, W, b, V, c = (np.asarray(value) for value in (x, W, b, V, c))
        return TANH(RELU(x @ W.T + B) @ V.T + C)""",
    "einsum": """
        hidden = RELU(np.einsum("bi,oi->bo", x, W) + B)
        return TANH(np.einsum("bi,oi->bo", hidden, V) + C)""",
    "bias in the product": """
        ones = np.ones((len(x), 1))
        hidden = RELU(np.hstack([x, ones]) @ np.column_stack([W, B]).T)
        return TANH(np.concatenate([hidden, ones], axis=1) @ np.c_[V, C].T)""",
    "rows": "return np.array([TANH(V @ RELU(W @ row + B) + C) for row in x])",
    "along an axis": """
        hidden = np.apply_along_axis(lambda row: RELU(W @ row + B), 1, x)
        return np.apply_along_axis(lambda row: TANH(V @ row + C), 1, hidden)""",
    "rows in place": """
        codes = np.zeros((len(x), len(c)))
        for row in range(len(x)):
            hidden = W @ x[row]
            hidden += B
            codes[row] = TANH(V @ RELU(hidden) + C)
        return codes""",
    "columns": """
        hidden = np.empty((len(x), len(b)))
        for unit in range(len(b)):
            hidden[:, unit] = RELU(x @ W[unit] + (B)[unit])
        return TANH(np.stack([hidden @ row for row in V], axis=1) + C)""",
}
LOOPS = {
    "loops": """
        def layer(x, weight, bias, after):
            output = np.empty((len(x), len(weight)))
            for row in range(len(x)):
                for unit in range(len(weight)):
                    total = bias[unit]
                    for feature in range(len(weight[unit])):
                        total += x[row, feature] * weight[unit, feature]
                    output[row, unit] = after(total)
            return output
        return layer(layer(x, W, B, lambda z: RELU(z)), V, C, lambda z: TANH(z))""",
    "numbers in one expression": """
        hidden = [[RELU(np.dot(row, unit) + bias) for unit, bias in zip(W, B)] for row in x]
        return np.array(
            [[TANH(sum(v * h for v, h in zip(unit, row)) + bias) for unit, bias in zip(V, C)]
             for row in hidden])""",
    "indices in one expression": """
        width, hidden = range(x.shape[1]), np.empty((len(x), len(b)))
        for row in range(len(x)):
            for unit in range(len(b)):
                hidden[row, unit] = RELU(sum(x[row, k] * W[unit, k] for k in width) + (B)[unit])
        width, code = range(len(b)), np.empty((len(x), len(c)))
        for row in range(len(x)):
            for unit in range(len(c)):
                code[row, unit] = TANH(sum(hidden[row, k] * V[unit, k] for k in width) + (C)[unit])
        return code""",
    "lists": """
        def product(rows, units, biases):
            return [[sum(a * b for a, b in zip(row, unit)) + bias
                     for unit, bias in zip(units, biases)] for row in rows]
        hidden = product(x.tolist(), W.tolist(), (B).tolist())
        hidden = [[float(RELU(value)) for value in row] for row in hidden]
        code = product(hidden, V, C)
        return np.array([[TANH(value) for value in row] for row in code])""",
    "Python's own numbers": """
        def layer(rows, units, biases, is_code):
            output, nothing = [], float("nan")
            for row in rows:
                output.append([])
                for unit, bias in zip(units, biases):
                    total = bias
                    for k in range(len(unit)):
                        total += row[k] * unit[k]
                    output[-1].append(float(TANH(total)) if is_code else float(RELU(total)))
            return output
        hidden = layer(x.tolist(), W.tolist(), (B).tolist(), False)
        return np.array(layer(hidden, V.tolist(), (C).tolist(), True))""",
}
IN_JAX = {
    "eager": STYLES["one expression"],
    "jax.numpy variables": STYLES["variables"],
    "jitted": """
        def layer(x, weight, bias):
            return jnp.einsum("bi,oi->bo", x, weight) + bias
        layer = jax.jit(layer)
        return jax.jit(lambda x: TANH(layer(RELU(layer(x, W, B)), V, C)))(x)""",
    "vmapped": "return jax.vmap(lambda row: TANH(V @ RELU(W @ row + B) + C))(x)",
    "scanned": """
        step = lambda carry, row: (carry, TANH(V @ RELU(W @ row + B) + C))
        return jax.lax.scan(step, 0.0, jnp.asarray(x))[1]""",
    "mapped": """
        W, V = jnp.asarray(W), jnp.asarray(V)
        return jax.jit(lambda x: jax.lax.map(lambda row: TANH(V @ RELU(W @ row + B) + C), x))(x)""",
    "fori": """
        def put(row, codes):
            return codes.at[row].set(TANH(V @ RELU(W @ jnp.asarray(x)[row] + B) + C))
        return jax.lax.fori_loop(0, len(x), put, jnp.zeros((len(x), len(c))))""",
    "back to NumPy half way": """
        hidden = np.asarray(jnp.dot(x, W.T) + B)
        return TANH(jnp.asarray(RELU(hidden) @ V.T) + C)""",
    "a question to a value": """
        hidden = jnp.asarray(x) @ W.T + B
        hidden = RELU(hidden) if float(hidden.max()) > 0 else 0 * hidden
        return TANH(hidden @ V.T + C)""",
}
MISTAKES = {  # what stands there instead, and the index of the operation that is missed then
    "B": ("b", "2 * b", 0),
    "RELU": ("np.maximum(0, ", "np.abs(", 1),
    "C": ("c", "-c", 2),
    "TANH": ("np.tanh(", "np.arctan(", 3),
}


def encoder_in(style, wrong=None, in_jax=False):
    """Write an encoder in a style, with one mistake or none."""
    source = HEAD + textwrap.indent(textwrap.dedent(style).strip(), "    ")
    for token, (right, mistaken, _) in MISTAKES.items():
        code = mistaken if token == wrong else right
        code = code.replace("np.maximum(0, ", "jax.nn.relu(") if in_jax else code
        source = re.sub(rf"\b{token}\b\(?", code, source)
    if in_jax:
        source = re.sub(r"\bnp\.(?!asarray)", "jnp.", source)
    names = {"np": np, "jax": jax, "jnp": jnp, "LAYERS": ("enc_hidden", "enc_code")}
    exec(compile(source, "<ipython-input-1>", "exec"), names)
    return names["encoder"]


@pytest.mark.parametrize("style", STYLES)
def test_numpy(style):
    assert_right(encoder_in(STYLES[style]))
    for wrong, (_, _, missed) in MISTAKES.items():
        found = ask(encoder_in(STYLES[style], wrong))
        assert found.operation.index == missed, (wrong, found)
        assert expression(found.equal_up_to) == expression_before(missed)


def expression_before(index):
    return PROBES["ordinary"].operations[index - 1].expression if index else None


@pytest.mark.parametrize("style", LOOPS)
def test_element_by_element(style):
    """A relu that is wrong below zero only shows in what reads it: nobody computes a zero."""
    assert_right(encoder_in(LOOPS[style]), "wide hidden")
    for wrong, (_, _, missed) in MISTAKES.items():
        found = ask(encoder_in(LOOPS[style], wrong), probe="wide hidden")
        assert found.operation.index == {1: 2}.get(missed, missed), (wrong, found)
        assert found.equal_up_to is None or found.equal_up_to.index != 1 or wrong != "RELU"


@pytest.mark.parametrize("style", IN_JAX)
def test_jax(style):
    assert_right(encoder_in(IN_JAX[style], in_jax=True))
    for wrong, (_, _, missed) in MISTAKES.items():
        found = ask(encoder_in(IN_JAX[style], wrong, in_jax=True))
        assert found.operation.index == missed, (wrong, found)
        assert expression(found.equal_up_to) == expression_before(missed)


def assert_right(function, probe="ordinary"):
    """Make sure that a style is right where no mistake is made: it must not be its own."""
    probe = PROBES[probe]
    with jax.enable_x64(True):
        answer = function(nested(probe.params), probe.inputs["x"])
    np.testing.assert_allclose(answer, probe.results["encoder"], atol=1e-12)


# --- right code leaves nothing out ---


@functools.cache
def right_code():
    """Collect the workbook's own code for the four pieces, and all other right ways."""
    with package.imported_from(SOLUTION):
        variants = vars(load_file(TRACK.home / "variants.py"))
        before, after = (vars(load_file(SOLUTION / f"{m}.py")) for m in ("before_port", "model"))
    names = ("nn_layer", "encoder", "decoder", "autoencoder")
    found = {name: value for name, value in variants.items() if name.split("__")[0] in names}
    found |= {f"{name}, in JAX": after[name] for name in names}
    return found | {"nn_layer, in NumPy": before["nn_layer"]}


@pytest.mark.parametrize("name", right_code())
def test_right_code_misses_nothing_but_what_is_asked_for(name):
    piece = next(piece for piece in TRACK.pieces if piece.name == re.split("__|,", name)[0])
    asked = 0
    for case in TRACK.cases(piece):
        probe = PROBES.get(case.probe)
        target = probe and first_place_of(probe, case.expected)
        if target and case.probe in ("other sizes", "one row", "large values"):
            asked += 1
            with jax.enable_x64(True):
                values = produced(probe, case.call, right_code()[name], case.args)
            assert walk_back(probe, target, values.holds) == {target}
            assert values.shows(value_at(probe, target))
    assert asked >= 3


def produced(probe, call, function, args):
    values = Values([value for operation in probe.operations for value in operation.values])
    values.add(args)
    watch(values, call, function, args)
    return values


def in_place(x):
    same = x
    x += 1
    x[x > 1.5] -= 1
    np.tanh(x, out=x)
    np.add.at(x, [0, 1], 2.0)
    return np.concatenate([same, np.clip(x, None, 1.0)], axis=0)


def with_numbers(x):
    number = x[0, 1]
    number += 1
    memory = {number: number**0.5, x[0, 2]: number.astype(np.float32).item()}
    return np.array(
        [*memory.values(), *divmod(number, 0.3), round(number, 2), -number, number.ndim]
    )


@pytest.mark.parametrize(
    "function",
    [
        in_place,
        with_numbers,
        lambda x: np.vectorize(lambda value: max(value, 0.5))(x),
        lambda x: (x - x.mean(0)) / x.std(axis=0, keepdims=True),
        lambda x: np.add.reduce(x, where=x > 0.5, axis=0).dot(np.linalg.svd(x)[2]),
        lambda x: [row[row.argmax()] for row in np.split(x.cumsum(axis=1).ravel(), 3)],
        lambda x: x.astype(np.float32) * float(x[0, 0]) + np.array(2.0, np.float32),
        lambda x: jax.vmap(jnp.tanh)(x) + x[0, 0],
        jax.jit(lambda x: jnp.tanh(x) @ x.T),
        lambda x: x @ jnp.asarray(x).T + np.tanh(jnp.asarray(x[:, :3])),
        lambda x: jnp.zeros((2, 2)).at[0, 0].set(x[0, 0]) + jnp.stack([x[1, 1], x[1, 2] * 2]),
        lambda x: jax.lax.cond(x[0, 0] > 0, jnp.sin, jnp.cos, x),
        lambda x: jax.grad(lambda x: jnp.sum(jax.checkpoint(jax.nn.gelu)(x)))(x),
        lambda x: jax.lax.while_loop(lambda x: x.sum() < 50, lambda x: 2 * x, x),
        lambda x: jax.random.normal(jax.random.key(0), x.shape) + x,
    ],
)
def test_watched_code_computes_what_it_does_otherwise(function):
    x = np.random.default_rng(7).uniform(size=(3, 4))
    with jax.enable_x64(True):
        expected = np.asarray(function(x.copy()))
        answer = np.array(watch(Values([x]), operator.call, function, (x,)), subok=False)
    assert (answer.dtype, answer.shape) == (expected.dtype, expected.shape)
    np.testing.assert_allclose(answer, expected, rtol=1e-14)


def test_jax_is_handed_arrays_of_numpys_own_only(monkeypatch):
    """It refuses others, but not always."""
    kinds, bind = set(), Primitive.bind

    def look(primitive, *args, **params):
        kinds.update(map(type, args))
        return bind(primitive, *args, **params)

    monkeypatch.setattr(Primitive, "bind", look)
    x = np.ones((3, 4))
    watch(Values([x]), operator.call, lambda x: jax.vmap(jnp.tanh)(x) + x[0, 0], (x,))
    assert kinds and not any(issubclass(kind, diagnosis.Watching) for kind in kinds)


# --- single layers, decoders, whole models ---


def test_one_layer():
    """What a layer is given is known, even where an earlier layer computed it."""

    def wrong_bias(weights, data, bias, nonlinearity):
        return np.maximum(data @ weights - bias, 0)

    def wrong_relu(weights, data, bias, nonlinearity):
        return np.abs(data @ weights + bias)

    piece, probe = next(p for p in TRACK.pieces if p.name == "nn_layer"), PROBES["other sizes"]
    cases = [case for case in TRACK.cases(piece) if case.args[3:] == ("relu",)]
    cases = [case for case in cases if case.probe == "other sizes"]
    for case, index in zip(cases, (0, 4), strict=True):
        linear, relu = probe.operations[index : index + 2]
        found = first_difference(probe, case.expected, case.call, wrong_bias, case.args)
        assert found.operation is linear and found.equal_up_to is None
        found = first_difference(probe, case.expected, case.call, wrong_relu, case.args)
        assert found.operation is relu and found.equal_up_to is linear


def layer(params, name, x):
    return x @ params[name]["weight"].T + params[name]["bias"]


def encoder(params, x):
    return np.tanh(layer(params, "enc_code", np.maximum(layer(params, "enc_hidden", x), 0)))


def decoder(params, z):
    hidden = np.maximum(layer(params, "dec_hidden", z), 0)
    return 1 / (1 + np.exp(-layer(params, "dec_pixels", hidden)))


def autoencoder(params, x, at=None, change=None):
    """Compute as the original does, but for a change to what one operation gives."""
    after = [np.maximum, np.tanh, np.maximum, lambda z: 1 / (1 + np.exp(-z))]
    for number, (name, activation) in enumerate(zip(params, after, strict=True)):
        for index, operation in enumerate((functools.partial(layer, params, name), activation)):
            x = operation(x, 0) if operation is np.maximum else operation(x)
            x = change(x) if at == 2 * number + index else x
    return x


CHANGES = {
    "rounded": lambda x: x.round(2),
    "doubled": lambda x: 2 * x,
    "rows swapped": lambda x: x[::-1],
    "batch normalised": lambda x: x - x.mean(axis=0),
    "scaled": lambda x: x / np.sqrt(x.shape[-1]),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("at", range(7))
def test_a_value_changed_on_the_way(at, change):
    """The value itself is computed: what is missed is the next one."""
    wrong = functools.partial(autoencoder, at=at, change=CHANGES[change])
    found = ask(wrong, "autoencoder", "other sizes")
    operations = PROBES["other sizes"].operations
    assert found.operation is operations[at + 1]
    assert found.equal_up_to is operations[at]


def test_a_mistake_in_the_decoder_alone():
    def wrong(params, z):
        return np.tanh(layer(params, "dec_pixels", np.maximum(layer(params, "dec_hidden", z), 0)))

    for method, function in {
        "decoder": wrong,
        "autoencoder": lambda params, x: wrong(params, encoder(params, x)),
    }.items():
        found = ask(function, method, "other sizes")
        assert found.operation.op == "sigmoid" and found.equal_up_to.module == "dec_pixels"


def test_another_layers_weight():
    def wrong(params, z):
        hidden = np.maximum(z @ params["enc_code"]["weight"] + params["dec_hidden"]["bias"], 0)
        return 1 / (1 + np.exp(-layer(params, "dec_pixels", hidden)))

    found = ask(wrong, "decoder")
    assert (found.operation.index, found.equal_up_to) == (4, None)
    assert found.candidate.shape == (5, 32)


def test_an_argument_that_is_never_read():
    def wrong(params, z):
        z = np.zeros(z.shape)
        hidden = np.maximum(z @ params["dec_hidden"]["weight"].T, 0)
        return 1 / (1 + np.exp(-layer(params, "dec_pixels", hidden)))

    assert ask(wrong, "decoder").operation.index == 4  # not among the encoder's, all of them missed


def test_an_answer_that_is_lost_again():
    found = ask(lambda params, x: encoder(params, x) + 1)
    assert found.is_lost and found.operation.op == "tanh"
    assert found.headline == (
        "Your code computes line 33 of original.py, torch.tanh(self.enc_code(hidden)), "
        "but returns something else. What becomes of it?"
    )
    assert found.details.splitlines()[0] == (
        "equal up to original.py line 33   torch.tanh(self.enc_code(hidden))"
    )
    assert re.fullmatch(
        r"nearest of yours: largest difference 1, at \[\d, \d\]: yours [\d.]+, the original's .*",
        found.details.splitlines()[1],
    )
    rows = ask(lambda params, x: np.stack([encoder(params, row) for row in x])[::-1])
    assert rows.is_lost
    turned = ask(lambda params, x: encoder(params, x).T)
    assert turned.is_lost and turned.candidate is None
    assert turned.details.splitlines()[1] == "your answer is no array of shape (5, 8)"
    leaky = ask(lambda params, x: np.maximum(z := layer(params, "enc_hidden", x), 0.01 * z))
    assert not leaky.is_lost


# --- other originals, written by hand ---


class Tape:
    """Record a made-up original, one operation after another."""

    def __init__(self, **inputs):
        self.inputs, self.operations = inputs, []

    def note(self, expression, inputs, *values, variable=None):
        index = len(self.operations)
        facts = ("", "forward", 10 + index, expression, variable, tuple(inputs.split()))
        values = tuple(np.asarray(value) for value in values)
        self.operations.append(Operation(index, "made up", *facts, values))
        return f"#{index}"

    def ask(self, function, *names):
        operations = tuple(self.operations)
        last = operations[-1].values[-1]
        probe = Probe("tape", "", {}, {}, self.inputs, last, operations, {}, 0.0, {})
        return first_difference(
            probe, last, operator.call, function, tuple(map(self.inputs.get, names))
        )


def recurrent():
    """Record h = tanh(x_t @ wx + h @ wh) over three steps; the first h is zeros."""
    rng = np.random.default_rng(1)
    x, wx, wh = rng.normal(size=(2, 3, 4)), rng.normal(size=(4, 5)), rng.normal(size=(5, 5))
    tape, h, last, hs = Tape(x=x, wx=wx, wh=wh), np.zeros((2, 5)), None, []
    for t in range(3):
        now = tape.note("x[:, t]", "x", x[:, t])
        a = tape.note("x[:, t] @ self.wx", f"{now} wx", x[:, t] @ wx)
        b = tape.note("h @ self.wh", f"{last or ''} wh", h @ wh)
        both = tape.note("x[:, t] @ self.wx + h @ self.wh", f"{a} {b}", x[:, t] @ wx + h @ wh)
        h = np.tanh(x[:, t] @ wx + h @ wh)
        last = tape.note("torch.tanh(x[:, t] @ self.wx + h @ self.wh)", both, h, variable="h")
        hs.append((last, h))
    names, values = zip(*hs, strict=True)
    tape.note("torch.stack(hs, dim=1)", " ".join(names), np.stack(values, axis=1))
    return tape


def scanned(x, wx, wh, step, jit=True):
    def run(x, wx, wh):
        first = jnp.zeros((x.shape[0], wh.shape[0]))
        carry, hs = jax.lax.scan(
            lambda h, x: (step(h, x, wx, wh),) * 2, first, jnp.moveaxis(x, 1, 0)
        )
        return jnp.moveaxis(hs, 0, 1)

    return (jax.jit(run) if jit else run)(x, wx, wh)


def rows_at_a_time(x, wx, wh, step, jit=False):
    """Write the loop over the batch outside, the one over time inside, and x @ wx before."""
    codes = np.empty((*x.shape[:2], len(wh)))
    for row in range(len(x)):
        h = np.zeros(len(wh))
        for t in range(x.shape[1]):
            h = codes[row, t] = np.asarray(step(h, x[row, t], wx, wh))
    return codes


@pytest.mark.parametrize("run", [scanned, functools.partial(scanned, jit=False), rows_at_a_time])
def test_a_recurrent_original(run):
    tanh = jnp.tanh if run is not rows_at_a_time else np.tanh
    tape = recurrent()
    steps = {  # the first h is zeros, so that what is wrong with h @ wh shows in the second step
        "h @ self.wh": (7, lambda h, x, wx, wh: tanh(x @ wx + h @ wh.T)),
        "x[:, t] @ self.wx": (1, lambda h, x, wx, wh: tanh(-x @ wx + h @ wh)),
        "x[:, t] @ self.wx + h @ self.wh": (8, lambda h, x, wx, wh: tanh(x @ wx - h @ wh)),
        "torch.tanh(x[:, t] @ self.wx + h @ self.wh)": (
            4,
            lambda h, x, wx, wh: 1.1 * (x @ wx + h @ wh),
        ),
    }
    for missed, (index, step) in steps.items():
        found = tape.ask(functools.partial(run, step=step), "x", "wx", "wh")
        assert (found.operation.expression, found.operation.index) == (missed, index)


def loop_over_rows():
    x, w = np.random.default_rng(2).normal(size=(2, 4, 5))
    tape, rows = Tape(x=x, w=w), []
    for row in x:
        row = tape.note("row * self.w", "x w", row * w)
        rows.append(tape.note("row.exp()", row, np.exp(tape.operations[-1].values[0])))
    stacked = tape.note("torch.stack(rows)", " ".join(rows), np.exp(x[:, None] * w))
    tape.note("stacked.sum(-1)", stacked, np.exp(x[:, None] * w).sum(-1), variable="total")
    return tape


def test_all_at_once_what_the_original_does_one_by_one():
    def wrong(x, w):
        return np.exp(x[:, None] * w).max(-1)

    def wrong_in_another_order(x, w):
        return np.exp(w[:, :, None] * x.T[None]).max(1).T

    for function in (wrong, wrong_in_another_order):
        found = loop_over_rows().ask(function, "x", "w")
        assert found.operation.expression == "stacked.sum(-1)"
        assert found.equal_up_to.expression == "torch.stack(rows)"
        assert found.details.splitlines()[1] == (
            "differs at  original.py line 19   total = stacked.sum(-1)   shape (4, 4)"
        )


def test_slices_of_what_is_computed_at_once_are_computed():
    x, w = np.random.default_rng(2).normal(size=(2, 4, 5))
    tape, total = Tape(x=x, w=w), None
    for number, row in enumerate(x):
        product = tape.note("row * self.w", "x w", row * w)
        value = (x[: number + 1, None] * w).sum(0)
        total = tape.note("total + row * self.w", f"{total or ''} {product}", value)
    found = tape.ask(lambda x, w: (x[:, None] * w).max(axis=0), "x", "w")
    assert (found.operation.index, found.operation.expression) == (3, "total + row * self.w")


def test_a_number_is_not_computed_by_the_array_that_holds_it():
    tape = Tape(x=np.array([1.5, 2.5, 4.0, -3.0]))
    largest = tape.note("x.max()", "x", 4.0)
    tape.note("x - x.max()", f"x {largest}", np.array([-2.5, -1.5, 0, -7]))
    assert tape.ask(lambda x: x - x.mean(), "x").operation.expression == "x.max()"


def test_a_counter_is_no_computed_value():
    tape = Tape(x=np.array([[1.0, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0]]))
    degree = tape.note("x.sum(1)", "x", np.array([2.0, 1, 3]))
    tape.note("x / degree", f"x {degree}", tape.inputs["x"] / np.array([[2.0], [1], [3]]))

    def wrong(x):
        start = jnp.array(0), jnp.asarray(x)
        return jax.lax.while_loop(lambda c: c[0] < 4, lambda c: (c[0] + 1, c[1] * 0.9), start)[1]

    assert tape.ask(wrong, "x").operation.expression == "x.sum(1)"


def test_numbers_are_compared_in_every_order_of_axes_and_any_shape():
    value = np.random.default_rng(0).normal(size=(2, 3, 4))
    moved = value.transpose(1, 0, 2)
    for left, right in [(moved.reshape(6, 4), value), (value, moved.reshape(6, 4)), (moved, value)]:
        assert diagnosis.same(left, right)
    assert not diagnosis.same(value[::-1], value)
    assert not diagnosis.same(value + 3e-8, value)


def chunked():
    x, w = (
        np.random.default_rng(3).normal(size=(3, 2)),
        np.random.default_rng(4).normal(size=(2, 8)),
    )
    tape, z = Tape(x=x, w=w), x @ w
    tape.note("self.cell(x)", "x w", z, variable="z")
    tape.note("torch.chunk(z, 2, dim=-1)", "#0", z[:, :4], z[:, 4:], variable="i, o")
    tape.note("i * o", "#1 #1.1", z[:, :4] * z[:, 4:])
    return tape


def test_one_of_several_outputs():
    found = chunked().ask(lambda x, w: (x @ w)[:, :4] * (x @ w)[:, 3:7], "x", "w")
    assert found.operation.variable == "i, o" and found.equal_up_to.variable == "z"
    assert np.array_equal(found.value, found.operation.values[1])
    found = chunked().ask(lambda x, w: (x @ w[:, :4]) + (x @ w[:, 4:]), "x", "w")
    assert found.operation.expression == "i * o"  # z itself is not needed, nor is it missed


def test_constants_and_truth_values():
    """A mask that the pair writes the other way round is not missed where its use is right."""
    scores = np.random.default_rng(5).normal(size=(4, 4))
    mask, weights = np.tri(4) > 0, np.random.default_rng(6).normal(size=4)
    tape = Tape(scores=scores, weights=weights)
    zeros = tape.note("torch.zeros(4)", "", np.zeros(4))
    threes = tape.note("zeros + 3", zeros, np.full(4, 3.0))
    shown = tape.note("torch.tril(threes) > 0", threes, mask)
    masked = tape.note("scores * mask", f"scores {shown}", scores * mask)
    tape.note("masked @ weights", f"{masked} weights", scores * mask @ weights)
    found = tape.ask(lambda s, w: np.where(~mask, 0, s) @ -w, "scores", "weights")
    assert found.operation.expression == "masked @ weights"
    found = tape.ask(lambda s, w: (s * mask.T) @ w, "scores", "weights")
    assert found.operation.expression == "scores * mask"
    found = tape.ask(lambda s, w: (s * np.tri(4, k=1)) @ w, "scores", "weights")
    assert (found.operation.expression, found.equal_up_to) == ("torch.tril(threes) > 0", None)


# --- what is said ---


def test_what_is_said():
    found = ask(encoder_in(STYLES["variables"], "TANH"))
    assert found.headline == (
        "Your code never computes line 33 of original.py, torch.tanh(self.enc_code(hidden)): "
        "which of your lines should?"
    )
    equal, differs, nearest = found.details.splitlines()
    assert equal == "equal up to original.py line 33   self.enc_code(hidden)"
    assert differs == (
        "differs at  original.py line 33   torch.tanh(self.enc_code(hidden))   shape (5, 8)"
    )
    assert nearest == (
        "nearest of yours: largest difference 0.019, at [4, 0]: yours 0.7516, the original's 0.7327"
    )
    found = ask(encoder_in(STYLES["rows"], "B"))
    assert found.headline == (
        "Your code never computes line 32 of original.py, self.enc_hidden(x): "
        "which of your lines should?"
    )
    assert found.details.splitlines() == [
        "differs at  original.py line 32   self.enc_hidden(x)   shape (5, 32)",
        "no value in your code of shape (5, 32) comes near it",
    ]


def test_a_long_expression_is_cut():
    tape = Tape(x=np.arange(3.0))
    tape.note("torch.cat([\n    " + "x, " * 50 + "])", "x", np.arange(3.0) + 1)
    found = tape.ask(lambda x: 2 * x, "x")
    assert len(found.headline) < 200 and "torch.cat([ x, x," in found.headline
    assert "\n" not in found.headline and "…" in found.headline


def test_the_nearest_value_is_in_the_originals_layout():
    found = ask(encoder_in(STYLES["transposed"], "RELU"))
    x, params = PROBES["ordinary"].inputs["x"], nested(PROBES["ordinary"].params)
    np.testing.assert_allclose(found.candidate, np.abs(layer(params, "enc_hidden", x)))


def test_an_argument_or_what_the_original_computes_is_not_the_nearest():
    tape = Tape(x=np.array([1.0, 2.0, 3.0]))
    first = tape.note("x + 0.1", "x", np.array([1.1, 2.1, 3.1]))
    second = tape.note("first + 0.1", first, np.array([1.2, 2.2, 3.2]))
    tape.note("second * 100", second, np.array([120.0, 220, 320]))
    found = tape.ask(lambda x: ((x + 0.1) * 1.5) * 200, "x")
    assert found.operation.index == 1
    np.testing.assert_allclose(found.candidate, [1.65, 3.15, 4.65])
    found = tape.ask(lambda x: (x + 0.1) * 20000, "x")
    assert found.operation.index == 1 and found.candidate is None
    found = tape.ask(lambda x: np.nan_to_num(x * np.nan) + (x + 0.1) * 1.5 * 200, "x")
    np.testing.assert_allclose(found.candidate, [1.65, 3.15, 4.65])  # and no NaN


def test_the_answer_is_the_nearest_where_it_is_the_answer_that_differs():
    found = ask(encoder_in(STYLES["one expression"], "TANH"))
    params, x = nested(PROBES["ordinary"].params), PROBES["ordinary"].inputs["x"]
    np.testing.assert_array_equal(
        found.candidate, encoder_in(STYLES["one expression"], "TANH")(params, x)
    )
    assert type(found.candidate) is np.ndarray


# --- nothing is said, and nothing happens ---


def test_nothing_is_said_of_what_was_not_recorded():
    probe = PROBES["ordinary"]
    args = nested(probe.params), probe.inputs["x"]
    for expected in (np.float64(probe.loss), probe.gradients, None, (5, 8), np.ones((5, 8)), "x"):
        assert first_difference(probe, expected, operator.call, encoder, args) is None


def raises(params, x):
    raise ValueError("no")


def exits(params, x):
    sys.exit(3)


def never_ends(params, x):
    while True:
        pass


def many_lines(params, x):
    try:
        for number in range(1000):
            x = x + number
    except Exception:
        pass
    return x


def many_numbers(params, x):
    numbers = [number * 1.5 for number in range(20_000)]
    return x + sum(numbers)


@pytest.mark.parametrize(
    "function, limits",
    [
        (raises, {}),
        (exits, {}),
        (never_ends, {"SECONDS": 0.3, "LINES": 10**9, "BYTES": 10**12}),
        (many_lines, {"LINES": 1000}),
        (many_lines, {"BYTES": 100_000}),
        (many_numbers, {"BYTES": 100_000}),
    ],
)
def test_never_raises(function, limits, monkeypatch):
    before = sys.gettrace(), Primitive.bind, jax.config.jax_disable_jit, jax.config.jax_enable_x64
    for name, value in limits.items():
        monkeypatch.setattr(diagnosis, name, value)
    assert ask(function, "autoencoder", "other sizes") is None
    after = sys.gettrace(), Primitive.bind, jax.config.jax_disable_jit, jax.config.jax_enable_x64
    assert after == before


def test_what_is_within_all_limits_is_looked_through():
    for function in (many_lines, many_numbers):
        assert ask(function, "autoencoder", "other sizes").operation.index == 0


def test_a_stop_by_the_user_passes_through():
    def stopped(params, x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(stopped)


def test_nothing_is_printed_or_warned_of(capfd):
    def talks(params, x):
        print("here", file=sys.stdout)
        print("there", file=sys.stderr)
        warnings.warn("everywhere", stacklevel=1)
        return np.tanh(np.log(-np.abs(x)) / 0)[:, :8]

    with np.errstate(all="raise"):  # as a notebook may have set it
        assert ask(talks).operation.index == 0
    assert capfd.readouterr() == ("", "")


def test_arguments_stay_as_they_are():
    def overwrites(params, x):
        x += 1
        params["enc_hidden"]["weight"][:] = 0
        del params["enc_code"]
        return x[:, :8]

    probe = PROBES["ordinary"]
    args = nested({name: value.copy() for name, value in probe.params.items()}), np.ones((5, 64))
    found = first_difference(probe, probe.results["encoder"], operator.call, overwrites, args)
    assert found.operation.index == 0
    assert (args[1] == 1).all() and set(args[0]) == set(nested(probe.params))
    assert np.array_equal(args[0]["enc_hidden"]["weight"], probe.params["enc_hidden.weight"])


def test_another_trace_function_goes_on_afterwards():
    def other(frame, event, argument):
        return None

    before = sys.gettrace()
    sys.settrace(other)
    try:
        ask(raises)
        ask(encoder)
        assert sys.gettrace() is other
    finally:
        sys.settrace(before)


def test_what_the_code_keeps_stays_usable():
    """An array around a function stays NumPy's own; one that it keeps reports no more."""
    scale, kept = np.full(8, 2.0), {}

    def remembers(params, x):
        kept["code"] = kept.get("code", encoder(params, x))
        exec("from numpy import ones\nweights = ones(3)\nbias = 0", kept)  # as an import would
        return np.array([kept["code"] * scale for scale in [scale] * 2])[0]

    def outer(params, x):
        return scale * encoder(params, x)

    for function in (outer, remembers):
        assert ask(function).operation.op == "tanh"
        assert type(scale) is np.ndarray
    assert type(kept["weights"]) is np.ndarray
    (2 * kept["code"]).sum()
    diagnosed = kept["code"].watcher.values
    count = len(diagnosed.of_size(40))
    np.tanh(kept["code"] + 1)
    assert len(diagnosed.of_size(40)) == count


def test_what_stood_in_memory_before_is_not_taken_for_computed():
    left = PROBES["ordinary"].results["encoder"].copy()

    def fills(params, x):
        codes = left.copy()  # np.empty may give the right answer, left from an earlier call
        codes[:] = 0.5
        return codes

    def fills_elsewhere(params, x):
        codes = left.copy()
        list(map(lambda row: codes.shape, x))
        codes[:] = 0.5
        return codes

    for function in (fills, fills_elsewhere):
        found = ask(function)
        assert not found.is_lost and found.operation.index == 0
    values = Values([left])
    diagnosis.Watcher(values).compute(np.empty_like, (np.ones(3),), {"shape": left.shape})
    assert not values.of_size(left.size)
