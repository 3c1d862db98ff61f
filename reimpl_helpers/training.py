"""Hold a pair's gradients against the original's (step 5)."""

from dataclasses import dataclass

import numpy as np

from reimpl_helpers.base.programs import programs_in
from reimpl_helpers.base.tables import aligned, html_table
from reimpl_helpers.base.trees import flat
from reimpl_helpers.base.words import shorten
from reimpl_helpers.checks.cases import Complaint
from reimpl_helpers.checks.compare import TOLERANCE

NOISE = 1e-12  # numbers below this are rounding, and other on every machine


@dataclass(frozen=True)
class GradientTable:
    """Show, for every parameter, how large its gradient is and how far from the original's."""

    rows: list[tuple[str, str, str, str]]  # parameter, largest gradient, difference, verdict

    HEAD = ("parameter", "largest gradient", "largest difference", "")

    def __repr__(self):
        return "\n".join(aligned([self.HEAD, *self.rows]))

    def _repr_html_(self):
        return html_table(self.HEAD, self.rows, "text-align: left; padding: 0.15em 1.2em 0.15em 0")


def gradient_table(grads: dict, recorded: dict[str, np.ndarray]) -> GradientTable:
    """Compare gradients with the recorded ones, parameter by parameter.

    Shapes: grads nested as params are, recorded by state_dict name, each of its parameter's shape
    Raises: TypeError when the gradients are no dict.
    """
    if not isinstance(grads, dict):
        raise TypeError(
            f"gradient_table was handed {shorten(grads)}, expected gradients nested as params are. "
            "Hand it what jax.grad of your loss returns."
        )
    ours = {name: np.asarray(grad) for name, grad in flat(grads).items()}
    return GradientTable([gradient_row(name, ours.get(name), recorded[name]) for name in recorded])


def gradient_row(name, ours, original):
    if ours is None:
        return name, shown(np.abs(original).max()), "", "missing: is it part of your params?"
    if ours.shape != original.shape:
        return name, "", "", f"shape {ours.shape}, the original's is {original.shape}"
    largest, difference = np.abs(ours).max(), np.abs(ours - original).max()
    if difference <= TOLERANCE * (1 + np.abs(original).max()):
        verdict = "equal"
    else:
        verdict = "no gradient at all" if largest == 0 else "differs"
    return name, shown(largest), shown(difference), verdict


def shown(value: float) -> str:
    """Write a number down so that it reads the same on every machine."""
    return f"below {NOISE:.0e}" if value < NOISE else f"{value:.2e}"


def operations_in(program) -> int:
    """Count the operations of a program that JAX has written down, those in its loops once."""
    inner = (part for equation in program.eqns for part in programs_in(equation))
    return len(program.eqns) + sum(map(operations_in, inner))


def growth_complaint(counts: tuple[int, int], what: str, when: str, sizes: list[int]) -> Complaint:
    """Say that a loop is compiled step by step, as its program grows with it, or return None."""
    few, many = sizes
    if many <= 2 * few:
        return None
    return (
        f"compiled, {counts[0]} {what} are {few} operations and {counts[1]} are {many}: JAX "
        f"compiles every step apart, and for {when} that takes minutes.",
        "Which loop of jax.lax is compiled once?",
    )
