"""The shape explorer must show at every moment what the plain call says."""

import time

import numpy as np
import pytest

from reimpl_helpers.shapes import shape_table
from reimpl_helpers.widgets import shape_explorer

SIZES = {"batch": 5, "pixels": 64, "hidden": 32}
LIMITS = {"batch": (1, 50), "pixels": (1, 128), "hidden": (1, 64)}


def layers(weights, x):
    for weight in weights:
        x = np.tanh(x @ weight)
    return x


def evaluate(batch, pixels, hidden):
    weights = [(pixels, hidden), (32, pixels)]  # the second fits at hidden 32 alone
    sizes = {"batch": batch, "pixels": pixels, "hidden": hidden}
    return shape_table(layers, weights, (batch, pixels), sizes=sizes)


@pytest.fixture
def explorer():
    return shape_explorer(evaluate, SIZES, LIMITS)


def test_a_labelled_slider_for_each_size(explorer):
    seen = {s.description: (s.value, s.min, s.max) for s in explorer.sliders.values()}
    assert seen == {axis: (SIZES[axis], *LIMITS[axis]) for axis in SIZES}
    assert explorer.children == (*explorer.sliders.values(), explorer.table)


def test_the_table_follows_the_sliders(explorer):
    before = explorer.table.value
    assert before == evaluate(**SIZES)._repr_html_()
    explorer.sliders["batch"].value = 6
    assert explorer.sizes == {**SIZES, "batch": 6}
    assert explorer.table.value == evaluate(**SIZES | {"batch": 6})._repr_html_() != before
    assert explorer.text == repr(evaluate(**SIZES | {"batch": 6}))


def test_sizes_the_code_cannot_take_are_told_in_place(explorer):
    explorer.sliders["hidden"].value = 31
    stop = "stops here · matmul of (batch 5, hidden 31) and (32, pixels 64)"
    assert stop in explorer.table.value
    assert stop in explorer.text
    explorer.sliders["hidden"].value = 32
    assert "stops here" not in explorer.table.value


def test_any_other_error_is_told_in_place():
    def broken(batch):
        if batch > 2:
            raise KeyError("<weight>")
        return "all well"

    explorer = shape_explorer(broken, {"batch": 2}, {"batch": (1, 5)})
    assert "all well" in explorer.table.value
    explorer.sliders["batch"].value = 3
    assert "at batch 3: KeyError: &#x27;&lt;weight&gt;&#x27;" in explorer.table.value
    assert explorer.text == "at batch 3: KeyError: '<weight>'"
    explorer.sliders["batch"].value = 1
    assert "KeyError" not in explorer.table.value


def test_its_text_is_the_plain_call(explorer):
    bundle = explorer._repr_mimebundle_()
    assert bundle["text/plain"] == repr(evaluate(**SIZES))
    assert "application/vnd.jupyter.widget-view+json" in bundle


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"batch": (1, 50), "pixels": (1, 128)}, "not 'hidden': add hidden="),
        ({**LIMITS, "pixels": (65, 128)}, "pixels starts at 64, outside its limits 65 to 128"),
        ({**LIMITS, "pixels": (1, 63)}, "pixels starts at 64, outside its limits 1 to 63"),
    ],
)
def test_limits_must_hold_every_size(limits, message):
    with pytest.raises(ValueError, match=message):
        shape_explorer(evaluate, SIZES, limits)


def test_an_update_takes_less_than_50_milliseconds(explorer):
    taken = []
    for batch in range(10, 30):
        start = time.perf_counter()
        explorer.sliders["batch"].value = batch
        taken.append(time.perf_counter() - start)
    assert sorted(taken)[len(taken) // 2] < 0.05
