"""Edits that a pair makes, changes that a workbook makes, and what a merge of both must keep."""

from nbformat import from_dict

from reimpl_helpers.lab import merging

STUB = 'def gelu(x):\n    """Ours."""\n    raise NotImplementedError'
SOLVED = 'def gelu(x):\n    """Ours."""\n    return x * np.tanh(x)  # ours, not yet right'
KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def code(name, source, **metadata):
    cell = {"cell_type": "code", "execution_count": None, "id": name, "metadata": metadata}
    return {**cell, "outputs": [], "source": source.splitlines(True)}


def markdown(name, source):
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": source.splitlines(True)}


def notebook(cells=None):
    """Make a small notebook: a title, a start, one exercise with its check, and an end."""
    cells = cells or [
        markdown("title", "# 1 · The forward pass\n\n*50 minutes.*"),
        code("start", "import numpy as np"),
        markdown("first", "## 1.1 · A curve · *7 minutes*\n\n> **Driver:** type."),
        code("task", STUB, reimpl={"exercise": "gelu", "minutes": 7}),
        code("check", "check(gelu)", tags=["check"]),
        markdown("hints", "<details><summary>Hint</summary>\n\nWhich half?\n</details>"),
        markdown("end", "## 1.2 · The end · *1 minute*"),
    ]
    return from_dict({"cells": cells, "metadata": KERNEL, "nbformat": 4, "nbformat_minor": 5})


def place(book, name):
    return [cell.id for cell in book.cells].index(name)


def find(book, name):
    return book.cells[place(book, name)]


def add(book, at, cell):
    book.cells.insert(at, from_dict(cell))


def change(name, source, **more):
    """Make a change that gives one cell another source."""
    return lambda book: find(book, name).update(source=source.splitlines(True), **more)


def remove(*names):
    def change(book):
        book.cells = [cell for cell in book.cells if cell.id not in names]

    return change


def move(name, to):
    return lambda book: book.cells.insert(to, book.cells.pop(place(book, name)))


def put(name, after, source="print('new')"):
    return lambda book: add(book, place(book, after) + 1 if after else 0, code(name, source))


def run(book):
    """Run every code cell, as far as a notebook shows it."""
    for count, cell in enumerate((c for c in book.cells if c.cell_type == "code"), 1):
        text = {"name": "stdout", "output_type": "stream", "text": [f"{cell.id} ran\n"]}
        cell.update(execution_count=count, outputs=[from_dict(text)])


def together(*changes):
    def change(book):
        for one in changes:
            one(book)

    return change


def split(book):
    """Split the exercise cell in two, as JupyterLab does."""
    change("task", "def gelu(x):\n    return x\n")(book)
    add(book, place(book, "task") + 1, code("0a1b2c3d", "gelu(np.zeros(3))"))


def retype(book):
    find(book, "hints").update(cell_type="raw")


def join_sources(book):
    """Store sources as another editor does: the same text, in one string."""
    for cell in book.cells:
        cell.source = "".join(cell.source)


def as_markdown(book):
    cell = find(book, "task")
    book.cells[place(book, "task")] = from_dict(markdown("task", "".join(cell.source)))


EDITS = {
    "untouched": together(),
    "other line ends": join_sources,
    "output only": run,
    "solved": together(change("task", SOLVED), run),
    "check edited": together(change("check", "check(gelu)\nprint(gelu(1.0))"), run),
    "unicode": change("task", SOLVED + "\n\n# größer, 更大, 🙂 \u2028 \ud83d"),
    "CRLF": change("task", SOLVED.replace("\n", "\r\n")),
    "emptied": change("task", ""),
    "prose edited": change("hints", "We know: the right half."),
    "title edited": change("title", "# Ada and Grace"),
    "deleted": remove("task"),
    "all but the task deleted": remove("title", "start", "first", "check", "hints", "end"),
    "added after": put("ours", "task", "gelu(np.linspace(-3, 3, 5))"),
    "added before": put("ours", "first", "x = np.ones(3)"),
    "added on top": put("ours", None, "# Ada and Grace, Monday"),
    "added at the end": together(put("ours", "end", "1 + 1"), put("ours-2", "ours", "2 + 2")),
    "moved": move("task", 1),
    "moved and solved": together(move("task", 6), change("task", SOLVED)),
    "split": split,
    "made markdown": as_markdown,
    "made raw": retype,
    "solved in the workbook's way": change("task", STUB + "\n"),
}
CHANGES = {
    "same": together(),
    "stub changed": change("task", STUB.replace("Ours.", "Let half of x through.")),
    "stub as someone wrote it": change("task", STUB + "\n"),
    "minutes changed": change(
        "task", STUB, metadata={"reimpl": {"exercise": "gelu", "minutes": 9}}
    ),
    "task removed": remove("task"),
    "task and check removed": remove("task", "check"),
    "task moved": move("task", 5),
    "start moved down": move("start", 4),
    "inserted before": put("new", "first"),
    "inserted after": put("new", "task"),
    "inserted on top": put("new", None),
    "two inserted": together(put("new", "check"), put("newer", "new", "print('newer')")),
    "retitled": change("first", "## 1.1 · Half a line · *8 minutes*"),
    "made prose": as_markdown,
    "replaced": together(remove("task"), put("task-2", "first", STUB.replace("gelu", "relu"))),
    "all ids new": lambda book: [cell.update(id=f"{cell.id}-2") for cell in book.cells],
    "all prose new": together(
        *(change(name, f"## {name}, anew") for name in ("title", "first", "hints", "end"))
    ),
}


def text(cell):
    return cell.cell_type, "".join(cell.source)


def faults(base, ours, new, merge):
    """List where a merge lost what the pair wrote, or kept what the workbook renewed."""
    given, fresh = ({cell.id: cell for cell in book.cells} for book in (base, new))
    before, after = ({c.id: c for c in cells} for cells in (ours.cells, merge.cells))
    if len(after) < len(merge.cells):
        yield "a cell stands twice"
    wrote = [c for c in ours.cells if c.id not in given or text(c) != text(given[c.id])]
    for cell in wrote:
        if after.get(cell.id) != cell:
            yield f"{cell.id}: what the pair wrote is not there word for word"
    for cell in ours.cells:
        if cell in wrote:
            continue
        if cell.id not in fresh:
            if cell.id in after:
                yield f"{cell.id}: untouched, dropped by the workbook, and still there"
        elif text(after[cell.id]) != text(fresh[cell.id]):
            yield f"{cell.id}: untouched, and not renewed"
        elif text(cell) == text(fresh[cell.id]) and cell.get("outputs") != after[cell.id].get(
            "outputs"
        ):
            yield f"{cell.id}: untouched, and its output is lost"
        elif after[cell.id].metadata != fresh[cell.id].metadata:
            yield f"{cell.id}: untouched, and its metadata are not renewed"
    for name in fresh:
        if (name in after) != (name in before or name not in given):
            yield f"{name}: new in the workbook and missing, or deleted by the pair and back"
    yield from faults_of_order(base, ours, new, merge)
    yield from faults_of_notes(given, before, fresh, wrote, merge)


def faults_of_order(base, ours, new, merge):
    before, after, there = ([c.id for c in x.cells] for x in (ours, merge, new))
    if [(c.id, text(c)) for c in ours.cells] == [(c.id, text(c)) for c in base.cells]:
        if after != there:
            yield "nobody touched the notebook, and it is not in the workbook's order"
        return
    if [name for name in after if name in before] != [name for name in before if name in after]:
        yield "the pair's order is not kept"
    for name in set(after) - set(before):
        earlier = [other for other in there[: there.index(name)] if other in after]
        at = after.index(name)
        if (after[at - 1 : at] if at else []) != earlier[-1:]:
            yield f"{name}: not inserted after {earlier[-1:]}"


def faults_of_notes(given, before, fresh, wrote, merge):
    expected = set()
    for cell in wrote:
        if cell.id in given and cell.id not in fresh:
            expected.add((merging.DROPPED, cell.id))
        elif cell.id in given and len({text(b[cell.id]) for b in (given, before, fresh)}) == 3:
            expected.add((merging.CONFLICT, cell.id))
    for name in given.keys() & fresh.keys() - before.keys():
        if text(given[name]) != text(fresh[name]):
            expected.add((merging.DELETED, name))
    said = {(what, name) for what, name, _ in merge.notes}
    if said != expected:
        yield f"said {said}, expected {expected}"
