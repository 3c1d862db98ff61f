"""Run notebooks as regression tests do, and build the solved ones."""

import contextlib
import os
import platform
import tempfile
from pathlib import Path

import nbformat

from reimpl_helpers.base.compiling import COMPILATION
from reimpl_helpers.base.files import replace_file
from reimpl_helpers.base.places import NOTEBOOKS
from reimpl_helpers.pair.store import Store
from reimpl_helpers.texts import package
from reimpl_helpers.tracks.notebooks import (
    example_of,
    exercise_of,
    is_solved,
    notebooks_of,
    step_of,
)
from reimpl_helpers.tracks.track import Track, tracks

CELL_TIMEOUT = 60  # seconds
X86 = platform.machine().lower() in ("x86_64", "amd64")
HALF_WRITTEN = "Error reading persistent compilation cache entry"  # JAX compiles it anew, and warns
# What a kernel needs so that two runs print the same: one backend, one instruction set, one order,
# and computations as they are written.
STABLE = {
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "JAX_PLATFORMS": "cpu",
    "PYTHONHASHSEED": "0",
    "PYTHONWARNINGS": f"ignore:{HALF_WRITTEN}",  # of the other worker, at the same moment
    **COMPILATION,
    "XLA_FLAGS": f"{'--xla_cpu_max_isa=AVX2' if X86 else ''} {COMPILATION['XLA_FLAGS']}",
}


def prepare_work(path: Path, work: Path) -> None:
    """Make the pair's folder as a notebook finds it: empty, or, for a solved notebook, with
    every piece of the steps before it.
    """
    if not is_solved(path):
        return
    name = path.parent.parent.name
    write_finished(Store(Track(name, step_of(path) - 1), work / name))


def write_finished(store: Store) -> None:
    """Write the package of a pair that has finished a step, with the workbook's pieces."""
    track, texts = store.track, {}
    for piece in track.listed:
        if piece.module and piece.step <= track.step:
            mark = package.GIVEN if piece.from_track else ""
            texts = track.with_piece(texts, track.given(piece), mark)
    package.write_texts(store.folder, texts, {})


@contextlib.contextmanager
def environment(**variables):
    """Set environment variables inside, for the kernels started there."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def execute(notebook, folder: Path, work: Path, variables=STABLE) -> None:
    """Run every cell of a notebook in a fresh kernel; every reply must be ok.

    `variables` are those of its environment.

    Raises: nbclient.exceptions.CellExecutionError at the first cell whose reply is not ok, and
    DeadKernelError or CellTimeoutError where there is no reply.
    """
    from nbclient import NotebookClient

    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        force_raise_errors=True,
    )
    with environment(**variables, REIMPL_WORK=str(work)):
        client.execute()


def solved(path: Path):
    """Return a notebook with every exercise cell replaced by the workbook's piece, not yet run."""
    notebook = nbformat.read(path, as_version=4)
    track = Track(path.parent.name, step_of(path))
    for cell in notebook.cells:
        name = exercise_of(cell)
        if name:
            cell.source = package.source_of_piece(track.given(track.piece(name))).rstrip()
        elif name := example_of(cell):
            texts = track.given_texts(track.in_jax)
            (cell.source,) = (
                package.definition_of(text, name).rstrip()
                for text in texts.values()
                if name in package.functions_of(text)
            )
    return notebook


def build_solved(name: str) -> list[Path]:
    """Build and run the solved notebooks of a track from its notebooks and its solution."""
    built = []
    for path in notebooks_of(name):
        target = path.parent / "solved" / path.name
        target.parent.mkdir(exist_ok=True)
        run_into(target, solved(path))
        built.append(target)
    return built


def run_into(target: Path, notebook) -> None:
    """Run a notebook where it will stand, and write it with its outputs."""
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch) / "work"
        prepare_work(target, work)
        execute(notebook, target.parent, work)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    replace_file(target, (nbformat.writes(notebook, indent=1) + "\n").encode())


def refresh() -> list[Path]:
    """Run the notebooks that pairs start from, and build every solved one."""
    paths = [NOTEBOOKS / "00_start_here.ipynb"]
    for name in tracks():
        paths += notebooks_of(name)
    for path in paths:
        run_into(path, nbformat.read(path, as_version=4))
    return paths + [path for name in tracks() for path in build_solved(name)]
