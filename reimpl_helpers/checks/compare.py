"""Give verdicts on pieces: not written yet, wrong (what, where, what to try), or right."""

import contextlib
import copy
import html
import inspect
import io
import linecache
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import FunctionType

import numpy as np

from reimpl_helpers.base.clocks import TIME_LIMIT, TookTooLong, time_limit
from reimpl_helpers.base.compiling import float64_in_jax
from reimpl_helpers.base.places import is_cell
from reimpl_helpers.base.words import first_line, indent, plural, shorten, shown

TOLERANCE = 1e-9  # float64: noise stays below 2e-15, the subtlest known mistake above 1e-5

PRINTED = 10_000  # characters that a piece may print while it is judged; the rest is left out

NOT_WRITTEN, WRONG, RIGHT = "not written yet", "wrong", "right"
PREDICT = "say first what you expect"  # of two, the navigator; nothing was judged yet
ADVICE = "Compare your lines with the original's, one operation at a time."  # where nothing fits


Complaint = tuple[str, str] | str | None  # what was seen, and a question where there is one


@dataclass(frozen=True)
class Case:
    """One question put to a piece: a probe, the arguments, and what must come back.

    The answer, or what `part` makes of it, is compared with `expected` (an array, or nested
    dicts of arrays and shapes), or, where no single value is right, handed to `complaint`, which
    returns what is wrong with it and what to ask, or None, or raises a Refusal of its own.
    `complaint_at` is handed the arguments too; it is asked for only where everything else is right.
    `alike` tells whether two answers show the same mistake, where values are drawn at random.
    `unseen` makes other arguments of the same kind from a random generator.
    """

    probe: str
    args: tuple = ()
    expected: object = None
    complaint: Callable[[object], Complaint] | None = None
    complaint_at: Callable[[object, tuple], Complaint] | None = None
    call: Callable = lambda piece, *args: piece(*args)
    part: Callable = lambda answer: answer
    alike: Callable[[object, object], bool] | None = None
    unseen: Callable | None = None

    @property
    def has_one_answer(self) -> bool:
        return self.complaint is None and self.complaint_at is None

    def complaint_about(self, answer) -> Complaint:
        """Say what is wrong with an answer, where no single value is right."""
        return self.complaint_at(answer, self.args) if self.complaint_at else self.complaint(answer)


@dataclass(frozen=True)
class Piece:
    """One function that the pair writes, and how it is judged.

    `step` is the notebook it belongs to. `module` is the file of the pair's package it is saved
    to, None for a warm-up that is not kept. A port is a piece of an earlier step, written again
    in JAX. A test is judged by running it: `catches` names the planted bugs of which it must
    refuse at least one. With `from_track` it is vocabulary, not asked for here: pairs write it in
    that track, or go on with the workbook's.
    """

    name: str
    module: str | None
    step: int
    cases: Callable[[object], Iterable[Case]] | None = None
    port: bool = False
    catches: tuple[str, ...] = ()
    from_track: str = ""

    @property
    def label(self):
        return f"{self.name} in JAX" if self.port else self.name

    @property
    def is_test(self):
        return self.module == "test_model"


def tests_of(step, **catches: tuple[str, ...]) -> list[Piece]:
    """List tests that the pair writes in a step, each with the planted bugs it is to refuse."""
    return [Piece(name, "test_model", step, catches=bugs) for name, bugs in catches.items()]


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


def sentences(*parts: str) -> str:
    """Join the parts of what is said, those that there are."""
    return " ".join(filter(None, parts))


class Refusal(Exception):
    """Carry why a piece is refused: the stage of the verdict, what was seen, what to ask."""

    STAGES = (
        "not written", "raised", "changed", "type", "shape", "dtype", "finite", "values",
        "unreadable",
    )  # fmt: skip

    def __init__(self, stage, seen, question="", details=""):
        super().__init__(sentences(seen, question))
        self.stage = stage
        # what is not finite is a wrong value too: the first probe that shows either speaks
        self.order = self.STAGES.index("values" if stage == "finite" else stage)
        self.seen, self.question, self.details = seen, question, details


def judge(piece: Piece, function, recording) -> Verdict:
    """Judge one piece on every case of its track.

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
    cases = list(piece.cases(recording))
    with little_printed():
        verdict = judge_answers(piece, cases, lambda case: answer_of(function, case))
    if verdict.state == WRONG and not had_jax and "jax" in sys.modules:
        return judge(piece, function, recording)  # JAX came in with the piece, in float32
    return verdict


def judge_answers(piece: Piece, cases: list[Case], answer_to: Callable[[Case], object]) -> Verdict:
    """Judge a piece by its answers to every case, the first one asked for twice.

    `answer_to` puts a case to the piece; it raises a Refusal where no answer comes back.
    """
    refusals, passed, differences, answers = [], [], [], []
    with float64_in_jax(), np.errstate(all="ignore"):
        for place, case in enumerate(cases):
            if case.complaint_at and refusals:
                break
            try:
                answer = answer_to(case)
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
        second = answer_to(case)
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


def leaves(tree, path=""):
    """Lay nested dicts and lists out flat, by name: "params.enc.weight"."""
    if isinstance(tree, Mapping):
        inner = tree.items()
    elif isinstance(tree, tuple | list):
        inner = enumerate(tree)
    else:
        return {path: tree}
    return {
        name: leaf
        for key, value in inner
        for name, leaf in leaves(value, f"{path}.{key}" if path else str(key)).items()
    }


def where_it_stood(error, function):
    """Show the lines of the pair's own code on the way to an exception."""
    code = getattr(unwrap(function), "__code__", None)
    if code is None:
        return ""
    lines = []
    for frame, number in traceback.walk_tb(error.__traceback__):
        filename = frame.f_code.co_filename
        if filename == code.co_filename or is_cell(filename):
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
    difference = np.abs(ours - original) / (1 + np.abs(original))
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
