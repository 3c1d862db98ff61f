"""Gradients beside the original's."""

import numpy as np
import pytest

from reimpl_helpers.params import flat, nested
from reimpl_helpers.tracks.track import Track
from reimpl_helpers.training import gradient_table

RECORDED = {
    "enc.weight": np.array([[0.5, -0.25], [0.125, 0.0]]),
    "enc.bias": np.array([0.01, -0.02]),
}


def row(name, value):
    grads = nested({**RECORDED, name: value})
    (found,) = [row for row in gradient_table(grads, RECORDED).rows if row[0] == name]
    return found


def test_equal_gradients():
    table = gradient_table(nested(RECORDED), RECORDED)
    assert table.rows == [
        ("enc.weight", "5.00e-01", "below 1e-12", "equal"),
        ("enc.bias", "2.00e-02", "below 1e-12", "equal"),
    ]
    assert repr(table) == (
        "parameter   largest gradient  largest difference\n"
        "enc.weight  5.00e-01          below 1e-12         equal\n"
        "enc.bias    2.00e-02          below 1e-12         equal"
    )


@pytest.mark.parametrize(
    "change, expected",
    [
        (lambda g: g + 1e-13, ("2.00e-02", "below 1e-12", "equal")),
        (lambda g: g + 1e-10, ("2.00e-02", "1.00e-10", "equal")),
        (lambda g: g + 1e-8, ("2.00e-02", "1.00e-08", "differs")),
        (lambda g: 2 * g, ("4.00e-02", "2.00e-02", "differs")),
        (lambda g: -g, ("2.00e-02", "4.00e-02", "differs")),
        (lambda g: 0 * g, ("below 1e-12", "2.00e-02", "no gradient at all")),
        (lambda g: g * np.nan, ("nan", "nan", "differs")),
        (lambda g: g[:1], ("", "", "shape (1,), the original's is (2,)")),
        (lambda g: g[:, None], ("", "", "shape (2, 1), the original's is (2,)")),
        (lambda g: g.sum(), ("", "", "shape (), the original's is (2,)")),
    ],
)
def test_gradients_that_may_differ(change, expected):
    assert row("enc.bias", change(RECORDED["enc.bias"])) == ("enc.bias", *expected)


def test_a_gradient_that_is_zero_in_the_original_too_is_equal():
    zero, rounded = {"enc.bias": np.zeros(3)}, {"enc.bias": np.full(3, 9e-17)}
    for grads in (zero, rounded):
        shown = ("enc.bias", "below 1e-12", "below 1e-12", "equal")
        assert gradient_table(nested(grads), zero).rows == [shown]


def test_a_missing_gradient():
    grads = nested({"enc.weight": RECORDED["enc.weight"]})
    assert gradient_table(grads, RECORDED).rows[1] == (
        "enc.bias", "2.00e-02", "", "missing: is it part of your params?",
    )  # fmt: skip


def test_something_else_than_gradients():
    with pytest.raises(TypeError, match="was handed tuple .*, expected gradients nested as params"):
        gradient_table((nested(RECORDED), 1.0), RECORDED)


def test_table_as_html():
    shown = gradient_table(nested(RECORDED), {"<b>": np.ones(1)})._repr_html_()
    assert "&lt;b&gt;" in shown and "<b>" not in shown
    assert '<th scope="col"' in shown and shown.count("<tr>") == 2


def test_gradients_of_the_solution_equal_the_recorded_ones():
    import jax

    track = Track("autoencoder", 5)
    pieces = {piece.name: piece for piece in track.pieces}
    mse_loss, model = (track.given(pieces[name]) for name in ("mse_loss", "autoencoder"))
    probe = track.recording.probes["other sizes"]
    params, x, y = nested(probe.params), probe.inputs["x"], probe.target
    with jax.enable_x64(True):
        grads = jax.grad(mse_loss)(params, model, x, y)
        half = jax.grad(mse_loss)(params, lambda *args: 0.5 * model(*args), x, y)
    verdicts = {row[3] for row in gradient_table(grads, probe.gradients).rows}
    assert verdicts == {"equal"} and len(flat(grads)) == 8
    assert {row[3] for row in gradient_table(half, probe.gradients).rows} == {"differs"}
