"""What is special to the graph network's track: names its users expect, and the karate club."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import grad
from jax.example_libraries.optimizers import adam

from reimpl_helpers.texts import package
from reimpl_helpers.tracks.track import Track

TRACK = Track("gnn", 5)
LEADERS = jnp.array([0, 33])


def given(*names):
    return [TRACK.given(TRACK.piece(name)) for name in names]


@pytest.mark.slow
@pytest.mark.parametrize("x64", [False, True])
def test_training_as_its_users_write_it(x64):
    dummy_graph_data, make_gnn_params, gnn_model, mse_loss = given(
        "dummy_graph_data", "make_gnn_params", "gnn_model", "mse_loss"
    )
    with jax.enable_x64(x64):
        x, y = dummy_graph_data()
        params = make_gnn_params()
        dloss = grad(mse_loss)
        init, update, get_params = adam(step_size=0.005)
        start_loss = mse_loss(params, gnn_model, x, y)
        state = init(params)
        for i in range(10):
            g = dloss(params, gnn_model, x, y)
            state = update(i, g, state)
            params = get_params(state)
        assert mse_loss(params, gnn_model, x, y) < start_loss


def test_the_club_is_the_one_that_zachary_watched():
    ties, faction = (TRACK.recording.data[name] for name in ("ties", "faction"))
    assert ties.shape == (78, 2) and faction.shape == (34,)
    assert len({frozenset(tie) for tie in ties.tolist()}) == 78
    degrees = np.bincount(ties.ravel(), minlength=34)
    assert degrees[0] == 16 and degrees[33] == 17 and degrees.min() == 1
    assert faction[0] == 0 and faction[33] == 1 and faction.sum() == 17


def members_right(key, model):
    """Train on the two leaders, and count who is placed where they went."""
    karate_club_data, make_gnn_params, mse_loss, train = given(
        "karate_club_data", "make_gnn_params", "mse_loss", "train"
    )

    def leaders(params, x):
        return model(params, x)[LEADERS]

    x, y = karate_club_data(TRACK.recording.path)
    with jax.enable_x64(True):
        params = make_gnn_params(key, node_features=34, edge_features=1, hidden=8)
        params, _ = train(params, leaders, mse_loss, x, y[LEADERS], steps=100, step_size=0.01)
        return int(np.sum(np.sign(model(params, x)) == y))


@pytest.mark.slow(but=1)
@pytest.mark.parametrize("key", range(3))
def test_two_leaders_tell_who_goes_with_whom(key):
    (gnn_model,) = given("gnn_model")
    assert members_right(key, gnn_model) >= 31


def test_without_messages_nobody_knows():
    bug = next(bug for bug in TRACK.bugs if bug.name == "nothing received")
    texts = {**TRACK.given_texts(True), **TRACK.planted(bug, True)}
    lonely = package.load_pieces(TRACK.solution, "model", texts).gnn_model
    assert np.mean([members_right(key, lonely) for key in range(3)]) < 26
