"""Measure what a model costs and how long it takes, what a score tells, how it serves (step 6).

Nothing here knows of a particular model, or of a pair.
"""

import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from reimpl_helpers.base.compiling import compiled_quickly
from reimpl_helpers.base.growth import above_zero
from reimpl_helpers.base.programs import programs_in
from reimpl_helpers.base.words import first_line
from reimpl_helpers.checks.cases import Case, Complaint


def count_operations(function: Callable, *args) -> int:
    """Count the floating-point operations in a function's matrix products and convolutions.

    A multiplication and the addition after it are two. What is computed number by number, such as
    an activation, is left out: it grows with a layer's width, a product with its square. A loop
    counts as often as it runs, of several branches the dearest. Products with the zeros that a
    convolution or its gradient puts in between count too; a product written as a multiplication
    and a sum does not.

    Shapes: args as the function takes them; of arrays, only shapes and dtypes are looked at
    Units: floating-point operations of one call
    Raises: ValueError for products in a loop that ends on a condition: nobody knows how often it
        runs.
    Source: jax.make_jaxpr, walked. XLA's own `cost_analysis` counts what is in a loop once.
    """
    import jax

    return _operations_of(jax.make_jaxpr(function)(*args).jaxpr)


def _operations_of(program) -> int:
    return sum(map(_operations_in, program.eqns))


def _operations_in(equation) -> int:
    name = equation.primitive.name
    if name in SUMMED_OVER:
        shapes = [variable.aval.shape for variable in equation.invars]
        summed_over = SUMMED_OVER[name](*shapes, equation.params["dimension_numbers"])
        return 2 * math.prod(equation.outvars[0].aval.shape) * summed_over
    inner = [_operations_of(program) for program in programs_in(equation)]
    if name == "while" and any(inner):
        raise ValueError(
            "there are matrix products in a loop that ends on a condition (jax.lax.while_loop), so "
            "how many there are is known only when it runs. Write it with jax.lax.scan, or count "
            "one turn of it."
        )
    if name == "cond":
        return max(inner)
    return equation.params["length"] * sum(inner) if name == "scan" else sum(inner)


def _in_product(left, right, numbers):
    (axes, _), _ = numbers
    return math.prod(left[axis] for axis in axes)


def _in_convolution(image, kernel, numbers):
    return math.prod(kernel) // kernel[numbers.rhs_spec[0]]


# how many products are added up for each number that comes out
SUMMED_OVER = {"dot_general": _in_product, "conv_general_dilated": _in_convolution}


# --- how long it takes --------------------------------------------------------------------


@dataclass(frozen=True)
class Machine:
    """What a machine does at best: operations and bytes a second, seconds of an empty call."""

    peak: float
    bandwidth: float
    overhead: float

    def roof(self, operations: float, moved: float) -> float:
        """Give the seconds that so many operations and bytes take at best: the slower decides.

        Units: operations in floating-point operations, moved in bytes -> seconds
        Source: Williams, Waterman and Patterson (2009), the roofline model
        """
        return max(operations / self.peak, moved / self.bandwidth)

    def __str__(self):
        return (
            f"{self.peak / 1e9:.0f} billion operations and {self.bandwidth / 1e9:.0f} billion "
            f"bytes a second; a call that does nothing takes {1e6 * self.overhead:.0f} µs"
        )


def keep_to_one_core() -> None:
    """Have JAX compute on one core: call this before it computes anything, or it does not notice.

    On several, it is up to what else runs, and up to the size, how many share a computation.
    """
    flags, flag = os.environ.get("XLA_FLAGS", ""), "--xla_cpu_multi_thread_eigen=false"
    if flag not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {flag}"


def measure_machine(dtype: Any = np.float32) -> Machine:
    """Measure one core: a large matrix product, the copy of a large array, an empty call."""
    import jax
    import jax.numpy as jnp

    square, one, long = jnp.ones((768, 768), dtype), jnp.ones(()), np.ones(2**23, dtype)
    product, nothing, there = jax.jit(jnp.matmul), jax.jit(lambda x: x), long.copy()
    seconds = time_each(
        {
            "product": lambda: product(square, square),
            "copy": lambda: np.copyto(there, long),
            "nothing": lambda: nothing(one),
        }
    )
    return Machine(
        2 * square.shape[0] ** 3 / seconds["product"],
        2 * long.nbytes / seconds["copy"],  # each is read, and written
        seconds["nothing"],
    )


def time_each(
    calls: Mapping[Hashable, Callable[[], Any]], rounds: int = 50, least: float = 1e-3
) -> dict[Hashable, float]:
    """Time calls round after round, so that a slow moment of the machine may hit any of them.

    Each round has an order of its own. What counts is the shortest of a call's rounds: whatever
    else runs can only add to it. A call's first run, which may compile, is left out; in a round, a
    short call is repeated for `least` seconds.

    Units: seconds
    """
    for call in calls.values():
        _seconds_of(call, 0)
    shortest, rng = dict.fromkeys(calls, math.inf), np.random.default_rng(0)
    for _ in range(rounds):
        for place in rng.permutation(len(calls)):
            name = list(calls)[place]
            shortest[name] = min(shortest[name], _seconds_of(calls[name], least))
    return shortest


def _seconds_of(call: Callable[[], Any], least: float) -> float:
    import jax

    runs, spent, start = 0, 0.0, time.perf_counter()
    while not runs or spent < least:
        jax.block_until_ready(call())
        runs, spent = runs + 1, time.perf_counter() - start
    return spent / runs


@dataclass(frozen=True)
class Fitted:
    """How long a function takes: a start in seconds, and so many times what the roofline allows."""

    start: float
    slowdown: float

    def seconds(self, roof: float) -> float:
        """Predict the seconds of a call that takes so many at best."""
        return self.start + self.slowdown * roof

    def __str__(self):
        return f"{1e6 * self.start:.0f} µs to start, and {self.slowdown:.1f} times the roofline"


def fit_times(roofs: Any, seconds: Any) -> Fitted:
    """Fit a start and a slowdown, neither below zero, to times measured; misses count in percent.

    Shapes: roofs (num_sizes,), of Machine.roof; seconds (num_sizes,)
    Raises: ValueError for fewer than three sizes, or a time that is not above zero.
    """
    from scipy.optimize import nnls

    roofs, seconds = above_zero(roofs, seconds)
    scale = roofs.max()
    (start, slowdown), _ = nnls(
        np.stack([1 / seconds, roofs / scale / seconds], axis=1), np.ones(len(seconds))
    )
    return Fitted(float(start), float(slowdown / scale))


# --- how well a model learns --------------------------------------------------------------


def sweep(measure: Callable[[Any], Any], settings: Iterable[Any]) -> dict[Any, Any]:
    """Measure one setting after the other beside a bar; stopped, keep those that are measured.

    Each is a program that runs once, so JAX compiles it quickly, and lets it run a little slower.
    """
    from IPython.display import ProgressBar

    found, settings = {}, list(settings)
    try:
        with compiled_quickly():
            for _, setting in zip(ProgressBar(len(settings)), settings, strict=False):
                found[setting] = measure(setting)
    except KeyboardInterrupt:
        missing = ", ".join(str(setting) for setting in settings if setting not in found)
        print(
            f"stopped: {len(found)} of {len(settings)} are measured, and kept. Not measured: "
            f"{missing}. Run the cell again for all."
        )
    return found


# --- how well a score tells two kinds of input apart --------------------------------------


@dataclass(frozen=True)
class Estimate:
    """A number that was measured, and the interval that holds the true one 19 times of 20."""

    value: float
    low: float
    high: float

    def __str__(self):
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def auroc(ordinary: Any, strange: Any) -> Estimate:
    """Estimate how often a strange input scores higher than an ordinary one: 0.5 is chance.

    It is the area under the receiver operating characteristic, with its interval. The inputs are
    two independent sets: not the same ones before and after.

    Shapes: ordinary (num_ordinary,), strange (num_strange,)
    Raises: ValueError where there are fewer than two scores of a kind, or one is NaN.
    Source: DeLong, DeLong and Clarke-Pearson (1988), for a single score, with the interval on the
        scale of log odds; Clopper and Pearson (1934) for the smaller set where the two never meet
    """
    kinds = {"ordinary": np.ravel(ordinary), "strange": np.ravel(strange)}
    for kind, scores in kinds.items():
        if len(scores) < 2 or np.isnan(scores).any():
            raise ValueError(
                f"auroc was handed {len(scores)} scores of {kind} inputs, "
                f"{np.isnan(scores).sum()} of them NaN; expected two or more numbers. Look at the "
                "score of one input first."
            )
    ordinary, strange = kinds.values()
    above, below = share_below(ordinary, strange), 1 - share_below(strange, ordinary)
    error = np.sqrt(above.var(ddof=1) / len(strange) + below.var(ddof=1) / len(ordinary))
    value = above.mean()
    if error == 0 or value in (0, 1):  # the two never meet
        reach = 1 - 0.025 ** (1 / min(len(ordinary), len(strange)))
        return Estimate(float(value), float(max(value - reach, 0)), float(min(value + reach, 1)))
    odds, reach = value / (1 - value), np.exp(1.96 * error / (value * (1 - value)))
    low, high = (o / (1 + o) for o in (odds / reach, odds * reach))
    return Estimate(float(value), float(low), float(high))


def share_below(others: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Say for each score which share of the others lies below it; an equal one counts half.

    Shapes: others (num_others,), scores (num_scores,) -> (num_scores,)
    """
    others = np.sort(others)
    below, at_most = (np.searchsorted(others, scores, side) for side in ("left", "right"))
    return (below + at_most) / 2 / len(others)


def estimate(numbers: Any) -> tuple[Estimate, str]:
    """Estimate one number from what was measured, and say how.

    A single number was counted, and is exact. Of an array it is the mean, of bools the share that
    is true, and of two arrays of scores how often one of the second is above one of the first.

    Shapes: numbers (), or (num_inputs,), or a tuple of (num_ordinary,) and (num_strange,)
    Raises: ValueError for an array of fewer than two, or of numbers that are not finite.
    Source: Student's t for a mean; Clopper and Pearson (1934) for a share; `auroc`
    """
    if isinstance(numbers, tuple):
        counts = " and ".join(str(len(scores)) for scores in numbers)
        return auroc(*numbers), f"AUROC of {counts} scores, DeLong's interval"
    if np.ndim(numbers) == 0:
        value = numbers.item() if isinstance(numbers, np.generic) else numbers
        return Estimate(value, value, value), "counted"
    numbers = np.asarray(numbers)
    if len(numbers) < 2 or not np.isfinite(numbers).all():
        raise ValueError(
            f"estimate was handed {len(numbers)} numbers, {np.sum(~np.isfinite(numbers))} of them "
            "not finite; expected two or more finite ones. Look at what was measured first."
        )
    value, count = float(numbers.mean()), len(numbers)
    if numbers.dtype == bool:
        true = int(numbers.sum())
        low = scipy.special.betaincinv(true, count - true + 1, 0.025) if true else 0.0
        high = scipy.special.betaincinv(true + 1, count - true, 0.975) if true < count else 1.0
        return Estimate(value, float(low), float(high)), f"share of {count}, Clopper and Pearson's"
    error = numbers.std(ddof=1) / np.sqrt(count)
    reach = float(scipy.special.stdtrit(count - 1, 0.975) * error)
    return Estimate(value, value - reach, value + reach), f"mean of {count}, Student's"


# --- how it serves ------------------------------------------------------------------------


@dataclass(frozen=True)
class CallTimes:
    """Seconds that the first call of a function took, and those that each later call took."""

    first: float
    later: np.ndarray

    def quantile(self, share: float) -> float:
        """Give the seconds within which this share of the later calls ended."""
        return float(np.quantile(self.later, share))

    def __str__(self):
        half, most = (f"{1e6 * self.quantile(share):.0f}" for share in (0.5, 0.99))
        return (
            f"first call {1e3 * self.first:.0f} ms; of the later ones, half within {half} µs, "
            f"99 of 100 within {most} µs"
        )


def time_calls(function: Callable, *args, calls: int = 500) -> CallTimes:
    """Time the first call of a function, which may compile it, and later ones, each to its end.

    JAX hands out an array before it is computed, so each call is waited for.

    Units: seconds
    Raises: ValueError for fewer than two calls.
    """
    import jax

    if calls < 2:
        raise ValueError(f"time_calls was asked for {calls} calls, expected 2 or more.")
    seconds = []
    for _ in range(calls):
        start = time.perf_counter()
        jax.block_until_ready(function(*args))
        seconds.append(time.perf_counter() - start)
    return CallTimes(seconds[0], np.array(seconds[1:]))


ELSEWHERE = """\
import jax, jax.export, numpy
program = jax.export.deserialize(open("program", "rb").read())
args, _ = jax.tree.unflatten(program.in_tree, numpy.load("x.npz").values())
numpy.save("answer.npy", program.call(*args))
"""


def called_elsewhere(program: bytes, x: Any, limit: float = 60) -> np.ndarray:
    """Call a program that `jax.export` wrote, in a new process that has JAX and nothing of yours.

    Shapes: x, an array or a dict of arrays, and the answer as the program was exported for
    Units: limit in seconds
    Raises: RuntimeError when the process fails or takes longer, with its last words.
    """
    import jax

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "program").write_bytes(program)
        np.savez(Path(folder) / "x.npz", *jax.tree.leaves(x))
        command = [sys.executable, "-I", "-c", ELSEWHERE]
        try:
            subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=limit)
        except subprocess.CalledProcessError as error:
            said = (error.stderr.decode(errors="replace").strip() or "nothing").splitlines()[-1]
            raise RuntimeError(
                f"the new process could not call the program: {first_line(said)}"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"the new process took longer than {limit:.0f} s.") from error
        return np.load(Path(folder) / "answer.npy")


# --- what pieces of step 6 are held against -----------------------------------------------


def threshold_of(scores: np.ndarray, alpha: float) -> float:
    """Find the score that a new one exceeds at most so often; infinity where none is rare enough.

    Shapes: scores (num_scores,)
    Units: alpha is a probability
    Source: Vovk, Gammerman and Shafer (2005): the score of rank (num_scores + 1) * (1 - alpha),
        rounded up; a rank that is whole but for rounding counts as whole
    """
    rank = math.ceil(round((len(scores) + 1) * (1 - alpha), 9))
    return np.sort(scores)[rank - 1] if rank <= len(scores) else np.inf


FIFTH, MAHALANOBIS = "distance to the fifth nearest", "Mahalanobis distance"


def distances_from(known: np.ndarray, x: np.ndarray) -> dict[str, np.ndarray]:
    """Measure how far each row of x is from the known rows, by two distances.

    Shapes: known (num_known, size), more rows than `size`; x (num_rows, size) -> (num_rows,) each
    Source: Sun et al. (2022), the distance to the k-th nearest neighbour, here the fifth; Lee et
        al. (2018), the Mahalanobis distance, here to one class and not squared
    """
    nearest = np.sort(np.linalg.norm(x[:, None] - known, axis=-1), axis=1)
    gaps = x - known.mean(axis=0)
    inverse = np.linalg.inv(np.cov(known, rowvar=False))
    return {
        FIFTH: nearest[:, 4],
        MAHALANOBIS: np.sqrt(np.einsum("ri,ij,rj->r", gaps, inverse, gaps)),
    }


def drawn_alpha(rng: np.random.Generator, count: int) -> float:
    """Draw an alpha for so many scores that makes no rank exactly whole: rounding must not decide.

    Units: the alpha is a probability
    """
    return (rng.integers(1, count // 2) + rng.uniform(0.2, 0.8)) / (count + 1)


def whole(counts: Any) -> Any:
    """Take whole numbers of any kind: who multiplies by 2.0 counts as well."""
    if not isinstance(counts, dict):
        return counts
    is_whole = {
        key: np.ndim(value) == 0 and value == np.round(value) for key, value in counts.items()
    }
    return {key: int(value) if is_whole[key] else value for key, value in counts.items()}


def words_cases(recording: Any) -> list[Case]:
    """Ask for the words of a card; whether they are true, no check can tell."""
    return [Case("the card", complaint=_wrong_with_words)]


def _wrong_with_words(said: Any) -> Complaint:
    keys = ["use", "not_for", "not_looked_at"]
    if not isinstance(said, dict) or sorted(map(str, said)) != sorted(keys):
        seen = sorted(map(str, said)) if isinstance(said, dict) else type(said).__name__
        return f"got {seen}, expected a dict with the keys {', '.join(keys)}.", ""
    for key in keys:
        if not isinstance(said[key], str):
            return f"`{key}` is {type(said[key]).__name__}, expected a sentence.", ""
        if len(said[key].split()) < 5:
            asked = "What would somebody need to know who has only the card?"
            return f"`{key}` says {said[key]!r}, expected five words or more.", asked
    if len({" ".join(text.split()) for text in said.values()}) < 3:
        return "two of the three say the same.", "Which of them is the reader to believe?"
    return None


def words_of_refusal(piece: Callable, *args) -> list[str]:
    """Call a piece that is to raise a ValueError; list its words, and nothing where it does not."""
    try:
        piece(*args)
    except ValueError as error:
        return [str(error)]
    return []


def let_in(sent: str, question: str, words: list[str]) -> tuple[str, str] | None:
    """Say what is wrong with a refusal: there is none, or it has no words. None if it is fine."""
    if not words:
        return f"{sent}: let in, where a ValueError was expected.", question
    if not words[0].strip():
        return (
            "your ValueError has no words.",
            "What would you want to read when what you have sent is refused?",
        )
    return None


def refused_case(sent: str, question: str, *args) -> Case:
    """Ask a guard for something that it is to refuse, in words."""
    complaint = partial(let_in, sent, question)
    return Case(sent, args, call=words_of_refusal, complaint=complaint)


def limits_case(question: str, within: Any, beyond: list, *limits: int) -> Case:
    """Ask a guard for what is just within its limits, and for what is just beyond one of them.

    It is to be the first case of its piece, with the defaults as limits: then a default shows.
    """
    complaint = partial(_wrong_with_limits, question)
    args = (within, *beyond), *limits
    return Case("just within its limits, and beyond", args, call=_refusals, complaint=complaint)


def _refusals(piece: Callable, several: tuple, *limits: int) -> list[list[str]]:
    return [words_of_refusal(piece, x, *limits) for x in several]


def _wrong_with_limits(question: str, answers: list[list[str]]) -> Complaint:
    within, *beyond = answers
    if within:
        return f"just within its limits: refused with {within[0]!r}.", question
    return next(filter(None, (let_in("just beyond", question, words) for words in beyond)), None)
