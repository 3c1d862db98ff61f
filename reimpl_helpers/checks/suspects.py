"""Say more about a wrong answer: the known mistake that it equals, or where it leaves the original.

A known mistake is named by a question. Where none fits, the first line of the original is shown
whose value the pair's code never produces.
"""

import html
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from reimpl_helpers.base.compiling import float64_in_jax
from reimpl_helpers.base.trees import leaves
from reimpl_helpers.checks.cases import Case, Piece
from reimpl_helpers.checks.diagnosis import FirstDifference, first_difference, mapped, shortened
from reimpl_helpers.checks.equivalence import alike, outcome, same_values
from reimpl_helpers.checks.verdict import Verdict, first_refusal, little_printed, unwrap
from reimpl_helpers.texts.planted_bugs import Bug


class Suspect:
    """A known mistake, and what a piece that makes it answers to one list of cases.

    That does not depend on the pair's answer: it is asked for once, in the order of the list, as
    an answer may depend on the calls before it, and kept.
    """

    def __init__(self, bug: Bug, function: Callable):
        self.bug, self.function, self.outcomes = bug, function, []

    def outcome(self, number: int, case: Case):
        """Return the outcome of the case of this number; those before it were asked for."""
        if number == len(self.outcomes):
            with float64_in_jax():  # JAX may have come in with the function
                answer = outcome(self.function, case)
            self.outcomes.append(mapped(own_leaf, answer))
        return self.outcomes[number]


def own_leaf(value):
    """Copy an array of NumPy, which a later call may write into; those of JAX never change."""
    return value.copy() if isinstance(value, np.ndarray) else value


class WrongAnswer:
    """A function that was refused for one of its cases, to be held against known mistakes.

    That case comes first, then the others, but for those that are asked for only where all else
    is right.
    """

    def __init__(self, function: Callable, cases: list[Case], refused: int):
        self.function, first = function, cases[refused]
        others = [case for case in cases if case is not first and not case.complaint_at]
        self.cases, self.outcomes = [first, *others], {}

    def is_that_of(self, suspect: Suspect) -> bool:
        """Tell whether a known mistake gives what the function gives, on every case.

        It must be refused itself: a mistake that does not show here is no reason, where the values
        are right and only their type is not.
        """
        with float64_in_jax(), np.errstate(all="ignore"), little_printed():
            return all(
                alike(self.outcome(number, case), suspect.outcome(number, case), case)
                for number, case in enumerate(self.cases)
            ) and bool(first_refusal(suspect.function, self.cases[:1]))

    def outcome(self, number: int, case: Case):
        if number not in self.outcomes:
            self.outcomes[number] = outcome(self.function, case)
        return self.outcomes[number]


def naming(verdict: Verdict, piece: Piece, function: Callable, bug: Bug) -> Verdict:
    """Add to the verdict on a refused answer the known mistake that it is."""
    look = f"Look into {bug.piece}. " if calls(function, bug.piece, piece) else ""
    return replace(verdict, question=look + bug.question, mistake=bug.name)


def with_first_difference(
    verdict: Verdict, function: Callable, refused: Case, recording
) -> Verdict:
    """Add to the verdict on a refused answer where it leaves the original."""
    # a line differs by its values: not where nothing comes back, inputs change, or types are wrong
    is_compared = verdict.stage not in ("changed", "type", "dtype", "unreadable")
    found = first_difference_on(recording, refused, function) if is_compared else None
    if found is None:
        return verdict
    return replace(
        verdict,
        question=found.headline,
        details="\n".join(filter(None, [found.details, verdict.details])),
        draw=partial(picture_of, found),
    )


def first_difference_on(recording, case: Case, function) -> FirstDifference | None:
    """Find where a function leaves the original, if the case is a probe of whole arrays.

    Of an answer of several arrays it is the first that differs.
    """
    probe = recording.probes.get(case.probe)
    if probe is None:
        return None
    if isinstance(case.expected, np.ndarray):
        return first_difference(probe, case.expected, case.call, function, case.args)
    ours = outcome(function, case)
    for name, expected in leaves(case.expected).items():
        if isinstance(expected, np.ndarray) and not is_right(ours, name, expected):
            call = partial(call_for_part, case, name)
            return first_difference(probe, expected, call, function, case.args)
    return None


def is_right(answer, name, expected) -> bool:
    found = leaves(answer)
    return name in found and same_values(found[name], expected)


def call_for_part(case, name, function, *args):
    """Call a function as a case does, and take one of the arrays that it answers with."""
    return leaves(case.part(case.call(function, *args)))[name]


def picture_of(found: FirstDifference) -> str:
    """Draw the original's value beside the pair's nearest, as HTML."""
    if found.candidate is None or not found.value.ndim:
        return ""
    from reimpl_helpers.pictures import compare_activations

    name = f"line {found.operation.line}: {shortened(found.operation)}"
    titles = "original", "yours", "difference"
    picture = compare_activations(found.value, found.candidate, name, titles)
    data, metadata = picture.bundle(dpi=110)
    width, alt = metadata["image/png"]["width"], html.escape(picture.alt, quote=True)
    return f'<img width="{width}" alt="{alt}" src="data:image/png;base64,{data["image/png"]}">'


def calls(function, name, piece) -> bool:
    """Tell whether a piece is wrong by another one that it calls."""
    code = getattr(unwrap(function), "__code__", None)
    return name != piece.name and code is not None and name in code.co_names
