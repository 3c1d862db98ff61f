"""Operations counted in programs of JAX, held against paper; how far a score tells kinds apart."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reimpl_helpers import knowing
from reimpl_helpers.base.growth import exponent
from reimpl_helpers.knowing import (
    Machine,
    auroc,
    called_elsewhere,
    count_operations,
    estimate,
    fit_times,
    let_in,
    time_calls,
    time_each,
    words_of_refusal,
)
from reimpl_helpers.texts.package import load_pieces
from reimpl_helpers.tracks.track import Track

A, B, SQUARE = np.ones((2, 3)), np.ones((3, 5)), np.ones((3, 3))


@pytest.mark.parametrize(
    "function, args, expected",
    [
        (jnp.matmul, (A, B), 2 * 2 * 3 * 5),
        (lambda a, b: jnp.tanh(a @ b) + 1, (A, B), 2 * 2 * 3 * 5),
        (jax.jit(lambda a, b: a @ b), (A, B), 2 * 2 * 3 * 5),
        (lambda a: a * a + a, (A,), 0),
        (lambda a: jnp.einsum("hbi,hbo->hio", a, a), (np.ones((4, 2, 3)),), 2 * 4 * 2 * 3 * 3),
        (jax.vmap(jnp.matmul), (np.ones((7, 2, 3)), np.ones((7, 3, 5))), 7 * 2 * 2 * 3 * 5),
        # by a weight, as much again as forward: what goes in needs no gradient
        (jax.value_and_grad(lambda b: (A @ b).sum()), (B,), 2 * (2 * 2 * 3 * 5)),
    ],
)
def test_products(function, args, expected):
    assert count_operations(function, *args) == expected


def test_a_convolution_is_a_product_at_each_place():
    image, kernel = np.ones((2, 3, 8, 8)), np.ones((5, 3, 3, 3))
    found = count_operations(lambda x: jax.lax.conv(x, kernel, (1, 1), "VALID"), image)
    assert found == 2 * (2 * 5 * 6 * 6) * (3 * 3 * 3)


def test_a_loop_counts_as_often_as_it_runs():
    def four_products(x):
        return jax.lax.scan(lambda carry, _: (carry @ carry, None), x, length=4)[0]

    forward = count_operations(four_products, SQUARE)
    assert forward == 4 * 2 * 27
    both_factors = jax.value_and_grad(lambda x: four_products(x).sum())
    assert count_operations(both_factors, SQUARE) == 3 * forward


def test_the_dearest_branch_counts():
    def either(x):
        return jax.lax.cond(x[0, 0] > 0, lambda x: x @ x @ x, lambda x: x @ x, x)

    assert count_operations(either, SQUARE) == 2 * 2 * 27


def test_a_loop_of_unknown_length_is_refused_where_it_matters():
    def until(turn):
        return lambda x: jax.lax.while_loop(lambda x: x[0, 0] < 100, turn, x)

    with pytest.raises(ValueError, match="Write it with jax.lax.scan"):
        count_operations(until(lambda x: x @ x), SQUARE)
    assert count_operations(until(lambda x: 2 * x), SQUARE) == 0


@pytest.mark.parametrize(
    "name, model, loss, dtype, data_axes, tried",
    [
        (
            "autoencoder", "autoencoder", "mse_loss", float, 1,
            [(1, 64, 32, 8), (3, 7, 5, 2), (17, 4, 4, 4), (2, 9, 40, 1), (64, 1, 3, 6)],
        ),
        (
            "mlstm", "mlstm_model", "next_letter_loss", int, 2,
            [(1, 1, 10, 12, 2), (3, 5, 4, 7, 1), (5, 2, 9, 3, 4), (2, 40, 6, 6, 3),
             (8, 12, 1, 4, 2)],
        ),
    ],
)  # fmt: skip
def test_a_tracks_formula_is_what_is_walked(name, model, loss, dtype, data_axes, tried):
    """The sizes are those of x, and of params but for the first, or the first two."""
    track = Track(name)
    texts = track.given_texts(in_jax=True)
    loaded = {module: load_pieces(track.solution, module, texts) for module in texts}
    model, loss = getattr(loaded["model"], model), getattr(loaded["losses"], loss)
    step = jax.value_and_grad(lambda params, x: loss(params, model, x, x))
    for sizes in tried:
        params = getattr(loaded["params"], f"make_{name}_params")(0, *sizes[data_axes:])
        x = np.ones(sizes[:2], dtype)
        walked = [count_operations(function, params, x) for function in (model, step)]
        assert [*loaded["costs"].count_flops(*sizes).values()] == walked


# --- how long it takes --------------------------------------------------------------------


class Clock:
    """Stand for `time`: a clock that moves only where somebody waits."""

    seconds = 0.0

    def perf_counter(self):
        return self.seconds


class Answer:
    """Answer that is there at once, and computed once somebody has waited."""

    def __init__(self, clock, seconds):
        self.clock, self.left = clock, seconds

    def block_until_ready(self):
        self.clock.seconds += self.left


def test_the_slower_of_the_two_decides():
    machine = Machine(peak=100e9, bandwidth=20e9, overhead=5e-6)
    assert machine.roof(operations=100e9, moved=10e9) == 1
    assert machine.roof(operations=50e9, moved=20e9) == 1
    assert str(machine).startswith("100 billion operations and 20 billion bytes a second; ")


def test_this_machine_has_speeds_above_zero():
    machine = knowing.measure_machine()
    assert machine.peak > 0 and machine.bandwidth > 0 and machine.overhead > 0


def test_each_call_counts_with_its_shortest_round_and_its_first_run_with_none(monkeypatch):
    """In a round, one call or the other takes three times as long; a first run takes a second."""
    clock, runs = Clock(), {"short": [], "long": []}

    def call(name, seconds):
        runs[name].append(clock.seconds)
        slow = 1 + 2 * (len(runs["long"]) % 2)
        return Answer(clock, seconds * slow if len(runs[name]) > 1 else 1)

    monkeypatch.setattr(knowing, "time", clock)
    calls = {"short": lambda: call("short", 0.001), "long": lambda: call("long", 0.5)}
    found = time_each(calls, rounds=4, least=0.25)
    assert found == {"short": pytest.approx(0.001), "long": pytest.approx(0.5)}
    assert len(runs["short"]) > 300 and len(runs["long"]) == 5


def test_a_fit_gives_back_what_the_times_were_made_of():
    roofs = np.array([1e-7, 3e-6, 2e-5, 4e-4])
    fit = fit_times(roofs, 5e-5 + 2.5 * roofs)
    assert fit.start == pytest.approx(5e-5) and fit.slowdown == pytest.approx(2.5)
    assert str(fit) == "50 µs to start, and 2.5 times the roofline"
    assert fit.seconds(1e-3) == pytest.approx(5e-5 + 2.5e-3)
    assert fit_times(roofs, 3 * roofs - 1e-8).start == 0


def test_an_exponent_is_that_of_a_power():
    sizes = np.array([1, 10, 500, 2000])
    assert exponent(sizes, 7e-6 * sizes**1.5) == pytest.approx(1.5)
    assert exponent({1: 0, 2: 0, 4: 0}, {1: 3, 2: 12, 4: 48}.values()) == pytest.approx(2)


@pytest.mark.parametrize("fitted", [fit_times, exponent])
def test_few_sizes_and_times_of_nothing_are_refused(fitted):
    with pytest.raises(ValueError, match="expected three different sizes or more"):
        fitted([1, 2, 2], [3, 4, 5])
    with pytest.raises(ValueError, match="expected three different sizes or more"):
        fitted([1, 2, 3], [3, 0, 4])


def test_one_core_is_asked_for_once(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=there")
    knowing.keep_to_one_core()
    once = os.environ["XLA_FLAGS"]
    knowing.keep_to_one_core()
    assert (
        os.environ["XLA_FLAGS"] == once == "--xla_dump_to=there --xla_cpu_multi_thread_eigen=false"
    )


# --- how well a score tells two kinds of input apart --------------------------------------


def test_auroc_is_the_share_of_pairs_in_the_right_order():
    rng = np.random.default_rng(0)
    ordinary, strange = rng.integers(0, 9, size=40), rng.integers(2, 12, size=25)
    gaps = strange[:, None] - ordinary
    assert auroc(ordinary, strange).value == pytest.approx(np.mean((gaps > 0) + (gaps == 0) / 2))


def test_auroc_holds_the_truth_in_its_interval_nineteen_times_of_twenty():
    """Scores of two exponentials, one three times as wide: the truth is 3 / 4."""
    rng = np.random.default_rng(0)
    found = [auroc(rng.exponential(size=60), 3 * rng.exponential(size=80)) for _ in range(2000)]
    held = np.mean([estimate.low <= 0.75 <= estimate.high for estimate in found])
    assert 0.93 < held < 0.965


def test_few_scores_that_never_meet_leave_much_open():
    """Two of two is no proof: an even chance gives that too, one time in four."""
    assert str(auroc([1, 2, 3], [4, 5])) == "1.00 (0.16 to 1.00)"
    assert str(auroc([4, 5, 6], [1, 2])) == "0.00 (0.00 to 0.84)"
    assert str(auroc(np.arange(100), np.arange(100, 300))) == "1.00 (0.96 to 1.00)"


@pytest.mark.parametrize("ordinary, strange", [([], [1, 2]), ([1, 2], [3]), ([1, np.nan], [3, 4])])
def test_too_few_scores_are_refused(ordinary, strange):
    with pytest.raises(ValueError, match="expected two or more numbers"):
        auroc(ordinary, strange)


def test_conformal_threshold_covers_as_much_as_it_promises():
    """Over many draws the share below lies between 1 - alpha and 1 - alpha + 1 / (n + 1)."""
    threshold = load_pieces(Track("autoencoder").solution, "uncertainty").conformal_threshold
    draws, alpha = np.random.default_rng(0).lognormal(size=(20_000, 31)), 0.1
    below = np.mean([new <= threshold(scores, alpha) for *scores, new in draws])
    noise = 4 * np.sqrt(alpha * (1 - alpha) / len(draws))
    assert 1 - alpha - noise < below < 1 - alpha + 1 / 31 + noise


@pytest.mark.parametrize(
    "draw, truth, at_most",
    [
        (lambda rng: rng.normal(3, 2, size=12), 3, 0.965),
        (lambda rng: rng.uniform(size=60) < 0.07, 0.07, 1),  # a share's interval may hold more
        (lambda rng: rng.uniform(size=60) < 0.5, 0.5, 0.985),
    ],
)
def test_an_interval_holds_the_truth_nineteen_times_of_twenty(draw, truth, at_most):
    rng = np.random.default_rng(0)
    found = [estimate(draw(rng))[0] for _ in range(2000)]
    assert 0.935 < np.mean([one.low <= truth <= one.high for one in found]) < at_most


def test_a_share_of_none_and_of_all_leaves_something_open():
    """Of 30 in a row, the true share is above 0.884 with 97.5 in 100."""
    none, all_of_them = (estimate(np.full(30, answer))[0] for answer in (False, True))
    assert (none.value, none.low, all_of_them.high) == (0, 0, 1)
    assert none.high == pytest.approx(1 - all_of_them.low) == pytest.approx(1 - 0.025 ** (1 / 30))


def test_what_was_counted_is_exact():
    found, how = estimate(np.int64(9216))
    assert (found.value, found.low, found.high, how) == (9216, 9216, 9216, "counted")
    assert type(found.value) is int


@pytest.mark.parametrize("numbers", [[1.0], [1.0, np.nan], [np.inf, 1.0], []])
def test_too_few_numbers_are_refused(numbers):
    with pytest.raises(ValueError, match="expected two or more finite ones"):
        estimate(np.array(numbers))


# --- how it serves ------------------------------------------------------------------------


def test_each_call_is_waited_for_and_the_first_stands_apart(monkeypatch):
    clock, took = Clock(), iter([0.5, *[0.001] * 98, 0.25])
    monkeypatch.setattr(knowing, "time", clock)
    times = time_calls(lambda: Answer(clock, next(took)), calls=100)
    assert times.first == 0.5 and len(times.later) == 99
    assert times.quantile(0.5) == pytest.approx(0.001) and times.later.max() == 0.25
    assert str(times).startswith("first call 500 ms; of the later ones, half within 1000 µs")
    with pytest.raises(ValueError, match="expected 2 or more"):
        time_calls(lambda: None, calls=1)


def test_a_program_called_elsewhere_is_handed_each_array_in_its_place():
    def function(x):
        return x["z"] - x["a"][0]

    x = {"z": np.float32([5, 7]), "a": np.float32([2, 3, 4])}
    program = jax.export.export(jax.jit(function))(x).serialize()
    np.testing.assert_array_equal(called_elsewhere(program, x), [3, 5])


def test_a_program_that_cannot_be_called_elsewhere_says_why():
    with pytest.raises(RuntimeError, match="could not call the program: .*unpack"):
        called_elsewhere(b"no program", A)


def test_a_refusal_is_there_and_has_words():
    def guard(words):
        if words is not None:
            raise ValueError(words)

    for words, said in ((None, "NaN: let in"), (" ", "has no words"), ("too many", None)):
        complaint = let_in("NaN", "Which?", words_of_refusal(guard, words))
        assert said in complaint[0] if said else complaint is None


def test_a_sweep_that_is_stopped_keeps_what_it_has_measured(capsys):
    def measure(size):
        if size == 50:
            raise KeyboardInterrupt
        return 2 * size

    assert knowing.sweep(lambda size: 2 * size, (10, 25)) == {10: 20, 25: 50}
    capsys.readouterr()
    assert knowing.sweep(measure, (10, 25, 50, 100)) == {10: 20, 25: 50}
    said = "stopped: 2 of 4 are measured, and kept. Not measured: 50, 100. "
    assert said in capsys.readouterr().out
