"""Measure what the card says of the transformer."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from costs import count_flops, count_memory
from data import dummy_sentence_data
from losses import contrastive_loss
from model import transformer_model
from params import make_transformer_params
from training import adam_steps
from uncertainty import is_strange, strangeness

TRAINED = """\
On 1,000 made-up pairs of alike sentences, of 3 to 6 words in rising order, to tell a sentence's
partner from 38 others: three times through them in batches of 20 pairs, each for 4 steps of Adam of
size 0.005. One sentence of each of 400 more pairs sets the threshold of `is_strange`, and one of
each of 400 others is measured below."""


# given by the workbook
def made(key, count, seq=6):
    """Make up sentences of the words 1 to 19, in rising order; two by two they are alike.

    Shapes: -> tokens and is_real, each (count, seq)
    """
    x, _ = dummy_sentence_data(key, count, seq, words=20)
    rising = np.sort(np.where(x["is_real"], x["tokens"], 20), axis=1)
    return {"tokens": rising * x["is_real"], "is_real": x["is_real"]}


# given by the workbook
def learned(params, known, pairs, step_size=5e-3):
    """Train on one batch of pairs after the other, four steps each.

    Shapes: known as made gives it, pairs (num_batches, batch) -> params
    """

    def take(carry, batch):
        rows = jnp.stack([2 * batch, 2 * batch + 1], axis=1).ravel()
        x = {name: jnp.asarray(part)[rows] for name, part in known.items()}
        y = jnp.arange(len(rows)) ^ 1
        *carry, _ = adam_steps(
            *carry, transformer_model, contrastive_loss, x, y, steps=4, step_size=step_size
        )
        return tuple(carry), None

    (params, _), _ = jax.lax.scan(take, (params, optax.adam(step_size).init(params)), pairs)
    return params


# given by the workbook
@jax.enable_x64(True)
def measured():
    """Train anew, and measure: numbers that are counted, values of sentences, scores of two kinds.

    A sentence is found if, of 200, its partner is the one most alike to it.
    """
    known, calibration, trial = made(1, 2000), made(2, 800), made(3, 800)
    rng = np.random.default_rng(0)
    order = np.concatenate([rng.permutation(1000) for _ in range(3)])
    params = jax.jit(learned)(make_transformer_params(), known, order.reshape(150, 20))

    def part_of(x, rows):
        return {name: value[rows] for name, value in x.items()}

    few_known, calibration = (
        part_of(known, slice(0, 400, 2)),
        part_of(calibration, slice(0, 800, 2)),
    )
    before, after = part_of(trial, slice(0, 400, 2)), part_of(trial, slice(400, 800, 2))
    places = np.argsort(np.where(after["is_real"], rng.uniform(size=after["tokens"].shape), 1))
    shuffled = {**after, "tokens": np.take_along_axis(after["tokens"], places, axis=1)}
    new_words = {**after, "tokens": (20 + after["tokens"] // 2) * after["is_real"]}
    vectors = transformer_model(params, part_of(trial, slice(0, 200)))
    alike = np.asarray(vectors @ vectors.T) - 2 * np.eye(200)
    as_it_was = strangeness(params, before, few_known)
    return {
        "weights and biases": sum(array.size for array in jax.tree.leaves(params)),
        "operations, one sentence of 6 words": count_flops(1, 6)["forward"],
        "operations, training step of 40 of them": count_flops(40, 6)["train_step"],
        "bytes, training step of 40 of them": sum(count_memory(40, 6).values()),
        "sentences whose partner is found": alike.argmax(axis=1) == np.arange(200) ^ 1,
        "sentences of its own kind called strange": is_strange(
            params, before, few_known, calibration
        ),
        "sentences of new words told apart": (as_it_was, strangeness(params, new_words, few_known)),
        "shuffled sentences told apart": (as_it_was, strangeness(params, shuffled, few_known)),
    }


# given by the workbook
def timed():
    """Give what is timed: functions to call, each compiled at its first call."""
    params = jax.tree.map(jnp.float32, make_transformer_params())
    model, one, many = jax.jit(transformer_model), made(0, 1), made(0, 40)
    return {
        "one sentence": lambda: model(params, one).block_until_ready(),
        "40 sentences": lambda: model(params, many).block_until_ready(),
    }
