"""What nbval cannot see: how notebooks are built, that every cell ran, that pictures stand."""

import copy
import os
import re
import subprocess
import sys

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError, DeadKernelError

from reimpl_helpers.authoring.check_track import (
    code_cells,
    execution_faults,
    read,
    reading_faults,
    verdict_faults,
)
from reimpl_helpers.authoring.solved import STABLE, execute
from reimpl_helpers.base.places import NOTEBOOKS
from reimpl_helpers.tracks.notebooks import notebooks_of
from reimpl_helpers.tracks.track import tracks

START = NOTEBOOKS / "00_start_here.ipynb"
UNSOLVED = [START, *(path for name in tracks() for path in notebooks_of(name))]
SOLVED = [path.parent / "solved" / path.name for name in tracks() for path in notebooks_of(name)]


def name_of(path):
    return str(path.relative_to(NOTEBOOKS))


def test_the_start_page_reads_as_designed():
    assert [*execution_faults(read(START)), *reading_faults(read(START))] == []


def test_links_lead_somewhere():
    for path in UNSOLVED:
        for cell in read(path).cells:
            for target in re.findall(r"\]\(([^)#]+)\)", cell.source):
                assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_the_counts_kept_beside_a_score_are_those_of_its_text():
    """The guide says the first; nbval compares the second alone."""
    counted = 0
    for cell in (cell for path in UNSOLVED + SOLVED for cell in code_cells(read(path))):
        for output in cell.outputs:
            kept = output.get("metadata", {}).get("text/html", {}).get("counts", {})
            for kind, (caught, number) in kept.items():
                assert f"{caught} of {number} {kind}" in output.data["text/plain"]
                counted += 1
    assert counted == 2 * len(tracks())


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
