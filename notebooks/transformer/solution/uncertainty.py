"""Where the model may be used, and what a difference between two models is worth."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from model import embed, pool, transformer_block, transformer_model


def strangeness(params, x, known, heads=3):
    """Measure how far the words of each sentence are from known ones, as they leave the last block.

    The score of a sentence is a mean over its words: of the distance from each to the nearest word
    of any known sentence. Padding is no word, neither here nor there.

    Shapes: x["tokens"], x["is_real"] (batch, seq), known["tokens"], known["is_real"]
        (num_known, known_seq) -> (batch,)
    Source: Sun et al. (2022), Out-of-distribution detection with deep nearest neighbors, for the
        first neighbour, and word by word
    """

    def words_of(x):
        rows = embed(params, x["tokens"])
        for number in range(len(params["layers"])):
            rows = transformer_block(params["layers"][str(number)], rows, x["is_real"], heads)
        return rows

    known_words = words_of(known)[known["is_real"]]
    gaps = words_of(x)[:, :, None] - known_words
    nearest = jnp.sqrt(jnp.sum(gaps**2, axis=-1)).min(axis=2)
    return pool(nearest[:, :, None], x["is_real"])[:, 0]


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


def is_strange(params, x, known, calibration, alpha=0.1, heads=3):
    """Say of each sentence whether it is stranger than sentences of the known kind may be.

    Shapes: x["tokens"] (batch, seq), known["tokens"] (num_known, known_seq), calibration["tokens"]
        (num_scores, its_seq), each with its "is_real" -> (batch,), of bools
    Units: alpha is a probability: so often may a sentence of the known kind be called strange
    """
    threshold = conformal_threshold(strangeness(params, calibration, known, heads), alpha)
    return strangeness(params, x, known, heads) > threshold


def second_strangeness(params, x, known, heads=3):
    """Measure how strange each sentence is, from its vector and those of the known ones.

    Shapes: x["tokens"], x["is_real"] (batch, seq), known["tokens"], known["is_real"]
        (num_known, known_seq) -> (batch,)
    Source: one of three: Liu et al. (2020), the energy, of 20 times the products; Sun et al.
        (2022), the distance to the fifth nearest neighbour; Lee et al. (2018), A simple unified
        framework for detecting out-of-distribution samples and adversarial attacks, the
        Mahalanobis distance, to one class, not squared
    """
    vectors = transformer_model(params, x, heads)
    known_vectors = transformer_model(params, known, heads)
    return -jax.nn.logsumexp(20 * vectors @ known_vectors.T, axis=1)


def paired_difference(a, b):
    """Estimate by how much a exceeds b, with an interval that holds it 19 times of 20.

    Shapes: a, b (num_seeds,), results of two models from the same seeds -> mean, low, high, each ()
    Source: Student's t for paired samples: `scipy.special.stdtrit` gives its quantiles
    """
    differences = np.asarray(a) - np.asarray(b)
    mean, count = differences.mean(), len(differences)
    reach = scipy.special.stdtrit(count - 1, 0.975) * differences.std(ddof=1) / np.sqrt(count)
    return {"mean": mean, "low": mean - reach, "high": mean + reach}
