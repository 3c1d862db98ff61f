"""Score a pair's own tests: how many mistakes they catch, planted ones and automatic ones (step 4).

Nothing is written to the pair's folder: every mistake is made in memory, in a text that stands in
for the file.
"""

import html
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from reimpl_helpers.base.compiling import float64_in_jax
from reimpl_helpers.base.tables import html_table
from reimpl_helpers.checks.equivalence import alike, outcome, same_values, unseen_cases
from reimpl_helpers.checks.verdict import little_printed
from reimpl_helpers.scoring.testing import (
    CODE,
    FEW,
    NO_MODULE,
    PASSED,
    STOPPED,
    TIME_LIMIT,
    Suite,
    in_one_session,
    vacuous_tests,
    with_modules,
)
from reimpl_helpers.texts import package
from reimpl_helpers.texts.mutations import mutations_of

KINDS = PLANTED, MUTATION, OWN = (
    "planted bugs",
    "mutations of your own code",
    "mistakes of your own",
)
PATIENCE = 2.0  # seconds for a test on a wrong model, beside what it needs on the right one


@dataclass(frozen=True)
class Mistake:
    """One wrong model that the pair's tests should refuse."""

    kind: str
    piece: str  # the function it is made in
    name: str
    change: str  # the line that it changes, or why people make it
    hint: str  # the shortest way to a test that would catch it
    texts: dict[str, str] = field(repr=False)  # the package with the mistake in it

    @property
    def label(self) -> str:
        return f"{self.piece} · {self.name}"

    @property
    def line(self) -> str:
        """Say in one line what is wrong, and for a mutation where."""
        return f"{self.label}, {self.change}" if self.kind == MUTATION else self.label


@dataclass(frozen=True)
class Finding:
    """What became of one mistake: the test that caught it, or None."""

    mistake: Mistake
    caught_by: str | None

    @property
    def said(self) -> str:
        """Name the test that caught it, or say what would."""
        return self.caught_by or self.mistake.hint


@dataclass(frozen=True, repr=False)
class Score:
    """Say how many mistakes the pair's tests catch, and which they miss."""

    findings: tuple[Finding, ...] = ()
    remarks: tuple[str, ...] = ()  # a line each on tests that are left out, or check nothing
    problem: str = ""  # why nothing is scored
    failing: str = ""  # the test that fails on the pair's own model
    equivalent: int = 0  # mutations that compute the same, and do not count

    def of(self, kind: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.mistake.kind == kind]

    @property
    def missed(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.caught_by is None]

    @property
    def caught(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.caught_by is not None]

    @property
    def counts(self) -> dict[str, tuple[int, int]]:
        """Count the mistakes of each kind: those that are caught, and all."""
        found = {kind: self.of(kind) for kind in KINDS}
        return {
            kind: (sum(finding.caught_by is not None for finding in some), len(some))
            for kind, some in found.items()
            if some
        }

    @property
    def headline(self) -> str:
        if self.problem:
            return f"no score: {self.problem}"
        counts = [f"{caught} of {number} {kind}" for kind, (caught, number) in self.counts.items()]
        return f"your tests catch {', '.join(counts) or 'nothing: there is nothing to catch yet'}."

    def __repr__(self):
        lines = [self.headline, *self.remarks]
        for word, findings in (("missed", self.missed), ("caught", self.caught)):
            width = min(60, max((len(found.mistake.line) for found in findings), default=0))
            lines += [f"{word}  {f.mistake.line:{width}}  {f.said}" for f in findings]
        return "\n".join([*lines, *self._not_counted()])

    def _repr_html_(self):
        lines = [f"<b>{html.escape(self.headline)}</b>", *map(html.escape, self.remarks)]
        parts = [f"<div>{line}</div>" for line in lines]
        tables = (("missed", self.missed, "try"), ("caught", self.caught, "caught by"))
        for word, findings, last in tables:
            if findings:
                rows = [(f.mistake.label, f.mistake.change, f.said) for f in findings]
                table = html_table(("mistake", "about it", last), rows)
                opened = " open" if word == "missed" and len(findings) <= FEW else ""
                summary = f"<summary>{word}: {len(findings)}</summary>"
                parts.append(f"<details{opened}>{summary}{table}</details>")
        parts += [f"<div>{html.escape(line)}</div>" for line in self._not_counted()]
        kept = {"counts": self.counts} if self.counts else None  # beside the page, in a notebook
        return "".join(parts), kept

    def _not_counted(self):
        if not self.equivalent:
            return []
        if self.equivalent == 1:
            return ["1 more mutation computes the same as your code, and does not count."]
        return [
            f"{self.equivalent} more mutations compute the same as your code, and do not count."
        ]


def score_tests(
    store,
    texts: dict[str, str],
    never_ends: frozenset[str] = frozenset(),
    running: Callable[[str], None] = lambda what: None,
) -> Score:
    """Run the tests of a pair's package on wrong models, and say which of these they refuse.

    `running` is told before each run what it is of; what stands in `never_ends` is not run again.

    Raises: KeyboardInterrupt when the user stops it.
    """
    if "test_model" not in texts:
        return Score(problem="there is no test_model.py yet. Write a test, and check it.")
    try:
        for module, text in texts.items():
            package.parse(text, f"{module}.py")
    except package.PackageError as error:
        return Score(problem=str(error))
    scorer = Scorer(store, store.completed(texts), mistakes_of(store, texts), never_ends, running)
    return in_one_session(texts["test_model"], store.folder, scorer.score)


def mistakes_of(store, texts) -> list[Mistake]:
    """List every mistake that a pair's tests are held against: planted, automatic, their own."""
    track, whole, ported = store.track, store.completed(texts), store.is_ported(texts)
    bugs = [bug for bug in track.bugs if track.is_reached(bug.piece)]
    planted = [planted_mistake(track, whole, bug, ported) for bug in bugs]
    return planted + mutations(texts, whole) + own_mistakes(texts, whole)


def planted_mistake(track, whole, bug, ported) -> Mistake:
    """Put the workbook's module with a bug in it in the place of the pair's."""
    wrong = with_modules(whole, track.planted(bug, ported))
    return Mistake(PLANTED, bug.piece, bug.name, bug.why, bug.hint, wrong)


def mutations(texts, whole) -> list[Mistake]:
    """Make small mistakes in every function that the pair wrote itself."""
    found = []
    for module in filter(texts.__contains__, CODE):
        own = [
            name
            for name in package.functions_of(texts[module])
            if not package.is_given(texts[module], name)
        ]
        for mutation in mutations_of(whole[module], own):
            change = f"line {mutation.line}: {mutation.before} → {mutation.after}"
            mutated = {**whole, module: mutation.text}
            found.append(
                Mistake(MUTATION, mutation.function, mutation.name, change, mutation.hint, mutated)
            )
    return found


def own_mistakes(texts, whole) -> list[Mistake]:
    """List the mistakes of the pair's own, each in the place of the piece that it is made in."""
    names = package.functions_of(texts.get("mistakes", ""))
    homes = {piece: home for home in CODE for piece in package.functions_of(whole.get(home, ""))}
    return [own_mistake(whole, homes, name) for name in names if name.partition("__")[0] in homes]


def own_mistake(whole, homes, name) -> Mistake:
    piece, _, what = name.partition("__")
    home = homes[piece]
    wrong = f"{whole[home]}\n\nfrom mistakes import {name} as {piece}\n"
    hint = "Look at what it does to one input, by hand."
    change = "one of your own, in mistakes.py"
    return Mistake(OWN, piece, what.replace("_", " "), change, hint, {**whole, home: wrong})


def said_of(store, texts, mistake: Mistake) -> str:
    """Say which test of the pair's catches one mistake."""
    if "test_model" not in texts:
        return f"{mistake.label} · you have no test yet that could catch it."
    scorer = Scorer(store, store.completed(texts), [mistake])
    try:
        test = in_one_session(texts["test_model"], store.folder, scorer.first_to_catch)
    except Problem as problem:
        return f"{mistake.label} · {problem}"
    if test is None:
        return f"{mistake.label} · no test of yours catches it. Can you write the one that does?"
    return f"{mistake.label} · caught by {test}."


class Problem(Exception):
    """Say why a suite of tests scores nothing, and which test fails on the pair's own model."""

    def __init__(self, words, failing=""):
        super().__init__(words)
        self.failing = failing


@dataclass
class Scorer:
    """Score one suite; see score_tests."""

    store: object
    texts: dict[str, str]  # of the pair's package, completed
    mistakes: list[Mistake]
    never_ends: frozenset[str] = frozenset()
    running: Callable[[str], None] = lambda what: None
    remarks: list[str] = field(default_factory=list)
    endless: set[str] = field(default_factory=set)  # lines of mistakes that no test ends on
    seconds: dict[str, float] = field(default_factory=dict)  # that each test takes on right code

    def score(self, suite: Suite) -> Score:
        try:
            tests, called = self.tests_that_count(suite)
        except Problem as problem:
            remarks = tuple(self.remarks)
            return Score(problem=str(problem), failing=problem.failing, remarks=remarks)
        suite.before_each = lambda test: None
        findings = [
            Finding(mistake, self.caught_by(suite, mistake, tests, called))
            for mistake in self.mistakes
        ]
        findings = [found for found in findings if found.mistake.line not in self.endless]
        self.remarks += [
            f"left out: {line}: it was stopped, and no test had failed. Does it never end?"
            for line in sorted(self.endless)
        ]
        catching = {finding.caught_by for finding in findings}
        self.remark_on_empty_tests(suite, [t for t in tests if t not in catching], called)
        counted = self.without_equivalent(findings)
        equivalent = len(findings) - len(counted)
        return Score(tuple(counted), tuple(self.remarks), equivalent=equivalent)

    def first_to_catch(self, suite: Suite) -> str | None:
        """Name the first test that passes on the pair's own model, and not on the one mistake.

        Raises: Problem when the tests cannot be imported.
        """
        for name in self.names(suite):
            own = suite.run(self.texts, [name], note_calls=True)
            self.seconds = own.seconds
            if own.passed and self.caught_by(suite, self.mistakes[0], [name], own.called):
                return name
        return None

    def names(self, suite: Suite) -> list[str]:
        """List the tests that there are.

        Raises: Problem when they cannot be imported.
        """
        found = suite.names(self.texts)
        if found.failures:
            raise Problem(f"test_model.py does not run: {found.first_failure} Mend that first.")
        return list(found.outcomes)

    def without_equivalent(self, findings) -> list[Finding]:
        """Leave out the missed mutations that no test could tell from the pair's code."""
        missed = [f for f in findings if f.caught_by is None and f.mistake.kind == MUTATION]
        if not missed:
            return findings
        names = dict.fromkeys(piece.name for piece in self.store.track.pieces if piece.module)
        code = [piece for piece in map(self.store.track.piece, names) if not piece.is_test]
        reached = {piece: package.reached_from(self.texts, piece.name) for piece in code}
        answers = {}
        with float64_in_jax(), np.errstate(all="ignore"), little_printed():
            same = [f for f in missed if self.is_equivalent(f.mistake, reached, answers)]
        return [found for found in findings if found not in same]

    def is_equivalent(self, mistake, reached, answers) -> bool:
        """Tell whether a mutation answers the same on every probe and on inputs nobody has seen.

        What is drawn at random is the same where it follows the same distribution.
        `reached` says which functions have a part in a piece. `answers` keeps those of the pair's
        own code, from one mutation to the next.
        """
        for piece in reached:
            if mistake.piece not in reached[piece]:
                continue
            if piece not in answers:
                ours, cases = self.piece_in(self.texts, piece), self.cases_of(piece)
                answers[piece] = [(case, outcome(ours, case)) for case in cases]
            mutant = self.piece_in(mistake.texts, piece)
            for case, ours in answers[piece]:
                theirs = outcome(mutant, case)
                if not (same_values(ours, theirs) or (case.alike and alike(ours, theirs, case))):
                    return False
        return True

    def piece_in(self, texts, piece):
        return getattr(package.load_pieces(self.store.folder, piece.module, texts), piece.name)

    def cases_of(self, piece):
        cases = self.store.track.cases(piece)
        return cases + [case for _, case in unseen_cases(cases, seed=0) if case.has_one_answer]

    def tests_that_count(self, suite) -> tuple[list[str], dict[str, set[str]]]:
        """Find the tests that pass on every right model, alone as well as together.

        Returns their names, and the functions that each of them calls.

        Raises: Problem when one of them fails on a right model, or none is left.
        """
        found = self.names(suite)
        suite.before_each = self.running
        names = [name for name in found if name not in self.never_ends]
        together, called = suite.run(self.texts, names), {}
        together.outcomes.update(dict.fromkeys({*found} & self.never_ends, STOPPED))
        counted = []
        for name in found:
            alone = suite.run(self.texts, {name} - self.never_ends, note_calls=True)
            called |= alone.called
            self.seconds |= alone.seconds
            if self.counts(name, together, alone):
                counted.append(name)
        theirs = suite.run(self.right_model(), counted, note_calls=True)
        if theirs.failures:
            name, why = next(iter(theirs.failures.items()))
            raise Problem(
                f"{name} passes on your model, but fails on another that is right: {why} "
                "What does it ask for that the original does not promise?"
            )
        if not counted:
            raise Problem("no test is there to be scored. Write one, and check it.")
        return counted, {name: called[name] | theirs.called[name] for name in counted}

    def right_model(self) -> dict[str, str]:
        """Put the workbook's own modules in the place of the pair's."""
        right = self.store.track.given_texts(self.store.is_ported(self.texts))
        return with_modules(self.texts, {name: right[name] for name in right if name in CODE})

    def counts(self, name, together, alone) -> bool:
        """Tell whether a test is scored; where it is not, remark why.

        Raises: Problem when it fails on the pair's own model.
        """
        ends = {together.outcomes[name], alone.outcomes.get(name, "missing")}
        why_not = {
            STOPPED: f"still running after {TIME_LIMIT:g} seconds. Is there a loop that never "
            "ends?",
            "exited": "it ends Python, or pytest, altogether. What should it assert instead?",
            "skipped": "a test that is skipped guards nothing.",
            "not written": "not written yet.",
        }
        for end, why in why_not.items():
            if end in ends:
                self.remarks.append(f"left out: {name}: {why}")
                return False
        if ends == {PASSED}:
            return True
        if PASSED in ends:
            self.remarks.append(
                f"left out: {name}: it passes or fails depending on which tests run before it. "
                "What does it find there that it should make itself?"
            )
            return False
        raise Problem(
            f"{name} fails on your own model: {together.failures[name]} A suite that refuses right "
            "code scores nothing. Is the test wrong, or the model?",
            failing=name,
        )

    def remark_on_empty_tests(self, suite, tests, called):
        """Name those of the tests that pass on nonsense, and on every mistake."""
        limit = PATIENCE + 5 * max(self.seconds.values())
        for name in sorted(vacuous_tests(suite, self.texts, tests, limit), key=tests.index):
            passes = (
                self.caught_by(suite, mistake, [name], called) is None for mistake in self.mistakes
            )
            if all(passes):
                self.remarks.append(
                    f"{name} passes whatever your model computes. What does it assert?"
                )

    def caught_by(self, suite, mistake, tests, called) -> str | None:
        """Name a test that does not pass on a wrong model: the one that calls the fewest pieces.

        Such a test says most exactly what is wrong, and as a rule it is the quickest.
        """
        concerned = [name for name in tests if mistake.piece in called[name]]
        concerned.sort(key=lambda name: len(called[name]))
        if not concerned:
            return None
        if mistake.line in self.never_ends:
            self.endless.add(mistake.line)
            return None
        self.running(mistake.line)
        limit = PATIENCE + 5 * max(self.seconds[name] for name in concerned)
        run = suite.run(mistake.texts, concerned, limit, first_failure=True)
        if run.refusing is None and run.was_stopped:
            self.endless.add(mistake.line)
        return concerned[0] if run.refusing == NO_MODULE else run.refusing
