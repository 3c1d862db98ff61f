"""A pair's copy is made once, brought up to date and mended; not a word of theirs is lost."""

import json
import os
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import nbformat
import pytest
from browser import wait_for
from filelock import FileLock, Timeout
from merges import (
    SOLVED,
    STUB,
    add,
    change,
    code,
    faults,
    find,
    markdown,
    notebook,
    place,
    put,
    remove,
    run,
    together,
)

from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.base.places import NOTEBOOKS
from reimpl_helpers.lab import copies
from reimpl_helpers.lab.copies import copy_work, restore_work, update_work
from reimpl_helpers.lab.merging import merge_notebooks, piece_of, read_notebook, write_notebook
from reimpl_helpers.pair.log import Log
from reimpl_helpers.texts import package
from reimpl_helpers.tracks.notebooks import notebooks_of, step_of
from reimpl_helpers.tracks.track import Track, tracks


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.setenv("REIMPL_WORK", str(tmp_path / "work"))
    return tmp_path / "work"


class House:
    """A small workbook of one track, and a pair's copy of it."""

    names = ["00_start_here.ipynb", "gnn/01_forward_pass.ipynb", "gnn/05_training_test.ipynb"]
    first, last = names[1:]

    def __init__(self, home, work):
        self.home, self.work = home, work
        for name in self.names:
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_bytes(write_notebook(notebook()))
        (home / "gnn" / "original.py").write_text("class GNN: pass\n")
        (home / "gnn" / "recording.safetensors").write_bytes(b"recorded")
        shutil.copy(NOTEBOOKS / "gnn" / "pieces.py", home / "gnn")

    def edit(self, name, edit, folder=None):
        """Let the pair edit a notebook of theirs."""
        path = (folder or self.work) / name
        book = read_notebook(path.read_bytes())
        edit(book)
        path.write_bytes(write_notebook(book))

    def renew(self, name, edit):
        """Let the workbook change a notebook."""
        self.edit(name, edit, self.home)

    def ids(self, name):
        return [cell.id for cell in read_notebook((self.work / name).read_bytes()).cells]

    def source(self, name, cell):
        return "".join(find(read_notebook((self.work / name).read_bytes()), cell).source)

    def files(self, work=None):
        """Read everything in the pair's folder but backups, locks, and strays of a kill."""
        work = work or self.work
        return {
            path.relative_to(work).as_posix(): path.read_bytes()
            for path in work.rglob("*")
            if path.is_file() and not {".backups", ".lab"} & set(path.relative_to(work).parts)
            if path.name == ".track" or not path.name.startswith(".")
        }

    def backups(self):
        return sorted((self.work / ".backups").glob("*"))


@pytest.fixture
def house(work, tmp_path, monkeypatch):
    house = House(tmp_path / "notebooks", work)
    monkeypatch.setattr(copies, "NOTEBOOKS", house.home)
    monkeypatch.setattr("reimpl_helpers.tracks.track.NOTEBOOKS", house.home)
    copy_work()
    return house


# --- copying ----------------------------------------------------------------------------------


def test_work_is_copied_once_and_never_overwritten(work):
    copied = copy_work()
    names = {path.relative_to(work).as_posix() for path in copied}
    assert names == {
        "00_start_here.ipynb",
        *(
            f"{name}/{path.name}"
            for name in tracks()
            for path in (NOTEBOOKS / name).glob("*.ipynb")
        ),
        *(f"{name}/original.py" for name in tracks()),
        *(f"{name}/recording.safetensors" for name in tracks()),
    }
    markers = {name: work / name / ".track" for name in tracks()}
    given = {work / ".workbook" / name for name in names}
    everything = {path for path in work.rglob("*") if path.is_file()}
    assert everything == {*copied, *markers.values(), *given}
    for name, marker in markers.items():
        assert marker.read_text() == f"{name}\n"
    for path in everything:
        path.write_bytes(b"ours")
    missing = work / "autoencoder" / "original.py"
    missing.unlink()
    (work / "autoencoder" / "model.py").write_text("ours")
    assert copy_work() == [missing]
    assert missing.read_bytes() == (NOTEBOOKS / "autoencoder" / "original.py").read_bytes()
    theirs = everything - {missing, work / ".workbook" / "autoencoder" / "original.py"}
    assert all(path.read_bytes() == b"ours" for path in theirs)
    assert copy_work() == []


def test_copies_have_no_outputs_and_all_else(work):
    for path in copy_work():
        if path.suffix != ".ipynb":
            continue
        ours = json.loads(path.read_text("utf-8"))
        theirs = json.loads((NOTEBOOKS / path.relative_to(work)).read_text("utf-8"))
        assert any(cell.get("outputs") for cell in theirs["cells"])
        for cell in theirs["cells"]:
            if cell["cell_type"] == "code":
                cell["outputs"], cell["execution_count"] = [], None
        assert ours == theirs
        nbformat.validate(ours)


def test_what_was_given_is_kept_as_it_was(work):
    for path in copy_work():
        assert (work / ".workbook" / path.relative_to(work)).read_bytes() == path.read_bytes()


def test_no_copy_is_made_without_what_was_given(house, monkeypatch):
    def no(path, content):
        raise OSError(28, "No space left on device")

    (house.work / house.first).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(copies, "replace_file", no)
        with pytest.raises(WorkbookError, match="No space left"):
            copy_work()
    assert not (house.work / house.first).exists()
    house.renew(house.first, change("hints", "New."))
    assert copy_work() == [house.work / house.first]
    assert update_work() == (["Nothing to update."], True)


def test_work_is_a_file(work):
    work.write_text("ours")
    with pytest.raises(WorkbookError, match="work cannot be written .*REIMPL_WORK to another"):
        copy_work()
    assert work.read_text() == "ours"


def test_work_is_full_or_read_only(work, monkeypatch):
    def no(**arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", no)
    with pytest.raises(WorkbookError, match=r"work cannot be written \(Permission denied\)"):
        copy_work()
    assert not [path for path in work.rglob("*") if path.is_file()]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_work_is_read_only_for_real(work):
    work.mkdir(mode=0o555)
    with pytest.raises(WorkbookError, match=r"work cannot be written \(Permission denied\)"):
        copy_work()


def test_damaged_workbook_is_not_copied(house):
    path = house.home / house.first
    path.write_bytes(b"<<<<<<< HEAD\n" + path.read_bytes())
    before = house.files()
    for command in (update_work, restore_work):
        with pytest.raises(
            WorkbookError, match="forward_pass.ipynb is damaged: it holds the marks"
        ):
            command()
    assert house.files() == before


# --- a newer workbook -------------------------------------------------------------------------


def test_nothing_new_changes_nothing(house):
    house.edit(house.first, together(change("task", SOLVED), run, put("ours", "task")))
    before = house.files()
    assert update_work() == (["Nothing to update."], True)
    assert house.files() == before and not house.backups()


def test_update_says_what_it_did_and_where_the_rest_is(house):
    house.edit(house.first, change("task", SOLVED))
    house.edit(house.last, remove("hints"))
    before = house.files()
    renewal = together(
        change("task", STUB.replace("Ours.", "New.")), change("hints", "New."), put("new", "check")
    )
    house.renew(house.first, together(renewal, remove("end")))
    house.renew(house.last, renewal)
    lines, all_looked_at = update_work()
    (backup,) = house.backups()
    assert all_looked_at and lines == [
        "gnn/01_forward_pass.ipynb: cells 1 renewed, 1 gone, 1 new.",
        "  task, under “1.1 · A curve”: yours is kept, and the workbook has another text for it "
        "now.",
        "  The workbook's texts are in notebooks/gnn/01_forward_pass.ipynb.",
        "gnn/05_training_test.ipynb: cells 1 renewed, 1 new.",
        "  hints, under “1.1 · A curve”: you deleted it, and the workbook has another text for it "
        "now.",
        "  The workbook's texts are in notebooks/gnn/05_training_test.ipynb.",
        f"What was there before is in {backup}.",
    ]
    assert house.ids(house.first) == ["title", "start", "first", "task", "check", "new", "hints"]
    assert house.source(house.first, "task") == SOLVED
    assert house.source(house.first, "hints") == "New."
    for name in (house.first, house.last):
        assert (backup / name).read_bytes() == before[name]
    assert [path.name for path in backup.rglob("*.*")] == [
        Path(house.first).name,
        Path(house.last).name,
    ]
    assert update_work() == (["Nothing to update."], True) and len(house.backups()) == 1


def test_metadata_of_the_pair_stay_and_the_kernel_is_the_workbooks(house):
    def use_another_kernel(book):
        book.metadata.update(kernelspec={"name": "mine"}, title="Ada and Grace", language_info={})

    house.edit(house.first, use_another_kernel)
    assert update_work() == (["Nothing to update."], True)
    house.renew(house.first, change("hints", "New."))
    update_work()
    metadata = read_notebook((house.work / house.first).read_bytes()).metadata
    assert metadata == {**notebook().metadata, "title": "Ada and Grace"}


def test_an_untouched_notebook_takes_the_order_of_the_workbook(house):
    house.renew(house.first, lambda book: book.cells.insert(1, book.cells.pop()))
    house.edit(house.first, run)
    lines, _ = update_work()
    assert lines[0] == f"{house.first}: cells in the order that the workbook has now."
    assert house.ids(house.first)[1] == "end"
    assert find(read_notebook((house.work / house.first).read_bytes()), "task").outputs


def test_other_files_are_renewed_or_kept(house):
    for name, content in (("original.py", b"class GNN: 1\n"), ("recording.safetensors", b"anew")):
        (house.home / "gnn" / name).write_bytes(content)
    (house.work / "gnn" / "original.py").write_text("# ours\n")
    lines, all_looked_at = update_work()
    (backup,) = house.backups()
    assert all_looked_at and lines == [
        "gnn/original.py: yours is kept, as it is not what you were given. The workbook's is "
        "notebooks/gnn/original.py.",
        "gnn/recording.safetensors: renewed.",
        f"What was there before is in {backup}.",
    ]
    assert (house.work / "gnn" / "original.py").read_text() == "# ours\n"
    assert (house.work / "gnn" / "recording.safetensors").read_bytes() == b"anew"
    assert (backup / "gnn" / "recording.safetensors").read_bytes() == b"recorded"
    assert update_work() == (["Nothing to update."], True)


def test_new_files_and_tracks_are_copied(house):
    shutil.copy(house.home / house.first, house.home / "gnn" / "02_shapes.ipynb")
    shutil.copytree(house.home / "gnn", house.home / "mlstm")
    lines, _ = update_work()
    assert lines[:2] == ["gnn/02_shapes.ipynb: copied.", "mlstm/01_forward_pass.ipynb: copied."]
    assert lines[-1] == "Nothing else to update."
    assert (house.work / "mlstm" / ".track").read_text() == "mlstm\n"
    house.renew("gnn/02_shapes.ipynb", change("hints", "New."))
    assert update_work()[0][0] == "gnn/02_shapes.ipynb: cells 1 renewed."


def test_a_copy_without_a_base_keeps_what_differs_and_says_so(house):
    shutil.rmtree(house.work / ".workbook")
    house.edit(house.first, change("task", SOLVED))
    house.renew(house.first, together(change("hints", "New."), put("new", "hints")))
    lines, _ = update_work()
    kept = "is not the workbook's, and nothing says what you were given, so it is kept as yours."
    assert lines[:-1] == [
        "gnn/01_forward_pass.ipynb: cells 1 new.",
        f"  task, under “1.1 · A curve”: {kept}",
        f"  hints, under “1.1 · A curve”: {kept}",
        "  The workbook's texts are in notebooks/gnn/01_forward_pass.ipynb.",
    ]
    assert house.source(house.first, "task") == SOLVED
    assert update_work() == (["Nothing to update."], True)
    house.renew(house.first, change("end", "New."))
    assert update_work()[0][0] == f"{house.first}: cells 1 renewed."


def cut(content):
    return content[: len(content) // 2]


DAMAGES = {
    "emptied": (lambda content: b"", "it is empty"),
    "cut": (cut, "it is no whole JSON"),
    "merge": (
        lambda c: b"<<<<<<< HEAD\n" + c + b"=======\n" + c + b">>>>>>> theirs\n",
        "it holds the marks of an unfinished merge",
    ),
    "twice": (
        lambda c: write_notebook(
            {**read_notebook(c), "cells": [*read_notebook(c).cells, *read_notebook(c).cells[1:3]]}
        ),
        "it has cells twice: start, first",
    ),
}


@pytest.mark.parametrize("damage, said", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_notebook_is_left_alone_and_the_others_are_renewed(damage, said, house):
    path = house.work / house.first
    path.write_bytes(damage(path.read_bytes()))
    before = path.read_bytes()
    for name in house.names:
        house.renew(name, change("hints", "New."))
    lines, all_looked_at = update_work()
    assert not all_looked_at
    assert f"{house.first}: left alone, since {said}. `reimpl restore` mends it." in lines
    assert path.read_bytes() == before
    assert house.source(house.last, "hints") == "New."
    restore_work()
    lines, all_looked_at = update_work()
    assert all_looked_at and house.source(house.first, "hints") == "New."


def test_backups_are_never_overwritten(house, monkeypatch):
    class Clock:
        def now():
            return datetime(2026, 2, 3, 4, 5, 6)

    monkeypatch.setattr(copies, "datetime", Clock)
    before = []
    for round in range(3):
        before.append((house.work / house.first).read_bytes())
        house.renew(house.first, change("hints", f"New in round {round}."))
        update_work()
    names = ["2026-02-03_04-05-06", "2026-02-03_04-05-06_2", "2026-02-03_04-05-06_3"]
    assert [path.name for path in house.backups()] == names
    assert [(path / house.first).read_bytes() for path in house.backups()] == before


# --- trouble ----------------------------------------------------------------------------------


def make_trouble(house):
    """Give both commands something to do in several files."""
    house.edit(house.first, together(change("task", SOLVED), run))
    for name in house.names:
        house.renew(name, together(change("hints", "New."), put("new", "task")))
    (house.home / "gnn" / "recording.safetensors").write_bytes(b"anew")
    shutil.copy(house.home / house.first, house.home / "gnn" / "02_shapes.ipynb")


def lose_much(house):
    """Give `restore` something to do in several files."""
    for step in (1, 5):
        Log(house.work).append(
            "check", track="gnn", step=step, piece="gelu", state="right", source=SOLVED
        )
    house.edit(house.first, together(remove("task"), put("ours", "check")))
    (house.work / house.last).write_bytes(b"")
    (house.work / house.names[0]).unlink()


COMMANDS = {"update": (update_work, make_trouble), "restore": (restore_work, lose_much)}


@pytest.mark.parametrize("command, prepare", COMMANDS.values(), ids=COMMANDS)
def test_commands_refuse_while_a_lab_is_open(command, prepare, house):
    prepare(house)
    before = house.files()
    with FileLock(house.work / ".lab" / "open.lock"):
        with pytest.raises(WorkbookError, match="a lab is open on .*work already.*Ctrl-C"):
            command()
        assert house.files() == before and not house.backups()
    command()
    assert house.files() != before


def test_no_lab_opens_while_a_command_runs(house):
    with copies.no_lab(house.work):
        with pytest.raises(Timeout):
            FileLock(house.work / ".lab" / "open.lock", timeout=0).acquire()
        with pytest.raises(WorkbookError, match="a lab is open"):
            restore_work()
    FileLock(house.work / ".lab" / "open.lock", timeout=0).acquire()


@pytest.mark.skipif(os.name == "nt", reason="what is locked cannot be deleted there")
def test_no_lab_opens_where_the_lock_of_another_was_deleted(house):
    lock = house.work / ".lab" / "open.lock"
    with copies.no_lab(house.work):
        lock.unlink()
        wait_for(lock.exists, 10, "the lock again")
        with pytest.raises(WorkbookError, match="a lab is open"):
            restore_work()
    FileLock(lock, timeout=0).acquire()


def test_commands_make_no_folder(work):
    for command in (update_work, restore_work):
        with pytest.raises(
            WorkbookError, match="there is no folder .*work, so .*REIMPL_WORK to it"
        ):
            command()
    assert not work.exists()


@pytest.mark.parametrize("command, prepare", COMMANDS.values(), ids=COMMANDS)
def test_a_full_disk_says_so_and_leaves_files_as_they_were(command, prepare, house, monkeypatch):
    prepare(house)
    before, synced = house.files(), os.fsync
    refused = 0
    for room in range(100):
        with monkeypatch.context() as patch:
            left = iter(range(room))

            def sync(descriptor, left=left):
                if next(left, None) is None:
                    raise OSError(28, "No space left on device")
                synced(descriptor)

            patch.setattr(os, "fsync", sync)
            try:
                command()
                break
            except WorkbookError as error:
                refused += 1
                assert "work cannot be written (No space left on device). Make room" in str(error)
        now = house.files()
        assert {name: now.get(name) for name in before} == before
    assert refused >= 4 and house.files() != before


def test_what_cannot_be_read_is_named(house, monkeypatch):
    def no(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", no)
    with pytest.raises(WorkbookError, match=r"model.py cannot be read \(Permission denied\)"):
        copies.read(Path("model.py"))


def test_a_file_that_changes_meanwhile_is_kept(house, monkeypatch):
    make_trouble(house)
    backed_up = copies.back_up

    def edit_meanwhile(*arguments):
        (house.work / house.last).write_bytes(b"typed meanwhile")
        return backed_up(*arguments)

    monkeypatch.setattr(copies, "back_up", edit_meanwhile)
    before = house.files()
    with pytest.raises(WorkbookError, match="training_test.ipynb was changed while this ran"):
        update_work()
    assert (house.work / house.last).read_bytes() == b"typed meanwhile"
    assert (house.work / house.first).read_bytes() == before[house.first]


KILL_AT_EVERY_MOMENT = """
import os, shutil, sys
from pathlib import Path
from reimpl_helpers.lab import copies
from reimpl_helpers.tracks import track
command, home, work, after = sys.argv[1:]
copies.NOTEBOOKS = track.NOTEBOOKS = Path(home)

def die_at(moment, name):
    function, left = getattr(os, name), iter(range(moment))
    def last(*arguments):
        if next(left, None) is None:
            if after == "after":
                function(*arguments)
            os._exit(9)
        return function(*arguments)
    setattr(os, name, last)

for moment in range(100):
    copied = f"{work}-{moment}"
    shutil.copytree(work, copied)
    child = os.fork()
    if not child:
        os.environ["REIMPL_WORK"] = copied
        die_at(moment, "replace")
        getattr(copies, command)()
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        print(moment)
        break
"""


@pytest.mark.slow(but=1)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks to be killed")
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("command, prepare", COMMANDS.values(), ids=COMMANDS)
def test_killed_at_any_moment_a_second_run_comes_to_the_same_end(
    command, prepare, when, house, monkeypatch
):
    prepare(house)
    before, work = house.files(), house.work
    script = [sys.executable, "-c", KILL_AT_EVERY_MOMENT, command.__name__, house.home, work, when]
    moments = int(subprocess.check_output(script, text=True))
    assert moments >= 7, "backups, files, and what was given"
    command()
    end, fresh = house.files(), set()
    for moment in range(moments):
        killed = Path(f"{work}-{moment}")
        now = house.files(killed)
        for name in before:
            assert now.get(name) in (before[name], end[name]), (moment, name)
        kept = {path.read_bytes() for path in (killed / ".backups").rglob("*.*") if path.is_file()}
        changed = [before[name] for name in before if now[name] != before[name]]
        given = [before[name] for name in before if name.startswith(".workbook")]
        assert {*changed} - {*given} <= kept
        fresh.add(len(changed))
        monkeypatch.setenv("REIMPL_WORK", str(killed))
        command()
        assert house.files(killed) == end, moment
    assert len(fresh) > 2, "not one kill came between two files"


# --- a damaged copy ---------------------------------------------------------------------------


def test_nothing_lost_is_nothing_put_back(house):
    house.edit(house.first, together(change("task", SOLVED), put("ours", "task"), remove("hints")))
    before = house.files()
    said = "Nothing to put back: every notebook is whole, and has the pieces that you solved."
    assert restore_work() == [said]
    assert house.files() == before and not house.backups()


def test_restore_says_what_it_did(house):
    lose_much(house)
    before = house.files()
    lines = restore_work()
    (backup,) = house.backups()
    assert lines == [
        "00_start_here.ipynb: built anew, since there was none.",
        "gnn/01_forward_pass.ipynb: mended.",
        "  Put back: gelu.",
        "gnn/05_training_test.ipynb: built anew, since it is empty.",
        "  Put back: gelu.",
        f"What was there before is in {backup}.",
    ]
    assert house.source(house.first, "task") == house.source(house.last, "task") == SOLVED
    assert house.ids(house.first)[3:6] == ["task", "check", "ours"]
    assert (backup / house.first).read_bytes() == before[house.first]
    assert restore_work()[0].startswith("Nothing to put back") and len(house.backups()) == 1
    assert update_work() == (["Nothing to update."], True)


def test_what_is_put_back_is_of_the_workbook_that_the_pair_has(house):
    house.edit(house.first, remove("check"))
    house.renew(house.first, change("check", "check(gelu)  # new"))
    assert restore_work()[1] == "  Put back: the check of gelu."
    assert house.source(house.first, "check") == "check(gelu)"
    update_work()
    assert house.source(house.first, "check") == "check(gelu)  # new"


def test_a_notebook_whose_cells_cannot_be_told_apart_is_built_anew(house):
    Log(house.work).append("check", track="gnn", step=1, piece="gelu", state="right", source=SOLVED)
    house.edit(house.first, lambda book: book.cells.extend([find(book, "hints")] * 2))
    house.edit(house.last, lambda book: find(book, "end").pop("id"))
    before = house.files()
    lines = restore_work()
    (backup,) = house.backups()
    assert lines == [
        "gnn/01_forward_pass.ipynb: built anew, since it has cells twice: hints.",
        "  Put back: gelu.",
        "gnn/05_training_test.ipynb: built anew, since some of its cells have no id.",
        f"What was there before is in {backup}.",
    ]
    assert house.source(house.first, "task") == SOLVED
    assert house.ids(house.first) == house.ids(house.last)
    for name in house.first, house.last:
        assert (backup / name).read_bytes() == before[name]


def test_the_text_that_was_right_last_in_this_step_counts(house):
    def checked(piece="gelu", state="right", step=1, track="gnn", more=""):
        source = SOLVED + more
        log.append("check", track=track, step=step, piece=piece, state=state, source=source)

    log = Log(house.work)
    checked(more="  # first")
    checked(more="  # last")
    checked(more="  # wrong", state="wrong")
    checked(more="  # ported", step=5)
    checked(more="  # elsewhere", track="mlstm")
    log.append("start", track="gnn", step=1)
    (house.work / house.first).unlink()
    restore_work()
    assert house.source(house.first, "task") == f"{SOLVED}  # last"


def exercises_of(path):
    return {cell.id: cell for cell in read_notebook(path.read_bytes()).cells if piece_of(cell)}


def solved_path(path):
    return path.parent / "solved" / path.name


MARK = "<<<<<<< HEAD\n"  # what a bad merge left of an exercise cell


def break_notebooks(folder):
    """Damage the notebooks of a track, the first five each in another way."""
    empty, halved, merged, deleted, lost, *more = sorted(folder.glob("0*.ipynb"))
    empty.write_bytes(b"")
    halved.write_bytes(cut(halved.read_bytes()))
    merged.write_bytes(DAMAGES["merge"][0](merged.read_bytes()))
    for path in (deleted, *more):
        path.unlink()
    book = read_notebook(lost.read_bytes())
    exercises = [cell for cell in book.cells if piece_of(cell)]
    book.cells.remove(exercises[0])
    exercises[1].source = ""
    exercises[2].source = MARK
    add(book, 3, code("ours", "print('ours')"))
    lost.write_bytes(write_notebook(book))
    return lost


@pytest.mark.parametrize("name", tracks())
def test_solved_pieces_of_real_notebooks_come_back_from_the_log(name, work):
    copy_work()
    solved = {path.name: exercises_of(solved_path(path)) for path in notebooks_of(name)}
    for path in notebooks_of(name):
        shutil.copy(solved_path(path), work / name / path.name)
        for cell in solved[path.name].values():
            event = {"track": name, "step": step_of(path), "piece": piece_of(cell)}
            Log(work).append("check", **event, state="right", source="".join(cell.source) + "\n")
    lost = break_notebooks(work / name)
    before = lost.read_bytes()
    restore_work()
    for path in notebooks_of(name):
        restored = read_notebook((work / name / path.name).read_bytes())
        nbformat.validate(restored)
        given = [cell.id for cell in read_notebook(path.read_bytes()).cells]
        assert [cell.id for cell in restored.cells if cell.id != "ours"] == given
        for cell_id, cell in solved[path.name].items():
            assert "".join(find(restored, cell_id).source) == "".join(cell.source)
    assert "ours" in [cell.id for cell in read_notebook(lost.read_bytes()).cells]
    (backup,) = (work / ".backups").iterdir()
    assert (backup / name / lost.name).read_bytes() == before
    assert restore_work()[0].startswith("Nothing to put back")


@pytest.mark.parametrize("in_jax", [False, True])
def test_without_a_log_pieces_come_back_from_the_package(in_jax, work):
    copy_work()
    track, folder = Track("autoencoder", 5), work / "autoencoder"
    texts = track.given_texts(in_jax)
    texts["model"] = texts["model"].replace("def encoder(", f"{package.GIVEN}\ndef encoder(")
    package.write_texts(folder, texts, {})
    ported = {piece.name for piece in track.pieces if piece.port}
    break_notebooks(folder)
    restore_work()
    tried = []
    for path in notebooks_of("autoencoder"):
        ours = exercises_of(folder / path.name)
        for cell_id, cell in exercises_of(solved_path(path)).items():
            piece, step = piece_of(cell), step_of(path)
            has_text = piece not in ("encoder", "numpy_counterparts")
            if piece in ported:
                has_text = in_jax == (step == 5)
            source = "".join(ours[cell_id].source)
            stub = "".join(exercises_of(path)[cell_id].source)
            expected = ["".join(cell.source)] if has_text else [stub, MARK]
            assert source in expected, (piece, step)
            tried.append(has_text)
    assert len(tried) == len(track.pieces) + 2 and tried.count(False) == 4
    assert restore_work()[0].startswith("Nothing to put back")


def test_a_package_that_cannot_be_read_is_named(work):
    copy_work()
    (work / "autoencoder" / "model.py").write_text("def nn_layer(:\n")
    (work / "gnn" / "model.py").write_bytes(b"# gr\xf6sse\n")
    lines = restore_work()
    assert lines[0].startswith(
        "autoencoder: what is saved there could not be looked up. model.py has a syntax error"
    )
    assert "gnn: what is saved there could not be looked up. gnn/model.py is not UTF-8" in lines[1]
    assert lines[2:] == ["No file of yours was changed."]


# --- the real notebooks -----------------------------------------------------------------------


def edit_really(book, solved):
    """Edit a notebook as a pair does who is half through it."""
    exercises = [cell for cell in book.cells if piece_of(cell)]
    for cell in exercises[: len(exercises) // 2 + 1]:
        cell.update(find(solved, cell.id))
        add(book, place(book, cell.id) + 1, code(f"{cell.id}-ours", f"# größer\n{cell.id}"))
    run(book)
    prose = [cell for cell in book.cells if cell.cell_type == "markdown"]
    prose[1].source = "We see.\r\n" + "".join(prose[1].source)
    book.cells.remove(prose[-1])
    book.metadata.language_info = {"name": "python", "version": "3.13.1"}


def renew_really(book):
    """Change a notebook as a new version of the workbook does."""
    prose = [cell for cell in book.cells if cell.cell_type == "markdown"]
    for cell in [cell for cell in book.cells if piece_of(cell)]:
        cell.metadata.reimpl["minutes"] = 99
        cell.source = "".join(cell.source).replace('"""', '"""Anew: ', 1)
        add(book, place(book, cell.id) + 2, markdown(f"{cell.id}-anew", "Say it in other words."))
    for cell in prose[1::2]:
        cell.source = "".join(cell.source) + "\n\nAnew."
    book.cells.remove(prose[4])
    book.cells.insert(2, book.cells.pop(-2))


@pytest.mark.parametrize("name", tracks())
def test_real_notebooks_take_a_real_update(name, work, tmp_path, monkeypatch):
    home = tmp_path / "notebooks"
    ignored = shutil.ignore_patterns("solved", "solution", "__pycache__")
    shutil.copytree(NOTEBOOKS / name, home / name, ignore=ignored)
    shutil.copy(NOTEBOOKS / "00_start_here.ipynb", home)
    monkeypatch.setattr(copies, "NOTEBOOKS", home)
    monkeypatch.setattr("reimpl_helpers.tracks.track.NOTEBOOKS", home)
    copy_work()
    books = {}
    for path in notebooks_of(name):
        base = read_notebook((work / name / path.name).read_bytes())
        ours, new = read_notebook(write_notebook(base)), read_notebook(write_notebook(base))
        edit_really(ours, read_notebook(solved_path(path).read_bytes()))
        renew_really(new)
        (work / name / path.name).write_bytes(write_notebook(ours))
        (home / name / path.name).write_bytes(write_notebook(new))
        books[path.name] = base, ours, new
    lines, all_looked_at = update_work()
    assert all_looked_at and sum(" renewed, " in line for line in lines) == len(books)
    for file, (base, ours, new) in books.items():
        merged = read_notebook((work / name / file).read_bytes())
        nbformat.validate(merged)
        merge = merge_notebooks(base, ours, new)
        assert merged.cells == merge.cells and list(faults(base, ours, new, merge)) == []
        assert merge.counts["renewed"] > 3 and merge.counts["new"] >= 2 and merge.notes
        assert merged.metadata.language_info == base.metadata.language_info
    assert update_work() == (["Nothing to update."], True)
    assert restore_work()[0].startswith("Nothing to put back")
