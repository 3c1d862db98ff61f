"""Keep a pair's package: the modules of one track, and what belongs into them with a piece."""

import inspect
import os
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import NamedTuple

from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.base.places import NOTEBOOKS
from reimpl_helpers.texts import package
from reimpl_helpers.tracks.track import Track, tracks

MARKER = ".track"  # a file in a pair's folder that says which track it is


class Found(NamedTuple):
    """A piece to go on with, whether the pair wrote it, and whose it is in words."""

    function: FunctionType
    is_ours: bool
    whose: str


@dataclass(frozen=True)
class Store:
    """A pair's package of one track, in a folder of theirs."""

    track: Track
    folder: Path

    # --- what is in it ---

    def texts(self) -> dict[str, str]:
        """Read the pair's package.

        Raises: PackageError for a file that is no text.
        """
        return package.read_texts(self.folder)

    def is_written(self, name, texts) -> bool:
        """Tell whether the pair's package has a piece, the pair's own or a given one."""
        module = self.track.module_of(name)
        text = texts.get(module, "")
        return package.find_definition(text, name, f"{module}.py") is not None

    def is_own(self, name, texts) -> bool:
        """Tell whether the pair's package has this piece, and the pair wrote it."""
        return self.is_written(name, texts) and not package.is_given(
            texts[self.track.module_of(name)], name
        )

    def unported(self, module, texts) -> list[str]:
        """Name the pieces of a module that by this step should be in JAX and are not."""
        return [
            piece.name
            for piece in self.track.pieces
            if piece.port and piece.step <= self.track.step and piece.module == module
            if self.is_written(piece.name, texts)
            if package.is_in_numpy(texts[module], piece.name, self.track.modules)
        ]

    def step_reached(self, texts) -> int:
        """Tell how far a package is: the last step of which it has a piece of the pair's own."""
        own = [piece for piece in self.track.pieces if self.is_own(piece.name, texts)]
        return max((min(p.step for p in own if p.name == q.name) for q in own), default=1)

    def is_ported(self, texts) -> bool:
        """Tell whether a package is in JAX, as far as this step asks for it."""
        return self.track.in_jax and not any(self.unported(module, texts) for module in texts)

    def completed(self, texts) -> dict[str, str]:
        """Add the workbook's pieces to a package where the pair's are missing, tests left out."""
        for name in self.track.modules:
            piece = self.track.piece(name)
            if not piece.is_test and not self.is_written(name, texts):
                texts = self.track.with_piece(texts, self.track.given(piece), package.GIVEN)
        return texts

    def keeps_port(self, name, function, texts) -> bool:
        """Tell whether the pair's package has a piece in JAX, and this one is for NumPy."""
        module = self.track.module_of(name)
        if not self.track.has_port(name) or not self.is_own(name, texts):
            return False
        if package.is_in_numpy(texts[module], name, self.track.modules):
            return False
        alone = package.with_piece({}, function, module, self.track.modules)
        return package.is_in_numpy(alone[module], name, self.track.modules)

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
        homes = {piece.from_track for piece in self.track.vocabulary.values()} - {self.track.name}
        if filename.parent.name not in homes or filename.parent.parent != self.folder.parent:
            return ""
        if package.is_given(filename.read_text("utf-8"), inspect.unwrap(function).__name__):
            return package.GIVEN
        return f"{package.FROM_TRACK}{filename.parent.name}"

    def changed(self, before, texts) -> list[str]:
        """Name the pair's own pieces in these texts that read otherwise than before, or are new."""
        return [
            name
            for name, module in self.track.modules.items()
            if self.is_own(name, texts)
            and package.definition_of(texts[module], name)
            != package.definition_of(before.get(module, ""), name)
        ]

    # --- what to go on with ---

    def beside(self, track) -> "Store":
        """Open the pair's package of a track: this one, or that of another."""
        return self if track is self.track else Store(track, self.folder.parent / track.name)

    def found(self, piece, texts) -> Found:
        """Find the piece to go on with, the pair's own or the workbook's, and say whose it is.

        Raises: PackageError when the pair's file does not import.
        """
        name, track, home = piece.name, self.track, self.beside(self.track.home_of(piece))
        at_home = texts if home is self else home.texts()
        if name in home.track.vocabulary:  # no pair is asked for it, but it may call theirs
            written = home.is_written(name, at_home)
            function = home.saved(piece) if written else track.given(piece)
            return Found(function, False, "the workbook's")
        here = "" if home is self else f" in {home.track.name}"
        if not home.is_own(name, at_home):
            return Found(track.given(piece), False, f"the workbook's, until yours are saved{here}")
        if home.unported(piece.module, at_home):
            return Found(track.given(piece), False, f"the workbook's, until yours are ported{here}")
        if home is self and track.in_jax and track.why_not_in_jax(piece, self.saved(piece)):
            why = "the workbook's, until yours can be differentiated"
            return Found(track.given(piece), False, why)
        if home is not self and not track.in_jax and home.track.has_port(name):
            if not package.is_in_numpy(at_home[piece.module], name, home.track.modules):
                why = f"the workbook's in NumPy, as yours{here} are in JAX"
                return Found(track.given(piece), False, why)
        return Found(home.saved(piece), True, f"yours, from {home.track.name}" if here else "yours")

    def saved(self, piece) -> FunctionType:
        """Load a piece from the pair's package."""
        return getattr(package.load_pieces(self.folder, piece.module), piece.name)

    # --- what is put into it ---

    def texts_with(self, texts, piece, function) -> dict[str, str]:
        """Put a piece into the texts of a package, with all that it needs there.

        Raises: PackageError when something that it uses is not in JAX yet, or no file carries it.
        """
        texts = self.with_vocabulary_ported(texts)
        return self.add_dependents(self.add_dependencies(texts, function), piece)

    def add_dependencies(self, texts, function) -> dict[str, str]:
        """Put a function into the texts of a package, the pieces it uses first.

        Raises: PackageError when one of those is not in JAX yet.
        """
        user = inspect.unwrap(function).__name__
        for name, used in package.dependencies_of(function, self.track.modules).pieces.items():
            origin, module = self.origin(used), self.track.modules[name]
            if origin == "given" and not self.is_written(name, texts):
                texts = self.with_given(texts, used)
            elif origin == "given" and name not in self.track.vocabulary:
                if unported := [n for n in self.unported(module, texts) if n != user]:
                    raise package.PackageError(
                        f"{user} uses {name}, and {module}.py has {unported[0]} in NumPy still. "
                        f"Port {unported[0]} to JAX first."
                    )
            elif origin == "notebook" and name != user:
                texts = self.with_piece_used(texts, user, name, used)
        return self.track.with_piece(texts, function)

    def add_dependents(self, texts, piece) -> dict[str, str]:
        """Put what the workbook adds around a piece into the texts, as `train` around a step."""
        for name, user in self.track.vocabulary.items():
            if user.from_track == self.track.name and not self.is_written(name, texts):
                text = package.definition_of(self.track.given_texts(in_jax=True)[user.module], name)
                if piece.name not in package.names_used(text):
                    continue  # told by its text alone: JAX takes as long to import as all else
                function = self.track.given(user)
                if piece.name in package.dependencies_of(function, self.track.modules).pieces:
                    texts = self.with_given(texts, function)
        return texts

    def with_vocabulary_ported(self, texts) -> dict[str, str]:
        """Put vocabulary that a package has in NumPy still into JAX, where this step is in JAX."""
        for name, piece in self.track.vocabulary.items():
            if self.track.in_jax and self.is_written(name, texts) and not self.is_own(name, texts):
                if package.is_in_numpy(texts[piece.module], name, self.track.modules):
                    texts = self.with_given(texts, self.found(piece, texts).function)
        return texts

    def with_given(self, texts, function) -> dict[str, str]:
        """Put a piece that the pair did not write here into the texts, those that it uses first."""
        for name, used in package.dependencies_of(function, self.track.modules).pieces.items():
            if not self.is_written(name, texts) and used is not function:
                texts = self.with_given(texts, used)
        return self.track.with_piece(texts, function, self.mark_of(function))

    def with_piece_used(self, texts, user, name, used) -> dict[str, str]:
        """Put a piece that another one uses into the texts of a package."""
        if name in self.track.vocabulary:
            raise package.PackageError(
                f"{user} uses a {name} from the notebook, and this track does not ask for one. Go "
                f"on with track.use({name!r}), or give yours another name."
            )
        written = package.definition_of(texts.get(self.track.modules[name], ""), name)
        if written == package.source_of_piece(used) or self.keeps_port(name, used, texts):
            return texts
        return self.add_dependencies(texts, used)

    def write(self, texts, before) -> None:
        """Write what is not as it was before: all of it, or nothing.

        Raises: PackageError when that cannot be done, or somebody changed a file meanwhile.
        """
        package.write_texts(self.folder, texts, before)


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
