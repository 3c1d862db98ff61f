"""A merge keeps every word of the pair's, and mending a notebook puts back what it lost."""

import copy
import json

import nbformat
import pytest
from merges import (
    CHANGES,
    EDITS,
    SOLVED,
    STUB,
    add,
    change,
    code,
    faults,
    find,
    move,
    notebook,
    put,
    remove,
    run,
    text,
    together,
)

from reimpl_helpers.lab import merging
from reimpl_helpers.lab.merging import DamagedNotebook, merge_notebooks, read_notebook


def both(edit, other):
    """Return what the pair was given, their edited copy, and the workbook's changed notebook."""
    base, ours, new = notebook(), notebook(), notebook()
    EDITS[edit](ours), CHANGES[other](new)
    return base, ours, new


# --- a newer workbook -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("edit", EDITS)
def test_merge_keeps_what_the_pair_wrote_and_renews_the_rest(edit):
    for other in CHANGES:
        base, ours, new = both(edit, other)
        before = copy.deepcopy((base, ours, new))
        merge = merge_notebooks(base, ours, new)
        assert list(faults(base, ours, new, merge)) == [], other
        assert (base, ours, new) == before, "a merge changes nothing in place"
        assert (merge.cells != ours.cells) == bool(merge.counts) or "moved" in other
        ours.cells = merge.cells
        for given in (base, new):  # killed before, or after, the pair's base was renewed
            again = merge_notebooks(given, ours, new)
            assert again.cells == ours.cells and not again.counts, other


@pytest.mark.parametrize("edit", EDITS)
def test_merge_without_a_base_takes_what_differs_for_the_pairs(edit):
    for other in CHANGES:
        _, ours, new = both(edit, other)
        merge = merge_notebooks(None, ours, new)
        ids, fresh = [cell.id for cell in merge.cells], {cell.id: cell for cell in new.cells}
        differ = {c.id for c in ours.cells if c.id in fresh and text(c) != text(fresh[c.id])}
        for cell in ours.cells:
            assert cell in merge.cells or cell.id not in differ and cell.id in fresh, other
        assert sorted(ids) == sorted({cell.id for cell in (*ours.cells, *new.cells)}), other
        notes = {(what, name) for what, name, _ in merge.notes}
        assert notes == {(merging.UNKNOWN, name) for name in differ}, other


def test_the_oracle_refuses_wrong_merges():
    base, ours, new = both("solved", "stub changed")
    right = merge_notebooks(base, ours, new)
    assert list(faults(base, ours, new, right)) == []
    lost = copy.deepcopy(right)
    lost.cells[3] = find(new, "task")
    assert list(faults(base, ours, new, lost)) == [
        "task: what the pair wrote is not there word for word"
    ]
    silent = merging.Merge(right.cells)
    assert "said set(), expected" in list(faults(base, ours, new, silent))[0]
    base, ours, new = both("output only", "two inserted")
    idle = merging.Merge(ours.cells)
    assert [fault.partition(":")[0] for fault in faults(base, ours, new, idle)] == [
        "new",
        "newer",
        "nobody touched the notebook, and it is not in the workbook's order",
    ]
    base, ours, new = both("prose edited", "retitled")
    assert list(faults(base, ours, new, merging.Merge(ours.cells))) == [
        "first: untouched, and not renewed"
    ]
    base, ours, new = both("moved", "inserted after")
    late = merging.Merge([*ours.cells, find(new, "new")])
    assert list(faults(base, ours, new, late)) == ["new: not inserted after ['task']"]


NEW_STUB = STUB.replace("Ours.", "Let half of x through.")
SPELLED_OUT = {
    "edit and change of one cell": (
        together(change("task", SOLVED), run),
        change("task", NEW_STUB),
        ["title", "start", "first", "task", "check", "hints", "end"],
        SOLVED,
        [(merging.CONFLICT, "task", "1.1 · A curve")],
    ),
    "output, and another stub": (
        run,
        change("task", NEW_STUB),
        ["title", "start", "first", "task", "check", "hints", "end"],
        NEW_STUB,
        [],
    ),
    "a cell added below, and one of the workbook's": (
        put("ours", "task"),
        put("new", "task"),
        ["title", "start", "first", "task", "new", "ours", "check", "hints", "end"],
        STUB,
        [],
    ),
    "solved, and dropped": (
        change("task", SOLVED),
        remove("task"),
        ["title", "start", "first", "task", "check", "hints", "end"],
        SOLVED,
        [(merging.DROPPED, "task", "1.1 · A curve")],
    ),
    "deleted, and changed": (
        remove("task", "first"),
        together(change("task", NEW_STUB), put("new", "task")),
        ["title", "start", "new", "check", "hints", "end"],
        None,
        [(merging.DELETED, "task", "1.1 · A curve")],
    ),
    "moved by both": (
        move("task", 0),
        move("task", 6),
        ["task", "title", "start", "first", "check", "hints", "end"],
        STUB,
        [],
    ),
}


@pytest.mark.parametrize("edit, other, ids, source, notes", SPELLED_OUT.values(), ids=SPELLED_OUT)
def test_merges_spelled_out(edit, other, ids, source, notes):
    base, ours, new = notebook(), notebook(), notebook()
    edit(ours), other(new)
    merge = merge_notebooks(base, ours, new)
    assert [cell.id for cell in merge.cells] == ids
    assert source is None or "".join(merge.cells[ids.index("task")].source) == source
    assert merge.notes == notes


def test_outputs_stay_with_the_text_that_printed_them():
    base, ours, new = notebook(), notebook(), notebook()
    run(ours)
    change("task", NEW_STUB)(new)
    find(new, "check").metadata = nbformat.from_dict({"tags": ["check", "new"]})
    cells = {cell.id: cell for cell in merge_notebooks(base, ours, new).cells}
    assert cells["task"].outputs == [] and cells["task"].execution_count is None
    assert cells["check"].metadata.tags == ["check", "new"]
    assert cells["check"].outputs == find(ours, "check").outputs != []


TWICE_OR_NAMELESS = {
    "twice": (lambda book: book.cells.append(find(book, "task")), "has cells twice: task$"),
    "no id": (lambda book: find(book, "task").pop("id"), "some of its cells have no id"),
}


@pytest.mark.parametrize("damage, said", TWICE_OR_NAMELESS.values(), ids=TWICE_OR_NAMELESS)
def test_cells_that_no_id_tells_apart_are_not_merged(damage, said):
    ours = notebook()
    damage(ours)
    with pytest.raises(DamagedNotebook, match=said):
        merge_notebooks(notebook(), ours, notebook())


# --- reading and writing ----------------------------------------------------------------------


def stored(book=None, **more):
    return json.dumps({**(book or notebook()), **more}).encode()


UNREADABLE = {
    "empty": (b"", "it is empty"),
    "blank": (b" \n\n", "it is empty"),
    "cut": (stored()[:300], "it is no whole JSON"),
    "zeros": (b"\0" * 300, "it is no whole JSON"),
    "no text": (b"\xff\xfe\xff", "it is no whole JSON"),
    "deep": (b"[" * 100_000, "it is no whole JSON"),
    "merge": (
        stored().replace(b'"cells"', b'\n<<<<<<< HEAD\n"cells"', 1),
        "it holds the marks of an unfinished merge",
    ),
    "list": (b"[]", "it is no notebook of format 4"),
    "format 3": (stored(nbformat=3), "it is no notebook of format 4"),
    "no cells": (stored(cells=None), "it is no notebook of format 4"),
    "no cell": (stored(cells=[1]), "it is no notebook of format 4"),
    "no metadata": (stored(metadata=[]), "it is no notebook of format 4"),
    "odd cell": (stored(cells=[{"cell_type": "heading"}]), "it is no notebook of format 4"),
    "odd source": (stored(cells=[{**code("a", "1"), "source": [1]}]), "it is no notebook of"),
    "odd id": (stored(cells=[{**code("a", "1"), "id": []}]), "it is no notebook of format 4"),
    "odd mark": (stored(cells=[code("a", "1", reimpl=None)]), "it is no notebook of format 4"),
    "cells gone": (stored(cells=[]), "no cell has anything in it"),
    "cells emptied": (stored(cells=[code("a", "")]), "no cell has anything in it"),
}


@pytest.mark.parametrize("content, said", UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_notebook_is_not_read(content, said):
    with pytest.raises(DamagedNotebook, match=said):
        read_notebook(content)


@pytest.mark.parametrize("edit", EDITS)
def test_what_is_written_is_read_again(edit):
    ours = notebook()
    EDITS[edit](ours)
    content = merging.write_notebook(ours)
    assert read_notebook(content) == ours
    assert read_notebook(b"\xef\xbb\xbf" + content) == ours, "with a byte order mark"


# --- a damaged notebook -----------------------------------------------------------------------

RIGHT = STUB.replace("raise NotImplementedError", "return x / 2 * (1 + erf(x))")
MARKED = f"<<<<<<< HEAD\n{SOLVED}\n=======\n{STUB}\n>>>>>>> theirs"
IDS = ["title", "start", "first", "task", "check", "hints", "end"]
OWN = "# ours\nplot(gelu)"


# The damage to a notebook in which the piece was RIGHT, and the cells that come out.
DAMAGES = {
    "none": (together(), {}),
    "stub again": (change("task", STUB), {}),
    "emptied": (change("task", ""), {}),
    "blank": (change("task", " \n"), {}),
    "marks of a merge": (change("task", MARKED), {}),
    "does not parse": (change("task", RIGHT.replace("(1", "((1")), {}),
    "null byte": (change("task", RIGHT + "\0"), {}),
    "task lost": (remove("task"), {}),
    "check lost": (remove("check"), {}),
    "both lost": (remove("task", "check"), {}),
    "stub made prose": (together(change("task", STUB), EDITS["made markdown"]), {}),
    "edited since": (change("task", SOLVED), {"task": SOLVED}),
    "other code": (change("task", "x = 3"), {"task": "x = 3"}),
    "magic": (change("task", f"%%time\n{SOLVED}"), {"task": f"%%time\n{SOLVED}"}),
    "line magic": (change("task", f"%time 1\n{SOLVED}"), {"task": f"%time 1\n{SOLVED}"}),
    "prose deleted": (remove("hints", "first"), {"hints": None, "first": None}),
}
# What only looks as if something was lost.
ELSEWHERE = {
    "all is there": together(),
    "cut and pasted": lambda book: find(book, "task").update(id="fresh"),
    "check typed again": lambda book: find(book, "check").update(id="fresh", metadata={}),
}


def mended(book, saved=True):
    saved = {"task": RIGHT} if saved else {}
    return merging.mend_notebook(copy.deepcopy(book), notebook(), saved)


def right_notebook():
    book = notebook()
    change("task", RIGHT)(book)
    add(book, 6, code("ours", OWN))
    run(book)
    return book


@pytest.mark.parametrize("damage, other", DAMAGES.values(), ids=DAMAGES)
def test_mending_puts_back_what_was_lost_and_keeps_the_rest(damage, other):
    book = right_notebook()
    damage(book)
    mend = mended(book)
    own = [cell for cell in mend.cells if text(cell) == ("code", OWN)]
    expected = {"task": RIGHT, **other}
    names = [name for name in IDS if expected.get(name, "") is not None]
    cells = [cell for cell in mend.cells if cell not in own]
    assert [cell.id for cell in cells] == names
    assert len(own) == 1, "the pair's own stays"
    for cell in cells:
        source = expected.get(cell.id, "".join(find(notebook(), cell.id).source))
        assert text(cell) == (find(notebook(), cell.id).cell_type, source)
    assert_valid_and_stable(book, mend)


def assert_valid_and_stable(book, mend):
    after = nbformat.from_dict({**book, "cells": mend.cells, "nbformat_minor": 5})
    nbformat.validate(after)
    merging.check_ids(after.cells)
    again = mended(after)
    assert again.cells == mend.cells
    assert not again.put_back


@pytest.mark.parametrize("damage", ELSEWHERE.values(), ids=ELSEWHERE)
def test_nothing_lost_is_nothing_done(damage):
    book = right_notebook()
    damage(book)
    mend = mended(book)
    assert mend.cells == book.cells and not mend.put_back


@pytest.mark.parametrize("damage", ["marks of a merge", "does not parse", "stub again"])
def test_what_was_never_right_is_left_as_it_is(damage):
    book = right_notebook()
    DAMAGES[damage][0](book)
    assert mended(book, saved=False).cells == book.cells


@pytest.mark.parametrize("damage", ["emptied", "task lost", "both lost"])
def test_an_exercise_that_was_never_right_comes_back_as_it_was_given(damage):
    book = right_notebook()
    DAMAGES[damage][0](book)
    cells = {cell.id: cell for cell in mended(book, saved=False).cells}
    assert text(cells["task"]) == ("code", STUB) and text(cells["check"])[1] == "check(gelu)"


def test_what_was_put_back_is_named():
    book = right_notebook()
    remove("task", "check")(book)
    assert mended(book).put_back == ["gelu", "the check of gelu"]


def test_a_notebook_is_built_with_the_pieces_in_it():
    mend = merging.solved_notebook(notebook(), {"task": RIGHT})
    assert [cell.id for cell in mend.cells] == IDS and mend.put_back == ["gelu"]
    assert text(mend.cells[3]) == ("code", RIGHT)
    assert merging.solved_notebook(notebook(), {}).cells == notebook().cells
