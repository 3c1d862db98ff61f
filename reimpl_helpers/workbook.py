"""Open a track for a pair: their package, the checks."""

import filecmp
import importlib.util
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from types import FunctionType

from IPython import get_ipython

from reimpl_helpers import package
from reimpl_helpers.blind import judge_test
from reimpl_helpers.checks import (
    NOT_WRITTEN,
    PREDICT,
    WRONG,
    Piece,
    Verdict,
    judge,
    shadowed_names,
    shorten,
)
from reimpl_helpers.defaults import with_defaults
from reimpl_helpers.log import Log
from reimpl_helpers.mistakes import Bug
from reimpl_helpers.pairing import HAND_IS_UP, Pair, log_check, move_hand, names_here
from reimpl_helpers.places import ROOT, work_folder
from reimpl_helpers.porting import why_not_traced, with_gradients
from reimpl_helpers.recording import RecordingError, read_recording
from reimpl_helpers.score import Score, own_mistake, planted_mistake, said_of, score_tests
from reimpl_helpers.structure import with_structure
from reimpl_helpers.summary import Summary
from reimpl_helpers.suspects import Suspect, with_explanation
from reimpl_helpers.testing import TestRun, run_tests

NOTEBOOKS = ROOT / "notebooks"
MARKER = ".track"  # a file in a pair's folder that says which track it is
LAST_STEP = 5
SUSPECTS_KEPT = 32  # lists of known mistakes with their answers, the oldest dropped
SWAP = "Swap: the navigator drives now."
NAME_THE_TWO = (
    'make lab PAIR="Ada,Grace" names the two of you. Then this says who drove, how your '
    "predictions fared, and what took longest."
)
YOURS = "yours"  # whose a piece is, where it is the pair's own


class WorkbookError(Exception):
    """Say what a call to the workbook got wrong, and what to do."""

    def _render_traceback_(self):
        return [str(self)]


class Note(str):
    """String whose repr has no quotes: a notebook shows it as it is."""

    def __repr__(self):
        return str(self)


def tracks() -> list[str]:
    """Name the tracks there are: the folders whose notebooks lead to the end."""
    return sorted(path.parent.name for path in NOTEBOOKS.glob("*/05_training_test.ipynb"))


def load_file(path: Path):
    """Import one file of a track by its path."""
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Track:
    """One original with its pieces, and one pair's package for it, at one step.

    `home` is the workbook's folder of the track, `folder` the pair's.
    """

    name: str
    folder: Path
    step: int = 0

    @property
    def home(self) -> Path:
        return NOTEBOOKS / self.name

    @property
    def solution(self) -> Path:
        return self.home / "solution"

    @property
    def original(self) -> Path:
        return self.home / "original.py"

    @cached_property
    def recording(self):
        return read_recording(self.home / "recording.safetensors")

    @cached_property
    def listed(self) -> list[Piece]:
        """List the pieces of the track, those that are vocabulary included."""
        return list(map(self.with_more_cases, load_file(self.home / "pieces.py").PIECES))

    def with_more_cases(self, piece) -> Piece:
        """Have a piece asked for other inputs and its defaults too, a port for its gradients."""
        if piece.cases is None:
            return piece
        right = partial(self.in_numpy if piece.port else self.given, piece)
        cases = partial(with_structure, piece.cases, right)
        cases = partial(with_defaults, cases, partial(self.given, piece))
        if piece.port:
            cases = partial(with_gradients, cases, right)
        return replace(piece, cases=cases)

    def in_numpy(self, piece) -> FunctionType:
        """Return the workbook's own version of a piece before the port."""
        texts = self.given_texts(in_jax=False)
        return getattr(package.load_pieces(self.solution, piece.module, texts), piece.name)

    @cached_property
    def pieces(self) -> list[Piece]:
        """List what the pair is asked to write."""
        return [piece for piece in self.listed if not piece.from_track]

    @cached_property
    def vocabulary(self) -> dict[str, Piece]:
        """List what the pair is not asked to write here, by name."""
        return {piece.name: piece for piece in self.listed if piece.from_track}

    @cached_property
    def bugs(self):
        """List the planted bugs of the track, and after them those of its vocabulary."""
        theirs = [
            bug
            for home in {piece.from_track for piece in self.vocabulary.values()} - {self.name}
            for bug in load_file(NOTEBOOKS / home / "planted_bugs.py").BUGS
            if bug.piece in self.vocabulary
        ]
        return load_file(self.home / "planted_bugs.py").BUGS + theirs

    @cached_property
    def modules(self) -> dict[str, str]:
        """Say in which module of the package each piece lives."""
        return {piece.name: piece.module for piece in self.listed if piece.module}

    def module_of(self, name) -> str | None:
        """Name the module that a piece is saved in, or a test or a mistake of the pair's own."""
        if name.startswith("test_"):
            return "test_model"
        return "mistakes" if name.partition("__")[2] else self.modules.get(name)

    @property
    def in_jax(self) -> bool:
        """Tell whether this step is written in JAX: the one with ports, and those after."""
        return self.step >= min(piece.step for piece in self.pieces if piece.port)

    def is_reached(self, name) -> bool:
        """Tell whether a piece that is saved has been asked for by this step."""
        return any(
            piece.step <= self.step
            for piece in self.pieces
            if piece.name == name and piece.module and not piece.is_test
        )

    def piece(self, name: str) -> Piece:
        """Find a piece by name; where there are several, the one of this step or the last before.

        A test of the pair's own is a piece too: it is to catch any planted bug.

        Raises: WorkbookError when there is none, naming those there are.
        """
        found = [piece for piece in self.listed if piece.name == name]
        if not found and name.startswith("test_"):
            catches = tuple(bug.name for bug in self.bugs if self.is_reached(bug.piece))
            return Piece(name, "test_model", self.step, catches=catches)
        if not found:
            names = ", ".join(dict.fromkeys(piece.name for piece in self.listed))
            raise WorkbookError(
                f"`{name}` is no piece of this track. Its pieces are: {names}. "
                "Keep the name that the exercise gives."
            )
        return next((piece for piece in reversed(found) if piece.step <= self.step), found[0])

    def suspects(self, piece) -> list[Suspect]:
        """List the known mistakes that show in a piece, its own first."""
        texts = self.given_texts(piece.port or self.in_jax)
        reached = package.reached_from(texts, piece.name) | {piece.name}
        return [
            Suspect(bug, partial(self.as_made_by, bug, piece))
            for bug in sorted(self.bugs, key=lambda bug: bug.piece != piece.name)
            if bug.piece in reached and bug.piece not in self.vocabulary
        ]

    @cached_property
    def suspects_asked(self) -> Callable[[Piece, int], list[Suspect]]:
        """Keep the known mistakes of a piece, by the place of the case they are asked about."""
        return lru_cache(SUSPECTS_KEPT)(lambda piece, refused: self.suspects(piece))

    def as_made_by(self, bug, piece) -> FunctionType:
        """Load a piece from the workbook's package with a mistake in it."""
        in_jax, module = piece.port or self.in_jax, piece.module or "before_port"
        wrong = {**self.given_texts(in_jax), **self.planted(bug, in_jax)}
        return getattr(package.load_pieces(self.solution, module, wrong), piece.name)

    def judge(self, piece, function) -> Verdict:
        """Judge a piece of code, and say what is known about an answer that is wrong."""
        verdict = judge(piece, function, self.recording)
        if verdict.right and (why := self.why_not_in_jax(piece, function)):
            headline = f"right, but not yet in JAX, where it is to be differentiated: it {why}"
            return replace(verdict, state=WRONG, headline=headline)
        if verdict.refused is None:
            return verdict
        suspects = self.suspects_asked(piece, verdict.refused)
        return with_explanation(verdict, piece, function, self.recording, suspects)

    def why_not_in_jax(self, piece, function) -> str:
        """Say why a piece of the model cannot be used in JAX, if this step does, or nothing.

        Those that are written again for JAX are asked as that.
        """
        modules = {other.module for other in self.pieces if other.port and other.step <= self.step}
        models = {other.module for other in self.pieces if other.step == 1} & modules
        if piece.module not in models or self.has_port(piece.name):
            return ""
        return why_not_traced(next(iter(piece.cases(self.recording))), function)

    # --- whose a piece is ---

    def texts(self) -> dict[str, str]:
        """Read the pair's package.

        Raises: PackageError for a file that is no text.
        """
        return package.read_texts(self.folder)

    def is_written(self, name, texts) -> bool:
        """Tell whether the pair's package has a piece, the pair's own or a given one."""
        module = self.module_of(name)
        text = texts.get(module, "")
        return package.find_definition(text, name, f"{module}.py") is not None

    def is_own(self, name, texts) -> bool:
        """Tell whether the pair's package has this piece, and the pair wrote it."""
        return self.is_written(name, texts) and not package.is_given(
            texts[self.module_of(name)], name
        )

    def whose(self, name) -> str:
        """Say whose piece `use` hands out: "ours" or "the workbook's"."""
        owner, _ = self.found(self.piece(name), self.texts())
        return "ours" if owner.startswith(YOURS) else "the workbook's"

    def unported(self, module, texts) -> list[str]:
        """Name the pieces of a module that by this step should be in JAX and are not."""
        return [
            piece.name
            for piece in self.pieces
            if piece.port and piece.step <= self.step and piece.module == module
            if self.is_written(piece.name, texts)
            if package.is_in_numpy(texts[module], piece.name, self.modules)
        ]

    def step_reached(self, texts) -> int:
        """Tell how far a package is: the last step of which it has a piece of the pair's own."""
        own = [piece for piece in self.pieces if self.is_own(piece.name, texts)]
        return max((min(p.step for p in own if p.name == q.name) for q in own), default=1)

    def is_ported(self, texts) -> bool:
        """Tell whether a package is in JAX, as far as this step asks for it."""
        return self.in_jax and not any(self.unported(module, texts) for module in texts)

    def given_texts(self, in_jax) -> dict[str, str]:
        """Return the workbook's own package, as it stands before or after the port."""
        return dict(self._given_in_jax if in_jax else self._given_in_numpy)

    @cached_property
    def _given_in_jax(self):
        return package.read_texts(self.solution)

    @cached_property
    def _given_in_numpy(self):
        texts = self._given_in_jax
        for piece in self.listed:
            home = self.home_of(piece)
            if piece.port or (home is not self and home.has_port(piece.name)):
                early = package.load_pieces(home.solution, "before_port")
                texts = self.with_piece(texts, getattr(early, piece.name))
        return texts

    def has_port(self, name) -> bool:
        """Tell whether the pair writes a piece twice: in NumPy, then in JAX."""
        return any(piece.port and piece.name == name for piece in self.pieces)

    def home_of(self, piece) -> "Track":
        """Open the track in which pairs write a piece, at this step: this one, or another."""
        if piece.from_track in ("", self.name):
            return self
        return Track(piece.from_track, self.folder.parent / piece.from_track, self.step)

    def planted(self, bug, in_jax) -> dict[str, str]:
        """Make a mistake in the workbook's package; return the module that it is in.

        Raises: ValueError when the edit does not apply.
        """
        module = self.modules.get(bug.piece, "before_port")
        early = (self.solution / "before_port.py").read_text("utf-8")
        text = {"before_port": early, **self.given_texts(in_jax)}[module]
        return {module: bug.plant(text, in_jax)}

    def given(self, piece: Piece):
        """Return the workbook's own version of a piece."""
        if piece.module is None:
            return getattr(package.load_pieces(self.solution, "before_port"), piece.name)
        texts = self.given_texts(piece.port or self.in_jax)
        return getattr(package.load_pieces(self.solution, piece.module, texts), piece.name)

    def completed(self, texts) -> dict[str, str]:
        """Add the workbook's pieces to a package where the pair's are missing, tests left out."""
        for name in self.modules:
            piece = self.piece(name)
            if not piece.is_test and not self.is_written(name, texts):
                texts = self.with_piece(texts, self.given(piece), package.GIVEN)
        return texts

    def with_piece(self, texts, function, mark="") -> dict[str, str]:
        """Put one function into the texts of a package; a new module opens with its docstring."""
        name = inspect.unwrap(function).__name__
        module = self.module_of(name)
        if module not in texts:
            docstring = package.docstring_of((self.solution / f"{module}.py").read_text("utf-8"))
            texts = {**texts, module: docstring}
        modules = {**self.modules, name: module}
        return package.with_piece(texts, function, module, modules, mark)

    def origin(self, function) -> str:
        """Tell where a function comes from: the "notebook", the pair's "package", or "given"."""
        filename = inspect.unwrap(function).__code__.co_filename
        if filename.startswith(f"{self.folder}{os.sep}"):
            return "package"
        return "given" if self.mark_of(function) else "notebook"

    def mark_of(self, function) -> str:
        """Give the line above a piece that is not written here; nothing for one that is."""
        filename = Path(inspect.unwrap(function).__code__.co_filename)
        if filename.is_relative_to(NOTEBOOKS) and filename.parent.name == "solution":
            return package.GIVEN
        homes = {piece.from_track for piece in self.vocabulary.values()} - {self.name}
        if filename.parent.name not in homes or filename.parent.parent != self.folder.parent:
            return ""
        if package.is_given(filename.read_text("utf-8"), inspect.unwrap(function).__name__):
            return package.GIVEN
        return f"{package.FROM_TRACK}{filename.parent.name}"

    # --- what a notebook calls ---

    def use(self, *names):
        """Hand out pieces to go on with: the pair's own where saved, else the workbook's.

        Raises: WorkbookError for a name that is no piece; PackageError when the pair's file does
        not import.
        """
        texts = self.texts()
        found = [self.found(self.piece(name), texts) for name in names]
        owners = [owner for owner, _ in found]
        for owner in sorted(set(owners), key=lambda owner: (not owner.startswith(YOURS), owner)):
            theirs = [name for name, its in zip(names, owners, strict=True) if its == owner]
            print(f"{owner}: {', '.join(theirs)}")
        functions = [function for _, function in found]
        return functions[0] if len(functions) == 1 else functions

    def found(self, piece, texts) -> tuple[str, FunctionType]:
        """Find the piece to go on with, and say whose it is: the pair's own, or the workbook's.

        Raises: PackageError when the pair's file does not import.
        """
        name, home = piece.name, self.home_of(piece)
        at_home = texts if home is self else home.texts()
        if name in home.vocabulary:  # no pair is asked for it, but it may call what they wrote
            written = home.is_written(name, at_home)
            return "the workbook's", home.saved(piece) if written else self.given(piece)
        here = "" if home is self else f" in {home.name}"
        if not home.is_own(name, at_home):
            return f"the workbook's, until yours are saved{here}", self.given(piece)
        if home.unported(piece.module, at_home):
            return f"the workbook's, until yours are ported{here}", self.given(piece)
        if home is self and self.in_jax and self.why_not_in_jax(piece, self.saved(piece)):
            return "the workbook's, until yours can be differentiated", self.given(piece)
        if home is not self and not self.in_jax and home.has_port(name):
            if not package.is_in_numpy(at_home[piece.module], name, home.modules):
                return f"the workbook's in NumPy, as yours{here} are in JAX", self.given(piece)
        return f"{YOURS}, from {home.name}" if here else YOURS, home.saved(piece)

    def saved(self, piece) -> FunctionType:
        """Load a piece from the pair's package."""
        return getattr(package.load_pieces(self.folder, piece.module), piece.name)

    def check(self, function) -> Verdict:
        """Judge a piece or a test, and save it to the pair's package when it is right.

        Raises: WorkbookError when it is no piece of this track; PackageError when it comes from a
        file of the pair's that is no text any more.
        """
        plain = inspect.unwrap(function)
        if not isinstance(plain, FunctionType) or plain.__name__ == "<lambda>":
            raise WorkbookError(
                f"check was handed {shorten(function)}, expected a function written with `def`. "
                "Run the cell that defines it, then this one again."
            )
        piece, origin = self.piece(plain.__name__), self.origin(function)
        if piece.from_track:
            raise WorkbookError(
                f"`{piece.name}` is no exercise of this track: it comes from {piece.from_track}. "
                f"Go on with track.use({piece.name!r})."
            )
        is_own = origin == "notebook" or (
            origin == "package" and self.is_own(piece.name, self.texts())
        )
        if not is_own:
            return Verdict(
                piece.label,
                NOT_WRITTEN,
                "not written yet: this one is the workbook's. Run the cell with your own.",
            )
        if self.pair and origin == "notebook" and not is_stub(function):
            if question := self.pair.asked_first(piece.name):
                return Verdict(piece.label, PREDICT, question)
        verdict, saved = self.judge_and_save(piece, function)
        if self.pair:
            swap = self.pair.checked(piece, verdict, source_text(function))
        else:
            log_check(self.log, self, piece, verdict, source_text(function))
            swap = SWAP if saved else ""
        return replace(verdict, headline=f"{verdict.headline} {swap}".strip())

    def judge_and_save(self, piece, function) -> tuple[Verdict, bool]:
        """Judge a piece, and save it where it is right; tell whether it is new in the package."""
        if not piece.is_test:
            with package.imported_from(self.folder):
                verdict = self.judge(piece, function)
            if not verdict.right:
                return verdict, False
        note, is_new = "", True
        try:
            if piece.module:
                verdict, note, is_new = self.save(piece, function)
        except package.PackageError as error:
            return Verdict(piece.label, WRONG, f"not saved: {error}"), False
        if not verdict.right:
            return verdict, False
        is_asked_for = piece.name in {piece.name for piece in self.pieces}
        way = package.source_of_piece(self.given(piece)) if is_asked_for else ""
        headline = f"{verdict.headline} {note}".strip()
        return replace(verdict, headline=headline, another_way=way), is_new

    # --- two people ---

    @cached_property
    def log(self) -> Log:
        """Open the log of what the pair does."""
        return self.pair.log if self.pair else Log(self.folder.parent)

    @cached_property
    def pair(self) -> Pair | None:
        """Find the two at this notebook, where `reimpl lab` was told of two."""
        names = names_here()
        return Pair(self, names) if names else None

    def predict(self, name: str, said: str = "") -> str:
        """Keep what the navigator expects of a check, before it runs; without words they pass.

        Raises: WorkbookError when nobody is named.
        """
        return Note(self.require_pair().predict(name, said))

    def swap(self) -> str:
        """Let the navigator drive.

        Raises: WorkbookError when nobody is named.
        """
        self.require_pair().swap()
        return Note(self.pair)

    def raise_hand(self) -> str:
        """Ask for help: the facilitator's board shows it, until one more piece is right."""
        return self._move_hand(True)

    def lower_hand(self) -> str:
        """Ask for no help any more."""
        return self._move_hand(False)

    def _move_hand(self, raised):
        if self.pair:
            self.pair.move_hand(raised)
        else:
            move_hand(self.log, self, raised)
        return Note(
            f"{HAND_IS_UP} Lower it: track.lower_hand()" if raised else "Your hand is down."
        )

    def require_pair(self) -> Pair:
        if self.pair is None:
            raise WorkbookError(f"nobody is named here. {NAME_THE_TWO}")
        return self.pair

    def summary(self):
        """Sum up the notebook: who drove, how the predictions fared, what took longest."""
        return Summary(self.pair) if self.pair else Note(NAME_THE_TWO)

    # --- tests, and mistakes to try them on ---

    def run_tests(self) -> TestRun:
        """Run the pair's saved tests with pytest, and show its report.

        Raises: PackageError for a file that is no text.
        """
        texts = self.texts()
        if "test_model" not in texts:
            return TestRun({}, {}, "no tests yet: test_model.py is written by step 4.")
        return run_tests(texts["test_model"], self.folder, texts)

    def score(self, **more) -> Score:
        """Score the pair's saved tests: how many mistakes they catch, and which they miss.

        Raises: PackageError for a file that is no text.
        """
        score = score_tests(self, self.texts(), **more)
        if score.findings:
            here = {"track": self.name, "step": self.step}
            counts = {"caught": len(score.caught), "mistakes": len(score.findings)}
            self.log.append("score", **here, **counts)
        return score

    def add_mistake(self, function) -> str:
        """Save a mistake of the pair's own, and say which of their tests catches it.

        `encoder__codes_doubled` is an `encoder` that is wrong in the way its name says.

        Raises: WorkbookError when it is no mistake in a piece of this track.
        """
        piece = self.mistaken_piece(function)
        name = function.__name__
        verdict = judge(piece, function, self.recording)
        if verdict.state == NOT_WRITTEN:
            return Note(f"{name} · not written yet")
        if verdict.right:
            raise WorkbookError(
                f"{name} is {verdict.headline} No check can tell it from a right {piece.name}, "
                "and no test should. Make a mistake that shows."
            )
        before = self.texts()
        texts = self.with_piece(before, function)
        package.write_texts(self.folder, texts, before)
        mistake = own_mistake(self.completed(texts), self.modules, name)
        return Note(f"{said_of(self, texts, mistake)} Swap.")

    def caught_by(self, mistake: str) -> str:
        """Say which of the pair's tests catches a planted bug.

        Raises: WorkbookError when there is none of this name.
        """
        texts, bug = self.texts(), self.bug(mistake)
        wrong = planted_mistake(self, self.completed(texts), bug, self.is_ported(texts))
        return Note(said_of(self, texts, wrong))

    def wrong(self, name: str, mistake: str):
        """Hand out a piece as it is with a planted bug in it.

        Raises: WorkbookError when there is no such piece, or no such bug.
        """
        piece = self.piece(name)
        return self.as_made_by(self.bug(mistake), piece)

    def bug(self, name: str) -> Bug:
        for bug in self.bugs:
            if bug.name == name:
                return bug
        names = ", ".join(bug.name for bug in self.bugs)
        raise WorkbookError(f"no planted bug is called `{name}`. There are: {names}.")

    def mistaken_piece(self, function) -> Piece:
        """Find the piece that a function is a wrong version of.

        Raises: WorkbookError when its name does not say, or the piece is no code of the package.
        """
        name = getattr(function, "__name__", shorten(function))
        wrong, named, what = name.partition("__")
        names = dict.fromkeys(p.name for p in self.pieces if self.is_reached(p.name))
        if not (named and what and wrong in names and isinstance(function, FunctionType)):
            raise WorkbookError(
                f"`{name}` names no mistake. Name the piece, two underscores, and what is wrong, "
                f"as in def {next(iter(names))}__bias_left_out(...). "
                f"The pieces so far are: {', '.join(names)}."
            )
        return self.piece(wrong)

    # --- saving ---

    def save(self, piece, function) -> tuple[Verdict, str, bool]:
        """Judge a piece as it stands on its own in the pair's package; save it there if right.

        Returns the verdict, a note that says what became of it, and whether it was written.

        Raises: PackageError when it cannot be saved; nothing is written then.
        """
        before, file = self.texts(), f"{piece.module}.py"
        if self.origin(function) == "package":
            return self.judge_alone(piece, before), f"It is saved in {file}.", False
        if not piece.port and self.keeps_port(piece.name, function, before):
            return self.judge_alone(piece, before), f"{file} keeps your JAX version.", False
        texts = self.add_dependencies(self.with_vocabulary_ported(before), function)
        texts = self.add_dependents(texts, piece)
        verdict = self.judge_alone(piece, texts)
        if verdict.right:
            package.write_texts(self.folder, texts, before)
        elif not piece.is_test:
            raise package.PackageError(
                f"it is right here, but not on its own in {file}: {verdict.headline} "
                "Does it use something that only the notebook has?"
            )
        return verdict, f"Saved to {file}.", True

    def judge_alone(self, piece, texts) -> Verdict:
        """Judge a piece or a test as it stands in the texts of a package."""
        if piece.is_test:
            ported, texts = self.is_ported(texts), self.completed(texts)
            given = self.given_texts(ported)  # float64 in NumPy, as long as theirs is
            bugs = [bug for bug in self.bugs if bug.name in piece.catches]
            wrong = {bug: self.planted(bug, ported) for bug in bugs}
            right = {module: given[module] for modules in wrong.values() for module in modules}
            return judge_test(piece, texts, self.folder, right, wrong, not ported)
        with package.imported_from(self.folder, texts):
            module = package.load_pieces(self.folder, piece.module, texts)
            return self.judge(piece, getattr(module, piece.name, None))

    def keeps_port(self, name, function, texts) -> bool:
        """Tell whether the pair's package has a piece in JAX, and this one is for NumPy."""
        module = self.module_of(name)
        if not self.has_port(name) or not self.is_own(name, texts):
            return False
        if package.is_in_numpy(texts[module], name, self.modules):
            return False
        alone = package.with_piece({}, function, module, self.modules)
        return package.is_in_numpy(alone[module], name, self.modules)

    def add_dependencies(self, texts, function) -> dict[str, str]:
        """Put a function into the texts of a package, the pieces it uses first.

        Raises: PackageError when one of those is not right itself, or not in JAX yet.
        """
        user = inspect.unwrap(function).__name__
        for name, used in package.dependencies_of(function, self.modules).pieces.items():
            origin, module = self.origin(used), self.modules[name]
            if origin == "given" and not self.is_written(name, texts):
                texts = self.with_given(texts, used)
            elif origin == "given" and name not in self.vocabulary:
                if unported := [n for n in self.unported(module, texts) if n != user]:
                    raise package.PackageError(
                        f"{user} uses {name}, and {module}.py has {unported[0]} in NumPy still. "
                        f"Port {unported[0]} to JAX first."
                    )
            elif origin == "notebook" and name != user:
                texts = self.with_piece_used(texts, user, name, used)
        return self.with_piece(texts, function)

    def add_dependents(self, texts, piece) -> dict[str, str]:
        """Put what the workbook adds around a piece into the texts, as `train` around a step."""
        for name, user in self.vocabulary.items():
            if user.from_track == self.name and not self.is_written(name, texts):
                text = package.definition_of(self._given_in_jax[user.module], name)
                if piece.name not in package.names_used(text):
                    continue  # told by its text alone: JAX takes as long to import as all else
                function = self.given(user)
                if piece.name in package.dependencies_of(function, self.modules).pieces:
                    texts = self.with_given(texts, function)
        return texts

    def with_vocabulary_ported(self, texts) -> dict[str, str]:
        """Put vocabulary that a package has in NumPy still into JAX, where this step is in JAX."""
        for name, piece in self.vocabulary.items():
            if self.in_jax and self.is_written(name, texts) and not self.is_own(name, texts):
                if package.is_in_numpy(texts[piece.module], name, self.modules):
                    texts = self.with_given(texts, self.found(piece, texts)[1])
        return texts

    def with_given(self, texts, function) -> dict[str, str]:
        """Put a piece that the pair did not write here into the texts, those that it uses first."""
        for name, used in package.dependencies_of(function, self.modules).pieces.items():
            if not self.is_written(name, texts) and used is not function:
                texts = self.with_given(texts, used)
        return self.with_piece(texts, function, self.mark_of(function))

    def with_piece_used(self, texts, user, name, used) -> dict[str, str]:
        """Put a piece that another one uses into the texts of a package, if it is right."""
        if name in self.vocabulary:
            raise package.PackageError(
                f"{user} uses a {name} from the notebook, and this track does not ask for one. Go "
                f"on with track.use({name!r}), or give yours another name."
            )
        written = package.definition_of(texts.get(self.modules[name], ""), name)
        if written == package.source_of_piece(used) or self.keeps_port(name, used, texts):
            return texts
        verdict = self.judge(self.piece(name), used)
        if not verdict.right:
            raise package.PackageError(
                f"{user} uses {name}, which is not right yet. Mend that one first: {verdict}"
            )
        return self.add_dependencies(texts, used)


# --- opening a notebook -------------------------------------------------------------------


def start(name: str, step: int) -> Track:
    """Open a track at one step, and say where the pair stands.

    Raises: WorkbookError for an unknown track, or when its recording is missing or damaged.
    """
    if name not in tracks():
        raise WorkbookError(f"there is no track `{name}`. The tracks are: {', '.join(tracks())}.")
    track = Track(name, work_folder() / name, step)
    try:
        track.recording  # noqa: B018  read now: every check needs it
    except RecordingError as error:
        raise WorkbookError(str(error)) from error
    print(f"{name}, step {step}. {where_the_pair_stands(track)}")
    for warning in warnings_about(track):
        print(warning)
    explain_errors(track)
    show_roles(track)
    return track


def show_roles(track):
    """Show the bar of the two roles, in a shared session."""
    track.log.append("start", track=track.name, step=track.step)
    if track.pair and track.step:
        from IPython.display import display

        from reimpl_helpers.widgets import RolesBar

        display(RolesBar(track.pair))


def is_stub(function) -> bool:
    """Tell whether the body of an exercise is still as it was found."""
    return "raise NotImplementedError" in source_text(function)


def source_text(function) -> str:
    """Return the text of a function; nothing where there is none to be had."""
    try:
        return package.source_of_piece(function)
    except package.PackageError:
        return ""


def where_the_pair_stands(track):
    own = [piece.name for piece in track.pieces if piece.module and piece.step <= track.step]
    try:
        texts = track.texts()
        saved = [name for name in dict.fromkeys(own) if track.is_own(name, texts)]
    except package.PackageError as error:
        return str(error)
    folder = f"{track.folder.parent.name}/{track.folder.name}"
    if not saved:
        return f"Nothing of yours is saved in {folder} yet."
    return f"Yours, saved in {folder}: {', '.join(saved)}."


def warnings_about(track):
    """Say what in the pair's folder would bite later."""
    for path in sorted(track.folder.glob("*.py")):
        hidden = package.hidden_by(path.stem)
        if hidden:
            yield f"{path.name} in your folder hides {hidden} from what runs there. Rename it."
    ours, theirs = track.folder / "recording.safetensors", track.home / "recording.safetensors"
    if ours.exists() and not filecmp.cmp(ours, theirs, shallow=False):
        yield (
            "recording.safetensors in your folder is not the workbook's: damaged or changed. "
            "Move it away and run `reimpl work`, which copies it again. Checks use the workbook's."
        )
    elif (track.folder / MARKER).exists() and not ours.exists():
        yield "recording.safetensors is missing in your folder. `reimpl work` copies it again."


def explain_errors(track):
    """Add a line of advice below an exception that a mixed-up notebook raises."""
    shell = get_ipython()
    if shell is None:
        return

    def explain(shell, kind, error, trace, tb_offset=None):
        shell.showtraceback((kind, error, trace), tb_offset=tb_offset)
        advice = advice_for(error, shell.user_ns, track)
        if advice:
            print(advice)

    shell.set_custom_exc((Exception,), explain)


def advice_for(error, namespace, track):
    if isinstance(error, NameError) and error.name:  # an UnboundLocalError has no name
        return (
            f"`{error.name}` means nothing in this kernel. Is it misspelt? If not, a cell above "
            "was not run: choose Run › Run All Above Selected Cell, then run this one again."
        )
    if type(error).__name__ == "TracerArrayConversionError":
        return (
            "JAX handed a placeholder to NumPy: one of your functions still computes with np. The "
            "traceback says which. Write it with jnp, run its check, then this cell again."
        )
    for name, ours in {"check": track.check, "track": track}.items():
        if type(namespace.get(name, ours)) is not type(ours):
            return f"`{name}` is no longer the workbook's. Run the first code cell again."
    return shadowed_names(namespace)


# --- a pair's folder ----------------------------------------------------------------------


def track_of(folder: Path) -> str:
    """Name the track of a pair's folder: by the marker in it, else by the folder's name.

    Raises: WorkbookError when neither names a track.
    """
    marker = folder / MARKER
    name = folder.resolve().name
    if marker.is_file():
        name = marker.read_text("utf-8", errors="replace").strip()
    if name not in tracks():
        raise WorkbookError(
            f"{folder} belongs to no track: there is no `{name}`. The tracks are: "
            f"{', '.join(tracks())}. Write the track's name into {folder.name}/{MARKER}."
        )
    return name
