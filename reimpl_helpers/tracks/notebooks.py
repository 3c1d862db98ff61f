"""Read what the notebooks of a track ask for: their pieces, and the minutes that they take."""

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from reimpl_helpers.base.places import NOTEBOOKS
from reimpl_helpers.checks.cases import Piece
from reimpl_helpers.texts.package import names_in, parse
from reimpl_helpers.tracks.track import Track, refuse_no_track


def notebooks_of(name: str) -> list[Path]:
    """List the notebooks that a pair works through in a track."""
    return sorted((NOTEBOOKS / name).glob("0*.ipynb"))


def step_of(path: Path) -> int:
    """Read the step off a notebook's name: 3 for 03_params.ipynb."""
    return int(path.name[:2])


def is_solved(path: Path) -> bool:
    """Tell a solved notebook from one that a pair works through."""
    return path.parent.name == "solved"


def cells_of(path: Path) -> list[dict]:
    """Read the cells of a notebook, each with its source as one text."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return [cell | {"source": "".join(cell["source"])} for cell in cells]


def exercise_of(cell: dict) -> str | None:
    """Name the piece that a cell asks for, or None."""
    return cell["metadata"].get("reimpl", {}).get("exercise")


def example_of(cell: dict) -> str | None:
    """Name the test or the mistake of the pair's own that a cell starts them on, or None."""
    return cell["metadata"].get("reimpl", {}).get("example")


# --- the outline of a notebook ------------------------------------------------------------


@dataclass(frozen=True)
class Exercise:
    """One exercise; `is_free` if nothing after it in its notebook stops where it is not solved."""

    step: int
    name: str
    minutes: int
    is_test: bool
    is_free: bool


@dataclass(frozen=True)
class Heading:
    """What stands under one heading of a notebook."""

    step: int
    title: str
    minutes: int
    exercises: tuple[Exercise, ...]


@dataclass(frozen=True)
class Notebook:
    """What one notebook asks for."""

    step: int
    title: str
    headings: tuple[Heading, ...]

    @property
    def minutes(self) -> int:
        return sum(heading.minutes for heading in self.headings)

    @property
    def exercises(self) -> list[Exercise]:
        return [exercise for heading in self.headings for exercise in heading.exercises]

    def __str__(self):
        return f"{self.step:02} {self.title}"


def outlines_of(name: str) -> list[Notebook]:
    """Read what the notebooks of a track ask for, in order.

    Raises: WorkbookError for an unknown track.
    """
    refuse_no_track(name)
    return [outline_of(path) for path in notebooks_of(name)]


@lru_cache
def outline_of(path: Path) -> Notebook:
    """Read one notebook; the solved one, since a solution shows which pieces it needs."""
    cells = cells_of(path.parent / "solved" / path.name)
    step = step_of(path)
    track = Track(path.parent.name, step)
    headings, under = [], []
    for place, cell in enumerate(cells):
        if found := re.search(r"^## (\S+) · (.*) · \*(\d+) minutes\*$", cell["source"], re.M):
            under = []
            headings.append((f"{found[1]:<5}{found[2]}", int(found[3]), under))
        elif name := exercise_of(cell):
            piece, later = track.piece(name), cells[place + 1 :]
            minutes = cell["metadata"]["reimpl"]["minutes"]
            is_free = not is_needed(piece, later, track.modules)
            under.append(Exercise(step, name, minutes, piece.is_test, is_free))
    title = re.search(r"^# \d+ · (.*)$", cells[0]["source"], re.M)[1]
    return Notebook(step, title, tuple(Heading(step, t, m, tuple(e)) for t, m, e in headings))


def is_needed(piece: Piece, later, modules: dict[str, str]) -> bool:
    """Tell whether an exercise in one of the cells after a piece fails where the piece is missing.

    It does if it calls the piece, and no `track.use` has handed out the workbook's before. And if
    the piece is a port, it does if it calls anything of the same module: what calls a model that
    is still in NumPy is not saved.
    """
    is_handed_out = False
    for cell in later:
        if exercise_of(cell):
            names = names_in([parse(cell["source"])])
            if piece.name in names and not is_handed_out:
                return True
            if piece.port and any(modules.get(name) == piece.module for name in names):
                return True
        elif cell["cell_type"] == "code" and "track.use(" in cell["source"]:
            is_handed_out = is_handed_out or f'"{piece.name}"' in cell["source"]
    return False
