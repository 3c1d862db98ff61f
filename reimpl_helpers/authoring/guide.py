"""Build what the facilitators' guide says about each piece: where pairs stumble, and what to ask.

It is drawn from the planted bugs and the notebooks, so that it stays true. The half page before it
is written by hand.
"""

import re
from pathlib import Path

import nbformat

from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.base.files import replace_file
from reimpl_helpers.base.places import ROOT
from reimpl_helpers.base.tables import markdown_table
from reimpl_helpers.checks.cases import Piece
from reimpl_helpers.scoring.score import MUTATION, PLANTED
from reimpl_helpers.tracks.notebooks import exercise_of, notebooks_of, step_of
from reimpl_helpers.tracks.track import Track, tracks

GUIDE = ROOT / "docs" / "facilitating"  # a page for each track
BEGIN, END = "<!-- built: {} -->", "<!-- end -->"  # around what is built for one notebook
QUESTIONS = "The check asks", "What they did", "Why people do it"
REFUSALS = "It must refuse, for one", "A way there"


def write_guide() -> list[Path]:
    """Build the guide anew, page by page; what is written by hand stays as it is.

    Raises: WorkbookError when a track has no page, or a page no place for a notebook.
    """
    pages = {GUIDE / f"{name}.md": built_into(page_of(name), name) for name in tracks()}
    for path, text in pages.items():
        replace_file(path, text.encode())
    return list(pages)


def page_of(name: str) -> str:
    """Read the page of a track.

    Raises: WorkbookError when there is none.
    """
    path = GUIDE / f"{name}.md"
    if not path.is_file():
        raise WorkbookError(
            f"{name} has no page for facilitators: {path} is not there. Write one, with half a "
            "page for each notebook, after the pattern of another track's."
        )
    return path.read_text("utf-8")


def built_into(page: str, name: str) -> str:
    """Put what is built for each notebook of a track into the track's page.

    Raises: WorkbookError when the page has no place for a notebook.
    """
    for notebook in notebooks_of(name):
        page = built_between(page, notebook.stem, built_about(notebook))
    return page


def built_between(page: str, what: str, text: str) -> str:
    """Put a text between the two lines of a page that are there for it.

    Raises: WorkbookError when they are not.
    """
    begin = BEGIN.format(what)
    before, begun, rest = page.partition(begin)
    _, ended, after = rest.partition(END)
    if not (begun and ended):
        first = page.strip().partition("\n")[0]
        raise WorkbookError(
            f"the page “{first}” has no place for what is built about {what}. Put two lines where "
            f"it belongs: {begin} and {END}."
        )
    return f"{before}{begin}\n\n{text}\n\n{END}{after}"


def built_about(notebook: Path) -> str:
    """Say how long a notebook takes, and where pairs stumble at each of its pieces."""
    track = Track(notebook.parent.name, step_of(notebook))
    cells = nbformat.read(notebook, as_version=4).cells
    minutes = {exercise_of(cell): cell.metadata["reimpl"]["minutes"] for cell in exercises(cells)}
    parts = [length_and_break(cells[0].source)]
    for piece in track.pieces:
        if piece.step == track.step:
            parts += [f"### {piece.label} · {minutes[piece.name]} minutes", stumbles(track, piece)]
    return "\n\n".join(parts + score_of(notebook))


def exercises(cells) -> list:
    """List the cells that ask for a piece."""
    return [cell for cell in cells if exercise_of(cell)]


def length_of(opening: str) -> int:
    """Read how long a notebook takes, from its first cell.

    Units: minutes.
    """
    return int(re.search(r"^\*(\d+) minutes\.\*", opening, re.MULTILINE)[1])


def length_and_break(opening: str) -> str:
    """Say what the first cell of a notebook says: its minutes, and a good place for a break."""
    pause = re.search(r"A good place for a break: after (\d\.\d+)", opening)
    with_break = f", with a break after section {pause[1]}" if pause else ""
    return f"*{length_of(opening)} minutes{with_break}.*"


def stumbles(track: Track, piece: Piece) -> str:
    """List the known mistakes in a piece; of a test, the mistakes that it is there to refuse."""
    if piece.port:
        return f"The mistakes of {piece.name} before its port, once more."
    if piece.is_test:
        return markdown_table(
            REFUSALS, [(bug.name, bug.hint) for bug in map(track.bug, piece.catches)]
        )
    bugs = [bug for bug in track.bugs if bug.piece == piece.name]
    return markdown_table(QUESTIONS, [(bug.question, bug.name, bug.why) for bug in bugs])


def score_of(notebook: Path) -> list[str]:
    """Say what the workbook's own tests score, where a notebook asks for a score."""
    solved = nbformat.read(notebook.parent / "solved" / notebook.name, as_version=4)
    outputs = [output for cell in solved.cells for output in cell.get("outputs", ())]
    kept = [output.get("metadata", {}).get("text/html", {}) for output in outputs]
    return [
        "The workbook's own answers to these exercises catch "
        "{} of {} planted bugs and {} of {} mutations.".format(*counts[PLANTED], *counts[MUTATION])
        for counts in (about.get("counts", {}) for about in kept)
        if {PLANTED, MUTATION} <= counts.keys()
    ]
