"""What training makes small."""

import jax
import jax.numpy as jnp


def contrastive_loss(params, model, x, y):
    """Measure how well each sentence tells the one that means the same from all the others.

    The score of two sentences is 20 times the product of their vectors. A sentence is never
    compared with itself. Of all the others, y says which one belongs to it: the loss is the mean
    cross-entropy of the scores with that.

    Shapes: x as the model takes it, y (batch,), the number of a row -> ()
    Source: record.py, contrastive_loss
    """
    vectors = model(params, x)
    scores = 20 * vectors @ vectors.T
    scores = jnp.where(jnp.eye(len(scores), dtype=bool), -jnp.inf, scores)
    right = scores[jnp.arange(len(scores)), y]
    return jnp.mean(jax.nn.logsumexp(scores, axis=1) - right)
