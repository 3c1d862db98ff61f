"""Say more about a wrong answer: the known mistake that it equals, or where it leaves the original.

A known mistake is named by a question. Where none fits, the first line of the original is shown
whose value the pair's code never produces.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from reimpl_helpers.checks import (
    WRONG,
    Case,
    Piece,
    Verdict,
    float64_in_jax,
    little_printed,
    unwrap,
)
from reimpl_helpers.equivalence import alike, outcome
from reimpl_helpers.mistakes import Bug

ADVICE = "Compare your lines with the original's, one operation at a time."


def explained(
    verdict: Verdict,
    piece: Piece,
    function: Callable,
    recording,
    suspects: Iterable[tuple[Bug, Callable]],
) -> Verdict:
    """Add to a wrong verdict what is known about its answer.

    `suspects` gives each known mistake with the function that makes it.
    """
    if verdict.state != WRONG or verdict.refused is None:
        return verdict
    cases = [verdict.refused, *piece.cases(recording)]
    with float64_in_jax(), np.errstate(all="ignore"), little_printed():
        bug = suspect_of(function, cases, suspects)
    if bug:
        look = f"Look into {bug.piece}. " if calls(function, bug.piece, piece) else ""
        return replace(verdict, headline=with_question(verdict.headline, look + bug.question))
    return verdict


def suspect_of(function, cases: list[Case], suspects) -> Bug | None:
    """Find the known mistake that gives what a function gives, on every case."""
    ours = {}
    for bug, wrong in suspects:
        for number, case in enumerate(cases):
            if number not in ours:
                ours[number] = outcome(function, case)
            if not alike(ours[number], outcome(wrong, case), case):
                break
        else:
            return bug
    return None


def calls(function, name, piece) -> bool:
    """Tell whether a piece is wrong by another one that it calls."""
    code = getattr(unwrap(function), "__code__", None)
    return name != piece.name and code is not None and name in code.co_names


def with_question(headline: str, question: str) -> str:
    """Put another question in the place of the one, or the advice, that a headline ends with."""
    *seen, last = re.split(r"(?<=[.?!]) (?=[A-Z])", headline)
    return " ".join(
        [*seen, question]
        if seen and (last.endswith("?") or last == ADVICE)
        else [headline, question]
    )
