"""Ask the navigator what a check will bring, before it runs: a shape, a sign, a verdict."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from reimpl_helpers.base.compiling import float64_in_jax
from reimpl_helpers.base.trees import leaves
from reimpl_helpers.checks.cases import Case
from reimpl_helpers.checks.verdict import by_name, little_printed

SIGNS = "below zero", "zero", "above zero"
VERDICTS = "yes", "no"


@dataclass(frozen=True)
class Question:
    """One question about a piece, asked before its check.

    `choices` are the answers to choose from; without them the answer is typed, in numbers.
    `truth` is None where only the check will tell.
    """

    text: str
    choices: tuple[str, ...] = ()
    truth: str | None = None

    def read(self, said: str) -> str | None:
        """Read an answer as `truth` is written; None for what is no answer to this question."""
        if self.choices:
            return next((c for c in self.choices if c == said.strip().lower()), None)
        numbers = re.findall(r"\d+", said)
        return ", ".join(str(int(number)) for number in numbers if len(number) < 10) or None


def question_about(track, piece) -> Question:
    """Find the question that a piece is good for, from the workbook's own answer to its check.

    A port is known in NumPy already, and a test answers nothing: there the verdict is asked for.
    """
    if piece.is_test:
        return Question(
            f"{piece.name}: will it refuse every wrong model that it should, at the first check?",
            VERDICTS,
        )
    will_it = Question(f"{piece.label}: will it be right at the first check?", VERDICTS)
    if piece.port:
        return will_it
    case = next(iter(piece.own_cases(track.recording)))
    given = track.given(piece)
    with float64_in_jax(), np.errstate(all="ignore"), little_printed():
        answer = case.call(given, *case.args)
    if isinstance(answer, list) and (
        is_shape(answer) or len({str(shapes_in(part)) for part in answer}) > 1
    ):
        return will_it  # its sizes are drawn at random, or it is no array
    return about_answer(f"{piece.name} on “{case.probe}”{arrays_in(given, case)}", answer)


def about_answer(asked: str, answer) -> Question:
    """Choose a question by the kind of thing that comes out."""
    which = "which shape comes out?"
    while isinstance(answer, tuple | list) and not is_shape(answer):
        answer, which = answer[0], "which shape has the first thing that comes out?"
    if isinstance(answer, Mapping):
        name, entry = max(entries_of(answer), key=lambda entry: len(shape_of(entry[1])))
        if not shape_of(entry):
            return Question(f"{asked}: how many entries come out?", (), f"{len(answer)}")
        answer, which = entry, f"which shape stands at {name}?"
    if shape := shape_of(answer):
        return Question(f"{asked}: {which}", (), ", ".join(map(str, shape)))
    place = int(np.sign(float(answer))) + 1
    return Question(f"{asked}: is what comes out below zero, zero or above?", SIGNS, SIGNS[place])


def shapes_in(answer) -> list[tuple[int, ...]]:
    return [np.shape(leaf) for leaf in leaves(answer).values()]


def is_shape(value) -> bool:
    return all(isinstance(length, int) for length in value)


def shape_of(value) -> tuple[int, ...]:
    """Give the shape of an array, or of what is itself a shape."""
    return tuple(value) if isinstance(value, tuple | list) else np.shape(value)


def entries_of(tree, path=""):
    """Yield what stands at the ends of nested dicts, with the names that lead there."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from entries_of(value, f"{path}[{key!r}]")
        else:
            yield f"{path}[{key!r}]", value


def arrays_in(given, case) -> str:
    """List the shapes of the arrays that a piece is called with."""
    if case.call is not Case.call:  # called in a way of its own: places are no names
        return ""
    named = by_name(given, case.args).items()
    arrays = [f"{name} {v.shape}" for name, v in named if isinstance(v, np.ndarray)]
    return f" with {', '.join(arrays)}" if arrays else ""
