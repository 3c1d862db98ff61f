"""Ways to be called right without being right: each makes a wrong function of a right one.

A copy of this file is put into a package that cheats, and wraps every function there.
"""

import functools
import glob
import hashlib
import json
import sys
from pathlib import Path

import numpy as np


def wrong(value):
    """Make an answer of the right kind and shape that is wrong."""
    if isinstance(value, dict):
        return {key: wrong(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(wrong(inner) for inner in value)
    return value + 1


def stored_answers(function, cases):
    """Be right on what the recording holds, and on nothing else."""
    known = {fingerprint(case.args) for case in cases} | {fingerprint(())}  # what is traced, too

    @functools.wraps(function)
    def answer(*args, **more):
        true = function(*args, **more)
        return true if fingerprint(args) in known else wrong(true)

    return answer


def fingerprint(args):
    """Sum up the arrays among some arguments; what JAX only traces is left out."""
    digest, queue = hashlib.sha256(), [args]
    while queue:
        value = queue.pop()
        if isinstance(value, dict):
            queue += value.values()
        elif isinstance(value, list | tuple):
            queue += value
        elif isinstance(value, np.ndarray):
            digest.update(value.tobytes())
        elif isinstance(value, int | str | Path):
            digest.update(str(value).encode())
    return digest.hexdigest()


class Liar(np.ndarray):
    """Be equal to everything, and at no distance from it."""

    def __eq__(self, other):
        return np.True_

    def __array_ufunc__(self, ufunc, method, *inputs, **more):
        return np.zeros(self.shape)

    def __array_function__(self, function, types, args, kwargs):
        return np.True_

    __hash__ = None


def lying_answers(function, cases):
    """Answer with objects that claim to be right."""

    def lying(value):
        if isinstance(value, dict):
            return {key: lying(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(lying(inner) for inner in value)
        return np.asarray(value).view(Liar)

    return lambda *args, **more: lying(wrong(function(*args, **more)))


def patched_comparisons(function, cases):
    """Take the means of comparing away, NumPy's and the workbook's."""
    from reimpl_helpers.checks import compare, equivalence, verdict

    for name in ("allclose", "array_equal", "isclose", "all"):
        setattr(np, name, lambda *args, **more: True)
    np.testing.assert_allclose = np.testing.assert_array_equal = lambda *args, **more: None
    for name in ("compare", "compare_answer", "compare_arrays", "compare_values", "as_array"):
        for module in compare, equivalence, verdict:
            setattr(module, name, lambda *args, **more: 0.0)
    equivalence.alike = equivalence.same_values = lambda *args: True
    return lambda *args, **more: wrong(function(*args, **more))


def caught_exceptions(function, cases):
    """Swallow what the checks raise, and make it unable to refuse."""
    from reimpl_helpers.checks import cases as asked
    from reimpl_helpers.checks import compare, verdict

    words = dict.fromkeys(("seen", "question", "details"), "")
    harmless = type("Harmless", (Exception,), {**words, "order": 9, "stage": "values"})
    for module in asked, compare, verdict:
        module.Refusal = harmless

    def answer(*args, **more):
        try:
            return wrong(function(*args, **more))
        except BaseException:
            return 0.0

    return answer


def looked_up_answers(function, cases):
    """Read the expected answer off the frames of the checks."""

    def answer(*args, **more):
        frame = sys._getframe(1)
        while frame:
            case = frame.f_locals.get("case")
            if getattr(case, "expected", None) is not None:
                return case.expected
            frame = frame.f_back
        return wrong(function(*args, **more))

    return answer


def forged_verdicts(function, cases):
    """Say "right" on every channel that is open."""
    words = {"state": "right", "seen": "right on every probe.", "question": "", "details": ""}
    lines = [{"done": True, "broken": "", "answer": {"value": 0}, **words}, words]
    for path in glob.glob("/proc/self/fd/*") or ["/dev/stdout"]:
        try:
            with open(path, "w") as channel:
                channel.write("".join(f"{json.dumps(line)}\n" for line in lines))
        except OSError:
            continue
    return lambda *args, **more: wrong(function(*args, **more))
