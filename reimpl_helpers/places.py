"""Say where things are: the project, and a pair's own folder. Needs nothing to be installed."""

import os
from pathlib import Path

ROOT = Path(__file__).parent.parent
NOTEBOOKS = ROOT / "notebooks"


def work_folder() -> Path:
    """Return the folder of the pair's own copies: work/, or where REIMPL_WORK says."""
    return Path(os.environ.get("REIMPL_WORK") or ROOT / "work").resolve()
