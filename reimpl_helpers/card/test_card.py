"""Measure anew what MODEL_CARD.md says, and refuse it where a number moved out of its interval.

Times are asked only on the machine that the card names.
"""

import os
import platform
import re
import time
from pathlib import Path

import numpy as np
import pytest
from measured import measured, timed


# given by the workbook
def this_machine():
    """Name this machine by its processor, as far as the system tells it."""
    try:
        found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text("utf-8"))
    except OSError:
        found = None
    model = found[1] if found else platform.processor() or platform.machine()
    return f"{model.strip()}, {os.cpu_count()} cores, {platform.system()}"


# given by the workbook
def value_of(numbers):
    """Make one number of what was measured.

    Of two arrays of scores: how often one of the second is above one of the first. Of one: its
    mean.
    """
    if not isinstance(numbers, tuple):
        return float(np.asarray(numbers).mean())
    before, after = map(np.asarray, numbers)
    is_above, is_equal = after[:, None] > before, after[:, None] == before
    return float(np.mean(is_above + is_equal / 2))


# given by the workbook
def microseconds_of(function, calls=200):
    """Time calls of a function that was called once before; return what half of them need."""
    function()
    taken = []
    for _ in range(calls):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return 1e6 * float(np.median(taken))


# given by the workbook
def rows_of(heading):
    """Read a table of the card: for each thing that was measured, the value, from and to."""
    folders = Path(__file__).resolve().parents
    card = next(path for folder in folders if (path := folder / "MODEL_CARD.md").is_file())
    _, _, below = card.read_text("utf-8").partition(f"\n| {heading} |")
    lines = below.partition("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.split("|")[1:5]] for line in lines]
    return {what: tuple(float(n.replace(",", "")) for n in numbers) for what, *numbers in rows}


# given by the workbook
def moved(rows, values):
    """Say what is not on the card, or is not where the card says."""
    if rows.keys() != values.keys():
        return [f"the card has {sorted(rows)}, measured are {sorted(values)}"]
    return [
        f"{what}: the card says {value:g} ({low:g} to {high:g}), measured anew {values[what]:g}"
        for what, (value, low, high) in rows.items()
        if not (low <= value <= high and low <= values[what] <= high)
    ]


# given by the workbook
def test_numbers_are_as_the_card_says():
    """Each number that was counted or measured lies in the interval that the card gives for it."""
    values = {what: value_of(numbers) for what, numbers in measured().items()}
    wrong = moved(rows_of("measured"), values)
    assert not wrong, "\n".join(wrong)


# given by the workbook
def test_times_are_as_the_card_says():
    """Each time lies in the interval that the card gives for it, on the machine that it names."""
    rows = rows_of(f"on {this_machine()}")
    if not rows:
        pytest.skip(f"the card's times are of another machine than {this_machine()}")
    values = {what: microseconds_of(function) for what, function in timed().items()}
    wrong = moved(rows, values)
    assert not wrong, "\n".join(wrong)
