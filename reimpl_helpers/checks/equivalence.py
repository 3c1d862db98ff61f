"""Compare functions by what they answer: on the probes, and on inputs that nobody has seen."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from reimpl_helpers.checks.cases import Case, Refusal
from reimpl_helpers.checks.compare import TOLERANCE, as_array
from reimpl_helpers.checks.structure import other_arguments
from reimpl_helpers.checks.verdict import answer_of


def unseen_cases(cases: list[Case], seed: int) -> Iterator[tuple[int, Case]]:
    """Make cases of the same kind with other inputs, each with the place of its model in the list.

    Only cases whose answer follows from the arguments have such; their `expected` is not that any
    more.
    """
    for place, case in enumerate(cases):
        if case.complaint is not None:
            continue
        args = other_arguments(case, np.random.default_rng((seed, place)))
        if args is not None:
            yield place, replace(case, args=args, expected=None)


def outcome(function, case: Case):
    """Put a case to a function; return what it answers, or the words of a refusal."""
    try:
        return case.part(answer_of(function, case))
    except Refusal as refusal:
        return str(refusal)
    except Exception as error:  # nor can it be taken apart
        return f"{type(error).__name__}: {error}"


def alike(ours, theirs, case: Case) -> bool:
    """Tell whether two outcomes of a case show the same mistake, or none."""
    if isinstance(ours, str) or isinstance(theirs, str):
        return isinstance(ours, type(theirs)) and ours == theirs
    try:
        if same_values(ours, theirs):
            return True
        if case.alike:
            return case.alike(ours, theirs)
        if not case.has_one_answer:
            return complaint_words(case, ours) == complaint_words(case, theirs)
    except Exception:  # an answer that cannot be taken apart
        pass
    return False


def complaint_words(case, answer) -> str:
    """Read the complaint about an answer without its numbers, which differ with every draw."""
    try:
        complaint = case.complaint_about(answer) or ""
    except Refusal as refusal:
        complaint = str(refusal)
    return re.sub(r"[-+]?\d[\d.e+-]*", "", str(complaint))


def same_values(ours, theirs) -> bool:
    """Compare answers leaf by leaf, shapes included.

    Shapes: any; nothing broadcasts
    """
    if isinstance(ours, Mapping) or isinstance(theirs, Mapping):
        is_same_kind = isinstance(ours, Mapping) and isinstance(theirs, Mapping)
        return (
            is_same_kind
            and ours.keys() == theirs.keys()
            and all(same_values(ours[key], theirs[key]) for key in ours)
        )
    if isinstance(ours, tuple | list) or isinstance(theirs, tuple | list):
        is_same_kind = isinstance(ours, tuple | list) and isinstance(theirs, tuple | list)
        return is_same_kind and len(ours) == len(theirs) and all(map(same_values, ours, theirs))
    try:
        ours, theirs = as_array(ours, ""), as_array(theirs, "")
    except Refusal:
        return type(ours) is type(theirs) and (callable(ours) or ours == theirs)
    return ours.shape == theirs.shape and same_numbers(ours, theirs)


def same_numbers(ours, theirs) -> bool:
    if ours.dtype.kind not in "iufc" or theirs.dtype.kind not in "iufc":
        return np.array_equal(ours, theirs)
    with np.errstate(all="ignore"):
        near = np.abs(ours - theirs) <= TOLERANCE * (1 + np.abs(theirs))
        return bool(np.all(near | (ours == theirs) | ((ours != ours) & (theirs != theirs))))
