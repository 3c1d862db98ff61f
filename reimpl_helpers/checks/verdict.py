"""Give a verdict on a piece: not written yet, wrong (what, where, what to ask), or right."""

import contextlib
import copy
import html
import inspect
import io
import linecache
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import FunctionType

import numpy as np

from reimpl_helpers.base.clocks import TIME_LIMIT, TookTooLong, time_limit
from reimpl_helpers.base.compiling import float64_in_jax
from reimpl_helpers.base.places import is_cell
from reimpl_helpers.base.trees import leaves
from reimpl_helpers.base.words import first_line, indent, plural, sentences, shorten, shown
from reimpl_helpers.checks.cases import Case, Piece, Refusal
from reimpl_helpers.checks.compare import ADVICE, TOLERANCE, compare_answer

PRINTED = 10_000  # characters that a piece may print while it is judged; the rest is left out
NOT_WRITTEN, WRONG, RIGHT = "not written yet", "wrong", "right"
PREDICT = "say first what you expect"  # of two, the navigator; nothing was judged yet


@dataclass(frozen=True)
class Verdict:
    """Say what a check found: what was seen, a question about it, details folded beneath."""

    label: str
    state: str
    seen: str = ""
    details: str = ""
    another_way: str = ""
    draw: Callable[[], str] = str  # gives HTML, when it is shown
    refused: int | None = None  # the place of the case that was refused
    stage: str = ""  # at which of Refusal.STAGES
    mistake: str = ""  # the name of the planted bug that the answer equals
    question: str = ""  # which that of a known mistake replaces
    note: str = ""  # what became of the piece

    @property
    def right(self):
        return self.state == RIGHT

    @property
    def headline(self) -> str:
        """Word it in one line."""
        return sentences(self.seen, self.question, self.note)

    @property
    def picture(self) -> str:
        return self.draw()

    def __str__(self):
        return f"{self.label} · {self.headline or self.state}"

    def __repr__(self):
        return f"{self}\n{indent(self.details)}" if self.details else str(self)

    def _repr_html_(self):
        mark = {NOT_WRITTEN: "○", PREDICT: "?", WRONG: "✗", RIGHT: "✓"}[self.state]
        folded = [("details", self.details), ("another way to write it", self.another_way)]
        return (
            f"<div><b>{mark} {html.escape(self.label)}</b> · "
            f"{html.escape(self.headline or self.state)}</div>"
        ) + "".join(
            f"<details><summary>{title}</summary><pre>{html.escape(text)}</pre>"
            f"{self.picture if title == 'details' else ''}</details>"
            for title, text in folded
            if text
        )


def judge(piece: Piece, function, cases: list[Case]) -> Verdict:
    """Judge one piece of code by what it answers to each of these cases, one at least.

    Raises: nothing that the piece raises; a KeyboardInterrupt of the user passes through.
    """
    if not isinstance(function, Callable):
        return Verdict(
            piece.label,
            WRONG,
            f"{piece.name} is {shorten(function)} here, not a function.",
            question="Run the cell that defines it again.",
        )
    had_jax = "jax" in sys.modules
    with little_printed():
        verdict = judge_answers(piece, cases, lambda number: answer_of(function, cases[number]))
    if verdict.state == WRONG and not had_jax and "jax" in sys.modules:
        return judge(piece, function, cases)  # JAX came in with the piece, in float32
    return verdict


def judge_answers(piece: Piece, cases: list[Case], answer_to: Callable[[int], object]) -> Verdict:
    """Judge a piece by its answers to every case, the first one asked for twice.

    `answer_to` puts the case of a number to it; it raises a Refusal where no answer comes back.
    """
    refusals, passed, differences, answers = [], [], [], []
    with float64_in_jax(), np.errstate(all="ignore"):
        for place, case in enumerate(cases):
            if case.complaint_at and refusals:
                break
            try:
                answer = answer_to(place)
                answers = answers or [answer]  # the first one is enough
                differences.append(compare_answer(answer, case))
                passed.append(case.probe)
            except Refusal as refusal:
                refusals.append((refusal, place))
                if isinstance(refusal.__cause__, TookTooLong):
                    break
        if not refusals:
            refusals += asked_again(answer_to, cases[0], answers[0])
    if refusals:
        return refused(piece, cases, refusals, passed)
    largest = max((difference for difference in differences if difference is not None), default=0)
    within = f", to within {1e-12 if largest <= 1e-12 else TOLERANCE:.0e}" if largest else ""
    return Verdict(piece.label, RIGHT, f"right on every probe{within}.")


def asked_again(answer_to, case, first):
    """Put a case once more: return a refusal if the answer is another one, or the same object."""
    try:
        second = answer_to(0)
        compare_answer(second, case)
    except Refusal as refusal:
        seen = f"right at first, but not when asked the same again: {refusal}"
        question = "What does it keep from one call to the next?"
        return [(Refusal("values", seen, question, refusal.details), 0)]
    if is_shared(first, second):
        seen = (
            f"answers “{case.probe}” with the same {type(second).__name__} each time: who changes "
            "it, changes what you answer next."
        )
        return [(Refusal("values", seen, "Where is it kept, and who makes a new one?"), 0)]
    return []


def is_shared(first, second) -> bool:
    """Tell whether two answers share what can be changed: who changes one, changes the other."""
    pairs = zip(leaves(first).values(), leaves(second).values(), strict=False)
    arrays = [pair for pair in pairs if all(isinstance(leaf, np.ndarray) for leaf in pair)]
    is_one = first is second and isinstance(first, dict | list | np.ndarray)
    return is_one or any(one.flags.writeable and np.shares_memory(one, two) for one, two in arrays)


def refused(piece, cases, refusals, passed):
    """Word a verdict from the refusals, each with the place of its case, most basic one first."""
    refusal, place = min(refusals, key=lambda pair: pair[0].order)
    if refusal.order == 0:
        return Verdict(piece.label, NOT_WRITTEN, refusal.seen, question=refusal.question)
    failed = dict.fromkeys(cases[place].probe for _, place in refusals)
    right = [probe for probe in dict.fromkeys(passed) if probe not in failed]
    details = [refusal.details] if refusal.details else []
    if right:
        details.append(f"right on: {', '.join(right)}\nwrong on: {', '.join(failed)}")
    question = refusal.question
    if question == ADVICE and len(right) > len(failed):
        question = (
            f"Yours is right on {plural(len(right), 'other probe')}: what does "
            f"“{cases[place].probe}” have that they have not?"
        )
    took_too_long = isinstance(refusal.__cause__, TookTooLong)  # once is enough
    return Verdict(
        piece.label,
        WRONG,
        refusal.seen,
        "\n".join(details),
        question=question,
        refused=None if took_too_long else place,
        stage=refusal.stage,
    )


def first_refusal(function, cases: Iterable[Case]) -> Refusal | None:
    """Put cases to a function until one refuses its answer; nothing more is said of it."""
    with float64_in_jax(), np.errstate(all="ignore"), little_printed():
        for case in cases:
            try:
                compare_answer(answer_of(function, case), case)
            except Refusal as refusal:
                return refusal
    return None


def answer_of(function, case: Case):
    """Put one case to a piece and return its answer.

    Raises: Refusal when it raises, does not end, or changes its input; a KeyboardInterrupt of the
    user passes through.
    """
    args = copy.deepcopy(case.args)
    answer = called(function, case, args)
    refuse_changed_input(function, case, args)
    code = getattr(unwrap(function), "__code__", None)
    if answer is None and code and "print" in code.co_names:
        raise Refusal(
            "type",
            f"prints on “{case.probe}”, and returns nothing.",
            "A check sees what is returned alone: does the last line say `return`?",
        )
    return answer


def called(function, case, args):
    """Call a piece with these arguments; see answer_of."""
    try:
        with time_limit(TIME_LIMIT):
            return case.call(function, *args)
    except KeyboardInterrupt:
        raise
    except TookTooLong as error:
        raise Refusal(
            "raised",
            f"still running after {error.seconds:g} seconds on “{case.probe}”, and stopped.",
            "Is there a loop that never ends?",
            where_it_stood(error, function),
        ) from error
    except BaseException as error:
        if isinstance(error, NotImplementedError) and not error.args:
            raise Refusal("not written", *not_written(error, function)) from error
        details = f"{where_it_stood(error, function)}{called_with(function, case)}"
        raise Refusal("raised", *what_was_raised(error, function, case), details) from error


def not_written(error, function):
    """Say that a piece is not written, or which one that it calls is not."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    if frame.f_code.co_name in (getattr(unwrap(function), "__name__", None), "<lambda>"):
        return NOT_WRITTEN, ""
    called = frame.f_code.co_name
    return f"{NOT_WRITTEN}: it calls {called}, which is not.", "Write that one first."


def what_was_raised(error, function, case) -> tuple[str, str]:
    """Word an exception that came out of a piece, and ask about it; name the usual suspects."""
    shadowed = shadowed_names(getattr(unwrap(function), "__globals__", {}))
    seen = f"raised {type(error).__name__} on “{case.probe}”: {first_line(shown(str, error))}"
    if shadowed:
        return f"{seen} {shadowed}", ""
    if isinstance(error, SystemExit):
        return f"{seen} It ends Python altogether: return a result instead.", ""
    if type(error).__name__ == "TracerArrayConversionError":
        return (
            f"{seen} NumPy was handed one of JAX's placeholders.",
            "Which line still computes with np instead of jnp?",
        )
    if type(error).__name__.startswith(("Tracer", "Concretization")):
        return (
            f"{seen} A number is needed on the spot, where JAX has a placeholder.",
            "Is there an `if`, an `int()` or a loop on a value?",
        )
    if isinstance(error, ValueError) and "read-only" in str(error):
        return f"{seen} It writes into its input: make a new array instead.", ""
    sizes = re.search(r"matmul: .*\(size (\d+) is different from (\d+)\)", seen)
    if sizes:
        return (
            f"raised ValueError on “{case.probe}”: a matrix product was asked to sum over axes of "
            f"sizes {sizes[2]} and {sizes[1]}.",
            "Which axis of which array should it sum over?",
        )
    if "matmul" in seen and "enough dimensions" in seen:
        return (
            f"raised {type(error).__name__} on “{case.probe}”: a matrix product was handed what is "
            "no array.",
            "Is it a dict of params, or one number, where an array belongs?",
        )
    return seen, ""


def called_with(function, case):
    """List the shapes of the arrays that a piece was called with."""
    arrays = leaves(by_name(function, case.args)).items()
    shapes = ", ".join(f"{name} {a.shape}" for name, a in arrays if isinstance(a, np.ndarray))
    return f"\ncalled with {shapes}" if shapes else ""


def by_name(function, args):
    """Name arguments as the pair's function does."""
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        names = []
    names += [f"argument {number}" for number in range(len(names) + 1, len(args) + 1)]
    return dict(zip(names, args, strict=False))


def where_it_stood(error, function):
    """Show the lines of the pair's own code on the way to an exception."""
    code = getattr(unwrap(function), "__code__", None)
    if code is None:
        return ""
    lines, home = [], os.path.dirname(code.co_filename)
    for frame, number in traceback.walk_tb(error.__traceback__):
        filename = frame.f_code.co_filename
        if os.path.dirname(filename) == home or is_cell(filename):
            source = linecache.getline(filename, number, frame.f_globals).strip()
            line = number - frame.f_code.co_firstlineno + 1  # in a cell and in a file the same
            lines.append(f"line {line} of {frame.f_code.co_name}: {source}")
    return "\n".join(lines[-8:] + [f"{type(error).__name__}: {shown(str, error)}"])


def unwrap(function):
    """Return the plain function beneath decorators such as jax.jit."""
    while not isinstance(function, FunctionType) and hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return function


def refuse_changed_input(function, case, args):
    """Raise a Refusal if the arguments are not what they were before the call."""
    before, now = leaves(case.args), leaves(args)
    if before.keys() == now.keys() and all(unchanged(before[key], now[key]) for key in before):
        return
    before, now = (leaves(by_name(function, values)) for values in (case.args, args))
    for name in {**before, **now}:
        if not unchanged(before.get(name), now.get(name)):
            raise Refusal(
                "changed",
                f"changes its input in place on “{case.probe}”: {name} is not what it was before "
                "the call. Make a new array or dict instead of writing into it.",
            )


def unchanged(before, now):
    if isinstance(before, np.ndarray):
        return isinstance(now, np.ndarray) and np.array_equal(before, now, equal_nan=True)
    return type(before) is type(now)


def shadowed_names(namespace):
    """Say which usual names no longer mean what they should: np = 0 hides NumPy."""
    usual = {"np": "numpy", "jnp": "jax.numpy", "jax": "jax", "optax": "optax"}
    for name, module in usual.items():
        value = namespace.get(name)
        if name in namespace and not hasattr(value, "__path__"):
            statement = f"import {module}" if name == module else f"import {module} as {name}"
            return (
                f"`{name}` is {shorten(value)} here and hides {module}. "
                f"Run `{statement}` again, and give your value another name."
            )
    return ""


class LittlePrinted(io.TextIOBase):
    """Pass on what is printed, up to so many characters."""

    def __init__(self, stream, left):
        self.stream, self.left = stream, left

    def write(self, text):
        if self.left > 0:
            more = "\n… the rest of what it prints is left out.\n"
            self.stream.write(text if len(text) <= self.left else text[: self.left] + more)
        self.left -= len(text)
        return len(text)

    def flush(self):
        self.stream.flush()


def little_printed():
    """Keep a piece that prints and prints from flooding the notebook."""
    return contextlib.redirect_stdout(LittlePrinted(sys.stdout, PRINTED))
