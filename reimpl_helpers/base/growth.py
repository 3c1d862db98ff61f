"""Find how a number grows with a size."""

from typing import Any

import numpy as np


def exponent(sizes: Any, values: Any) -> float:
    """Find the p with which values grow as size to the power of p: a line in logarithms.

    Shapes: sizes (num_sizes,), values (num_sizes,) -> ()
    Raises: ValueError for fewer than three sizes, or a number that is not above zero.
    """
    sizes, values = above_zero(sizes, values)
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def above_zero(sizes: Any, values: Any) -> list[np.ndarray]:
    """Take sizes and a number for each as arrays, for a fit.

    Raises: ValueError for fewer than three sizes, or a number that is not above zero.
    """
    arrays = [np.array(list(numbers), float) for numbers in (sizes, values)]
    if len(np.unique(arrays[0])) < 3 or not all((array > 0).all() for array in arrays):
        raise ValueError(
            f"got {arrays[0]} and for these {arrays[1]}: expected three different sizes or more, "
            "and numbers above zero alone."
        )
    return arrays
