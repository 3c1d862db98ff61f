"""Hold a pair's gradients against the original's (step 5)."""

import html
from dataclasses import dataclass

import numpy as np

from reimpl_helpers.checks import TOLERANCE, shorten
from reimpl_helpers.params import flat

NOISE = 1e-12  # differences below this are rounding, and other on every machine


@dataclass(frozen=True)
class GradientTable:
    """Show, for every parameter, how large its gradient is and how far from the original's."""

    rows: list[tuple[str, str, str, str]]  # parameter, largest gradient, difference, verdict

    HEAD = ("parameter", "largest gradient", "largest difference", "")

    def __repr__(self):
        rows = [self.HEAD, *self.rows]
        widths = [max(len(row[column]) for row in rows) for column in range(len(self.HEAD))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )

    def _repr_html_(self):
        pad = 'style="text-align: left; padding: 0.15em 1.2em 0.15em 0"'
        head = "".join(f'<th scope="col" {pad}>{cell}</th>' for cell in self.HEAD)
        body = "".join(
            f"<tr>{''.join(f'<td {pad}>{html.escape(cell)}</td>' for cell in row)}</tr>"
            for row in self.rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


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
        return name, f"{np.abs(original).max():.2e}", "", "missing: is it part of your params?"
    if ours.shape != original.shape:
        return name, "", "", f"shape {ours.shape}, the original's is {original.shape}"
    largest, difference = np.abs(ours).max(), np.abs(ours - original).max()
    if difference <= TOLERANCE * (1 + np.abs(original).max()):
        verdict = "equal"
    else:
        verdict = "no gradient at all" if largest == 0 else "differs"
    shown = f"below {NOISE:.0e}" if difference < NOISE else f"{difference:.2e}"
    return name, f"{largest:.2e}", shown, verdict
