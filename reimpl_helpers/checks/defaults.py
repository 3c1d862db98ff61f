"""Ask a piece for the defaults of its signature: left out, they must count as if given."""

import inspect
from collections.abc import Callable, Iterator
from functools import partial

from reimpl_helpers.checks.cases import Case
from reimpl_helpers.checks.equivalence import same_values


def with_defaults(cases: Callable, given: Callable[[], Callable], recording) -> Iterator[Case]:
    """Give the cases of a piece, and after them one that leaves its arguments out.

    `given` gives the workbook's own version, whose signature is the exercise's.
    """
    found = list(cases(recording))
    yield from found
    parameters = inspect.signature(given()).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    if defaults:
        needed = len(parameters) - len(defaults)
        yield Case(
            "arguments left out",
            found[0].args,
            call=partial(call_with_fewer, found[0].call, needed, [*defaults.values()]),
            complaint_at=partial(default_complaint, defaults, found[0].call, needed, given),
        )


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
        ours = call_with_fewer(call, needed, [*defaults.values()], given(), *args)
        if not same_values(ours[count], answer):
            return (
                f"without {name}, another answer than with {name}={defaults[name]!r}, which the "
                "exercise's signature gives.",
                "Which default does yours have?",
            )
    return None
