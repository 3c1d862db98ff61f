"""List the models where people choose one, from what each track says of itself in about.toml."""

import tomllib
from pathlib import Path

import nbformat

from reimpl_helpers.authoring.guide import built_between, length_of
from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.base.files import replace_file
from reimpl_helpers.base.places import NOTEBOOKS, ROOT
from reimpl_helpers.base.tables import markdown_table
from reimpl_helpers.tracks.track import tracks

START = NOTEBOOKS / "00_start_here.ipynb"
README = ROOT / "README.md"
STEPS = {  # the notebooks of a track, and what a pair does in each
    "01_forward_pass": "read the original, write what it computes",
    "02_shapes": "say the shape of everything before you see it",
    "03_params": "draw parameters as the original does, then load its own",
    "04_unit_tests": "write tests that a wrong model fails, and score them on a hundred",
    "05_training_test": "port to JAX, train, and prove that it learns as the original does",
    "06_know_your_model": "measure where it applies, what it costs, and what is luck",
}


def write_catalogue() -> list[Path]:
    """Build the lists of models anew, in the README and on the start page.

    Raises: WorkbookError when a track says nothing of itself, or a page has no place for a list.
    """
    readme, start = catalogue(README.read_text("utf-8"), nbformat.read(START, as_version=4))
    replace_file(README, readme.encode())
    replace_file(START, (nbformat.writes(start, indent=1) + "\n").encode())
    return [README, START]


def catalogue(readme: str, start):
    """Put the lists into the text of the README, and into the first cell of the start page."""
    about = {name: about_track(name) for name in tracks()}
    models, notebooks = ("model", "what it does", "what you end on"), ("notebook", "what you do")
    rows = [(f"`{name}`", one["does"], one["ends"]) for name, one in about.items()]
    readme = built_between(readme, "models", markdown_table(models, rows))
    rows = [(f"`{step}`", what_pairs_do(step)) for step in STEPS]
    readme = built_between(readme, "notebooks", markdown_table(notebooks, rows))
    cell = start.cells[0]
    rows = [(f"**{one['title']}**", one["does"], one["ends"]) for one in about.values()]
    cell.source = built_between(cell.source, "models", markdown_table(models, rows))
    rows = [
        (step.replace("_", " "), what_pairs_do(step), *(link_to(name, step) for name in about))
        for step in STEPS
    ]
    head = *notebooks, *(one["title"] for one in about.values())
    cell.source = built_between(cell.source, "notebooks", markdown_table(head, rows))
    return readme, start


def about_track(name: str) -> dict[str, str]:
    """Read what a track says of itself: its title, what the model does, what a pair ends on.

    And `credit`, whose the data in its recording are; nothing where they are nobody's.

    Raises: WorkbookError when it does not.
    """
    path = NOTEBOOKS / name / "about.toml"
    try:
        about = tomllib.loads(path.read_text("utf-8"))
        said = {key: about[key] for key in ("title", "does", "ends")}
        return {**said, "credit": about.get("credit", "")}
    except (OSError, KeyError, tomllib.TOMLDecodeError) as error:
        raise WorkbookError(
            f"{path} does not say what the model is: {error!r}. Write three lines into it, title, "
            "does and ends, after the pattern of another track's."
        ) from error


def what_pairs_do(step: str) -> str:
    """Say what a pair does in a notebook, and in which tracks where not all have it."""
    having = [name for name in tracks() if (NOTEBOOKS / name / f"{step}.ipynb").exists()]
    so_far = "" if having == tracks() else f" (so far: {', '.join(having)})"
    return STEPS[step] + so_far


def link_to(name: str, step: str) -> str:
    """Link to a notebook of a track by its minutes; give nothing where it has none."""
    path = NOTEBOOKS / name / f"{step}.ipynb"
    if not path.exists():
        return ""
    opening = nbformat.read(path, as_version=4).cells[0].source
    return f"[{length_of(opening)} min]({name}/{step}.ipynb)"
