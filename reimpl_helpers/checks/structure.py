"""Make other inputs of the same kind: with zeros among the numbers, and rows that end elsewhere.

What all recorded inputs share, a piece may rely on: that no number is exactly zero, that one row is
always full. So each piece is asked once for inputs without it, and many times by `reimpl check`.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from reimpl_helpers.base.compiling import float64_in_jax
from reimpl_helpers.base.trees import leaves
from reimpl_helpers.checks.cases import Case

MORE = 2  # cases that are added to those of a piece


def with_structure(cases: list[Case], right: Callable) -> list[Case]:
    """Add to the cases of a piece some of the first one's kind with other inputs.

    `right` is a version of the piece that is right.
    """
    model = next((case for case in cases if case.has_one_answer and has_others(case)), None)
    return [*cases, *itertools.islice(others(model, right), MORE)] if model else cases


def has_others(case) -> bool:
    return other_arguments(case, np.random.default_rng(0)) is not None


def others(case, piece) -> Iterator[Case]:
    """Put other inputs in the place of a case's, where they have an answer."""
    for seed in range(2 * MORE):
        args = other_arguments(case, np.random.default_rng(seed))
        if made := answered(piece, replace(case, probe="made-up inputs", args=args)):
            yield made


def other_arguments(case, rng) -> tuple | None:
    """Make arguments such as those of a case; gradients are asked for where there are no kinks."""
    if case.unseen:
        return case.unseen(rng)
    return other_values(case.args, rng, zeros=case.has_one_answer)


def answered(piece, case) -> Case | None:
    """Expect of a case what a right piece answers; None where it has no answer that is right.

    So it is where the piece raises, gives what is not finite, or would be refused itself.
    """
    try:
        with float64_in_jax(), np.errstate(all="ignore"):
            answer = case.part(case.call(piece, *case.args))
            is_right = all(map(is_finite, leaves(answer).values()))
            is_right = is_right and (case.has_one_answer or not case.complaint_about(answer))
    except Exception:
        return None
    return replace(case, expected=answer) if is_right else None


def is_finite(leaf) -> bool:
    return not is_floats(np.asarray(leaf)) or bool(np.isfinite(leaf).all())


def other_values(args: tuple, rng, zeros=True) -> tuple | None:
    """Draw other floats and masks, or other sizes where there are none of these.

    Shapes: every array keeps its own
    """
    flat = leaves(args).values()
    if any(is_floats(leaf) or is_mask(leaf) for leaf in flat):
        return with_leaves(args, lambda leaf: other_array(leaf, rng, zeros))
    if any(map(is_size, flat)):
        return with_leaves(args, lambda leaf: int(rng.integers(1, 20)) if is_size(leaf) else leaf)
    return None


def other_array(leaf, rng, zeros):
    if is_floats(leaf):
        return other_floats(leaf, rng, zeros)
    return other_mask(leaf, rng) if is_mask(leaf) else leaf


def other_floats(array, rng, zeros):
    """Draw floats of the same mean and spread where these are finite; some are partly or all 0."""
    known = array[np.isfinite(array)]
    known = known if known.size else np.zeros(1)
    drawn = np.mean(known) + (np.std(known) or 1.0) * rng.normal(size=array.shape)
    if zeros and array.ndim:
        drawn[rng.random(array.shape) < rng.choice([0.0, 0.0, 0.2, 0.2, 1.0])] = 0
        drawn[rng.random(len(drawn)) < rng.choice([0.0, 0.3])] = 0
    return drawn.astype(array.dtype)


def other_mask(mask, rng):
    """Draw how far each row reaches: from one to all of it or less, or none where there is one."""
    width = mask.shape[-1]
    least, most = min(1, width - 1), rng.integers(1, width + 1)
    return np.arange(width) < rng.integers(least, most + 1, size=(*mask.shape[:-1], 1))


def is_floats(leaf) -> bool:
    return isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f" and leaf.size > 0


def is_mask(leaf) -> bool:
    """Tell whether an array says of each row how far it reaches."""
    is_bools = isinstance(leaf, np.ndarray) and leaf.dtype == bool and leaf.ndim > 1 and leaf.size
    return bool(is_bools) and bool((np.diff(leaf.astype(int), axis=-1) <= 0).all())


def is_size(leaf) -> bool:
    return isinstance(leaf, int) and not isinstance(leaf, bool)


def with_leaves(tree, change):
    """Rebuild nested dicts, lists and tuples with every leaf changed."""
    if isinstance(tree, Mapping):
        return {key: with_leaves(value, change) for key, value in tree.items()}
    if isinstance(tree, tuple | list):
        return type(tree)(with_leaves(value, change) for value in tree)
    return change(tree)
