"""Find the first value of the original that the pair's code never produces.

The pair's function is run once more, as it is, and every number that it computes is noted: by
arrays that report what NumPy makes of them, by a look at the variables after each line, and by
JAX's primitives. What was noted is then matched, by value alone, with what was recorded.
"""

import contextlib
import copy
import functools
import inspect
import itertools
import math
import sys
import sysconfig
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from reimpl_helpers.base.clocks import time_limit
from reimpl_helpers.base.compiling import float64_in_jax
from reimpl_helpers.checks.compare import TOLERANCE, first_place, told_apart
from reimpl_helpers.checks.verdict import LittlePrinted
from reimpl_helpers.originals.recording import Operation, Probe

SECONDS = 3.0  # of a core for one diagnosis; one that takes longer says nothing
LINES = 100_000  # that the pair's code may run while it is watched
BYTES = 50_000_000  # of its values that are kept
FAR = 2.0  # times the original's length: beyond that, nothing of the pair's is near a value

LIBRARIES = (
    "<frozen ",
    str(Path(__file__).parent.parent),
    *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
)

Place = tuple[int, int]  # of a recorded value: its operation's index, and which output it is


# --- what is found ------------------------------------------------------------------------


@dataclass(frozen=True)
class FirstDifference:
    """The first value of the original that the pair's code never produces.

    Where the pair's code does produce all of them, and returns something else than the last,
    `operation` and `equal_up_to` are both that last one.
    """

    operation: Operation  # of the original
    value: np.ndarray  # the one of its outputs
    equal_up_to: Operation | None  # the last one before it that the pair's code does produce
    candidate: np.ndarray | None  # the pair's nearest value, its axes in the original's order

    @property
    def is_lost(self) -> bool:
        """Tell whether the pair's code computes the answer, and then returns another."""
        return self.operation is self.equal_up_to

    @property
    def headline(self) -> str:
        """Name the place in a sentence, and ask about it."""
        place = f"line {self.operation.line} of original.py, {shortened(self.operation)}"
        if self.is_lost:
            return f"Your code computes {place}, but returns something else. What becomes of it?"
        return f"Your code never computes {place}: which of your lines should?"

    @property
    def details(self) -> str:
        """Show the last line that is equal, the first that differs, and what comes nearest."""
        lines = [f"equal up to {where(self.equal_up_to)}"] if self.equal_up_to else []
        if not self.is_lost:
            lines.append(f"differs at  {where(self.operation)}   shape {self.value.shape}")
        return "\n".join([*lines, self.nearest])

    @property
    def nearest(self) -> str:
        """Say how far the pair's nearest value is from the original's."""
        if self.candidate is None and self.is_lost:
            return f"your answer is no array of shape {self.value.shape}"
        if self.candidate is None:
            return f"no value in your code of shape {self.value.shape} comes near it"
        difference = np.abs(self.candidate - self.value)
        place = first_place(difference == difference.max())
        yours, theirs = told_apart(self.candidate[tuple(place)], self.value[tuple(place)])
        return (
            f"nearest of yours: largest difference {difference.max():.2g}, at {place}: "
            f"yours {yours}, the original's {theirs}"
        )


def shortened(operation: Operation) -> str:
    text = " ".join(operation.expression.split())
    return text if len(text) <= 80 else f"{text[:79]}…"


def where(operation: Operation) -> str:
    """Write an operation's line as the original has it, with the variable that it sets."""
    start = f"{operation.variable} = " if operation.variable else ""
    return f"original.py line {operation.line:<4} {start}{shortened(operation)}"


# --- finding it ---------------------------------------------------------------------------


def first_difference(
    probe: Probe, expected, call: Callable[..., object], function, args: tuple
) -> FirstDifference | None:
    """Find where the pair's function leaves the original, or None where that cannot be told.

    Args:
        expected: the recorded value that the answer should have equalled, and does not.
        call: runs the function as its check did: `call(function, *args)`.

    Raises: nothing that the function raises; a KeyboardInterrupt of the user passes through.
    """
    try:
        with time_limit(SECONDS), quiet(), float64_in_jax(), np.errstate(all="ignore"):
            target = first_place_of(probe, expected)
            return target and diagnose(probe, target, call, function, args)
    except KeyboardInterrupt:
        raise
    except BaseException:  # TookTooLong, TooMuch, SystemExit, and whatever the function raises
        return None


@contextlib.contextmanager
def quiet():
    """Swallow everything that is printed inside."""
    nothing = LittlePrinted(sys.stdout, 0)
    with (
        contextlib.redirect_stdout(nothing),
        contextlib.redirect_stderr(nothing),
        warnings.catch_warnings(action="ignore"),
    ):
        yield


def diagnose(probe: Probe, target: Place, call, function, args) -> FirstDifference:
    """Run the function watched, and look for what the target is computed from, back to front."""
    recorded = [value for operation in probe.operations for value in operation.values]
    given, produced = Values(recorded), Values(recorded)
    given.add(args)
    produced.add(args)
    answer = watch(produced, call, function, args)
    way = walk_back(probe, target, given.has)
    if produced.shows(value_at(probe, target)):
        suspect, equal = target, probe.operations[target[0]]
    else:
        suspect = min(walk_back(probe, target, produced.holds))
        equal = last_equal(probe, way, suspect, produced)
    value = value_at(probe, suspect)
    operation, candidate = probe.operations[suspect[0]], None
    if suspect == target and is_array(answer) and answer.shape == value.shape:
        candidate = as_plain(answer)
    elif equal is not operation:
        known = Values(recorded)
        known.add([args, [value_at(probe, place) for place in way]])
        candidate = nearest(value, (a for a in produced.of_size(value.size) if not known.has(a)))
    return FirstDifference(operation, value, equal, candidate)


def first_place_of(probe: Probe, expected) -> Place | None:
    """Find the first operation that gave this array, but for its last bits."""
    places = [
        (operation.index, output)
        for operation in probe.operations
        for output, value in enumerate(operation.values)
        if np.shape(value) == np.shape(expected)
        if np.allclose(value, expected, rtol=TOLERANCE, atol=TOLERANCE)
    ]
    return min(places, default=None)


def value_at(probe: Probe, place: Place) -> np.ndarray:
    index, output = place
    return np.asarray(probe.operations[index].values[output], dtype=float)


def walk_back(probe: Probe, target: Place, stops: Callable[[np.ndarray], bool]) -> set[Place]:
    """Collect what the target was computed from, back to the values that `stops` is true of."""
    found, seen, ahead = set(), {target}, [target]
    while ahead:
        place = ahead.pop()
        if place == target or not stops(value_at(probe, place)):
            found.add(place)
            ahead += set(sources(probe, place)) - seen
            seen.update(ahead)
    return found


def sources(probe: Probe, place: Place) -> list[Place]:
    """List the earlier values that an operation read."""
    inputs = probe.operations[place[0]].inputs
    numbers = [name[1:].split(".") for name in inputs if name.startswith("#")]
    return [(int(index), int(*output or [0])) for index, *output in numbers]


def last_equal(probe: Probe, way: set[Place], suspect: Place, produced) -> Operation | None:
    """Find the last operation before the suspect that the pair's code certainly computes."""
    for place in sorted(way, reverse=True):
        if place[0] < suspect[0] and produced.shows(value_at(probe, place)):
            return probe.operations[place[0]]
    return None


def nearest(value: np.ndarray, others: Iterable[np.ndarray]) -> np.ndarray | None:
    """Choose the array that is least far from a value, with its axes in the value's order."""

    def distance(turn):
        return np.linalg.norm(turn - value)

    fitting = (
        turn for other in others for turn in axis_permutations(other) if turn.shape == value.shape
    )
    turn = min(fitting, key=distance, default=None)
    return None if turn is None or distance(turn) > FAR * np.linalg.norm(value) else turn


# --- matching by value --------------------------------------------------------------------


class TooMuch(BaseException):  # so that the pair's `except Exception` does not catch it
    """Say that there is too much to watch."""


class Values:
    """Values, to be looked up whatever their shapes and the order of their axes."""

    def __init__(self, recorded: list[np.ndarray]):
        """Prepare for looking these values up: what fits the size of none is not kept."""
        self.whole = {value.size for value in recorded if value.size > 1}
        self.sizes = {size for value in recorded for size in slice_sizes(value.shape)}
        self.arrays: dict[int, dict[int, np.ndarray]] = {}  # by size, by hash
        self.numbers: set[float] = set()
        self.left = BYTES
        self.closed = False

    def add(self, value) -> None:
        """Keep the numbers and arrays that are in a value of any kind.

        Raises: TooMuch when there is no room left.
        """
        if self.closed:
            return
        if self.left < 8 * len(self.numbers):
            raise TooMuch
        if isinstance(value, float):
            if math.isfinite(value):
                self.numbers.add(float(value))
        elif isinstance(value, dict):
            self.add(list(value.values()))
        elif isinstance(value, list | tuple):
            for part in value:
                self.add(part)
        elif is_array(value) and (value.size > 1 or value.dtype.kind == "f"):
            self.add_array(value)

    def add_array(self, array) -> None:
        """Keep an array, and its slices along each axis: it may hold all steps of a loop."""
        axes = [a for a, n in enumerate(array.shape) if n > 1 and array.size // n in self.whole]
        if axes or array.size in self.sizes:
            array = as_plain(array)
            parts = [part for axis in axes for part in np.moveaxis(array, axis, 0)]
            for part in [array, *parts] if np.isfinite(array).all() else []:
                self.keep(part)

    def keep(self, array: np.ndarray) -> None:
        if array.size == 1:
            self.numbers.add(array.item())
        elif array.size in self.sizes:
            kept = self.arrays.setdefault(array.size, {})
            fingerprint = hash((array.shape, array.tobytes()))
            if fingerprint not in kept:
                kept[fingerprint] = array.sum(), array
                self.left -= array.nbytes

    def of_size(self, size: int) -> list[np.ndarray]:
        return [array for _, array in self.arrays.get(size, {}).values()]

    def has(self, value: np.ndarray) -> bool:
        """Tell whether a value is kept, its axes in any order and of any shape."""
        if value.size == 1:
            return self.has_numbers(value)
        total, slack = value.sum(), TOLERANCE * (value.size + np.abs(value).sum())
        return any(
            abs(kept_total - total) <= slack and same(array, value)
            for kept_total, array in self.arrays.get(value.size, {}).values()
        )

    def has_slices(self, value: np.ndarray) -> bool:
        """Tell whether a value is kept whole, or slice by slice along one of its axes."""
        axes = range(value.ndim) if value.ndim > 1 else ()
        return self.has(value) or any(
            all(map(self.has_slices, np.moveaxis(value, axis, 0))) for axis in axes
        )

    def has_numbers(self, value: np.ndarray) -> bool:
        """Tell whether a value is kept number by number; zeros need not be."""
        wanted, kept = value[value != 0], self.sorted_numbers
        slack = TOLERANCE * (1 + np.abs(wanted))
        first = np.searchsorted(kept, wanted - slack)
        return bool((first < np.searchsorted(kept, wanted + slack, side="right")).all())

    @functools.cached_property
    def sorted_numbers(self) -> np.ndarray:  # nothing is added after the first look-up
        return np.array(sorted(self.numbers))

    def holds(self, value: np.ndarray) -> bool:
        """Tell whether a value may have been computed: a constant may be anybody's."""
        return is_constant(value) or self.has_slices(value) or self.has_numbers(value)

    def shows(self, value: np.ndarray) -> bool:
        """Tell whether a value was computed beyond doubt: zeros are no evidence."""
        by_number = value.all() and self.has_numbers(value)
        return not is_constant(value) and bool(by_number or self.has_slices(value))


def is_array(value) -> bool:
    """Tell whether a value is an array of numbers, of NumPy or of JAX, and no placeholder."""
    jax = sys.modules.get("jax")
    is_jax = jax and isinstance(value, jax.Array) and not isinstance(value, jax.core.Tracer)
    if not is_jax and not isinstance(value, np.ndarray | np.floating):
        return False
    return getattr(value.dtype, "kind", None) in ("b", "i", "u", "f")  # keys of JAX have no kind


def as_plain(array) -> np.ndarray:
    """Copy an array of any kind into one that NumPy computes with as usual."""
    return np.array(array, dtype=float, subok=False)


def is_constant(value: np.ndarray) -> bool:
    """Tell whether a value is all zeros, or the same number again and again."""
    return not value.any() or (value.size > 1 and np.ptp(value) <= TOLERANCE)


def slice_sizes(shape: tuple[int, ...]) -> set[int]:
    """List the sizes of an array, of its slices, of their slices, down to single numbers."""
    counts = range(len(shape) + 1)
    return {math.prod(kept) for count in counts for kept in itertools.combinations(shape, count)}


def axis_permutations(array: np.ndarray) -> Iterable[np.ndarray]:
    """Give an array with its axes in every order; one with more than four axes only as it is."""
    axes = range(array.ndim)
    return map(array.transpose, itertools.permutations(axes) if len(axes) <= 4 else [axes])


def same(ours: np.ndarray, original: np.ndarray) -> bool:
    """Compare two arrays of one size, their axes in any order and of any shape."""
    return any(
        (np.abs(left.ravel() - right.ravel()) <= TOLERANCE * (1 + np.abs(right.ravel()))).all()
        for left in axis_permutations(ours)
        for right in axis_permutations(original)
    )


# --- watching -----------------------------------------------------------------------------


def watch(values: Values, call, function, args):
    """Run the pair's function, note every value that it computes, and return its answer."""
    watcher = Watcher(values)
    try:
        with watched_lines(watcher), watched_primitives(values):
            return call(function, *watcher.watched(copy.deepcopy(args)))
    finally:
        values.closed = True  # what the pair's code keeps for its next call reports for ever


class Watching:
    """Report all that NumPy computes with an object: what goes in, and what comes out."""

    watcher: "Watcher"

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **options):
        if any(isinstance(array, np.ndarray) for array in out):  # none for `number += 1`
            options["out"] = out
        return self.watcher.compute(getattr(ufunc, method), inputs, options)

    def __array_function__(self, function, types, inputs, options):
        return self.watcher.compute(function, inputs, options)


class WatchedArray(Watching, np.ndarray):
    def __getitem__(self, key):
        return self.watcher.watched(super().__getitem__(key))


class WatchedNumber(Watching, NDArrayOperatorsMixin, float):  # NumPy crashes on its own's subclass
    __hash__ = float.__hash__

    def __getattr__(self, name):
        return getattr(np.float64(self), name)


class Watcher:
    """Watch one run of the pair's function."""

    def __init__(self, values: Values):
        self.values, self.lines_left = values, LINES
        self.array = type("WatchedArray", (WatchedArray,), {"watcher": self})
        self.number = type("WatchedNumber", (WatchedNumber,), {"watcher": self})

    def watched(self, tree):
        """Return the same values, as ones that report."""
        return mapped(self.watched_leaf, tree)

    def watched_leaf(self, value):
        if type(value) is np.ndarray and is_array(value):
            return value.view(self.array)
        return self.number(value) if type(value) is np.float64 else value

    def compute(self, function, inputs, options):
        """Compute as NumPy does where nothing is watched, and note what it computes with."""
        inputs, options = mapped(plain_leaf, inputs), mapped(plain_leaf, options)
        self.values.add(inputs)
        result = function(*inputs, **options)
        if function is not np.empty_like:  # it may hold any value computed before
            self.values.add(result)
        return self.watched(result)

    def enter(self, frame, event, argument):
        """Follow a function line by line, if it is no library's; for sys.settrace."""
        code = frame.f_code
        if is_library(code.co_filename) or not code.co_flags & inspect.CO_OPTIMIZED:
            return None
        held, outer = {}, set(code.co_freevars)  # variables that outlive this call stay as they are

        def follow(frame, event, result):
            variables = frame.f_locals
            self.look(variables, held, outer)
            if event == "return":  # by now, loops have filled what they fill
                own = [value for name, value in variables.items() if name not in outer]
                self.values.add([result, own])
            return follow

        return follow

    def look(self, variables, held: dict, outer: set[str]) -> None:
        """Note the variables that hold something new, and let it report from here on."""
        self.lines_left -= 1
        if self.lines_left < 0:
            raise TooMuch
        new = [name for name, value in variables.items() if value is not held.get(name)]
        for name in new:
            value = held[name] = variables[name]
            if name not in outer:
                held[name] = self.watched_leaf(value)
                if held[name] is not value:
                    variables[name] = held[name]
                if not isinstance(value, np.ndarray):  # np.empty may give any value
                    self.values.add(value)


def mapped(change: Callable, tree):
    """Change the leaves of nested lists, tuples and dicts."""
    if type(tree) in (list, tuple):
        return type(tree)([mapped(change, part) for part in tree])
    if type(tree) is dict:
        return {key: mapped(change, part) for key, part in tree.items()}
    return change(tree)


def plain_leaf(value):
    """Return the same value as NumPy's own."""
    if isinstance(value, WatchedArray):
        return value.view(np.ndarray)
    return np.float64(value) if isinstance(value, WatchedNumber) else value


@functools.cache
def is_library(filename: str) -> bool:
    return filename.startswith(LIBRARIES)


@contextlib.contextmanager
def watched_lines(watcher: Watcher):
    before = sys.gettrace()
    sys.settrace(watcher.enter)
    try:
        yield
    finally:
        sys.settrace(before)


@contextlib.contextmanager
def watched_primitives(values: Values):
    """Note what each primitive of JAX computes inside, where nothing is compiled as a whole."""
    if "jax" not in sys.modules:
        yield
        return
    import jax
    from jax.extend.core import Primitive

    bind = Primitive.bind

    def noting(primitive, *args, **params):
        result = bind(primitive, *map(plain_leaf, args), **params)
        values.add(result)
        return result

    Primitive.bind = noting
    try:
        with jax.disable_jit():
            yield
    finally:
        Primitive.bind = bind
