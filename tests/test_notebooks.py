"""What nbval cannot see: how notebooks are built, that every cell ran, that pictures stand."""

import ast
import copy
import os
import re
import subprocess
import sys

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError, DeadKernelError

from reimpl_helpers.authoring.solved import STABLE, execute, solved
from reimpl_helpers.base.places import NOTEBOOKS
from reimpl_helpers.tracks.notebooks import (
    example_of,
    exercise_of,
    is_solved,
    notebooks_of,
    step_of,
)
from reimpl_helpers.tracks.track import Track, tracks

START = NOTEBOOKS / "00_start_here.ipynb"
UNSOLVED = [START, *(path for name in tracks() for path in notebooks_of(name))]
SOLVED = [path.parent / "solved" / path.name for name in tracks() for path in notebooks_of(name)]


def name_of(path):
    return str(path.relative_to(NOTEBOOKS))


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


@pytest.mark.parametrize("path", UNSOLVED + SOLVED, ids=name_of)
def test_every_cell_was_run_and_every_picture_stands(path):
    assert list(execution_faults(read(path))) == []


@pytest.mark.parametrize("path", UNSOLVED + SOLVED, ids=name_of)
def test_verdicts_claim_what_is_true(path):
    assert list(verdict_faults(read(path), is_solved(path))) == []


@pytest.mark.parametrize("path", UNSOLVED, ids=name_of)
def test_notebooks_read_as_designed(path):
    assert list(reading_faults(read(path))) == []


@pytest.mark.parametrize("path", UNSOLVED[1:], ids=name_of)
def test_minutes_add_up(path):
    """The start page, the title and the headings say the same, and exercises fit into it."""
    cells = read(path).cells
    (title,) = re.findall(r"^\*(\d+) minutes\.\*", cells[0].source, re.M)
    headings = re.findall(r"^## .* · \*(\d+) minutes\*$", "\n".join(c.source for c in cells), re.M)
    exercises = [cell.metadata["reimpl"]["minutes"] for cell in cells if exercise_of(cell)]
    assert sum(map(int, headings)) == int(title) >= sum(exercises)
    assert f"[{title} min]({path.parent.name}/{path.name})" in read(START).cells[0].source


@pytest.mark.parametrize("path", UNSOLVED[1:], ids=name_of)
def test_exercises_are_the_pieces_of_the_step(path):
    track = Track(path.parent.name)
    pieces = [piece for piece in track.pieces if piece.step == step_of(path)]
    assert list(exercise_faults(read(path), pieces)) == []


@pytest.mark.parametrize("path", SOLVED, ids=name_of)
def test_solved_notebooks_are_up_to_date(path):
    built = solved(path.parent.parent / path.name)
    stored = [(cell.id, cell.source) for cell in read(path).cells]
    assert stored == [(cell.id, cell.source) for cell in built.cells], "run `make solved`"


def test_links_lead_somewhere():
    for path in UNSOLVED:
        for cell in read(path).cells:
            for target in re.findall(r"\]\(([^)#]+)\)", cell.source):
                assert (path.parent / target).exists(), f"{path.name}: {target}"


# --- the suite refuses a broken notebook -----------------------------------------------------


def small_notebook(*sources):
    """Make a notebook that was run, for breaking."""
    cells = [nbformat.v4.new_code_cell(source, id=f"cell-{n}") for n, source in enumerate(sources)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    return notebook


SILENCED = """
get_ipython().showtraceback = lambda *a, **k: None
get_ipython()._showtraceback = lambda *a: None
"""


def test_a_patched_traceback_is_refused(tmp_path):
    with pytest.raises(CellExecutionError):
        execute(small_notebook(SILENCED, "1 / 0"), tmp_path, tmp_path)


def test_a_dead_kernel_is_refused_at_once(tmp_path):
    with pytest.raises(DeadKernelError):
        execute(small_notebook("import os; os._exit(1)", "1"), tmp_path, tmp_path)


def test_an_exception_that_is_expected_is_refused(tmp_path):
    notebook = small_notebook("raise ValueError")
    notebook.cells[0].metadata["tags"] = ["raises-exception"]
    with pytest.raises(CellExecutionError):
        execute(notebook, tmp_path, tmp_path)
    assert "switches a test off" in "".join(execution_faults(notebook))


def test_what_one_process_compiled_any_other_finds_and_half_of_it_stops_nobody(tmp_path):
    one, half = tmp_path / "one", tmp_path / "half"

    def compiled_in(cache):
        command = [sys.executable, "-c", "import jax; jax.jit(lambda x: x + 1)(2.0)"]
        env = {**os.environ, **STABLE, "JAX_COMPILATION_CACHE_DIR": str(cache)}
        run = subprocess.run(command, env=env, capture_output=True, text=True)
        assert (run.returncode, run.stderr) == (0, "")
        return {path.name for path in cache.iterdir()}

    entries = compiled_in(one)
    half.mkdir()
    for name in entries:
        (half / name).write_bytes((one / name).read_bytes()[:100])
    assert entries and compiled_in(half) == entries


def broken(change):
    notebook = copy.deepcopy(read(SOLVED[0]))
    change(notebook)
    return "\n".join([*execution_faults(notebook), *verdict_faults(notebook, solved=True)])


def test_stripped_outputs_are_refused():
    def strip(notebook):
        for cell in code_cells(notebook):
            cell.outputs, cell.execution_count = [], None

    assert "stored as run number None" in broken(strip)


def test_a_missing_picture_is_refused():
    def lose(notebook):
        for cell in code_cells(notebook):
            cell.outputs = [out for out in cell.outputs if "image/png" not in out.get("data", {})]

    assert "its picture is missing" in broken(lose)


def test_a_verdict_that_is_not_right_is_refused_in_a_solved_notebook():
    def spoil(notebook):
        cell = next(cell for cell in code_cells(notebook) if cell.source == "check(encoder)")
        cell.outputs[0].data["text/plain"] = "encoder · not written yet"

    assert "encoder-check: not right" in broken(spoil)


def test_a_claim_in_an_unsolved_notebook_is_refused():
    assert "claims something" in "\n".join(verdict_faults(read(SOLVED[0]), solved=False))


@pytest.fixture
def run_nbval(tmp_path):
    """Run nbval on one notebook with the settings of this workbook; return its report."""

    def run(notebook):
        (tmp_path / "notebooks").mkdir(exist_ok=True)
        for name in ("conftest.py", "sanitize.cfg"):
            (tmp_path / "notebooks" / name).write_bytes((NOTEBOOKS / name).read_bytes())
        nbformat.write(notebook, tmp_path / "notebooks" / "small.ipynb")
        command = [sys.executable, "-m", "pytest", "-q", "--nbval", "-p", "no:cacheprovider"]
        return subprocess.run(
            [*command, str(tmp_path / "notebooks")], cwd=tmp_path, capture_output=True, text=True,
            timeout=120,
        )  # fmt: skip

    return run


def test_nbval_refuses_another_output_and_an_exception(run_nbval, tmp_path):
    notebook = small_notebook("print(3)", "print(3)", "print(3)", "value = 2", "value")
    execute(notebook, tmp_path, tmp_path)
    assert run_nbval(notebook).returncode == 0
    for cell, source in zip(notebook.cells, ("print(4)", "1 / 0", "pass"), strict=False):
        cell.source = source
    assert "3 failed, 2 passed" in run_nbval(notebook).stdout
