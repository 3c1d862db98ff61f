"""Measure what the card says of the multiplicative LSTM."""

import jax
import jax.numpy as jnp
import numpy as np
from costs import count_flops, count_memory
from data import dummy_protein_data, next_letters
from losses import next_letter_loss
from model import mlstm_model
from params import make_mlstm_params
from training import train
from uncertainty import is_strange, strangeness

TRAINED = """\
On 800 made-up proteins of 1 to 11 letters, each letter as likely as any other, by 40 steps of Adam
of size 0.02, all proteins in each. 600 more set the threshold of `is_strange`, and 1,200 others are
measured below."""


# given by the workbook
@jax.enable_x64(True)
def measured():
    """Train anew, and measure: numbers that are counted, values of proteins, scores of two kinds.

    A loss of 3.22 is that of a guess among 25 letters.
    """
    proteins, _ = dummy_protein_data(batch=2600)
    known, calibration, trial = proteins[:800], proteins[800:1400], proteins[1400:]
    params, _ = train(
        make_mlstm_params(),
        mlstm_model,
        next_letter_loss,
        known,
        next_letters(known),
        steps=40,
        step_size=0.02,
    )

    def loss_of_one(x, y):
        return next_letter_loss(params, mlstm_model, x[None], y[None])

    half = len(trial) // 2
    longer, _ = dummy_protein_data(key=1, batch=half, seq=24)
    shuffled, rng = trial[half:].copy(), np.random.default_rng(2)
    for row in shuffled:
        rng.shuffle(row[1 : np.count_nonzero(row)])
    as_it_was = strangeness(params, trial[:half], known)
    return {
        "weights and biases": sum(array.size for array in jax.tree.leaves(params)),
        "operations, one protein of 100 letters": count_flops(1, 101)["forward"],
        "operations, training step of 64 of them": count_flops(64, 101)["train_step"],
        "bytes, training step of 64 of them": sum(count_memory(64, 101).values()),
        "loss of a protein": jax.jit(jax.vmap(loss_of_one))(trial, next_letters(trial)),
        "proteins of its own kind called strange": is_strange(params, trial, known, calibration),
        "longer proteins told apart": (as_it_was, strangeness(params, longer, known)),
        "shuffled proteins told apart": (as_it_was, strangeness(params, shuffled, known)),
    }


# given by the workbook
def timed():
    """Give what is timed: functions to call, each compiled at its first call."""
    params = jax.tree.map(jnp.float32, make_mlstm_params())
    model, (proteins, _) = jax.jit(mlstm_model), dummy_protein_data(batch=64, seq=101)
    return {
        "one protein of at most 100 letters": lambda: jax.block_until_ready(
            model(params, proteins[:1])
        ),
        "64 of them": lambda: jax.block_until_ready(model(params, proteins)),
    }
