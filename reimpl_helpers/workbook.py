"""Open a track for a pair: their own copy of the notebooks, their package, the checks."""

import filecmp
import importlib.util
import json
import os
import sys
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from IPython import get_ipython

from reimpl_helpers import package
from reimpl_helpers.checks import (
    NOT_WRITTEN,
    WRONG,
    Piece,
    Verdict,
    judge,
    shadowed_names,
    shorten,
    unwrap,
)
from reimpl_helpers.files import add_file
from reimpl_helpers.recording import read_recording
from reimpl_helpers.testing import TestRun, judge_test, run_tests

ROOT = Path(__file__).parent.parent
NOTEBOOKS = ROOT / "notebooks"
MARKER = ".track"  # a file in a pair's folder that says which track it is
LAST_STEP = 5
COMPILATION_CACHE = {  # what JAX compiled once, every later kernel finds here
    "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".jax_cache"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
SWAP = "Swap: the navigator drives now."


class WorkbookError(Exception):
    """Say what a call to the workbook got wrong, and what to do."""

    def _render_traceback_(self):
        return [str(self)]


def tracks() -> list[str]:
    """Name the tracks there are: the folders that list pieces."""
    return sorted(path.parent.name for path in NOTEBOOKS.glob("*/pieces.py"))


def work_folder() -> Path:
    """Return the folder of the pair's own copies: work/, or where REIMPL_WORK says."""
    return Path(os.environ.get("REIMPL_WORK", ROOT / "work")).resolve()


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
    def pieces(self) -> list[Piece]:
        return load_file(self.home / "pieces.py").PIECES

    @cached_property
    def bugs(self):
        return load_file(self.home / "planted_bugs.py").BUGS

    @cached_property
    def modules(self) -> dict[str, str]:
        """Say in which module of the package each piece lives."""
        return {piece.name: piece.module for piece in self.pieces if piece.module}

    @property
    def in_jax(self) -> bool:
        """Tell whether this step is written in JAX: the one with ports, and those after."""
        return self.step >= min(piece.step for piece in self.pieces if piece.port)

    def piece(self, name: str) -> Piece:
        """Find a piece by name; where there are several, the one of this step or the last before.

        Raises: WorkbookError when there is none, naming those there are.
        """
        found = [piece for piece in self.pieces if piece.name == name]
        if not found:
            names = ", ".join(dict.fromkeys(piece.name for piece in self.pieces))
            raise WorkbookError(
                f"`{name}` is no piece of this track. Its pieces are: {names}. "
                "Keep the name that the exercise gives."
            )
        return next((piece for piece in reversed(found) if piece.step <= self.step), found[0])

    # --- whose a piece is ---

    def texts(self) -> dict[str, str]:
        """Read the pair's package.

        Raises: PackageError for a file that is no text.
        """
        return package.read_texts(self.folder)

    def is_written(self, name, texts) -> bool:
        """Tell whether the pair's package has a piece, the pair's own or a given one."""
        module = self.modules.get(name)
        text = texts.get(module, "")
        return package.find_definition(text, name, f"{module}.py") is not None

    def is_own(self, name, texts) -> bool:
        """Tell whether the pair's package has this piece, and the pair wrote it."""
        return self.is_written(name, texts) and not package.is_given(
            texts[self.modules[name]], name
        )

    def whose(self, name) -> str:
        """Say whose piece `use` hands out: "ours" or "the workbook's"."""
        texts = self.texts()
        ready = self.is_own(name, texts) and not self.unported(self.modules[name], texts)
        return "ours" if ready else "the workbook's"

    def unported(self, module, texts):
        """Name the pieces of a module that by this step should be in JAX and are not."""
        return [
            piece.name
            for piece in self.pieces
            if piece.port and piece.step <= self.step and piece.module == module
            if self.is_written(piece.name, texts)
            if not package.uses_jax(texts[module], piece.name)
        ]

    def given_texts(self, in_jax) -> dict[str, str]:
        """Return the workbook's own package, as it stands before or after the port."""
        texts = package.read_texts(self.solution)
        if not in_jax:
            early = package.load_pieces(self.solution, "before_port")
            for piece in self.pieces:
                if piece.port:
                    texts = self.with_piece(texts, getattr(early, piece.name))
        return texts

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
                texts = self.with_piece(texts, self.given(piece), given=True)
        return texts

    def with_piece(self, texts, function, given=False) -> dict[str, str]:
        """Put one function into the texts of a package; a new module opens with its docstring."""
        name = unwrap(function).__name__
        module = self.modules[name]
        if module not in texts:
            docstring = package.docstring_of((self.solution / f"{module}.py").read_text("utf-8"))
            texts = {**texts, module: docstring}
        return package.with_piece(texts, function, module, self.modules, given)

    def origin(self, function) -> str:
        """Tell where a function comes from: the "notebook", the pair's "package", "given"."""
        filename = unwrap(function).__code__.co_filename
        for folder, origin in ((self.solution, "given"), (self.folder, "package")):
            if filename.startswith(f"{folder}{os.sep}"):
                return origin
        return "notebook"

    # --- what a notebook calls ---

    def use(self, *names):
        """Hand out pieces to go on with: the pair's own where saved, else the workbook's.

        Raises: WorkbookError for a name that is no piece; PackageError when the pair's file does
        not import.
        """
        pieces = [self.piece(name) for name in names]
        texts = self.texts()
        written = [name for name in names if self.is_own(name, texts)]
        own = [name for name in written if not self.unported(self.modules[name], texts)]
        whose = {
            "yours": own,
            "the workbook's, until yours are saved": [n for n in names if n not in written],
            "the workbook's, until yours are ported": [n for n in written if n not in own],
        }
        for owner, theirs in whose.items():
            if theirs:
                print(f"{owner}: {', '.join(theirs)}")
        found = [
            getattr(package.load_pieces(self.folder, piece.module), piece.name)
            if piece.name in own
            else self.given(piece)
            for piece in pieces
        ]
        return found[0] if len(found) == 1 else found

    def check(self, function) -> Verdict:
        """Judge a piece or a test, and save it to the pair's package when it is right.

        Raises: WorkbookError when it is no piece of this track.
        """
        if not hasattr(unwrap(function), "__code__"):
            raise WorkbookError(
                f"check was handed {shorten(function)}, expected a function. "
                "Run the cell that defines it, then this one again."
            )
        piece = self.piece(unwrap(function).__name__)
        if self.origin(function) == "given":
            return Verdict(
                piece.label,
                NOT_WRITTEN,
                "not written yet: this one is the workbook's. Run the cell with your own.",
            )
        try:
            verdict, texts = self.judge(piece, function)
            if not verdict.right:
                return verdict
            note = self.save(piece, function, texts)
        except package.PackageError as error:
            return Verdict(piece.label, WRONG, f"not saved. {error}")
        way = package.source_of_piece(self.given(piece))
        return replace(verdict, headline=f"{verdict.headline} {note}", another_way=way)

    def run_tests(self) -> TestRun:
        """Run the pair's saved tests with pytest, and show its report.

        Raises: PackageError for a file that is no text.
        """
        texts = self.texts()
        if "test_model" not in texts:
            return TestRun({}, {}, "no tests yet: test_model.py is written by step 4.")
        return run_tests(texts["test_model"], self.folder, texts)

    def judge(self, piece, function):
        """Judge a piece without saving; return the verdict and the package with it put in."""
        if not piece.is_test:
            return judge(piece, function, self.recording), None
        texts = self.with_needs(self.texts(), function)
        return self.judge_test(piece, texts), texts

    def judge_test(self, piece, texts) -> Verdict:
        bugs = [bug for bug in self.bugs if bug.name in piece.catches]
        solution = package.read_texts(self.solution)
        return judge_test(piece, self.completed(texts), self.folder, bugs, solution)

    # --- saving ---

    def save(self, piece, function, texts) -> str:
        """Save a right piece, and what it uses, to the pair's package; say so.

        Raises: PackageError when it cannot be saved; nothing is written then.
        """
        if piece.module is None:
            return SWAP
        if self.origin(function) == "package":
            return f"It is saved in {piece.module}.py."
        before = self.texts()
        if not piece.port and self.keeps_port(piece, function, before):
            return f"{piece.module}.py keeps your JAX version."
        if texts is None:
            texts = self.with_needs(before, function)
            saved = getattr(package.load_pieces(self.folder, piece.module, texts), piece.name)
            verdict = judge(piece, saved, self.recording)
            if not verdict.right:
                raise package.PackageError(
                    f"It is right here, but not on its own in {piece.module}.py: "
                    f"{verdict.headline} Does it use something that only the notebook has?"
                )
        package.write_texts(self.folder, texts, before)
        return f"Saved to {piece.module}.py. {SWAP}"

    def keeps_port(self, piece, function, texts):
        name = piece.name
        ported = self.is_written(name, texts) and package.uses_jax(texts[piece.module], name)
        has_port = any(other.port and other.name == name for other in self.pieces)
        return has_port and ported and not uses_jax_here(function)

    def with_needs(self, texts, function) -> dict[str, str]:
        """Put a function into the texts of a package, the pieces it uses first.

        Raises: PackageError when one of those is not right itself.
        """
        for name, used in package.needs_of(function, self.modules).pieces.items():
            origin = self.origin(used)
            if origin == "given" and not self.is_written(name, texts):
                texts = self.with_piece(texts, used, given=True)
            elif origin == "notebook" and not self.holds(texts, name, used):
                verdict = judge(self.piece(name), used, self.recording)
                if not verdict.right:
                    raise package.PackageError(
                        f"{unwrap(function).__name__} uses {name}, which is not right yet: "
                        f"{verdict} Mend {name} first."
                    )
                texts = self.with_needs(texts, used)
        return self.with_piece(texts, function)

    def holds(self, texts, name, function):
        """Tell whether the package holds this very text of a piece."""
        return package.source_of_piece(function) in texts.get(self.modules[name], "")


def uses_jax_here(function):
    imports = package.needs_of(function, {}).imports.values()
    return any(statement.split()[1].split(".")[0] == "jax" for statement in imports)


# --- opening a notebook -------------------------------------------------------------------


def start(name: str, step: int) -> Track:
    """Open a track at one step, and say where the pair stands.

    Raises: WorkbookError for an unknown track; RecordingError for a damaged recording.
    """
    if name not in tracks():
        raise WorkbookError(f"there is no track `{name}`. The tracks are: {', '.join(tracks())}.")
    track = Track(name, work_folder() / name, step)
    print(f"{name}, step {step}. {where_the_pair_stands(track)}")
    for warning in warnings_about(track):
        print(warning)
    explain_errors(track)
    return track


def where_the_pair_stands(track):
    own = [piece.name for piece in track.pieces if piece.module and piece.step <= track.step]
    texts = track.texts()
    saved = [name for name in dict.fromkeys(own) if track.is_own(name, texts)]
    folder = f"{track.folder.parent.name}/{track.folder.name}"
    if not saved:
        return f"Nothing of yours is saved in {folder} yet."
    return f"Yours, saved in {folder}: {', '.join(saved)}."


def warnings_about(track):
    """Say what in the pair's folder would bite later."""
    for path in sorted(track.folder.glob("*.py")):
        if path.stem in sys.stdlib_module_names:
            yield (
                f"{path.name} in your folder hides Python's own module `{path.stem}` from "
                "everything that runs there. Rename it."
            )
    ours, theirs = track.folder / "recording.safetensors", track.home / "recording.safetensors"
    if ours.exists() and not filecmp.cmp(ours, theirs, shallow=False):
        yield (
            "recording.safetensors in your folder is not the workbook's: damaged or changed. "
            "Move it away and run `reimpl work`, which copies it again. Checks use the workbook's."
        )


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
    shadowed = shadowed_names(namespace)
    if isinstance(error, NameError) and error.name:
        return (
            f"`{error.name}` does not exist in this kernel yet: a cell above was not run. "
            "Run › Run All Above Selected Cell, then this cell again."
        )
    if not callable(namespace.get("check", track.check)):
        return "`check` is no longer the workbook's. Run the first code cell again."
    return shadowed


# --- a pair's own copy --------------------------------------------------------------------


def copy_work() -> list[Path]:
    """Copy the notebooks, originals and recordings to the pair's folder, where not there yet.

    Outputs are left out of the copies: a shape on the page spoils the prediction.

    Raises: WorkbookError when the folder cannot be written.
    """
    work, copied = work_folder(), []
    sources = [NOTEBOOKS / "00_start_here.ipynb"]
    for name in tracks():
        home = NOTEBOOKS / name
        sources += [*sorted(home.glob("*.ipynb")), home / "original.py"]
        sources += [home / "recording.safetensors"]
    try:
        for source in sources:
            target = work / source.relative_to(NOTEBOOKS)
            content = source.read_bytes()
            content = without_outputs(content) if source.suffix == ".ipynb" else content
            if add_file(target, content):
                copied.append(target)
        for name in tracks():
            add_file(work / name / MARKER, f"{name}\n".encode())
    except OSError as error:
        raise WorkbookError(
            f"{work} cannot be written ({error.strerror}). Make room or allow writing there, or "
            "set REIMPL_WORK to another folder. What was there is untouched."
        ) from error
    return copied


def without_outputs(content: bytes) -> bytes:
    """Empty the outputs of a notebook."""
    notebook = json.loads(content)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    return (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode()


def track_of(folder: Path) -> str:
    """Name the track of a pair's folder: by the marker in it, else by the folder's name.

    Raises: WorkbookError when neither names a track.
    """
    marker = folder / MARKER
    name = marker.read_text("utf-8").strip() if marker.is_file() else folder.resolve().name
    if name not in tracks():
        raise WorkbookError(
            f"{folder} belongs to no track: there is no `{name}`. The tracks are: "
            f"{', '.join(tracks())}. Write the track's name into {folder.name}/{MARKER}."
        )
    return name


# --- judging a whole package --------------------------------------------------------------


def judge_package(folder: Path, report) -> None:
    """Judge every piece of a pair's package, and report each verdict as it is found.

    Raises: WorkbookError when the folder belongs to no track.
    """
    track = Track(track_of(folder), folder.resolve(), step=LAST_STEP)
    try:
        texts = track.texts()
    except package.PackageError as error:
        texts, unreadable = {}, str(error)
        report(Verdict(folder.name, WRONG, unreadable))
    for piece in track.pieces:
        if piece.module:
            report(judge_saved(track, piece, texts))


def judge_saved(track, piece, texts) -> Verdict:
    """Judge one piece as it stands in the pair's package."""
    at = f"(step {piece.step})"
    try:
        if not track.is_written(piece.name, texts):
            return Verdict(piece.label, NOT_WRITTEN, f"not written yet {at}")
        if package.is_given(texts[piece.module], piece.name):
            return Verdict(piece.label, NOT_WRITTEN, f"the workbook's, yours not written yet {at}")
        if piece.port and not package.uses_jax(texts[piece.module], piece.name):
            return Verdict(piece.label, NOT_WRITTEN, f"not written yet: still in NumPy {at}")
        if piece.is_test:
            return track.judge_test(piece, texts)
        function = getattr(package.load_pieces(track.folder, piece.module), piece.name)
        return judge(piece, function, track.recording)
    except package.PackageError as error:
        return Verdict(piece.label, WRONG, str(error))
