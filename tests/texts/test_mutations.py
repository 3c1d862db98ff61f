"""A mutation is one small mistake that does something else and leaves all other text as it is."""

import ast
import copy
import textwrap
from pathlib import Path

import jax
import numpy as np
import pytest

from reimpl_helpers.texts import package
from reimpl_helpers.texts.mutations import mutations_of

X = np.array([[1.0, -2.0, 3.0], [-0.5, 0.25, 4.0]])
W = np.array([[2.0, -1.0], [0.5, 3.0], [-2.0, 1.0]])
B = np.array([0.5, -1.5])


class Recorder(list):
    """A function that remembers what it was called with."""

    __call__ = list.append


def by_name(x, activation):
    return {"sigmoid": 1, "tanh": 2, None: 3}[activation] * x


def mutations(source):
    return mutations_of(textwrap.dedent(source), ["f"])


def listed(source):
    return [(found.name, found.before, found.after) for found in mutations(source)]


def returned(text, arguments, name="f"):
    """Return what the function of a text returns, or the type of what it raises."""
    namespace = {"np": np, "jnp": jax.numpy, "jax": jax}
    exec(text, namespace)
    try:
        result = namespace[name](*copy.deepcopy(arguments))
        return jax.tree.map(np.asarray, result)
    except Exception as error:
        return type(error)


def is_same(ours, theirs):
    try:
        np.testing.assert_equal(ours, theirs)
    except AssertionError:
        return False
    return True


# --- operators: a small function, its arguments, and every mistake made in it ---------------

OPERATORS = {
    "bias": (
        (X, W, B),
        """
        def f(x, w, bias):
            return x @ w + bias
        ----
        operands swapped | x @ w | w @ x
        operand transposed | x @ w | x @ w.T
        bias dropped | x @ w + bias | x @ w
        sign flipped | x @ w + bias | x @ w - bias
        addend dropped | x @ w + bias | bias
        """,
    ),
    "sum": (
        (X, 2 * X + 1),
        """
        def f(x, y):
            return x + y
        ----
        addend dropped | x + y | x
        addend dropped | x + y | y
        sign flipped | x + y | x - y
        """,
    ),
    "sum with a number": (
        (X,),
        """
        def f(x):
            return 1 + np.cos(x)
        ----
        addend dropped | 1 + np.cos(x) | np.cos(x)
        sign flipped | 1 + np.cos(x) | 1 - np.cos(x)
        """,
    ),
    "tiny number": (
        (X**2,),
        """
        def f(x):
            return np.sqrt(x) + 1e-8
        ----
        sqrt dropped | np.sqrt(x) | x
        addend dropped | np.sqrt(x) + 1e-8 | np.sqrt(x)
        """,
    ),
    "difference": (
        (X, 2 * X + 1),
        """
        def f(x, y):
            return x - y
        ----
        subtraction dropped | x - y | x
        operands swapped | x - y | y - x
        sign flipped | x - y | x + y
        """,
    ),
    "product and quotient": (
        (X, 2 * X + 1),
        """
        def f(x, y):
            return 0.5 * x / y
        ----
        scale dropped | 0.5 * x | x
        scale dropped | 0.5 * x / y | 0.5 * x
        operands swapped | 0.5 * x / y | y / (0.5 * x)
        """,
    ),
    "inverse": (
        (X,),
        """
        def f(x):
            return 1 / x
        ----
        operands swapped | 1 / x | x / 1
        """,
    ),
    "powers": (
        (X**2 + 2,),
        """
        def f(x):
            return x ** -0.5
        ----
        power dropped | x ** -0.5 | x
        sign flipped | x ** -0.5 | x ** 0.5
        """,
    ),
    "matmul": (
        (X, W),
        """
        def f(x, w):
            return np.matmul(x, w)
        ----
        operands swapped | np.matmul(x, w) | np.matmul(w, x)
        operand transposed | np.matmul(x, w) | np.matmul(x, w.T)
        """,
    ),
    "dot": (
        (X, W),
        """
        def f(x, w):
            return np.dot(x, w)
        ----
        operands swapped | np.dot(x, w) | np.dot(w, x)
        """,
    ),
    "dot of an array": (
        (X, W),
        """
        def f(x, w):
            return x.dot(w)
        ----
        operands swapped | x.dot(w) | w.dot(x)
        """,
    ),
    "transposes": (
        (X[None],),
        """
        def f(x):
            return x.T, x.transpose(0, 2, 1), np.swapaxes(x, 0, 1)
        ----
        transpose dropped | x.T | x
        transpose dropped | x.transpose(0, 2, 1) | x
        transpose dropped | np.swapaxes(x, 0, 1) | x
        """,
    ),
    "einsum": (
        (X, W),
        """
        def f(x, w):
            return np.einsum("bi,io->bo", x, w)
        ----
        output axes swapped | np.einsum("bi,io->bo", x, w) | np.einsum("bi,io->ob", x, w)
        """,
    ),
    "axes": (
        (X,),
        """
        def f(x):
            return np.mean(x, axis=-1, keepdims=True)
        ----
        sum instead of mean | np.mean(x, axis=-1, keepdims=True) | np.sum(x, axis=-1, keepdims=True)
        axis changed | np.mean(x, axis=-1, keepdims=True) | np.mean(x, axis=0, keepdims=True)
        axis dropped | np.mean(x, axis=-1, keepdims=True) | np.mean(x, axis=None, keepdims=True)
        keepdims changed | np.mean(x, axis=-1, keepdims=True) | np.mean(x, axis=-1, keepdims=False)
        """,
    ),
    "axis by place": (
        (X,),
        """
        def f(x):
            return np.sum(x, 0), x.max(1)
        ----
        mean instead of sum | np.sum(x, 0) | np.mean(x, 0)
        axis changed | np.sum(x, 0) | np.sum(x, -1)
        axis dropped | np.sum(x, 0) | np.sum(x, None)
        min instead of max | x.max(1) | x.min(1)
        axis changed | x.max(1) | x.max(0)
        axis dropped | x.max(1) | x.max(None)
        """,
    ),
    "several axes": (
        (np.stack([X, X]),),
        """
        def f(x):
            return x.std(axis=(0, 1))
        ----
        var instead of std | x.std(axis=(0, 1)) | x.var(axis=(0, 1))
        axis dropped | x.std(axis=(0, 1)) | x.std(axis=None)
        """,
    ),
    "maximum": (
        (X, 1.0 - X),
        """
        def f(x, y):
            return np.minimum(x, y), np.argmax(x, axis=0)
        ----
        maximum instead of minimum | np.minimum(x, y) | np.maximum(x, y)
        min instead of max | np.argmax(x, axis=0) | np.argmin(x, axis=0)
        axis changed | np.argmax(x, axis=0) | np.argmax(x, axis=-1)
        axis dropped | np.argmax(x, axis=0) | np.argmax(x, axis=None)
        """,
    ),
    "relu": (
        (X,),
        """
        def f(x):
            return np.maximum(x, 0)
        ----
        minimum instead of maximum | np.maximum(x, 0) | np.minimum(x, 0)
        relu dropped | np.maximum(x, 0) | x
        """,
    ),
    "relu of a number": (
        (-1.5,),
        """
        def f(x):
            return max(x, 0.0)
        ----
        min instead of max | max(x, 0.0) | min(x, 0.0)
        relu dropped | max(x, 0.0) | x
        """,
    ),
    "relu by where": (
        (X,),
        """
        def f(x):
            return np.where(x > 0, x, np.float32(0))
        ----
        relu dropped | np.where(x > 0, x, np.float32(0)) | x
        comparison negated | x > 0 | x <= 0
        constant changed | np.float32(0) | np.float32(1)
        """,
    ),
    "tanh": (
        (X,),
        """
        def f(x):
            return jnp.tanh(x)
        ----
        relu instead of tanh | jnp.tanh(x) | jnp.maximum(x, 0)
        tanh dropped | jnp.tanh(x) | x
        """,
    ),
    "exp": (
        (X,),
        """
        def f(x):
            return np.exp(-x)
        ----
        exp dropped | np.exp(-x) | -x
        sign flipped | np.exp(-x) | np.exp(x)
        """,
    ),
    "activations of jax": (
        (X,),
        """
        def f(x):
            return jax.nn.softmax(x, axis=-1)
        ----
        log_softmax instead of softmax | jax.nn.softmax(x, axis=-1) | jax.nn.log_softmax(x, axis=-1)
        softmax dropped | jax.nn.softmax(x, axis=-1) | x
        axis changed | jax.nn.softmax(x, axis=-1) | jax.nn.softmax(x, axis=0)
        """,
    ),
    "activation passed": (
        (X,),
        """
        def f(x):
            after = {"relu": jax.nn.relu}["relu"]
            return after(x)
        ----
        tanh instead of relu | jax.nn.relu | jax.nn.tanh
        relu dropped | jax.nn.relu | lambda x: x
        """,
    ),
    "activation by name": (
        (by_name, X),
        """
        def f(layer, x):
            return layer(x, "sigmoid")
        ----
        sigmoid dropped | layer(x, "sigmoid") | layer(x, None)
        tanh instead of sigmoid | layer(x, "sigmoid") | layer(x, "tanh")
        """,
    ),
    "choice by name": (
        (X, "relu"),
        """
        def f(x, kind):
            if kind == "relu":
                return np.maximum(x, 0)
            return x
        ----
        word misspelled | kind == "relu" | kind == "reluu"
        minimum instead of maximum | np.maximum(x, 0) | np.minimum(x, 0)
        relu dropped | np.maximum(x, 0) | x
        """,
    ),
    "choice by case": (
        (X, "relu"),
        """
        def f(x, kind):
            match kind:
                case "relu":
                    return np.abs(x)
            return x
        ----
        word misspelled | "relu" | "reluu"
        abs dropped | np.abs(x) | x
        """,
    ),
    "bias passed": (
        (np.add, {"bias": B, "weight": 1.0}),
        """
        def f(layer, params):
            return layer(params["weight"], params["bias"])
        ----
        bias dropped | params["bias"] | 0.0
        """,
    ),
    "slices": (
        (X,),
        """
        def f(x, n=1):
            return x[1:], x[:n], x[:, :-1]
        ----
        default changed | n=1 | n=2
        off by one | x[1:] | x[0:]
        off by one | x[:n] | x[:n - 1]
        off by one | x[:, :-1] | x[:, :-2]
        """,
    ),
    "indices": (
        (X,),
        """
        def f(x):
            return x.shape[1], x[0], x[:, -1]
        ----
        index changed | x.shape[1] | x.shape[0]
        index changed | x[0] | x[-1]
        index changed | x[:, -1] | x[:, 0]
        """,
    ),
    "ranges": (
        (X, 3),
        """
        def f(x, n):
            return [x * k for k in range(n)] + [x * k for k in range(1, n + 1)]
        ----
        scale dropped | x * k | x
        scale dropped | x * k | k
        off by one | range(n) | range(n - 1)
        scale dropped | x * k | x
        scale dropped | x * k | k
        off by one | range(1, n + 1) | range(2, n + 1)
        addend dropped | range(1, n + 1) | range(1, n)
        """,
    ),
    "constants": (
        (X,),
        """
        def f(x, scale=0.0, steps=5, flag=True):
            shift = 1e-3
            return np.clip(x, -1, 2), scale, steps, flag, shift
        ----
        default changed | scale=0.0 | scale=1.0
        default changed | steps=5 | steps=6
        default changed | flag=True | flag=False
        constant changed | shift = 1e-3 | shift = 0.002
        sign flipped | np.clip(x, -1, 2) | np.clip(x, 1, 2)
        constant changed | np.clip(x, -1, 2) | np.clip(x, -1, 3)
        """,
    ),
    "updates": (
        (X,),
        """
        def f(x):
            out = []
            x = np.sort(x)
            x[x < 0] = 5
            x -= 1
            out.append(x)
            return out
        ----
        update skipped | x = np.sort(x) | pass
        update skipped | x[x < 0] = 5 | pass
        comparison negated | x < 0 | x >= 0
        constant changed | x[x < 0] = 5 | x[x < 0] = 6
        sign flipped | x -= 1 | x += 1
        update skipped | x -= 1 | pass
        update skipped | out.append(x) | pass
        """,
    ),
    "updates of several": (
        (X,),
        """
        def f(x):
            def step(x, n):
                return x * x, n + n, n
            n = 3
            for _ in range(2):
                x, n, last = step(x, n)
            return x, n, last
        ----
        scale dropped | x * x | x
        addend dropped | n + n | n
        sign flipped | n + n | n - n
        constant changed | n = 3 | n = 4
        off by one | range(2) | range(3)
        update skipped | x, n, last = step(x, n) | _, n, last = step(x, n)
        update skipped | x, n, last = step(x, n) | x, _, last = step(x, n)
        """,
    ),
    "random keys": (
        (jax.random.key(0),),
        """
        def f(key):
            key, first = jax.random.split(key)
            return jax.random.normal(first), jax.random.normal(key)
        ----
        update skipped | key, first = jax.random.split(key) | _, first = jax.random.split(key)
        """,
    ),
    "calls": (
        (Recorder(),),
        """
        def f(report):
            report(3.0)
            print("done")
            return list(report)
        ----
        call skipped | report(3.0) | pass
        constant changed | report(3.0) | report(6.0)
        """,
    ),
    "comparisons": (
        (X, 2),
        """
        def f(x, n):
            if n == 2:
                return x >= 3
            return x
        ----
        comparison negated | n == 2 | n != 2
        comparison negated | x >= 3 | x < 3
        """,
    ),
    "argument that may be left out": (
        (X, 2.0),
        """
        def f(x, scale=None):
            return x if scale is None else np.multiply(x, scale)
        ----
        argument ignored | scale is None | True
        """,
    ),
}


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
@pytest.mark.parametrize("arguments, case", OPERATORS.values(), ids=OPERATORS)
def test_every_mistake_is_made_and_shows(arguments, case):
    source, _, table = textwrap.dedent(case).partition("----\n")
    expected = [tuple(line.split(" | ")) for line in table.splitlines()]
    assert listed(source) == expected
    before = returned(source, arguments)
    assert not isinstance(before, type), "the function itself runs"
    for mutation in mutations(source):
        assert not is_same(returned(mutation.text, arguments), before), mutation.after


ONE_MORE = """
bias + x                    | bias dropped               | x
x // y                      | scale dropped              | x
x.mT                        | transpose dropped          | x
x.swapaxes(0, 1)            | transpose dropped          | x
jnp.transpose(x, (1, 0))    | transpose dropped          | x
np.var(x)                   | std instead of var         | np.std(x)
x.min()                     | max instead of min         | x.max()
min(x, y)                   | max instead of min         | max(x, y)
np.argmin(x)                | max instead of min         | np.argmax(x)
np.maximum(0, x)            | relu dropped               | x
np.maximum(x, np.float32(0)) | relu dropped              | x
max(0, x)                   | relu dropped               | x
np.clip(x, 0, None)         | relu dropped               | x
np.log(x)                   | log dropped                | x
math.sqrt(x)                | sqrt dropped               | x
jnp.square(x)               | square dropped             | x
abs(x)                      | abs dropped                | x
x > y                       | comparison negated         | x <= y
x < y                       | comparison negated         | x >= y
x <= y                      | comparison negated         | x > y
x != 0                      | comparison negated         | x == 0
np.matmul(x, y["w"])        | operand transposed         | np.matmul(x, y["w"].T)
x[:-1]                      | off by one                 | x[:-2]
x[-2:]                      | off by one                 | x[-1:]
x[0:]                       | off by one                 | x[1:]
x[y:]                       | off by one                 | x[y + 1:]
range(9, 0, -1)             | sign flipped               | range(9, 0, 1)
relu(x)                     | relu dropped               | x
nn.relu(x)                  | tanh instead of relu       | nn.tanh(x)
jax.nn.relu(x)              | tanh instead of relu       | jax.nn.tanh(x)
jax.nn.tanh(x)              | relu instead of tanh       | jax.nn.relu(x)
jax.nn.sigmoid(x)           | tanh instead of sigmoid    | jax.nn.tanh(x)
jax.nn.log_softmax(x)       | softmax instead of log_softmax | jax.nn.softmax(x)
jax.nn.gelu(x)              | relu instead of gelu       | jax.nn.relu(x)
jax.nn.silu(x)              | relu instead of silu       | jax.nn.relu(x)
jax.nn.elu(x)               | relu instead of elu        | jax.nn.relu(x)
jax.nn.softplus(x)          | relu instead of softplus   | jax.nn.relu(x)
jnp.concatenate(x, axis=0)  | axis changed               | jnp.concatenate(x, axis=-1)
optax.adam(x, b1=0.9)       | constant changed           | optax.adam(x, b1=1.8)
model(x, betas=(0.9, 0.99)) | constant changed           | model(x, betas=(1.8, 0.99))
jnp.einsum("...ij->...ji", x) | output axes swapped      | jnp.einsum("...ij->...ij", x)
"""


@pytest.mark.parametrize("line", ONE_MORE.strip().splitlines())
def test_one_more(line):
    before, name, after = map(str.strip, line.split(" | "))
    assert (name, before, after) in listed(f"def f(x, y, bias):\n    return {before}\n")


EXACTLY = {
    "np.tanh(x, out=x)": [("update skipped", "np.tanh(x, out=x)", "pass")],
    "x += y": [("sign flipped", "x += y", "x -= y"), ("update skipped", "x += y", "pass")],
    "return x @ x": [("operand transposed", "x @ x", "x @ x.T")],
    "return x @ model(y)": [("operands swapped", "x @ model(y)", "model(y) @ x")],
    "for row in -x:\n        print(row)": [("sign flipped", "-x", "x")],
    "return x if y else 0.5": [("constant changed", "x if y else 0.5", "x if y else 1.0")],
    "x: float = 1.0": [("constant changed", "x: float = 1.0", "x: float = 2.0")],
}


@pytest.mark.parametrize("statement", EXACTLY)
def test_exactly_these(statement):
    assert listed(f"def f(x, y):\n    {statement}\n") == EXACTLY[statement]


HINTS = {
    "x = x + bias": "Try a bias that is not zero.",
    "x = y + 1": "Work out one value by hand.",
    "x = y + 1e-8": "Try an input of zeros.",
    "x = np.mean(y)": "Repeat every entry: a mean stays as it is.",
    "x, n = step(x)": "Take two steps: the second must build on the first.",
    "x, y = jax.random.split(x)": "Check that two draws differ.",
    "y = y[1:]": "Count the results, and check the first and the last.",
    "report(x)": "Check that report is called.",
    "y.append(x)": "Count the results.",
}


@pytest.mark.parametrize("statement", HINTS)
def test_the_hint_fits_the_mistake(statement):
    assert HINTS[statement] in [found.hint for found in mutations(f"def f(x):\n    {statement}\n")]


def test_the_hint_for_a_default_names_the_argument():
    source = "def f(x, /, n=3, *, eps=0.5, **rest):\n    return lambda y=2.0: y"
    assert [(found.before, found.hint) for found in mutations(source)] == [
        ("n=3", "Leave out n in one call."),
        ("eps=0.5", "Leave out eps in one call."),
        ("y=2.0", "Leave out y in one call."),
    ]


# --- left alone -----------------------------------------------------------------------------

LEFT_ALONE = {
    "docstring": '"Add 1 to -x, with relu."',
    "an annotation": "x: tuple[1] = y",
    "an import": "from relu import relu as tanh",
    "an error": 'raise ValueError("relu", 1 + x)',
    "not written yet": "raise NotImplementedError",
    "an assertion": "assert x.shape[0] > 1, x + 1",
    "the name of a parameter": 'y = params["relu"]["bias"], params.bias',
    "what has the shape of a bias": 'return np.zeros_like(x["bias"])',
    "a key": 'return {"relu": x, "bias": y}',
    "text in text": 'return f"{x + 1} of {y:.3f}"',
    "text that is put together": 'return "a" + x + "b" * 3',
    "a list that is put together": "return x + [y] + [0] * 3",
    "a shape": "y = np.zeros((3, 4)), x.reshape(2, -1), x.shape + (1,)",
    "a seed": "y = np.random.default_rng(0), jax.random.split(jax.random.key(1), 4)",
    "an argument that no result shows": "return zip(x, y, strict=True), np.array(x, copy=False)",
    "a loop that might never end": "while x > 1:\n        x = x - 1",
    "what only one call could take": "if y is not None:\n        return y",
    "an entry of a result": "y = model(x)[0]",
    "printing": "print(x, 1)",
}


@pytest.mark.parametrize("statement", LEFT_ALONE.values(), ids=LEFT_ALONE)
def test_what_is_left_alone(statement):
    assert listed(f"def f(x, y):\n    {statement}\n") == []


def test_decorators_are_left_alone_outside_and_inside():
    source = """
        @partial(jax.jit, static_argnums=1)
        def f(x: np.float32(1.0)) -> np.float32(1.0):
            @partial(jax.jit, donate_argnums=0)
            def g(y):
                return -y

            return g(x)
        """
    assert listed(source) == [("sign flipped", "return -y", "return y")]


def test_only_the_functions_asked_for():
    text = "def g(x):\n    return -x\n\n\ndef f(x):\n    return x / 2\n\n\nf.scale = 1 + f(1)\n"
    assert [found.function for found in mutations_of(text, ["f"])] == ["f"]
    assert [found.function for found in mutations_of(text, ["f", "missing", "g"])] == ["g", "f"]
    assert mutations_of(text, []) == []


def test_of_two_definitions_the_last_counts():
    text = "def f(x):\n    return -x\n\n\ndef f(x):\n    return x / 2\n"
    assert [found.line for found in mutations_of(text, ["f"])] == [6]
    assert mutations_of(text + "\n\nclass f:\n    x = 1 + x\n", ["f"]) == []


def test_a_syntax_error_is_named():
    with pytest.raises(package.PackageError, match="line 2"):
        mutations_of("def f(x):\n    return x +\n", ["f"])


# --- the text around a mistake ----------------------------------------------------------------

PRECEDENCE = {
    "(a + b) * c": {"(a) * c", "(b) * c", "(a - b) * c", "a + b", "c"},
    "a - (b - c)": {"a", "a + (b - c)", "b - c - a", "a - (b)", "a - (b + c)", "a - (c - b)"},
    "-a ** 2": {"a ** 2", "-a"},
    "(-a) ** 2": {"-a", "(a) ** 2"},
    "a / (b * c)": {"a", "b * c / a", "a / (b)", "a / (c)"},
    "a * b / c": {"a / c", "b / c", "a * b", "c / (a * b)"},
    "a - b * c": {"a", "a + b * c", "b * c - a", "a - b", "a - c"},
    "(a @ b).T": {"a @ b", "(b @ a).T", "(a @ b.T).T"},
    "a.T @ b": {"a @ b", "b @ a.T"},
    "jax.nn.relu if a else b": {"(lambda x: x) if a else b", "jax.nn.tanh if a else b"},
    "(a if b else c) / d": {"a if b else c", "d / (a if b else c)"},
    "np.exp(a + b) ** 2": {"np.exp(a + b)", "(a + b) ** 2"}
    | {f"np.exp({inner}) ** 2" for inner in ("a", "b", "a - b")},
}


@pytest.mark.parametrize("expression", PRECEDENCE)
def test_parentheses_where_they_are_needed(expression):
    start = "def f(a, b, c, d):\n    return "
    found = {mutation.text.removeprefix(start) for mutation in mutations(start + expression)}
    assert found == PRECEDENCE[expression]


def test_lines_stay_where_they_are():
    source = """
        def f(x, bias):
            y = (
                x  # what comes in
                + bias  # the bias
            )
            z = np.mean(
                y,  # all of it
                axis=0,
            ) / 2; w = 1
            x = np.log1p(
                x,
            )
            w = np.exp(
                x  # once more
            ) + y
            return z  # the end
        """
    made = mutations(source)
    assert len(made) == 13
    for mutation in made:
        lines, before = mutation.text.splitlines(), textwrap.dedent(source).splitlines()
        assert len(lines) == len(before)
        assert lines[-1] == "    return z  # the end"
        assert "\n" not in mutation.before + mutation.after
    assert ("bias dropped", "x + bias", "x") in listed(source)
    assert ("axis dropped", "np.mean(y, axis=0)", "np.mean(y, axis=None)") in listed(source)
    assert ("update skipped", "x = np.log1p(x)", "pass") in listed(source)


def test_line_ends_and_letters_of_all_kinds_stay():
    text = (
        'def f(größe):\r\n    é = "日本語🐍"; ü = größe + (\r\n        1)\r\n    return ü  # π\r\n'
    )
    (mutation,) = mutations_of(text, ["f"])
    assert (mutation.line, mutation.before, mutation.after) == (2, "größe + 1", "größe")
    assert mutation.text == text.replace("größe + (\r\n        1)", "größe\r\n")


def test_a_long_line_is_cut_around_its_change():
    long = ", ".join(f"name_{number}" for number in range(20))
    (mutation,) = mutations(f"def f(x):\n    return model({long}, -x, {long})\n")
    assert mutation.before.startswith("…") and mutation.before.endswith("…")
    assert "name_19, -x, name_0" in mutation.before and "name_19, x, name_0" in mutation.after
    assert len(mutation.before) <= 80


def test_a_line_that_fits_is_shown_whole():
    line = f"model({', '.join(f'name_{number}' for number in range(8))}, -x)"
    assert 60 < len(line) <= 80
    assert listed(f"def f(x):\n    return {line}\n") == [
        ("sign flipped", line, line.replace("-x", "x"))
    ]


# --- every function of the workbook -----------------------------------------------------------

TRACKS = sorted(Path("notebooks").glob("*/solution"))
FILES = [
    path for track in TRACKS for path in (*sorted(track.glob("*.py")), track.parent / "variants.py")
]


def functions_of(text):
    names = [node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    return [name for name in names if not name.startswith("test_")]


@pytest.mark.slow(but=2)
@pytest.mark.parametrize("path", FILES, ids=str)
def test_every_mutation_is_one_mistake_in_its_function(path):
    text = path.read_text(encoding="utf-8")
    before, seen = text.splitlines(), {ast.dump(node) for node in ast.parse(text).body}
    made = mutations_of(text, functions_of(text))
    spans = {name: package.find_definition(text, name) for name in functions_of(text)}
    assert [found.line for found in made] == sorted(found.line for found in made)
    for mutation in made:
        after = mutation.text.splitlines()
        assert len(after) == len(before)
        first, last = spans[mutation.function]
        changed = [at for at, line in enumerate(before, 1) if line != after[at - 1]]
        assert changed and all(first <= at <= last for at in [*changed, mutation.line])
        definition = "\n".join(after[first - 1 : last])
        compile(definition, str(path), "exec")
        (node,) = ast.parse(definition).body
        assert ast.dump(node) not in seen, f"{mutation.after} changes nothing, or was made before"
        seen.add(ast.dump(node))


@pytest.mark.slow(but=2)
@pytest.mark.parametrize("path", FILES, ids=str)
def test_every_mutation_is_told_in_few_words(path):
    text = path.read_text(encoding="utf-8")
    for mutation in mutations_of(text, functions_of(text)):
        assert mutation.before != mutation.after
        assert "\n" not in mutation.before + mutation.after
        assert max(len(mutation.before), len(mutation.after)) <= 80
        assert mutation.hint.endswith(".") and len(mutation.hint) <= 60
        assert len(mutation.name) <= 30


def solution(module):
    return Path("notebooks/autoencoder/solution", f"{module}.py").read_text(encoding="utf-8")


HOW_MANY = {
    ("model", "nn_layer"): (12, 20),
    ("model", "encoder"): (6, 10),
    ("model", "autoencoder"): (0, 2),
    ("losses", "mse_loss"): (3, 6),
    ("shapes", "param_shapes"): (3, 8),
    ("training", "adam_steps"): (3, 20),
}


@pytest.mark.parametrize("module, function", HOW_MANY)
def test_as_many_as_a_pair_can_read(module, function):
    least, most = HOW_MANY[module, function]
    assert least <= len(mutations_of(solution(module), [function])) <= most


@pytest.mark.parametrize("function", ["nn_layer", "encoder", "decoder"])
def test_every_mutation_of_the_model_shows(function):
    rng = np.random.default_rng(0)
    widths = {"enc_hidden": (5, 6), "enc_code": (2, 5), "dec_hidden": (5, 2), "dec_pixels": (6, 5)}
    params = {
        layer: {"weight": rng.normal(size=width), "bias": rng.normal(size=width[:1])}
        for layer, width in widths.items()
    }
    x, z, weights = rng.normal(size=(3, 6)), rng.normal(size=(3, 2)), rng.normal(size=(6, 5))
    calls = {"encoder": [(params, 3 * x)], "decoder": [(params, 3 * z)]}
    calls["nn_layer"] = [(weights, x)] + [
        (weights, x, rng.normal(size=5), name) for name in (None, "relu", "tanh", "sigmoid")
    ]

    def answers(text):
        return [returned(text, arguments, function) for arguments in calls[function]]

    before = answers(solution("model"))
    for mutation in mutations_of(solution("model"), [function]):
        assert not is_same(answers(mutation.text), before), mutation.after
