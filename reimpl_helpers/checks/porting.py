"""Ask a piece that is written in JAX (step 5): for what it computes, and for its gradients.

Called as it is, a function has every operation compiled anew for every shape; as a whole, it is
one program. So a piece is asked as it is at one set of sizes, and compiled at the others.

What is right forward may still keep gradients back. So the gradients by everything that goes in as
floats are held against finite differences of the same piece in NumPy.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from reimpl_helpers.base.trees import leaves
from reimpl_helpers.base.words import sentences
from reimpl_helpers.checks.cases import Case
from reimpl_helpers.checks.compare import as_array
from reimpl_helpers.checks.structure import is_floats, with_leaves
from reimpl_helpers.checks.verdict import by_name, what_was_raised

STEP = 1e-8  # of a finite difference, beside 1 or the value
CLOSE = 1e-5  # how close a gradient comes to a finite difference


def compiled(
    case: Case, static: int | tuple[int, ...] = (), around: Callable | None = None
) -> Case:
    """Put the same question to a piece compiled by JAX; `static` are places of no arrays.

    `around` is handed the piece and calls it with the arguments, where that takes more than once.
    """
    call = partial(call_compiled, static, around)
    return replace(case, probe=f"compiled, {case.probe}", call=call)


def call_compiled(static, around, piece, *args):
    """Call a piece compiled by JAX."""
    import jax

    return jax.jit(called(around, piece), static_argnums=static)(*args)


def called(around, piece):
    return partial(around, piece) if around else piece


def call_compiled_gradient(static, piece, *args):
    """Call the gradient of a piece compiled by JAX, by its first argument."""
    import jax

    return jax.jit(jax.grad(piece), static_argnums=static)(*args)


def why_not_traced(case: Case, piece) -> str:
    """Say what JAX raises where the arrays of floats are placeholders, or nothing."""
    import jax

    def answer(floats):
        return case.call(piece, *with_floats(case.args, floats))

    try:
        jax.eval_shape(answer, floats_of(case.args))
    except Exception as error:
        return sentences(*what_was_raised(error, piece, case))
    return ""


# --- gradients by everything that goes in -------------------------------------------------


def with_gradients(cases: list[Case], in_numpy: Callable) -> list[Case]:
    """Add to the cases of a port those that ask for its gradients: three at most.

    `in_numpy` is the same piece in NumPy.
    """
    programs = [case for case in cases if getattr(case.call, "func", None) is call_compiled]
    return cases + [gradients_of(case, in_numpy) for case in programs[:1] + programs[1:][-2:]]


def gradients_of(case, in_numpy) -> Case:
    """Ask for the gradients of what a compiled case asks for."""
    _, around = case.call.args
    return replace(
        case,
        probe=case.probe.replace("compiled", "gradients"),
        expected=None,
        complaint_at=partial(gradient_complaint, in_numpy, around),
        call=partial(call_gradients, around),
        part=lambda answer: answer,
    )


def floats_of(args: tuple) -> list[np.ndarray]:
    """List the arrays of floats in some arguments, in their order."""
    return [leaf for leaf in leaves(args).values() if is_floats(leaf)]


def with_floats(args: tuple, floats: list) -> tuple:
    """Put other arrays in the place of those that floats_of lists."""
    left = iter(floats)
    return with_leaves(args, lambda leaf: next(left) if is_floats(leaf) else leaf)


def weighted_sum(answer):
    """Add up all numbers of an answer, each with a weight of its own.

    Shapes: any, in dicts, lists and tuples -> ()
    """
    total = 0.0
    for number, (_, array) in enumerate(sorted(leaves(answer).items())):
        total += (np.random.default_rng(number).normal(size=np.shape(array)) * array).sum()
    return total


def call_gradients(around, piece, *args) -> list:
    """Say how the weighted sum of what a piece answers rises with each array of floats."""
    import jax

    def total(floats):
        return weighted_sum(called(around, piece)(*with_floats(args, floats)))

    return jax.jit(jax.grad(total))(floats_of(args))


def gradient_complaint(in_numpy, around, gradients, args) -> tuple[str, str] | None:
    """Say which gradient is not that of the same piece in NumPy, or return None.

    Each is compared along one direction, drawn at random.
    """
    reference = called(around, in_numpy)
    named = leaves(by_name(reference, args))
    floats = {name: leaf for name, leaf in named.items() if is_floats(leaf)}
    for number, (name, gradient) in enumerate(zip(floats, gradients, strict=True)):
        gradient = as_array(gradient, f"for the gradient by {name}")
        if not np.isfinite(gradient).all():
            return (
                f"right forward, but the gradient by {name} is not finite.",
                "Is there a branch that overflows, though `where` takes the other one, or the root "
                "of zero?",
            )
        direction = np.random.default_rng(number).normal(size=gradient.shape)
        direction *= 1 + np.abs(floats[name])
        slope = slope_along(reference, args, number, direction)
        ours = (gradient * direction).sum()
        if abs(ours - slope) > CLOSE * (1 + abs(slope)):
            return (
                f"right forward, but the gradient by {name} is not: along one direction jax.grad "
                f"says {ours:.4g}, and the answer rises by {slope:.4g}.",
                "What keeps it back on the way: stop_gradient, a rounding, whole numbers, NumPy?",
            )
    return None


def slope_along(function, args, number, direction) -> float:
    """Measure how what a function answers rises as one array of floats goes one way."""
    floats = floats_of(args)

    def at(step):
        moved = [*floats[:number], floats[number] + step * direction, *floats[number + 1 :]]
        return weighted_sum(function(*with_floats(args, moved)))

    return (at(STEP) - at(-STEP)) / (2 * STEP)
