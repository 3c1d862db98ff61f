"""Keep a pair's own copy of the notebooks: make it, bring it up to date, put back what it lost."""

import contextlib
import itertools
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.base.files import add_file, replace_file, replace_files
from reimpl_helpers.base.places import NOTEBOOKS, work_folder
from reimpl_helpers.checks.verdict import RIGHT
from reimpl_helpers.lab.merging import (
    DamagedNotebook,
    check_ids,
    mend_notebook,
    merge_notebooks,
    piece_of,
    read_notebook,
    solved_notebook,
    without_outputs,
    write_notebook,
)
from reimpl_helpers.pair.log import Log
from reimpl_helpers.pair.store import MARKER, Store
from reimpl_helpers.texts import package
from reimpl_helpers.tracks.notebooks import step_of
from reimpl_helpers.tracks.track import Track, tracks

GIVEN = ".workbook"  # in a pair's folder: what they were given, as it was given
BACKUPS = ".backups"  # and what their files were before a command changed them
LAB_LOCK = Path(".lab", "open.lock")  # held by a lab as long as it runs
LOOK = 1.0  # seconds between two looks at whether the file is still there


@dataclass
class Change:
    """One file of a pair's folder: what it was, what it becomes, and what they should hear."""

    name: Path  # relative to the pair's folder, and to the workbook's
    before: bytes | None  # None: there is none
    after: bytes | None = None  # None: it stays as it is
    given: bytes | None = None  # what the pair has been given from now on; None: as before
    said: list[str] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)  # what the notebooks of a track share
    is_left_alone: bool = False  # damaged


# --- copying ------------------------------------------------------------------------------


def given_files() -> list[Path]:
    """Name the files that a pair gets, relative to the workbook's folder and to theirs."""
    files = [NOTEBOOKS / "00_start_here.ipynb"]
    for name in tracks():
        home = NOTEBOOKS / name
        files += [*sorted(home.glob("*.ipynb")), home / "original.py"]
        files += [home / "recording.safetensors"]
    return [path.relative_to(NOTEBOOKS) for path in files]


def given_content(name: Path) -> bytes:
    """Read one file as a pair gets it: a shape on the page would spoil the prediction.

    Raises: WorkbookError when the workbook's own notebook is damaged.
    """
    content = (NOTEBOOKS / name).read_bytes()
    try:
        return without_outputs(content) if name.suffix == ".ipynb" else content
    except DamagedNotebook as error:
        raise WorkbookError(
            f"{place_in_workbook(name)} is damaged: {error}. Get the workbook's anew, with "
            f"`git checkout {place_in_workbook(name)}`. Nothing of yours was changed."
        ) from error


def place_in_workbook(name: Path) -> str:
    return (Path(NOTEBOOKS.name) / name).as_posix()


def copy_work() -> list[Path]:
    """Copy the notebooks, originals and recordings to the pair's folder, where not there yet.

    Raises: WorkbookError when the folder cannot be written.
    """
    work, copied = work_folder(), []
    try:
        for name in given_files():
            if not (work / name).exists():
                content, kept = given_content(name), work / GIVEN / name
                kept.parent.mkdir(parents=True, exist_ok=True)
                replace_file(kept, content)  # first: a copy without it could not be updated
                add_file(work / name, content)
                copied.append(work / name)
        for name in tracks():
            add_file(work / name / MARKER, f"{name}\n".encode())
    except OSError as error:
        raise cannot_write(work, error) from error
    return copied


def cannot_write(work, error) -> WorkbookError:
    return WorkbookError(
        f"{work} cannot be written ({error.strerror}). Make room or allow writing there, or "
        "set REIMPL_WORK to another folder. What was there is untouched."
    )


# --- changing files -----------------------------------------------------------------------


@contextlib.contextmanager
def no_lab(work: Path) -> Iterator[None]:
    """Keep labs from opening on a pair's folder as long as this one is inside.

    Raises: WorkbookError when one is open, or there is no such folder.
    """
    if not work.is_dir():
        raise WorkbookError(
            f"there is no folder {work}, so there is nothing of yours in it. If yours is another "
            "one, set REIMPL_WORK to it; if you have none yet, `reimpl work` makes it."
        )
    lock = FileLock(work / LAB_LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise WorkbookError(
            f"a lab is open on {work} already: a second one, or a command that changes notebooks, "
            "would lose what you type there. Stop it (Ctrl-C where it runs), then run this again."
        ) from error
    except OSError as error:
        raise cannot_write(work, error) from error
    over, held = threading.Event(), [lock]

    def keep():
        """Lock it again where somebody deleted the file: else another lab could open here."""
        while not over.wait(LOOK):
            if work.is_dir() and not (work / LAB_LOCK).exists():
                again = FileLock(work / LAB_LOCK, timeout=0, thread_local=False)
                with contextlib.suppress(Timeout, OSError):  # it is locked by another lab
                    again.acquire()
                    held.append(again)

    keeping = threading.Thread(target=keep, daemon=True)
    keeping.start()
    try:
        yield
    finally:
        over.set()
        keeping.join()
        for each in held:
            each.release()


def read(path: Path) -> bytes | None:
    """Read a file; None where there is none.

    Raises: WorkbookError when it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise WorkbookError(
            f"{path} cannot be read ({error.strerror}). Allow reading it, then run this again. "
            "Nothing was changed."
        ) from error


def write(work: Path, changes: list[Change]) -> Path | None:
    """Write what becomes of a pair's files, all of it or nothing; return where the backup is.

    What they were given is renewed last: killed before that, the next run comes to the same end.

    Raises: WorkbookError when the folder cannot be written, or a file is not what it was before.
    """
    files = {work / c.name: c.after for c in changes if c.after is not None}
    given = {work / GIVEN / c.name: c.given for c in changes if c.given is not None}
    try:
        backup = back_up(work, [change for change in changes if change.after is not None])
        for path in (*files, *given):
            path.parent.mkdir(parents=True, exist_ok=True)
        for change in changes:
            if change.after is not None and read(work / change.name) != change.before:
                raise WorkbookError(
                    f"{work / change.name} was changed while this ran. Close the program that "
                    "writes it, then run this again. Nothing was changed."
                )
        replace_files({**files, **given})
    except OSError as error:
        raise cannot_write(work, error) from error
    return backup


def back_up(work: Path, changes: list[Change]) -> Path | None:
    """Copy files to a folder of their own, safely on the disk; return it, None if there are none.

    Raises: OSError when it cannot be written; there is then no such folder.
    """
    files = {change.name: change.before for change in changes if change.before is not None}
    if not files:
        return None
    now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    folder = next(
        folder
        for number in itertools.count(1)
        if not (folder := work / BACKUPS / (f"{now}_{number}" if number > 1 else now)).exists()
    )
    try:
        for name, content in files.items():
            add_file(folder / name, content)
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def summary(changes, backup, nothing) -> list[str]:
    """Say what became of each file, and where to find what it was before."""
    lines = [line for change in changes for line in change.said]
    lines += dict.fromkeys(line for change in changes for line in change.trouble)
    if backup:
        return [*lines, f"What was there before is in {backup}."]
    if any(change.after is not None for change in changes):
        return lines
    return [*lines, "No file of yours was changed."] if lines else [nothing]


# --- a newer workbook ---------------------------------------------------------------------


def update_work() -> tuple[list[str], bool]:
    """Bring a newer workbook into the pair's folder, and keep every word that they wrote.

    Returns what to tell them, and whether every file could be looked at.

    Raises: WorkbookError when a lab is open, or the folder cannot be read or written.
    """
    work = work_folder()
    with no_lab(work):
        copied = copy_work()
        changes = [updated(work, name) for name in given_files()]
        backup = write(work, changes)
    lines = [f"{path.relative_to(work).as_posix()}: copied." for path in copied]
    nothing = "Nothing else to update." if copied else "Nothing to update."
    lines += summary(changes, backup, nothing)
    return lines, not any(change.is_left_alone for change in changes)


def updated(work: Path, name: Path) -> Change:
    """Find out what becomes of one file with the workbook's new one."""
    ours, base, new = read(work / name), read(work / GIVEN / name), given_content(name)
    change = Change(name, ours, given=None if base == new else new)
    if name.suffix == ".ipynb":
        merge_into(change, base, new)
    elif ours == base != new:
        change.after, change.said = new, [f"{name.as_posix()}: renewed."]
    elif ours != new != base:
        change.said = [
            f"{name.as_posix()}: yours is kept, as it is not what you were given. "
            f"The workbook's is {place_in_workbook(name)}."
        ]
    return change


def merge_into(change: Change, base, new) -> None:
    """Merge the workbook's new notebook into the pair's."""
    name = change.name.as_posix()
    new = read_notebook(new)
    try:
        ours = read_notebook(change.before)
        merge = merge_notebooks(given_notebook(base), ours, new)
    except DamagedNotebook as error:
        change.given, change.is_left_alone = None, True
        change.said = [f"{name}: left alone, since {error}. `reimpl restore` mends it."]
        return
    if merge.cells != ours.cells:
        change.after = write_notebook(with_cells(ours, merge.cells, new))
        counts = ", ".join(f"{count} {what}" for what, count in merge.counts.items())
        change.said = [f"{name}: cells {counts or 'in the order that the workbook has now'}."]
    elif merge.notes:
        change.said = [f"{name}:"]
    change.said += [f"  {cell}, under “{heading}”: {what}." for what, cell, heading in merge.notes]
    if merge.notes:
        change.said += [f"  The workbook's texts are in {place_in_workbook(change.name)}."]


def given_notebook(base: bytes | None):
    """Read what a pair was given; None where that is not known."""
    try:
        notebook = read_notebook(base or b"")
        check_ids(notebook.cells)
        return notebook
    except DamagedNotebook:
        return None


def with_cells(ours, cells, new):
    """Return the pair's notebook with other cells, and the kernel that the workbook names."""
    names = ("kernelspec", "language_info")
    kernel = {key: new.metadata[key] for key in names if key in new.metadata}
    minor = max(5, ours.get("nbformat_minor", 0))  # cells have ids from 4.5 on
    metadata = {**ours.metadata, **kernel}
    return {**ours, "cells": cells, "metadata": metadata, "nbformat_minor": minor}


# --- a damaged copy -----------------------------------------------------------------------


def restore_work() -> list[str]:
    """Put every solved piece back into notebooks that lost it; return what to tell the pair.

    Raises: WorkbookError when a lab is open, or the folder cannot be read or written.
    """
    work = work_folder()
    with no_lab(work):
        events = Log(work).read()
        names = [name for name in given_files() if name.suffix == ".ipynb"]
        changes = [restored(work, name, events) for name in names]
        backup = write(work, changes)
    nothing = "Nothing to put back: every notebook is whole, and has the pieces that you solved."
    return summary(changes, backup, nothing)


def restored(work: Path, name: Path, events) -> Change:
    """Find out what a notebook lost, and what it becomes."""
    change = Change(name, read(work / name))
    content = given_content(name)
    try:
        ours, why = read_notebook(change.before or b""), ""
        check_ids(ours.cells)
    except DamagedNotebook as error:
        why = "there was none" if change.before is None else str(error)
    if why:
        workbook = read_notebook(content)
        mend = solved_notebook(workbook, saved_texts(change, work, workbook, events))
        change.after, change.given = write_notebook({**workbook, "cells": mend.cells}), content
        change.said = [f"{name.as_posix()}: built anew, since {why}."]
    else:
        workbook = given_notebook(read(work / GIVEN / name)) or read_notebook(content)
        mend = mend_notebook(ours, workbook, saved_texts(change, work, workbook, events))
        if mend.cells == ours.cells:
            return change
        change.after = write_notebook(with_cells(ours, mend.cells, workbook))
        change.said = [f"{name.as_posix()}: mended."]
    if mend.put_back:
        change.said += [f"  Put back: {', '.join(mend.put_back)}."]
    return change


def saved_texts(change: Change, work: Path, workbook, events) -> dict[str, str]:
    """Find the text of every piece of a notebook that the pair solved, by the id of its cell.

    It is the text that was checked last in this step, else the one in the pair's package.
    """
    if change.name.parent == Path("."):
        return {}
    name = change.name.parent.name
    store, texts = Store(Track(name, step_of(change.name)), work / name), {}
    checked = {
        event["piece"]: event["source"]
        for event in events
        if event["event"] == "check" and event["state"] == RIGHT
        if (event["track"], event["step"]) == (name, store.track.step)
    }
    for cell in workbook.cells:
        try:
            if (piece := piece_of(cell)) and (text := checked.get(piece) or own_text(store, piece)):
                texts[cell.id] = text.rstrip()
        except package.PackageError as error:
            change.trouble.append(f"{name}: what is saved there could not be looked up. {error}")
    return texts


def own_text(store: Store, piece: str) -> str | None:
    """Read a piece of the pair's own in their package; None where it is not for this step.

    Raises: PackageError for a file that is no text, or does not parse.
    """
    track, texts = store.track, store.texts()
    if not store.is_own(piece, texts):
        return None
    text = texts[track.module_of(piece)]
    if track.has_port(piece):
        in_numpy = package.is_in_numpy(text, piece, track.modules)
        if in_numpy == track.piece(piece).port:
            return None
    return package.definition_of(text, piece)
