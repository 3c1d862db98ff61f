"""Compare an answer with the original's, stage by stage, and refuse the first that differs."""

import sys
from collections.abc import Mapping

import numpy as np

from reimpl_helpers.base.words import sentences, shorten
from reimpl_helpers.checks.cases import Case, Refusal

TOLERANCE = 1e-9  # float64: noise stays below 2e-15, the subtlest known mistake above 1e-5
ADVICE = "Compare your lines with the original's, one operation at a time."  # where nothing fits


def compare_answer(answer, case: Case) -> float | None:
    """Hold an answer against what is expected; return the largest difference, if compared.

    Raises: Refusal, worded for the pair, at the first stage that fails.
    """
    if answer is None:
        raise Refusal(
            "type", f"returns nothing on “{case.probe}”.", "Does the last line say `return`?"
        )
    try:
        answer = case.part(answer)
        if case.choices:
            return compare_with_each(answer, case.choices(*case.args), case.probe)
        if case.has_one_answer:
            return compare(answer, case.expected, case.probe)
        complaint = case.complaint_about(answer)
    except Refusal:
        raise
    except Exception as error:
        raise Refusal(
            "unreadable",
            f"wrong type on “{case.probe}”: {shorten(answer)} cannot be read. "
            "Compare what you return with what the exercise asks for.",
        ) from error
    if complaint:
        raise Refusal("values", *([complaint] if isinstance(complaint, str) else complaint))
    return None


def compare(answer, expected, probe, path="") -> float:
    """Compare an answer with what the original gave; return the largest difference.

    Raises: Refusal naming the first stage that fails: type, shape, dtype, finite, values.
    """
    at = f"for {path} on “{probe}”" if path else f"on “{probe}”"
    if isinstance(expected, Mapping):
        refuse_other_keys(answer, expected, at)
        inner = {key: f"{path}.{key}" if path else str(key) for key in expected}
        return max(
            (compare(answer[key], expected[key], probe, inner[key]) for key in expected),
            default=0.0,
        )
    if isinstance(expected, tuple):
        return compare_shapes(answer, expected, at)
    return compare_arrays(as_array(answer, at), np.asarray(expected), at)


def compare_with_each(answer, choices, probe) -> float:
    """Compare an answer with what each choice gives; return how far off the one is that fits.

    Raises: Refusal saying what each choice gives, where none fits.
    """
    for expected in choices.values():
        try:
            return compare(answer, expected, probe)
        except Refusal as refusal:
            if refusal.stage != "values":
                raise
    ours = as_array(answer, "")
    differs = np.array([relative_difference(ours, each) > TOLERANCE for each in choices.values()])
    from_all = differs.all(axis=0)
    place = tuple(first_place(from_all if from_all.any() else differs[0]))
    given = ", ".join(f"the {name} {each[place]:.4g}" for name, each in choices.items())
    seen = (
        f"other values than those of any choice on “{probe}”, first at {list(place)}: yours "
        f"{ours[place]:.4g}, {given}."
    )
    raise Refusal("values", seen, "Which of them have you chosen?")


def refuse_other_keys(answer, expected, at):
    wanted = ", ".join(map(str, expected))
    if not isinstance(answer, Mapping):
        raise Refusal(
            "type",
            f"wrong type {at}: {shorten(answer)}, expected a dict with the keys {wanted}.",
        )
    missing = [str(key) for key in expected if key not in answer]
    extra = [str(key) for key in answer if key not in expected]
    if missing and sorted(missing) == sorted(extra):
        kinds = " and ".join(sorted({type(key).__name__ for key in answer if key not in expected}))
        raise Refusal(
            "type",
            f"the names {a_few(missing)} {at} are of the type {kinds}, the original's are texts.",
            "Is 0 the same key as '0'?",
        )
    if missing or extra:
        seen = [f"{a_few(missing)} missing"] if missing else []
        seen += [f"{a_few(extra)} not among the original's"] if extra else []
        raise Refusal(
            "type",
            f"other names than the original's {at}: {'; '.join(seen)}. "
            "Read the names off the original's __init__.",
        )


def a_few(names):
    """List names, a few of them where there are many."""
    more = f" and {len(names) - 3} more" if len(names) > 4 else ""
    return ", ".join(names[:3] if more else names) + more


def compare_shapes(answer, expected, at):
    """Compare a shape that the pair derived with the original's, without showing the latter."""
    if not isinstance(answer, tuple | list) or not all(
        isinstance(size, int | np.integer) and not isinstance(size, bool) for size in answer
    ):
        raise Refusal(
            "type",
            f"wrong type {at}: {shorten(answer)}, expected a tuple of whole numbers. "
            "A shape of one axis is written (size,).",
        )
    if tuple(answer) == expected:
        return 0.0
    seen = f"wrong shape {at}: yours {tuple(answer)}."
    if len(answer) != len(expected):
        seen, question = f"{seen} The original's has {plural_axes(len(expected))}.", ""
    elif sorted(answer) == sorted(expected):
        question = "The right sizes in another order: which axis comes first in the original?"
    else:
        question = "Which sizes does this axis depend on? A fixed number fits one model only."
    raise Refusal("shape", seen, question)


def plural_axes(count):
    return {0: "no axis", 1: "one axis"}.get(count, f"{count} axes")


def as_array(answer, at):
    """Turn an answer into a plain NumPy array, whatever class it claims to be."""
    is_jax = "jax" in sys.modules and isinstance(answer, sys.modules["jax"].Array)
    if not is_jax and not isinstance(answer, np.ndarray | np.generic | int | float | complex):
        raise Refusal("type", f"wrong type {at}: {shorten(answer)}, expected an array of numbers.")
    return np.array(answer, subok=False)


def compare_arrays(ours, original, at) -> float:
    if ours.shape != original.shape:
        raise Refusal(
            "shape",
            f"wrong shape {at}: yours {ours.shape}, the original's {original.shape}.",
            shape_question(ours.shape, original.shape),
        )
    if ours.dtype.kind != original.dtype.kind or ours.dtype.itemsize < original.dtype.itemsize:
        raise Refusal(
            "dtype",
            f"wrong dtype {at}: yours {ours.dtype}, the original's {original.dtype}.",
            "What on the way changes the kind of number?",
        )
    finite = np.isfinite(ours)
    if not finite.all():
        place = first_place(~finite)
        raise Refusal(
            "finite",
            f"{np.sum(~finite)} of {ours.size} values are NaN or infinite {at}, first at "
            f"{place}: yours {ours[tuple(place)]}.",
            "Is anything divided by zero, or is an exponential too large?",
        )
    return compare_values(ours, original, at)


def compare_values(ours, original, at) -> float:
    if original.dtype == bool:
        ours, original = ours.astype(int), original.astype(int)
    difference = relative_difference(ours, original)
    differs = difference > TOLERANCE
    if not differs.any():
        return float(difference.max(initial=0.0))
    place = first_place(differs)
    where = f", first at {place}" if ours.ndim else ""
    count = f"{differs.sum()} of {ours.size} values differ" if ours.ndim else "the value differs"
    yours, theirs = told_apart(ours[tuple(place)], original[tuple(place)])
    seen = f"{count} {at}{where}: yours {yours}, the original's {theirs}."
    more, question = what_they_share(ours, original)
    raise Refusal("values", sentences(seen, more), question)


def relative_difference(ours, original):
    return np.abs(ours - original) / (1 + np.abs(original))


def told_apart(ours, original):
    """Write two numbers with as many digits as it takes to see that they differ."""
    for digits in (4, 6, 9, 12, 17):
        yours, theirs = f"{ours:.{digits}g}", f"{original:.{digits}g}"
        if yours != theirs:
            break
    return yours, theirs


def first_place(mask):
    return [int(index) for index in np.argwhere(mask)[0]]


def shape_question(ours, original):
    if ours == original[::-1] and len(ours) > 1:
        return "The right sizes in the opposite order: which axis comes first?"
    if len(ours) != len(original):
        return f"The original's has {plural_axes(len(original))}: where is one lost or added?"
    if len(ours) == 1:
        return "How many are asked for?"
    return "Which axis of which array decides this size?"


def what_they_share(ours, original) -> tuple[str, str]:
    """Say what the two arrays have in common, and ask about it, never naming the mend."""
    if ours.ndim == 2 and ours.shape[0] == ours.shape[1] and np.allclose(ours.T, original):
        return "Yours is the original's with its axes swapped.", ""
    if np.allclose(-ours, original):
        return "Yours has the opposite sign everywhere.", ""
    if ours.size > 1 and not ours.any():
        return "Yours is 0 throughout.", "What never reached the answer?"
    if (ours >= 0).all() and (original < 0).any():
        return "Nothing of yours is below zero.", "What did the original do last?"
    if (ours < 0).any() and (original >= 0).all():
        return "Nothing of the original's is below zero.", "What did it do last?"
    if ours.size > 1 and np.abs(ours).max() > 1 >= np.abs(original).max():
        return "Nothing of the original's is beyond 1 or -1.", "What did it do last?"
    if original.size > 1 and np.ptp(ours - original) < TOLERANCE:
        return "", "The same amount everywhere: what is added once too often, or left out?"
    if not (original == 0).any():
        ratio = ours / original
        whole = np.abs([ratio - np.rint(ratio), 1 / ratio - np.rint(1 / ratio)]).min() < TOLERANCE
        if (whole or ratio.size > 1) and np.ptp(ratio) < TOLERANCE * np.abs(ratio).max():
            everywhere = " everywhere" if original.size > 1 else ""
            return f"Yours is {ratio.flat[0]:.4g} times the original's{everywhere}.", ""
    return "", ADVICE
