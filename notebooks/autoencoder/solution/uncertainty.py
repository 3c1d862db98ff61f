"""Where the model may be used, and what a difference between two models is worth."""

import jax.numpy as jnp
import numpy as np
import scipy
from model import autoencoder, encoder


def strangeness(params, x, known):
    """Measure how far each image is from the known ones: from its code to the nearest of theirs.

    Shapes: x (batch, pixels), known (num_known, pixels) -> (batch,)
    Source: Sun et al. (2022), Out-of-distribution detection with deep nearest neighbors, for the
        first neighbour, and with codes that keep their length
    """
    gaps = encoder(params, x)[:, None] - encoder(params, known)
    return jnp.sqrt(jnp.sum(gaps**2, axis=-1)).min(axis=1)


def conformal_threshold(scores, alpha=0.1):
    """Find the threshold that a new score, drawn as these were, exceeds at most so often.

    Shapes: scores (num_scores,) -> ()
    Units: alpha is a probability
    Source: Vovk, Gammerman and Shafer (2005), inductive conformal prediction, later called
        split: the score of rank (num_scores + 1) * (1 - alpha), rounded up, the least of rank 1;
        infinity beyond the last
    """
    rank = int(np.ceil((len(scores) + 1) * (1 - alpha)))
    return np.sort(scores)[rank - 1] if rank <= len(scores) else np.inf


def is_strange(params, x, known, calibration, alpha=0.1):
    """Say of each image whether it is stranger than images of the model's own kind may be.

    Shapes: x (batch, pixels), known (num_known, pixels), calibration (num_scores, pixels)
        -> (batch,), of bools
    Units: alpha is a probability: so often may an image of the model's own kind be called strange
    """
    threshold = conformal_threshold(strangeness(params, calibration, known), alpha)
    return strangeness(params, x, known) > threshold


def second_strangeness(params, x, known):
    """Measure how strange each image is, by another score than the distance to the nearest code.

    Shapes: x (batch, pixels), known (num_known, pixels) -> (batch,)
    Source: one of three: the mean squared error; Sun et al. (2022), the distance to the fifth
        nearest neighbour; Lee et al. (2018), the Mahalanobis distance, to one class, not squared
    """
    differences = autoencoder(params, x) - x
    return jnp.mean(differences**2, axis=1)


def paired_difference(a, b):
    """Estimate by how much a exceeds b, with an interval that holds it 19 times of 20.

    Shapes: a, b (num_seeds,), results of two models from the same seeds -> mean, low, high, each ()
    Source: Student's t for paired samples: `scipy.special.stdtrit` gives its quantiles
    """
    differences = np.asarray(a) - np.asarray(b)
    mean, count = differences.mean(), len(differences)
    reach = scipy.special.stdtrit(count - 1, 0.975) * differences.std(ddof=1) / np.sqrt(count)
    return {"mean": mean, "low": mean - reach, "high": mean + reach}
