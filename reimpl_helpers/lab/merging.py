"""Merge notebooks cell by cell, and mend damaged ones; nothing that a pair wrote is lost."""

import ast
import json
import re
import warnings
from collections import Counter
from dataclasses import dataclass, field

from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode, from_dict

from reimpl_helpers.tracks.notebooks import example_of, exercise_of

# What became of a cell that the pair should hear about.
CONFLICT = "yours is kept, and the workbook has another text for it now"
DROPPED = "yours is kept, and the workbook has dropped it"
DELETED = "you deleted it, and the workbook has another text for it now"
UNKNOWN = "is not the workbook's, and nothing says what you were given, so it is kept as yours"


class DamagedNotebook(Exception):
    """Say what is wrong with a file that should be a notebook."""


# --- reading and writing ------------------------------------------------------------------


def read_notebook(content: bytes) -> NotebookNode:
    """Read a notebook as it is stored.

    Raises: DamagedNotebook saying what is wrong with it.
    """
    try:
        notebook = json.loads(content)
    except (ValueError, RecursionError) as error:
        if not content.strip():
            raise DamagedNotebook("it is empty") from error
        if b"<<<<<<<" in content:
            raise DamagedNotebook("it holds the marks of an unfinished merge") from error
        raise DamagedNotebook("it is no whole JSON") from error
    if not is_notebook(notebook):
        raise DamagedNotebook("it is no notebook of format 4")
    notebook = from_dict(notebook)
    if not any(source_of(cell).strip() for cell in notebook.cells):
        raise DamagedNotebook("no cell has anything in it")
    return notebook


def is_notebook(notebook) -> bool:
    return (
        isinstance(notebook, dict)
        and notebook.get("nbformat") == 4
        and isinstance(notebook.get("metadata"), dict)
        and isinstance(notebook.get("cells"), list)
        and all(map(is_cell, notebook["cells"]))
    )


def is_cell(cell) -> bool:
    if not isinstance(cell, dict) or cell.get("cell_type") not in ("code", "markdown", "raw"):
        return False
    metadata, lines = cell.get("metadata"), cell.get("source")
    lines = lines if isinstance(lines, list) else [lines]
    return (
        isinstance(metadata, dict)
        and isinstance(metadata.get("reimpl", {}), dict)
        and isinstance(cell.get("id", ""), str)
        and all(isinstance(line, str) for line in lines)
    )


def write_notebook(notebook) -> bytes:
    """Write a notebook as JupyterLab does."""
    text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "backslashreplace")  # half a surrogate pair becomes JSON's \ud800


def without_outputs(content: bytes) -> bytes:
    """Empty the outputs of a notebook.

    Raises: DamagedNotebook saying what is wrong with it.
    """
    notebook = read_notebook(content)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    return write_notebook(notebook)


# --- cells --------------------------------------------------------------------------------


def source_of(cell) -> str:
    return "".join(cell.source)


def type_and_source(cell) -> tuple[str, str]:
    """Return what makes two cells the same to a reader: their type and source."""
    return cell.cell_type, source_of(cell)


def given_of(cell):
    """Return all of a cell that the workbook gives: everything but what running it adds."""
    return type_and_source(cell), cell.metadata, cell.get("attachments", {})


def ids_of(cells) -> set[str]:
    return {cell.get("id") for cell in cells}


def heading_over(cells, cell_id) -> str:
    """Name the heading that a cell stands under, or is."""
    heading = "no heading"
    for cell in cells:
        found = re.search(r"^#+ (.*)", source_of(cell), re.MULTILINE)
        if found and cell.cell_type == "markdown":
            heading = found[1].partition(" · *")[0]  # without its minutes
        if cell.get("id") == cell_id:
            break
    return heading


def insert_after(cells, earlier, cell) -> None:
    """Insert a cell after the last one of those that it follows in the workbook."""
    places = {other.id: place for place, other in enumerate(cells, 1)}
    cells.insert(next((places[e.id] for e in reversed(earlier) if e.id in places), 0), cell)


# --- a newer workbook ---------------------------------------------------------------------


@dataclass
class Merge:
    """Hold the cells of a merged notebook, and what became of which."""

    cells: list = field(default_factory=list)
    counts: Counter = field(default_factory=Counter)  # "renewed", "new", "gone"
    notes: list[tuple[str, str, str]] = field(default_factory=list)  # what, cell id, heading


def merge_notebooks(base, ours, new) -> Merge:
    """Bring a newer notebook of the workbook into the pair's; `base` is what they were given.

    Without a base (None), a cell that equals the new one is the workbook's, any other the pair's.

    Raises: DamagedNotebook when cells of the pair's stand twice, or have no id.
    """
    check_ids(ours.cells)
    given = {cell.id: cell for cell in base.cells} if base else {}
    newer, merge = {cell.id: cell for cell in new.cells}, Merge()
    for cell in ours.cells:
        old, fresh = given.get(cell.id), newer.get(cell.id)
        is_theirs = not old or type_and_source(cell) != type_and_source(old)
        if fresh:
            cell = merge_cell(merge, cell, old, fresh, ours.cells, has_base=bool(base))
        elif not is_theirs:
            merge.counts["gone"] += 1
            continue
        elif old:
            merge.notes.append((DROPPED, cell.id, heading_over(ours.cells, cell.id)))
        merge.cells.append(cell)
    for place, cell in enumerate(new.cells):
        if cell.id in ids_of(ours.cells):
            continue
        if cell.id not in given:
            merge.counts["new"] += 1
            insert_after(merge.cells, new.cells[:place], cell)
        elif type_and_source(cell) != type_and_source(given[cell.id]):
            merge.notes.append((DELETED, cell.id, heading_over(new.cells, cell.id)))
    if base and [*map(id_and_text, ours.cells)] == [*map(id_and_text, base.cells)]:
        order = {cell.id: place for place, cell in enumerate(new.cells)}
        merge.cells.sort(key=lambda cell: order[cell.id])  # a notebook that nobody touched
    return merge


def check_ids(cells) -> None:
    ids = [cell.get("id") for cell in cells]
    if None in ids:
        raise DamagedNotebook("some of its cells have no id")
    twice = [name for name, count in Counter(ids).items() if count > 1]
    if twice:
        raise DamagedNotebook(f"it has cells twice: {', '.join(twice)}")


def id_and_text(cell):
    return cell.id, type_and_source(cell)


def merge_cell(merge, cell, old, fresh, ours, has_base):
    """Return the cell to go on with where both the pair and the workbook have one."""
    if type_and_source(cell) == type_and_source(old or fresh):
        if given_of(old or cell) != given_of(fresh) != given_of(cell):
            merge.counts["renewed"] += 1
            return renewed(cell, fresh)
    elif type_and_source(cell) != type_and_source(fresh):
        if not has_base or not old or type_and_source(old) != type_and_source(fresh):
            what = CONFLICT if has_base else UNKNOWN
            merge.notes.append((what, cell.id, heading_over(ours, cell.id)))
    return cell


def renewed(cell, fresh):
    """Give a cell what the workbook gives now; what another text printed does not stay."""
    if type_and_source(cell) != type_and_source(fresh):
        return fresh
    ran = {name: cell[name] for name in ("outputs", "execution_count") if name in cell}
    return from_dict({**fresh, **ran})


# --- a damaged notebook -------------------------------------------------------------------


def piece_of(cell) -> str | None:
    """Name the piece, or the test or mistake of the pair's own, that a cell is for."""
    return exercise_of(cell) or example_of(cell)


def asked_for(workbook) -> dict[str, str]:
    """Map the id of each exercise cell of a notebook, and of its check, to the piece's name."""
    asked, last = {}, None
    for cell in workbook.cells:
        name = piece_of(cell)
        if name:
            asked[cell.id] = last = name
        elif last and re.fullmatch(rf"[\w.]+\({last}\)", source_of(cell).strip()):
            asked[cell.id], last = f"the check of {last}", None
    return asked


@dataclass
class Mend:
    """Hold the cells of a mended notebook, and what was done."""

    cells: list
    put_back: list[str] = field(default_factory=list)  # names of pieces, and "the check of ..."


def solved_notebook(workbook, saved) -> Mend:
    """Build a notebook from the workbook's, with the pair's pieces; `saved` is by cell id."""
    mend = Mend([])
    for cell in workbook.cells:
        if cell.id in saved:
            mend.put_back.append(piece_of(cell))
        mend.cells.append(with_text(cell, saved.get(cell.id)))
    return mend


def mend_notebook(ours, workbook, saved) -> Mend:
    """Put back into the pair's notebook the pieces and checks that it lost.

    `saved` are texts of pieces by cell id. A piece is there under another id too: a cell that was
    cut and pasted has one.
    """
    asked, mend = asked_for(workbook), Mend([])
    exercises = [cell for cell in workbook.cells if piece_of(cell)]
    known = {key: cell for cell in exercises for key in (cell.id, piece_of(cell))}
    for cell in ours.cells:
        given = known.get(cell.id) or known.get(piece_of(cell))
        text = given and refilled(cell, given, saved.get(given.id))
        if text is not None:
            mend.put_back.append(piece_of(given))
            cell = with_text(given | {"id": cell.id}, text)
        mend.cells.append(cell)
    for place, cell in enumerate(workbook.cells):
        if cell.id in asked and not any(stands_for(other, cell) for other in mend.cells):
            mend.put_back.append(asked[cell.id])
            insert_after(mend.cells, workbook.cells[:place], with_text(cell, saved.get(cell.id)))
    return mend


def with_text(cell, source):
    """Return a cell of the workbook with the pair's text in it, if there is one."""
    return cell if source is None else from_dict({**cell, "source": source.splitlines(True)})


def stands_for(cell, workbooks) -> bool:
    name = piece_of(workbooks)
    return type_and_source(cell) == type_and_source(workbooks) or (
        cell.id == workbooks.id or (name is not None and piece_of(cell) == name)
    )


def refilled(cell, given, saved) -> str | None:
    """Return the text that an exercise cell should have; None where it stays as it is."""
    source = source_of(cell)
    if not source.strip():
        return saved or source_of(given)
    if saved is None or source.rstrip() == saved:
        return None
    is_lost = source == source_of(given) or is_broken(cell)
    return saved if is_lost else None


def is_broken(cell) -> bool:
    """Tell whether a cell holds the marks of a merge, or no Python that a notebook could run."""
    source = source_of(cell)
    if re.search(r"^<<<<<<< ", source, re.M) and re.search(r"^>>>>>>> ", source, re.M):
        return True
    try:
        with warnings.catch_warnings(action="ignore"):
            ast.parse(TransformerManager().transform_cell(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError, SystemError):
        # SystemError: a null byte, in 3.13.0
        return cell.cell_type == "code"
    return False
