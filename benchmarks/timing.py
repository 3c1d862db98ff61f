"""Share what the benchmarks have in common: how they time, and how they are asked to be short."""

import argparse
from collections.abc import Callable
from statistics import median
from timeit import timeit


def parser_for(description: str) -> argparse.ArgumentParser:
    """Make a parser of the command line that knows --short."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--short", action="store_true", help="run all of it once, on little: its times say nothing"
    )
    return parser


def compared(
    sides: dict[str, Callable[[], object]], rounds: int, least: float = 0.0
) -> dict[str, float]:
    """Time each side in turn, again and again; give the median seconds of one call.

    With `least`, a call is repeated until one timing takes so many seconds, and the first call,
    which may compile, is not counted.
    """
    times = {name: times_to_last(call, least) if least else 1 for name, call in sides.items()}
    spent = {name: [] for name in sides}
    for _ in range(rounds):
        for name, call in sides.items():
            spent[name].append(timeit(call, number=times[name]) / times[name])
    return {name: median(seconds) for name, seconds in spent.items()}


def times_to_last(call, least: float) -> int:
    """Find how often a call must be repeated to be timed well; the first one is not counted."""
    call()
    times = 1
    while timeit(call, number=times) < least:
        times *= 2
    return times
