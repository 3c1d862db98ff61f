"""Compile ahead what pairs ask for in JAX, where all of them find it: `make warm` runs this."""

import tempfile
import time
from pathlib import Path

import nbformat

from reimpl_helpers.authoring.solved import execute, prepare_work
from reimpl_helpers.base.compiling import COMPILATION
from reimpl_helpers.tracks.notebooks import notebooks_of, step_of
from reimpl_helpers.tracks.track import Track, tracks


def warm(name: str) -> None:
    """Run a track's solved notebooks in JAX as a pair's kernel does; keep what JAX compiled.

    Raises: nbclient.exceptions.CellExecutionError when a cell of one fails.
    """
    for path in notebooks_of(name):
        if Track(name, step_of(path)).in_jax:
            solved = path.parent / "solved" / path.name
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
