"""Ask a piece for the defaults of its signature: left out, they must count as if given."""

import inspect
from collections.abc import Callable
from functools import partial

from reimpl_helpers.checks.cases import Case
from reimpl_helpers.checks.equivalence import same_values


def with_defaults(cases: list[Case], given: Callable) -> list[Case]:
    """Add to the cases of a piece one that leaves its arguments out, where they have defaults.

    `given` is the workbook's own version, whose signature is the exercise's.
    """
    parameters = inspect.signature(given).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    if not defaults:
        return cases
    first, needed = cases[0], len(parameters) - len(defaults)
    left_out = Case(
        "arguments left out",
        first.args,
        call=partial(call_with_fewer, first.call, needed, [*defaults.values()]),
        complaint_at=partial(default_complaint, defaults, first.call, needed, given),
    )
    return [*cases, left_out]


def call_with_fewer(call, needed, defaults, piece, *args) -> list:
    """Call a piece with every default given, then without the last, the last two, and so on."""
    answers = []
    for count in range(len(defaults), -1, -1):

        def with_some(*args, count=count, **_):
            return piece(*args[:needed], *defaults[:count])

        try:
            answers.append(call(with_some, *args))
        except Exception:
            if count == 0:
                raise
            answers.append(None)  # with None for 0.0, say, by default, it may not take 0.0
    return answers


def default_complaint(defaults, call, needed, given, answers, args) -> tuple[str, str] | None:
    """Say which argument, left out, is not what the signature of the exercise says.

    What is drawn at random is held against the pair's own answer with every default given, what
    is not against the workbook's too.
    """
    told, *others = answers
    for count, (name, answer) in enumerate(zip(reversed(defaults), others, strict=True), 1):
        if answer is None or same_values(told, answer):
            continue
        ours = call_with_fewer(call, needed, [*defaults.values()], given, *args)
        if not same_values(ours[count], answer):
            return (
                f"without {name}, another answer than with {name}={defaults[name]!r}, which the "
                "exercise's signature gives.",
                "Which default does yours have?",
            )
    return None
