"""Read what a model's folder holds: the original's recording, its pieces, the known mistakes.

Nothing here knows of a pair: what they write is in pair/store.py, how it is judged in
judge/pieces.py.
"""

import ast
import importlib.util
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from types import FunctionType

from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.base.places import NOTEBOOKS
from reimpl_helpers.checks.cases import Case, Piece
from reimpl_helpers.checks.defaults import with_defaults
from reimpl_helpers.checks.porting import why_not_traced, with_gradients
from reimpl_helpers.checks.structure import with_structure
from reimpl_helpers.checks.suspects import Suspect
from reimpl_helpers.originals.recording import read_recording
from reimpl_helpers.texts import package
from reimpl_helpers.texts.planted_bugs import Bug, read_bugs

SUSPECTS_KEPT = 32  # lists of known mistakes with their answers, the longest unused dropped


def tracks() -> list[str]:
    """Name the tracks there are: the folders whose notebooks lead as far as training."""
    return sorted(path.parent.name for path in NOTEBOOKS.glob("*/05_training_test.ipynb"))


def refuse_no_track(*names: str) -> None:
    """Raise a WorkbookError where a name is that of no track."""
    unknown = [name for name in names if name not in tracks()]
    if unknown:
        raise WorkbookError(
            f"there is no track `{', '.join(unknown)}`. The tracks are: {', '.join(tracks())}."
        )


def load_file(path: Path):
    """Import one file of a track by its path."""
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Track:
    """One model as its folder holds it, at one step."""

    name: str
    step: int = 0

    @classmethod
    def at_end(cls, name: str) -> "Track":
        """Open a track at its last step, where all of it has been asked for."""
        return cls(name, max(piece.step for piece in cls(name).listed))

    @property
    def home(self) -> Path:
        return NOTEBOOKS / self.name

    @property
    def solution(self) -> Path:
        return self.home / "solution"

    @property
    def original(self) -> Path:
        return self.home / "original.py"

    @property
    def about(self) -> str:
        """Say in a line what the model is, as its original does."""
        return ast.get_docstring(ast.parse(self.original.read_bytes())).splitlines()[0]

    @cached_property
    def recording(self):
        return read_recording(self.home / "recording.safetensors")

    @cached_property
    def listed(self) -> list[Piece]:
        """List the pieces of the track, those that are vocabulary included."""
        return load_file(self.home / "pieces.py").PIECES

    def cases(self, piece) -> list[Case]:
        """List what a piece is asked: its own cases, other inputs, its defaults.

        A port is asked for its gradients too, a test for nothing.
        """
        if piece.own_cases is None:
            return []
        given = self.given(piece)
        right = self.in_numpy(piece) if piece.port else given
        cases = with_structure(list(piece.own_cases(self.recording)), right)
        cases = with_defaults(cases, given)
        return with_gradients(cases, right) if piece.port else cases

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
    def bugs(self) -> list[Bug]:
        """List the planted bugs of the track, and after them those of its vocabulary.

        Raises: WorkbookError when a planted_bugs.toml cannot be read, or holds something else.
        """
        theirs = [
            bug
            for home in {piece.from_track for piece in self.vocabulary.values()} - {self.name}
            for bug in read_bugs(NOTEBOOKS / home / "planted_bugs.toml")
            if bug.piece in self.vocabulary
        ]
        return read_bugs(self.home / "planted_bugs.toml") + theirs

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

    def bug(self, name: str) -> Bug:
        for bug in self.bugs:
            if bug.name == name:
                return bug
        names = ", ".join(bug.name for bug in self.bugs)
        raise WorkbookError(f"no planted bug is called `{name}`. There are: {names}.")

    def has_port(self, name) -> bool:
        """Tell whether the pair writes a piece twice: in NumPy, then in JAX."""
        return any(piece.port and piece.name == name for piece in self.pieces)

    def home_of(self, piece) -> "Track":
        """Open the track in which pairs write a piece, at this step: this one, or another."""
        if piece.from_track in ("", self.name):
            return self
        return Track(piece.from_track, self.step)

    def given_texts(self, in_jax) -> dict[str, str]:
        """Return the workbook's own package, as it stands before or after the port."""
        return dict(self._given_in_jax if in_jax else self._given_in_numpy)

    @cached_property
    def _given_in_jax(self):
        """Read the solution; a module in which there is vocabulary alone lies in its home."""
        texts = package.read_texts(self.solution)
        for piece in self.vocabulary.values():
            if piece.module not in texts:
                texts |= package.read_texts(self.home_of(piece).solution, [piece.module])
        return {module: texts[module] for module in package.MODULES if module in texts}

    @cached_property
    def _given_in_numpy(self):
        texts = self._given_in_jax
        for piece in self.listed:
            home = self.home_of(piece)
            if piece.port or (home is not self and home.has_port(piece.name)):
                early = package.load_pieces(home.solution, "before_port")
                texts = self.with_piece(texts, getattr(early, piece.name))
        return texts

    def given(self, piece: Piece):
        """Return the workbook's own version of a piece."""
        if piece.module is None:
            return getattr(package.load_pieces(self.solution, "before_port"), piece.name)
        texts = self.given_texts(piece.port or self.in_jax)
        return getattr(package.load_pieces(self.solution, piece.module, texts), piece.name)

    def planted(self, bug, in_jax) -> dict[str, str]:
        """Make a mistake in the workbook's package; return the module that it is in.

        Raises: ValueError when the edit does not apply.
        """
        module = self.modules.get(bug.piece, "before_port")
        early = (self.solution / "before_port.py").read_text("utf-8")
        text = {"before_port": early, **self.given_texts(in_jax)}[module]
        return {module: bug.plant(text, in_jax)}

    def as_made_by(self, bug, piece) -> FunctionType:
        """Load a piece from the workbook's package with a mistake in it."""
        in_jax, module = piece.port or self.in_jax, piece.module or "before_port"
        wrong = {**self.given_texts(in_jax), **self.planted(bug, in_jax)}
        return getattr(package.load_pieces(self.solution, module, wrong), piece.name)

    def suspects(self, piece, refused: int) -> Iterator[Suspect]:
        """Make the known mistakes that show in a piece, its own first; one only when it is reached.

        They are kept with what they answer, for each case that may be refused.
        """
        texts = self.given_texts(piece.port or self.in_jax)
        reached = package.reached_from(texts, piece.name) | {piece.name}
        bugs = [
            bug
            for bug in sorted(self.bugs, key=lambda bug: bug.piece != piece.name)
            if bug.piece in reached and bug.piece not in self.vocabulary
        ]
        kept = self._suspects_made(piece, refused)
        yield from kept
        for bug in bugs[len(kept) :]:
            kept.append(Suspect(bug, self.as_made_by(bug, piece)))
            yield kept[-1]

    @cached_property
    def _suspects_made(self) -> Callable[[Piece, int], list[Suspect]]:
        """Give the list of those made so far, each time the same; a new one where there is none."""
        return lru_cache(SUSPECTS_KEPT)(lambda piece, refused: [])

    def why_not_in_jax(self, piece, function) -> str:
        """Say why a piece of the model cannot be used in JAX, if this step does, or nothing.

        Those that are written again for JAX are asked as that.
        """
        modules = {other.module for other in self.pieces if other.port and other.step <= self.step}
        models = {other.module for other in self.pieces if other.step == 1} & modules
        if piece.module not in models or self.has_port(piece.name):
            return ""
        return why_not_traced(next(iter(piece.own_cases(self.recording))), function)

    def with_piece(self, texts, function, mark="") -> dict[str, str]:
        """Put one function into the texts of a package; a new module opens with its docstring."""
        name = inspect.unwrap(function).__name__
        module = self.module_of(name)
        if module not in texts:
            docstring = package.docstring_of(self._given_in_jax[module])
            texts = {**texts, module: docstring}
        modules = {**self.modules, name: module}
        return package.with_piece(texts, function, module, modules, mark)
