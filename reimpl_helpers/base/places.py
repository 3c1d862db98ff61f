"""Say where things are: the project, and a pair's own folder. Needs nothing to be installed."""

import os
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
NOTEBOOKS = ROOT / "notebooks"


def work_folder() -> Path:
    """Return the folder of the pair's own copies: work/, or where REIMPL_WORK says."""
    return Path(os.environ.get("REIMPL_WORK") or ROOT / "work").resolve()


def is_cell(filename: str) -> bool:
    """Tell whether code stands in a cell of a notebook, by the name of its file."""
    return "ipykernel_" in filename or filename.startswith("<ipython-input")
