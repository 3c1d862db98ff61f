"""Say what a piece is asked: its cases, and why an answer to one is refused."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from reimpl_helpers.base.words import sentences

Complaint = tuple[str, str] | str | None  # what was seen, and a question where there is one


@dataclass(frozen=True)
class Case:
    """One question put to a piece: a probe, the arguments, and what must come back.

    The answer, or what `part` makes of it, is compared with `expected` (an array, or nested
    dicts of arrays and shapes). Where the pair chooses what to write, `choices` makes of the
    arguments what each choice gives, by name. Where no single value is right, the answer is handed
    to `complaint`, which returns what is wrong with it and what to ask, or None, or raises a
    Refusal of its own.
    `complaint_at` is handed the arguments too; it is asked for only where everything else is right.
    `alike` tells whether two answers show the same mistake, where values are drawn at random.
    `unseen` makes other arguments of the same kind from a random generator.
    """

    probe: str
    args: tuple = ()
    expected: object = None
    choices: Callable[..., dict[str, object]] | None = None
    complaint: Callable[[object], Complaint] | None = None
    complaint_at: Callable[[object, tuple], Complaint] | None = None
    call: Callable = lambda piece, *args: piece(*args)
    part: Callable = lambda answer: answer
    alike: Callable[[object, object], bool] | None = None
    unseen: Callable | None = None

    @property
    def has_one_answer(self) -> bool:
        return self.complaint is None and self.complaint_at is None

    def complaint_about(self, answer) -> Complaint:
        """Say what is wrong with an answer, where no single value is right."""
        return self.complaint_at(answer, self.args) if self.complaint_at else self.complaint(answer)


@dataclass(frozen=True)
class Piece:
    """One function that the pair writes, and how it is judged.

    `step` is the notebook it belongs to. `module` is the file of the pair's package it is saved
    to, None for a warm-up that is not kept. A port is a piece of an earlier step, written again
    in JAX. `own_cases` makes of a recording what the track asks of it; `Track.cases` adds to them.
    A test is judged by running it: `catches` names the planted bugs of which it must
    refuse at least one. With `from_track` it is vocabulary, not asked for here: pairs write it in
    that track, or go on with the workbook's.
    """

    name: str
    module: str | None
    step: int
    own_cases: Callable[[object], Iterable[Case]] | None = None
    port: bool = False
    catches: tuple[str, ...] = ()
    from_track: str = ""

    @property
    def label(self):
        return f"{self.name} in JAX" if self.port else self.name

    @property
    def is_test(self):
        return self.module == "test_model"


def tests_of(step, **catches: tuple[str, ...]) -> list[Piece]:
    """List tests that the pair writes in a step, each with the planted bugs it is to refuse."""
    return [Piece(name, "test_model", step, catches=bugs) for name, bugs in catches.items()]


class Refusal(Exception):
    """Carry why a piece is refused: the stage of the verdict, what was seen, what to ask."""

    STAGES = (
        "not written", "raised", "changed", "type", "shape", "dtype", "finite", "values",
        "unreadable",
    )  # fmt: skip

    def __init__(self, stage, seen, question="", details=""):
        super().__init__(sentences(seen, question))
        self.stage = stage
        # what is not finite is a wrong value too: the first probe that shows either speaks
        self.order = self.STAGES.index("values" if stage == "finite" else stage)
        self.seen, self.question, self.details = seen, question, details
