"""Compile ahead what pairs ask for in step 5, where all of them find it: `make warm` runs this."""

import tempfile
import time
from pathlib import Path

import nbformat

from reimpl_helpers.authoring.solved import execute, prepare_work
from reimpl_helpers.base.compiling import COMPILATION
from reimpl_helpers.base.places import NOTEBOOKS
from reimpl_helpers.tracks.track import LAST_STEP, tracks


def warm(name: str) -> None:
    """Run the last solved notebook of a track as a pair's kernel does, and keep what JAX compiled.

    Raises: nbclient.exceptions.CellExecutionError when a cell of it fails.
    """
    (solved,) = (NOTEBOOKS / name / "solved").glob(f"0{LAST_STEP}_*.ipynb")
    with tempfile.TemporaryDirectory() as work:
        prepare_work(solved, Path(work))
        notebook = nbformat.read(solved, as_version=4)
        execute(notebook, Path(work), Path(work), COMPILATION)


def main() -> None:
    for name in tracks():
        start = time.monotonic()
        print(f"{name}: compiling ...", end=" ", flush=True)
        warm(name)
        print(f"{time.monotonic() - start:.0f} seconds", flush=True)


if __name__ == "__main__":
    main()
