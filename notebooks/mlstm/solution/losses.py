"""What training makes small."""

import jax
import jax.numpy as jnp


def next_letter_loss(params, model, x, y):
    """Measure how surprised a model is by the letters that come next: mean cross-entropy.

    Shapes: x (batch, seq), y (batch, seq), letters from 1 to 25, and 0 where there is none -> ()
    Source: torch.nn.functional.cross_entropy of the scores, over the letters that are there
    """
    log_p = jax.nn.log_softmax(model(params, x), axis=-1)
    of_letter = jnp.take_along_axis(log_p, jnp.maximum(y - 1, 0)[:, :, None], axis=-1)[:, :, 0]
    return -jnp.sum(jnp.where(y > 0, of_letter, 0)) / jnp.sum(y > 0)
