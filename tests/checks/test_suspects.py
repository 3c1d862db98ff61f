"""What is said of a wrong answer: the known mistake that it equals, or the line that it leaves."""

import numpy as np
import pytest
from cells import Notebook

from reimpl_helpers.checks.cases import Case
from reimpl_helpers.checks.suspects import Suspect, with_first_difference
from reimpl_helpers.checks.verdict import WRONG, judge
from reimpl_helpers.judge.pieces import judge_piece
from reimpl_helpers.texts.package import load_pieces
from reimpl_helpers.tracks.track import Track


def track_at(step):
    return Track("autoencoder", step)


def layer(params, name, x):
    return x @ params[name]["weight"].T + params[name]["bias"]


def judged(function, name, step=1):
    track = track_at(step)
    verdict = judge_piece(track, track.piece(name), function)
    assert verdict.state == WRONG
    return verdict


# --- the known mistake --------------------------------------------------------------------


def question_of(name):
    return next(bug.question for bug in track_at(1).bugs if bug.name == name)


def test_a_known_mistake_is_named_however_it_is_written():
    def without_bias(params, x):
        hidden = [
            np.maximum(params["enc_hidden"]["weight"] @ row + params["enc_hidden"]["bias"], 0)
            for row in x
        ]
        return np.tanh(np.stack(hidden) @ params["enc_code"]["weight"].T)

    verdict = judged(without_bias, "encoder")
    assert verdict.headline.endswith(f" {question_of('no bias before the code')}")
    assert verdict.headline.startswith("40 of 40 values differ on “ordinary”, first at [0, 0]:")
    assert not verdict.picture


SUBTRACTED = """
import numpy as np

def nn_layer(weights, data, bias=0.0, nonlinearity=None):
    output = data @ weights - bias
    return np.maximum(output, 0) if nonlinearity == "relu" else np.tanh(output)

def encoder(params, x):
    first, second = params["enc_hidden"], params["enc_code"]
    hidden = nn_layer(first["weight"].T, x, first["bias"], "relu")
    return nn_layer(second["weight"].T, hidden, second["bias"], "tanh")
"""


def test_a_mistake_in_a_piece_that_is_called_says_where_to_look():
    notebook = Notebook(SUBTRACTED)

    def inline(params, x):
        hidden = x @ params["enc_hidden"]["weight"].T - params["enc_hidden"]["bias"]
        hidden = hidden * (hidden > 0)
        return np.tanh(hidden @ params["enc_code"]["weight"].T - params["enc_code"]["bias"])

    question = question_of("bias subtracted")
    headline = judged(notebook["encoder"], "encoder").headline
    assert headline.endswith(f" Look into nn_layer. {question}")
    headline = judged(inline, "encoder").headline
    assert headline.endswith(f" {question}") and "Look into" not in headline


def test_a_mistake_that_raises_is_named_too():
    def nn_layer(weights, data, bias=0.0, nonlinearity=None):
        output = np.matmul(data, weights.T) + bias
        after = {"relu": lambda z: z * (z > 0), "tanh": np.tanh}
        after["sigmoid"] = lambda z: np.exp(-np.logaddexp(0, -z))
        return after.get(nonlinearity, lambda z: z)(output)

    headline = judged(nn_layer, "nn_layer").headline
    assert headline.startswith("raised ValueError on “ordinary”: a matrix product was asked to sum")
    assert headline.endswith(f" {question_of('weight transposed once more')}")


def test_a_mistake_among_random_numbers_is_named_by_their_distribution():
    def draw(key=0, pixels=64, hidden=32, code=8):
        random, params = np.random.RandomState(key + 7), {}
        sizes = [pixels, hidden, code, hidden, pixels]
        for name, before, after in zip(
            ("enc_hidden", "enc_code", "dec_hidden", "dec_pixels"), sizes, sizes[1:], strict=False
        ):
            bound = after**-0.5
            weight = random.uniform(-bound, bound, (after, before))
            params[name] = {"weight": weight, "bias": random.uniform(-bound, bound, after)}
        return params

    verdict = judged(draw, "make_autoencoder_params", step=3)
    assert verdict.headline.endswith(f" {question_of('bound from out_features')}")


def test_two_mistakes_at_once_are_not_taken_for_one():
    def encoder(params, x):
        return layer(params, "enc_code", np.abs(layer(params, "enc_hidden", x)))

    headline = judged(encoder, "encoder").headline
    assert not any(headline.endswith(bug.question) for bug in track_at(1).bugs)


def test_a_known_mistake_is_asked_once_and_not_anew_for_every_answer(monkeypatch):
    track, loaded = track_at(1), []
    load = Track.as_made_by

    def counted(track, bug, piece):
        loaded.append(bug.name)
        return load(track, bug, piece)

    monkeypatch.setattr(Track, "as_made_by", counted)
    for factor in (2, 3, 2):

        def encoder(params, x, factor=factor):
            return factor * layer(params, "enc_code", x @ np.ones((64, 32)))

        assert judge_piece(track, track.piece("encoder"), encoder).state == WRONG
    assert len(loaded) == len(set(loaded)) > 5


def test_what_is_kept_of_a_known_mistake_is_not_what_its_next_call_writes_into():
    kept = np.zeros(2)

    def counting(step):
        kept[:] += step
        return kept

    suspect = Suspect(None, counting)
    cases = [Case("one", (1.0,)), Case("two", (2.0,))]
    for _ in range(2):
        answers = [suspect.outcome(number, case) for number, case in enumerate(cases)]
        assert [list(answer) for answer in answers] == [[1, 1], [3, 3]]


def test_what_never_ends_is_not_run_again(monkeypatch):
    from reimpl_helpers.base import clocks
    from reimpl_helpers.checks import verdict as checks

    monkeypatch.setattr(checks, "TIME_LIMIT", 0.3)
    monkeypatch.setattr(clocks, "PATIENCE", 100)  # other tests keep the cores busy
    calls = []

    def encoder(params, x):
        calls.append(1)
        while True:
            pass

    assert "still running after 0.3 seconds" in judged(encoder, "encoder").headline
    assert len(calls) == 1


# --- the first line that differs ----------------------------------------------------------


def test_an_unknown_mistake_is_shown_where_it_leaves_the_original():
    def encoder(params, x):
        hidden = np.maximum(layer(params, "enc_hidden", x), 0)
        return np.tanh(2 * layer(params, "enc_code", hidden))

    verdict = judged(encoder, "encoder")
    assert verdict.headline.endswith(
        "yours -0.7046, the original's -0.4122. Your code never computes line 33 of original.py, "
        "torch.tanh(self.enc_code(hidden)): which of your lines should?"
    )
    assert verdict.details.startswith(
        "equal up to original.py line 33   self.enc_code(hidden)\n"
        "differs at  original.py line 33   torch.tanh(self.enc_code(hidden))   shape (5, 8)\n"
        "nearest of yours: largest difference 0.3, at"
    )
    assert '<img width="900" alt="Heat maps of line 33: torch.tanh(' in verdict._repr_html_()


def test_of_a_step_that_is_taken_again_and_again_its_own_lines_are_named():
    track = Track("mlstm", 1)
    piece = track.piece("mlstm_step")
    text = track.given_texts(in_jax=False)["model"]
    text = text.replace('+ weights["b"]', '+ 2 * weights["b"]')
    step = load_pieces(track.solution, "model", {"model": text}).mlstm_step
    cases = track.cases(piece)
    verdict = judge(piece, step, cases)
    refused = cases[verdict.refused]
    verdict = with_first_difference(verdict, step, refused, track.recording)
    assert "line 51 of original.py, x @ wx + m @ wh + self.b:" in verdict.headline


def test_of_several_arrays_the_first_that_differs_is_looked_into():
    def mlstm_layer(params, x, is_real):
        hidden, h, c = track.given(track.piece("mlstm_layer"))(params, x, is_real)
        return hidden, h, np.tanh(c)

    track = Track("mlstm", 1)
    verdict = judge_piece(track, track.piece("mlstm_layer"), mlstm_layer)
    assert "differ for c on" in verdict.headline
    assert "of original.py" in verdict.headline and "but returns something else" in verdict.headline


def test_what_changes_its_input_is_not_said_to_return_something_else():
    def encoder(params, x):
        params["enc_code"]["bias"][:] = 0

    assert judged(encoder, "encoder").headline.endswith("instead of writing into it.")


def test_jax_and_loops_are_followed_as_well():
    import jax
    import jax.numpy as jnp

    @jax.jit
    def encoder(params, x):
        def step(carry, row):
            hidden = jnp.maximum(layer(params, "enc_hidden", row), 0)
            return carry, jnp.sin(layer(params, "enc_code", hidden))

        return jax.lax.scan(step, 0.0, x)[1]

    headline = judged(encoder, "encoder", step=5).headline
    assert "Your code never computes line 33 of original.py, torch.tanh(" in headline


@pytest.mark.parametrize("name", ["param_shapes", "mse_loss"])
def test_where_there_are_no_lines_nothing_is_said_of_them(name):
    verdict = judged(lambda *args, **more: np.float64(1.25), name, step=5)
    assert "original.py" not in verdict.headline and not verdict.picture


def test_a_mistake_that_does_not_show_in_a_piece_is_no_reason_for_its_type():
    track = Track("autoencoder", 6)
    piece = track.piece("is_strange")
    right = track.given(piece)
    verdict = judge_piece(track, piece, lambda *args: np.asarray(right(*args)).astype(int))
    assert "wrong dtype" in verdict.headline and not verdict.mistake


def test_a_right_answer_is_not_looked_into(monkeypatch):
    from reimpl_helpers.judge import pieces

    monkeypatch.setattr(pieces, "WrongAnswer", None)
    track = track_at(1)
    assert judge_piece(track, track.piece("encoder"), track.given(track.piece("encoder"))).right
