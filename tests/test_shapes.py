"""Shapes followed without computing must be the shapes that computing gives."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reimpl_helpers.shapes import (
    NoValuesError,
    ShapeError,
    ShapeOnly,
    Step,
    named_shape,
    shape_only,
    shape_table,
    shape_trace,
)

SIZES = {"batch": 5, "pixels": 64, "hidden": 32, "code": 8}


def dense(params, x, nonlinearity):
    output = x @ params["weight"].T + params["bias"]
    return np.maximum(output, 0) if nonlinearity == "relu" else np.tanh(output)


def encoder(params, x):
    return dense(params["enc_code"], dense(params["enc_hidden"], x, "relu"), "tanh")


def encoder_shapes(pixels, hidden, code):
    return {
        "enc_hidden": {"weight": (hidden, pixels), "bias": (hidden,)},
        "enc_code": {"weight": (code, hidden), "bias": (code,)},
    }


@pytest.mark.parametrize(
    ("shape", "sizes", "name"),
    [
        ((5, 64), SIZES, "(batch 5, pixels 64)"),
        ((64,), SIZES, "(pixels 64)"),
        ((), SIZES, "()"),
        ((5, 7), SIZES, "(batch 5, 7)"),
        ((8, 8), {"batch": 8, "code": 8, "hidden": 32}, "(8, 8)"),
        ((5,), {}, "(5)"),
    ],
)
def test_axes_are_named_only_where_the_size_says_which(shape, sizes, name):
    assert named_shape(shape, sizes) == name


X, W = (5, 6), (4, 6)
AGREE = {
    "operators": lambda x, w: (x @ w.T + 1) / 2 - x[:, :4] ** 2,
    "right operators": lambda x, w: 1 - (2 * x) // 3,
    "comparison": lambda x, w: (x > 0) & (x <= 1),
    "broadcasting": lambda x, w: (x[:, None] * w + np.ones((1, 1, 1)), x[:0] + x[:1]),
    "where": lambda x, w: np.where(x > 0, x, 0),
    "two outputs": lambda x, w: np.divmod(x, 2),
    "dot": lambda x, w: x.dot(w.T),
    "einsum": lambda x, w: np.einsum("bi,oi->bo", x, w),
    "matrix by vector": lambda x, w: x @ w[0],
    "vector by matrix": lambda x, w: w[0] @ x.T,
    "stacked matmul": lambda x, w: np.stack([x, x]) @ w.T,
    "outer": lambda x, w: np.multiply.outer(x, w),
    "reduce": lambda x, w: np.maximum.reduce(x),
    "sum": lambda x, w: (x.sum(), x.sum(axis=0), x.sum(axis=-1, keepdims=True)),
    "mean": lambda x, w: (np.mean(x), x.mean(axis=1), x.std(0), np.var(x, axis=(0, 1))),
    "max": lambda x, w: (x.max(axis=1), x.min(), np.argmax(x, axis=1)),
    "norm": lambda x, w: np.linalg.norm(x, axis=1, keepdims=True),
    "reshape": lambda x, w: (x.reshape(3, -1), x.reshape((2, 15)), np.reshape(x, -1), x.ravel()),
    "transpose": lambda x, w: (x.T, x.transpose(), x.transpose(1, 0), x.swapaxes(0, 1)),
    "flatten": lambda x, w: x.flatten(),
    "index": lambda x, w: (x[0], x[:, None], x[..., -1], x[1:3, ::2], x[-1, 0]),
    "index by a list": lambda x, w: (x[[0, 0, 1]], x[np.array([[0, 1], [2, 3]])]),
    "concatenate": lambda x, w: np.concatenate([x, w], axis=0),
    "stack rows": lambda x, w: np.stack([row * 2 for row in x], axis=1),
    "split": lambda x, w: np.split(x, 3, axis=-1),
    "like": lambda x, w: (np.zeros_like(x), np.ones_like(w, dtype=np.int64)),
    "astype": lambda x, w: x.astype(np.float32),
    "whole numbers": lambda x, w: x.astype(np.int64) / 16,
    "half as fine": lambda x, w: x.astype(np.float32) * 2.0,
    "clip": lambda x, w: (np.clip(x, 0, 1), x.clip(0, 1)),
    "sort": lambda x, w: np.sort(x, axis=0),
    "pad": lambda x, w: np.pad(x, ((1, 2), (0, 0))),
    "asks for its shape": lambda x, w: (
        x.reshape(np.shape(x)[1], len(x), np.ndim(x) - 1) * np.size(x, 1)
    ),
    "broadcast": lambda x, w: np.broadcast_to(x, (3, 5, 6)),
    "with an array": lambda x, w: np.ones((7, 6)) @ x.T + np.arange(5),
    "tree": lambda x, w: {"a": [x.T, w], "b": (x.sum(),)},
}


@pytest.mark.parametrize("name", AGREE)
def test_shapes_and_dtypes_agree_with_numpy(name):
    expected = AGREE[name](np.ones(X), np.ones(W))
    followed = AGREE[name](ShapeOnly(X), ShapeOnly(W))

    def kind(array):
        return array.shape, array.dtype

    assert jax.tree.structure(expected) == jax.tree.structure(followed)
    assert jax.tree.all(jax.tree.map(lambda a, b: kind(a) == kind(b), expected, followed))


def test_agreement_would_notice_a_wrong_shape_and_a_wrong_dtype():
    assert (ShapeOnly(X) @ ShapeOnly(W).T).shape != (4, 5)
    assert ShapeOnly(X, np.float32).dtype != np.ones(X).dtype


def test_a_changed_array_stays_itself():
    x = ShapeOnly(X)
    x += 1
    x[0] = 3
    x[:, 1] = np.ones(5)
    assert x.shape == X
    with pytest.raises(ShapeError, match=r"assign of \(5\) and \(6\)"):
        x[:, 1] = np.ones(6)
    with pytest.raises(ShapeError, match=r"assign of \(6\) and \(3, 6\).*does not fit"):
        x[0] = np.ones((3, 6))
    with pytest.raises(ShapeError, match=r"add of \(2, 5, 6\) and \(5, 6\)"):
        x += np.ones((2, 5, 6))


def test_sums_by_index_keep_the_shape_they_are_added_to():
    messages, nodes = ShapeOnly((9, 3)), np.zeros((4, 3))
    assert np.add.at(nodes, np.zeros(9, int), messages) is None
    assert nodes.shape == (4, 3)
    with pytest.raises(ShapeError, match=r"\(9, 3\)"):
        np.add.at(nodes, np.zeros(8, int), messages)


def test_nothing_is_computed_however_large():
    many = 10**12
    trace = shape_trace(
        lambda x, w: np.tanh(x @ w)[:, [0] * 100].sum(axis=0), (many,) * 2, (many,) * 2
    )
    assert trace.result == (100,)
    assert ShapeOnly((many, many))[3:, None, 0].shape == (many - 3, 1)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x, w: x @ w, r"matmul of \(5, 6\) and \(4, 6\).* 6 where it has 4"),
        (lambda x, w: x + w, r"add of \(5, 6\) and \(4, 6\)"),
        (lambda x, w: np.concatenate([x, w], axis=1), r"concatenate of \(5, 6\) and \(4, 6\)"),
        (lambda x, w: x[5], r"index of \(5, 6\).*out of bounds"),
        (lambda x, w: x.reshape(4, 7), r"reshape of \(5, 6\)"),
        (lambda x, w: x.sum(axis=2), r"sum of \(5, 6\)"),
        (lambda x, w: 2 @ x, r"matmul of \(\) and \(5, 6\).*scalar"),
    ],
)
def test_shapes_that_do_not_fit_are_named_with_the_operation(function, message):
    with pytest.raises(ShapeError, match=message):
        function(ShapeOnly(X), ShapeOnly(W))
    with pytest.raises((ValueError, IndexError)):
        function(np.ones(X), np.ones(W))


def fills_zeros(x):
    rows = np.zeros(5)
    rows[0] = x.sum()
    return rows


@pytest.mark.parametrize(
    "function",
    [
        lambda x: 1 if x.sum() > 0 else 0,
        lambda x: float(x[0, 0]),
        lambda x: int(x[0, 0]),
        lambda x: x[0, 0].item(),
        lambda x: range(x[0, 0]),
        lambda x: x[x > 0],
        lambda x: np.unique(x),
        lambda x: np.asarray(x),
        lambda x: 3 in x,
        fills_zeros,
    ],
)
def test_a_wish_for_values_is_refused_with_advice(function):
    with pytest.raises(NoValuesError, match="needs values.*What to do"):
        shape_trace(function, X)


def test_a_function_that_only_numpy_has_is_said_to_be_one():
    with pytest.raises(TypeError, match=r"np\.busday_count .*jax\.numpy has no"):
        np.busday_count(ShapeOnly(X), ShapeOnly(X))


def test_trace_lists_operations_in_order():
    trace = shape_trace(encoder, encoder_shapes(64, 32, 8), (5, 64))
    assert trace.steps == [
        Step("transpose", ((32, 64),), (64, 32)),
        Step("matmul", ((5, 64), (64, 32)), (5, 32)),
        Step("add", ((5, 32), (32,)), (5, 32)),
        Step("maximum", ((5, 32),), (5, 32)),
        Step("transpose", ((8, 32),), (32, 8)),
        Step("matmul", ((5, 32), (32, 8)), (5, 8)),
        Step("add", ((5, 8), (8,)), (5, 8)),
        Step("tanh", ((5, 8),), (5, 8)),
    ]
    assert trace.result == (5, 8)


def test_arguments_may_be_arrays_shapes_or_anything_else():
    def function(scale, tree, word, x):
        assert (scale, word) == (3, "relu")
        return [scale * tree["a"][0], x, None]

    trace = shape_trace(function, 3, {"a": [np.ones((2, 3))]}, "relu", (4,))
    assert trace.result == [(2, 3), (4,), None]
    assert shape_trace(lambda first, second: first + second, 3, 4).result == ()
    assert shape_only((True, False)) == (True, False)
    assert shape_only({"a": (np.ones(3, np.int8), "b")})["a"][0].dtype == np.int8


def test_the_steps_before_a_refusal_are_kept():
    with pytest.raises(ShapeError) as refused:
        shape_trace(encoder, encoder_shapes(64, 32, 8), (5, 63))
    assert [step.operation for step in refused.value.steps] == ["transpose"]
    assert "(batch 5, 63) and (pixels 64, hidden 32)" in refused.value.named(SIZES)


def test_other_errors_of_the_code_come_through():
    with pytest.raises(NameError):
        shape_trace(lambda x: undefined, X)  # noqa: F821
    with pytest.raises(TypeError, match="missing 1 required positional"):
        shape_trace(encoder, X)
    with pytest.raises(ValueError, match="my own"):
        shape_trace(lambda x: exec("raise ValueError('my own')"), X)


# --- the same from code that is JAX already


def jax_encoder(params, x):
    for layer, activation in (("enc_hidden", jax.nn.relu), ("enc_code", jnp.tanh)):
        x = activation(jnp.matmul(x, params[layer]["weight"].T) + params[layer]["bias"])
    return x


@pytest.mark.parametrize("function", [jax_encoder, jax.jit(jax_encoder)])
def test_jax_code_is_followed_too(function):
    trace = shape_trace(function, encoder_shapes(64, 32, 8), (5, 64))
    assert trace.result == (5, 8)
    assert [step.operation for step in trace.steps] == [
        "transpose", "matmul", "add", "relu", "transpose", "matmul", "add", "tanh",
    ]  # fmt: skip
    assert trace.steps[1] == Step("matmul", ((5, 64), (64, 32)), (5, 32))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: jnp.exp(x),
        lambda x: jax.nn.softmax(x @ jnp.ones((6, 3))),
        lambda x: jnp.ones((3, 5)) @ x,
        lambda x: jax.vmap(jnp.sum)(x),
        lambda x: jax.lax.scan(lambda c, row: (c + row, c), jnp.zeros(6), x),
        lambda x: jnp.zeros(X).at[0].set(x[0]),
        lambda x: jnp.stack([x, x]),
        lambda x: jnp.asarray(x),
        lambda x: jax.ops.segment_sum(x, jnp.zeros(5, int), 2),
    ],
)
def test_jax_results_have_the_shapes_that_jax_gives(function):
    expected = jax.tree.map(np.shape, function(jnp.ones(X)))
    assert shape_trace(function, X).result == expected


def test_jax_code_names_the_line_that_refuses_the_shapes():
    with pytest.raises(ShapeError, match=r"`x = activation.*\(5, 63\).*contracting") as refused:
        shape_trace(jax_encoder, encoder_shapes(64, 32, 8), (5, 63))
    assert (5, 63) in refused.value.shapes


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.maximum(jnp.tanh(x), 0),
        lambda x: 1 if jnp.sum(x) > 0 else 0,
        lambda x: jnp.exp(x)[jnp.exp(x) > 0],
    ],
)
def test_half_ported_code_and_values_in_jax_are_refused(function):
    with pytest.raises(NoValuesError, match="jnp throughout"):
        shape_trace(function, X)


# --- the table


def test_table_as_text():
    table = shape_table(
        dense, *[*encoder_shapes(64, 32, 8).values()][:1], (5, 64), "relu", sizes=SIZES
    )
    assert repr(table) == (
        "dense · batch 5, pixels 64, hidden 32, code 8\n"
        "operation  reads                                         gives\n"
        "transpose  (hidden 32, pixels 64)                        (pixels 64, hidden 32)\n"
        "matmul     (batch 5, pixels 64), (pixels 64, hidden 32)  (batch 5, hidden 32)\n"
        "add        (batch 5, hidden 32), (hidden 32)             (batch 5, hidden 32)\n"
        "maximum    (batch 5, hidden 32)                          (batch 5, hidden 32)\n"
        "gives (batch 5, hidden 32)"
    )


def test_table_as_html_holds_the_same_cells():
    table = shape_table(encoder, encoder_shapes(64, 32, 8), (5, 64), sizes=SIZES)
    page = table._repr_html_()
    assert page.count("<tr>") == 1 + 8
    assert page.count('scope="col"') == 3
    assert "<strong>gives (batch 5, code 8)</strong>" in page


def test_table_shows_where_the_code_stops():
    table = shape_table(encoder, encoder_shapes(64, 32, 8), (5, 63), sizes=SIZES)
    *_, before, last = repr(table).splitlines()
    assert before.startswith("transpose")
    assert last.startswith("stops here · matmul of (batch 5, 63) and (pixels 64, hidden 32)")
    assert "stops here" in table._repr_html_()


def test_table_of_what_is_not_written_and_of_what_asks_for_values():
    def unwritten(x):
        raise NotImplementedError

    assert repr(shape_table(unwritten, X, sizes=SIZES)).endswith("stops here · not written yet")
    assert "needs values" in repr(shape_table(lambda x: float(x), X, sizes=SIZES))
    assert "&lt;lambda&gt;" in shape_table(lambda x: x, X, sizes=SIZES)._repr_html_()


def test_table_names_every_result():
    table = shape_table(lambda x: {"a": x.T, "b": [x, None]}, X, sizes={"batch": 5, "unit": 6})
    assert repr(table).endswith("gives (unit 6, batch 5), (batch 5, unit 6), None")


def test_import_is_light():
    code = (
        "import sys, reimpl_helpers.shapes as s; s.ShapeOnly((2, 3)) @ s.ShapeOnly((3, 4)) + 1;"
        "print([m for m in ('jax', 'matplotlib', 'ipywidgets') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
