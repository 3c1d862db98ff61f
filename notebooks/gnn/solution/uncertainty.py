"""Where the model may be used, and what a difference between two models is worth."""

import jax.numpy as jnp
import numpy as np
import scipy
from model import gnn_model


def strangeness(params, x, known):
    """Measure how far each graph is from the known ones: from its sum of states to the nearest.

    The sum is over the states that a graph's nodes have after both rounds, which is what the
    readout reads.

    Shapes: x and known as gnn_model takes them, with x["nodes_per_graph"] (num_graphs,)
        -> (num_graphs,)
    Source: Sun et al. (2022), Out-of-distribution detection with deep nearest neighbors, for the
        first neighbour
    """
    hidden = len(params["embed"]["bias"])
    as_it_is = {"weight": jnp.eye(hidden), "bias": jnp.zeros(hidden)}  # answers what it reads
    bare = {**params, "readout": as_it_is}
    gaps = gnn_model(bare, x)[:, None] - gnn_model(bare, known)
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
    """Say of each graph whether it is stranger than graphs of the known kind may be.

    Shapes: x, known and calibration as gnn_model takes them, with x["nodes_per_graph"]
        (num_graphs,) -> (num_graphs,), of bools
    Units: alpha is a probability: so often may a graph of the known kind be called strange
    """
    threshold = conformal_threshold(strangeness(params, calibration, known), alpha)
    return strangeness(params, x, known) > threshold


def second_strangeness(params, x, known):
    """Score how strange each graph is once more, in one of three ways: another than strangeness.

    Shapes: params of a model with one target; x and known as gnn_model takes them, with
        x["nodes_per_graph"] (num_graphs,) -> (num_graphs,)
    Source: a count is whole, so the distance of the answer from a whole number. To choose from,
        too: Sun et al. (2022), the distance to the fifth nearest; Lee et al. (2018), A simple
        unified framework for detecting out-of-distribution samples and adversarial attacks, the
        Mahalanobis distance, here to one class and not squared
    """
    answers = gnn_model(params, x)[:, 0]
    return jnp.abs(answers - jnp.round(answers))


def paired_difference(a, b):
    """Estimate by how much a exceeds b, with an interval that holds it 19 times of 20.

    Shapes: a, b (num_seeds,), results of two models from the same seeds -> mean, low, high, each ()
    Source: Student's t for paired samples: `scipy.special.stdtrit` gives its quantiles
    """
    differences = np.asarray(a) - np.asarray(b)
    mean, count = differences.mean(), len(differences)
    reach = scipy.special.stdtrit(count - 1, 0.975) * differences.std(ddof=1) / np.sqrt(count)
    return {"mean": mean, "low": mean - reach, "high": mean + reach}
