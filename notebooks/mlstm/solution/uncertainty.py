"""Where the model may be used, and what a difference between two models is worth."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from data import next_letters
from losses import next_letter_loss
from model import mlstm_model, representation


def strangeness(params, x, known):
    """Measure how far each protein is from the known ones: from its mean h to their nearest.

    Shapes: x (batch, seq), known (num_known, any seq) -> (batch,)
    Source: Sun et al. (2022), Out-of-distribution detection with deep nearest neighbors, for the
        first neighbour, and with representations that keep their length
    """
    gaps = representation(params, x)[0][:, None] - representation(params, known)[0]
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
    """Say of each protein whether it is stranger than proteins of the model's own kind may be.

    Shapes: x (batch, seq), known (num_known, any seq), calibration (num_scores, any seq)
        -> (batch,), of bools
    Units: alpha is a probability: so often may a protein of the model's own kind be called strange
    """
    threshold = conformal_threshold(strangeness(params, calibration, known), alpha)
    return strangeness(params, x, known) > threshold


def second_strangeness(params, x, known):
    """Measure how strange each protein is by a second score, one of three to choose from.

    Shapes: x (batch, seq), known (num_known, any seq) -> (batch,)
    Source: next_letter_loss, of one protein alone; or Sun et al. (2022), the distance to the fifth
        nearest neighbour; or Lee et al. (2018), A simple unified framework for detecting
        out-of-distribution samples and adversarial attacks, the Mahalanobis distance, to one
        class and not squared. Both distances between representations, each the mean h
    """

    def loss_of_one(x, y):
        return next_letter_loss(params, mlstm_model, x[None], y[None])

    return jax.vmap(loss_of_one)(x, next_letters(x))


def paired_difference(a, b):
    """Estimate by how much a exceeds b, with an interval that holds it 19 times of 20.

    Shapes: a, b (num_seeds,), results of two models from the same seeds -> mean, low, high, each ()
    Source: Student's t for paired samples: `scipy.special.stdtrit` gives its quantiles
    """
    differences = np.asarray(a) - np.asarray(b)
    mean, count = differences.mean(), len(differences)
    reach = scipy.special.stdtrit(count - 1, 0.975) * differences.std(ddof=1) / np.sqrt(count)
    return {"mean": mean, "low": mean - reach, "high": mean + reach}
