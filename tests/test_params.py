"""Drawn parameters: chance refuses nobody, a wrong distribution passes never."""

import random
import re

import numpy as np
import pytest

from reimpl_helpers.params import (
    flat,
    initial_complaint,
    key_complaint,
    linear_initial_at,
    nested,
    pooled,
    shared_draws,
)
from reimpl_helpers.tracks.track import Track

TRACK = Track("autoencoder")
SHAPES = {name: value.shape for name, value in TRACK.recording.params.items()}
DRAWS = 50  # as the pieces of the tracks ask


def bound_of(name):
    return SHAPES[f"{name.split('.')[0]}.weight"][1] ** -0.5


def tree(uniform):
    """Draw one set of parameters with a function that gives so many numbers from -1 to 1."""
    return nested(
        {
            name: bound_of(name) * np.reshape(uniform(int(np.prod(shape))), shape)
            for name, shape in SHAPES.items()
        }
    )


def drawn(rng):
    return tree(lambda n: rng.uniform(-1, 1, n))


def in_float32(rng):
    return tree(lambda n: 2 * rng.random(n, dtype=np.float32) - 1)


def jax_draws(implementation, first):
    """Draw all sets at once: one key for each set, split into one for each array."""
    import jax

    sizes = [int(np.prod(shape)) for shape in SHAPES.values()]

    def one(key):
        keys = jax.random.split(jax.random.key(key, impl=implementation), len(sizes))
        return [jax.random.uniform(k, n, minval=-1) for k, n in zip(keys, sizes, strict=True)]

    numbers = jax.jit(jax.vmap(one))(np.arange(first, first + DRAWS))
    for row in range(DRAWS):
        values = iter([np.asarray(array[row]) for array in numbers])
        yield tree(lambda n, values=values: next(values))


GENERATORS = {
    "PCG64": lambda key: drawn(np.random.Generator(np.random.PCG64(key))),
    "MT19937": lambda key: drawn(np.random.Generator(np.random.MT19937(key))),
    "Philox": lambda key: drawn(np.random.Generator(np.random.Philox(key))),
    "SFC64": lambda key: drawn(np.random.Generator(np.random.SFC64(key))),
    "RandomState": lambda key: drawn(np.random.RandomState(key)),
    "float32": lambda key: in_float32(np.random.default_rng(key)),
}


def assert_accepted(trees):
    assert initial_complaint(trees, TRACK.recording.initial) is None
    for first, other in zip(trees[::7], trees[1::7], strict=False):
        assert key_complaint([first, first, other], TRACK.recording.initial) is None


@pytest.mark.slow(but=1)
@pytest.mark.parametrize("name", GENERATORS)
def test_right_draws_are_never_refused(name):
    for first in range(0, 8 * 1000, 1000):
        assert_accepted([GENERATORS[name](first + key) for key in range(DRAWS)])


@pytest.mark.parametrize("implementation", ["threefry2x32", "rbg"])
def test_right_draws_of_jax_are_never_refused(implementation):
    for first in (0, 1000):
        assert_accepted(list(jax_draws(implementation, first)))


def test_right_draws_of_python_are_never_refused():
    def draw(key):
        rng = random.Random(key)
        return tree(lambda n: [rng.uniform(-1, 1) for _ in range(n)])

    assert_accepted([draw(key) for key in range(DRAWS)])


def test_right_draws_at_other_sizes_are_never_refused():
    probe = TRACK.recording.probes["other sizes"]
    wanted = linear_initial_at(probe, TRACK.recording)
    for first in range(0, 200 * 1000, 1000):
        trees = []
        for key in range(first, first + DRAWS):
            rng = np.random.default_rng(key)
            values = {}
            for name, value in probe.params.items():
                bound = probe.params[f"{name.split('.')[0]}.weight"].shape[1] ** -0.5
                values[name] = rng.uniform(-bound, bound, value.shape)
            trees.append(nested(values))
        assert initial_complaint(trees, wanted) is None


def wrong(change, only=""):
    """Draw fifty sets in which a change is made to the values whose name ends so."""

    def draw(key):
        rng = np.random.default_rng(key)
        values = flat(drawn(rng))
        return nested(
            {
                name: change(rng, value, name) if name.endswith(only) else value
                for name, value in values.items()
            }
        )

    return [draw(key) for key in range(DRAWS)]


def normal(rng, value, name):
    return rng.normal(scale=bound_of(name) / 3**0.5, size=value.shape)


def clipped_normal(rng, value, name):
    scale = bound_of(name) / 3**0.5
    return np.clip(rng.normal(scale=scale, size=value.shape), -bound_of(name), bound_of(name))


def two_ends(rng, value, name):
    """Take a distribution of the right bounds and the right spread that is not uniform."""
    ends = np.where(rng.uniform(size=value.shape) < 1 / 3, np.sign(value) * bound_of(name), 0)
    return ends * 0.9995


def fan_out(rng, value, name):
    return value / bound_of(name) * SHAPES[name][0] ** -0.5


def glorot(rng, value, name):
    shape = SHAPES[f"{name.split('.')[0]}.weight"]
    return value / bound_of(name) * (6 / sum(shape)) ** 0.5


def with_nan(rng, value, name):
    return np.where(value == value.max(), np.nan, value)


MISTAKES = {
    "normal of the same spread": (normal, "", "far as|spread"),
    "normal of the same spread, weights": (normal, "weight", "far as"),
    "normal, clipped at the bounds": (clipped_normal, "", "spread"),
    "two ends and the middle": (two_ends, "", "another distribution"),
    "two ends and the middle in the smallest bias": (two_ends, "enc_code.bias", "another distrib"),
    "bound from out_features": (fan_out, "weight", "far as|spread"),
    "bound from out_features in one bias": (fan_out, "dec_hidden.bias", "spread"),
    "Glorot's bound": (glorot, "", "far as|spread"),
    "a tenth too large": (lambda rng, value, name: 1.1 * value, "", "far as"),
    "a tenth too large in the smallest bias": (
        lambda rng, value, name: 1.1 * value, "enc_code.bias", "far as",
    ),
    "three hundredths too small in weights": (
        lambda rng, value, name: 0.97 * value, "weight", "spread",
    ),
    "a third too small in the smallest bias": (
        lambda rng, value, name: 0.67 * value, "enc_code.bias", "spread",
    ),
    "positive only": (lambda rng, value, name: np.abs(value), "", "spread|another"),
    "moved aside": (lambda rng, value, name: (value + 0.1 * bound_of(name)) / 1.1, "", "spread"),
    "bias of zeros": (lambda rng, value, name: 0 * value, "bias", "spread"),
    "NaN": (with_nan, "dec_pixels.bias", "NaN or infinite"),
    "infinite": (lambda rng, value, name: value / 0, "bias", "NaN or infinite"),
    "one row throughout": (
        lambda rng, value, name: np.broadcast_to(value[:1], value.shape), "weight", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.filterwarnings("ignore:divide by zero|invalid value")
def test_wrong_draws_are_refused(mistake):
    change, only, words = MISTAKES[mistake]
    trees = wrong(change, only)
    complaint = initial_complaint(trees, TRACK.recording.initial)
    if mistake == "one row throughout":
        complaint = key_complaint([trees[0], trees[0], trees[1]], TRACK.recording.initial)
        assert "different numbers among" in complaint[0]
    said = complaint if isinstance(complaint, str) else " ".join(complaint)
    assert re.search(words, said), said
    assert only in said.split(":")[0]
    assert said.endswith(("?", "."))


def test_a_complaint_says_what_was_seen_and_what_was_expected():
    complaint = initial_complaint(wrong(glorot), TRACK.recording.initial)
    assert complaint == (
        "enc_hidden.weight: drawn as far as 0.25 from zero, the original stays within 0.125.",
        "Which size of the layer decides how far?",
    )


@pytest.mark.parametrize(
    "trees, words",
    [
        (lambda t: [t(0), t(1), t(1)], "drawn twice with the same key, and different."),
        (lambda t: [t(0), t(0), t(0)], "the same values for two different keys."),
        (
            lambda t: [nested({n: np.full(s, 0.5) for n, s in SHAPES.items()})] * 3,
            "enc_hidden.weight: every value is 0.5.",
        ),
    ],
)
def test_keys(trees, words):
    seen, question = key_complaint(trees(GENERATORS["PCG64"]), TRACK.recording.initial)
    assert words in seen and question.endswith("?")


@pytest.mark.parametrize(
    "first, second",
    [
        ("enc_hidden.weight", "dec_hidden.weight"),
        ("enc_code.weight", "enc_code.bias"),
        ("enc_hidden.bias", "dec_pixels.bias"),
    ],
)
def test_shared_random_numbers_are_found(first, second):
    def draw(key):
        values = flat(GENERATORS["PCG64"](key))
        size = min(values[first].size, values[second].size)
        values[second] = values[second].copy()
        values[second].flat[:size] = 3 * values[first].flat[:size]
        return nested(values)

    assert shared_draws([draw(1), draw(2)]) == (first, second)
    assert shared_draws([draw(1), GENERATORS["PCG64"](2)]) is None  # in every tree, not by chance
    seen, _ = key_complaint([draw(1), draw(1), draw(2)], TRACK.recording.initial)
    assert "are the same random numbers" in seen


def test_nested_and_flat_are_opposites():
    state = {"a.b.weight": np.ones(2), "a.bias": np.zeros(3), "top": np.ones(1)}
    params = nested(state)
    assert set(params) == {"a", "top"} and set(params["a"]) == {"b", "bias"}
    assert params["a"]["b"]["weight"] is state["a.b.weight"]
    assert flat(params) == state
    assert nested(flat(params)) == params


def test_pooled():
    pool = pooled([{"a": {"bias": np.ones((2, 3))}}, {"a": {"bias": np.zeros((2, 3))}}])
    assert list(pool) == ["a.bias"]
    assert sorted(pool["a.bias"]) == [0] * 6 + [1] * 6
