"""The training loop that every track shares, and the first steps of training in each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reimpl_helpers.params import flat, nested
from reimpl_helpers.texts import package
from reimpl_helpers.tracks.track import Track, tracks


def solution(name, module):
    track = Track(name, 5)
    return package.load_pieces(track.solution, module, track.given_texts(in_jax=True))


@pytest.fixture
def train():
    return solution("autoencoder", "training").train


def model_of(track):
    """Find the whole model of a track: the last piece of its first step."""
    return [piece for piece in track.pieces if piece.step == 1][-1]


def loss_of(track):
    """Find the loss of a track: the piece of losses.py."""
    return next(piece for piece in track.listed if piece.module == "losses")


# --- in every track -----------------------------------------------------------------------


@pytest.mark.slow(but=1)
@pytest.mark.parametrize("name", tracks())
def test_losses_are_the_originals(name, train):
    track = Track(name, 5)
    model = getattr(solution(name, "model"), model_of(track).name)
    loss = getattr(solution(name, "losses"), loss_of(track).name)
    recorded = track.recording.training
    with jax.enable_x64(True):
        start = nested(recorded.params)
        _, losses = train(
            start,
            model,
            loss,
            recorded.x,
            recorded.y,
            steps=len(recorded.losses),
            step_size=recorded.learning_rate,
        )
    np.testing.assert_allclose(losses, recorded.losses, rtol=1e-9)
    assert len(losses) == 20 and losses[-1] < losses[0]


@pytest.mark.slow(but=1)
@pytest.mark.parametrize("name", tracks())
def test_gradients_are_the_originals(name):
    track = Track(name, 5)
    model = getattr(solution(name, "model"), model_of(track).name)
    loss = getattr(solution(name, "losses"), loss_of(track).name)
    seen = track.recording.probes["ordinary"]
    (first, *others) = seen.inputs.values()
    x = dict(seen.inputs) if others else first
    with jax.enable_x64(True):
        grads = flat(jax.grad(loss)(nested(seen.params), model, x, seen.target))
    assert grads.keys() == seen.gradients.keys()
    for key, recorded in seen.gradients.items():
        np.testing.assert_allclose(grads[key], recorded, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", tracks())
def test_vocabulary_is_the_other_tracks_own_text(name):
    track = Track(name, 5)
    for piece in track.vocabulary.values():
        here, there = (
            Track(home, 5).given_texts(in_jax=True)[piece.module]
            for home in (name, piece.from_track)
        )
        assert package.definition_of(here, piece.name) == package.definition_of(there, piece.name)


# --- the loop -----------------------------------------------------------------------------


def distance(params, model, x, y):
    return jnp.sum((model(params, x) - y) ** 2)


def shifted(params, x):
    return x + params["shift"]["by"]


START = {"shift": {"by": np.zeros(3)}, "unused": np.ones(2)}
X = np.array([1.0, 2.0, 3.0])


def test_reports_come_after_every_hundred_steps(train):
    reports = []
    _, losses = train(
        START,
        shifted,
        distance,
        X,
        X + 1,
        steps=250,
        report=lambda losses: reports.append(list(losses)),
    )
    assert [len(report) for report in reports] == [100, 200, 250]
    assert reports[-1] == losses and reports[0] == losses[:100]


def test_chunks_go_where_single_steps_go(train):
    params, losses = train(START, shifted, distance, X, X + 1, steps=230, step_size=0.01)
    one, state_losses = START, []
    training = solution("autoencoder", "training")
    state = training.optax.adam(0.01).init(one)
    step = jax.jit(training.adam_steps, static_argnums=(2, 3, 6, 7))
    for _ in range(230):
        one, state, loss = step(one, state, shifted, distance, X, X + 1, 1, 0.01)
        state_losses += loss.tolist()
    np.testing.assert_allclose(losses, state_losses, rtol=1e-6)
    np.testing.assert_allclose(params["shift"]["by"], one["shift"]["by"], rtol=1e-6)


def test_nothing_is_compiled_twice(train):
    traced = []

    def counting(params, x):
        traced.append(1)
        return shifted(params, x)

    for steps in (100, 200, 300):
        train(START, counting, distance, X, X + 1, steps=steps)
    assert len(traced) == 1


def test_the_first_parameter_that_breaks_is_named(train):
    def logarithm(params, x):
        return jnp.log(params["scale"]["by"]) * x + params["shift"]["by"]

    start = {"scale": {"by": jnp.array(0.055)}, "shift": {"by": jnp.array(0.0)}}
    with pytest.raises(FloatingPointError) as error:
        train(start, logarithm, distance, X, -100 * X, steps=300, step_size=0.01)
    assert str(error.value).startswith("scale.by (and 1 more) is no longer finite after step 7; ")
    assert "Try a smaller step_size" in str(error.value)


def test_a_loss_that_breaks_alone_is_named(train):
    def infinite(params, model, x, y):
        return jnp.array(jnp.inf)

    with pytest.raises(FloatingPointError, match="^the loss is no longer finite after step 1;"):
        train(START, shifted, infinite, X, X, steps=5)


def test_an_interruption_keeps_the_best_params(train, capsys):
    def interrupt(losses):
        if len(losses) == 200:
            raise KeyboardInterrupt

    params, losses = train(
        START, shifted, distance, X, X + 1, steps=900, step_size=0.002, report=interrupt
    )
    assert len(losses) == 200
    assert distance(params, shifted, X, X + 1) < min(losses)  # those after the last step
    assert capsys.readouterr().out.startswith("Stopped after 200 of 900 steps.")


def test_an_interruption_goes_back_to_better_params(train):
    def interrupt(losses):
        if len(losses) == 200:
            raise KeyboardInterrupt

    away = {"shift": {"by": np.ones(3)}}  # the answer already, which steps this large leave

    def uphill(params, model, x, y):
        return -distance(params, model, x, y) + 2 * jax.lax.stop_gradient(
            distance(params, model, x, y)
        )

    params, losses = train(away, shifted, uphill, X, X + 1.01, steps=900, report=interrupt)
    assert losses[-1] > losses[0]
    np.testing.assert_array_equal(params["shift"]["by"], away["shift"]["by"])
