"""Say what is wrong with a track, or missing in it: what `reimpl dev check` tells an author.

Files, texts and notebooks are read; then every piece of the solution is judged, and every planted
bug of it, as a pair's would be.
"""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat

from reimpl_helpers.authoring.catalogue import about_track
from reimpl_helpers.authoring.guide import built_into, page_of
from reimpl_helpers.authoring.solved import solved
from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.base.places import NOTEBOOKS
from reimpl_helpers.checks.cases import Piece
from reimpl_helpers.checks.verdict import first_refusal, judge
from reimpl_helpers.originals.recording import RecordingError
from reimpl_helpers.texts import package
from reimpl_helpers.tracks.notebooks import example_of, exercise_of, notebooks_of, step_of
from reimpl_helpers.tracks.track import Track, load_file

FILES = {  # of a track, and what is in each
    "about.toml": "what the lists of models say of it",
    "original.py": "the PyTorch module that a pair reads",
    "record.py": "how its recording is made",
    "recording.safetensors": "what the original computes; `reimpl record {name}` makes it",
    "pieces.py": "what the pair writes, and the questions each piece is asked",
    "planted_bugs.toml": "the mistakes people make",
    "variants.py": "other right ways to write each piece",
    "solution/model.py": "what a pair ends up with",
    "solution/before_port.py": "the pieces that are ported, as they are before",
    "01_forward_pass.ipynb": "the first notebook",
    "02_shapes.ipynb": "the second notebook",
    "03_params.ipynb": "the third notebook",
    "04_unit_tests.ipynb": "the fourth notebook",
    "05_training_test.ipynb": "the fifth notebook",
}
FEWEST_BUGS, FEWEST_VARIANTS = 5, 2  # of a piece


def faults_of(name: str) -> Iterator[str]:
    """Say what is wrong with a track: first what can be read off its files, then what is judged.

    Raises: WorkbookError when there is no such folder.
    """
    home = NOTEBOOKS / name
    if not home.is_dir():
        raise WorkbookError(f"there is no folder {home}. Make one, and begin with its original.py.")
    missing = [file for file in FILES if not (home / file).exists()]
    for file in missing:
        yield f"{file} is missing: {FILES[file].format(name=name)}."
    if missing:
        return
    found = list(faults_read(name))
    yield from found
    if not found:
        track = Track(name)
        yield from faults_judged(track, track.pieces)


# --- what can be read off its files -------------------------------------------------------


def faults_read(name: str) -> Iterator[str]:
    """Say what is wrong with the files of a track, where nothing has to be computed."""
    try:
        about_track(name)
        track = Track(name)
        track.recording, track.bugs, track.given_texts(in_jax=False)  # noqa: B018  read once
        yield from piece_faults(track)
        yield from bug_faults(track)
        variants = variants_of(track)
    except (WorkbookError, RecordingError) as error:
        yield str(error)
        return
    except Exception as error:  # of the author's own code
        yield f"a file of it does not load: {type(error).__name__}: {error} Mend it first."
        return
    yield from variant_faults(track, variants)
    found = [
        f"{stored.relative_to(track.home)}: {fault}"
        for path in notebooks_of(name)
        for stored in (path, path.parent / "solved" / path.name)
        for fault in notebook_faults(stored)
    ]
    yield from found or page_faults(name)


def page_faults(name: str) -> Iterator[str]:
    """Say what is wrong with a track's page for facilitators, which quotes the solved notebooks."""
    try:
        if built_into(page_of(name), name) != page_of(name):
            yield "its page for facilitators is not up to date. Run `reimpl guide`."
    except WorkbookError as error:
        yield str(error)


def piece_faults(track: Track) -> Iterator[str]:
    """Say which pieces the solution lacks, and which are in JAX before their port."""
    before, after = track.given_texts(in_jax=False), track.given_texts(in_jax=True)
    for piece in track.pieces:
        if not piece.module:
            continue
        if piece.module == "card" and not (track.home / "measured.py").exists():
            yield f"measured.py is missing: what the card that {piece.name} is on says in numbers."
        if not package.find_definition(after.get(piece.module, ""), piece.name):
            yield f"{piece.label} is not in solution/{piece.module}.py. Write it there."
        elif piece.port and not package.is_in_numpy(
            before[piece.module], piece.name, track.modules
        ):
            yield f"{piece.name} is not in NumPy in solution/before_port.py. Write it there."


def bug_faults(track: Track) -> Iterator[str]:
    """Say which planted bugs do not apply or do not read as they should, and where some lack."""
    ported = {piece.name for piece in track.pieces if piece.port}
    names = [bug.name for bug in track.bugs]
    for bug in track.bugs:
        at = f"planted bug “{bug.name}” of {bug.piece}"
        if names.count(bug.name) > 1:
            yield f"{at}: another one has that name. Give each its own."
        for text, ending in ((bug.question, "?"), (bug.hint, "."), (bug.why, ".")):
            if not text.endswith(ending):
                yield f"{at}: “{text}” does not end with “{ending}”."
        if bug.new.strip() and bug.new.strip() in bug.question or bug.old.strip() in bug.question:
            yield f"{at}: its question gives the mend away, or the mistake. Ask for it instead."
        for in_jax in {True, bug.piece not in ported}:
            try:
                ((module, text),) = track.planted(bug, in_jax).items()
                if text == track.given_texts(in_jax).get(module):
                    yield f"{at}: its edit changes nothing."
            except ValueError as error:
                yield str(error)
    for piece in track.pieces:
        count = sum(bug.piece == piece.name for bug in track.bugs)
        if not piece.is_test and count < FEWEST_BUGS:
            yield f"{piece.name} has {count} planted bugs, expected {FEWEST_BUGS} or more."
        unknown = [caught for caught in piece.catches if caught not in names]
        if unknown:
            yield f"{piece.name} is to catch {', '.join(unknown)}: there is no such planted bug."


def variants_of(track: Track) -> dict[str, Callable]:
    """Load the other right ways to write its pieces, each named piece__way."""
    with package.imported_from(track.solution, track.given_texts(in_jax=True)):
        module = load_file(track.home / "variants.py")
    return {key: value for key, value in vars(module).items() if "__" in key.strip("_")}


def ways_to_write(track: Track, piece: Piece, variants: dict[str, Callable]) -> dict:
    """Pick the variants of a piece; where it has a port, those in JAX are the port's."""
    has_port = track.has_port(piece.name)
    return {
        way: variant
        for key, variant in variants.items()
        for name, _, way in [key.partition("__")]
        if name == piece.name and (not has_port or piece.port == way.startswith("jax"))
    }


def variant_faults(track: Track, variants: dict[str, Callable]) -> Iterator[str]:
    """Say which pieces have too few variants, and which variants are of no piece."""
    for piece in track.pieces:
        ways = ways_to_write(track, piece, variants)
        if len(ways) < FEWEST_VARIANTS:
            yield f"{piece.label} has {len(ways)} variants, expected {FEWEST_VARIANTS} or more."
    names = {piece.name for piece in track.pieces}
    for key in variants:
        if key.split("__")[0] not in names:
            yield f"variants.py: {key} is a variant of no piece. Name it piece__way."


# --- notebooks ----------------------------------------------------------------------------


def notebook_faults(path: Path) -> Iterator[str]:
    """Say what is wrong with a notebook of a track, or with the solved one of that name."""
    is_built = path.parent.name == "solved"
    try:
        notebook = read(path)
    except FileNotFoundError:
        yield "it is missing. Run `make solved`."
        return
    except ValueError as error:  # no JSON, or no notebook
        yield f"it is no notebook: {error} Get it back with `git checkout`."
        return
    yield from execution_faults(notebook)
    yield from verdict_faults(notebook, is_built)
    if is_built:
        built = solved(path.parent.parent / path.name)
        stored = [(cell.id, cell.source) for cell in notebook.cells]
        if stored != [(cell.id, cell.source) for cell in built.cells]:
            yield "not built from the notebook and the solution. Run `make solved`."
        return
    yield from reading_faults(notebook)
    pieces = [p for p in Track(path.parent.name).pieces if p.step == step_of(path)]
    yield from exercise_faults(notebook, pieces)
    yield from minute_faults(notebook)


def minute_faults(notebook) -> Iterator[str]:
    """Say where the minutes of the title, the headings and the exercises do not add up."""
    cells = notebook.cells
    titles = re.findall(r"^\*(\d+) minutes\.\*", cells[0].source, re.M)
    if len(titles) != 1:
        yield "its first cell does not say how long it takes: a line such as *30 minutes.*"
        return
    headings = re.findall(r"^## .* · \*(\d+) minutes\*$", "\n".join(c.source for c in cells), re.M)
    headed = sum(map(int, headings))
    exercises = sum(c.metadata["reimpl"].get("minutes") or 0 for c in cells if exercise_of(c))
    if not headed == int(titles[0]) >= exercises:
        yield (
            f"its title says {titles[0]} minutes, its headings {headed} and its exercises "
            f"{exercises}: the first two are to be one, and the exercises no more."
        )


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text_of(cell):
    """Return everything that a cell printed or showed, as text."""
    shown = [output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return "\n".join([output.get("text", "") for output in cell.outputs] + shown)


def shows_picture(cell):
    """Tell whether a cell has to show a picture: it ends on one, or draws one live."""
    last = ast.parse(cell.source).body[-1]
    return "LiveLossCurve(" in cell.source or (
        isinstance(last, ast.Expr) and ast.unparse(last).startswith("pictures.")
    )


def execution_faults(notebook):
    """List what is wrong with the outputs that a notebook was stored with."""
    is_trained = False
    for number, cell in enumerate(code_cells(notebook), 1):
        if cell.execution_count != number:
            yield f"{cell.id}: stored as run number {cell.execution_count}, expected {number}"
        has_picture = any("image/png" in output.get("data", {}) for output in cell.outputs)
        if shows_picture(cell) and not has_picture:
            yield f"{cell.id}: its picture is missing"
        if any(output.output_type == "error" for output in cell.outputs):
            yield f"{cell.id}: stored with an error"
        if any(output.get("name") == "stderr" for output in cell.outputs):
            yield f"{cell.id}: stored with something on stderr"
        tags = set(cell.metadata.get("tags", []))
        if tags - {"check", "nbval-ignore-output"}:
            yield f"{cell.id}: a tag that switches a test off: {tags}"
        is_optional = "if is_installed:" in cell.source
        is_trained |= "LiveLossCurve(" in cell.source  # and comes out otherwise on other processors
        if "nbval-ignore-output" in tags and not is_optional | is_trained:
            yield f"{cell.id}: output ignored, and nothing in it is trained, or optional"
        if is_optional and "Left out here" in str(cell.outputs):
            yield f"{cell.id}: stored without the published weights: run `make solved`"


def verdict_faults(notebook, solved):
    """List checks whose stored verdict is not what the notebook may claim."""
    for cell in code_cells(notebook):
        if not re.match(r"check\(\w+\)$", cell.source):
            continue
        verdict = text_of(cell)
        if solved and not re.search(
            r"· (right on every probe|passes on your model, refuses)", verdict
        ):
            yield f"{cell.id}: not right: {verdict}"
        if not solved and "· not written yet" not in verdict:
            yield f"{cell.id}: claims something: {verdict}"


def reading_faults(notebook):
    """List where a notebook does not read as the design wants it."""
    code_in_a_row = 0
    for cell in notebook.cells:
        code_in_a_row = code_in_a_row + 1 if cell.cell_type == "code" else 0
        if code_in_a_row > 2:
            yield f"{cell.id}: more than two code cells without a word between them"
        if cell.cell_type == "code" and len(cell.source.splitlines()) > 25:
            yield f"{cell.id}: more than 25 lines of code"
        words = set(re.findall(r"[a-z]+", cell.source.lower()))
        if cell.cell_type == "markdown" and words & {"simply", "just", "obviously", "trivial"}:
            yield f"{cell.id}: filler"
        if re.match(r"## \d", cell.source):
            lines = cell.source.splitlines()
            roles = lines[2].startswith("> **Driver:**"), lines[4].startswith("> **Navigator")
            if not all(roles):
                yield f"{cell.id}: a heading without driver and navigator"


def exercise_faults(notebook, pieces):
    """List where the exercises are not those of the track, one function a cell, then its check."""
    cells = code_cells(notebook)
    names = [name for cell in cells if (name := exercise_of(cell))]
    if names != [piece.name for piece in pieces]:
        yield f"exercises {names}, pieces {[piece.name for piece in pieces]}"
    for cell, after in zip(cells, cells[1:], strict=False):
        name = exercise_of(cell) or example_of(cell)
        if not name:
            continue
        (function,) = ast.parse(cell.source).body
        body = [ast.unparse(node) for node in function.body]
        if function.name != name or not ast.get_docstring(function):
            yield f"{cell.id}: not the function {name} with a docstring"
        if body[1] != "raise NotImplementedError":
            yield f"{cell.id}: the body does not begin with raise NotImplementedError"
        minutes = cell.metadata["reimpl"].get("minutes")
        if exercise_of(cell) and not isinstance(minutes, int):
            yield f"{cell.id}: how many minutes does it take?"
        if after.source not in (f"check({name})", f"track.add_mistake({name})"):
            yield f"{cell.id}: the next code cell is not its check"


# --- what is judged -----------------------------------------------------------------------


def faults_judged(track: Track, pieces: list[Piece]) -> Iterator[str]:
    """Say which of these pieces of the solution are refused, and which planted bugs are not."""
    for piece in pieces:
        if piece.is_test:
            continue
        here = Track(track.name, piece.step)
        cases = here.cases(piece)
        verdict = judge(piece, here.given(piece), cases)
        if not verdict.right:
            yield f"the solution's own {piece.label} is refused: {verdict.headline}"
        for bug in here.bugs:
            if bug.piece != piece.name:
                continue
            if not first_refusal(here.as_made_by(bug, piece), cases):
                yield (
                    f"planted bug “{bug.name}” of {piece.label} is accepted by every case. Add one "
                    "that tells it from the right answer."
                )
