"""The rooms of the helpers: arrows run down only, and notebooks come in by the front door."""

import ast
import json

import pytest

from reimpl_helpers.base.places import NOTEBOOKS, ROOT

HELPERS = ROOT / "reimpl_helpers"
FLOORS = [  # from the ground up: what is on one imports what is below
    {"base"},
    {"shapes", "originals", "texts"},
    {"pictures"},
    {"checks"},
    {"forward", "knowing", "params", "training", "scoring", "tracks"},
    {"pair", "doctor"},
    {"authoring", "card", "judge", "lab", "widgets"},
    {"workbook", "export"},
    {"board"},
    {"hub"},
    {"cli"},
]
FOR_NOTEBOOKS = {
    "workbook",
    "forward",
    "knowing",
    "shapes",
    "params",
    "training",
    "pictures",
    "widgets",
}


def imported_in(source):
    """Name the rooms that a text imports, functions included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "reimpl_helpers":
            yield from (alias.name for alias in node.names)
        names = [node.module] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            if (name or "").startswith("reimpl_helpers."):
                yield name.split(".")[1]


def upward(room, source):
    """Name what a room imports of its own floor or of those above."""
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    return {name for name in imported_in(source) if name != room and floor[name] >= floor[room]}


def test_a_room_imports_what_is_below():
    front = HELPERS / "__init__.py", HELPERS / "doctor/__main__.py"  # a command, as cli is
    paths = [path for path in HELPERS.rglob("*.py") if path not in front]
    rooms = {path: path.relative_to(HELPERS).parts[0].removesuffix(".py") for path in paths}
    assert {*rooms.values()} == set().union(*FLOORS)
    wrong = {path.name: upward(rooms[path], path.read_text("utf-8")) for path in paths}
    assert {name: up for name, up in wrong.items() if up} == {}


@pytest.mark.parametrize(
    "source",
    [
        "from reimpl_helpers.board.facts import facts_of",
        "import reimpl_helpers.hub.start",
        "from reimpl_helpers import workbook",
        "def late():\n    from reimpl_helpers.pair import log",
    ],
)
def test_an_import_of_what_is_above_is_seen(source):
    assert upward("checks", source)


def test_notebooks_import_what_is_for_them():
    for path in NOTEBOOKS.rglob("*.ipynb"):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        assert {*imported_in("\n".join(code))} <= FOR_NOTEBOOKS, path
